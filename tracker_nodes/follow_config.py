# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The parameters of `target_pose`; neither torch nor ROS is needed to know them."""

from __future__ import annotations

from dataclasses import dataclass

from tracker_core.parameters import parameter
from tracker_core.pose.config import PoseConfig

TRANSPORT = 'compressedDepth'  # of image_transport, for depth


@dataclass(frozen=True)
class FollowConfig(PoseConfig):
    """The parameters of `target_pose`: how a target is located, and what the node takes in."""

    target: str = parameter(
        '', 'The target of pose, bearing and target_frame; empty: the first one that is located.'
    )
    depth_transport: str = parameter(
        'raw',
        'What to subscribe to: the topic depth, depth/compressedDepth, or none.',
        choices=('raw', TRANSPORT, 'none'),
        live=False,
    )
    depth_slop: float = parameter(
        0.015,
        'By so many seconds the stamp of a depth image may differ from that of the image.',
        minimum=0.0,
        maximum=1.0,
    )
    patience: float = parameter(
        0.1,
        'So many seconds a target waits for its depth image and its transform.',
        minimum=0.0,
        maximum=5.0,
    )
    rectified: bool = parameter(
        False, 'The tracker sees rectified images (image_rect), so P of camera_info counts.'
    )
    field_of_view: float = parameter(
        0.0,
        'Of the image from left to right, in degrees, for cameras without calibration; 0: they '
        'are refused.',
        minimum=0.0,
        maximum=170.0,
    )
    fixed_frame: str = parameter(
        'odom',
        "Poses are in this frame where tf2 leads to it; empty: in the camera's frame.",
    )
    target_frame: str = parameter(
        '', 'Name of the TF frame that is published at the target; empty: none.'
    )
    ground: bool = parameter(
        False, 'The targets stand on the ground: so their range is known without depth and size.'
    )
    ground_frame: str = parameter(
        'base_footprint', 'TF frame that lies on the ground, with z upwards.'
    )
    camera_height: float = parameter(
        0.0,
        'Of the camera above the ground, metres; 0: from ground_frame.',
        minimum=0.0,
        maximum=1000.0,
    )
    camera_pitch: float = parameter(
        0.0,
        'Of the camera, radians, positive where it looks down; goes with camera_height.',
        minimum=-1.5,
        maximum=1.5,
    )
    autostart: bool = parameter(
        True, 'Configure and activate at start-up, without a lifecycle manager.', live=False
    )

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The messages that results are recorded in, for rosbags, which has those of ROS itself.

They are those of `msg/` and of vision_msgs without their comments, which an installed library
does not have; test_recordings.py compares them.
"""

from __future__ import annotations

from typing import Any

DETECTIONS = 'vision_msgs/msg/Detection2DArray'
STATUS = 'tracker_nodes/msg/TrackStatusArray'
DEFINITIONS = {
    'vision_msgs/msg/Point2D': 'float64 x\nfloat64 y',
    'vision_msgs/msg/Pose2D': 'vision_msgs/Point2D position\nfloat64 theta',
    'vision_msgs/msg/BoundingBox2D': """
        vision_msgs/Pose2D center
        float64 size_x
        float64 size_y""",
    'vision_msgs/msg/ObjectHypothesis': 'string class_id\nfloat64 score',
    'vision_msgs/msg/ObjectHypothesisWithPose': """
        vision_msgs/ObjectHypothesis hypothesis
        geometry_msgs/PoseWithCovariance pose""",
    'vision_msgs/msg/Detection2D': """
        std_msgs/Header header
        vision_msgs/ObjectHypothesisWithPose[] results
        vision_msgs/BoundingBox2D bbox
        string id""",
    DETECTIONS: 'std_msgs/Header header\nvision_msgs/Detection2D[] detections',
    'tracker_nodes/msg/TrackStatus': """
        uint8 TRACKING=1
        uint8 UNCERTAIN=2
        uint8 LOST=3
        string id
        string label
        uint8 state
        float32 score
        float32 raw_score
        uint32 age
        uint32 frames_lost
        vision_msgs/BoundingBox2D bbox
        float32 velocity_x
        float32 velocity_y""",
    STATUS: """
        std_msgs/Header header
        string tracker
        string preset
        tracker_nodes/TrackStatus[] targets
        float32 latency
        float32 processing_time
        uint32 dropped_frames
        uint64 frames""",
}


def known_types() -> Any:
    """A typestore of rosbags with the messages of ROS 2 and these."""
    from rosbags.typesys import get_types_from_msg, get_typestore, Stores

    types = get_typestore(Stores.ROS2_HUMBLE)
    for name, definition in DEFINITIONS.items():
        text = '\n'.join(line.strip() for line in definition.strip().splitlines())
        types.register(get_types_from_msg(text, name))
    return types

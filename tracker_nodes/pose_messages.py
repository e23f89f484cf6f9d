# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Estimates of where a target is as messages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
import math

from builtin_interfaces.msg import Duration
from geometry_msgs.msg import (
    Point,
    Pose,
    PoseStamped,
    PoseWithCovariance,
    PoseWithCovarianceStamped,
    Quaternion,
    Vector3,
    Vector3Stamped,
)
import numpy as np
from std_msgs.msg import ColorRGBA, Header
from vision_msgs.msg import BoundingBox3D, Detection3D, ObjectHypothesisWithPose
from visualization_msgs.msg import Marker, MarkerArray

from tracker_core.media.overlay import COLOURS
from tracker_core.pose.locate import Bearing, Estimate
from tracker_core.pose.transform import facing, quaternion, RigidTransform
from tracker_core.target import TrackStatus

ANY_TURN = math.pi**2  # variance of the orientation, which is not known
UP = np.array([0.0, 0.0, 1.0])
UP_OPTICAL = np.array([0.0, -1.0, 0.0])
LIFETIME = Duration(nanosec=500_000_000)  # of a marker


@dataclass(frozen=True, eq=False)
class Located:
    """A target with its names, and where it is."""

    id: str
    label: str
    score: float
    status: TrackStatus
    estimate: Estimate


def pose_message(estimate: Estimate, to_fixed: RigidTransform | None) -> PoseWithCovariance:
    """The pose of an estimate that has a position.

    How the object is turned is not known: x points away from the camera, z upwards, and the
    variances of the turn are large.
    """
    position, covariance = estimate.position, estimate.covariance
    assert position is not None
    assert covariance is not None
    if to_fixed is None:
        rotation = facing(position, UP_OPTICAL)
    else:  # level, as a robot's goal is
        away = position - to_fixed.translation
        rotation = facing(away * (1, 1, 0), UP)
    whole = ANY_TURN * np.eye(6)
    whole[:3, :3] = covariance
    x, y, z, w = quaternion(rotation)
    pose = Pose(position=Point(x=position[0], y=position[1], z=position[2]))
    pose.orientation = Quaternion(x=x, y=y, z=z, w=w)
    return PoseWithCovariance(pose=pose, covariance=whole.ravel())


def stamped(header: Header, pose: PoseWithCovariance) -> PoseWithCovarianceStamped:
    return PoseWithCovarianceStamped(header=header, pose=pose)


def plain(header: Header, pose: PoseWithCovariance) -> PoseStamped:
    return PoseStamped(header=header, pose=pose.pose)


def bearing_messages(header: Header, bearing: Bearing) -> tuple[Vector3Stamped, Vector3Stamped]:
    """The bearing and its rate: x is the azimuth, y the elevation."""
    turned = Vector3(x=bearing.azimuth, y=bearing.elevation)
    rate = Vector3(x=bearing.azimuth_rate, y=bearing.elevation_rate)
    return Vector3Stamped(header=header, vector=turned), Vector3Stamped(header=header, vector=rate)


def detection_3d_message(header: Header, target: Located, pose: PoseWithCovariance) -> Detection3D:
    """The target as a box in space: along x as deep as its smaller side, which nobody sees."""
    hypothesis = ObjectHypothesisWithPose(pose=pose)
    hypothesis.hypothesis.class_id = target.label
    hypothesis.hypothesis.score = target.score
    width, height = target.estimate.size
    box = BoundingBox3D(center=pose.pose)
    box.size = Vector3(x=min(width, height), y=width, z=height)
    return Detection3D(header=header, results=[hypothesis], bbox=box, id=target.id)


def marker_message(header: Header, targets: Sequence[tuple[Located, Detection3D]]) -> MarkerArray:
    """A box and a line of text for each target, for rviz."""
    markers = [Marker(header=header, action=Marker.DELETEALL)]
    for number, (target, detection) in enumerate(targets):
        red, green, blue = (channel / 255 for channel in COLOURS[target.status])
        box = Marker(header=header, ns='box', id=number, type=Marker.CUBE)
        box.pose, box.scale = detection.bbox.center, detection.bbox.size
        box.color = ColorRGBA(r=red, g=green, b=blue, a=0.5)
        words = Marker(header=header, ns='text', id=number, type=Marker.TEXT_VIEW_FACING)
        words.pose.position.x = box.pose.position.x
        words.pose.position.y = box.pose.position.y
        words.pose.position.z = box.pose.position.z
        words.scale.z = 0.15
        words.color = ColorRGBA(r=1.0, g=1.0, b=1.0, a=1.0)
        words.text = f'{target.id} ({target.estimate.source.name.lower()})'
        if target.estimate.is_predicted:
            words.text += ' predicted'
        box.lifetime = words.lifetime = LIFETIME
        markers += [box, words]
    return MarkerArray(markers=markers)

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""TF, where tf2 is installed; it is imported only when it is asked for."""

from __future__ import annotations

from typing import Any

from geometry_msgs.msg import Pose, TransformStamped
import numpy as np
from rclpy.node import Node
from rclpy.time import Time
from std_msgs.msg import Header

from tracker_core.errors import ParameterError
from tracker_core.pose.transform import RigidTransform

ABSENT = 'tf2_ros is not installed (apt: ros-DISTRO-tf2-ros)'


class Transforms:
    """Looks up and publishes transforms.

    Args:
        node: That listens to /tf.

    Raises:
        ImportError: There is no tf2; the message says so.
    """

    def __init__(self, node: Node) -> None:
        try:
            import tf2_ros
        except ImportError as error:
            raise ImportError(ABSENT) from error
        self._error: type[Exception] = tf2_ros.TransformException
        self._buffer = tf2_ros.Buffer(node=node)
        self._listener: Any = tf2_ros.TransformListener(self._buffer, node)
        self._broadcaster = tf2_ros.TransformBroadcaster(node)

    def lookup(self, target: str, source: str, stamp: int) -> RigidTransform | str:
        """From one frame to another at a time in nanoseconds; why not, where there is none."""
        try:
            found = self._buffer.lookup_transform(target, source, Time(nanoseconds=stamp))
            turn, shift = found.transform.rotation, found.transform.translation
            return RigidTransform.from_quaternion(
                (turn.x, turn.y, turn.z, turn.w), np.array([shift.x, shift.y, shift.z])
            )
        except (self._error, ParameterError) as error:
            return str(error)

    def publish(self, header: Header, child: str, pose: Pose) -> None:
        """Publish a frame at a pose."""
        message = TransformStamped(header=header, child_frame_id=child)
        message.transform.translation.x = pose.position.x
        message.transform.translation.y = pose.position.y
        message.transform.translation.z = pose.position.z
        message.transform.rotation = pose.orientation
        self._broadcaster.sendTransform(message)

    def close(self) -> None:
        """Stop listening."""
        self._listener.unregister()

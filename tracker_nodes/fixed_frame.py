# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Where the camera is in the world, as far as TF tells; and the frame of the target."""

from __future__ import annotations

import time

from geometry_msgs.msg import Pose
from rclpy.node import Node
from std_msgs.msg import Header

from tracker_core.errors import ParameterError
from tracker_core.pose.ranges import Ground
from tracker_core.pose.transform import RigidTransform
from tracker_nodes.conversions import nanoseconds
from tracker_nodes.follow_config import FollowConfig
from tracker_nodes.transforms import Transforms

HOLD = 1.0  # seconds for which the fixed frame counts as known after tf2 last led to it


class FixedFrame:
    """Asks TF, where that is needed and tf2 is installed; what is missing is logged once.

    Args:
        node: That asks.
        config: Its parameters.
    """

    def __init__(self, node: Node, config: FollowConfig) -> None:
        self._node = node
        self._config = config
        self._transforms: Transforms | None = None
        self._known = -HOLD  # time.monotonic() when tf2 led to the fixed frame
        self._said: set[str] = set()
        self.reconfigure(config)

    def close(self) -> None:
        """Stop listening."""
        if self._transforms is not None:
            self._transforms.close()

    def reconfigure(self, config: FollowConfig) -> None:
        """Take other parameters from now on."""
        if config.fixed_frame != self._config.fixed_frame:
            self._known = -HOLD
        self._config = config
        is_needed = bool(config.fixed_frame or config.target_frame)
        is_needed = is_needed or (config.ground and not config.camera_height)
        if self._transforms is not None or not is_needed:
            return
        try:
            self._transforms = Transforms(self._node)
        except ImportError as error:
            self._say_once(f"{error}: poses are in the camera's frame")
            if config.ground and not config.camera_height:
                self._say_once('without TF the ground needs camera_height')

    @property
    def is_known(self) -> bool:
        """Whether tf2 has led to the fixed frame lately."""
        return time.monotonic() - self._known < HOLD

    def of(self, header: Header) -> RigidTransform | None:
        """From the camera's frame to the fixed one at the time of an image; None where tf2 does
        not lead there, or not yet."""
        fixed = self._config.fixed_frame
        if self._transforms is None or not fixed:
            return None
        found = self._transforms.lookup(fixed, header.frame_id, nanoseconds(header.stamp))
        if isinstance(found, RigidTransform):
            self._known = time.monotonic()
            return found
        if not self.is_known:
            self._say_once(
                f"no transform from {header.frame_id} to {fixed}: poses are in the camera's frame",
                f' ({found})',
            )
        return None

    def ground(self, header: Header) -> Ground | None:
        """What the targets stand on, where that is asked for and known."""
        config = self._config
        if not config.ground:
            return None
        if config.camera_height:
            return Ground.below(config.camera_height, config.camera_pitch)
        if self._transforms is None:
            return None
        found = self._transforms.lookup(
            config.ground_frame, header.frame_id, nanoseconds(header.stamp)
        )
        try:
            if isinstance(found, RigidTransform):
                return Ground(found.rotation[2], float(found.translation[2]))
            self._say_once(f'the ground is not known, {config.ground_frame}', f' ({found})')
        except ParameterError as error:
            self._say_once(f'the ground is not known, {config.ground_frame}', f': {error}')
        return None

    def publish(self, header: Header, pose: Pose) -> None:
        """Publish the frame of the target, if it has one."""
        if self._config.target_frame and self._transforms is not None:
            self._transforms.publish(header, self._config.target_frame, pose)

    def _say_once(self, sentence: str, details: str = '') -> None:
        if sentence not in self._said:
            self._said.add(sentence)
            self._node.get_logger().warning(sentence + details)

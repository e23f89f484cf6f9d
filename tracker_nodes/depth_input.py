# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The depth images of a camera, found by the stamps of its frames."""

from __future__ import annotations

from collections.abc import Callable
import time
from typing import Any

from rclpy.node import Node

from tracker_core.errors import ImageError
from tracker_core.pose.camera import CameraModel
from tracker_core.pose.depth import DepthImage
from tracker_nodes.depth_encodings import compressed_to_depth, to_depth
from tracker_nodes.follow_config import FollowConfig, TRANSPORT
from tracker_nodes.frames import Frame
from tracker_nodes.image_input import ImageInput
from tracker_nodes.joining import DepthJoin

SAY_AGAIN = 60.0  # seconds
SAME_SHAPE = 0.02  # by how much the scales along x and y may differ


def depth_topic(node: Node, transport: str) -> str:
    """The full name of the topic of depth images."""
    topic = node.resolve_topic_name('depth')
    return f'{topic}/{TRANSPORT}' if transport == TRANSPORT else topic


class DepthInput:
    """Takes the depth images as they arrive, and decodes what a frame asks for.

    Args:
        node: The node that subscribes.
        config: Its parameters.
        on_arrival: Called after each.

    Raises:
        ParameterError: One of the node's `qos_overrides` is no such policy.
    """

    def __init__(self, node: Node, config: FollowConfig, on_arrival: Callable[[], None]) -> None:
        self.config = config
        self._problem = ''  # of the last frame, in a sentence; empty if there was none
        self._node = node
        self._on_arrival = on_arrival
        self._join = DepthJoin()
        self._told: dict[str, float] = {}  # time.monotonic() by what was said
        self._is_compressed = config.depth_transport == TRANSPORT
        topic = depth_topic(node, config.depth_transport)
        self._input = ImageInput(node, self._is_compressed, self._on_depth, topic=topic)

    def close(self) -> None:
        """End the subscription."""
        self._input.close()

    @property
    def problem(self) -> str:
        """What is wrong with the depth images, in a sentence; empty if nothing is."""
        return self._problem or self._input.problem(max_age=0.0)

    def look_around(self) -> None:
        """Once a second, see `ImageInput`."""
        self._input.look_around(max_age=0.0)

    def is_coming(self, stamp: int) -> bool:
        """Whether the image of a frame is not here yet, but may come."""
        slop = self.config.depth_slop
        is_here = self._join.match(stamp, slop) is not None
        return not is_here and self._join.is_coming(stamp, time.monotonic())

    def of_frame(self, stamp: int, frame_id: str, camera: CameraModel) -> DepthImage | None:
        """The depth image of a frame; None where there is none, with a line in the log if there
        should be."""
        image = self._join.match(stamp, self.config.depth_slop)
        self._problem = self._join.note(stamp, image, time.monotonic())
        if self._problem:
            self._say('stamps', f'{self._problem}; going on without depth')
        if image is None:
            return None
        try:
            depth = self._decoded(image)
            _check_shape(depth, camera)
        except ImageError as error:
            self._problem = str(error)
            self._say('image', f'{error}; going on without depth')
            return None
        other = image.message.header.frame_id
        if other != frame_id:
            self._say(
                'frame',
                f'the depth images are in the frame {other!r}, the images in {frame_id!r}: their '
                'pixels are taken for the same, which holds only if they are aligned '
                '(RealSense: aligned_depth_to_color)',
            )
        return depth

    def _on_depth(self, frame: Frame) -> None:
        self._join.put(frame, self.config.depth_slop)
        self._on_arrival()

    def _decoded(self, frame: Frame) -> DepthImage:
        message: Any = frame.message  # of the type that is subscribed to
        return compressed_to_depth(message) if self._is_compressed else to_depth(message)

    def _say(self, what: str, sentence: str) -> None:
        now = time.monotonic()
        if now - self._told.get(what, -SAY_AGAIN) >= SAY_AGAIN:
            self._told[what] = now
            self._node.get_logger().warning(sentence)


def _check_shape(depth: DepthImage, camera: CameraModel) -> None:
    (width, height), (columns, rows) = depth.size, camera.image_size
    if abs((width / columns) / (height / rows) - 1) > SAME_SHAPE:
        raise ImageError(
            f'the depth images are {width} x {height} pixels and the images {columns} x {rows}, '
            'of another shape: so they are not aligned; take the topic of aligned depth '
            '(RealSense: aligned_depth_to_color)'
        )

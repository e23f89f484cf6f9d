# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The subscription to `camera_info`: the camera as a model, and what is wrong with it."""

from __future__ import annotations

from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo

from tracker_core.errors import CameraError
from tracker_core.pose.camera import CameraModel, Roi
from tracker_nodes.follow_config import FollowConfig
from tracker_nodes.qos import image_qos, is_of_type, type_name
from tracker_nodes.silence import Silence


class CameraInput:
    """Keeps the camera of the newest CameraInfo.

    Args:
        node: The node that subscribes.
        config: Whether images are rectified, and the field of view of cameras without calibration.

    Attributes:
        model: The camera; None while there is none that can be used.
        frame_id: Of it.
        problem: Why there is none, in a sentence; empty where there is one.
    """

    def __init__(self, node: Node, config: FollowConfig) -> None:
        self.model: CameraModel | None = None
        self.frame_id = ''
        self._node = node
        self._config = config
        self._topic = node.resolve_topic_name('camera_info')
        self._silence = Silence(node, self._topic, type_name(CameraInfo), 'camera_info')
        self._message: CameraInfo | None = None
        self._content: tuple[object, ...] = ()
        self.problem = f'no camera_info on {self._topic} yet'
        self._subscription = self._subscribe(image_qos(self._infos()))

    def close(self) -> None:
        """End the subscription."""
        self._node.destroy_subscription(self._subscription)

    def reconfigure(self, config: FollowConfig) -> None:
        """Take other parameters from now on."""
        old, self._config = self._config, config
        is_same = (old.rectified, old.field_of_view) == (config.rectified, config.field_of_view)
        if self._message is not None and not is_same:
            self._make(self._message)

    def look_around(self) -> None:
        """Once a second: follow the quality of service of what is published, and log when nothing
        comes, once."""
        infos = self._infos()
        wanted, old = image_qos(infos, self._subscription.qos_profile), self._subscription
        has = old.qos_profile
        if (wanted.reliability, wanted.durability) != (has.reliability, has.durability):
            self._subscription = self._subscribe(wanted)
            self._node.destroy_subscription(old)
        fits = [info for info in infos if is_of_type(info, CameraInfo)]
        if self._message is None and (sentence := self._silence.sentence(fits, lambda _: True)):
            self._node.get_logger().warning(f'{sentence}: there is no bearing without one')

    def _infos(self) -> list:
        return self._node.get_publishers_info_by_topic(self._topic)

    def _subscribe(self, qos: QoSProfile) -> Subscription:
        return self._node.create_subscription(CameraInfo, self._topic, self._on_info, qos)

    def _on_info(self, message: CameraInfo) -> None:
        roi = message.roi
        content = (
            (message.width, message.height, message.distortion_model, message.header.frame_id),
            (message.binning_x, message.binning_y),
            (roi.x_offset, roi.y_offset, roi.width, roi.height),
            *(tuple(values) for values in (message.d, message.k, message.r, message.p)),
        )
        if content != self._content:
            self._content, self._message = content, message
            self._make(message)

    def _make(self, message: CameraInfo) -> None:
        self.frame_id = message.header.frame_id
        log = self._node.get_logger()
        try:
            self.model, self.problem = self._model(message), ''
        except CameraError as error:
            self.model, self.problem = None, str(error)
            log.error(f'{self.problem}; until then there are no poses', throttle_duration_sec=5.0)
            return
        width, height = self.model.image_size
        lens = self.model.distortion_model if self.model.d else 'no distortion'
        log.info(f'camera {self.frame_id!r}: images of {width} x {height}, {lens}')

    def _model(self, message: CameraInfo) -> CameraModel:
        degrees = self._config.field_of_view
        if degrees and not any(message.k):
            return CameraModel.from_field_of_view(message.width, message.height, degrees)
        roi = message.roi
        return CameraModel(
            message.width,
            message.height,
            message.k,
            message.distortion_model,
            tuple(message.d),
            message.r,
            message.p,
            (message.binning_x, message.binning_y),
            Roi(roi.x_offset, roi.y_offset, roi.width, roi.height),
            self._config.rectified,
        )

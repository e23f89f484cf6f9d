# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""A node of one's own around the library: follows what is in a box of the first image.

    python examples/own_node.py --ros-args -p box:='[280.0, 210.0, 80.0, 60.0]' -r image:=/camera/image

It is the whole of what a tracker needs of a node. `tracker_node` adds what a robot needs: targets
that come and go, QoS, diagnostics, recovery when the camera does.
"""  # noqa: E501

import contextlib

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2D, ObjectHypothesisWithPose

from tracker_core import Box, create_tracker, TrackStatus
from tracker_core.media.encodings import to_rgb
from tracker_nodes.conversions import box_to_message


class OwnNode(Node):
    """Subscribes to `image`, publishes `detection` while the target is not lost."""

    def __init__(self) -> None:
        super().__init__('own_node')
        box = self.declare_parameter('box', [0.0, 0.0, 0.0, 0.0])  # x, y, w, h in pixels
        self._box = Box(*box.value)
        self._tracker = create_tracker('tadt')
        self._target = None
        self._publisher = self.create_publisher(Detection2D, 'detection', 10)
        self.create_subscription(Image, 'image', self._on_image, qos_profile_sensor_data)

    def _on_image(self, message: Image) -> None:
        image = to_rgb(message)
        if self._target is None:
            self._target = self._tracker.start(image, self._box)
            return
        track = self._tracker.track(image, self._target, learn=False)
        if track.status is not TrackStatus.LOST:
            hypothesis = ObjectHypothesisWithPose()
            hypothesis.hypothesis.score = track.score
            detection = Detection2D(header=message.header, results=[hypothesis])
            detection.bbox = box_to_message(track.box)
            self._publisher.publish(detection)
        self._tracker.learn(self._target)  # after the result is out


if __name__ == '__main__':
    with contextlib.suppress(KeyboardInterrupt, ExternalShutdownException):  # how a node ends
        rclpy.init()
        rclpy.spin(OwnNode())

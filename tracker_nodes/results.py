# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The topics on which the results of a frame go out."""

from __future__ import annotations

import time

from rclpy.node import Node
from rclpy.publisher import Publisher
from sensor_msgs.msg import CompressedImage, Image
from tracker_nodes.msg import TrackStatusArray
from vision_msgs.msg import Detection2D, Detection2DArray

from tracker_core import Tracker, TrackStatus
from tracker_core.media.encodings import fill_compressed, fill_image
from tracker_core.media.overlay import draw_track
from tracker_nodes.annotations import annotations_message, message_type
from tracker_nodes.conversions import detection_message, status_message
from tracker_nodes.diagnostics import Timings
from tracker_nodes.qos import publisher_with_overrides
from tracker_nodes.worker import Result


class ResultPublishers:
    """Publishes `detections`, `detection`, `status`, and while somebody looks `image_annotated`
    and, where foxglove_msgs is installed, `annotations`.

    Args:
        node: That publishes.

    Attributes:
        problem: Which of the node's `qos_overrides` cannot be used, in a sentence; else empty.
        timings: Of the frames that were published.
    """

    def __init__(self, node: Node) -> None:
        self.problem = ''
        self.timings = Timings()
        self._node = node
        self._image_size = (0, 0)  # of the last processed frame
        annotated = node.resolve_topic_name('image_annotated')
        self._detections = self._create(Detection2DArray, 'detections')
        self._detection = self._create(Detection2D, 'detection')
        self._status = self._create(TrackStatusArray, 'status')
        self._annotated = self._create(Image, annotated, 2)
        self._annotated_compressed = self._create(CompressedImage, f'{annotated}/compressed', 2)
        kind = message_type()
        self._annotations = None if kind is None else self._create(kind, 'annotations')

    def publish(self, result: Result, tracker: Tracker, latency: float) -> None:
        """Send out what one frame brought; called in the worker's thread.

        Args:
            result: It.
            tracker: That found it.
            latency: Seconds since the frame's stamp.
        """
        header = result.frame.message.header
        live = [f for f in result.followed if f.target.status is not TrackStatus.LOST]
        detections = [detection_message(header, f.id, f.label, f.target) for f in live]
        self._detections.publish(Detection2DArray(header=header, detections=detections))
        if detections:
            self._detection.publish(detections[0])

        processing_time = time.monotonic() - result.taken_up
        self.timings.add(latency, processing_time)
        self._status.publish(
            TrackStatusArray(
                header=header,
                tracker=tracker.name,
                preset=tracker.preset,
                targets=[
                    status_message(f.id, f.label, f.target, f.motion.velocity)
                    for f in result.followed
                ],
                latency=latency,
                processing_time=processing_time,
                dropped_frames=result.counts.dropped,
                frames=result.counts.processed,
            )
        )
        if self._annotations is not None and self._annotations.get_subscription_count() > 0:
            self._annotations.publish(annotations_message(header, result.followed))
        self._publish_annotated(result)
        self._note_size(result)

    def _publish_annotated(self, result: Result) -> None:
        is_wanted = self._annotated.get_subscription_count() > 0
        is_wanted_compressed = self._annotated_compressed.get_subscription_count() > 0
        if not (is_wanted or is_wanted_compressed):
            return
        header = result.frame.message.header
        image = result.image.copy()
        for followed in result.followed:
            draw_track(image, followed.target, followed.id)
        if is_wanted:
            self._annotated.publish(fill_image(Image(header=header), image))
        if is_wanted_compressed:
            message = fill_compressed(CompressedImage(header=header), image)
            self._annotated_compressed.publish(message)

    def _note_size(self, result: Result) -> None:
        old, size = self._image_size, (result.image.shape[1], result.image.shape[0])
        self._image_size = size
        if size != old and any(old) and result.followed:
            self._node.get_logger().warning(
                f'the images are no longer {old[0]} x {old[1]} but {size[0]} x {size[1]} pixels: '
                'targets are LOST until they are found again; init_target starts them anew',
                throttle_duration_sec=2.0,
            )

    def _create(self, kind: type, topic: str, depth: int = 10) -> Publisher:
        publisher, problem = publisher_with_overrides(self._node, kind, topic, depth)
        self.problem = self.problem or problem
        return publisher

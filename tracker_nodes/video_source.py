# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Plays a video file, a folder of images, a camera, a stream or a rendered scene as the topics
`image` and `image/compressed`.

Nothing here needs torch, so that the camera's process starts fast and stays small.
"""

from __future__ import annotations

from dataclasses import dataclass
import time
from typing import Any

import numpy as np
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data, QoSProfile
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from std_srvs.srv import Trigger
from vision_msgs.msg import Detection2DArray

from tracker_core import TrackerError
from tracker_core.media.encodings import fill_compressed, fill_image, OUTPUT_ENCODINGS
from tracker_core.media.sources import open_frames
from tracker_core.parameters import parameter
from tracker_nodes.conversions import nanoseconds
from tracker_nodes.declaring import declare_config
from tracker_nodes.feed import Feed
from tracker_nodes.process import run
from tracker_nodes.stopping import execute

REPEAT = 2.0  # seconds after which the first frame is shown again if nobody answered it
PATIENCE = 30.0  # seconds to wait in lockstep for the answer to a frame
FAREWELL = 1.0  # seconds between the last frame and the end, for it to be delivered


@dataclass(frozen=True)
class SourceConfig:
    """The parameters of `video_source`."""

    video: str = parameter(
        'scene',
        "A video file, a folder of images, a camera's number, a stream (rtsp://, http://, a "
        "GStreamer pipeline ending in appsink), or 'scene[:NAME]' (rendered).",
    )
    rate: float = parameter(
        0.0, "Frames per second; 0 for the video's own.", minimum=0, maximum=1000
    )
    frames: int = parameter(0, 'End after so many frames; 0 for all.', minimum=0)
    loop: bool = parameter(False, 'Start over at the end.')
    reconnect: float = parameter(
        2.0,
        'Seconds after which a camera or a stream that has ended or stalled is opened again, and '
        'again until it is back; 0 to end instead.',
        minimum=0,
        maximum=3600,
    )
    frame_id: str = parameter('camera', 'frame_id of the images.')
    encoding: str = parameter('bgr8', 'Encoding of the images.', choices=OUTPUT_ENCODINGS)
    wait_for_subscriber: bool = parameter(False, 'Begin when somebody listens.')
    start_paused: bool = parameter(
        False, 'Show the first frame and hold it; the service ~/play goes on with the second.'
    )
    lockstep: bool = parameter(
        False, 'Publish reliably, and each frame only when the detections of the last have come.'
    )


class VideoSource(Node):
    """Publishes `image` (and `image/compressed` while somebody listens), and for each on `~/frame`
    its stamp, with its number as frame_id.

    Raises:
        TrackerError: There is no such video, or a parameter does not fit.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__('video_source', **options)
        self._config = config = declare_config(self, SourceConfig)
        self._video = open_frames(config.video)
        if config.loop and not (self._video.is_repeatable or self._video.is_live):
            self._video.close()
            raise TrackerError(f'{self._video.name} is a pipe: it cannot start over, as loop asks')
        self._frames = iter(self._video)
        self._frame = next(self._frames, None)  # None after the last
        if self._frame is None:
            raise TrackerError(f'{self._video.name} holds no frames')
        self._number = 0
        self._unreadable = 0  # files that have been named in the log
        self._is_held = config.start_paused
        self._is_heard = not config.lockstep  # detections have come at least once
        self._is_answered = True
        self._sent_stamp = 0
        self._sent_at = -1e9  # time.monotonic()

        qos = QoSProfile(depth=10) if config.lockstep else qos_profile_sensor_data
        self._images = self.create_publisher(Image, 'image', qos)
        self._compressed = self.create_publisher(
            CompressedImage, f'{self.resolve_topic_name("image")}/compressed', qos
        )
        self._numbers = self.create_publisher(Header, '~/frame', 1000)
        if config.lockstep or config.start_paused:
            self.create_subscription(Detection2DArray, 'detections', self._on_detections, 10)
        self.create_service(Trigger, '~/play', self._on_play)
        rate = config.rate or self._video.fps
        self.create_timer(1 / rate, self._on_timer, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._feed: Feed | None = None
        if not self._video.is_repeatable:
            # A camera sets the pace itself, unless there is a rate to keep.
            paces = self._video.is_live and not config.rate
            wake = self.create_guard_condition(self._on_timer).trigger if paces else lambda: None
            self._feed = Feed(
                config.video,
                self._video,
                self._frames,
                wake,
                self.get_logger(),
                config.loop,
                config.reconnect,
            )
        self.get_logger().info(f'{self._video.name}: {rate:g} frames per second')

    @property
    def is_over(self) -> bool:
        """Whether the last frame has been published and has had time to arrive."""
        return self._frame is None and time.monotonic() - self._sent_at > FAREWELL

    def close(self) -> None:
        """Let go of the video."""
        (self._feed or self._video).close()

    def _on_timer(self) -> None:
        silence = time.monotonic() - self._sent_at
        publishers = self._images, self._compressed
        is_watched = any(each.get_subscription_count() > 0 for each in publishers)
        needs_watcher = self._config.wait_for_subscriber or self._config.lockstep or self._is_held
        if self._frame is None or (needs_watcher and not is_watched):
            return
        if not self._sent_stamp and self._feed and self._video.is_live:
            newest = self._feed.take()
            self._frame = self._frame if newest is None else newest
        if self._is_held or not self._is_heard:
            # Nodes do not find each other in an instant: the first frame or its answer may be
            # lost.
            if silence > REPEAT and not (self._is_answered and self._sent_stamp):
                self._send(self._frame)
        elif not self._config.lockstep or self._is_answered or silence > PATIENCE:
            if self._config.lockstep and not self._is_answered:
                self.get_logger().warning(f'no detections for frame {self._number}; going on')
            is_new = self._read_next() if self._sent_stamp else True
            if is_new and self._frame is not None:
                self._send(self._frame)

    def _on_detections(self, message: Detection2DArray) -> None:
        if nanoseconds(message.header.stamp) == self._sent_stamp and not self._is_answered:
            self._is_answered = self._is_heard = True
            if self._config.lockstep:
                self._on_timer()

    def _on_play(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """Go on with the frame after the one that is held."""
        response.success = self._is_held
        response.message = 'playing' if self._is_held else 'was playing already'
        self._is_held = False
        return response

    def _send(self, frame: np.ndarray) -> None:
        header = Header(stamp=self.get_clock().now().to_msg(), frame_id=self._config.frame_id)
        message = fill_image(Image(header=header), frame, self._config.encoding)
        self._numbers.publish(Header(stamp=header.stamp, frame_id=str(self._number)))
        self._sent_stamp = nanoseconds(header.stamp)
        self._sent_at = time.monotonic()
        self._is_answered = False
        self._images.publish(message)
        if self._compressed.get_subscription_count() > 0:
            self._compressed.publish(fill_compressed(CompressedImage(header=header), frame))

    def _read_next(self) -> bool:
        """Take the next frame; returns whether there is one, or the end has come."""
        is_end = self._config.frames and (self._number + 1) % self._config.frames == 0
        if self._feed and self._config.loop:
            is_end = False  # it goes on, rather than start over
        frame = None if is_end else self._next_frame()
        if frame is None and not is_end and self._feed and not self._feed.is_over:
            return False
        if frame is None and self._config.loop and self._feed is None:
            self._frames = iter(self._video)
            frame = self._next_frame()
        self._number += 1
        self._frame = frame
        for path in self._video.unreadable[self._unreadable :]:
            self.get_logger().error(f'{path} could not be read; going on with the next frame')
        self._unreadable = len(self._video.unreadable)
        if self._frame is None:
            bad = f', {self._unreadable} more could not be read' if self._unreadable else ''
            self.get_logger().info(f'the end after {self._number} frames{bad}')
        return True

    def _next_frame(self) -> np.ndarray | None:
        return self._feed.take() if self._feed else next(self._frames, None)


def main(arguments: list[str] | None = None) -> int:
    """Play until the end, or until interrupted."""
    return run(VideoSource, arguments)


if __name__ == '__main__':
    execute(main)

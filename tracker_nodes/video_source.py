# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Plays a video file, a folder of images, a camera, a stream or a rendered scene as the topics
`image` and `image/compressed`.

Nothing here needs torch, so that the camera's process starts fast and stays small.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
import contextlib
from dataclasses import dataclass
import queue
import threading
import time
from typing import Any

import numpy as np
from rclpy.clock import Clock, ClockType
from rclpy.impl.rcutils_logger import RcutilsLogger
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data, QoSProfile
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from std_srvs.srv import Trigger
from vision_msgs.msg import Detection2DArray

from tracker_core import TrackerError
from tracker_core.media.sources import FrameSource, open_frames
from tracker_core.parameters import parameter
from tracker_nodes.conversions import nanoseconds
from tracker_nodes.declaring import declare_config
from tracker_nodes.encodings import fill_compressed, fill_image, OUTPUT_ENCODINGS
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


class Feed:
    """Frames of what cannot be read twice, read in a thread.

    A camera or a stream never waits: its newest frame is kept, and when it ends it is opened again
    (see `SourceConfig.reconnect`). The frames of a pipe are all kept. The node meanwhile answers
    services and signals.

    Args:
        config: What to play.
        source: It, opened.
        frames: Its frames from now on.
        on_frame: Called in the thread when there is a new frame, and at the end.
        logger: For losses and returns.
    """

    def __init__(
        self,
        config: SourceConfig,
        source: FrameSource,
        frames: Iterator[np.ndarray],
        on_frame: Callable[[], None],
        logger: RcutilsLogger,
    ) -> None:
        self._config, self._source, self._frames = config, source, frames
        self._on_frame, self._logger = on_frame, logger
        self._queue: queue.Queue[np.ndarray] = queue.Queue(1)
        self._has_ended = False
        self._is_closed = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def take(self) -> np.ndarray | None:
        """The next frame, if there is one."""
        with contextlib.suppress(queue.Empty):
            return self._queue.get_nowait()
        return None

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come."""
        return self._has_ended and self._queue.empty()

    def close(self) -> None:
        """Let go of the source."""
        self._is_closed.set()
        self._source.close()
        self._thread.join(2.0)

    def _run(self) -> None:
        while self._play() and self._open_again():
            pass
        self._source.close()
        self._has_ended = True
        if not self._is_closed.is_set():
            self._on_frame()

    def _play(self) -> bool:
        """Read to the end; returns whether it is to be opened again."""
        source = self._source
        for frame in self._frames:
            self._put(frame)
            if self._is_closed.is_set():
                return False
            self._on_frame()
        if not source.is_live or self._is_closed.is_set():
            return False
        missing = (source.length or 0) - source.number - 1
        if source.length is not None and missing < source.fps:  # a recording, played to its end
            return self._config.loop
        pause = self._config.reconnect
        says = f'opening it again every {pause:g} s' if pause else 'this is the end'
        self._logger.warning(f'{source.name} has ended or stalled; {says}')
        return pause > 0

    def _put(self, frame: np.ndarray) -> None:
        while not self._is_closed.is_set():
            if self._source.is_live:
                self.take()
            with contextlib.suppress(queue.Full):
                self._queue.put(frame, timeout=0.2)
                break

    def _open_again(self) -> bool:
        self._source.close()
        begin = time.monotonic()
        while not self._is_closed.wait(self._config.reconnect):
            with contextlib.suppress(TrackerError):
                self._source = open_frames(self._config.video)
                self._frames = iter(self._source)
                seconds = time.monotonic() - begin
                self._logger.info(f'{self._source.name} is back after {seconds:.1f} s')
                return True
        return False


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
            self._feed = Feed(config, self._video, self._frames, wake, self.get_logger())
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
                self._send()
        elif not self._config.lockstep or self._is_answered or silence > PATIENCE:
            if self._config.lockstep and not self._is_answered:
                self.get_logger().warning(f'no detections for frame {self._number}; going on')
            is_new = self._read_next() if self._sent_stamp else True
            if is_new and self._frame is not None:
                self._send()

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

    def _send(self) -> None:
        header = Header(stamp=self.get_clock().now().to_msg(), frame_id=self._config.frame_id)
        message = fill_image(Image(header=header), self._frame, self._config.encoding)
        self._numbers.publish(Header(stamp=header.stamp, frame_id=str(self._number)))
        self._sent_stamp = nanoseconds(header.stamp)
        self._sent_at = time.monotonic()
        self._is_answered = False
        self._images.publish(message)
        if self._compressed.get_subscription_count() > 0:
            self._compressed.publish(fill_compressed(CompressedImage(header=header), self._frame))

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

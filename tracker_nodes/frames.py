# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""A frame as it arrived, and the memory of the last ones; nothing here imports ROS."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sized
from dataclasses import dataclass, field
import itertools
import time
from typing import Protocol, TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from std_msgs.msg import Header

MESSAGE_BYTES = 4096  # of a message without its data, generously


class FrameMessage(Protocol):
    """What is used of a `sensor_msgs/Image` or `CompressedImage`, beside the picture itself."""

    header: Header
    data: Sized  # bytes


@dataclass(frozen=True, eq=False)
class Frame:
    """A frame as it arrived; it is decoded only if somebody looks at it.

    Attributes:
        stamp: Nanoseconds.
        message: It.
        decode: Gives the picture, as `rgb` does.
        arrived: `time.monotonic()` then.
    """

    stamp: int
    message: FrameMessage
    decode: Callable[[], np.ndarray]
    arrived: float = field(default_factory=time.monotonic)

    def rgb(self) -> np.ndarray:
        """(H, W, 3) uint8 RGB.

        Raises:
            ImageError: The message holds no image that can be used.
        """
        return self.decode()


class FrameHistory:
    """The last frames, bounded in time and in memory; so a box can be given for a frame that was
    seen before.

    Args:
        seconds: Frames older than this, by their stamps, are forgotten.
        megabytes: So much image data is held at most; the newest frame always stays.
    """

    def __init__(self, seconds: float = 2.0, megabytes: float = 128.0) -> None:
        self._nanoseconds = seconds * 1e9
        self._bytes_allowed = megabytes * 1e6
        self._bytes = 0
        self._frames: deque[Frame] = deque()

    def __iter__(self) -> Iterator[Frame]:
        return iter(self._frames)

    def append(self, frame: Frame) -> None:
        """Add the newest frame. A stamp that lies before the last one starts a new history."""
        if self._frames and frame.stamp < self._frames[-1].stamp:
            self.clear()
        self._frames.append(frame)
        self._bytes += _size(frame)
        while len(self._frames) > 1 and (
            self._bytes > self._bytes_allowed
            or frame.stamp - self._frames[0].stamp > self._nanoseconds
        ):
            self._bytes -= _size(self._frames.popleft())

    def since(self, stamp: int) -> list[Frame]:
        """The frame of exactly this stamp and all that came after it; empty if there is none."""
        return list(itertools.dropwhile(lambda frame: frame.stamp != stamp, self._frames))

    def clear(self) -> None:
        self._frames.clear()
        self._bytes = 0


def _size(frame: Frame) -> int:
    """Bytes that a kept frame takes; the message around the data counts too, so that frames
    without data, all of one stamp, do not pile up."""
    return len(frame.message.data) + MESSAGE_BYTES

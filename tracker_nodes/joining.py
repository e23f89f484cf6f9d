# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Which depth image belongs to a frame, by their stamps; nothing here imports ROS."""

from __future__ import annotations

from collections import deque

from tracker_nodes.frames import Frame, FrameHistory

ALIVE = 1.0  # seconds without a depth image after which none is waited for
TOLD_AFTER = 15  # frames in a row without a depth image, while depth images come
REMEMBERED = 30  # frames that went on without depth


class DepthJoin:
    """The last depth images, and what became of the frames that looked for one."""

    def __init__(self) -> None:
        self._images = FrameHistory(seconds=2.0, megabytes=64.0)
        self._newest: Frame | None = None
        self._without: deque[int] = deque(maxlen=REMEMBERED)  # stamps
        self._in_a_row = 0
        self._late = 0  # images that came after their frames had gone on

    def put(self, image: Frame, slop: float) -> None:
        """Note a depth image; `slop` in seconds."""
        self._images.append(image)
        self._newest = image
        if any(abs(stamp - image.stamp) <= slop * 1e9 for stamp in self._without):
            self._late += 1

    def match(self, stamp: int, slop: float) -> Frame | None:
        """The image that is nearest to a stamp, if it is near enough.

        Args:
            stamp: Nanoseconds.
            slop: Seconds.
        """
        nearest = min(self._images, key=lambda image: abs(image.stamp - stamp), default=None)
        if nearest is None or abs(nearest.stamp - stamp) > slop * 1e9:
            return None
        return nearest

    def is_coming(self, stamp: int, now: float) -> bool:
        """Whether the image of a stamp, which is not here, may still come.

        Args:
            stamp: Nanoseconds.
            now: `time.monotonic()`.
        """
        newest = self._newest
        return newest is not None and now - newest.arrived < ALIVE and newest.stamp < stamp

    def note(self, stamp: int, image: Frame | None, now: float) -> str:
        """Note how a frame went on.

        Args:
            stamp: Of the frame, nanoseconds.
            image: Its depth image; None where it had to do without.
            now: `time.monotonic()`.

        Returns:
            What is wrong, in a sentence; empty if nothing is, or it cannot be told yet.
        """
        newest = self._newest
        if image is not None or newest is None or now - newest.arrived > ALIVE:
            self._in_a_row = 0
            self._late = 0
            return ''
        self._without.append(stamp)
        self._in_a_row += 1
        if self._in_a_row < TOLD_AFTER:
            return ''
        nearest = min(self._images, key=lambda image: abs(image.stamp - stamp))
        off = (nearest.stamp - stamp) / 1e9
        if self._late > TOLD_AFTER / 2:
            return (
                'the depth images come too late for their frames: raise patience, or see what '
                'holds them up'
            )
        return (
            f'no depth image has the stamp of its frame: the nearest differs by {off:+.3f} s. '
            'Let the camera synchronise them, or raise depth_slop if they are of one moment'
        )

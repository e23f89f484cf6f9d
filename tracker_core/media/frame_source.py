# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""A video, wherever its frames come from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType

import numpy as np

from tracker_core.boxes import Box
from tracker_core.media.moments import Header, Part, SECOND, Shot

DEFAULT_FPS = 30.0


class FrameSource:
    """Frames of a video, (H, W, 3) uint8 RGB; made by `open_frames`. There is at least one.

    Every `iter()` starts with the first frame again. A camera or a stream goes on instead, and at
    its end there is nothing more to iterate over; a pipe can be read only once.

    Nothing is decoded ahead, nor what `part` leaves out.

    Attributes:
        name: What was opened, without passwords.
        fps: Frames per second at which it was taken.
        size: Width and height of the first frame in pixels.
        length: Number of frames, with those that `part` leaves out; None where it is not known.
        boxes: Exact boxes of the object, one per frame, those that `part` leaves out as well, of a
            rendered scene; None elsewhere.
        is_live: Whether it is a camera or a stream, which may end or stall and come back.
        is_repeatable: Whether it can be read again.
        part: Which frames are given; may be set before `iter()`.
        number: Of the frame that was given last, from 0; a frame that cannot be read counts, and
            so do those that `part` leaves out.
        header: Of that frame; None where frames have none.
        unreadable: Files of a folder, and images of a recording in words, that could not be
            decoded when their turn came; they are left out.
    """

    def __init__(
        self,
        name: str,
        fps: float,
        size: tuple[int, int],
        length: int | None,
        read: Callable[[], Iterator[Shot]],
        boxes: list[Box] | None = None,
        close: Callable[[], None] = lambda: None,
        is_live: bool = False,
        is_repeatable: bool = True,
    ) -> None:
        self.name, self.fps, self.size, self.length, self.boxes = name, fps, size, length, boxes
        self.is_live, self.is_repeatable = is_live, is_repeatable
        self.part = Part()
        self.number = 0
        self.header: Header | None = None
        self.unreadable: list[Path | str] = []
        self._read, self._close = read, close

    def __iter__(self) -> Iterator[np.ndarray]:
        return self._given(self._read())

    @property
    def stamp(self) -> int | None:
        """When the frame given last was taken, nanoseconds; None where that is not known."""
        return None if self.header is None else self.header.stamp

    def _given(self, shots: Iterator[Shot]) -> Iterator[np.ndarray]:
        first: Header | None = None
        begin = end = 0.0
        passed = 0  # since the first that is wanted
        for number, shot in enumerate(shots):
            if number == 0:
                first = shot.header
                begin, end = self.part.limits(self.fps, first)
            if first is None or shot.header is None:
                time = number * SECOND / self.fps
            else:
                time = shot.header.stamp - first.stamp
            if time > end:
                return
            if time < begin:
                continue
            passed += 1
            if (passed - 1) % self.part.every:
                continue
            frame = shot.decode()
            if frame is not None:
                self.number, self.header = number, shot.header
                yield frame

    def between(self, first: int, last: int | None = None) -> Iterator[tuple[int, np.ndarray]]:
        """Frames and their numbers, from `first` to `last`, both included, whatever `part` says;
        no others are decoded."""
        for number, shot in enumerate(self._read()):
            if last is not None and number > last:
                return
            frame = shot.decode() if number >= first else None
            if frame is not None:
                self.number, self.header = number, shot.header
                yield number, frame

    def close(self) -> None:
        """Let go of the file, camera or stream."""
        self._close()

    def __enter__(self) -> FrameSource:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

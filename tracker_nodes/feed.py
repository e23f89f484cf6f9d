# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Frames of a camera, a stream or a pipe, read in a thread; nothing here imports ROS."""

from __future__ import annotations

from collections.abc import Callable, Iterator
import contextlib
import queue
import threading
import time
from typing import Protocol

import numpy as np

from tracker_core import TrackerError
from tracker_core.media.frame_source import FrameSource
from tracker_core.media.sources import open_frames


class Log(Protocol):
    """What is used of a logger."""

    def info(self, message: str) -> object: ...

    def warning(self, message: str) -> object: ...


class Feed:
    """Frames of what cannot be read twice, read in a thread.

    A camera or a stream never waits: its newest frame is kept, and when it ends it is opened again
    (see `reconnect`). The frames of a pipe are all kept. The node meanwhile answers services and
    signals.

    Args:
        video: What to play, see `open_frames`.
        source: It, opened.
        frames: Its frames from now on.
        on_frame: Called in the thread when there is a new frame, and at the end.
        log: For losses and returns.
        loop: Open a recording again that has come to its end.
        reconnect: Seconds after which a source that has ended or stalled is opened again, and
            again until it is back; 0 to end instead.
    """

    def __init__(
        self,
        video: str,
        source: FrameSource,
        frames: Iterator[np.ndarray],
        on_frame: Callable[[], None],
        log: Log,
        loop: bool = False,
        reconnect: float = 2.0,
    ) -> None:
        self._video, self._source, self._frames = video, source, frames
        self._on_frame, self._log = on_frame, log
        self._loop, self._reconnect = loop, reconnect
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
            return self._loop
        pause = self._reconnect
        says = f'opening it again every {pause:g} s' if pause else 'this is the end'
        self._log.warning(f'{source.name} has ended or stalled; {says}')
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
        while not self._is_closed.wait(self._reconnect):
            with contextlib.suppress(TrackerError):
                self._source = open_frames(self._video)
                self._frames = iter(self._source)
                seconds = time.monotonic() - begin
                self._log.info(f'{self._source.name} is back after {seconds:.1f} s')
                return True
        return False

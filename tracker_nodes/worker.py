# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The thread that owns the tracker; nothing here imports ROS.

The node's callbacks only hand over frames and requests. The worker always takes the newest frame,
tracks all targets in it, has the result published, and only then lets the targets learn. Requests
are served between two frames.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
import itertools
import threading
import time
from typing import Generic, TypeVar

import numpy as np

from tracker_core import Box, BoxError, ImageError, Target, Tracker
from tracker_core.motion import Motion
from tracker_core.parameters import TrackerConfig
from tracker_nodes.frames import Frame, FrameHistory

LONGEST_NAME = 64  # characters of an id or a label
QUOTED = 24  # of these, where a message quotes a longer one
# Past frames searched for each new one at least, so that a late target does catch up
CATCH_UP_PER_FRAME = 2

Answer = TypeVar('Answer')


@dataclass
class Followed:
    """A target with its names. `behind` holds past frames that are still to be searched, oldest
    first; `size` is width and height of the last image that it was searched in."""

    id: str
    label: str
    target: Target
    started_on: Frame
    behind: deque[Frame]
    size: tuple[int, int]
    motion: Motion


@dataclass(frozen=True)
class Counts:
    """Frames since the start of counting."""

    processed: int = 0
    replaced: int = 0  # by a newer one before they were taken up
    stale: int = 0  # too old when they were taken up

    @property
    def dropped(self) -> int:
        return self.replaced + self.stale


@dataclass(frozen=True)
class Result:
    """What one frame brought: every target that is up to date, in the order in which they were
    started."""

    frame: Frame
    image: np.ndarray  # (H, W, 3) uint8 RGB
    followed: list[Followed]
    taken_up: float  # time.monotonic() when the work on the frame began
    counts: Counts  # this frame included


class RefusedError(Exception):
    """A request that cannot be met; `code` is the name of an error code of InitTarget."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def quoted(name: str) -> str:
    """An id or a label as messages show it."""
    if len(name) <= LONGEST_NAME:
        return repr(name)
    return f'{name[:QUOTED] + "..."!r} ({len(name)} characters)'


@dataclass(frozen=True)
class _Request(Generic[Answer]):
    """What another thread asks for, and the future in which it finds the answer."""

    future: Future[Answer]
    function: Callable[[], Answer]

    def answer(self) -> None:
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            self.future.set_result(self.function())
        except Exception as error:
            self.future.set_exception(error)


class TrackingWorker:
    """Runs a tracker on the newest frame in a thread of its own.

    Args:
        load: Makes the tracker; called in the worker's thread.
        publish: Called in that thread with the result of each frame, before the targets learn from
            it.
        report: Called in that thread with a sentence for the log when a frame could not be used.
        is_stale: Called in that thread: whether a frame is too old to be worth the work.
        max_targets: So many targets are followed at most; may be changed at any time.
        history: Holds the recent frames.
    """

    def __init__(
        self,
        load: Callable[[], Tracker],
        publish: Callable[[Result], None],
        report: Callable[[str], None],
        is_stale: Callable[[Frame], bool] = lambda frame: False,
        max_targets: int = 8,
        history: FrameHistory | None = None,
    ) -> None:
        self.max_targets = max_targets
        self.tracker: Tracker  # once `loaded` is done
        self._publish = publish
        self._report = report
        self._is_stale = is_stale
        self._history = FrameHistory() if history is None else history
        self._followed: dict[str, Followed] = {}
        self._names = itertools.count(1)
        self._changed = threading.Condition()  # guards what follows, and the history
        self._waiting: Frame | None = None
        self._requests: deque[_Request] = deque()
        self._stopping = False
        self._counts = Counts()
        self._owed = 0  # past frames to be searched before the next new one is taken
        self.loaded: Future[Tracker] = self._submit(lambda: self._load(load))
        self._thread = threading.Thread(target=self._run, name='tracker', daemon=True)
        self._thread.start()

    # Called from other threads

    def put(self, frame: Frame) -> None:
        """Hand over a frame; one that still waits is dropped for it."""
        with self._changed:
            self._history.append(frame)
            if self._waiting is not None:
                self._count(replaced=1)
            self._waiting = frame
            self._changed.notify()

    def forget_frames(self) -> None:
        """Drop the waiting frame and the history."""
        with self._changed:
            self._history.clear()
            self._waiting = None

    @property
    def target_count(self) -> int:
        return len(self._followed)

    @property
    def counts(self) -> Counts:
        return self._counts

    def reset_counts(self) -> None:
        """Count frames from zero again."""
        with self._changed:
            self._counts = Counts()

    def start_target(self, id: str, label: str, box: Box, stamp: int) -> Future[str]:  # noqa: A002
        """Ask for a target to be followed.

        Args:
            id: Its name; empty for a new one. A target of this name starts again.
            label: What it is; empty for 'target'.
            box: Where it is in that frame.
            stamp: Of the frame that the box was drawn on, nanoseconds; 0 for the newest.

        Returns:
            The name of the target, or RefusedError.
        """
        return self._submit(lambda: self._start(id, label, box, stamp))

    def remove_target(self, id: str) -> Future[list[str]]:  # noqa: A002
        """Ask for a target to be dropped, or all if `id` is empty; the answer names the dropped
        ones."""
        return self._submit(lambda: self._remove(id))

    def suggest(self, places: Sequence[tuple[str, Box]]) -> None:
        """Say where lost targets may be, see `Tracker.suggest`; a place with a label is one for
        targets of this label."""

        def tell() -> None:
            for followed in self._followed.values():
                boxes = [box for label, box in places if label in ('', followed.label)]
                self.tracker.suggest(followed.target, boxes)

        self._submit(tell)

    def reconfigure(self, config: TrackerConfig) -> Future[None]:
        """Give the tracker a new config from the next frame on; the answer is a ParameterError
        where it refuses it, see `Tracker.configure`."""
        return self._submit(lambda: self.tracker.configure(config))

    def close(self, timeout: float = 10.0) -> bool:
        """Stop after the step in progress; waiting requests are cancelled. False if the thread did
        not end in time."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _count(self, processed: int = 0, replaced: int = 0, stale: int = 0) -> Counts:
        with self._changed:
            old = self._counts
            self._counts = Counts(
                old.processed + processed, old.replaced + replaced, old.stale + stale
            )
            return self._counts

    def _submit(self, function: Callable[[], Answer]) -> Future[Answer]:
        future: Future[Answer] = Future()
        with self._changed:
            if self._stopping:
                future.cancel()
            else:
                self._requests.append(_Request(future, function))
                self._changed.notify()
        return future

    # In the worker's thread

    def _run(self) -> None:
        while True:
            request = frame = None
            with self._changed:
                late = self._late()
                while not (self._stopping or self._requests or self._waiting or late):
                    self._changed.wait()
                if self._stopping:
                    for waiting in self._requests:
                        waiting.future.cancel()
                    break
                if self._requests:
                    request = self._requests.popleft()
                elif self._waiting is not None and not (late and self._owed > 0):
                    frame, self._waiting = self._waiting, None
            if request is not None:
                request.answer()
            elif frame is not None and self._is_stale(frame):
                self._count(stale=1)
            elif frame is not None:
                self._step(frame)
            elif late is not None:
                self._catch_up(late)

    def _load(self, load: Callable[[], Tracker]) -> Tracker:
        tracker = load()
        warm_up(tracker)
        self.tracker = tracker
        return tracker

    def _step(self, frame: Frame) -> None:
        taken_up = time.monotonic()
        live = [f for f in self._followed.values() if not f.behind and f.started_on is not frame]
        try:
            image = frame.rgb()
            self._lose_resized(live, image)
            self.tracker.track_many(image, [f.target for f in live], learn=False)
        except ImageError as error:
            self._report(f'frame skipped: {error}')
            return
        except Exception as error:  # the tracker's trouble with one frame must not end the node
            self._report(
                f'{self.tracker.name} failed on a frame of {image.shape[1]} x {image.shape[0]}: '
                f'{type(error).__name__}: {error}'
            )
            return
        for followed in live:
            followed.motion.add(followed.target.box, followed.target.status, frame.stamp)
        up_to_date = [f for f in self._followed.values() if not f.behind]
        late = [f for f in self._followed.values() if f.behind]
        for followed in late:
            followed.behind.append(frame)
        self._owed = CATCH_UP_PER_FRAME * len(late)
        result = Result(frame, image, up_to_date, taken_up, self._count(processed=1))
        try:
            self._publish(result)
        except Exception as error:  # such as a shutdown in the middle of it
            self._report(f'not published: {type(error).__name__}: {error}')
        for followed in live:
            self._learn(followed)

    def _learn(self, followed: Followed) -> None:
        try:
            self.tracker.learn(followed.target)
        except Exception as error:
            self._report(
                f'{self.tracker.name} failed to learn {followed.id!r}: '
                f'{type(error).__name__}: {error}'
            )

    def _late(self) -> Followed | None:
        return next((f for f in self._followed.values() if f.behind), None)

    def _catch_up(self, followed: Followed) -> None:
        self._owed -= 1
        frame = followed.behind.popleft()
        target = followed.target
        try:
            image = frame.rgb()
            self._lose_resized([followed], image)
            self.tracker.track(image, target)
            followed.motion.add(target.box, target.status, frame.stamp)
        except Exception as error:
            self._report(f'{followed.id!r} could not be searched in a past frame: {error}')

    def _lose_resized(self, followed: list[Followed], image: np.ndarray) -> None:
        """In an image of another size the pixels of the old boxes mean something else."""
        size = (image.shape[1], image.shape[0])
        for each in followed:
            if each.size != size:
                each.size = size
                self.tracker.lose(each.target)

    def _start(self, id: str, label: str, box: Box, stamp: int) -> str:  # noqa: A002
        for what, name in (('id', id), ('label', label)):
            if len(name) > LONGEST_NAME or not name.isprintable():
                raise RefusedError(
                    'BAD_ID',
                    f'the {what} {quoted(name)} must consist of at most {LONGEST_NAME} '
                    'printable characters',
                )
        if id not in self._followed and len(self._followed) >= self.max_targets:
            raise RefusedError(
                'TOO_MANY_TARGETS',
                f'already following {len(self._followed)} targets, which is max_targets; '
                'remove one or raise that parameter',
            )
        frame, behind = self._find_frame(stamp)
        try:
            image = frame.rgb()
            height, width = image.shape[:2]
            if not (0 <= box.cx <= width and 0 <= box.cy <= height):
                raise RefusedError(
                    'BOX_OUTSIDE_IMAGE',
                    f'the centre of the box, ({box.cx:g}, {box.cy:g}), lies outside the '
                    f'image of {width} x {height} pixels',
                )
            target = self.tracker.start(image, box)
        except ImageError as error:
            raise RefusedError('BAD_IMAGE', str(error)) from error
        except BoxError as error:
            raise RefusedError('BOX_OUTSIDE_IMAGE', str(error)) from error
        except RefusedError:
            raise
        except Exception as error:
            raise RefusedError(
                'TRACKER_FAILED', f'{self.tracker.name} could not start on the {box}: {error}'
            ) from error
        id = id or self._free_name()  # noqa: A001
        motion = Motion(box, frame.stamp)
        self._followed[id] = Followed(
            id, label or 'target', target, frame, behind, (width, height), motion
        )
        return id

    def _find_frame(self, stamp: int) -> tuple[Frame, deque[Frame]]:
        """The frame to start on, and those after it that no step will bring any more."""
        with self._changed:
            recent, waiting = list(self._history), self._waiting
            frames = self._history.since(stamp) if stamp else recent[-1:]
        if not recent:
            raise RefusedError(
                'NO_IMAGE', 'no image has arrived yet; is the camera running, and the topic right?'
            )
        if not frames:
            raise RefusedError(
                'STAMP_NOT_FOUND',
                f'no frame of stamp {stamp / 1e9:.9f}; the history reaches from '
                f'{recent[0].stamp / 1e9:.9f} to {recent[-1].stamp / 1e9:.9f}',
            )
        return frames[0], deque(frame for frame in frames[1:] if frame is not waiting)

    def _free_name(self) -> str:
        return next(
            name for name in (f'target_{n}' for n in self._names) if name not in self._followed
        )

    def _remove(self, id: str) -> list[str]:  # noqa: A002
        if not id:
            removed = list(self._followed)
            self._followed.clear()
            return removed
        return [id] if self._followed.pop(id, None) is not None else []


def warm_up(tracker: Tracker) -> None:
    """Run every part of the tracker once on noise, so that the first real target starts as fast as
    the second."""
    image = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    target = tracker.start(image, Box(280, 200, 80, 80))
    for _ in range(2):
        tracker.track(image, target)

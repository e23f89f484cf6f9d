# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The thread that owns the tracker, and its memory of frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
import threading
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tracker_core import Box, create_tracker, ParameterError, TrackStatus
from tracker_core.motion import Motion
from tracker_nodes.frames import Frame, FrameHistory
from tracker_nodes.worker import Counts, RefusedError, Result, TrackingWorker

SECOND = 1_000_000_000
RNG = np.random.default_rng(0)
IMAGE = RNG.integers(0, 256, (120, 160, 3), np.uint8)


def frame(stamp: int, size: int = 1) -> Frame:
    message = SimpleNamespace(data=bytes(size))
    return Frame(stamp, message, lambda: np.roll(IMAGE, stamp % 7, axis=1))


def stamps(history: FrameHistory) -> list[int]:
    return [kept.stamp for kept in history]


def test_history_is_bounded_in_time():
    history = FrameHistory(seconds=1.0, megabytes=1)
    for tenth in range(31):
        history.append(frame(tenth * SECOND // 10))
    assert stamps(history) == [tenth * SECOND // 10 for tenth in range(20, 31)]


def test_history_is_bounded_in_memory():
    history = FrameHistory(seconds=100.0, megabytes=1)
    for stamp in range(1, 100):
        history.append(frame(stamp, size=300_000))
    assert stamps(history) == [97, 98, 99]
    history.append(frame(100, size=5_000_000))
    assert stamps(history) == [100], 'the newest stays, whatever its size'
    for stamp in range(101, 104):
        history.append(frame(stamp, size=300_000))
    assert stamps(history) == [101, 102, 103]


def test_history_finds_a_frame_and_all_after_it():
    history = FrameHistory()
    for stamp in (3, 5, 8):
        history.append(frame(stamp))
    assert [kept.stamp for kept in history.since(5)] == [5, 8]
    assert history.since(4) == []


def test_history_keeps_all_images_of_a_stamp():
    history = FrameHistory()
    for stamp in (3, 5, 5, 8):
        history.append(frame(stamp))
    assert [kept.stamp for kept in history.since(5)] == [5, 5, 8]


def test_history_starts_anew_when_time_jumps_back():
    history = FrameHistory(megabytes=1)
    for stamp in (5, 6, 2, 3):
        history.append(frame(stamp, size=400_000))
    assert stamps(history) == [2, 3]


class Worker:
    """A worker whose results are kept, and which can be held in the middle of a frame."""

    def __init__(self, **options: Any) -> None:
        self.results: list[Result] = []
        self.reports: list[str] = []
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.worker = TrackingWorker(
            lambda: create_tracker('tadt', device='cpu', weights='random'),
            self._publish,
            self.reports.append,
            **options,
        )
        self.worker.loaded.result(60)

    def _publish(self, result: Result) -> None:
        self.results.append(result)
        self.may_go_on.wait(60)

    def show(self, shown: Frame) -> Result:
        known = len(self.results)
        self.worker.put(shown)
        self.wait_until(lambda: len(self.results) > known)
        return self.results[known]

    @staticmethod
    def wait_until(condition: Callable[[], Any]) -> None:
        end = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < end
            time.sleep(0.002)


@pytest.fixture
def make_worker() -> Iterator[Callable[..., Worker]]:
    made = []

    def make(**options: Any) -> Worker:
        made.append(Worker(**options))
        return made[-1]

    yield make
    for worker in made:
        worker.may_go_on.set()
        assert worker.worker.close()


def test_only_the_newest_frame_is_taken_and_drops_are_counted(make_worker):
    worker = make_worker()
    worker.may_go_on.clear()
    worker.show(frame(1))
    for stamp in (2, 3, 4, 5, 6):
        worker.worker.put(frame(stamp))
    worker.may_go_on.set()
    worker.wait_until(lambda: len(worker.results) == 2)
    newest = worker.results[1]
    assert (newest.frame.stamp, newest.counts.processed, newest.counts.dropped) == (6, 2, 4)


def test_frames_that_are_too_old_are_dropped_and_counted(make_worker):
    worker = make_worker(is_stale=lambda frame: frame.stamp < 10)
    worker.worker.put(frame(3))
    worker.wait_until(lambda: worker.worker.counts.stale == 1)
    counts = worker.show(frame(10)).counts
    assert (counts.processed, counts.replaced, counts.stale, counts.dropped) == (1, 0, 1, 1)
    worker.worker.reset_counts()
    assert worker.worker.counts == Counts()


def test_motion_is_in_pixels_per_second_of_the_stamps():
    motion = Motion(Box(10, 10, 20, 20), SECOND)
    assert motion.velocity is None
    motion.add(Box(20, 5, 20, 20), TrackStatus.TRACKING, SECOND + SECOND // 10)
    assert motion.velocity == pytest.approx((100, -50))
    motion.add(Box(60, 5, 20, 20), TrackStatus.UNCERTAIN, SECOND + 3 * SECOND // 10)
    assert motion.velocity == pytest.approx((150, -25))  # half of the old, half of the new
    for status, stamp in (
        (TrackStatus.LOST, 2 * SECOND),
        (TrackStatus.TRACKING, 5 * SECOND),  # a pause
        (TrackStatus.TRACKING, SECOND),  # time jumped back
        (TrackStatus.TRACKING, SECOND),  # stamps stand still
    ):
        motion.add(Box(70, 5, 20, 20), status, stamp)
        assert motion.velocity is None


def test_images_of_one_stamp_leave_the_velocity():
    motion = Motion(Box(10, 10, 20, 20), SECOND)
    motion.add(Box(12, 10, 20, 20), TrackStatus.TRACKING, SECOND)
    assert motion.velocity is None
    stamp = SECOND + SECOND // 10
    for x in (20, 20, 24):  # the same image again, and another one of this stamp
        motion.add(Box(x, 10, 20, 20), TrackStatus.TRACKING, stamp)
        assert motion.velocity == pytest.approx((100, 0))
    motion.add(Box(30, 10, 20, 20), TrackStatus.TRACKING, SECOND + SECOND // 5)
    assert motion.velocity == pytest.approx((100, 0))
    motion.add(Box(30, 10, 20, 20), TrackStatus.LOST, SECOND + SECOND // 5)
    assert motion.velocity is None


def test_late_targets_catch_up_while_frames_keep_coming(make_worker):
    worker = make_worker()
    for stamp in range(1, 9):
        worker.show(frame(stamp))
    for name in ('a', 'b', 'c'):
        worker.worker.start_target(name, '', Box(40, 30, 40, 30), 2).result(60)
    for stamp in range(9, 40):
        result = worker.show(frame(stamp))
        if len(result.followed) == 3:
            break
    ages = {followed.target.age for followed in result.followed}
    assert ages == {stamp - 2}, 'every frame since the second was searched, in order'
    assert worker.reports == []


def test_a_tracker_that_fails_is_reported_and_the_next_frame_is_taken(make_worker, monkeypatch):
    worker = make_worker()
    worker.show(frame(1))
    worker.worker.start_target('a', '', Box(40, 30, 40, 30), 0).result(60)
    tracker = worker.worker.tracker
    with monkeypatch.context() as patch:
        patch.setattr(tracker, 'track_many', lambda *_, **__: 1 / 0)
        worker.worker.put(frame(2))
        worker.wait_until(lambda: worker.reports)
    assert 'ZeroDivisionError' in worker.reports[0]
    assert [f.target.age for f in worker.show(frame(3)).followed] == [1]


def test_parameters_are_taken_over_or_refused(make_worker):
    worker = make_worker()
    config = worker.worker.tracker.config
    worker.worker.reconfigure(replace(config, lost_after=3)).result(60)
    assert worker.worker.tracker.config == replace(config, lost_after=3)
    with pytest.raises(ParameterError, match='search_side'):
        worker.worker.reconfigure(replace(config, search_side=200)).result(60)
    assert worker.worker.tracker.config == replace(config, lost_after=3)


def test_requests_that_wait_are_cancelled_at_the_end(make_worker):
    worker = make_worker()
    worker.may_go_on.clear()
    worker.show(frame(1))
    waiting = worker.worker.start_target('a', '', Box(40, 30, 40, 30), 0)
    closing = threading.Thread(target=worker.worker.close)
    closing.start()
    worker.wait_until(lambda: worker.worker._stopping)
    worker.may_go_on.set()
    closing.join(60)
    assert waiting.cancelled()
    assert worker.worker.start_target('b', '', Box(40, 30, 40, 30), 0).cancelled()


def test_what_cannot_be_loaded_is_told(make_worker):
    def load():
        raise RefusedError('NOT_READY', 'no such thing')

    worker = TrackingWorker(load, print, print)
    with pytest.raises(RefusedError, match='no such thing'):
        worker.loaded.result(60)
    assert worker.close()

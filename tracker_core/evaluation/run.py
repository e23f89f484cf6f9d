# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""One run: start on the first true box of a sequence, track to its end, note what was said."""

from __future__ import annotations

from collections.abc import Callable, Sequence
import dataclasses
from dataclasses import dataclass
import math
from pathlib import Path
import time
from typing import Any

import numpy as np

from tracker_core.data.longterm import LongSequence
from tracker_core.data.sequences import VideoSequence
from tracker_core.errors import ImageError
from tracker_core.evaluation.metrics import box_rows
from tracker_core.media.folders import read_image
from tracker_core.media.gray import GrayRange
from tracker_core.target import Track, TrackStatus


@dataclass(frozen=True)
class SequenceRun:
    """What a tracker did on a sequence of N frames.

    Attributes:
        boxes: (N, 4) x, y, w, h; the first row is the box it was given.
        scores: (N,), like `raw_scores`; 1 for the first frame.
        statuses: (N,) of `TrackStatus`.
        times: (N,) seconds: first that of `start`, then those of `track`, online updates
            included, images ready in memory.
        cpu_seconds: Processor time of all threads for all N - 1 calls of `track`.
        unreadable: Numbers of the images that could not be decoded. Their rows repeat the box
            before, with a score of 0 and no time.
    """

    boxes: np.ndarray
    scores: np.ndarray
    raw_scores: np.ndarray
    statuses: np.ndarray
    times: np.ndarray
    cpu_seconds: float
    unreadable: tuple[int, ...] = ()

    @property
    def start_seconds(self) -> float:
        return float(self.times[0])

    @property
    def track_seconds(self) -> float:
        return float(self.times[1:].sum())

    @property
    def fps(self) -> float:
        """Frames per second of the tracker alone; NaN for a single frame."""
        return (len(self.boxes) - 1) / self.track_seconds if self.track_seconds else math.nan

    @property
    def cpu_ms(self) -> float:
        """Processor time a frame, milliseconds; NaN for a single frame."""
        count = len(self.boxes) - 1
        return 1e3 * self.cpu_seconds / count if count else math.nan


class ImageFiles(Sequence[np.ndarray]):
    """The images of a sequence, decoded one by one; those of 16 bits have a range together.

    Args:
        paths: Their files.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths, self._gray = paths, GrayRange()

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> np.ndarray:  # type: ignore[override]  # no slices
        return read_image(self._paths[index], self._gray)


def run_sequence(
    tracker: Any,
    sequence: VideoSequence | LongSequence,
    on_frame: Callable[[], Any] = lambda: None,
) -> SequenceRun:
    """Track a sequence from its first true box.

    Args:
        tracker: A `Tracker`, or anything with its `start` and `track`.
        sequence: Frames and boxes; of the boxes only the first is shown to the tracker.
        on_frame: Called after every frame.

    Raises:
        ImageError: The first frame cannot be read.
    """
    if isinstance(sequence, LongSequence):
        images = sequence.images
    else:
        images = ImageFiles(sequence.frames)
    image = images[0]
    begin = time.perf_counter()
    target = tracker.start(image, sequence.first_box)
    times = [time.perf_counter() - begin]
    tracks = [Track(sequence.first_box, 1.0, TrackStatus.TRACKING, 1.0)]
    on_frame()
    cpu_seconds = 0.0
    unreadable = []
    for number in range(1, len(sequence)):
        try:
            image = images[number]
        except ImageError:
            unreadable.append(number)
            before = tracks[-1]
            tracks.append(Track(before.box, 0.0, TrackStatus.UNCERTAIN, before.raw_score))
            times.append(0.0)
            on_frame()
            continue
        begin, cpu_begin = time.perf_counter(), time.process_time()
        tracks.append(tracker.track(image, target))
        times.append(time.perf_counter() - begin)
        cpu_seconds += time.process_time() - cpu_begin
        on_frame()
    return SequenceRun(
        box_rows([track.box for track in tracks]),
        np.array([track.score for track in tracks]),
        np.array([track.raw_score for track in tracks]),
        np.array([track.status for track in tracks]),
        np.array(times),
        cpu_seconds,
        tuple(unreadable),
    )


def describe_tracker(tracker: Any) -> dict[str, Any]:
    """Name, preset, device, weights and parameters of a tracker, as far as it has them."""
    description = {'name': tracker.name, 'preset': tracker.preset}
    shown = {'device': 'device', 'precision': 'number_format', 'runtime': 'runtime'}
    for key, attribute in shown.items():
        if hasattr(tracker, attribute):
            description[key] = str(getattr(tracker, attribute))
    if hasattr(tracker, 'weights'):
        description['weights'] = tracker.weights.source
        description['weights_checksum'] = tracker.weights.checksum
    if hasattr(tracker, 'config'):
        description['parameters'] = dataclasses.asdict(tracker.config)
    return description

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Long-term evaluation: is an absent target said to be absent, and found when it is back?

Precision, recall and their F-score follow the long-term challenge of VOT (Lukežič et al., Now you
see me: evaluating performance in long-term visual tracking, 2018): a frame counts as answered
where the score reaches a threshold, and each tracker is judged at the threshold that suits it
best.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tracker_core.boxes import is_box
from tracker_core.data.longterm import LongSequence
from tracker_core.data.sequences import VideoSequence
from tracker_core.evaluation.metrics import overlap
from tracker_core.evaluation.run import describe_tracker, run_sequence, SequenceRun
from tracker_core.progress import progress_bar
from tracker_core.tables import format_table
from tracker_core.target import TrackStatus

RATE = 30  # frames per second
THRESHOLDS = np.linspace(0.0, 1.0, 101)  # of the score
UNANSWERED = -1.0  # score of a frame in which the target is LOST
BACK = 0.5  # share of a target that must be seen before it counts as back
SHORTEST_ABSENCE = 10  # frames
FOUND = 0.5  # overlap
ASTRAY = 0.1  # overlap


@dataclass(frozen=True)
class LongRun:
    """What a tracker said of N frames.

    Attributes:
        overlaps: (N,) of its boxes with the target; 0 while that is absent.
        scores: (N,), `UNANSWERED` where it said LOST.
        statuses: (N,) of `TrackStatus`.
        seconds, cpu_seconds: For all calls of `track`, updates included.
    """

    overlaps: np.ndarray
    scores: np.ndarray
    statuses: np.ndarray
    seconds: float
    cpu_seconds: float

    @classmethod
    def of(cls, run: SequenceRun, sequence: LongSequence | VideoSequence) -> LongRun:
        """What is judged of a run."""
        return cls(
            np.nan_to_num(overlap(run.boxes, sequence.boxes)),
            np.where(run.statuses == TrackStatus.LOST, UNANSWERED, run.scores),
            run.statuses,
            run.track_seconds,
            run.cpu_seconds,
        )


@dataclass(frozen=True)
class LongMeasures:
    """How one run went.

    Attributes:
        precision, recall: (101,) at `THRESHOLDS`; precision is NaN where nothing was answered.
        returns: How often the target came back.
        found: In how many of these it was TRACKING, and rightly, within one and three seconds.
        astray: How often a LOST target was taken up where it is not.
        absent: Frames in which it was absent.
        fooled: In how many of these something else was TRACKING.
    """

    precision: np.ndarray
    recall: np.ndarray
    returns: int
    found: tuple[int, int]
    astray: int
    absent: int
    fooled: int


def measure_long(run: LongRun, sequence: LongSequence | VideoSequence) -> LongMeasures:
    """The measures of one run; the first frame, whose box was given, counts in none, nor do
    frames of which it is not known where the target is."""
    is_there = is_box(sequence.boxes)
    later = (np.arange(len(sequence)) > 0) & (is_there | sequence.absent)
    sought = later & is_there
    precision, recall = [], []
    for threshold in THRESHOLDS:
        answered = later & (run.scores >= threshold)
        precision.append(run.overlaps[answered].mean() if answered.any() else np.nan)
        recall.append(float((run.overlaps * answered)[sought].mean()) if sought.any() else np.nan)
    is_right = (run.statuses == TrackStatus.TRACKING) & (run.overlaps >= FOUND)
    starts = returns_of(sequence)
    found = [sum(is_right[at : at + k * RATE].any() for at in starts) for k in (1, 3)]
    was_lost = np.concatenate(([False], run.statuses[:-1] == TrackStatus.LOST))
    taken_up = was_lost & (run.statuses == TrackStatus.TRACKING)
    return LongMeasures(
        np.array(precision),
        np.array(recall),
        len(starts),
        (int(found[0]), int(found[1])),
        int((taken_up & (run.overlaps < ASTRAY)).sum()),
        int(sequence.absent.sum()),
        int((sequence.absent & (run.statuses == TrackStatus.TRACKING)).sum()),
    )


def returns_of(sequence: LongSequence | VideoSequence) -> list[int]:
    """The frames in which the target is back in sight after an absence."""
    starts, absent, is_due = [], 0, False
    for index, there in enumerate(is_box(sequence.boxes)):
        absent = absent + 1 if sequence.absent[index] else 0
        is_due = is_due or absent >= SHORTEST_ABSENCE
        if is_due and there and sequence.visible[index] >= BACK:
            starts.append(index)
            is_due = False
    return starts


def evaluate_long(
    tracker: Any, sequences: Sequence[LongSequence], progress: bool = True
) -> dict[str, Any]:
    """Run a tracker over long sequences.

    Returns:
        What `describe_tracker` says; `f_score`, `precision`, `recall` at the best `threshold`,
        means over sequences; `returns`, `found_1s`, `found_3s` (shares of the returns),
        `astray_per_minute` of absence; `fooled` (share of the frames of absence in which something
        else was TRACKING); `fps` and `cpu_ms` (processor time a frame); `sequences`:
        the same of each.
    """
    runs, measures = [], []
    label = f'{tracker.name} {tracker.preset}'
    with progress_bar(None, label, sum(map(len, sequences)), hidden=not progress) as bar:
        for sequence in sequences:
            bar.set_postfix_str(sequence.name, refresh=False)
            runs.append(LongRun.of(run_sequence(tracker, sequence, bar.update), sequence))
            measures.append(measure_long(runs[-1], sequence))
    return {
        **describe_tracker(tracker),
        **summarize(runs, measures),
        'sequences': [
            {'name': sequence.name, 'frames': len(sequence), **summarize([run], [measured])}
            for sequence, run, measured in zip(sequences, runs, measures, strict=True)
        ],
    }


def summarize(runs: Sequence[LongRun], measures: Sequence[LongMeasures]) -> dict[str, float]:
    """The figures of some runs together; see `evaluate_long`."""
    precisions = np.array([each.precision for each in measures])
    weights = ~np.isnan(precisions)
    precision = np.nan_to_num(precisions).sum(axis=0) / np.maximum(weights.sum(axis=0), 1)
    recall = np.nanmean([each.recall for each in measures], axis=0)
    f_scores = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    best = int(f_scores.argmax())
    returns = sum(each.returns for each in measures)
    absent = sum(each.absent for each in measures)
    minutes = absent / RATE / 60
    frames = sum(len(run.scores) - 1 for run in runs)
    found = [sum(each.found[k] for each in measures) for k in (0, 1)]
    return {
        'f_score': float(f_scores[best]),
        'precision': float(precision[best]),
        'recall': float(recall[best]),
        'threshold': float(THRESHOLDS[best]),
        'returns': returns,
        'found_1s': found[0] / returns if returns else float('nan'),
        'found_3s': found[1] / returns if returns else float('nan'),
        'astray_per_minute': sum(each.astray for each in measures) / minutes
        if absent
        else float('nan'),
        'fooled': sum(each.fooled for each in measures) / absent if absent else float('nan'),
        'fps': frames / max(sum(run.seconds for run in runs), 1e-9),
        'cpu_ms': 1e3 * sum(run.cpu_seconds for run in runs) / frames,
    }


COLUMNS = (
    *('F', 'precision', 'recall', 'from score', 'back in 1 s', 'in 3 s'),
    *('astray/min', 'fooled'),
)


def long_table(results: Sequence[dict[str, Any]], what: str) -> str:
    """A line per result, named by its entry `name`, and `preset` where there is one."""
    rows = [
        [
            ' '.join(str(each[key]) for key in ('name', 'preset') if key in each),
            *(f'{each[key]:.3f}' for key in ('f_score', 'precision', 'recall')),
            f'{each["threshold"]:.2f}',
            *(f'{each[key]:.2f}' for key in ('found_1s', 'found_3s')),
            f'{each["astray_per_minute"]:.1f}',
            f'{each["fooled"]:.2f}',
            *(f'{each[key]:.1f}' for key in ('fps', 'cpu_ms')),
        ]
        for each in results
    ]
    return format_table([what, *COLUMNS, 'frames/s', 'CPU ms'], rows)

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""One-pass evaluation: start on the first true box of a sequence, track to its end, measure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
import dataclasses
from dataclasses import dataclass, field
import json
import math
from pathlib import Path
import time
from typing import Any

import numpy as np

from tracker_core.data.sequences import VideoSequence
from tracker_core.errors import ImageError
from tracker_core.evaluation.machine import describe_machine
from tracker_core.evaluation.metrics import box_rows, ERROR_THRESHOLDS, measure, OVERLAP_THRESHOLDS
from tracker_core.media.folders import read_image
from tracker_core.media.gray import GrayRange
from tracker_core.progress import progress_bar
from tracker_core.tables import format_table

MEASURES = ('frames', 'AUC', 'P@20px', 'SR@0.5', 'frames/s', 'CPU ms', 'start ms')  # columns


@dataclass(frozen=True)
class SequenceRun:
    """What a tracker did on a sequence of N frames.

    Attributes:
        boxes: (N, 4) x, y, w, h; the first row is the box it was given.
        scores: (N,), like `raw_scores`; 1 for the first frame.
        start_seconds: Time for `start`.
        track_seconds: Time for all N - 1 calls of `track`, online updates included, images ready
            in memory.
        cpu_seconds: Processor time of all threads for these.
        unreadable: Images that could not be decoded. Their rows repeat the box before, with a
            score of 0.
    """

    boxes: np.ndarray
    scores: np.ndarray
    raw_scores: np.ndarray
    start_seconds: float
    track_seconds: float
    cpu_seconds: float
    unreadable: list[Path] = field(default_factory=list)

    @property
    def fps(self) -> float:
        """Frames per second of the tracker alone; NaN for a single frame."""
        return (len(self.boxes) - 1) / self.track_seconds if self.track_seconds else math.nan

    @property
    def cpu_ms(self) -> float:
        """Processor time a frame, milliseconds; NaN for a single frame."""
        count = len(self.boxes) - 1
        return 1e3 * self.cpu_seconds / count if count else math.nan


def run_sequence(
    tracker: Any, sequence: VideoSequence, on_frame: Callable[[], Any] = lambda: None
) -> SequenceRun:
    """Track a sequence from its first true box.

    Args:
        tracker: A `Tracker`, or anything with its `start` and `track`.
        sequence: Frames and boxes; of the boxes only the first is shown to the tracker.
        on_frame: Called after every frame.

    Raises:
        ImageError: The first frame cannot be read.
    """
    gray = GrayRange()
    image = read_image(sequence.frames[0], gray)
    begin = time.perf_counter()
    target = tracker.start(image, sequence.first_box)
    start_seconds = time.perf_counter() - begin
    on_frame()
    boxes, scores, raw_scores = [sequence.first_box], [1.0], [1.0]
    track_seconds, cpu_seconds = 0.0, 0.0
    unreadable = []
    for path in sequence.frames[1:]:
        try:
            image = read_image(path, gray)
        except ImageError:
            unreadable.append(path)
            boxes.append(boxes[-1])
            scores.append(0.0)
            raw_scores.append(raw_scores[-1])
            on_frame()
            continue
        begin, cpu_begin = time.perf_counter(), time.process_time()
        track = tracker.track(image, target)
        track_seconds += time.perf_counter() - begin
        cpu_seconds += time.process_time() - cpu_begin
        boxes.append(track.box)
        scores.append(track.score)
        raw_scores.append(track.raw_score)
        on_frame()
    return SequenceRun(
        box_rows(boxes),
        np.array(scores),
        np.array(raw_scores),
        start_seconds,
        track_seconds,
        cpu_seconds,
        unreadable,
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


def evaluate_tracker(
    tracker: Any,
    sequences: Sequence[VideoSequence],
    boxes_folder: str | Path | None = None,
    progress: bool = True,
) -> dict[str, Any]:
    """Run a tracker over sequences.

    Args:
        tracker: A `Tracker`, or anything with its `start` and `track`.
        sequences: From `load_dataset`.
        boxes_folder: Where to write what it found, `<sequence>.txt` in OTB's format.
        progress: Show a progress bar.

    Returns:
        What `describe_tracker` says; `sequences`: the measures of each, with fps, cpu_ms
        (processor time a frame, of all threads), start_ms and the unreadable images; `mean`: over
        sequences, but fps and cpu_ms over all frames;
        `success_curve` and `precision_curve`: means over sequences.
    """
    results, runs, curves = [], [], []
    total = sum(map(len, sequences))
    label = f'{tracker.name} {tracker.preset}'
    with progress_bar(None, label, total, hidden=not progress) as bar:
        for sequence in sequences:
            bar.set_postfix_str(sequence.name, refresh=False)
            run = run_sequence(tracker, sequence, bar.update)
            runs.append(run)
            if boxes_folder is not None:
                write_boxes(Path(boxes_folder) / f'{sequence.name}.txt', run.boxes)
            measures = measure(run.boxes, sequence.boxes)
            curves.append([measures.pop('success_curve'), measures.pop('precision_curve')])
            start_ms = 1e3 * run.start_seconds
            results.append(
                {
                    'name': sequence.name,
                    **measures,
                    'fps': run.fps,
                    'cpu_ms': run.cpu_ms,
                    'start_ms': start_ms,
                    'unreadable': [str(path) for path in run.unreadable],
                }
            )
    keys = ('auc', 'precision', 'success', 'overlap', 'start_ms')
    mean = {key: float(np.mean([result[key] for result in results])) for key in keys}
    seconds = sum(run.track_seconds for run in runs)
    tracked = total - len(runs)
    mean['fps'] = tracked / seconds if seconds else math.nan
    spent = sum(run.cpu_seconds for run in runs)
    mean['cpu_ms'] = 1e3 * spent / tracked if tracked else math.nan
    mean['frames'] = total
    successes, precisions = (np.mean(kind, axis=0).tolist() for kind in zip(*curves, strict=True))
    return {
        **describe_tracker(tracker),
        'mean': mean,
        'sequences': results,
        'success_curve': successes,
        'precision_curve': precisions,
    }


def make_report(dataset: str, results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """All that is to be known of an evaluation, ready for `write_json`."""
    return {
        'dataset': dataset,
        'date': time.strftime('%Y-%m-%d'),
        'machine': describe_machine(),
        'overlap_thresholds': OVERLAP_THRESHOLDS.tolist(),
        'error_thresholds': ERROR_THRESHOLDS.tolist(),
        'trackers': list(results),
    }


def write_json(path: str | Path, report: Any) -> None:
    """Write a report; floats are rounded to six digits, and NaN becomes null."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(json.dumps(_plain(report), indent=1) + '\n', encoding='utf-8')


def write_boxes(path: Path, boxes: np.ndarray) -> None:
    """Write boxes as OTB does: x,y,w,h per line, the first pixel being (1, 1)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savetxt(path, boxes + np.array([1, 1, 0, 0]), '%.2f', ',')


def result_table(result: dict[str, Any]) -> str:
    """The table of one tracker: a line per sequence, and the mean."""
    rows: list[list[str] | None] = [
        _result_row(each['name'], each) for each in result['sequences']
    ]
    rows += [None, _result_row('mean', result['mean'])]
    return format_table(['sequence', *MEASURES], rows)


def summary_table(results: Iterable[dict[str, Any]]) -> str:
    """A line per tracker, the best first."""
    ordered = sorted(results, key=lambda result: -result['mean']['auc'])
    return format_table(
        ['tracker', *MEASURES],
        [_result_row(f'{each["name"]} {each["preset"]}', each['mean']) for each in ordered],
    )


def _result_row(name: str, measures: dict[str, Any]) -> list[str]:
    shares = [f'{measures[key]:.3f}' for key in ('auc', 'precision', 'success')]
    times = [f'{measures[key]:.1f}' for key in ('fps', 'cpu_ms', 'start_ms')]
    return [name, str(measures['frames']), *shares, *times]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, float):
        return float(f'{value:.6g}') if math.isfinite(value) else None
    return value

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""One-pass evaluation over a data set: run, measure, and say it in tables and files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
import json
import math
from pathlib import Path
import time
from typing import Any

import numpy as np

from tracker_core.data.sequences import VideoSequence
from tracker_core.evaluation.longterm import LongRun, measure_long, summarize
from tracker_core.evaluation.machine import describe_machine
from tracker_core.evaluation.metrics import ERROR_THRESHOLDS, measure, OVERLAP_THRESHOLDS
from tracker_core.evaluation.run import describe_tracker, SequenceRun
from tracker_core.tables import format_table

# What a data set is compared by: keys of `measure`, and the titles of their columns
OVERLAP_AND_CENTRE = {'auc': 'AUC', 'precision': 'P@20px', 'success': 'SR@0.5'}
NORMALISED = {'auc': 'AUC', 'precision': 'P@20px', 'norm_precision': 'Pnorm@0.2'}
PROTOCOLS = {
    'got10k': {'ao': 'AO', 'sr_50': 'SR@0.5', 'sr_75': 'SR@0.75'},
    'lasot': NORMALISED,
    'tnl2k': NORMALISED,
    'trackingnet': NORMALISED,
    'vot': {'ao': 'accuracy', 'auc': 'AUC', 'precision': 'P@20px'},
}
MEANS = ('auc', 'precision', 'norm_precision', 'success', 'overlap', 'start_ms')  # of sequences
FRAME_MEANS = ('ao', 'sr_50', 'sr_75')  # of the frames of all sequences


def summarize_runs(
    tracker: Any,
    sequences: Sequence[VideoSequence],
    runs: Sequence[SequenceRun],
    kind: str = 'otb',
) -> dict[str, Any]:
    """The measures of a tracker's runs.

    Args:
        tracker: That was run.
        sequences, runs: One run a sequence.
        kind: Of the data set; decides by which of the measures it is compared.

    Returns:
        What `describe_tracker` says; `kind`; `sequences`: the measures of each, with fps, cpu_ms
        (processor time a frame, of all threads), start_ms and the unreadable images; `mean`: over
        the sequences with a ground truth, but ao, sr_50 and sr_75, as in GOT-10k's own toolkit,
        and fps and cpu_ms, over all frames;
        `success_curve` and `precision_curve`: means over sequences; `long_term`: see `summarize`,
        where a target is known to be absent in some frame.
    """
    results, curves = [], []
    for sequence, run in zip(sequences, runs, strict=True):
        measures = measure(run.boxes, sequence.boxes)
        curves.append([measures.pop('success_curve'), measures.pop('precision_curve')])
        results.append(
            {
                'name': sequence.name,
                **measures,
                'fps': run.fps,
                'cpu_ms': run.cpu_ms,
                'start_ms': 1e3 * run.start_seconds,
                'unreadable': [str(sequence.frames[number]) for number in run.unreadable],
            }
        )
    alike = np.ones(len(results))
    later = np.array([result['frames'] - 1 for result in results])  # the first frame is given
    mean = {
        key: mean_of(np.array([result[key] for result in results]), weights)
        for keys, weights in ((MEANS, alike), (FRAME_MEANS, later))
        for key in keys
    }
    seconds = sum(run.track_seconds for run in runs)
    total = sum(map(len, sequences))
    tracked = total - len(runs)
    mean['fps'] = tracked / seconds if seconds else math.nan
    spent = sum(run.cpu_seconds for run in runs)
    mean['cpu_ms'] = 1e3 * spent / tracked if tracked else math.nan
    mean['frames'] = total
    known = [pair for pair in curves if not np.isnan(pair[0]).any()] or curves[:1]
    successes, precisions = (np.mean(side, axis=0).tolist() for side in zip(*known, strict=True))
    result = {
        **describe_tracker(tracker),
        'kind': kind,
        'mean': mean,
        'sequences': results,
        'success_curve': successes,
        'precision_curve': precisions,
    }
    if any(sequence.absent.any() for sequence in sequences):
        long_runs = [LongRun.of(run, each) for run, each in zip(runs, sequences, strict=True)]
        measured = [measure_long(*pair) for pair in zip(long_runs, sequences, strict=True)]
        result['long_term'] = summarize(long_runs, measured)
    return result


def mean_of(values: np.ndarray, weights: np.ndarray) -> float:
    """The mean, weighted, of those that are not NaN; NaN if there is none."""
    known = ~np.isnan(values) & (weights > 0)
    return float(np.average(values[known], weights=weights[known])) if known.any() else math.nan


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


def columns_of(kind: str) -> dict[str, str]:
    """By what a data set is compared, the first most of all: keys of `measure`, and titles."""
    return PROTOCOLS.get(kind, OVERLAP_AND_CENTRE)


def result_table(result: dict[str, Any]) -> str:
    """The table of one tracker: a line per sequence, and the mean."""
    kind = result['kind']
    rows: list[list[str] | None] = [
        _result_row(each['name'], each, kind) for each in result['sequences']
    ]
    rows += [None, _result_row('mean', result['mean'], kind)]
    return format_table(_header('sequence', kind), rows)


def summary_table(results: Iterable[dict[str, Any]]) -> str:
    """A line per tracker, the best first."""
    results = list(results)
    kind = results[0]['kind']
    first = next(iter(columns_of(kind)))
    ordered = sorted(results, key=lambda result: -result['mean'][first])
    return format_table(
        _header('tracker', kind),
        [_result_row(f'{each["name"]} {each["preset"]}', each['mean'], kind) for each in ordered],
    )


def _header(what: str, kind: str) -> list[str]:
    return [what, 'frames', *columns_of(kind).values(), 'frames/s', 'CPU ms', 'start ms']


def _result_row(name: str, measures: dict[str, Any], kind: str) -> list[str]:
    shares = [f'{measures[key]:.3f}' for key in columns_of(kind)]
    times = [f'{measures[key]:.1f}' for key in ('fps', 'cpu_ms', 'start_ms')]
    texts = ['-' if text == 'nan' else text for text in (*shares, *times)]
    return [name, str(measures['frames']), *texts]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, float):
        return float(f'{value:.6g}') if math.isfinite(value) else None
    return value

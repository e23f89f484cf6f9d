# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Runs over many sequences: in several processes, and from where it was interrupted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
import multiprocessing
import os
import signal
from typing import Any

import cv2
from tqdm import tqdm

from tracker_core.data.sequences import VideoSequence
from tracker_core.errors import TrackerError
from tracker_core.evaluation.results import Results
from tracker_core.evaluation.run import run_sequence, SequenceRun
from tracker_core.progress import progress_bar

POLL = 0.5  # seconds between looks at how far the processes are


def run_all(
    tracker: Any,
    sequences: Sequence[VideoSequence],
    results: Results | None = None,
    make: Callable[[], Any] | None = None,
    jobs: int = 1,
    progress: bool = True,
) -> list[SequenceRun]:
    """Run a tracker over sequences.

    Args:
        tracker: A `Tracker`, or anything with its `start` and `track`.
        sequences: From `load_dataset`.
        results: Where runs are kept; those that are there already are not made again.
        make: Makes the same tracker in another process; needed for several jobs. It is pickled.
        jobs: How many processes. They share the processor's threads, and so disturb each other's
            times.
        progress: Show a progress bar, with the time left.

    Returns:
        One run a sequence.
    """
    runs: dict[int, SequenceRun] = {}
    for number, sequence in enumerate(sequences):
        run = results.load(sequence) if results else None
        if run is not None:
            runs[number] = run
    waiting = [number for number in range(len(sequences)) if number not in runs]

    def done(number: int, run: SequenceRun) -> None:
        runs[number] = run
        if results:
            results.save(sequences[number], run)

    label = f'{tracker.name} {tracker.preset}'
    total = sum(map(len, sequences))
    with progress_bar(None, label, total, hidden=not progress) as bar:
        bar.n = bar.initial = total - sum(len(sequences[number]) for number in waiting)
        if jobs > 1 and len(waiting) > 1 and make:
            _run_in_processes(make, sequences, waiting, min(jobs, len(waiting)), done, bar)
        else:
            for number in waiting:
                bar.set_postfix_str(sequences[number].name, refresh=False)
                done(number, run_sequence(tracker, sequences[number], bar.update))
    return [runs[number] for number in range(len(sequences))]


def _run_in_processes(
    make: Callable[[], Any],
    sequences: Sequence[VideoSequence],
    waiting: Sequence[int],
    jobs: int,
    done: Callable[[int, SequenceRun], None],
    bar: tqdm[Any],
) -> None:
    """The runs of `waiting`, the longest first; `done` is told each."""
    context = multiprocessing.get_context('spawn')  # CUDA, and threads, do not survive a fork
    counted = context.Value('q', 0)
    threads = max((os.cpu_count() or 1) // jobs, 1)
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(jobs, context, _begin, (make, counted, threads))
    longest_first = sorted(waiting, key=lambda number: -len(sequences[number]))
    pending = {pool.submit(_run, sequences[number]): number for number in longest_first}
    shown = 0
    try:
        while pending:
            finished, _ = wait(pending, POLL, FIRST_COMPLETED)
            for future in finished:
                done(pending.pop(future), future.result())
            bar.update(counted.value - shown)
            shown = counted.value
    except BrokenProcessPool:
        raise TrackerError(
            'a process was ended from outside, perhaps for want of memory: try fewer jobs; '
            'sequences that are finished need not be run again where results are kept'
        ) from None
    finally:
        pool.shutdown(wait=not pending, cancel_futures=True)
        if pending:  # something went wrong: what the processes are at is of no use
            for child in set(multiprocessing.active_children()) - others:
                child.terminate()


_worker: dict[str, Any] = {}  # what this process has, where it is one of several


def _begin(make: Callable[[], Any], counted: Any, threads: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it without a traceback
    os.environ.setdefault('OMP_NUM_THREADS', str(threads))  # read when torch is imported
    cv2.setNumThreads(threads)
    _worker['tracker'], _worker['counted'] = make(), counted


def _run(sequence: VideoSequence) -> SequenceRun:
    counted = _worker['counted']

    def count() -> None:
        with counted.get_lock():
            counted.value += 1

    return run_sequence(_worker['tracker'], sequence, count)

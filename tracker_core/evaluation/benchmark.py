# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""How long a tracker takes: start, track and learn, on rendered frames."""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np
import torch

from tracker_core.evaluation.machine import describe_machine
from tracker_core.evaluation.run import describe_tracker
from tracker_core.media.scene import render_scene
from tracker_core.progress import progress_bar
from tracker_core.tables import format_table

WARM_UP = 5  # frames and starts that do not count
START_SECONDS = 20.0  # `start` is measured no longer than that


def benchmark(
    tracker: Any,
    frames: int = 100,
    size: tuple[int, int] = (640, 480),
    progress: bool = True,
) -> dict[str, Any]:
    """Measure a tracker with images ready in memory, one target, one frame after the other.

    Args:
        tracker: From `create_tracker`.
        frames: How many to measure, after five that warm up; `start` is measured ten times, or for
            20 seconds.
        size: Width and height of the images in pixels.
        progress: Show a progress bar.

    Returns:
        What `describe_tracker` and `describe_machine` say; `start_ms`, `track_ms` (without
        updates) and `learn_ms` (the update, where the tracker makes one) with their median and
        99th percentile; `fps`: frames per second, and `cpu_ms`: processor time of all threads a
        frame, both with updates included; `memory_mb`: the largest so
        far, of the device if it is a GPU, else of the process.
    """
    scene = render_scene(frames=frames + WARM_UP + 1, size=size)
    images = list(progress_bar(scene, 'rendering', hidden=not progress))
    is_cuda = tracker.device.type == 'cuda'
    if is_cuda:
        torch.cuda.reset_peak_memory_stats(tracker.device)

    def clock() -> float:
        if is_cuda:
            torch.cuda.synchronize(tracker.device)
        return time.perf_counter()

    start_times, track_times, learn_times = [], [], []
    for _ in range(WARM_UP + min(frames, 10)):
        begin = clock()
        target = tracker.start(images[0], scene.boxes[0])
        start_times.append(clock() - begin)
        if sum(start_times) > START_SECONDS:
            break  # slow enough that warming up does not matter
    cpu_seconds = 0.0
    for number, image in enumerate(progress_bar(images[1:], 'tracking', hidden=not progress)):
        begin, cpu_begin = clock(), time.process_time()
        tracker.track(image, target, learn=False)
        tracked = clock()
        tracker.learn(target)
        learn_times.append(clock() - tracked)
        track_times.append(tracked - begin)
        cpu_seconds += time.process_time() - cpu_begin if number >= WARM_UP else 0.0
    cpu_ms = 1e3 * cpu_seconds / frames
    spent = np.array(track_times[WARM_UP:]) + learn_times[WARM_UP:]
    memory = torch.cuda.max_memory_allocated(tracker.device) if is_cuda else _process_memory()
    return {
        **describe_tracker(tracker),
        'machine': describe_machine(),
        'size': list(size),
        'frames': frames,
        'start_ms': _percentiles(start_times[WARM_UP:] or start_times[-1:]),
        'track_ms': _percentiles(track_times[WARM_UP:]),
        'learn_ms': _percentiles(learn_times[WARM_UP:]),
        'fps': float(1 / spent.mean()),
        'cpu_ms': cpu_ms,
        'memory_mb': memory / 2**20,
    }


def benchmark_table(result: dict[str, Any]) -> str:
    """The result for a person."""
    rows = [
        [what, f'{result[key]["median"]:.2f}', f'{result[key]["p99"]:.2f}']
        for what, key in (('start', 'start_ms'), ('track', 'track_ms'), ('learn', 'learn_ms'))
    ]
    width, height = result['size']
    return (
        f'{result["name"]} {result["preset"]}, {result["device"]}, {result["precision"]}, '
        f'{result["runtime"]}; weights {result["weights"]}; {result["frames"]} frames of '
        f'{width} x {height}\n'
        + format_table(['milliseconds', 'median', 'p99'], rows)
        + f'\n{result["fps"]:.1f} frames/s and {result["cpu_ms"]:.1f} ms of processor time a '
        f'frame, updates included; {result["memory_mb"]:.0f} MiB'
    )


def _percentiles(seconds: list[float]) -> dict[str, float]:
    median, p99 = np.percentile(np.array(seconds) * 1e3, (50, 99))
    return {'median': float(median), 'p99': float(p99)}


def _process_memory() -> float:
    """Peak resident memory in bytes; NaN where the system does not tell."""
    try:
        import resource
    except ImportError:  # not a Unix
        return float('nan')
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == 'darwin' else 1024)

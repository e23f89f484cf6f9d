# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Everything there is to know of the trackers on a GPU, in one run of less than eight minutes.

    python benchmarks/gpu.py [--out benchmarks/results/gpu_NAME] [--minutes 7.5]
    python benchmarks/gpu.py --device cpu --presets compact    # the same tables of a CPU
    python benchmarks/gpu.py --device cpu --quick      # a dry run

First what the hardware can do; then whether every CUDA path gives the boxes of the float32 step on
the CPU, the strictest comparison first; then how long things take: start, track, learn; several
targets; large images; and how far that is from the hardware's floor. TensorRT comes last, because
an engine takes minutes.

Everything runs in a process of its own, which is begun anew when an item takes it down: after a
failed assertion on the device nothing else would run there. Results are written after every item,
so that an interrupted run leaves what it has measured; an item that fails leaves a line.

It needs: this folder, no ROS and no network; Python with requirements.txt, and torch for CUDA; a
GPU with 8 GB that nobody else uses; 4 cores and 8 GB on the host, whose float32 results on the CPU
are what all is compared with (computed once, about a minute of the run); for the items with
runtime tensorrt also the packages tensorrt, onnx and onnxscript, and one item for each of them
says so where they are missing.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
import contextlib
import copy
from dataclasses import dataclass
import functools
import json
import os
from pathlib import Path
import select
import subprocess
import sys
import time
from typing import Any

import numpy as np
import torch
from torch import Tensor
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tracker_core import Box, create_tracker, list_trackers, Tracker, tracker_declaration  # noqa: E402
from tracker_core.evaluation.machine import describe_machine, machine_line  # noqa: E402
from tracker_core.media.scene import render_scene  # noqa: E402
from tracker_core.runtime.eager import EagerUpdates  # noqa: E402
from tracker_core.runtime.exactness import exact_float32  # noqa: E402
from tracker_core.target import Target  # noqa: E402

DTYPES = {
    'float32': torch.float32,
    'float16': torch.float16,
    'bfloat16': torch.bfloat16,
}
# largest difference to the float32 step on the CPU: of a box's sides in pixels, of the raw score.
# Random weights make score maps without a clear peak, so that rounding may choose another place:
# in half precision what counts is the score, and the box only with trained weights.
TOLERANCES = {
    'float32': (0.05, 1e-3),
    'float16': (1.0, 0.05),
    'bfloat16': (3.0, 0.2),
}
UPDATE_TOLERANCE = 1e-3  # of what an update learns, run in two ways
EVERY_FRAME = {  # parameters that have a tracker learn after every frame
    'atom': {'train_interval': 1},
    'dat': {'update_interval': 1},
    'ocean': {'online_interval': 1},
    'spm': {},
    'tadt': {},
}
SIAMESE = ('ocean', 'spm', 'tadt')
TARGETS = (1, 2, 4, 8, 16)
SIZES = ((640, 480), (1280, 720), (1920, 1080), (3840, 2160))
PRESETS = ('compact', 'paper', 'compact_online', 'paper_online')
# less training on the first frame for what is only checked; the steps stay what they are (DAT's
# compact classifier is trained in full: half trained it ranks boxes by what rounding leaves)
LIGHT = {
    ('atom', 'compact'): {'newton_steps': 1, 'first_iterations': 1},
    ('atom', 'paper'): {'newton_steps': 1, 'first_iterations': 1, 'step_length': 0.01},
    ('dat', 'paper'): {
        'first_iterations': 1,
        'first_positives': 16,
        'first_negatives': 64,
        'regression_samples': 32,
        'mined_from': 32,
        'batch': 4,
        'candidates': 64,
    },
    ('ocean', 'compact_online'): {'online_first_steps': 2},
    ('ocean', 'paper_online'): {'online_first_steps': 2},
}


class OutOfTimeError(Exception):
    """The rest is left out."""


class Report:
    """What was measured so far; every item is written at once.

    Args:
        out: Path of the files without their endings.
        seconds: When these are over, nothing new is begun.
    """

    def __init__(self, out: Path, seconds: float) -> None:
        self.out = out
        self.begin = time.monotonic()
        self.deadline = self.begin + seconds
        self.data: dict[str, Any] = {'machine': describe_machine(), 'failures': []}
        out.parent.mkdir(parents=True, exist_ok=True)

    def item(
        self, table: str, name: str, measure: Callable[[], dict[str, Any] | None]
    ) -> dict[str, Any] | None:
        """Measure something; its result is a row of a table, its failure a line.

        Raises:
            OutOfTimeError: It is too late to begin.
        """
        if time.monotonic() > self.deadline:
            raise OutOfTimeError(f'{table}: {name}')
        begin = time.monotonic()
        try:
            row = measure()
        except Exception as error:
            text = f'{type(error).__name__}: {error}'.removeprefix('ItemError: ')
            text = text.strip().splitlines()[0][:300]
            self.data['failures'].append({'table': table, 'item': name, 'error': text})
            row = None
            print(f'FAILED {table} {name}: {text}', flush=True)
        if row is not None:
            row = {'item': name, **row, 'seconds': round(time.monotonic() - begin, 2)}
            self.data.setdefault(table, []).append(row)
            shown = ', '.join(f'{key} {_shown(value)}' for key, value in row.items())
            print(f'{time.monotonic() - self.begin:6.1f}s {table}: {shown}', flush=True)
        self.write()
        return row

    def write(self) -> None:
        self.data['minutes'] = round((time.monotonic() - self.begin) / 60, 2)
        self.out.with_suffix('.json').write_text(json.dumps(self.data, indent=1) + '\n')
        self.out.with_suffix('.md').write_text(markdown(self.data))


def markdown(data: dict[str, Any]) -> str:
    """The report for a person."""
    parts = ['# Measured on a GPU' if data['machine']['gpu'] else '# Dry run on a CPU']
    parts.append(machine_line(data['machine']).replace('\n', '  \n'))
    parts += [f'{key}: {value}' for key, value in data.get('versions', {}).items()]
    parts.append(f'Written by `benchmarks/gpu.py` in {data["minutes"]} minutes.')
    for title, rows in data.items():
        if not isinstance(rows, list) or not rows:
            continue
        keys = list(dict.fromkeys(key for row in rows for key in row))
        lines = [keys, ['---', *['---:'] * (len(keys) - 1)]]
        lines += [[_shown(row.get(key, '')) for key in keys] for row in rows]
        parts.append(f'## {title}')
        parts.append('\n'.join(f'| {" | ".join(line)} |' for line in lines))
    if 'left_out' in data:
        parts.append(f'Out of time from here on: {data["left_out"]}')
    return '\n\n'.join(parts) + '\n'


def _shown(value: Any) -> str:
    return f'{value:.4g}' if isinstance(value, float) else str(value)


# ----------------------------------------------------------------------------------- the process


class ItemError(Exception):
    """An item failed in the process that it ran in."""


class Worker:
    """A process that runs functions of this file, one after the other, and is begun anew after one
    that it did not survive.

    Args:
        deadline: Until when a function may take, on the monotonic clock.
        longest: And how long at most, seconds.
    """

    def __init__(self, deadline: float, longest: float = 150.0) -> None:
        self._deadline, self._longest = deadline, longest
        self._process: subprocess.Popen[str] | None = None

    def __call__(self, function: str, *arguments: Any) -> Any:
        """Run a function by its name; arguments and result are what JSON can hold.

        Raises:
            ItemError: It failed, took too long, or took the process down.
        """
        if self._process is None:
            command = [sys.executable, __file__, '--serve']
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            print(json.dumps([function, arguments]), file=process.stdin, flush=True)
        seconds = max(min(self._longest, self._deadline - time.monotonic()), 1.0)
        if not select.select([process.stdout], [], [], seconds)[0]:
            self.stop()
            raise ItemError(f'took longer than {seconds:.0f} s')
        line = process.stdout.readline()
        if not line:
            self.stop()
            raise ItemError(f'took its process down (exit status {process.returncode})')
        verdict, value = json.loads(line)
        if verdict != 'ok':
            if verdict == 'poisoned':
                self.stop()
            raise ItemError(value)
        return value

    def stop(self) -> None:
        """End the process; the next item begins another one."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def serve() -> None:
    """What the process does: a line in, a line out. What is printed meanwhile goes elsewhere."""
    answers = os.fdopen(os.dup(1), 'w')
    os.dup2(2, 1)
    for line in sys.stdin:
        function, arguments = json.loads(line)
        try:
            answer = ['ok', globals()[function](*arguments)]
        except Exception as error:
            text = f'{type(error).__name__}: {error}'.strip().splitlines()[0][:300]
            answer = ['failed', text]
            try:
                if torch.cuda.is_available():
                    torch.cuda.synchronize()
            except Exception:
                answer[0] = 'poisoned'
        print(json.dumps(answer), file=answers, flush=True)


# --------------------------------------------------------------------------------- the hardware


def clock(device: torch.device) -> float:
    if device.type == 'cuda':
        torch.cuda.synchronize(device)
    return time.perf_counter()


def fastest(run: Callable[[], Any], device: torch.device, times: int = 5) -> float:
    """Seconds of the fastest of some runs."""
    run()
    spans = []
    for _ in range(times):
        begin = clock(device)
        run()
        spans.append(clock(device) - begin)
    return min(spans)


def matmul_rate(device: torch.device | str, precision: str) -> dict[str, Any]:
    """Floating-point operations per second of a large matrix product."""
    device, dtype = torch.device(device), DTYPES[precision]
    side, count = (8192, 4) if device.type == 'cuda' else (512, 1)
    a, b = (torch.rand(side, side, device=device).to(dtype) for _ in range(2))

    def run() -> None:
        for _ in range(count):
            a @ b

    return {'tera_per_second': count * 2 * side**3 / fastest(run, device) / 1e12}


def copy_rate(source: torch.device | str, target: torch.device | str) -> dict[str, Any]:
    """Bytes per second read and written by a large copy."""
    device = torch.device(target)
    is_cuda = device.type == 'cuda'
    size = 2**30 if is_cuda else 2**26
    pinned = is_cuda and str(source) == 'cpu'
    a = torch.ones(size, dtype=torch.uint8, device=source, pin_memory=pinned)
    b = torch.empty(size, dtype=torch.uint8, device=target)
    passes = 2 if str(source) == str(target) else 1
    seconds = fastest(lambda: b.copy_(a, non_blocking=True), device)
    return {'giga_per_second': passes * size / seconds / 1e9}


class Counter(TorchDispatchMode):
    """Counts the work of convolutions and matrix products, and the least time it can take.

    Each needs at least the time of its operations and the time to bring its operands and its
    result through memory, whichever is longer. What is done element by element can be part of
    these, so it counts as nothing.

    Args:
        rates: Operations per second by dtype.
        bandwidth: Bytes per second.
    """

    def __init__(self, rates: dict[torch.dtype, float], bandwidth: float) -> None:
        super().__init__()
        self.rates, self.bandwidth = rates, bandwidth
        self.flops = self.bytes = self.floor = 0.0

    def __torch_dispatch__(
        self, op: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        result = op(*args, **kwargs)
        count = flop_registry.get(op._overloadpacket)
        if count is not None:
            flops = count(*args, **kwargs, out_val=result)
            tensors = [x for x in tree_leaves((args, kwargs, result)) if isinstance(x, Tensor)]
            moved = sum(x.nbytes for x in tensors)
            rate = self.rates.get(tensors[0].dtype, max(self.rates.values()))
            self.flops += flops
            self.bytes += moved
            self.floor += max(flops / rate, moved / self.bandwidth)
        return result


# --------------------------------------------------------------------------------- the trackers


def trackers_of(presets: Sequence[str]) -> Iterator[tuple[str, str]]:
    for preset in presets:
        for name in list_trackers():
            if preset in tracker_declaration(name).presets:
                yield name, preset


def make(
    name: str, preset: str, device: torch.device, precision: str, runtime: str, **parameters: Any
) -> Tracker:
    """A tracker with bundled weights where there are any, else random ones."""
    is_bundled = tracker_declaration(name).preset(preset).is_bundled
    weights = None if is_bundled else 'random'
    return create_tracker(
        name, preset, str(device), precision, runtime, weights, recover=False, **parameters
    )


def to_device(model: Sequence[Tensor], tracker: Tracker, like: Sequence[Tensor]) -> tuple:
    return tuple(x.to(tracker.device, y.dtype) for x, y in zip(model, like, strict=True))


@dataclass(frozen=True)
class Case:
    """Targets of one program in one image, and what the float32 step on the CPU says of them.

    Attributes:
        image: (H, W, 3).
        key: Of the program.
        targets: On the CPU.
        geometry: (N, M).
        wanted: Rows of the result.
    """

    image: Tensor
    key: Any
    targets: list[Target[Any, Any]]
    geometry: Tensor
    wanted: list[list[float]]

    @property
    def size(self) -> tuple[int, int]:
        return self.image.shape[1], self.image.shape[0]


@functools.cache
def scene_of(frames: int, size: tuple[int, int], seed: int = 0) -> tuple[list[Tensor], list[Box]]:
    """Images of a rendered scene and the boxes in them."""
    scene = render_scene(frames=frames, size=size, seed=seed)
    return [torch.from_numpy(image.copy()) for image in scene], list(scene.boxes)


@functools.cache
def reference(name: str, preset: str, prepares_programs: bool) -> tuple[Tracker, list[Case]]:
    """A tracker in float32 on the CPU, and what it finds: one and several targets, a changed
    target, a changed image size, and the first again. Computed once for all paths.

    Args:
        name: The tracker.
        preset: Its preset.
        prepares_programs: Of the runtime that is compared with it, so that shapes are the same.
    """
    options = LIGHT.get((name, preset), {})
    cpu = make(name, preset, torch.device('cpu'), 'float32', 'eager', **options)
    cpu.steps.prepares_programs = prepares_programs
    images, (box, *_) = scene_of(4, (320, 240))
    boxes = [box, Box(box.x + 6, box.y - 4, box.w, box.h), Box(box.x - 5, box.y, box.w, box.h)]
    targets = [cpu.start(images[0], box) for box in boxes]
    wide = F.pad(images[2].permute(2, 0, 1).float(), (0, 40, 0, 24), mode='replicate')
    wide = wide.byte().permute(1, 2, 0).contiguous()
    cases = []
    for image, chosen in (
        (images[1], targets[:1]),
        (images[1], targets[1:2]),
        (images[2], targets),
        (wide, targets[:2]),
        (images[1], targets[:1]),
    ):
        size = (image.shape[1], image.shape[0])
        groups: dict[Any, list[Any]] = {}
        for target in chosen:
            groups.setdefault(cpu.program_key(target, size), []).append(target)
        for key, group in groups.items():
            geometry = torch.stack([cpu.search_geometry(target, size) for target in group])
            models = [cpu.model_tensors(target) for target in group]
            with torch.inference_mode():
                joined = map(torch.cat, zip(*models, strict=True))
                wanted, *_ = cpu.step(key, image, geometry, *joined)
            cases.append(Case(image, key, group, geometry, wanted.tolist()))
    return cpu, cases


def check(
    name: str, preset: str, device: torch.device | str, precision: str, runtime: str
) -> dict[str, Any]:
    """Steps on the device against the float32 step on the CPU, for the same models; see
    `reference`."""
    # whether a float32 convolution may round to TF32 is not what is checked here
    exact = exact_float32() if precision == 'float32' else contextlib.nullcontext()
    with exact:
        return compare(name, preset, torch.device(device), precision, runtime)


def compare(
    name: str, preset: str, device: torch.device, precision: str, runtime: str
) -> dict[str, Any]:
    """See `check`."""
    options = LIGHT.get((name, preset), {})
    there = make(name, preset, device, precision, runtime, **options)
    cpu, cases = reference(name, preset, there.steps.prepares_programs)
    images, (box, *_) = scene_of(4, (320, 240))
    sample = there.model_tensors(there.start(images[0], box))
    pixels, score, again = 0.0, 0.0, []
    for case in cases:
        models = [to_device(cpu.model_tensors(target), there, sample) for target in case.targets]
        with torch.inference_mode():
            rows, kept = there.steps(there.program(case.key), case.image, case.geometry, models)
        again.append(rows)
        for index, (row, right) in enumerate(zip(rows, case.wanted, strict=True)):
            target = case.targets[index]
            one = there.proposal(target, row, kept, index, case.size)
            other = cpu.proposal(target, right, kept, index, case.size)
            assert (one.box is None) == (other.box is None), 'one finds the target, one not'
            score = max(score, abs(one.raw_score - other.raw_score))
            if one.box is not None:
                a, b = one.box.as_xywh(), other.box.as_xywh()
                pixels = max(pixels, *(abs(x - y) for x, y in zip(a, b, strict=True)))
    limits = TOLERANCES[precision]
    trained = tracker_declaration(name).preset(preset).is_bundled
    fine = score <= limits[1] and (pixels <= limits[0] or (precision != 'float32' and not trained))
    repeats = again[0] == again[-1]
    return {
        'pixels': pixels,
        'score': score,
        'repeats': repeats,
        'verdict': 'ok' if fine and repeats else 'DIFFERS',
        'runtime': there.runtime,
    }


def check_update(
    name: str, preset: str, device: torch.device | str, precision: str, runtime: str
) -> dict[str, Any] | None:
    """An online update as the runtime runs it against the same one run eagerly on the device: what
    is learnt of one frame from the same state, relative to its size."""
    options = {**LIGHT.get((name, preset), {}), **EVERY_FRAME[name]}
    tracker = make(name, preset, torch.device(device), precision, runtime, **options)
    if not learns_online(tracker):
        return None
    captured, eager = tracker.updates, EagerUpdates()
    images, boxes = scene_of(3, (320, 240))
    target = tracker.start(images[0], boxes[0])
    worst = 0.0
    for image in images[1:]:
        tracker.track(image, target, learn=False)
        outcomes = []
        for updates in (eager, captured):
            same = copy.deepcopy(target, {id(tracker): tracker})
            tracker.updates = updates
            tracker.learn(same)
            outcomes.append(tracker.model_tensors(same))
        for right, found in zip(*outcomes, strict=True):
            size = right.double().norm().clamp(min=1e-6)
            worst = max(worst, float((found.double() - right.double()).norm() / size))
        target = same
    return {
        'difference': worst,
        'verdict': 'ok' if worst <= UPDATE_TOLERANCE else 'DIFFERS',
        'runtime': type(captured).__name__,
    }


def learns_online(tracker: Tracker) -> bool:
    """Whether the tracker fits something to samples while tracking."""
    return tracker.name in ('atom', 'dat') or getattr(tracker.config, 'online', False)


def speed(
    tracker: Tracker, size: tuple[int, int], count: int, seconds: float, frames: int
) -> dict[str, Any]:
    """Milliseconds of start, track and learn; frames per second, updates included."""
    device = tracker.device
    images, boxes = scene_of(12, size)
    if device.type == 'cuda':
        torch.cuda.reset_peak_memory_stats(device)
    starts: list[float] = []
    while len(starts) < 4 and sum(starts) < seconds / 2:
        begin = clock(device)
        first = tracker.start(images[0], boxes[0])
        starts.append(clock(device) - begin)
    box = boxes[0]
    targets = [first]
    for k in range(1, count):
        moved = Box(box.x + 3 * (k % 4), box.y + 3 * (k // 4), box.w, box.h)
        targets.append(tracker.start(images[0], moved))
    state = [(target.state, target.box) for target in targets]
    tracks: list[float] = []
    learns: list[float] = []
    for _ in range(3):
        tracker.track_many(images[1], targets)
    begin_all = time.monotonic()
    for index in range(frames):
        image = images[1 + index % (len(images) - 1)]
        begin = clock(device)
        tracker.track_many(image, targets, learn=False)
        tracked = clock(device)
        for target in targets:
            tracker.learn(target)
        learns.append(clock(device) - tracked)
        tracks.append(tracked - begin)
        if index % 11 == 10:  # stay where the scene is, whatever the weights say
            for target, (kept, place) in zip(targets, state, strict=True):
                target.state, target.box = kept, place
        if time.monotonic() - begin_all > seconds:
            break
    row: dict[str, Any] = {'start_ms': 1e3 * min(starts)}
    for label, spans in (('track', tracks), ('learn', learns)):
        median, p99 = np.percentile(np.array(spans) * 1e3, (50, 99))
        row |= {f'{label}_ms': float(median), f'{label}_p99': float(p99)}
    row['fps'] = len(tracks) / (sum(tracks) + sum(learns))
    row['frames'] = len(tracks)
    if device.type == 'cuda':
        row['memory_mb'] = torch.cuda.max_memory_allocated(device) / 2**20
    row['runtime'] = tracker.runtime
    return row


def roofline(
    tracker: Tracker, rates: dict[str, float], bandwidth: float, track_ms: float
) -> dict[str, Any]:
    """Work of a step, the floor it has on this hardware, and how far from it the tracker is."""
    images, boxes = scene_of(12, (640, 480))
    first, second = (image.to(tracker.device) for image in images[:2])
    target = tracker.start(first, boxes[0])
    geometry = tracker.search_geometry(target, (640, 480))[None].to(tracker.device)
    key = tracker.program_key(target, (640, 480))
    by_type = {DTYPES[precision]: rate for precision, rate in rates.items()}
    # not inference mode, which hides what is counted
    with torch.no_grad(), Counter(by_type, bandwidth) as counter:
        tracker.step(key, second, geometry, *tracker.model_tensors(target))
    floor = counter.floor * 1e3
    return {
        'gflop': counter.flops / 1e9,
        'megabytes': counter.bytes / 1e6,
        'floor_ms': floor,
        'track_ms': track_ms,
        'over_floor': track_ms / floor,
    }


def speed_of(
    name: str,
    preset: str,
    device: str,
    precision: str,
    runtime: str,
    seconds: float,
    frames: int,
    size: Sequence[int] = (640, 480),
    count: int = 1,
) -> dict[str, Any]:
    """`speed` of a tracker that is made for it."""
    tracker = make(name, preset, torch.device(device), precision, runtime)
    return speed(tracker, (size[0], size[1]), count, seconds, frames)


def roofline_of(
    name: str,
    preset: str,
    device: str,
    precision: str,
    rates: dict[str, float],
    bandwidth: float,
    track_ms: float,
) -> dict[str, Any]:
    """`roofline` of a tracker that is made for it."""
    options = LIGHT.get((name, preset), {})
    if (name, preset) == ('dat', 'paper'):
        options = {**options, 'candidates': 256}
    tracker = make(name, preset, torch.device(device), precision, 'eager', **options)
    return roofline(tracker, rates, bandwidth, track_ms)


# the strictest comparison first: what is wrong there is wrong everywhere
STRICTEST, FASTEST = ('cuda_graph', 'float32'), ('cuda_graph', 'float16')
OTHERS = [('eager', 'float32'), ('eager', 'float16'), ('cuda_graph', 'bfloat16')]


def measure(
    report: Report, run: Worker, device: torch.device, chosen: Sequence[str], quick: bool
) -> None:
    """All items, the most wanted first."""
    is_cuda, where = device.type == 'cuda', str(device)
    rates: dict[str, float] = {}
    for precision in DTYPES if is_cuda else ('float32',):
        call = functools.partial(run, 'matmul_rate', where, precision)
        row = report.item('hardware', f'matmul {precision}', call)
        if row is not None:
            rates[precision] = row['tera_per_second'] * 1e12
    row = report.item('hardware', 'memory', lambda: run('copy_rate', where, where))
    bandwidth = row['giga_per_second'] * 1e9 if row is not None else 0.0
    if is_cuda:
        report.item('hardware', 'upload', lambda: run('copy_rate', 'cpu', where))

    def checks(runtime: str, precision: str, presets: Sequence[str] = chosen) -> None:
        for name, preset in trackers_of(presets):
            label = f'{name} {preset} {runtime} {precision}'
            arguments = (name, preset, where, precision, runtime)
            report.item('checks', label, lambda a=arguments: run('check', *a))
            if runtime != 'tensorrt':
                report.item('updates', label, lambda a=arguments: run('check_update', *a))

    fastest, others = (FASTEST, OTHERS) if is_cuda else (('eager', 'float32'), [])
    if is_cuda:
        checks(*STRICTEST)
    checks(*fastest)
    speeds(report, run, where, chosen, quick, fastest, rates if bandwidth else {}, bandwidth)
    for runtime, precision in others if is_cuda else [('eager', 'bfloat16')]:
        checks(runtime, precision)
    if not is_cuda:
        return
    for runtime, precision in [STRICTEST, *others]:
        for name, preset in trackers_of(chosen):
            if (name, preset) != ('dat', 'paper'):
                label = f'{name} {preset} {runtime} {precision}'
                arguments = (name, preset, where, precision, runtime, 1.0, 100)
                report.item('other paths', label, lambda a=arguments: run('speed_of', *a))
    checks('tensorrt', 'float16', [preset for preset in chosen if preset == 'compact'])


def speeds(
    report: Report,
    run: Worker,
    device: str,
    chosen: Sequence[str],
    quick: bool,
    fastest: tuple[str, str],
    rates: dict[str, float],
    bandwidth: float,
) -> None:
    """The tables of the fastest path."""
    runtime, precision = fastest
    every = list(trackers_of(chosen))

    def one(
        table: str, name: str, preset: str, note: str = '', seconds: float = 1.0, **more: Any
    ) -> dict[str, Any] | None:
        frames = (3 if quick else 100) if note else (12 if quick else 300)
        arguments = (name, preset, device, precision, runtime, seconds, frames)
        extent = (more.get('size', (640, 480)), more.get('count', 1))
        label = f'{name} {preset} {runtime} {precision}{note}'
        return report.item(table, label, lambda: run('speed_of', *arguments, *extent))

    found = {each: one('speed', *each, seconds=3.0) for each in every}
    for (name, preset), row in found.items():
        if row is not None and rates:
            label = f'{name} {preset} {runtime} {precision}'
            arguments = (name, preset, device, precision, rates, bandwidth, row['track_ms'])
            report.item('roofline', label, lambda a=arguments: run('roofline_of', *a))

    scaled = [preset for preset in ('paper', 'compact') if preset in chosen]
    for preset in scaled:
        for name in SIAMESE[:1] if quick else (*SIAMESE, 'atom'):
            for count in TARGETS[:2] if quick else TARGETS:
                one('targets', name, preset, f' x{count}', count=count)
    for preset in scaled[:1]:
        for name in SIAMESE[:1] if quick else SIAMESE:
            for size in SIZES[:2] if quick else SIZES:
                one('image sizes', name, preset, f' {size[0]}x{size[1]}', size=size)


def versions(device: torch.device) -> dict[str, str]:
    """What `describe_machine` does not tell."""
    if device.type != 'cuda':
        return {}
    found = {
        'CUDA': str(torch.version.cuda),
        'cuDNN': str(torch.backends.cudnn.version()),
        'capability': '.'.join(map(str, torch.cuda.get_device_capability(device))),
    }
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        query = ['nvidia-smi', '--query-gpu=driver_version,clocks.max.sm', '--format=csv,noheader']
        text = subprocess.run(query, capture_output=True, text=True, timeout=20).stdout
        found['driver, largest clock'] = text.strip()
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--device', default='cuda', help='default: %(default)s')
    parser.add_argument('--minutes', type=float, default=7.5, help='default: %(default)s')
    parser.add_argument('--out', type=Path, help='default: benchmarks/results/gpu_NAME, or cpu')
    parser.add_argument(
        '--presets', default=','.join(PRESETS), help='separated by commas; default: %(default)s'
    )
    parser.add_argument('--quick', action='store_true', help='a little of the compact presets')
    parser.add_argument('--serve', action='store_true', help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    if args.serve:
        serve()
        return 0
    device = torch.device(args.device)
    if device.type == 'cuda' and not torch.cuda.is_available():
        parser.error('torch sees no CUDA device; --device cpu --quick is a dry run')
    chosen = ['compact'] if args.quick else args.presets.split(',')
    for preset in chosen:
        if preset not in PRESETS:
            parser.error(f'there is no preset {preset!r}; choose from {", ".join(PRESETS)}')
    name = 'cpu' if device.type != 'cuda' else f'gpu_{torch.cuda.get_device_name(device)}'
    if args.quick:
        name += '_quick'
    out = args.out or ROOT / 'benchmarks' / 'results' / name.replace(' ', '_')
    report = Report(out, args.minutes * 60)
    report.data['versions'] = versions(device)
    print(machine_line(report.data['machine']), report.data['versions'], flush=True)
    run = Worker(report.deadline)
    try:
        measure(report, run, device, chosen, args.quick)
    except OutOfTimeError as item:
        report.data['left_out'] = str(item)
        print(f'out of time: {item} and what follows is left out')
    run.stop()
    report.write()
    checks = report.data.get('checks', []) + report.data.get('updates', [])
    wrong = [row['item'] for row in checks if row['verdict'] != 'ok']
    print(f'{len(checks)} checks, {len(wrong)} differ; {len(report.data["failures"])} failures')
    print(f'wrote {out.with_suffix(".json")} and {out.with_suffix(".md")}')
    return 0


if __name__ == '__main__':
    sys.exit(main())

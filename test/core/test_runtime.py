# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Steps are programs that any runtime can execute, and the runtimes that run here agree."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
import copy
from dataclasses import replace
from functools import lru_cache
import json
import math
import operator
from pathlib import Path
import re
import runpy
import sys
import time
from typing import Any

import numpy as np
from presets import LEARNING, PRESETS, REDUCED
import pytest
from reference import sequence_frames
import torch
from torch import nn, Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tracker_core import (
    Box,
    create_tracker,
    list_trackers,
    ParameterError,
    runtime,
    Track,
    Tracker,
    tracker_declaration,
)
from tracker_core.commands import main
from tracker_core.data.text import read_boxes
from tracker_core.media.folders import read_image
from tracker_core.media.scene import render_scene
from tracker_core.runtime.cache import Programs
from tracker_core.runtime.cuda_graph import Staging
from tracker_core.runtime.eager import Eager, Joined
from tracker_core.runtime.export import StepInputs, write_onnx
from tracker_core.runtime.importer import obstacles
from tracker_core.runtime.onnx import open_session, run
from tracker_core.step import Rows, StepProgram, Tensors


class Prepared(Eager):
    """A runtime that prepares programs for their shapes, as far as trackers can tell."""

    prepares_programs = True


@lru_cache(maxsize=1)
def prepared(name: str, preset: str) -> Tracker:
    options = REDUCED.get((name, preset), {})
    tracker = create_tracker(
        name, preset, device='cpu', precision='float32', weights='random', **options
    )
    tracker.steps = Prepared(tracker.device)
    return tracker


def picture(size: tuple[int, int] = (120, 160), seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def step_inputs(tracker: Tracker, count: int = 1) -> tuple[StepProgram, StepInputs]:
    """A step, and what it is called with for so many targets, which are all the same."""
    frame = torch.from_numpy(picture())
    target = tracker.start(frame, Box(50, 40, 40, 40))
    geometry = torch.stack([tracker.search_geometry(target, (160, 120))] * count)
    parts = tracker.model_tensors(target)
    with torch.inference_mode():
        inputs = StepInputs(frame, geometry, [torch.cat([part] * count) for part in parts])
        return tracker.program(tracker.program_key(target, (160, 120))), inputs


def with_float32(inputs: StepInputs) -> StepInputs:
    """As exported files want it."""
    return replace(inputs, geometry=inputs.geometry.float())


class Refuse(TorchDispatchMode):
    """Refuses what a CUDA graph cannot capture: reading back, moving between devices, and shapes
    that depend on values. The device is torch's `meta`, which knows shapes only.

    Args:
        uploads: Allow what is done on the host alone, and to bring it to the device.
    """

    REFUSED = ('_local_scalar_dense', 'nonzero', 'masked_select', 'unique', 'lift_fresh', 'equal')

    def __init__(self, uploads: bool = False) -> None:
        super().__init__()
        self.uploads = uploads
        self.operations = 0  # on the device: what only looks at a tensor in another way is none

    def __torch_dispatch__(
        self, op: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        name = str(op).removeprefix('aten.')
        given = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        if self.uploads and not any(x.is_meta for x in given):
            return op(*args, **(kwargs or {}))
        if self.uploads and name.startswith('copy_'):
            assert given[0].is_meta, 'read back'
            return op(*args, **(kwargs or {}))
        assert not name.startswith(self.REFUSED), f'{name} waits for the device'
        if name.startswith(('index.Tensor', 'index_put')):
            assert all(i is None or i.dtype != torch.bool for i in args[1]), f'{name} by a mask'
        result = op(*args, **(kwargs or {}))
        self.operations += not (op.is_view or name.startswith('_unsafe_view'))
        for value in tree_leaves((args, kwargs, result)):
            if isinstance(value, Tensor):
                assert value.is_meta, f'{name} touches a tensor that is not on the device'
        return result


def on_meta(value: Any, memo: dict[int, Any]) -> Any:
    """A copy of an object with every tensor in it on the device `meta`."""
    if id(value) in memo:
        return memo[id(value)]
    if isinstance(value, Tensor):
        found = torch.empty_like(value, device='meta')
        if isinstance(value, nn.Parameter):
            found = nn.Parameter(found, requires_grad=False)
    elif isinstance(value, torch.device):
        found = torch.device('meta')
    elif isinstance(value, dict):
        found = type(value)((key, on_meta(v, memo)) for key, v in value.items())
    elif isinstance(value, (list, tuple)):
        found = type(value)(on_meta(v, memo) for v in value)
    elif isinstance(value, (nn.Module, Tracker)) or (
        type(value).__module__.startswith('tracker_core')
    ):
        found = memo[id(value)] = copy.copy(value)
        found.__dict__.update({key: on_meta(v, memo) for key, v in vars(value).items()})
    else:
        found = value
    memo[id(value)] = found
    return found


def most_operations() -> dict[tuple[str, str], int]:
    """What docs/speed.md says of the steps."""
    page = (Path(__file__).parents[2] / 'docs' / 'speed.md').read_text()
    rows = re.findall(r'^\| `(\w+)` \| `(\w+)` \| \d+ \| (\d+) \|$', page, re.MULTILINE)
    return {(name, preset): int(count) for name, preset, count in rows}


@pytest.mark.parametrize(('name', 'preset'), PRESETS)
def test_a_step_can_be_captured(name: str, preset: str) -> None:
    """For one and for two targets, with no more operations than are published."""
    tracker = prepared(name, preset)
    program, inputs = step_inputs(tracker, 2)
    memo: dict[int, Any] = {}
    there = on_meta(tracker, memo)
    for count in (1, 2):
        frame, geometry, model = (
            on_meta(x, memo) for x in (inputs.frame, inputs.geometry, inputs.model)
        )
        with torch.inference_mode(), Refuse() as refuse:
            result, *_ = there.step(
                program.key, frame, geometry[:count], *(part[:count] for part in model)
            )
        assert len(result) == count
        if count == 1:
            assert 0 < refuse.operations <= most_operations().get((name, preset), math.inf)


def test_all_steps_have_their_operations_published() -> None:
    assert most_operations().keys() == set(PRESETS)


def test_what_cannot_be_captured_is_noticed() -> None:
    x = torch.empty(3, device='meta')
    for step in (
        lambda: x + torch.tensor([1.0, 2.0, 3.0]),
        lambda: x[x > 0],
        lambda: x.cpu(),
        lambda: x.to('cpu') + 1,
        lambda: torch.ones(3) + 1,
    ):
        with pytest.raises((AssertionError, RuntimeError)), Refuse():
            step()


@pytest.mark.parametrize(('name', 'preset'), [p for p in PRESETS if p[0] != 'dat'])
def test_learning_reads_nothing_back(name: str, preset: str) -> None:
    """So `learn` returns while the device works. DAT draws with a generator of the device, which
    `meta` does not have."""
    options = {**REDUCED.get((name, preset), {}), **LEARNING.get(name, {})}
    options.update({'tracking_score': 0.0, 'lost_score': 0.0, 'same_similarity': -1.0})
    weights = None if tracker_declaration(name).preset(preset).is_bundled else 'random'
    tracker = create_tracker(name, preset, 'cpu', 'float32', 'eager', weights, **options)
    scene = render_scene('calm', frames=60, size=(320, 240))
    images = [scene[0], scene[1]]
    target = tracker.start(images[0], scene.boxes[0])
    tracker.track(images[1], target, learn=False)
    memo: dict[int, Any] = {}
    there, target = on_meta(tracker, memo), on_meta(target, memo)
    before = there.model_tensors(target)
    with Refuse(uploads=True):
        there.learn(target)
    learns = (name, preset) in {
        ('atom', 'compact'), ('ocean', 'compact'), ('ocean', 'compact_online'), ('tadt', 'compact')
    }  # fmt: skip
    same = all(map(operator.is_, before, there.model_tensors(target)))
    assert same != learns or preset.startswith('paper')  # random weights may find nothing


# ------------------------------------------------------------------------------------------ parts


def test_models_are_joined_once() -> None:
    models = [(torch.zeros(1, 2), torch.ones(1, 3)), (torch.ones(1, 2), torch.zeros(1, 3))]
    join = Joined()
    first = join(models)
    assert first[0].tolist() == [[0, 0], [1, 1]]
    assert join(list(models)) is first
    models[1] = (torch.full((1, 2), 5.0), models[1][1])
    assert join(models)[0].tolist() == [[0, 0], [5, 5]]
    assert join(models[:1]) is models[0]


def test_programs_that_are_not_used_go_first() -> None:
    programs, made = Programs(2), []
    for key in 'abacab':
        assert programs.get(key, lambda key=key: made.append(key) or key) == key
    assert ''.join(made) == 'abcb'  # b went for c, a was used in between


@pytest.mark.parametrize('size', [(17, 23), (64, 48)])
def test_frame_and_geometry_travel_together(size: tuple[int, int]) -> None:
    frame, geometry = torch.from_numpy(picture(size)), torch.rand(3, 7, dtype=torch.float64)
    staging = Staging(frame, geometry, torch.device('cpu'))
    for seed in range(2):
        frame, geometry = torch.from_numpy(picture(size, seed)), geometry + 1
        staging.upload(frame, geometry, (slice(0, size[0]), slice(0, size[1])))
        assert torch.equal(staging.frame, frame)
        assert torch.equal(staging.geometry, geometry)
    part = slice(3, 9), slice(5, 17)
    other = torch.from_numpy(picture(size, 2))
    staging.upload(other, geometry + 1, part)
    frame[part] = other[part]  # the rest stays
    assert torch.equal(staging.frame, frame)
    assert torch.equal(staging.geometry, geometry + 1)


class Blinkered(Eager):
    """Sees noise wherever a program says that it does not look, and shall find the same."""

    prepares_programs = True

    def __init__(self, device: torch.device) -> None:
        super().__init__(device)
        self.shares: list[float] = []

    def __call__(
        self, program: StepProgram, frame: Tensor, geometry: Tensor, models: Sequence[Tensors]
    ) -> tuple[Rows, Tensors]:
        part = program.seen(frame, geometry)
        noise = torch.from_numpy(picture((frame.shape[0], frame.shape[1]), 7))
        noise[part] = frame[part]
        self.shares.append(frame[part].numel() / frame.numel())
        wanted, kept = super().__call__(program, frame, geometry, models)
        found, others = super().__call__(program, noise, geometry, models)
        np.testing.assert_array_equal(found, wanted)
        for one, other in zip(others, kept, strict=True):
            np.testing.assert_array_equal(one, other)
        return wanted, kept


@pytest.mark.parametrize(('name', 'preset'), PRESETS)
def test_a_step_looks_nowhere_else_than_it_says(name: str, preset: str) -> None:
    """In the middle, at each border and beyond it, for one target and for two."""
    options = {} if preset == 'compact' else REDUCED.get((name, preset), {})
    weights = None if tracker_declaration(name).preset(preset).is_bundled else 'random'
    tracker = create_tracker(name, preset, 'cpu', 'float32', 'eager', weights, **options)
    tracker.steps = eyes = Blinkered(tracker.device)
    size = (400, 300)
    image = picture(size[::-1])
    boxes = [Box(371, 275, 40, 33), Box(190, 140, 24, 30), Box(2, 3, 21, 18), Box(180, -9, 60, 20)]
    if preset.startswith('paper'):
        boxes = boxes[:1]  # these take seconds
    targets = [tracker.start(image, box) for box in boxes]
    frame = torch.from_numpy(picture(size[::-1], 1))
    with torch.inference_mode():
        for target in targets:
            tracker.locate(frame, [target])
        tracker.locate(frame, [replace(targets[0], search_offset=(300.0, 200.0))])
        tracker.locate(frame, targets[1:3])
    if preset.startswith('compact'):
        assert len(eyes.shares) >= 6
        assert min(eyes.shares) < 0.5


def test_filled_up_templates_change_nothing() -> None:
    """What TADT does to have few different shapes."""
    scene = render_scene(frames=6, size=(320, 240))
    images = list(scene)
    tracks = []
    for runtime_of in (Eager, Prepared):
        tracker = create_tracker('tadt', device='cpu', precision='float32')
        tracker.steps = runtime_of(tracker.device)
        tracks.append(follow(tracker, images, scene.boxes[0]))
    assert_same_boxes(*tracks, 1e-3)


# ------------------------------------------------------------------------------------------- onnx


def follow(tracker: Tracker, images: list[np.ndarray], box: Box) -> list[Track]:
    target = tracker.start(images[0], box)
    return [tracker.track(image, target) for image in images[1:]]


def assert_same_boxes(one: list[Track], other: list[Track], limit: float) -> None:
    rows = [[track.box.as_xywh() for track in tracks] for tracks in (one, other)]
    np.testing.assert_allclose(rows[0], rows[1], rtol=0, atol=limit)


@pytest.fixture(scope='module')
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp('cache')
        patch.setenv('TRACKER_CACHE', str(folder))
        yield folder


@lru_cache(maxsize=2)
def compact(name: str, runtime: str) -> Tracker:
    options = REDUCED.get((name, 'compact'), {})
    return create_tracker(name, 'compact', 'cpu', 'float32', runtime, **options)


@pytest.mark.parametrize('name', list_trackers())
def test_onnx_runtime_finds_the_same_boxes(name: str, cache: Path) -> None:
    """Over a rendered scene, learning included; the file fits frames of any size; and over a real
    sequence where there is one."""
    for module in ('onnx', 'onnxscript', 'onnxruntime'):
        pytest.importorskip(module)
    scene = render_scene(frames=8, size=(320, 240))
    images = list(scene)
    eager, onnx = (compact(name, runtime) for runtime in ('eager', 'onnx'))
    assert onnx.runtime == 'onnx'
    assert_same_boxes(*(follow(t, images, scene.boxes[0]) for t in (eager, onnx)), 0.05)
    files = list(cache.rglob(f'{name}_*.onnx'))
    assert len(files) == 1
    # TensorRT would take them, but for bytes inside, which are widened for it alone
    assert all(each.endswith('does not take UINT8') for each in obstacles(files[0]))
    cut = [image[:200, :300] for image in images[:3]]
    assert_same_boxes(*(follow(t, cut, scene.boxes[0]) for t in (eager, onnx)), 0.05)
    assert list(cache.rglob(f'{name}_*.onnx')) == files

    images, box = skiing(9)  # later the rounding of one frame moves the crop of the next
    if name != 'dat':
        assert_same_boxes(*(follow(t, images, box) for t in (eager, onnx)), 0.05)
        return
    # its training amplifies rounding from frame to frame, so each frame begins alike for both
    target, tracks = eager.start(images[0], box), []
    for image in images[1:]:
        same = copy.deepcopy(target, {id(eager): onnx})  # it belongs to the other tracker
        tracks.append((onnx.track(image, same, learn=False), eager.track(image, target)))
    assert_same_boxes(*map(list, zip(*tracks, strict=True)), 0.05)


def skiing(count: int) -> tuple[list[np.ndarray], Box]:
    files = sequence_frames('Skiing', count)
    x, y, w, h = read_boxes(files[0].parents[1] / 'groundtruth_rect.txt', offset=1)[0]
    return [read_image(path) for path in files], Box(x, y, w, h)


def test_command_export(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file says what it is, and ONNX Runtime runs it for several targets."""
    for module in ('onnx', 'onnxscript', 'onnxruntime'):
        pytest.importorskip(module)
    import onnxruntime

    path = tmp_path / 'tadt.onnx'
    arguments = ['export', '--tracker', 'tadt', '--targets', '2', '--target-size', '60x90']
    assert main([*arguments, '--out', str(path)]) == 0
    assert f'wrote {path}' in capsys.readouterr().out
    session = onnxruntime.InferenceSession(str(path), providers=['CPUExecutionProvider'])
    about = session.get_modelmeta().custom_metadata_map
    assert (about['tracker'], about['preset'], about['targets']) == ('tadt', 'compact', '2')
    tracker = compact('tadt', 'eager')
    steps, tracker.steps = tracker.steps, Prepared(tracker.device)
    target = tracker.start(picture((240, 320)), Box(100, 60, 60, 90))
    tracker.steps = steps
    geometry = torch.stack([tracker.search_geometry(target, (320, 240))] * 2)
    geometry[1, 0] += 5
    frame = torch.from_numpy(picture((240, 320), seed=1))
    model = [part.expand(2, *part.shape[1:]) for part in tracker.model_tensors(target)]
    program = tracker.program(tracker.program_key(target, (320, 240)))
    with torch.inference_mode():
        wanted, *_ = program.run(frame, geometry, *model)
    found, *_ = run(session, StepInputs(frame, geometry.float(), model))
    np.testing.assert_allclose(found, wanted, atol=1e-3)

    # What docs/speed.md does with it needs public names alone, and finds what the tracker finds
    page = (Path(__file__).parents[2] / 'docs' / 'speed.md').read_text()
    (code,) = re.findall(r'```python\n(.*?)```', page, re.DOTALL)
    assert not re.search(r'\._[a-z]', code)
    boxes = [Box(100, 60, 60, 90), Box(30, 90, 60, 90)]
    names: dict[str, Any] = {'image': picture((240, 320)), 'boxes': boxes}
    monkeypatch.chdir(tmp_path)
    exec(code, names)
    targets = [tracker.start(names['image'], box) for box in boxes]
    tracks = tracker.track_many(names['image'], targets)
    for ours, theirs in zip(tracks, names['tracks'], strict=True):
        assert ours.status is theirs.status
        np.testing.assert_allclose(theirs.box.as_xywh(), ours.box.as_xywh(), atol=0.05)
        assert theirs.score == pytest.approx(ours.score, abs=1e-3)

    released = ['--preset', 'paper', '--weights', 'random', '--set', 'released=true']
    assert main(['export', '--tracker', 'tadt', *released]) == 2
    assert 'cannot be exported' in capsys.readouterr().err


def test_crops_of_candidates_are_exported(tmp_path: Path) -> None:
    """DAT's published network, whose program holds for targets up to a size."""
    for module in ('onnx', 'onnxscript', 'onnxruntime'):
        pytest.importorskip(module)
    path = tmp_path / 'dat.onnx'
    tracker = prepared('dat', 'paper')
    program, inputs = step_inputs(tracker)
    write_onnx(program, inputs, path)
    assert all(each.endswith('does not take UINT8') for each in obstacles(path))
    session = open_session(path)
    for size in ((120, 160), (90, 140)):
        inputs = replace(inputs, frame=torch.from_numpy(picture(size, seed=2)))
        with torch.inference_mode():
            wanted, seen = program.run(inputs.frame, inputs.geometry, *inputs.model)
        found, kept = run(session, with_float32(inputs))
        # what follows are boxes of a random refiner, which lie anywhere
        np.testing.assert_allclose(found[:, :4], wanted[:, :4], atol=0.05)
        assert torch.equal(kept, seen)


def test_precision_that_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    """bfloat16 where it is faster and harmless, and only if nothing else was asked for."""
    for speedup, expected in ((3.0, torch.bfloat16), (1.0, torch.float32)):
        monkeypatch.setattr(runtime, 'bfloat16_speedup', lambda speedup=speedup: speedup)
        tracker = create_tracker('ocean', 'paper', 'cpu', weights='random')
        assert (tracker.runtime, tracker.precision) == ('eager', expected)
        assert create_tracker('spm', device='cpu').precision == torch.float32
    monkeypatch.setattr(runtime, 'bfloat16_speedup', lambda: 3.0)
    tracker = create_tracker('tadt', 'paper', 'cpu', weights='random', released=True)
    assert tracker.precision == torch.float32
    assert create_tracker('ocean', 'paper', 'cpu', 'float32', weights='random').precision == (
        torch.float32
    )


def test_speedup_is_measured() -> None:
    assert 0.01 < runtime.bfloat16_speedup() < 100


def test_runtimes_that_cannot_be(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ParameterError, match='cuda_graph needs a CUDA device'):
        create_tracker('spm', device='cpu', runtime='cuda_graph')
    with pytest.raises(ParameterError, match='tensorrt needs a CUDA device'):
        create_tracker('spm', device='cpu', runtime='tensorrt')
    monkeypatch.setitem(sys.modules, 'onnxruntime', None)
    with pytest.raises(ParameterError, match='pip install'):
        create_tracker('spm', device='cpu', runtime='onnx')


# ------------------------------------------------------------------------------------- benchmarks


def test_gpu_benchmark_runs_dry(tmp_path: Path) -> None:
    """A minute budget that is over at once still leaves a report."""
    script = Path(__file__).parents[2] / 'benchmarks' / 'gpu.py'
    benchmark = runpy.run_path(str(script))
    device = torch.device('cpu')
    report = benchmark['Report'](tmp_path / 'report', 60)
    report.item(
        'checks', 'tadt', lambda: benchmark['check']('tadt', 'compact', device, 'float32', 'eager')
    )
    report.item(
        'updates',
        'atom',
        lambda: benchmark['check_update']('atom', 'compact', device, 'float32', 'eager'),
    )
    tracker = compact('tadt', 'eager')
    report.item('speed', 'tadt', lambda: benchmark['speed'](tracker, (160, 120), 2, 1.0, 2))
    rates = {'float32': 1e11}
    report.item('roofline', 'tadt', lambda: benchmark['roofline'](tracker, rates, 1e10, 20.0))
    report.item('speed', 'broken', lambda: 1 / 0)
    written = json.loads((tmp_path / 'report.json').read_text())
    assert written['checks'][0]['verdict'] == 'ok'
    assert written['updates'][0]['difference'] == 0
    assert written['speed'][0]['fps'] > 0
    assert written['roofline'][0]['gflop'] == pytest.approx(1.6, rel=0.5)  # 0.7 G multiply-adds
    assert [f['item'] for f in written['failures']] == ['broken']
    assert '## roofline' in (tmp_path / 'report.md').read_text()
    report.deadline = 0
    with pytest.raises(benchmark['OutOfTimeError']):
        report.item('speed', 'late', dict)


def test_an_item_does_not_take_others_with_it() -> None:
    """It runs in a process that another one can follow, as after an assertion on a GPU."""
    script = Path(__file__).parents[2] / 'benchmarks' / 'gpu.py'
    benchmark = runpy.run_path(str(script))
    run = benchmark['Worker'](time.monotonic() + 300)
    failed = benchmark['ItemError']
    try:
        assert run('copy_rate', 'cpu', 'cpu')['giga_per_second'] > 0
        with pytest.raises(failed, match='UnknownTrackerError'):
            run('check', 'nobody', 'compact', 'cpu', 'float32', 'eager')
        first = run._process
        assert first.poll() is None
        first.kill()
        with pytest.raises(failed, match='took its process down'):
            run('copy_rate', 'cpu', 'cpu')
        run._longest = 1.0  # less than it takes to begin another process
        with pytest.raises(failed, match='took longer than 1 s'):
            run('copy_rate', 'cpu', 'cpu')
        assert run._process is None
    finally:
        run.stop()

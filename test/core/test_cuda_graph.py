# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""What is captured once and run again does what running it eagerly does.

There is no GPU here, so graphs are tapes (`tape.py`); benchmarks/gpu.py checks the real ones.
"""

from __future__ import annotations

from collections.abc import Iterator
import contextlib
import copy
import logging
from typing import Any

import numpy as np
from presets import LEARNING, PRESETS, REDUCED
import pytest
from tape import capture, Event, on_stream, Stream, Tape
import torch
from torch import Tensor

from tracker_core import (
    Box,
    create_tracker,
    ParameterError,
    Target,
    Track,
    Tracker,
    tracker_declaration,
)
from tracker_core.media.scene import render_scene
from tracker_core.runtime import cuda_graph
from tracker_core.runtime.cuda_graph import CudaGraphs, CudaGraphUpdates, waits_asleep
from tracker_core.runtime.eager import EagerUpdates
from tracker_core.runtime.exactness import exact_float32

CPU = torch.device('cpu')


@pytest.fixture
def tapes(monkeypatch: pytest.MonkeyPatch) -> list[Tape]:
    """Has `tracker_core.runtime.cuda_graph` record tapes; gives those of the test."""

    def nothing(*args: Any, **kwargs: Any) -> contextlib.nullcontext:
        return contextlib.nullcontext()

    monkeypatch.setattr(Tape, 'all', [])
    monkeypatch.setattr(Stream, 'made', [])
    monkeypatch.setattr(Stream, 'current', Stream(), raising=False)
    monkeypatch.setattr(cuda_graph, 'WARM_UPS', 1)
    for name, value in {
        'CUDAGraph': Tape,
        'graph': capture,
        'Stream': Stream,
        'current_stream': lambda device=None: Stream.current,
        'stream': on_stream,
        'set_stream': lambda stream: setattr(Stream, 'current', stream),
        'device': nothing,
        'Event': Event,
        'graph_pool_handle': nothing,
        'synchronize': nothing,
    }.items():
        monkeypatch.setattr(torch.cuda, name, value)
    return Tape.all


def make(name: str, preset: str, **options: Any) -> Tracker:
    weights = None if tracker_declaration(name).preset(preset).is_bundled else 'random'
    options = {**REDUCED.get((name, preset), {}), **LEARNING.get(name, {}), **options}
    return create_tracker(name, preset, 'cpu', 'float32', 'eager', weights, **options)


def captured(name: str, preset: str, **options: Any) -> Tracker:
    tracker = make(name, preset, **options)
    tracker.steps, tracker.updates = CudaGraphs(CPU), CudaGraphUpdates(CPU)
    return tracker


def boxes_of(tracks: list[Track]) -> np.ndarray:
    return np.array([[*track.box.as_xywh(), track.raw_score] for track in tracks])


def learnt(target: Target) -> list[Tensor]:
    return [part.double() for part in target.owner.model_tensors(target)]


@pytest.mark.parametrize(('name', 'preset'), PRESETS)
def test_captured_steps_and_updates_do_the_same(
    name: str, preset: str, tapes: list[Tape], caplog: pytest.LogCaptureFixture
) -> None:
    """For one target, for two, one of them alone, in images of another size, and after updates:
    the frames of a scene, each from the same state."""
    # of random features, conjugate gradients amplify what the order of a sum changes: a memory
    # that is filled up is summed in another one
    limit = 0.1 if (name, preset) == ('atom', 'paper') else 1e-3
    eager, graphs = make(name, preset), captured(name, preset)
    frames = 5 if preset.startswith('compact') else 3
    scene = render_scene(frames=1 + frames, size=(320, 240))
    images = list(scene)
    boxes = [scene.boxes[0], Box(150, 60, 44, 36)]
    eager.steps.prepares_programs = True  # models in the shapes that programs want
    targets = [eager.start(images[0], box) for box in boxes]
    for index, image in enumerate(images[1:]):
        chosen = [targets, targets[:1], targets[1:], targets, targets][index]
        image = image[:200, :300].copy() if index == 2 else image
        same = [copy.deepcopy(target, {id(eager): graphs}) for target in chosen]
        wanted = eager.track_many(image, chosen)
        found = graphs.track_many(image, same)
        np.testing.assert_allclose(boxes_of(found), boxes_of(wanted), rtol=1e-4, atol=2e-3)
        for one, other in zip(same, chosen, strict=True):
            for part, right in zip(learnt(one), learnt(other), strict=True):
                assert (part - right).norm() <= limit * right.norm() + 1e-6
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert all(tape.runs for tape in tapes)


@pytest.mark.parametrize(
    ('name', 'preset'), [('atom', 'compact'), ('dat', 'compact'), ('ocean', 'compact_online')]
)
def test_few_programs_serve_a_growing_memory(name: str, preset: str, tapes: list[Tape]) -> None:
    tracker = captured(name, preset)
    scene = render_scene('calm', frames=120, size=(160, 120))  # found in every frame
    images = [scene[i] for i in range(12)]
    target = tracker.start(images[0], scene.boxes[0])
    for image in images[1:]:
        tracker.track(image, target)
    assert 2 <= len(tapes) <= 3  # one of them the step's
    assert tracker.updates.samples(33, 250) == 64
    assert tracker.updates.samples(64, 250) == 64
    assert tracker.updates.samples(200, 250) == 250


def test_what_cannot_be_captured_runs_eagerly(
    tapes: list[Tape], caplog: pytest.LogCaptureFixture
) -> None:
    """And is said once."""
    updates = CudaGraphUpdates(CPU)

    def double(x: Tensor, factor: float) -> tuple[Tensor]:
        return (x * factor if float(x.sum()) > 0 else x,)

    for value in (1.0, 2.0):
        (found,) = updates(double, [torch.full((3,), value)], factor=2.0)
        assert found.tolist() == [2 * value] * 3
    assert ['cannot be captured' in r.getMessage() for r in caplog.records] == [True]


def test_outcomes_of_updates_are_their_own(tapes: list[Tape]) -> None:
    """Neither a program's buffers nor its outputs, which the next run overwrites; other constants
    are another program."""
    updates = CudaGraphUpdates(CPU)

    def grow(x: Tensor, by: float) -> tuple[Tensor, Tensor]:
        return x.add_(by), x * 2

    x = torch.ones(2)
    first = updates(grow, [x], by=1.0)
    second = updates(grow, [first[0]], by=1.0)
    third = updates(grow, [second[0]], by=10.0)
    assert [part.tolist() for part in (*first, *second, *third)] == [
        [2, 2], [4, 4], [3, 3], [6, 6], [13, 13], [26, 26]
    ]  # fmt: skip
    assert x.tolist() == [1, 1]
    assert len(tapes) == 2


def grown(x: Tensor, by: float) -> tuple[Tensor]:
    return (x + by,)


def test_graphs_share_a_stream(tapes: list[Tape]) -> None:
    """What is captured on another one shares neither memory nor workspaces."""
    updates, default = CudaGraphUpdates(CPU), Stream.current
    for by in range(5):
        assert updates(grown, [torch.zeros(1)], by=float(by))[0].tolist() == [by]
    assert len(tapes) == 5
    assert len(Stream.made) == 2  # the default one and that of the captures
    assert Stream.current is default


def test_graphs_go_together(tapes: list[Tape], monkeypatch: pytest.MonkeyPatch) -> None:
    """After the device is done: one that goes may take what another one uses."""
    monkeypatch.setattr(cuda_graph, 'MOST_GRAPHS', 3)
    waits: list[int] = []
    monkeypatch.setattr(torch.cuda, 'synchronize', lambda device: waits.append(len(tapes)))
    updates = CudaGraphUpdates(CPU)
    for by in (0, 1, 2, 1, 0, 3, 3, 0):
        assert updates(grown, [torch.zeros(1)], by=float(by))[0].tolist() == [by]
    assert waits == [3]  # before the fourth
    assert len(tapes) == 5
    assert len(Stream.made) == 3  # what comes then begins anew


def test_the_stream_comes_back(tapes: list[Tape]) -> None:
    """Where a capture fails, torch leaves the one that it captured on."""
    updates, default = CudaGraphUpdates(CPU), Stream.current

    def waits(x: Tensor) -> tuple[Tensor]:
        return (x * float(x),)

    assert updates(waits, [torch.full((1,), 3.0)])[0].tolist() == [9]
    assert Stream.current is default
    assert torch.backends.cudnn.benchmark is False


@pytest.fixture
def rounding() -> Iterator[tuple[Any, Any]]:
    """Where torch is told that convolutions and products may round; here they may."""
    holders = torch.backends.cudnn.conv, torch.backends.cuda.matmul
    if not all(hasattr(holder, 'fp32_precision') for holder in holders):
        pytest.skip('this torch has other switches')
    before = [holder.fp32_precision for holder in holders]
    for holder in holders:
        holder.fp32_precision = 'tf32'
    yield holders
    for holder, value in zip(holders, before, strict=True):
        holder.fp32_precision = value


def test_fits_are_exact(rounding: tuple[Any, Any]) -> None:
    """In float32, whatever a program allows convolutions and products, and only they."""
    found: list[tuple[str, str]] = []
    holders = rounding

    class Watched(EagerUpdates):
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            found.append(tuple(holder.fp32_precision for holder in holders))
            return super().__call__(*args, **kwargs)

    tracker = make('atom', 'compact')
    tracker.updates = Watched()
    scene = render_scene('calm', frames=20, size=(160, 120))
    target = tracker.start(scene[0], scene.boxes[0])
    tracker.track(scene[1], target)
    assert found == [('ieee', 'ieee')]
    assert [holder.fp32_precision for holder in holders] == ['tf32', 'tf32']
    with pytest.raises(ValueError, match='inside'), exact_float32():
        raise ValueError('inside')
    assert [holder.fp32_precision for holder in holders] == ['tf32', 'tf32']


@pytest.mark.parametrize(('wanted', 'asleep'), [('sleep', True), ('spin', False), (None, False)])
def test_how_the_host_waits(
    wanted: str | None, asleep: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv('TRACKER_WAIT', raising=False)
    if wanted:
        monkeypatch.setenv('TRACKER_WAIT', wanted)
    assert waits_asleep() is asleep
    monkeypatch.setenv('TRACKER_WAIT', 'doze')
    with pytest.raises(ParameterError, match="spin or sleep, not 'doze'"):
        waits_asleep()

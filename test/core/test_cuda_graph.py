# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""What is captured once and run again does what running it eagerly does.

There is no GPU here, so graphs are tapes (`tape.py`); benchmarks/gpu.py checks the real ones.
"""

from __future__ import annotations

import contextlib
import copy
import logging
from typing import Any

import numpy as np
from presets import LEARNING, PRESETS, REDUCED
import pytest
from tape import Event, Stream, Tape
import torch
from torch import Tensor

from tracker_core import Box, create_tracker, Target, Track, Tracker, tracker_declaration
from tracker_core.media.scene import render_scene
from tracker_core.runtime import cuda_graph
from tracker_core.runtime.cuda_graph import CudaGraphs, CudaGraphUpdates

CPU = torch.device('cpu')


@pytest.fixture
def tapes(monkeypatch: pytest.MonkeyPatch) -> list[Tape]:
    """Has `tracker_core.runtime.cuda_graph` record tapes; gives those of the test."""

    def nothing(*args: Any, **kwargs: Any) -> contextlib.nullcontext:
        return contextlib.nullcontext()

    def graph(tape: Tape, **kwargs: Any) -> Tape:
        return tape

    monkeypatch.setattr(Tape, 'all', [])
    monkeypatch.setattr(cuda_graph, 'WARM_UPS', 1)
    for name, value in {
        'CUDAGraph': Tape,
        'graph': graph,
        'Stream': Stream,
        'current_stream': Stream,
        'stream': nothing,
        'set_stream': nothing,
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

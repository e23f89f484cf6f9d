# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Steps are programs that any runtime can execute, and the runtimes that run here agree."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn, Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tracker_core import Box, create_tracker, list_trackers, Tracker, tracker_class

# presets named paper_... are the networks of paper with other numbers, but for the online branch
PRESETS = [
    (name, preset)
    for name in list_trackers()
    for preset in tracker_class(name).presets
    if not preset.startswith('paper_') or preset == 'paper_online'
]
# parameters that make the first frame affordable; the step stays what it is
REDUCED = {
    ('dat', 'paper'): {
        'candidates': 12,
        'averaged': 3,
        'first_positives': 8,
        'first_negatives': 16,
        'regression_samples': 8,
        'first_iterations': 1,
        'batch': 2,
        'mined_from': 8,
        'hidden': 64,
    },
}


def make_tracker(name: str, preset: str, **options: Any) -> Tracker:
    options = {'device': 'cpu', 'precision': 'float32', 'weights': 'random', **options}
    return create_tracker(name, preset, **options, **REDUCED.get((name, preset), {}))


def picture(size: tuple[int, int] = (120, 160), seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def step_inputs(tracker: Tracker, boxes: list[Box]) -> tuple[Any, Tensor, Tensor, list[Tensor]]:
    """Shape, frame, numbers and models of a step for targets that share one."""
    frame = torch.from_numpy(picture())
    targets = [tracker.start(frame, box) for box in boxes]
    shapes = {tracker._shape(target, (160, 120)) for target in targets}
    assert len(shapes) == 1
    with torch.inference_mode():
        numbers = torch.stack([tracker._numbers(target, (160, 120)) for target in targets])
        parts = zip(*(tracker._tensors(target) for target in targets), strict=True)
        return shapes.pop(), frame, numbers, [torch.cat(part) for part in parts]


class Refuse(TorchDispatchMode):
    """Refuses what a CUDA graph cannot capture: reading back, moving between devices, and shapes
    that depend on values. The device is torch's `meta`, which knows shapes only."""

    REFUSED = ('_local_scalar_dense', 'nonzero', 'masked_select', 'unique', 'lift_fresh', 'equal')

    def __torch_dispatch__(
        self, op: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        name = str(op).removeprefix('aten.')
        assert not name.startswith(self.REFUSED), f'{name} waits for the device'
        if name.startswith(('index.Tensor', 'index_put')):
            assert all(i is None or i.dtype != torch.bool for i in args[1]), f'{name} by a mask'
        result = op(*args, **(kwargs or {}))
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
    elif isinstance(value, nn.Module) or type(value).__module__.startswith('tracker_core'):
        found = memo[id(value)] = copy.copy(value)
        found.__dict__.update({key: on_meta(v, memo) for key, v in vars(value).items()})
    else:
        found = value
    memo[id(value)] = found
    return found


@pytest.mark.parametrize(('name', 'preset'), PRESETS)
@pytest.mark.parametrize('count', [1, 2])
def test_a_step_can_be_captured(name: str, preset: str, count: int) -> None:
    tracker = make_tracker(name, preset)
    boxes = [Box(50, 40, 40, 40), Box(60, 30, 40, 40)][:count]
    shape, frame, numbers, model = step_inputs(tracker, boxes)
    expected = tracker.step(shape, frame, numbers, *model)
    with torch.inference_mode():
        memo: dict[int, Any] = {}
        there = on_meta(tracker, memo)
        inputs = [on_meta(x, memo) for x in (frame, numbers, *model)]
        with Refuse():
            found = there.step(shape, *inputs)
    assert [x.shape for x in found] == [x.shape for x in expected]
    assert len(found[0]) == count


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

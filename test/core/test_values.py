# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Boxes, images and parameters."""

from __future__ import annotations

import ast
from dataclasses import dataclass
import math
from pathlib import Path
import re

import numpy as np
import pytest
import torch

from tracker_core import (
    Box,
    BoxError,
    create_tracker,
    list_trackers,
    ParameterError,
    tracker_declaration,
    TrackerError,
)
from tracker_core.boxes import startable
from tracker_core.images import as_frame, sample_grid, window_positions
from tracker_core.layers.interpolation import bilinear_weights, resample
from tracker_core.parameters import describe, parameter, TrackerConfig, with_parameters


@pytest.mark.parametrize(
    ('a', 'b', 'iou'),
    [
        (Box(0, 0, 10, 10), Box(0, 0, 10, 10), 1.0),
        (Box(0, 0, 10, 10), Box(5, 0, 10, 10), 1 / 3),
        (Box(0, 0, 10, 10), Box(10, 0, 10, 10), 0.0),
        (Box(0, 0, 4, 4), Box(1, 1, 2, 2), 0.25),
        (Box(-5, -5, 10, 10), Box(0, 0, 10, 10), 25 / 175),
    ],
)
def test_iou(a: Box, b: Box, iou: float) -> None:
    assert a.iou(b) == pytest.approx(iou)
    assert b.iou(a) == pytest.approx(iou)


def test_box_edges_and_centre() -> None:
    box = Box.from_center(10, 20, 4, 6)
    assert box == Box(8, 17, 4, 6)
    assert (box.cx, box.cy, box.x2, box.y2, box.area) == (10, 20, 12, 23, 24)


@pytest.mark.parametrize(
    'numbers',
    [(0, 0, 0, 1), (0, 0, 1, -1), (math.nan, 0, 1, 1), (0, math.inf, 1, 1), ('a', 0, 1, 1)],
)
def test_refused_boxes(numbers: tuple) -> None:
    with pytest.raises(BoxError, match='box'):
        Box(*numbers)


@pytest.mark.parametrize('size', [(0.2, 0.3), (0.9, 40), (40, 0.9)])
def test_a_box_in_shares_of_the_image_is_refused(size: tuple[float, float]) -> None:
    with pytest.raises(BoxError, match='shares of its width and height'):
        startable(Box(0.4, 0.4, *size))
    assert startable(Box(0.4, 0.4, 1, 1)) == Box(0.4, 0.4, 1, 1)


def test_a_box_reads_like_a_sentence() -> None:
    assert str(Box(3, 4.5, 10, 20)) == 'box of 10 x 20 pixels at (3, 4.5)'


def test_sample_grid_agrees_with_torch() -> None:
    rng = np.random.default_rng(0)
    frame = as_frame(rng.integers(0, 256, (40, 60, 3), dtype=np.uint8))
    ys = torch.tensor([[3.25, 7.5, 20.0], [0.0, 38.9, 39.0]])
    xs = torch.tensor([[1.75, 30.5, 58.0, 59.0], [0.0, 0.5, 4.0, 12.25]])
    found = sample_grid(frame, ys, xs)
    image = frame.permute(2, 0, 1)[None].float()
    for n in range(2):
        grid = torch.stack(
            torch.meshgrid(xs[n] / 59 * 2 - 1, ys[n] / 39 * 2 - 1, indexing='xy'), -1
        )
        expected = torch.nn.functional.grid_sample(image, grid[None], align_corners=True)
        torch.testing.assert_close(found[n], expected[0], atol=1e-3, rtol=0)


def test_sample_grid_outside_the_frame() -> None:
    frame = torch.full((20, 20, 3), 100, dtype=torch.uint8)
    frame[:, 0] = 10
    ys, xs = torch.tensor([[5.0]]), torch.tensor([[-30.0, -0.5, 0.0, 25.0]])
    repeated = sample_grid(frame, ys, xs)[0, 0, 0]
    assert repeated.tolist() == [10, 10, 10, 100]
    filled = sample_grid(frame, ys, xs, fill=torch.tensor([50.0, 50, 50]))[0, 0, 0]
    assert filled.tolist() == [50, 30, 10, 50]


def test_window_positions_cover_pixel_areas() -> None:
    """A window of the whole image at its own size samples every pixel's centre."""
    positions = window_positions(torch.tensor([8.0]), torch.tensor([16.0]), 16)
    torch.testing.assert_close(positions[0], torch.arange(16.0))
    half = window_positions(torch.tensor([8.0]), torch.tensor([16.0]), 8)
    torch.testing.assert_close(half[0], torch.arange(8.0) * 2 + 0.5)


def test_resample_is_bilinear() -> None:
    maps = torch.rand(2, 3, 9, 9, dtype=torch.float64)
    zoomed = resample(maps, torch.arange(5).double() * 2, torch.arange(7).double() * 8 / 6)
    expected = torch.nn.functional.interpolate(maps, (5, 7), mode='bilinear', align_corners=True)
    torch.testing.assert_close(zoomed, expected)
    weights = bilinear_weights(torch.tensor([-3.0, 0.4, 99.0]), 9)
    torch.testing.assert_close(weights.sum(-1), torch.ones(3))


@dataclass(frozen=True)
class Example(TrackerConfig):
    """A config to test with."""

    gain: float = parameter(1.0, 'Gain.', minimum=0.0, maximum=2.0)
    steps: int = parameter(3, 'Steps.', minimum=1)
    mode: str = parameter('fast', 'Mode.', choices=('fast', 'exact'))
    mirror: bool = parameter(False, 'Mirror.')


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'gain': -0.1}, 'at least 0'),
        ({'gain': 2.5}, 'at most 2'),
        ({'gain': math.inf}, 'finite'),
        ({'gain': '1'}, "gain must be a number, not '1'"),
        ({'gain': True}, 'a number'),
        ({'steps': 0}, 'at least 1'),
        ({'steps': 1.5}, 'a whole number'),
        ({'mode': 'slow'}, "mode must be one of fast, exact, not 'slow'"),
        ({'mirror': 1}, 'true or false'),
        ({'speed': 1}, 'no parameter'),
        ({'stepps': 1}, "did you mean 'steps'"),
        ({'lost_score': 0.9}, r'^lost_score \(0.9\) must not exceed tracking_score'),
    ],
)
def test_refused_parameters(change: dict, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        with_parameters(Example(), change)


def test_parameters_from_text() -> None:
    infos = {info.name: info for info in describe(Example)}
    assert infos['gain'].parse('0.5') == 0.5
    assert infos['gain'].parse('1') == 1.0
    assert infos['steps'].parse('7') == 7
    assert infos['mirror'].parse('yes') is True
    assert with_parameters(Example(), {'gain': 2}).gain == 2.0
    for name, text in (('gain', 'much'), ('steps', '1.5'), ('mirror', 'perhaps'), ('mode', '')):
        with pytest.raises(ParameterError, match=name):
            infos[name].parse(text)


ROOT = Path(__file__).parents[2]
SOURCES = [*sorted((ROOT / 'tracker_core').rglob('*.py')), *(ROOT / 'tracker_nodes').glob('*.py')]


def class_names() -> set[str]:
    """Of two words or more: what nobody takes for a word of the sentence."""
    text = '\n'.join(path.read_text() for path in SOURCES)
    found = re.findall(r'^class (\w+)', text, re.MULTILINE)
    return {name for name in found if re.fullmatch(r'(?:[A-Z][a-z0-9]+){2,}', name)}


@pytest.mark.parametrize('path', SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_is_raised_names_no_classes(path: Path) -> None:
    pattern = re.compile(rf'\b({"|".join(sorted(class_names()))})\b')
    for raised in (node for node in ast.walk(ast.parse(path.read_text())) if is_refusal(node)):
        for part in ast.walk(raised.exc):
            if isinstance(part, ast.Constant) and isinstance(part.value, str):
                assert not pattern.search(part.value), f'line {part.lineno}: {part.value}'
            # What the caller gave may be named by its type, what is ours may not.
            if isinstance(part, ast.Attribute) and part.attr == '__name__':
                assert path.name == 'images.py', f'line {part.lineno}'


def is_refusal(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Raise)
        and isinstance(node.exc, ast.Call)
        and isinstance(node.exc.func, ast.Name)
        and node.exc.func.id.endswith('Error')
        and node.exc.func.id not in ('AttributeError', 'NotImplementedError')
    )


@pytest.mark.parametrize('name', list_trackers())
def test_refused_parameters_of_trackers_name_no_classes(name: str) -> None:
    """Values that do not fit together are told by the names that a user gives them."""
    refused = {
        'atom': {'search_side': 250, 'kernel_size': 3},
        'dat': {'averaged': 10_000, 'mined_from': 1},
        'tadt': {'smallest_side': 1000.0},
    }
    config = tracker_declaration(name).preset('compact').config
    for field, value in {'lost_score': 0.9, **refused.get(name, {})}.items():
        with pytest.raises(ParameterError) as error:
            with_parameters(config, {field: value})
        assert str(error.value).startswith(field)
        assert 'Config' not in str(error.value)


def test_refused_starts_name_no_classes() -> None:
    tracker = create_tracker('spm', device='cpu', runtime='eager', weights='random')
    image = np.zeros((64, 64, 3), np.uint8)
    for box, words in [
        (Box(-50, 0, 20, 20), r'the box of 20 x 20 pixels at \(-50, 0\) lies outside'),
        (Box(0, 0, 9000, 20), 'times as large'),
        (Box(0.1, 0.1, 0.5, 0.5), 'shares of its width and height'),
    ]:
        with pytest.raises(BoxError, match=words) as error:
            tracker.start(image, box)
        assert 'Box(' not in str(error.value)
    with pytest.raises(TrackerError, match=r"no tracker 'tdat'.*tadt"):
        create_tracker('tdat')
    with pytest.raises(TrackerError, match=r"no preset 'compakt'.*compact"):
        create_tracker('tadt', 'compakt')

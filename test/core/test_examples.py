# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The examples run, and the tracker among them keeps all that the package's own ones promise."""

from __future__ import annotations

from collections.abc import Iterator
import importlib
from pathlib import Path
import runpy
import sys

import cv2
import numpy as np
import pytest
from tape import Tape
import test_contracts
from test_contracts import *  # noqa: F403  every contract, with the tracker below
import test_cuda_graph
from test_cuda_graph import tapes  # noqa: F401
import test_runtime
from test_runtime import cache  # noqa: F401

from tracker_core import Box, list_trackers, register, registry, Tracker, TrackStatus
from tracker_core.media.scene import render_scene

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / 'examples'


@pytest.fixture(scope='module')
def which() -> Iterator[tuple[str, str]]:
    """The example, known as long as its tests run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXAMPLES))
        patch.setattr(registry, '_others', {})
        register(importlib.import_module('correlation_tracker').DECLARATION)
        assert 'correlation' in list_trackers()
        yield 'correlation', 'compact'
    assert 'correlation' not in list_trackers()


def test_it_runs_through_all_contracts() -> None:
    contracts = {name for name in vars(test_contracts) if name.startswith('test_')}
    assert len(contracts) > 15
    assert contracts <= globals().keys()


@pytest.mark.parametrize('side', [29, 30, 31, 32, 33, 34])
def test_what_stays_is_found_where_it_was(tracker: Tracker, side: int) -> None:
    """Wherever the template's middle lies between two pixels."""
    image, box = test_contracts.scene(1)[0], Box(50, 40, side, side)
    for track in test_contracts.follow(tracker, [image] * 4, box):
        assert track.box == box
        assert track.raw_score == pytest.approx(1, abs=1e-3)


def test_a_long_target_keeps_its_size(tracker: Tracker) -> None:
    """It is searched in squeezed images."""
    rng = np.random.default_rng(0)
    ground = rng.integers(60, 120, (160, 320, 3), dtype=np.uint8)
    paint = rng.integers(0, 256, (1, 20, 3), dtype=np.uint8).repeat(10, axis=0).repeat(10, axis=1)
    images = [ground.copy() for _ in range(4)]
    for k, image in enumerate(images):
        image[60 + 2 * k : 70 + 2 * k, 40 + 7 * k : 240 + 7 * k] = paint
    target = tracker.start(images[0], Box(40, 60, 200, 10))
    assert target.squeeze != (1, 1)
    for k, image in enumerate(images[1:], start=1):
        track = tracker.track(image, target)
        assert track.status is TrackStatus.TRACKING
        assert (track.box.w, track.box.h) == (200, 10)
        assert track.box.iou(Box(40 + 7 * k, 60 + 2 * k, 200, 10)) > 0.6


def test_its_step_can_be_captured(which: tuple[str, str]) -> None:
    test_runtime.test_a_step_can_be_captured(*which)


def test_captured_it_does_the_same(
    which: tuple[str, str],
    tapes: list[Tape],  # noqa: F811
    caplog: pytest.LogCaptureFixture,
) -> None:
    test_cuda_graph.test_captured_steps_and_updates_do_the_same(*which, tapes, caplog)


def test_exported_it_finds_the_same(which: tuple[str, str], cache: Path) -> None:  # noqa: F811
    test_runtime.test_onnx_runtime_finds_the_same_boxes(which[0], cache)


def test_what_users_copy_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each as a program, on a folder of images."""
    monkeypatch.setattr(registry, '_others', {})
    scene = render_scene('calm', frames=3, size=(160, 120))
    for i, frame in enumerate(scene):
        cv2.imwrite(str(tmp_path / f'{i}.png'), frame[..., ::-1])
    box = ','.join(map(str, scene.boxes[0].as_xywh()))
    boxes = {'follow': [box], 'several_targets': [box, '10,10,40,30']}
    boxes['correlation_tracker'] = [box]
    for name, given in boxes.items():
        path = str(EXAMPLES / f'{name}.py')
        monkeypatch.setattr(sys, 'argv', [path, str(tmp_path), *given])
        runpy.run_path(path, run_name='__main__')
        lines = capsys.readouterr().out
        assert len(lines.splitlines()) == len(scene) - 1
    assert 'TRACKING' in lines

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The numbers that a reimplementation must reproduce, and the stand-in weights they were made
with.

TRACKER_REFERENCE_DIR makes the tests read another folder, `seeded.py` included:
    <folder>/seeded.py, <folder>/<tracker>/keys.json, <folder>/<tracker>/* or <tracker>/golden/*
"""

from __future__ import annotations

from collections.abc import Sequence
import importlib.util
import json
import os
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from tracker_core import Box, Tracker

BUNDLED = Path(__file__).parent / 'golden'
REPOSITORY = Path(__file__).parents[2]


def reference_folder() -> Path:
    return Path(os.environ.get('TRACKER_REFERENCE_DIR', BUNDLED))


def seeded() -> ModuleType:
    """The module that makes stand-in weights and inputs as functions of their names."""
    spec = importlib.util.spec_from_file_location('seeded', reference_folder() / 'seeded.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def golden(tracker: str, name: str) -> Any:
    """An .npz fixture, or the path of another file."""
    path = reference_folder() / tracker / name
    if not path.exists():
        path = path.parent / 'golden' / name
    return np.load(path) if path.suffix == '.npz' else path


def seeded_state(tracker: str) -> dict[str, torch.Tensor]:
    """Stand-in weights for all keys of a tracker's weight file."""
    shapes = json.loads((reference_folder() / tracker / 'keys.json').read_text())
    return {key: torch.from_numpy(a) for key, a in seeded().seeded_state(shapes).items()}


def sequence_frames(name: str, count: int | None = None) -> list[Path]:
    """Image files of an evaluation sequence; skips the test where there are none.

    TRACKER_SEQUENCES names their folder; the default is data/sequences in the folder `shared`
    beside the repository.
    """
    default = REPOSITORY.parent / 'shared' / 'data' / 'sequences'
    folder = Path(os.environ.get('TRACKER_SEQUENCES', default)) / name / 'img'
    files = sorted(folder.glob('*.jpg'))[:count]
    if not files:
        pytest.skip(
            f'needs the sequence {name}: set TRACKER_SEQUENCES to the folder that holds it'
        )
    return files


def assert_close(actual: Any, expected: Any, relative: float, what: str = '') -> None:
    """Compare with a tolerance relative to the largest expected value."""
    actual = np.asarray(actual, dtype=np.float64)
    expected = np.asarray(expected, dtype=np.float64)
    assert actual.shape == expected.shape, (
        f'{what}: shape {actual.shape}, expected {expected.shape}'
    )
    error = np.abs(actual - expected).max()
    limit = relative * np.abs(expected).max()
    assert error <= limit, f'{what}: off by {error:.3g}, allowed {limit:.3g}'


def shifts(trackers: Sequence[Tracker], images: Sequence[np.ndarray], box: Box) -> list[float]:
    """How far the boxes of the second tracker lie from those of the first in each frame, pixels;
    it searches every frame from where the first one was."""
    targets = [tracker.start(images[0], box) for tracker in trackers]
    found = []
    for image in images[1:]:
        targets[1].state, targets[1].box = targets[0].state, targets[0].box
        boxes = [t.track(image, target).box for t, target in zip(trackers, targets, strict=True)]
        rows = np.array([box.as_xywh() for box in boxes])
        found.append(float(np.abs(rows[0] - rows[1]).max()))
    return found

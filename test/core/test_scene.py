# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Rendered scenes: determinism, exact boxes, and that the script happens."""

from __future__ import annotations

import numpy as np
import pytest

from tracker_core import Box, ParameterError
from tracker_core.media.drawing import touched, warp
from tracker_core.media.scene import render_scene
from tracker_core.media.scripts import SCENES

SMALL = (320, 240)
IMAGE = Box(0, 0, *SMALL)


def coverage(scene, i):
    """The object's alpha on the whole image, (H, W)."""
    alpha = np.zeros(scene.size[::-1])
    pose = scene._pose(i)
    window = touched([pose], scene.size)
    alpha[window] = warp(scene._object, pose, window)[..., 3]
    return alpha


@pytest.mark.parametrize('name', SCENES)
def test_scene_is_repeatable_and_plausible(name):
    scene = render_scene(name, frames=40, size=SMALL, seed=3)
    again = render_scene(name, frames=40, size=SMALL, seed=3)
    other = render_scene(name, frames=40, size=SMALL, seed=4)
    for i in (20, 0, 39):  # frames do not depend on the order they are drawn in
        assert scene[i].shape == (240, 320, 3)
        assert scene[i].dtype == np.uint8
        np.testing.assert_array_equal(scene[i], again[i])
    assert scene.boxes == again.boxes
    assert scene.boxes != other.boxes
    assert np.abs(scene[5].astype(int) - other[5]).mean() > 5
    assert len(list(scene)) == len(scene.boxes) == len(scene.visible) == 40
    for frame in (scene[0], scene[39]):
        assert 40 < frame.mean() < 215
        assert frame.std() > 15


@pytest.mark.parametrize('seed', range(8))
def test_boxes_bound_the_drawn_object(seed):
    scene = render_scene('calm', frames=60, size=SMALL, seed=seed)
    for i in (0, 30, 59):
        rows, columns = np.nonzero(coverage(scene, i) > 0.5)
        box = scene.boxes[i]
        drawn = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        np.testing.assert_allclose(drawn, (box.x, box.y, box.x2, box.y2), atol=1.5)


def test_object_differs_from_ground_where_the_box_says():
    """The object and its shadow are painted at its box and nowhere else."""
    scene = render_scene('calm', frames=3, size=SMALL, seed=1)
    with_object = scene[1].astype(float)
    scene._object.patch[:] = 0
    scene._shadow.patch[:] = 0
    changed = np.abs(scene[1].astype(float) - with_object).max(axis=2) > 24
    rows, columns = np.nonzero(changed)
    box = scene.boxes[1]
    assert box.x - 2 <= columns.min() <= box.x + 4
    assert box.x2 - 4 <= columns.max() <= box.x2 + 2 + 0.3 * box.w  # and its shadow
    assert box.y - 2 <= rows.min() <= box.y + 4


@pytest.mark.parametrize('seed', range(4))
def test_first_frame_shows_the_whole_object(seed):
    for name in SCENES:
        scene = render_scene(name, frames=30, size=SMALL, seed=seed)
        assert scene.visible[0] > 0.95, name
        assert IMAGE.intersection(scene.boxes[0]) == pytest.approx(scene.boxes[0].area), name


@pytest.mark.parametrize('seed', range(4))
def test_script_happens(seed):
    default = render_scene('default', frames=150, size=SMALL, seed=seed)
    assert 0.15 < default.visible.min() < 0.7  # hidden in part, never wholly
    assert (default.visible > 0.95).mean() > 0.6
    calm = render_scene('calm', frames=150, size=SMALL, seed=seed)
    assert calm.visible.min() > 0.9
    leave = render_scene('leave', frames=150, size=SMALL, seed=seed)
    assert leave.visible[70:95].max() == 0
    assert leave.visible[:40].min() > 0.9
    assert leave.visible[-30:].min() > 0.9
    assert IMAGE.intersection(leave.boxes[80]) == 0
    fast = render_scene('fast', frames=150, size=SMALL, seed=seed)
    steps = {
        scene.name: np.hypot(*np.diff([(b.cx, b.cy) for b in scene.boxes], axis=0).T).mean()
        for scene in (calm, fast)
    }
    assert steps['fast'] > 2.5 * steps['calm'] > 0.5


def test_photos_become_ground_and_paint():
    photo = np.zeros((300, 400, 3), np.uint8)
    photo[..., 1] = 200
    scene = render_scene('calm', frames=2, size=SMALL, photos=[photo])
    means = scene[0].reshape(-1, 3).mean(axis=0)
    assert means[1] > 100
    assert max(means[0], means[2]) < 20


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'name': 'moon'}, 'no scene .moon.; choose one of default'),
        ({'frames': 0}, 'at least 1 frame'),
        ({'size': (640, 20)}, '64 pixels'),
        ({'seed': -1}, 'seed from 0'),
    ],
)
def test_errors(options, message):
    with pytest.raises(ParameterError, match=message):
        render_scene(**options)

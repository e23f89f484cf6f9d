# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The tint of what is in a box: the same in other light, another for a look-alike."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from tracker_core import Box
from tracker_core.layers.tints import tints
from tracker_core.media.scene import render_scene
from tracker_core.tint import Tint

BOX = Box(100, 80, 40, 30)


def frame(colour: tuple[float, float, float], light: tuple[float, float, float]) -> torch.Tensor:
    image = np.full((200, 300, 3), 150.0)
    image[80:110, 100:140] = colour
    return torch.from_numpy((image * light).astype(np.uint8))


def test_light_changes_no_tint_but_paint_does() -> None:
    (red,) = tints(frame((200, 80, 60), (1, 1, 1)), [BOX])
    (dim,) = tints(frame((200, 80, 60), (0.6, 0.6, 0.6)), [BOX])
    (warm,) = tints(frame((200, 80, 60), (1, 0.95, 0.85)), [BOX])
    (other,) = tints(frame((200, 100, 60), (1, 1, 1)), [BOX])
    assert math.dist(red, dim) < 0.1
    assert math.dist(red, warm) < 0.1
    assert math.dist(red, other) > 0.2
    assert tints(frame((90, 90, 90), (1, 1, 1)), [BOX])[0] == pytest.approx((0, 0), abs=1e-6)


def test_boxes_over_the_border_and_outside_have_one_as_well() -> None:
    image = frame((200, 80, 60), (1, 1, 1))
    boxes = [BOX, Box(-30, -20, 40, 30), Box(500, 500, 10, 10), Box(0, 0, 900, 700)]
    found = tints(image, boxes)
    assert len(found) == 4
    assert np.isfinite(found).all()
    assert found[0] == tints(image, [BOX])[0]  # of each on its own
    assert tints(image, []) == []


def test_the_usual_tint_follows_and_knows_how_much_it_varies() -> None:
    rng = np.random.default_rng(0)
    steady = varied = Tint((0.0, 0.0))
    for _ in range(100):
        x, y = rng.normal(0, 1, 2)
        steady = steady.followed_by((0.5 + 0.005 * x, 0.1 + 0.005 * y))
        varied = varied.followed_by((0.5 + 0.1 * x, 0.1 + 0.1 * y))
    assert steady.mean == pytest.approx((0.5, 0.1), abs=0.01)
    assert steady.spread < 0.02 < varied.spread
    assert steady.fits((0.5, 0.1))
    assert not steady.fits((0.6, 0.2))
    assert varied.fits((0.6, 0.2))
    assert steady.fits((0.6, 0.2), frames=300)


def test_a_rendered_object_keeps_its_tint() -> None:
    scene = render_scene('calm', 60, (320, 240), 5)
    tint = Tint(tints(torch.from_numpy(scene[0]), [scene.boxes[0]])[0])
    fits = []
    for index in range(1, 60, 3):
        (found,) = tints(torch.from_numpy(scene[index]), [scene.boxes[index]])
        fits.append(tint.fits(found))
        tint = tint.followed_by(found)
    assert np.mean(fits) > 0.9

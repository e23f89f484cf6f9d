# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""TADT's choice of channels: the shortcuts equal the definitions."""

from __future__ import annotations

from dataclasses import replace

import cv2
import pytest
from reference import sequence_frames, shifts
import torch
import torch.nn.functional as F

from tracker_core import Box, create_tracker
from tracker_core.backbones.vgg import Vgg16
from tracker_core.media.scene import render_scene
from tracker_core.tadt import channels
from tracker_core.tadt.config import TadtConfig
from tracker_core.tadt.tracker import peak_offset

SIZE, KERNEL = 9, (5, 3)


@pytest.fixture
def features() -> torch.Tensor:
    torch.manual_seed(0)
    return torch.rand(6, SIZE, SIZE, dtype=torch.float64)


def patches(features: torch.Tensor) -> torch.Tensor:
    """All zero-padded patches, (n n, C * height * width)."""
    padding = (KERNEL[0] // 2, KERNEL[1] // 2)
    return F.unfold(features[None], KERNEL, padding=padding)[0].T


def test_patch_gram_is_the_gram_matrix_of_patches(features: torch.Tensor) -> None:
    gram = patches(features) @ patches(features).T
    torch.testing.assert_close(channels.patch_gram(features, KERNEL), gram)


def test_kernel_of_combines_patches(features: torch.Tensor) -> None:
    dual = torch.rand(SIZE, SIZE, dtype=torch.float64)
    expected = (dual.flatten() @ patches(features)).view(6, *KERNEL)
    torch.testing.assert_close(channels.kernel_of(features, dual, KERNEL), expected)


def test_regression_is_the_minimum_of_the_ridge_loss(features: torch.Tensor) -> None:
    """The same importance as from the primal solution with a penalised bias."""
    config = TadtConfig(ridge=0.3)
    patch = (KERNEL[0] - 2, KERNEL[1] - 2)
    rows = patches(features)
    energy = rows.square().sum(dim=1).mean()
    design = torch.cat((rows, energy.sqrt().expand(len(rows), 1)), dim=1)
    wanted = channels.label(SIZE, patch, config.label_sigma).double().flatten()
    penalty = 0.3 * energy * torch.eye(design.shape[1], dtype=torch.float64)
    primal = torch.linalg.solve(design.T @ design + penalty, design.T @ wanted)
    expected = primal[:-1].view(6, *KERNEL).sum(dim=(1, 2))
    found = channels.regression_importance(features, patch, config)
    torch.testing.assert_close(found, expected)


def test_regression_finds_the_channel_of_the_target() -> None:
    """Channel 2 fires on the target only, channel 1 everywhere, channel 0 off the target."""
    maps = 0.1 * torch.rand(4, 21, 21, generator=torch.Generator().manual_seed(1))
    maps[0] += 1
    maps[0, 8:13, 8:13] = 0
    maps[1] += 1
    maps[2, 8:13, 8:13] += 1
    importance = channels.regression_importance(maps, (5, 5), TadtConfig())
    assert importance.argmax() == 2
    assert importance[2] > 0 > importance[0]


def test_ranking_gradient_is_the_gradient_of_the_loss() -> None:
    rank = torch.arange(-3.0, 4, dtype=torch.float64)
    better = (-rank.abs()[:, None] > -rank.abs()).double()
    x = torch.randn(7, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    x.requires_grad_()
    pairs = [(i, j) for i in range(7) for j in range(7) if better[i, j]]
    loss = torch.log(1 + sum(torch.exp(x[worse] - x[good]) for good, worse in pairs))
    loss.backward()
    torch.testing.assert_close(channels.ranking_gradient(x.detach(), better), x.grad)


def test_ranking_prefers_channels_that_know_the_size() -> None:
    """Channel 0 shows a disc of the target's size; channel 1 is flat and cannot tell sizes."""
    grid = torch.arange(21.0) - 10
    radius = (grid[:, None] ** 2 + grid**2).sqrt()
    ring = torch.exp(-((radius - 4) ** 2))
    maps = torch.stack((ring, torch.full_like(ring, 0.5), ring.flip(0)))
    importance = channels.ranking_importance(maps, (9, 9), TadtConfig())
    assert importance[0] > 0
    assert importance[0] > 10 * importance[1].abs()


def test_keeps_at_least_the_minimum() -> None:
    generator = torch.Generator().manual_seed(3)
    shallow, deep = (torch.rand(40, 11, 11, generator=generator) for _ in range(2))
    config = TadtConfig(shallow_channels=10, deep_channels=12, minimum_channels=30)
    negative = -torch.rand(40, generator=generator)
    everything = torch.ones(40, dtype=torch.bool)
    kept = channels.keep_channels(shallow, deep, negative, negative, everything, config, 5)
    assert (len(kept.shallow), len(kept.deep)) == (0, 30)
    positive = -negative
    kept = channels.keep_channels(shallow, deep, positive, positive, everything, config, 5)
    assert (len(kept.shallow), len(kept.deep)) == (10, 20)
    assert kept.select(shallow[None], deep[None]).shape == (1, 30, 11, 11)


def test_vgg_computes_the_wanted_channels_alone() -> None:
    torch.manual_seed(3)
    network, wanted = Vgg16().eval().requires_grad_(False), torch.tensor([0, 7, 300, 511])
    image = 255 * torch.rand(1, 3, 28, 36)
    shallow, deep = network(image)
    own_shallow, own_deep = network(image, wanted)
    torch.testing.assert_close(own_shallow, shallow)
    torch.testing.assert_close(own_deep, deep[:, wanted])


def test_template_follows_a_target_that_changes() -> None:
    """It becomes more like the target; not with a rate of zero, nor of a target that is not found
    for sure."""
    scene = render_scene(frames=30, size=(320, 240), seed=4)
    images, scores = list(scene), {}
    for rate in (0.0, 0.1):
        tracker = create_tracker('tadt', device='cpu', runtime='eager', template_rate=rate)
        target = tracker.start(images[0], scene.boxes[0])
        first = target.model
        tracks = [tracker.track(image, target) for image in images[1:]]
        assert tracks[-1].box.iou(scene.boxes[-1]) > 0.5
        assert (target.model is first) == (rate == 0)
        scores[rate] = sum(track.raw_score for track in tracks[-10:])
    assert scores[0.1] > scores[0.0] + 0.1

    known = target.model
    tracker.configure(replace(tracker.config, tracking_score=1.0))
    tracker.track(images[-1], target)
    assert target.model is known


def test_skiing_in_bfloat16() -> None:
    images = [cv2.imread(str(path))[..., ::-1] for path in sequence_frames('Skiing', 5)]
    trackers = [
        create_tracker('tadt', 'paper', 'cpu', precision, weights='random', recover=False)
        for precision in ('float32', 'bfloat16')
    ]
    assert max(shifts(trackers, images, Box(445, 180, 29, 26))) < 0.5


def test_peak_between_pixels() -> None:
    """A parabola's top is found exactly, in any of the maps; on the border the pixel counts."""
    rows, columns = torch.meshgrid(torch.arange(7.0), torch.arange(7.0), indexing='ij')
    for top in ((2.3, 4.0), (3.5, 1.75), (0.2, 6.0)):
        hill = 5 - (rows - top[0]) ** 2 - 0.5 * (columns - top[1]) ** 2
        for level in range(3):
            maps = torch.zeros(1, 3, 7, 7)
            maps[0, level] = hill
            peak = maps.flatten(1).argmax(1)
            row, column = peak // 7 % 7, peak % 7
            found = (
                float(row + peak_offset(maps, peak, row, 7)),
                float(column + peak_offset(maps, peak, column, 1)),
            )
            inner = [0 < place < 6 for place in (int(row), int(column))]
            wanted = [t if i else round(t) for t, i in zip(top, inner, strict=True)]
            assert found == pytest.approx(wanted, abs=1e-5)
    flat = torch.ones(1, 1, 5, 5)
    assert float(peak_offset(flat, torch.tensor([12]), torch.tensor([2]), 1)) == 0

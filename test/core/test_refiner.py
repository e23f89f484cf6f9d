# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The box refiner: where it samples, how it counts, and that it finds edges."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from tracker_core import Box, create_tracker, ParameterError
from tracker_core.media.scene import render_scene
from tracker_core.refiner.network import BoxRefiner, moved, POINTS, REACH, sample_around
from tracker_core.refiner.refine import into_cells, out_of_cells, refine, toward
from tracker_core.spm.candidates import overlaps
from tracker_core.training.draws import Draws
from tracker_core.training.refiner import draw_rough


def test_samples_lie_in_a_grid_around_the_box() -> None:
    """On a ramp, a sample tells where it was taken."""
    rows, columns = torch.meshgrid(torch.arange(20.0), torch.arange(30.0), indexing='ij')
    box = torch.tensor([[[8.0, 6.0, 16.0, 10.0]]])
    found = sample_around(torch.stack((columns, rows))[None], box, REACH)[0, 0]
    steps = REACH * ((torch.arange(POINTS) + 0.5) / POINTS - 0.5)
    torch.testing.assert_close(found[0], (12 + 8 * steps).expand(POINTS, POINTS))
    torch.testing.assert_close(found[1], (8 + 4 * steps)[:, None].expand(POINTS, POINTS))


def test_boxes_go_into_cells_and_back() -> None:
    """A box that fills the window fills the map: cell (i, j) is centred on pixel (8 i, 8 j)."""
    windows = torch.tensor([[100.0, 60.0, 50.0], [7.5, 3.0, 129.0]]).double()
    boxes = torch.tensor([[75.0, 35.0, 50.0, 50.0], [7.0, 2.5, 1.0, 1.0]]).double()
    cells = into_cells(boxes, windows, 129)
    assert cells[0].tolist() == pytest.approx([-0.0625, -0.0625, 16.0625, 16.0625])
    assert cells[1].tolist() == pytest.approx([7.9375, 7.9375, 8.0625, 8.0625])
    torch.testing.assert_close(out_of_cells(cells, windows, 129), boxes, rtol=0, atol=1e-4)


def test_deltas_move_boxes() -> None:
    box = torch.tensor([2.0, 4.0, 10.0, 8.0])
    assert moved(box, torch.zeros(4)).tolist() == box.tolist()
    growth = torch.tensor([0.25, -0.5, 2.0, 0.5]).log()
    growth[:2] = torch.tensor([0.25, -0.5])
    assert moved(box, growth).tolist() == pytest.approx([0.0, 3.0, 16.0, 5.0])


def test_sure_refinements_are_taken_over() -> None:
    rough = Box.from_center(50, 40, 20, 10)
    row = [45.0, 36.0, 30.0, 20.0]  # centre (60, 46)
    assert toward(rough, [*row, 0.0], 1.0).as_xywh() == pytest.approx(rough.as_xywh())
    assert toward(rough, [*row, 1.0], 1.0).as_xywh() == pytest.approx(row)
    half = toward(rough, [*row, 1.0], 0.5)
    assert (half.cx, half.cy) == pytest.approx((60, 46))
    assert (half.w, half.h) == pytest.approx(((20 * 30) ** 0.5, (10 * 20) ** 0.5))


@torch.no_grad()
def test_one_box_of_each_target_is_refined() -> None:
    """Targets side by side are what they are alone."""
    torch.manual_seed(0)
    refiner = BoxRefiner()
    torch.nn.init.normal_(refiner.box.weight, 0, 0.1)
    features, template = torch.randn(3, 64, 17, 17), torch.randn(3, 64, 8, 8)
    windows = torch.tensor([[50.0, 50.0, 60.0]]).expand(3, -1)
    boxes = torch.tensor([[40.0, 42.0, 20.0, 16.0]]).expand(3, -1)
    found = refine(refiner, template, features, boxes, windows, 129)
    assert found.shape == (3, 5)
    for index in range(3):
        part = slice(index, index + 1)
        alone = refine(refiner, template[part], features[part], boxes[part], windows[part], 129)
        torch.testing.assert_close(found[part], alone)


def test_rough_boxes_are_rough() -> None:
    torch.manual_seed(0)
    targets = torch.tensor([[10.0, 10.0, 18.0, 16.0]]).expand(200, -1)
    rough = overlaps(draw_rough(targets, 4, Draws(torch.arange(200))), targets, pixel=0.0)
    assert 0.55 < float(rough.mean()) < 0.8
    assert F.relu(0.9 - rough).count_nonzero() > 0.8 * rough.numel()


@pytest.mark.parametrize('name', ['atom', 'tadt', 'dat'])
def test_boxes_become_better(name: str) -> None:
    """A target that gets wider is followed by the box, which without the refiner it is not."""
    scene = render_scene(frames=1, size=(320, 240), seed=1)
    image = next(iter(scene))
    tracker = create_tracker(name, device='cpu')
    assert tracker.config.refiner
    target = tracker.start(image, scene.boxes[0])
    row = len(tracker.model_tensors(target))
    plain = create_tracker(name, device='cpu', refiner=False)
    assert row == len(plain.model_tensors(plain.start(image, scene.boxes[0]))) + 1


@pytest.mark.parametrize('name', ['atom', 'tadt', 'dat'])
def test_published_networks_have_no_refiner(name: str) -> None:
    with pytest.raises(ParameterError, match='refiner is for preset compact'):
        create_tracker(name, 'paper', device='cpu', weights='random', refiner=True)

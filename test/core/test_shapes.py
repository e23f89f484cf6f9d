# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Targets of every shape: a thin, a tiny or a huge one is followed, or the status says that it is
not."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from tracker_core import Box, create_tracker, list_trackers, Tracker, TrackStatus
from tracker_core.media import textures
from tracker_core.squeezing import squeezed

FRAMES = 7
FLOOR = 0.3  # of the overlap of a box that is called TRACKING

SHAPES = [
    (200, 10),
    (8, 160),
    (180, 6),
    (6, 180),
    (60, 4),
    (24, 120),
    (4, 4),
    (320, 240),
]


def scene(width: int, height: int, size: tuple[int, int]) -> tuple[list[np.ndarray], list[Box]]:
    """A painted rectangle of a size that moves over a ground by two columns and a row a frame."""
    rng = np.random.default_rng([width, height])
    ground = textures.ground(rng, *size)
    square = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], float)
    paint = textures.paint(rng, square).patch[12:-12, 12:-12, :3]  # without its soft rim
    paint = cv2.resize(paint, (width, height), interpolation=cv2.INTER_AREA)
    patch = np.dstack([paint, np.ones((height, width), np.float32)])
    images, boxes = [], []
    for k in range(-(FRAMES // 2), FRAMES - FRAMES // 2):
        x, y = (size[0] - width) / 2 + 2 * k, (size[1] - height) / 2 + k
        layer = cv2.warpAffine(patch, np.float32([[1, 0, x], [0, 1, y]]), size)
        image = ground * (1 - layer[..., 3:]) + layer[..., :3] + rng.normal(0, 2, (*size[::-1], 3))
        images.append(image.clip(0, 255).astype(np.uint8))
        boxes.append(Box(x, y, width, height))
    return images, boxes


@pytest.fixture(scope='module', params=list_trackers())
def tracker(request: pytest.FixtureRequest) -> Tracker:
    return create_tracker(request.param, device='cpu', precision='float32')


@pytest.mark.parametrize('shape', SHAPES, ids=lambda shape: f'{shape[0]}x{shape[1]}')
def test_what_is_called_tracking_overlaps(tracker: Tracker, shape: tuple[int, int]) -> None:
    images, boxes = scene(*shape, (320, 240))
    target = tracker.start(images[0], boxes[0])
    overlaps = []
    for image, box in zip(images[1:], boxes[1:], strict=True):
        track = tracker.track(image, target)
        if track.status is TrackStatus.TRACKING:
            overlaps.append(track.box.iou(box))
    assert all(overlap >= FLOOR for overlap in overlaps), overlaps
    assert not overlaps or np.mean(overlaps) >= 0.5


def test_long_targets_are_followed_beside_others(tracker: Tracker) -> None:
    """Batched like alone, and found again when they were lost."""
    images, boxes = scene(120, 8, (160, 120))
    alone = tracker.start(images[0], boxes[0])
    targets = [tracker.start(images[0], box) for box in (boxes[0], Box(70, 40, 30, 30))]
    assert [target.squeeze for target in targets] == [(5, 1), (1, 1)]
    for image in images[1:3]:
        expected = tracker.track(image, alone)
        track, _ = tracker.track_many(image, targets)
        np.testing.assert_allclose(track.box.as_xywh(), expected.box.as_xywh(), atol=0.02)
    assert track.box.iou(boxes[2]) > 0.5
    for target in targets:
        tracker.lose(target)
    tracker.track_many(images[3][:90, :137], targets)  # an image of another size
    assert targets[0].box.iou(boxes[3]) > 0.5


def test_squeezed_images_show_the_same_at_the_same_places() -> None:
    columns = torch.arange(50, dtype=torch.uint8)
    image = columns[None, :, None].expand(20, 50, 3).contiguous()
    assert squeezed(image, (1, 1)) is image
    narrow = squeezed(image, (3, 1))
    assert narrow.shape == (20, 17, 3)
    assert narrow[0, :, 0].tolist() == [3 * k + 1 for k in range(16)] + [49]  # the last repeated
    low = squeezed(image, (1, 4))
    assert low.shape == (16, 50, 3)  # never below what an image must have
    assert torch.equal(low[0], image[0])

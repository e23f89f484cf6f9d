# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Rough boxes in an image made better, as part of a tracker's step, and what it takes over."""

from __future__ import annotations

import torch
from torch import Tensor

from tracker_core.backbones.compact import CompactBackbone
from tracker_core.boxes import Box
from tracker_core.refiner.network import BoxRefiner

STRIDE = CompactBackbone.stride
SHORTEST = 0.1  # side, in cells


def into_cells(boxes: Tensor, windows: Tensor, size: int) -> Tensor:
    """Boxes of an image as corners in cells of the maps of windows.

    Args:
        boxes: (N, 4) x, y, w, h in pixels of the image.
        windows: (N, 3) centre (x, y) and side of what was cut out, pixels.
        size: Side of the crops, pixels.

    Returns:
        (N, 4) float32 corners, 0 being the centre of the first cell.
    """
    scale = (size / windows[:, 2])[:, None]
    corners = torch.cat((boxes[:, :2], boxes[:, :2] + boxes[:, 2:]), dim=1)
    pixels = (corners - windows[:, :2].repeat(1, 2)) * scale + (size - 1) / 2
    return (pixels / STRIDE).float()


def out_of_cells(corners: Tensor, windows: Tensor, size: int) -> Tensor:
    """The inverse of `into_cells`, in the precision of the windows."""
    scale = (windows[:, 2] / size)[:, None]
    pixels = corners.to(windows.dtype) * STRIDE - (size - 1) / 2
    corners = pixels * scale + windows[:, :2].repeat(1, 2)
    return torch.cat((corners[:, :2], corners[:, 2:] - corners[:, :2]), dim=1)


def refine(
    refiner: BoxRefiner,
    template: Tensor,
    features: Tensor,
    boxes: Tensor,
    windows: Tensor,
    size: int,
) -> Tensor:
    """Refine one box of each window.

    Args:
        refiner: The network.
        template: From `BoxRefiner.template`, (N, 64, 8, 8).
        features: From `BoxRefiner.features`, (N, 64, h, w).
        boxes, windows, size: See `into_cells`.

    Returns:
        (N, 5): the better box x, y, w, h in pixels of the image, and its overlap with the object,
        0 to 1.
    """
    found = refiner(template, features, into_cells(boxes, windows, size)[:, None])
    better = out_of_cells(found.boxes[:, 0], windows, size)
    return torch.cat((better, found.overlaps.sigmoid().to(better.dtype)), dim=1)


def sharpened(
    refiner: BoxRefiner, template: Tensor, features: Tensor, rough: Tensor, rate: float
) -> Tensor:
    """Rough boxes on the way to their refinement, like `toward`, as part of a step.

    Args:
        refiner: The network.
        template: From `BoxRefiner.template`, (N, 64, 8, 8).
        features: From `BoxRefiner.features`, (N, 64, h, w).
        rough: (N, 4) corners in cells; none is narrower than nothing.
        rate: See `toward`.

    Returns:
        (N, 4) corners in cells.
    """
    found = refiner(template, features, rough[:, None])
    share = found.overlaps.sigmoid()  # (N, 1)
    old_sides, sides = (
        (b[:, 2:] - b[:, :2]).clamp(min=SHORTEST) for b in (rough, found.boxes[:, 0])
    )
    old_center, center = ((b[:, :2] + b[:, 2:]) / 2 for b in (rough, found.boxes[:, 0]))
    center = torch.lerp(old_center, center, share)
    half = torch.lerp(old_sides.log(), sides.log(), rate * share).exp() / 2
    return torch.cat((center - half, center + half), dim=1)


def toward(rough: Box, row: list[float], rate: float) -> Box:
    """A rough box on the way to its refinement: the place by as much as the refinement is sure of
    itself, the size by `rate` of that.

    Args:
        rough: The box.
        row: What `refine` says of it.
        rate: 0 to 1.
    """
    x, y, w, h, overlap = row
    share = rate * overlap
    cx = rough.cx + overlap * (x + w / 2 - rough.cx)
    cy = rough.cy + overlap * (y + h / 2 - rough.cy)
    return Box.from_center(
        cx, cy, rough.w ** (1 - share) * w**share, rough.h ** (1 - share) * h**share
    )

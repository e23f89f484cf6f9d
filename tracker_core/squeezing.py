# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Long targets are searched in images that are squeezed along them: their short side would be too
small in what networks see of a square around them."""

from __future__ import annotations

import torch
from torch import Tensor

from tracker_core.boxes import Box
from tracker_core.images import SMALLEST_SIDE
from tracker_core.parameters import TrackerConfig

SQUEEZED_RATIO = 3  # of the sides of a long target in squeezed images

Squeeze = tuple[int, int]  # so many columns, and rows, are averaged to one


def squeeze_of(first: Box, image_size: tuple[int, int], config: TrackerConfig) -> Squeeze:
    """What makes a target longer than `squeeze_from` widths about three times as long as wide."""
    ratio = max(first.w, first.h) / min(first.w, first.h)
    if ratio <= config.squeeze_from or not config.tolerates_rounding:
        return 1, 1
    axis = 0 if first.w > first.h else 1
    factor = max(min(round(ratio / SQUEEZED_RATIO), image_size[axis] // SMALLEST_SIDE), 1)
    return (factor, 1) if axis == 0 else (1, factor)


def squeezed(frame: Tensor, squeeze: Squeeze) -> Tensor:
    """A frame (H, W, 3) uint8, squeezed; its last columns and rows are repeated to fill up."""
    for axis, factor in zip((1, 0), squeeze, strict=True):
        if factor == 1:
            continue
        size = frame.shape[axis]
        whole = max(-(-size // factor), SMALLEST_SIDE) * factor
        places = torch.arange(whole, device=frame.device).clamp(max=size - 1)
        parts = frame.index_select(axis, places).unflatten(axis, (-1, factor))
        frame = parts.float().mean(dim=axis + 1).round().to(torch.uint8)
    return frame


def scaled(box: Box, factors: tuple[float, float]) -> Box:
    """A box in an image that is so many times as wide and as high."""
    x, y = factors
    return Box(box.x * x, box.y * y, box.w * x, box.h * y)

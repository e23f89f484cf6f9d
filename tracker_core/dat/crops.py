# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Crops of many boxes of one frame in one batched resampling.

Shrinking averages over the pixels that fall into one: bilinear filtering with a support that
grows with the reduction, which is separable, so a crop is `rows @ pixels @ columns^T`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

SIDE = 107  # pixels of a crop
PADDING = 16  # pixels on each side of the box, were the box enlarged to the crop's side
GRAY = 128.0  # subtracted, and what lies outside the frame
MOST_BYTES = 2**28  # of the pixels that crops are made of at once
FIXED_POINT = 2.0**22  # image libraries filter with integer weights of this unit


def filter_matrix(start: Tensor, end: Tensor, count: int, exact: bool) -> Tensor:
    """Weights of the pixels of one axis in each pixel of the crop.

    Args:
        start: (N,) first pixel of the cropped range.
        end: (N,) pixel behind its last.
        count: Number of columns; the first stands for pixel `start`.
        exact: Round the weights as image libraries do.

    Returns:
        (N, 107, count), rows sum to one.
    """
    length = (end - start)[:, None, None]  # (N, 1, 1)
    ratio = length / SIDE
    steps = torch.arange(SIDE, device=start.device, dtype=start.dtype)[None, :, None] + 0.5
    pixels = torch.arange(count, device=start.device, dtype=start.dtype)
    weights = 1 - (pixels + 0.5 - steps * ratio).abs() / ratio.clamp(min=1.0)
    weights = weights.clamp_(min=0).mul_(pixels < length)
    weights = weights / weights.sum(dim=2, keepdim=True)
    return torch.floor(weights * FIXED_POINT + 0.5) / FIXED_POINT if exact else weights.float()


def reach(side: int) -> int:
    """Pixels along one axis that a crop of a box of this side is made of, at most."""
    return math.ceil(side * (1 + 2 * PADDING / SIDE)) + 2


def crops_at_once(largest: tuple[int, int], exact: bool, most: int) -> int:
    """How many boxes are cropped at once, so that their pixels need not more than 256 MiB.

    Args:
        largest: See `crop`, like `exact`.
        exact: See `crop`.
        most: So many in any case.
    """
    wide, high = map(reach, largest)
    bytes_of_pixel = 2 + (8 if exact else 4)  # as they are, which are inside, and as numbers
    return max(min(MOST_BYTES // (3 * wide * high * bytes_of_pixel), most), 1)


def crop(frame: Tensor, boxes: Tensor, largest: tuple[int, int], exact: bool = False) -> Tensor:
    """Crops of boxes with the surroundings that the network expects.

    Args:
        frame: (H, W, 3) RGB, uint8 or whole gray levels as float.
        boxes: (N, 4) x, y, w, h on the frame's device, float64; in exported programs float32.
        largest: Upper bound of the boxes' width and height in pixels, known to the host; larger
            boxes lose their right and lower parts.
        exact: The very gray levels of an image library, at about twice the cost; without, one
            pixel in a thousand is off by one level.

    Returns:
        (N, 3, 107, 107) float: whole gray levels minus 128.
    """
    limits = (frame.shape[1], frame.shape[0])
    centre, size = boxes[:, :2] + boxes[:, 2:] / 2, boxes[:, 2:]
    half = size / 2 + PADDING * size / SIDE
    start = torch.trunc(centre - half + 0.5)  # (N, 2)
    end = torch.maximum(torch.trunc(centre + half + 0.5), start + 1)
    matrices, indices, inside = [], [], []
    for axis in (0, 1):
        count = reach(largest[axis])
        matrices.append(filter_matrix(start[:, axis], end[:, axis], count, exact))
        index = start[:, axis, None] + torch.arange(count, device=frame.device, dtype=start.dtype)
        kept = index.clamp(0, limits[axis] - 1)
        inside.append(index == kept)
        indices.append(kept.long())
    (columns, rows), (xs, ys), (in_x, in_y) = matrices, indices, inside
    pixels = frame.permute(2, 0, 1)[:, ys[:, :, None], xs[:, None, :]]  # (3, N, h, w)
    pixels = torch.where(in_y[:, :, None] & in_x[:, None, :], pixels, int(GRAY)).to(rows.dtype)
    # whole gray levels after either pass, as image libraries round
    pixels = torch.floor(pixels @ columns.transpose(1, 2) + 0.5)  # (3, N, h, 107)
    pixels = torch.floor(rows @ pixels + 0.5)  # (3, N, 107, 107)
    return (pixels - GRAY).clamp_(-GRAY, GRAY - 1).transpose(0, 1).contiguous()

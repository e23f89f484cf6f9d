# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The first frame seen in many ways: shifted, mirrored, blurred, turned, and without some channels
of its features.

Shifts are by rows and columns; content moves down and right.
"""

from __future__ import annotations

from collections.abc import Sequence
import math

import torch
from torch import Tensor
import torch.nn.functional as F

Shift = tuple[int, int]  # rows, columns

# where the second to fifth view is shifted to, in halves of its side
CORNERS = ((0.6, 0.6), (-0.6, 0.6), (0.6, -0.6), (-0.6, -0.6))
BLURS = ((2, 0.2), (0.2, 2), (3, 1), (1, 3), (2, 2))  # deviations in rows and columns, pixels
ROTATIONS = (5, -5, 10, -10, 20, -20, 30, -30, 45, -45, -60, 60)  # degrees
DROPOUT = 0.2  # share of the channels


def first_shifts(
    size: int, share: float, rotations: bool, generator: torch.Generator, draws: torch.dtype
) -> list[Shift]:
    """By how many rows and columns each of `first_views` is shifted.

    Args:
        size: Side of the views.
        share: Range of the random shifts, which the sixth view and its followers have, as a share
            of the side.
        rotations: Whether there are turned views.
        generator: Of the random shifts.
        draws: Number format of what it draws.
    """
    count = 1 + len(BLURS) + (len(ROTATIONS) if rotations else 0)
    random = (torch.rand(count, 2, generator=generator, dtype=draws) - 0.5) * (size * share)
    shifts = [(0, 0)]
    shifts += [(int(down * size / 2), int(right * size / 2)) for down, right in CORNERS]
    return shifts + [(int(down), int(right)) for down, right in random.tolist()]


def first_views(
    patch: Tensor, size: int, shifts: Sequence[Shift], positions: torch.dtype
) -> Tensor:
    """The first frame shifted, mirrored, blurred and turned.

    Args:
        patch: (1, 3, 2 size, 2 size), the target in the middle.
        size: Side of the views.
        shifts: Of the views, see `first_shifts`; as many views are made as there are shifts.
        positions: Number format of the places that turned views are sampled at.

    Returns:
        (n, 3, size, size), the unchanged view first.
    """
    shifted = 1 + len(CORNERS)
    mirrored, blurs = shifts[shifted], shifts[shifted + 1 : shifted + 1 + len(BLURS)]
    turns = shifts[shifted + 1 + len(BLURS) :]
    views = [cut(patch, size, shift) for shift in shifts[:shifted]]
    views.append(cut(patch.flip(3), size, mirrored))
    views += [
        blurred(patch, size, shift, sigmas) for shift, sigmas in zip(blurs, BLURS, strict=True)
    ]
    if turns:
        views += [
            rotated(patch, size, shift, degrees, positions)
            for shift, degrees in zip(turns, ROTATIONS, strict=True)
        ]
    return torch.cat(views)


def cut(patch: Tensor, size: int, shift: Shift, margin: int = 0) -> Tensor:
    """The middle of a patch (..., n, n), its content moved by `shift`; `margin` more on all sides,
    zero outside the patch."""
    low = (patch.shape[-1] - size) // 2
    y, x = low - shift[0], low - shift[1]
    padding = max(0, margin - min(y, x), margin + max(y, x) + size - patch.shape[-1])
    patch = F.pad(patch, (padding,) * 4)
    y, x = y + padding - margin, x + padding - margin
    return patch[..., y : y + size + 2 * margin, x : x + size + 2 * margin]


def blurred(patch: Tensor, size: int, shift: Shift, deviations: tuple[float, float]) -> Tensor:
    """`cut` of a patch (1, 3, n, n) blurred by a Gaussian, zeros around it."""
    radii = [math.ceil(2 * deviation) for deviation in deviations]
    margin = max(radii)
    x = cut(patch, size, shift, margin)
    for axis, (deviation, radius) in enumerate(zip(deviations, radii, strict=True)):
        k = torch.arange(-radius, radius + 1, device=x.device, dtype=x.dtype)
        kernel = torch.exp(-k.square() / (2 * deviation**2))
        shape = (-1, 1) if axis == 0 else (1, -1)
        kernel = (kernel / kernel.sum()).reshape(1, 1, *shape).expand(3, 1, -1, -1)
        surplus = margin - radius
        x = x.narrow(2 + axis, surplus, x.shape[2 + axis] - 2 * surplus)
        x = F.conv2d(x, kernel, groups=3)
    return x


def rotated(
    patch: Tensor, size: int, shift: Shift, degrees: float, positions: torch.dtype
) -> Tensor:
    """`cut` of a patch (1, 3, n, n) rotated about its centre; its border is repeated. The places
    that are sampled are computed in the number format `positions`."""
    n = patch.shape[-1]
    low, middle = (n - size) // 2, (n - 1) / 2
    k = torch.arange(size, device=patch.device, dtype=positions) + low - middle
    y, x = torch.meshgrid(k - shift[0], k - shift[1], indexing='ij')
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    source = torch.stack([cos * x - sin * y, sin * x + cos * y], dim=-1)  # from the centre
    grid = (source / middle).to(patch.dtype)[None]
    return F.grid_sample(patch, grid, padding_mode='border', align_corners=True)


def kept_channels(count: int, channels: int, generator: torch.Generator) -> Tensor:
    """Which channels each of `count` samples keeps: (count, channels) bool."""
    return torch.rand(count, channels, generator=generator) >= DROPOUT


def drop_channels(sample: Tensor, kept: Tensor, axis: int) -> Tensor:
    """Copies of a sample with some channels zero and the others enlarged accordingly.

    Args:
        sample: (...).
        kept: (n, channels) bool, see `kept_channels`.
        axis: Which of the sample's axes the channels are.

    Returns:
        (n, ...).
    """
    shape = [1] * sample.dim()
    shape[axis] = kept.shape[1]
    return sample * (kept / (1 - DROPOUT)).to(sample).reshape(-1, *shape)

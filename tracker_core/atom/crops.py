# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Search regions, and the first frame seen in many ways.

Positions are (row, column) in index coordinates: (0, 0) is the centre of the first pixel.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
import torch.nn.functional as F

from tracker_core.atom.config import AtomConfig
from tracker_core.images import sample_grid, window_positions

Position = tuple[float, ...]  # row and column

SHIFTS = ((0.6, 0.6), (-0.6, 0.6), (0.6, -0.6), (-0.6, -0.6))  # in halves of the search region
BLURS = ((2, 0.2), (0.2, 2), (3, 1), (1, 3), (2, 2))  # deviations in rows and columns, pixels
ROTATIONS = (5, -5, 10, -10, 20, -20, 30, -30, 45, -45, -60, 60)  # degrees


def crop(frame: Tensor, squares: Tensor, size: int) -> Tensor:
    """Cut squares out of a frame and resize them; the frame's border is repeated.

    Args:
        frame: (H, W, 3).
        squares: (N, 3) row and column of the centre, and side in pixels.
        size: Side of the result.

    Returns:
        (N, 3, size, size) RGB, 0 to 255.
    """
    y, x, side = squares.float().unbind(1)
    return sample_grid(
        frame, window_positions(y + 0.5, side, size), window_positions(x + 0.5, side, size)
    )


def crop_as_released(frame: Tensor, windows: Tensor, size: int) -> Tensor:
    """`crop` as the released tracker does it.

    Centre and side are rounded to whole pixels, and regions of more than twice the result's size
    are first reduced by skipping pixels.

    Args:
        frame: (H, W, 3).
        windows: (N, 6), see `released_window`.
        size: Side of the result.

    Returns:
        (N, 3, size, size).
    """
    lows, pixels = windows[:, 3:5], windows[:, 5:]
    steps = torch.arange(size, device=frame.device, dtype=torch.float32) + 0.5
    steps = steps * (pixels / size).float() - 0.5
    steps = torch.minimum(steps.clamp(min=0), pixels.float() - 1).to(windows.dtype)  # (N, size)
    ys, xs = (steps + lows[:, axis, None] for axis in (0, 1))
    return sample_grid(frame, ys, xs, lattice=windows[:, :3].long())


def released_window(center: Position, side: float, size: int) -> tuple[int, ...]:
    """First row and column that are looked at, and the step from one to the next; first row and
    column of the square and its side, in such steps."""
    factor = max(int(side / size - 0.1), 1)
    pixels = max(round(side / factor), 2)
    whole = [math.trunc(c) for c in center]
    lows = [c // factor - (pixels - 1) // 2 for c in whole]
    return (*(c % factor for c in whole), factor, *lows, pixels)


def cut(patch: Tensor, size: int, shift: tuple[int, int], margin: int = 0) -> Tensor:
    """The middle of a patch (..., n, n), its content moved by `shift` rows and columns; `margin`
    more on all sides, zero outside the patch."""
    low = (patch.shape[-1] - size) // 2
    y, x = low - shift[0], low - shift[1]
    padding = max(0, margin - min(y, x), margin + max(y, x) + size - patch.shape[-1])
    patch = F.pad(patch, (padding,) * 4)
    y, x = y + padding - margin, x + padding - margin
    return patch[..., y : y + size + 2 * margin, x : x + size + 2 * margin]


def blurred(
    patch: Tensor, size: int, shift: tuple[int, int], deviations: tuple[float, float]
) -> Tensor:
    """`cut` of a patch (1, 3, n, n) blurred by a Gaussian."""
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


def rotated(patch: Tensor, size: int, shift: tuple[int, int], degrees: float) -> Tensor:
    """`cut` of a patch (1, 3, n, n) rotated about its centre; its border is repeated."""
    n = patch.shape[-1]
    low, middle = (n - size) // 2, (n - 1) / 2
    k = torch.arange(size, device=patch.device, dtype=torch.float64) + low - middle
    y, x = torch.meshgrid(k - shift[0], k - shift[1], indexing='ij')
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    source = torch.stack([cos * x - sin * y, sin * x + cos * y], dim=-1)  # from the centre
    grid = (source / middle).to(patch.dtype)[None]
    return F.grid_sample(patch, grid, padding_mode='border', align_corners=True)


def first_views(
    patch: Tensor, config: AtomConfig, generator: torch.Generator
) -> tuple[Tensor, list[tuple[int, int]]]:
    """The target's first frame, shifted, flipped, blurred and rotated.

    Args:
        patch: (1, 3, 2 S, 2 S) around the target, twice as wide as the search region.
        config: `search_side` S, `random_shift`, `rotations`.
        generator: For the random shifts.

    Returns:
        (n, 3, S, S), the unchanged view first, and by how many rows and columns each was shifted.
    """
    size = config.search_side

    def random_shift() -> tuple[int, int]:
        draws = torch.rand(2, generator=generator, dtype=torch.float64) - 0.5
        return tuple(math.trunc(float(draw) * size * config.random_shift) for draw in draws)

    shifts = [(0, 0)] + [tuple(math.trunc(r * size / 2) for r in shift) for shift in SHIFTS]
    views = [cut(patch, size, shift) for shift in shifts]
    transforms = [lambda shift: cut(patch.flip(3), size, shift)]
    transforms += [lambda shift, b=blur: blurred(patch, size, shift, b) for blur in BLURS]
    if config.rotations:
        transforms += [
            lambda shift, a=angle: rotated(patch, size, shift, a) for angle in ROTATIONS
        ]
    for transform in transforms:
        shifts.append(random_shift())
        views.append(transform(shifts[-1]))
    return torch.cat(views), shifts


def drop_channels(
    sample: Tensor, count: int, generator: torch.Generator, share: float = 0.2
) -> Tensor:
    """Copies (count, F, F, C) of a sample (F, F, C) with a random share of channels set to zero
    and the others enlarged accordingly."""
    keep = torch.rand(count, 1, 1, sample.shape[-1], generator=generator) >= share
    return sample * (keep / (1 - share)).to(sample)

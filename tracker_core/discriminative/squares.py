# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Squares of whole pixels, cut out and resized; the frame's border is repeated.

The published trackers see such squares, in training and after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tracker_core.images import Corners, sample_grid


@dataclass(frozen=True)
class PixelSquare:
    """A square of whole pixels. One much larger than the result is taken from every second,
    third, ... pixel.

    Attributes:
        offset: First row and column that are looked at.
        step: Distance of the pixels that are looked at.
        first: First row and column of the square, in such pixels.
        count: Its side in such pixels.
        size: Side of the result.
    """

    offset: tuple[int, int]
    step: int
    first: tuple[int, int]
    count: int
    size: int

    @classmethod
    def at(cls, centre: tuple[float, float], side: float, size: int) -> PixelSquare:
        """Around a centre (x, y), a side of about `side` image pixels."""
        step = max(int(side / size - 0.1), 1)
        count = max(round(side / step), 2)
        x, y = int(centre[0]), int(centre[1])
        before = (count - 1) // 2
        first = (y // step - before, x // step - before)
        return cls((y % step, x % step), step, first, count, size)

    @property
    def centre(self) -> tuple[float, float]:
        """Of what is cut (x, y), pixels."""
        y, x = ((2 * first + self.count) * self.step / 2 - 0.5 for first in self.first)
        return x, y

    @property
    def scale(self) -> float:
        """Image pixels per pixel of the result."""
        return self.count * self.step / self.size

    def numbers(self) -> tuple[int, ...]:
        """What `cut_squares` takes."""
        return (*self.offset, self.step, *self.first, self.count)


def square_reach(numbers: Sequence[float], image_size: tuple[int, int]) -> Corners:
    """What `cut_squares` samples of a frame for one square, as corners in pixels; outside the
    frame it sees the last pixels of its own that are inside."""
    step, count = numbers[2], numbers[5]
    starts = [numbers[axis] + step * numbers[3 + axis] for axis in (1, 0)]
    lows = [min(at, size - 2 * step) for at, size in zip(starts, image_size, strict=True)]
    highs = [max(at + step * count, 2 * step) for at in starts]
    return lows[0], lows[1], highs[0], highs[1]


def cut_squares(frame: Tensor, numbers: Tensor, size: int, positions: torch.dtype) -> Tensor:
    """Cut squares out of a frame.

    Args:
        frame: (H, W, 3) uint8.
        numbers: (N, 6), see `PixelSquare.numbers`.
        size: Side of the result.
        positions: Number format of the places that are sampled.

    Returns:
        (N, 3, size, size) float32, 0 to 255.
    """
    first, count = numbers[:, 3:5].to(positions), numbers[:, 5:6].float()
    places = torch.arange(size, device=frame.device, dtype=torch.float32) + 0.5
    places = places * (count / size) - 0.5  # (N, size)
    places = torch.minimum(places.clamp(min=0), count - 1).to(positions)
    ys, xs = (places + first[:, axis, None] for axis in (0, 1))
    return sample_grid(frame, ys, xs, lattice=numbers[:, :3].to(positions))

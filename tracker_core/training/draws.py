# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Chance in losses that belongs to a pair, and not to the batch that it comes in.

A pair's numbers depend on its own number and on how many were drawn for it before. So a training
is the same however its batches are shared out between processes, and goes on after a stop as if
there had been none, on any device.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

# of the mixing function of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014, figure 16), as int64
STEP = -7046029254386353131
FIRST, SECOND = -4658895280553007687, -7723592293110705685


class Draws:
    """Random numbers for each pair of a batch.

    Args:
        numbers: (N,) int64, of the pairs.
    """

    def __init__(self, numbers: Tensor) -> None:
        self.numbers, self.drawn = numbers, 0

    def uniform(self, *shape: int) -> Tensor:
        """Float32 of shape (N, ...), evenly in (0, 1)."""
        count = math.prod(shape)
        places = torch.arange(self.drawn, self.drawn + count, device=self.numbers.device)
        self.drawn += count
        bits = mix(mix(self.numbers * STEP)[:, None] + places * STEP)
        return ((shifted(bits, 41).float() + 0.5) * 2.0**-23).reshape(-1, *shape)

    def normal(self, *shape: int) -> Tensor:
        """Float32 of shape (N, ...), of mean 0 and deviation 1 (Box and Muller, 1958)."""
        radius = (-2 * self.uniform(*shape).log()).sqrt()
        return radius * (2 * math.pi * self.uniform(*shape)).cos()


def mix(x: Tensor) -> Tensor:
    """Numbers of 64 bits, each turned into another that tells nothing of it."""
    x = (x ^ shifted(x, 30)) * FIRST
    x = (x ^ shifted(x, 27)) * SECOND
    return x ^ shifted(x, 31)


def shifted(x: Tensor, bits: int) -> Tensor:
    """The bits moved down, zeros after them."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Separable bilinear resampling as matrix products: static shapes, differentiable, exportable."""

from __future__ import annotations

import torch
from torch import Tensor


def bilinear_weights(positions: Tensor, size: int) -> Tensor:
    """Matrix that samples a line of `size` values at fractional positions; ends are repeated.

    Args:
        positions: (..., m) in index coordinates.
        size: Number of values on the line.

    Returns:
        (..., m, size); rows sum to one.
    """
    grid = torch.arange(size, device=positions.device, dtype=positions.dtype)
    return (1 - (positions.clamp(0, size - 1)[..., None] - grid).abs()).clamp(min=0)


def resample(maps: Tensor, ys: Tensor, xs: Tensor) -> Tensor:
    """Sample maps bilinearly on a grid of rows and columns.

    Args:
        maps: (..., H, W).
        ys: (..., h) row positions in index coordinates.
        xs: (..., w) column positions.

    Returns:
        (..., h, w).
    """
    rows = bilinear_weights(ys, maps.shape[-2])
    columns = bilinear_weights(xs, maps.shape[-1])
    return rows @ maps @ columns.transpose(-1, -2)

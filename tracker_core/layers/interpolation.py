# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Separable bilinear resampling as matrix products: static shapes, differentiable, exportable."""

from __future__ import annotations

import torch
from torch import Tensor
import torch.nn.functional as F


def bilinear_weights(positions: Tensor, size: int, repeat: bool = True) -> Tensor:
    """Matrix that samples a line of `size` values at fractional positions.

    Args:
        positions: (..., m) in index coordinates.
        size: Number of values on the line.
        repeat: Whether the line goes on with its end values; otherwise with zeros.

    Returns:
        (..., m, size).
    """
    grid = torch.arange(size, device=positions.device, dtype=positions.dtype)
    if repeat:
        positions = positions.clamp(0, size - 1)
    return (1 - (positions[..., None] - grid).abs()).clamp(min=0)


def resample(maps: Tensor, ys: Tensor, xs: Tensor, repeat: bool = True) -> Tensor:
    """Sample maps bilinearly on a grid of rows and columns.

    Args:
        maps: (..., H, W).
        ys: (..., h) row positions in index coordinates.
        xs: (..., w) column positions.
        repeat: Whether the border is repeated outside the maps; otherwise they are zero there.

    Returns:
        (..., h, w).
    """
    rows = bilinear_weights(ys, maps.shape[-2], repeat)
    columns = bilinear_weights(xs, maps.shape[-1], repeat)
    return rows @ maps @ columns.transpose(-1, -2)


def cubic_matrix(size: int, finer: int, align_corners: bool) -> Tensor:
    """The matrix A (finer, size) that interpolates bicubically, `A @ maps @ A.T`.

    It is what `torch.nn.functional.interpolate` does, which exporters of TensorRT do not have.

    Args:
        size: Side of the maps.
        finer: Side of the result.
        align_corners: See there.
    """
    lines = torch.eye(size)[None, None]
    return F.interpolate(lines, (finer, size), mode='bicubic', align_corners=align_corners)[0, 0]

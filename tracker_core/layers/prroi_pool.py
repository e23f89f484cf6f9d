# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Precise RoI pooling, exact and without compiled code.

Jiang et al., 'Acquisition of Localization Confidence for Accurate Object Detection', ECCV 2018,
section 3.2: the mean over a bin of the bilinearly interpolated map. Bilinear interpolation is a
product of a row and a column factor, so the mean over a rectangle is `rows @ map @ columns.T`,
where a row's weights are integrals of the interpolation's hat function between a bin's edges.
"""

from __future__ import annotations

import torch
from torch import Tensor


def bin_weights(low: Tensor, high: Tensor, bins: int, size: int) -> Tensor:
    """Weights that average a line of values over equal bins.

    Args:
        low: (...) where the first bin starts, in index coordinates.
        high: (...) where the last bin ends.
        bins: Number of bins.
        size: Number of values on the line; it is zero outside them.

    Returns:
        (..., bins, size); zero for an interval without length. Differentiable in both ends.
    """
    share = torch.arange(bins + 1, device=low.device, dtype=low.dtype) / bins
    whole = low.detach().floor()  # the edges of small boxes keep their precision relative to it
    grid = torch.arange(size, device=low.device, dtype=low.dtype) - whole[..., None]
    extent = high - low
    edges = (low - whole)[..., None] + share * extent[..., None]
    integral = (edges[..., None] - grid[..., None, :]).clamp(-1, 1)
    empty = extent <= 0
    length = torch.where(empty, torch.ones_like(extent), extent / bins)
    integral = 0.5 + integral - 0.5 * integral * integral.abs()  # of the hat, from -1 on
    weights = integral.diff(dim=-2) / length[..., None, None]
    return torch.where(empty[..., None, None], torch.zeros_like(weights), weights)


def prroi_pool(maps: Tensor, boxes: Tensor, bins: int) -> Tensor:
    """Average maps over the bins of boxes.

    Args:
        maps: (N, C, H, W), zero outside.
        boxes: (N, B, 4) corners x1, y1, x2, y2 in index coordinates of the maps.
        bins: Bins per side.

    Returns:
        (N, B, C, bins, bins); zero for a box without area. Differentiable in maps and boxes.
    """
    rows = bin_weights(boxes[..., 1], boxes[..., 3], bins, maps.shape[2])  # (N, B, bins, H)
    columns = bin_weights(boxes[..., 0], boxes[..., 2], bins, maps.shape[3])
    return torch.einsum('nbih,nchw,nbjw->nbcij', rows.to(maps.dtype), maps, columns.to(maps.dtype))

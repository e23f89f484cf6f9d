# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Precise RoI pooling: the exact mean of a bilinear feature surface over the bins of a box.

Jiang, Luo, Mao, Xiao, Jiang: Acquisition of Localization Confidence for Accurate Object
Detection, ECCV 2018. The surface is a sum of products of hat functions, so its integral over a
rectangle is separable: two small matrices of integrals, one for rows and one for columns.
"""

from __future__ import annotations

import torch
from torch import Tensor


def hat_integral(positions: Tensor) -> Tensor:
    """Integral of the hat function max(1 - |t|, 0) from minus infinity."""
    t = positions.clamp(-1, 1)
    return torch.where(t < 0, (t + 1) ** 2 / 2, 1 - (1 - t) ** 2 / 2)


def bin_weights(start: Tensor, end: Tensor, bins: int, size: int) -> Tensor:
    """Share of each of `size` values in the mean over each of `bins` parts of an interval.

    Args:
        start: (...) start of the interval in index coordinates.
        end: (...) its end.
        bins: Number of equal parts.
        size: Number of values on the line; beyond them the line is zero.

    Returns:
        (..., bins, size); zero for an empty interval.
    """
    steps = torch.arange(bins + 1, device=start.device, dtype=start.dtype) / bins
    edges = torch.lerp(start[..., None], end[..., None], steps)  # (..., bins + 1)
    grid = torch.arange(size, device=start.device, dtype=start.dtype)
    integrals = hat_integral(edges[..., None] - grid)  # (..., bins + 1, size)
    width = ((end - start) / bins)[..., None, None]
    parts = integrals[..., 1:, :] - integrals[..., :-1, :]
    return torch.where(width > 0, parts / width.clamp(min=1e-12), torch.zeros_like(parts))


def prroi_pool(features: Tensor, boxes: Tensor, bins: int) -> Tensor:
    """Pool boxes of feature maps exactly.

    Args:
        features: (N, C, H, W); outside the map the surface falls to zero.
        boxes: (N, R, 4) x1, y1, x2, y2 in index coordinates of the map.
        bins: Rows and columns of the result.

    Returns:
        (N, R, C, bins, bins).
    """
    x1, y1, x2, y2 = boxes.unbind(-1)
    rows = bin_weights(y1, y2, bins, features.shape[-2])  # (N, R, bins, H)
    columns = bin_weights(x1, x2, bins, features.shape[-1])  # (N, R, bins, W)
    return rows[:, :, None] @ features[:, None] @ columns[:, :, None].mT

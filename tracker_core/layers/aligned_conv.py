# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Convolution at free sampling positions: bilinear gathering and one matrix product.

What a deformable convolution computes, written as a plain tensor expression: exact, differentiable
in features, positions and kernel, exportable, and without a compiled extension.
"""

from __future__ import annotations

import torch
from torch import Tensor
import torch.nn.functional as F

from tracker_core.images import lerp_pairs


def sample_points(features: Tensor, ys: Tensor, xs: Tensor) -> Tensor:
    """Sample feature vectors bilinearly at any points.

    Outside the map, and where a position is not a number, the features are zero.

    Args:
        features: (N, C, H, W).
        ys: (N, P) row positions in index coordinates.
        xs: (N, P) column positions.

    Returns:
        (N, P, C).
    """
    images, channels, height, width = features.shape
    # one cell of zeros around the map: whatever lies further out is clamped onto it
    rows, columns = height + 2, width + 2
    cells = F.pad(features, (1, 1, 1, 1)).permute(0, 2, 3, 1).reshape(-1, channels)
    ys, xs = (p.masked_fill(p.isnan(), -1) + 1 for p in (ys, xs))
    ys, xs = ys.clamp(0, rows - 1), xs.clamp(0, columns - 1)
    top, left = ys.floor().clamp(max=rows - 2), xs.floor().clamp(max=columns - 2)
    wy, wx = (ys - top)[..., None].to(features), (xs - left)[..., None].to(features)
    first = torch.arange(images, device=features.device)[:, None] * (rows * columns)
    index = first + top.long() * columns + left.long()  # (N, P)

    pair = torch.arange(2, device=features.device)
    corners = index[..., None] + (columns * pair[:, None] + pair).flatten()  # (N, P, 4)
    samples = cells.index_select(0, corners.flatten()).view(*index.shape, 2, 2, channels)
    samples = lerp_pairs(samples, 3, wx[..., None])  # (N, P, 2, C)
    return lerp_pairs(samples, 2, wy)


def aligned_conv2d(features: Tensor, ys: Tensor, xs: Tensor, weight: Tensor) -> Tensor:
    """A convolution whose taps lie at given positions instead of on a regular grid.

    Args:
        features: (N, C, H, W).
        ys: (N, K, h, w) row position of each tap for each output cell, in index coordinates.
        xs: (N, K, h, w) column positions.
        weight: (D, C, k, k) kernel; its K = k * k taps in row-major order.

    Returns:
        (N, D, h, w).
    """
    images, _, height, width = ys.shape
    ys, xs = (p.permute(0, 2, 3, 1).reshape(images, -1) for p in (ys, xs))  # (N, h w K)
    samples = sample_points(features, ys, xs).view(images, height * width, -1)  # (N, h w, K C)
    kernel = weight.permute(2, 3, 1, 0).reshape(-1, weight.shape[0])  # (K C, D)
    return (samples @ kernel).transpose(1, 2).view(images, -1, height, width)

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Cross-correlation of templates with search regions, each pair its own."""

from __future__ import annotations

from torch import Tensor
import torch.nn.functional as F


def depthwise_correlation(search: Tensor, template: Tensor) -> Tensor:
    """Correlate pairs channel by channel, as one grouped convolution for the whole batch.

    Args:
        search: (N, C, H, W).
        template: (N, C, h, w), each pair its own.

    Returns:
        (N, C, H - h + 1, W - w + 1).
    """
    pairs, channels = search.shape[:2]
    groups = pairs * channels
    responses = F.conv2d(
        search.reshape(1, groups, *search.shape[2:]),
        template.reshape(groups, 1, *template.shape[2:]),
        groups=groups,
    )
    return responses.view(pairs, channels, *responses.shape[2:])


def full_correlation(search: Tensor, kernels: Tensor, size: tuple[int, int]) -> Tensor:
    """Correlate all channels, the search region zero outside, by one matrix product.

    With few templates of many cells this is several times faster than a convolution: every cell
    of the search region is multiplied with every cell of the templates, and the products are
    added where they belong.

    Args:
        search: (N, C, H, W).
        kernels: (N, T h w, C), see `correlation_kernels`.
        size: h and w, odd.

    Returns:
        (N, T, H, W).
    """
    height, width = search.shape[2:]
    products = kernels @ search.flatten(2)  # (N, T h w, H W)
    padding = (size[0] // 2, size[1] // 2)
    return F.fold(products, (height, width), size, padding=padding)


def correlation_kernels(templates: Tensor) -> Tensor:
    """Templates (N, T, C, h, w) in the order that `full_correlation` wants."""
    n, _, channels = templates.shape[:3]
    return templates.flip(3, 4).permute(0, 1, 3, 4, 2).reshape(n, -1, channels).contiguous()

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
    n, _, height, width = search.shape
    rows, columns = size
    products = kernels @ search.flatten(2)  # (N, T h w, H W)
    products = products.view(n, -1, rows, columns, height, width)
    products = F.pad(products, (columns // 2, columns // 2, rows // 2, rows // 2))
    line = products.shape[-1]
    # the product with cell (i, j) of a template counts i rows and j columns further up and left,
    # which are i lines and j cells of the flattened map
    sums = shifted_sum(products.flatten(4), 1)  # (N, T, h, (H + h - 1) line)
    sums = shifted_sum(sums, line)  # (N, T, (H + h - 1) line)
    return sums.unflatten(2, (-1, line))[:, :, :height, :width].contiguous()


def shifted_sum(lines: Tensor, shift: int) -> Tensor:
    """The sum of lines (..., k, L), line number i moved to the left by i times `shift`: (..., L).

    Zeros follow the lines. The move takes no operation of its own: lines that are `shift` longer
    begin just so much later in memory.
    """
    count, length = lines.shape[-2:]
    flat = F.pad(lines.flatten(-2), (0, count * shift))
    return flat.unflatten(-1, (count, length + shift))[..., :length].sum(dim=-2)


def correlation_kernels(templates: Tensor) -> Tensor:
    """Templates (N, T, C, h, w) in the order that `full_correlation` wants."""
    n, _, channels = templates.shape[:3]
    return templates.permute(0, 1, 3, 4, 2).reshape(n, -1, channels).contiguous()

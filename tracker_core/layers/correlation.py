# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Depthwise cross-correlation: every channel of a template against the same channel of a search
region."""

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

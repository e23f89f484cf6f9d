# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Where in a prediction the target is, and how large (section 4.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from tracker_core.layers.interpolation import cubic_matrix
from tracker_core.ocean.config import OceanConfig
from tracker_core.ocean.network import cell_offsets, Prediction, STRIDE
from tracker_core.ocean.online_network import SCORES

Size = TypeVar('Size', float, Tensor)


def context_side(width: Size, height: Size) -> Size:
    """Side of the square that a target of this size is seen in; numbers or tensors."""
    margin = 0.5 * (width + height)
    return ((width + margin) * (height + margin)) ** 0.5


def boxes_in_cells(shifts: Tensor, sizes: Tensor, features: Tensor) -> Tensor:
    """Corners (N, 4) in cells of feature maps (N, C, n, n) of boxes that are shifted (N, 2) from
    their middle and (N, 2) wide and high, pixels of what was cut out."""
    center, half = (features.shape[-1] - 1) / 2 + shifts / STRIDE, sizes / (2 * STRIDE)
    return torch.cat((center - half, center + half), dim=1)


def classification(prediction: Prediction, config: OceanConfig) -> Tensor:
    """How likely each cell is the target, (N, n, n): regular-region and object-aware score."""
    scores = prediction.logits.sigmoid()
    if prediction.aligned is None:
        return scores
    return torch.lerp(prediction.aligned.sigmoid(), scores, config.regular_weight)


@dataclass(frozen=True)
class Cells:
    """What is known of the n x n cells of a prediction before there is one.

    Attributes:
        window: (n, n) Hann window.
        offsets: (n, n) distance of each cell from the map's middle in x, pixels.
        finer: (n, 14) interpolates the score maps of the online branch, `finer @ maps @ finer.T`.
    """

    window: Tensor
    offsets: Tensor
    finer: Tensor

    @classmethod
    def of(cls, count: int, device: torch.device) -> Cells:
        """Those of a map of so many cells a side."""
        hann = torch.hann_window(count, periodic=False, device=device)
        offsets = cell_offsets(count, device).expand(count, count).contiguous()
        finer = cubic_matrix(SCORES, count, align_corners=False).to(device)
        return cls(hann[:, None] * hann, offsets, finer)


def choose_places(
    prediction: Prediction,
    sizes: Tensor,
    config: OceanConfig,
    cells: Cells,
    online: Tensor | None = None,
) -> Tensor:
    """Choose the best cell of each search region and smooth the size of its box (section 4.1).

    Args:
        prediction: Of the networks.
        sizes: (N, 2) last width and height of each target, in pixels of the search region.
        config: Parameters.
        cells: Of the prediction.
        online: (N, 14, 14) score maps of the online branch.

    Returns:
        (N, 5): shift of the target's centre (x, y) from the middle of the search region, new
        width and height, all in pixels of the search region, and the classification score.
    """
    scores = classification(prediction, config)  # (N, n, n)
    left, top, right, bottom = prediction.ltrb.unbind(1)
    width, height = left + right, top + bottom
    last_w, last_h = sizes[:, 0, None, None], sizes[:, 1, None, None]
    growth = context_side(width, height) / context_side(last_w, last_h)
    stretch = (last_w / last_h) * (height / width)
    change = torch.maximum(growth, 1 / growth) * torch.maximum(stretch, 1 / stretch)
    penalized = scores * torch.exp(-config.penalty * (change - 1))
    ranking = torch.lerp(penalized, cells.window, config.window_influence)
    if online is not None:
        # the two search regions differ; both have the target in the middle
        online = cells.finer @ online @ cells.finer.T
        ranking = torch.lerp(ranking, online, config.online_weight)
    best = ranking.flatten(1).argmax(1, keepdim=True)  # (N, 1)

    def at_best(maps: Tensor) -> Tensor:
        return maps.flatten(1).gather(1, best)[:, 0]

    shift_x = at_best(cells.offsets + (right - left) / 2)
    shift_y = at_best(cells.offsets.T + (bottom - top) / 2)
    rate = config.size_rate * at_best(penalized)
    if config.smooth_twice:
        rate = rate.square()
    new_w = torch.lerp(sizes[:, 0], at_best(width), rate)
    new_h = torch.lerp(sizes[:, 1], at_best(height), rate)
    return torch.stack((shift_x, shift_y, new_w, new_h, at_best(scores)), 1)

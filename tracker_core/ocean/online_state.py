# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""What Ocean's online branch sees in a frame, what that means, and where it looks next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
import math

import torch
from torch import Tensor

from tracker_core.discriminative.verdict import Verdict
from tracker_core.layers.peaks import row_and_column
from tracker_core.ocean.online_network import CELL, CROP, FEATURES, SCORES

FOUND = 0.0  # a best score below this means not found
SAME_PEAK = 2.2  # the second peak lies outside this many target sizes around the first
FAR = 0.7 * SCORES / 2  # cells; a peak further from the centre than this is likely not the target
DISTRACTOR = 100.0  # a second peak so many times higher than the first calls it in question


@dataclass(frozen=True)
class OnlineSample:
    """What a frame leaves to be learnt.

    Attributes:
        features: (1, C, 13, 13).
        box: (1, 4) the target, x, y, w, h in crop pixels.
        hard: It shows a distractor.
    """

    features: Tensor
    box: Tensor
    hard: bool


@dataclass(frozen=True)
class OnlineState:
    """Where the online branch looks for the target next, and what is to be learnt.

    This is where the tracker found the target last while the branch found it, too.
    """

    cx: float
    cy: float
    pending: OnlineSample | None = None


@dataclass(frozen=True)
class OnlineView:
    """What the online branch sees of one target in one frame.

    Attributes:
        features: (1, C, 13, 13).
        centre: Centre (x, y) of the crop in the image, pixels.
        scale: Image pixels per crop pixel.
    """

    features: Tensor
    centre: tuple[float, float]
    scale: float

    def box(self, cx: float, cy: float, w: float, h: float) -> Tensor:
        """A box of the image, (1, 4) x, y, w, h in crop pixels."""
        width, height = w / self.scale, h / self.scale
        x = (cx - self.centre[0]) / self.scale + (CROP - 1) / 2 - (width - 1) / 2
        y = (cy - self.centre[1]) / self.scale + (CROP - 1) / 2 - (height - 1) / 2
        return torch.tensor([[x, y, width, height]], device=self.features.device)


def view_centre(cx: float, cy: float, scale: float) -> tuple[float, float]:
    """Where to cut so that the target lies on the middle of the score map, between two cells."""
    shift = scale * CROP / (2 * FEATURES)
    return cx + shift, cy + shift


def summarize(maps: Tensor, sizes: Tensor) -> Tensor:
    """The two highest peaks of each score map.

    Args:
        maps: (N, 14, 14).
        sizes: (N, 2) width and height of each target in crop pixels.

    Returns:
        (N, 4): score of the best cell, best score outside its neighbourhood, and distance of
        both from the centre of the map in cells.
    """
    cells = torch.arange(SCORES, device=maps.device, dtype=maps.dtype)
    squares = (cells - (SCORES - 1) / 2).square()
    distance = (squares[:, None] + squares).sqrt()
    first, place = maps.flatten(1).max(1)
    row, column = row_and_column(place, SCORES)
    reach_x, reach_y = (sizes / CELL * SAME_PEAK / 2).unbind(1)
    near = (cells - row[:, None]).abs()[:, :, None] <= reach_y[:, None, None] + 0.5
    near = near & ((cells - column[:, None]).abs()[:, None] <= reach_x[:, None, None] + 0.5)
    second, other = maps.masked_fill(near, -math.inf).flatten(1).max(1)
    distance = distance.flatten()
    return torch.stack((first, second, distance[place], distance[other]), 1)


def judge(peaks: Sequence[float], hard_peak: float) -> Verdict:
    """What the two highest peaks mean.

    Args:
        peaks: A row of `summarize`.
        hard_peak: See `OceanConfig.online_hard_peak`.
    """
    first, second, first_distance, second_distance = peaks
    if not first >= FOUND:
        return Verdict.NOT_FOUND
    if second > DISTRACTOR * first:
        one_is_near = (first_distance < FAR) != (second_distance < FAR)
        return Verdict.HARD_NEGATIVE if one_is_near else Verdict.UNCERTAIN
    if second > hard_peak * first and second > FOUND:
        return Verdict.HARD_NEGATIVE
    return Verdict.NORMAL

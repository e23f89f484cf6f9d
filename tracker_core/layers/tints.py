# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Measures the tints of boxes in a frame, see `tracker_core.tint`."""

from __future__ import annotations

from collections.abc import Sequence
import math

import torch
from torch import Tensor

from tracker_core.boxes import Box
from tracker_core.tint import Hue

POINTS = 16  # samples per side
INNER = 0.6  # side of what is looked at, in sides of the box: what lies around shall not count
AROUND = 4.0  # side of the surroundings, in mean sides of the box
DARKEST = 5.0  # is added to all channels: what is dark has hardly a tint


def tints(frame: Tensor, boxes: Sequence[Box]) -> list[Hue]:
    """The tints of what is in boxes, relative to what is around them.

    Args:
        frame: (H, W, 3) uint8 RGB.
        boxes: In pixels of the frame; where they reach over its border, the border counts.
    """
    if not boxes:
        return []
    sides = [(box.w, box.h, math.sqrt(box.area)) for box in boxes]
    within = grid_mean(frame, boxes, [(INNER * w, INNER * h) for w, h, _ in sides])
    around = grid_mean(frame, boxes, [(AROUND * side, AROUND * side) for *_, side in sides])
    tint = (within - around).cpu()  # (N, 3)
    hues = torch.stack((tint[:, 0] - tint[:, 1], tint[:, 2] - tint[:, 1]), dim=1).tolist()
    return [(red, blue) for red, blue in hues]


def grid_mean(frame: Tensor, boxes: Sequence[Box], sides: Sequence[tuple[float, float]]) -> Tensor:
    """Logarithms (N, 3) of the mean colours in rectangles around the centres of boxes."""
    height, width = frame.shape[:2]
    steps = (torch.arange(POINTS, dtype=torch.float64) + 0.5) / POINTS - 0.5
    centres = torch.tensor([(box.cx, box.cy) for box in boxes], dtype=torch.float64)
    at = centres[:, :, None] + torch.tensor(sides, dtype=torch.float64)[:, :, None] * steps
    columns = at[:, 0].long().clamp(0, width - 1)  # (N, 16)
    rows = at[:, 1].long().clamp(0, height - 1)
    index = (rows[:, :, None] * width + columns[:, None]).flatten(1).to(frame.device)
    pixels = frame.reshape(-1, 3)[index].float()  # (N, 256, 3)
    return torch.log(pixels.mean(dim=1) + DARKEST)

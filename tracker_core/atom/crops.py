# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Search regions.

Positions are (row, column) in index coordinates: (0, 0) is the centre of the first pixel.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tracker_core.images import Cut, cut_windows

Position = tuple[float, ...]  # row and column


def crop(frame: Tensor, squares: Tensor, size: int, cut: Cut = cut_windows) -> Tensor:
    """Cut squares out of a frame and resize them; the frame's border is repeated.

    Args:
        frame: (H, W, 3).
        squares: (N, 3) row and column of the centre, and side in pixels.
        size: Side of the result.
        cut: How.

    Returns:
        (N, 3, size, size) RGB, 0 to 255.
    """
    y, x, side = squares.float().unbind(1)
    return cut(frame, torch.stack((x + 0.5, y + 0.5, side), dim=1), size)

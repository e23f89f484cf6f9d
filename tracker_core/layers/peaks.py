# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Places in maps."""

from __future__ import annotations

import torch
from torch import Tensor


def row_and_column(index: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Those of indices into flattened maps of this width, whole numbers like them.

    Not by `//`, which exporters make more of.
    """
    return torch.div(index, width, rounding_mode='floor'), index % width

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Names for the arrays that the data's modules hand each other."""

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]  # (H, W, 3) RGB
Gray = NDArray[np.uint8]  # (H, W)
Floats = NDArray[np.float64]  # boxes (4,), points (N, 2), matrices (2, 3)
Mask = NDArray[np.float32]  # (H, W, 1), 0 to 1

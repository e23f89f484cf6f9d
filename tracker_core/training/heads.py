# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The trackers' heads that are trained on the compact backbone, in the order of their training."""

from __future__ import annotations

from typing import Any

from tracker_core.training import atom, ocean, refiner, spm
from tracker_core.training.parts import Head

HEADS: tuple[Head[Any, Any], ...] = (ocean.HEAD, spm.HEAD, atom.HEAD, refiner.HEAD)

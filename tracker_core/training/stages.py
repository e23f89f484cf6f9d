# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Everything that is trained by itself, in the order in which `tracker train all` does it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tracker_core.training import backbone, together
from tracker_core.training.heads import HEADS
from tracker_core.training.lite0 import LITE0, lite0_file
from tracker_core.training.parts import Stage, weight_file

STAGES: dict[str, Stage[Any]] = {
    stage.name: stage
    for stage in (backbone.STAGE, *(head.stage for head in HEADS), together.STAGE)
}


def given_file(name: str, folder: Path) -> Path:
    """The file of weights that a stage begins with: of a package for Lite0's, else in a folder."""
    return lite0_file() if name == LITE0 else folder / weight_file(name)

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Everything that is trained by itself, in the order in which `tracker train all` does it."""

from __future__ import annotations

from typing import Any

from tracker_core.training import backbone, together
from tracker_core.training.heads import HEADS
from tracker_core.training.parts import Stage

STAGES: dict[str, Stage[Any]] = {
    stage.name: stage
    for stage in (backbone.STAGE, *(head.stage for head in HEADS), together.STAGE)
}

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The published architectures, as their papers train them: `tracker train NAME --preset paper`.

A file for each tracker says what of it is trained, from what, on which pairs, and has the paper's
numbers as the defaults of its config. The losses are those of the compact heads, which came from
the papers too. DAT and TADT are not among them: they learn on the first frame of a video, from an
ImageNet classifier as it is.
"""

from typing import Any

from tracker_core.training.architecture import Architecture
from tracker_core.training.published import atom, ocean, spm

PUBLISHED: dict[str, Architecture[Any, Any]] = {
    each.name: each for each in (atom.ARCHITECTURE, ocean.ARCHITECTURE, spm.ARCHITECTURE)
}

__all__ = ['PUBLISHED']

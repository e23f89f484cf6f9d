# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""What ATOM is called, its presets and their weights."""

from tracker_core.atom.config import COMPACT, PAPER, VOT
from tracker_core.declaration import (
    box_refiner,
    bundled,
    compact_backbone,
    Declaration,
    Preset,
    WeightFile,
)

AUTHORS = WeightFile(
    'atom_default.pth',
    'as their authors grant it; the accompanying code is GPL-3.0',
    'the model zoo of https://github.com/visionml/pytracking',
)
HEAD = bundled(
    'compact_atom.safetensors',
    'e6134a347f80494b1ddb85432bfe227ba715749fb31051a7c51554eb2805db3c',
    'head',
)

DECLARATION = Declaration(
    'atom',
    'ATOM',
    'a classifier learnt online finds the place, ascent on a predicted overlap the box.',
    'tracker_core.atom.tracker:AtomTracker',
    {
        'compact': Preset(COMPACT, 'compact', (compact_backbone(), HEAD, box_refiner())),
        'paper': Preset(PAPER, 'published', (AUTHORS,)),
        'paper_vot': Preset(VOT, 'published', (AUTHORS,)),
    },
)

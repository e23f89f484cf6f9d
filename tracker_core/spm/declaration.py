# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""What SPM-Tracker is called, its presets and their weights."""

from tracker_core.declaration import (
    box_refiner,
    bundled,
    compact_backbone,
    Declaration,
    Preset,
    WeightFile,
)
from tracker_core.spm.config import COMPACT, LASOT, OTB

ORIGIN = 'https://github.com/microsoft/SPM-Tracker'
STAGES = (
    WeightFile('cm_stage.pt', 'MIT', ORIGIN, 'cm'),
    WeightFile('fm_stage.pt', 'MIT', ORIGIN, 'fm'),
)
HEADS = bundled(
    'compact_spm.safetensors',
    '2525d852d873f15ab81aadb4ef0fbc7bf6d839beab1e446eea20bb0b05456b29',
    'heads',
)

DECLARATION = Declaration(
    'spm',
    'SPM-Tracker',
    'two stages of matching in series, whose scores and boxes count side by side.',
    'tracker_core.spm.tracker:SpmTracker',
    {
        'compact': Preset(
            COMPACT, 'compact', (compact_backbone(), HEADS, box_refiner()), fine_formats=('int8',)
        ),
        'paper': Preset(OTB, 'published', STAGES),
        'paper_lasot': Preset(LASOT, 'published', STAGES),
    },
)

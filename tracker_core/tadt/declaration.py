# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""What TADT is called, its presets and their weights."""

from tracker_core.declaration import box_refiner, compact_backbone, Declaration, Preset, WeightFile
from tracker_core.tadt.config import COMPACT, PAPER

VGG_16 = WeightFile(
    'imagenet-vgg-verydeep-16.mat',
    'CC BY 4.0',
    'https://www.vlfeat.org/matconvnet/models/imagenet-vgg-verydeep-16.mat',
)

DECLARATION = Declaration(
    'tadt',
    'TADT',
    'a template of target-aware features, found again by correlation at three sizes.',
    'tracker_core.tadt.tracker:TadtTracker',
    {
        'compact': Preset(
            COMPACT, 'compact', (compact_backbone(), box_refiner()), fine_formats=('int8',)
        ),
        'paper': Preset(PAPER, 'published', (VGG_16,), fine_formats=('bfloat16',)),
    },
)

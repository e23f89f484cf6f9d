# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""What DAT is called, its presets and their weights."""

from tracker_core.dat.config import COMPACT, PAPER
from tracker_core.declaration import box_refiner, compact_backbone, Declaration, Preset, WeightFile

VGG_M = WeightFile(
    'imagenet-vgg-m.mat',
    'see the origin',
    'https://www.vlfeat.org/matconvnet/models/imagenet-vgg-m.mat',
)

DECLARATION = Declaration(
    'dat',
    'DAT',
    'boxes around the last one are classified by a classifier that learns where to look.',
    'tracker_core.dat.tracker:DatTracker',
    {
        'compact': Preset(COMPACT, 'compact', (compact_backbone(), box_refiner())),
        'paper': Preset(PAPER, 'published', (VGG_M,)),
    },
)

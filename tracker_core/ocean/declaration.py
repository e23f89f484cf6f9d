# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""What Ocean is called, its presets and their weights."""

from tracker_core.declaration import (
    box_refiner,
    bundled,
    compact_backbone,
    Declaration,
    Preset,
    WeightFile,
)
from tracker_core.ocean.config import (
    COMPACT,
    COMPACT_ONLINE,
    GOT10K,
    LASOT,
    OTB2015,
    VOT2018,
    VOT2018_ONLINE,
    VOT2019,
    VOT2019_ONLINE,
)

LICENCE = "not stated; the authors' code is under the MIT licence"
ORIGIN = 'https://github.com/JudasDie/SOTS/blob/master/lib/tutorial/Ocean/ocean.md'
# the authors have further files for the benchmarks OTB, GOT-10k and LaSOT
OFFLINE = (WeightFile('OceanV.pth', LICENCE, ORIGIN),)
ONLINE = (WeightFile('OceanV19on.pth', LICENCE, ORIGIN),)
ONLINE_2018 = (WeightFile('OceanV18on.pth', LICENCE, ORIGIN),)
HEADS = bundled(
    'compact_ocean.safetensors',
    '893502daee6c3d78d6e640c229eb50bf74bd177eac6a0b8b48294dac73e29693',
    'heads',
)
SMALL = (compact_backbone(), HEADS, box_refiner())

DECLARATION = Declaration(
    'ocean',
    'Ocean',
    'every place inside the target regresses its box, and the box judges the place.',
    'tracker_core.ocean.tracker:OceanTracker',
    {
        'compact': Preset(COMPACT, 'compact', SMALL, ('int8',)),
        'compact_online': Preset(COMPACT_ONLINE, 'compact', SMALL),
        'paper': Preset(VOT2019, 'published', OFFLINE, ('bfloat16',)),
        'paper_vot2018': Preset(VOT2018, 'published', OFFLINE, ('bfloat16',)),
        'paper_otb': Preset(OTB2015, 'published', OFFLINE, ('bfloat16',)),
        'paper_got10k': Preset(GOT10K, 'published', OFFLINE, ('bfloat16',)),
        'paper_lasot': Preset(LASOT, 'published', OFFLINE, ('bfloat16',)),
        'paper_online': Preset(VOT2019_ONLINE, 'published', ONLINE),
        'paper_online_vot2018': Preset(VOT2018_ONLINE, 'published', ONLINE_2018),
    },
)

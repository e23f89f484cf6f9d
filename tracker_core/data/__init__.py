# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Training pairs: a template crop, a search crop, and exactly where the target is in both.

    pool = load_pool('photos/')                       # every image is decoded once, into memory
    sampler = PairSampler(pool, PairConfig(seed=7))
    pair = sampler.pair(12345)                        # the same one on every call

From the folder to the pair: `photos` and `annotations` read, `pool` holds what there is,
`regions` finds targets where nothing is annotated, `sources` draws a target's two views, `pairs`
cuts and changes them with `geometry`, `pasting` and `augmentation`. Data sets that no memory holds
stay where they are (`library`), and `published` cuts pairs as the trackers' papers do.

A box is a (4,) float64 array x, y, w, h in continuous coordinates: the top-left pixel of an image
or a crop covers [0, 1] x [0, 1].
"""

from tracker_core.data.library import Library
from tracker_core.data.pairs import Pair, PairConfig, PairSampler
from tracker_core.data.pool import load_pool, PhotoPool
from tracker_core.data.published import PublishedPairConfig, PublishedSampler
from tracker_core.data.sources import Footage

__all__ = [
    'Footage',
    'Library',
    'Pair',
    'PairConfig',
    'PairSampler',
    'PhotoPool',
    'PublishedPairConfig',
    'PublishedSampler',
    'load_pool',
]

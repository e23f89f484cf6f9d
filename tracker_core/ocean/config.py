# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Parameters of Ocean, and the published sets of them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tracker_core.parameters import (
    box_rate,
    parameter,
    refiner,
    template_rate,
    template_share,
    TrackerConfig,
)


@dataclass(frozen=True)
class OceanConfig(TrackerConfig):
    """Parameters of Ocean (Zhang et al., Ocean: Object-aware Anchor-free Tracking, ECCV 2020).

    The raw score is the classification score, 0 to 1, of the place that was chosen, before
    penalties, window and the online branch.
    """

    align: bool = parameter(
        True,
        'Judge each place also by features aligned to the box predicted there (section 3.2); '
        'needs a weight file that has this branch.',
        live=False,
    )
    regular_weight: float = parameter(
        0.94,
        'Weight of the regular-region score against the aligned one.',
        minimum=0.0,
        maximum=1.0,
    )
    penalty: float = parameter(
        0.062,
        'How strongly a change of size and aspect ratio lowers a score (k in the exponent).',
        minimum=0.0,
    )
    window_influence: float = parameter(
        0.38, 'Share of the Hann window in the score.', minimum=0.0, maximum=1.0
    )
    size_rate: float = parameter(
        0.765,
        'Share of a new size that is taken over at a perfect score.',
        minimum=0.0,
        maximum=1.0,
    )
    smooth_twice: bool = parameter(
        True,
        'Smooth the size with the rate squared, as released: the published rates are tuned for '
        'it. Otherwise once, as in the paper.',
    )
    template_side: int = parameter(
        127,
        'Side of the template crop, network input pixels; a square target has half of it.',
        minimum=97,
        live=False,
    )
    search_side: int = parameter(
        255, 'Side of the search region, network input pixels.', minimum=129, live=False
    )
    small_search_side: int = parameter(271, 'The same for small targets.', minimum=129, live=False)
    small_share: float = parameter(
        0.004,
        "Targets with less than this share of the image's area are small.",
        minimum=0.0,
        maximum=1.0,
        live=False,
    )
    smallest_side: float = parameter(
        10.0,
        'A side never shrinks below this, in pixels, or below what it was at the start.',
        minimum=1.0,
        live=False,
    )
    refiner: bool = refiner()
    box_rate: float = box_rate()
    template_rate: float = template_rate()
    template_share: float = template_share(0.7)
    released: bool = parameter(
        False,
        'Cut crops as the released code does: whole pixels, half a pixel early, rounded colours.',
        live=False,
    )

    online: bool = parameter(
        False,
        'Follow the appearance of the target with a filter that is trained on the first frame '
        'and updated while tracking (section 4.2).',
        live=False,
    )
    online_weight: float = parameter(
        0.7, "Weight of the online branch's score.", minimum=0.0, maximum=1.0
    )
    online_memory: int = parameter(250, 'Samples the online branch keeps.', minimum=40, live=False)
    online_first_steps: int = parameter(
        25, 'Optimisation steps of the filter on the first frame.', minimum=1, live=False
    )
    online_steps: int = parameter(3, 'Optimisation steps of an update.', minimum=1)
    online_interval: int = parameter(10, 'Frames between updates.', minimum=1)
    online_rate: float = parameter(
        0.0075, 'Weight of a new sample in the memory.', minimum=0.0, maximum=0.5
    )
    online_hard_rate: float = parameter(
        0.02,
        'Weight of a new sample that shows a distractor; it is learnt from at once.',
        minimum=0.0,
        maximum=0.5,
    )
    online_hard_peak: float = parameter(
        0.45,
        'A second peak of the online score above this share of the first is a distractor.',
        minimum=0.0,
    )
    seed: int = parameter(
        0,
        'Seed of the random shifts in the first training of the online branch.',
        minimum=0,
        live=False,
    )

    @property
    def tolerates_rounding(self) -> bool:
        return not self.released


# What the authors published per benchmark. Only their VOT weights have the aligned branch.
VOT2019 = OceanConfig()
VOT2018 = replace(
    VOT2019, penalty=0.021, window_influence=0.321, size_rate=0.730, regular_weight=0.93
)
OTB2015 = replace(
    VOT2019,
    align=False,
    penalty=0.087,
    window_influence=0.366,
    size_rate=0.408,
    search_side=271,
    small_search_side=271,
)
GOT10K = replace(
    VOT2019,
    align=False,
    penalty=0.022,
    window_influence=0.118,
    size_rate=0.799,
    small_search_side=255,
)
LASOT = replace(
    VOT2019,
    align=False,
    penalty=0.11,
    window_influence=0.20,
    size_rate=0.7,
    small_search_side=255,
)
VOT2018_ONLINE = replace(
    VOT2019,
    align=False,
    online=True,
    online_weight=0.5,
    penalty=0.187,
    window_influence=0.640,
    size_rate=0.800,
    search_side=271,
    small_search_side=287,
)
VOT2019_ONLINE = replace(
    VOT2019,
    align=False,
    online=True,
    online_weight=0.7,
    penalty=0.06,
    window_influence=0.484,
    size_rate=0.644,
    small_search_side=287,
)

# The compact network: smaller crops, the target at half the template's side as everywhere.
COMPACT = OceanConfig(
    regular_weight=0.6,
    window_influence=0.5,
    size_rate=0.3,  # the small network's sizes are noisy
    score_midpoint=2.99,  # tracker calibrate, see docs/weights.md
    score_slope=1.68,
    similarity_slope=10.7,
    template_side=113,
    search_side=225,
    small_search_side=257,
    refiner=True,
    template_rate=0.1,
)
COMPACT_ONLINE = replace(
    COMPACT,
    online=True,
    online_weight=0.4,
)

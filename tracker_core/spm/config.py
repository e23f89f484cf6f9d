# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Parameters of SPM-Tracker, and the sets of them that the authors used."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tracker_core.parameters import box_rate, parameter, refiner, TrackerConfig


@dataclass(frozen=True)
class SpmConfig(TrackerConfig):
    """Wang et al., 'SPM-Tracker: Series-Parallel Matching for Real-Time Visual Object Tracking',
    CVPR 2019. `raw_score` is the mean of the two stages' probabilities, 0 to 1."""

    window_influence: float = parameter(
        0.5,
        'Weight of the cosine window, which prefers candidates near the last place.',
        minimum=0.0,
        maximum=1.0,
    )
    fine_score_influence: float = parameter(
        0.5, "Weight of the fine stage's score next to the coarse one's.", minimum=0.0, maximum=1.0
    )
    fine_box_influence: float = parameter(
        3.0, "How much more the fine stage's box weighs than the coarse one's.", minimum=0.0
    )
    size_rate: float = parameter(
        0.5, 'How fast width and height follow, times the score.', minimum=0.0, maximum=1.0
    )
    smallest_score: float = parameter(
        0.2, 'Below this raw score the target stays where it was.', minimum=0.0, maximum=1.0
    )
    smallest_side: float = parameter(
        10.0,
        'A side never shrinks below this, in pixels, unless it was shorter at the start.',
        minimum=1.0,
    )
    candidates: int = parameter(
        9, 'Candidates that the fine stage sees.', minimum=2, maximum=64, live=False
    )
    candidate_score: float = parameter(
        0.1,
        'Candidates score at least this share of the best one.',
        minimum=0.0,
        maximum=1.0,
    )
    candidate_overlap: float = parameter(
        0.5, 'Of two candidates with this IoU or more the weaker is dropped.', minimum=0.01
    )
    near_overlap: float = parameter(
        0.8,
        'IoU with the last box above which a box counts as near; the best near one is always a '
        'candidate.',
        minimum=0.0,
        maximum=1.0,
    )
    context: float = parameter(
        0.5, 'Surroundings in the crop, as a share of width plus height.', minimum=0.0, live=False
    )
    refiner: bool = refiner()
    box_rate: float = box_rate()


# the authors' settings by benchmark; for TrackingNet it is the same as for LaSOT
OTB = SpmConfig()
LASOT = replace(OTB, window_influence=0.4)
# chosen on rendered scenes: its fine stage is the more reliable one
COMPACT = replace(
    OTB,
    fine_score_influence=0.7,
    fine_box_influence=10.0,
    size_rate=0.3,
    score_midpoint=12.7,  # tracker calibrate, see docs/weights.md
    score_slope=0.336,
    similarity_slope=11.1,
    refiner=True,
)

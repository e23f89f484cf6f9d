# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Parameters of TADT."""

from __future__ import annotations

from dataclasses import dataclass

from tracker_core.errors import ParameterError
from tracker_core.parameters import (
    box_rate,
    parameter,
    refiner,
    template_rate,
    template_share,
    TrackerConfig,
)


@dataclass(frozen=True)
class TadtConfig(TrackerConfig):
    """Parameters of TADT (Li et al., Target-Aware Deep Tracking, CVPR 2019).

    The raw score is the cosine similarity, -1 to 1, of the target's template and the features
    where the target is found.
    """

    smallest_side: float = parameter(
        44.0,
        'Targets smaller than this, as sqrt(w h), are enlarged to it; network input pixels.',
        minimum=8.0,
        live=False,
    )
    largest_side: float = parameter(
        59.0,
        'Targets larger than this, as sqrt(w h), are reduced to it; network input pixels.',
        minimum=8.0,
        live=False,
    )
    search_side: int = parameter(
        180, 'Side of the search region, network input pixels.', minimum=64, live=False
    )
    shallow_channels: int = parameter(
        80, 'At most so many channels of the shallow layer are kept.', minimum=1, live=False
    )
    deep_channels: int = parameter(
        300, 'At most so many channels of the deep layer are kept.', minimum=1, live=False
    )
    minimum_channels: int = parameter(
        250, 'At least so many channels are kept in all.', minimum=1, live=False
    )
    label_sigma: float = parameter(
        0.1,
        'Width of the regression label as a fraction of the target (section 3.1).',
        minimum=0.01,
        maximum=1.0,
        live=False,
    )
    ridge: float = parameter(
        1.0,
        'Strength of the ridge regression, relative to the mean energy of a feature patch.',
        minimum=1e-6,
        live=False,
    )
    importance: str = parameter(
        'gradient',
        "How a channel's importance follows from the fitted kernel: its pooled gradient (section "
        '3.1; for features that are never negative) or its response to the target (any features).',
        choices=('gradient', 'response'),
        live=False,
    )
    scale_sensitive: bool = parameter(
        True,
        'Keep only shallow channels that rank sizes well (ranking loss, section 3.2).',
        live=False,
    )
    ranking: str = parameter(
        'response',
        'What places are ranked by: the response of the template, as in the paper, or its cosine '
        'similarity, in which strong features count no more than others.',
        choices=('response', 'similarity'),
        live=False,
    )
    window_influence: float = parameter(
        1.0, 'Weight of the Hann window that is added to the response.', minimum=0.0
    )
    scale_step: float = parameter(
        1.045,
        'Ratio of neighbouring sizes in the scale search.',
        minimum=1.0,
        maximum=1.5,
        live=False,
    )
    scale_penalty: float = parameter(
        0.99, 'Factor on the response of a changed size.', minimum=0.5, maximum=1.0
    )
    scale_rate: float = parameter(
        1.0,
        'Share of a found change of size that is taken over (1: all).',
        minimum=0.0,
        maximum=1.0,
    )
    refiner: bool = refiner()
    box_rate: float = box_rate()
    template_rate: float = template_rate()
    template_share: float = template_share(0.8)
    released: bool = parameter(
        False,
        "Reproduce the authors' released Python port step by step (preset paper), its random "
        'choice of scale-sensitive channels included and without recovery of a lost target.',
        live=False,
    )

    @property
    def tolerates_rounding(self) -> bool:
        return not self.released

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.smallest_side > self.largest_side:
            raise ParameterError(
                f'smallest_side ({self.smallest_side:g}) must not exceed largest_side '
                f'({self.largest_side:g})'
            )
        if self.released:
            object.__setattr__(self, 'recover', False)


PAPER = TadtConfig()
COMPACT = TadtConfig(
    score_midpoint=1.23,  # tracker calibrate, see docs/weights.md
    score_slope=7.07,
    similarity_slope=9.47,
    smallest_side=64.0,
    largest_side=64.0,
    search_side=264,
    shallow_channels=16,
    deep_channels=48,
    minimum_channels=40,
    ranking='similarity',
    window_influence=0.6,
    importance='response',
    scale_rate=0.3,
    refiner=True,
    box_rate=0.5,
    template_rate=0.05,
)

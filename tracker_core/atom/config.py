# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Parameters of ATOM."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tracker_core.errors import ParameterError
from tracker_core.parameters import parameter, refiner, TrackerConfig


@dataclass(frozen=True)
class AtomConfig(TrackerConfig):
    """Parameters of ATOM (Danelljan et al., ATOM: Accurate Tracking by Overlap Maximization, CVPR
    2019).

    The raw score is the highest answer of the classifier, which is trained to answer 1 on the
    target and 0 elsewhere.
    """

    search_side: int = parameter(
        288,
        'Side of the search region, network input pixels; a multiple of 32.',
        minimum=64,
        maximum=1024,
        live=False,
    )
    search_scale: float = parameter(
        5.0,
        'Side of the search region in target sizes, sqrt(w h).',
        minimum=1.5,
        maximum=20.0,
        live=False,
    )
    scales: int = parameter(
        1,
        'Sizes of the search region that are tried in every frame; more than one only without '
        'refine.',
        minimum=1,
        maximum=15,
        live=False,
    )
    scale_step: float = parameter(
        1.02, 'Ratio of neighbouring sizes.', minimum=1.0, maximum=1.5, live=False
    )
    refine: bool = parameter(
        True, 'Fit the box by maximising its predicted overlap (section 3.1).', live=False
    )

    kernel_size: int = parameter(
        4, "Side of the classifier's filter in cells; even.", minimum=2, maximum=16, live=False
    )
    kernel_channels: int = parameter(
        64, 'Channels that the classifier projects to.', minimum=1, maximum=256, live=False
    )
    kernel_penalty: float = parameter(
        0.1, "Weight of the filter's squared norm.", minimum=0.0, live=False
    )
    projection_penalty: float = parameter(
        1e-4, "Weight of the projection's squared norm.", minimum=0.0, live=False
    )
    label_width: float = parameter(
        0.25,
        'Deviation of the Gaussian labels as a share of the target size.',
        minimum=0.02,
        maximum=1.0,
        live=False,
    )
    newton_steps: int = parameter(
        6, 'Gauss-Newton steps on the first frame.', minimum=0, maximum=100, live=False
    )
    first_iterations: int = parameter(
        10, 'Conjugate gradient iterations in each of them.', minimum=1, maximum=100, live=False
    )
    train_interval: int = parameter(10, 'The filter is refitted every so many frames.', minimum=1)
    train_iterations: int = parameter(
        5, 'Conjugate gradient iterations of a refit.', minimum=1, maximum=100
    )
    hard_iterations: int = parameter(
        5, 'The same when a distractor is seen.', minimum=1, maximum=100
    )
    memory_size: int = parameter(
        250, 'Samples that are kept.', minimum=40, maximum=2000, live=False
    )
    learning_rate: float = parameter(0.01, 'Weight of a new sample.', minimum=0.0, maximum=0.5)
    hard_learning_rate: float = parameter(
        0.02, 'Weight of a new sample with a distractor.', minimum=0.0, maximum=0.5
    )
    first_weight: float = parameter(
        0.25,
        'The samples of the first frame weigh at least so much together; with 0 they are '
        'forgotten like others.',
        minimum=0.0,
        maximum=0.9,
        live=False,
    )

    random_shift: float = parameter(
        1 / 3,
        'Range of the random shifts of first-frame samples as a share of the search region.',
        minimum=0.0,
        maximum=0.5,
        live=False,
    )
    rotations: bool = parameter(True, 'Learn from rotated views of the first frame.', live=False)
    dropouts: int = parameter(
        7,
        'First-frame samples with some channels dropped.',
        minimum=0,
        maximum=7,
        live=False,
    )

    not_found_threshold: float = parameter(
        0.25, 'Below this raw score the target stays where it was.', minimum=-1.0, maximum=1.0
    )
    distractor_threshold: float = parameter(
        0.8, 'A second peak with this share of the first one is a rival.', minimum=0.0
    )
    hard_negative_threshold: float = parameter(
        0.5, 'A second peak with this share of the first one is learnt at once.', minimum=0.0
    )
    neighborhood_scale: float = parameter(
        2.2, 'So many target sizes around a peak belong to it.', minimum=0.0
    )
    displacement_scale: float = parameter(
        0.8,
        'Rivals beyond this share of the way from the centre to the border are not believed.',
        minimum=0.0,
        maximum=1.5,
    )
    window: bool = parameter(False, 'Multiply scores by a Hann window.', live=False)

    proposals: int = parameter(
        10,
        'Boxes that the refinement starts from, the first of them the last box.',
        minimum=1,
        maximum=64,
        live=False,
    )
    averaged: int = parameter(
        3, 'So many of the best of them are averaged.', minimum=1, maximum=64, live=False
    )
    position_jitter: float = parameter(
        0.1, 'Range of their random positions, target sizes.', minimum=0.0, maximum=2.0
    )
    size_jitter: float = parameter(
        0.5, 'Range of their random sizes, target sizes.', minimum=0.0, maximum=1.5
    )
    ascent_steps: int = parameter(
        5, 'Steps of gradient ascent.', minimum=1, maximum=50, live=False
    )
    step_length: float = parameter(1.0, 'Length of a step.', minimum=0.0)
    size_rate: float = parameter(
        1.0,
        "Share of a refined box's change of size that is taken over in a frame.",
        minimum=0.0,
        maximum=1.0,
    )
    refiner: bool = refiner()
    largest_aspect: float = parameter(
        6.0, 'Boxes longer or taller than this are dropped.', minimum=1.0
    )
    seed: int = parameter(
        0, 'Of the random proposals, shifts and first weights.', minimum=0, live=False
    )
    released: bool = parameter(
        False,
        "Reproduce the released tracker's rounding of positions and crops, which costs up to a "
        'pixel, and hold a lost target where it is.',
        live=False,
    )

    @property
    def tolerates_rounding(self) -> bool:
        return not self.released

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.search_side % 32:
            raise ParameterError(f'search_side must be a multiple of 32, not {self.search_side}')
        if self.kernel_size % 2:
            raise ParameterError(f'kernel_size must be even, not {self.kernel_size}')
        if self.refiner and not self.refine:
            raise ParameterError('refiner needs refine to be true')
        if self.refine and self.scales > 1:
            raise ParameterError('scales above 1 needs refine to be false')
        if self.released:
            object.__setattr__(self, 'recover', False)


# a peak at the paper's threshold for "not found" (0.25) becomes the score lost_score
PAPER = AtomConfig(score_midpoint=0.35, score_slope=11.0)
# the authors' setting for VOT
VOT = replace(
    PAPER,
    search_side=224,
    search_scale=4.0,
    learning_rate=0.0075,
    first_weight=0.0,
    not_found_threshold=-1.0,
    distractor_threshold=100.0,
    hard_negative_threshold=0.3,
    displacement_scale=0.7,
    window=True,
)
# the authors' setting without box refinement, for machines that cannot afford it
MULTISCALE = replace(PAPER, scales=5, refine=False)
COMPACT = replace(
    PAPER,
    search_side=256,
    search_scale=4.0,
    window=True,  # the small backbone tells look-alikes apart less well
    kernel_channels=32,
    memory_size=80,
    averaged=5,  # averaging more boxes steadies the small predictor's noisy sizes
    ascent_steps=3,
    size_rate=0.4,
    refiner=True,
    score_midpoint=0.99,  # tracker calibrate, see docs/weights.md
    score_slope=5.66,
    similarity_slope=8.14,
)

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Parameters of DAT."""

from __future__ import annotations

from dataclasses import dataclass

from tracker_core.errors import ParameterError
from tracker_core.parameters import box_rate, parameter, refiner, TrackerConfig


@dataclass(frozen=True)
class DatConfig(TrackerConfig):
    """Parameters of DAT (Pu, Song, Ma, Zhang, Yang: Deep Attentive Tracking via Reciprocative
    Learning, NIPS 2018).

    The raw score is the mean target logit of the best candidates; above `success_score` the
    target counts as found. Lengths called relative are fractions of the mean of the target's
    width and height.
    """

    score_midpoint: float = parameter(
        0.0, 'Raw score at which a box is right as often as wrong (score 0.5).'
    )
    score_slope: float = parameter(
        1.5, 'Steepness of the score as a function of the raw score.', minimum=0.0
    )
    candidates: int = parameter(256, 'Boxes that are scored in a frame.', minimum=8)
    averaged: int = parameter(
        5, 'So many of the best candidates make the new box.', minimum=1, maximum=8
    )
    search_spread: float = parameter(
        0.6, 'Largest shift of a candidate, relative.', minimum=0.05, maximum=4.0
    )
    search_spread_failed: float = parameter(
        1.5,
        'Largest shift of a candidate after a frame without success, relative.',
        minimum=0.05,
        maximum=4.0,
    )
    search_scale: float = parameter(
        1.05, 'Largest change of size of a candidate.', minimum=1.0, maximum=2.0
    )
    success_score: float = parameter(
        0.0, 'Raw score above which a frame is a success: the box moves, samples are kept.'
    )
    first_positives: int = parameter(
        500, 'Target samples drawn in the first frame.', minimum=1, live=False
    )
    first_negatives: int = parameter(
        5000,
        'Background samples drawn in the first frame, half around the target, half anywhere.',
        minimum=2,
        live=False,
    )
    positives: int = parameter(50, 'Target samples kept of a frame.', minimum=1, live=False)
    negatives: int = parameter(200, 'Background samples kept of a frame.', minimum=1, live=False)
    regression_samples: int = parameter(
        1000, 'Samples that the box regression is fitted to.', minimum=4, live=False
    )
    regression_ridge: float = parameter(
        1000.0, 'Strength of the ridge in the box regression.', minimum=1e-3, live=False
    )
    regression_grows: bool = parameter(
        False,
        "Whether the box regression enlarges boxes, too; the authors' makes them smaller only.",
        live=False,
    )
    first_iterations: int = parameter(
        50, 'Training iterations in the first frame.', minimum=0, live=False
    )
    iterations: int = parameter(15, 'Training iterations of an update.', minimum=0)
    first_rate: float = parameter(
        2e-4, 'Learning rate in the first frame.', minimum=0.0, live=False
    )
    rate: float = parameter(3e-4, 'Learning rate of updates.', minimum=0.0)
    last_layer_rate: float = parameter(
        10.0, 'Factor on the learning rate of the last layer.', minimum=0.0
    )
    batch: int = parameter(
        32, 'Target samples, and as many background samples, of an iteration.', minimum=1
    )
    mined_from: int = parameter(
        1024, 'The background samples are the hardest out of so many.', minimum=1
    )
    dropout: float = parameter(
        0.5, 'Share of inputs dropped before each layer in training.', minimum=0.0, maximum=0.95
    )
    momentum: float = parameter(0.9, 'Momentum of the training.', minimum=0.0, maximum=0.999)
    weight_decay: float = parameter(5e-4, 'Weight decay of the training.', minimum=0.0)
    gradient_limit: float = parameter(
        10.0, 'Longer gradients are shortened to this norm.', minimum=1e-6
    )
    attention_weight: float = parameter(
        5.0, 'Weight of the attention penalty (lambda of the paper).', minimum=0.0
    )
    attention: str = parameter(
        'positive',
        'What of the gradient makes the attention map: its positive part, or both signs.',
        choices=('positive', 'signed'),
    )
    positive_frames: int = parameter(
        100, 'Target samples of so many successful frames are kept.', minimum=1, live=False
    )
    negative_frames: int = parameter(
        20, 'Background samples of so many successful frames are kept.', minimum=1, live=False
    )
    recent_frames: int = parameter(
        20, 'An update after a failure uses target samples of so many frames.', minimum=1
    )
    update_interval: int = parameter(10, 'Frames between two regular updates.', minimum=1)
    failed_interval: int = parameter(
        1, 'Frames between two updates while the target is not found.', minimum=1
    )
    hidden: int = parameter(
        512, 'Width of the two hidden layers.', minimum=8, maximum=4096, live=False
    )
    region_factor: float = parameter(
        5.0,
        'Side of the search region in units of sqrt(w h) of the target (preset compact).',
        minimum=3.0,
        maximum=8.0,
        live=False,
    )
    region_side: int = parameter(
        320,
        'Side of the search region, network input pixels (preset compact).',
        minimum=96,
        live=False,
    )
    cells: int = parameter(
        3,
        'Features of a box are pooled to so many cells a side (preset compact).',
        minimum=2,
        maximum=9,
        live=False,
    )
    refiner: bool = refiner()
    box_rate: float = box_rate()
    seed: int = parameter(0, 'Seed of all random draws.', minimum=0, maximum=2**31, live=False)
    released: bool = parameter(
        False,
        "Reproduce the authors' released code (preset paper): attention of both signs, ratios of "
        'sums over the batch, convolutions counted in the gradient norm, no recovery of a lost '
        'target.',
        live=False,
    )

    @property
    def tolerates_rounding(self) -> bool:
        return not self.released

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.averaged > self.candidates:
            raise ParameterError(
                f'averaged ({self.averaged}) must not exceed candidates ({self.candidates})'
            )
        if self.mined_from < self.batch:
            raise ParameterError(
                f'mined_from ({self.mined_from}) must not be below batch ({self.batch})'
            )
        if self.released:
            object.__setattr__(self, 'attention', 'signed')
            object.__setattr__(self, 'recover', False)


PAPER = DatConfig()
COMPACT = DatConfig(
    score_midpoint=13.5,  # tracker calibrate, see docs/weights.md
    score_slope=0.37,
    similarity_slope=10.4,
    candidates=256,
    search_spread=1.0,
    first_positives=250,
    first_negatives=1000,
    positives=20,
    negatives=100,
    regression_samples=500,
    regression_grows=True,
    first_rate=1e-3,
    rate=3e-4,
    mined_from=256,
    positive_frames=50,
    hidden=128,
    cells=3,
    failed_interval=5,
    refiner=True,
)

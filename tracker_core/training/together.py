# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The backbone and all heads trained together, from weights that are there.

The backbone learns to match (`backbone.py`) and, through the heads of Ocean, SPM-Tracker and ATOM,
where objects end; every head learns on the backbone as it becomes. A step computes the backbone's
maps once for all of them. It begins with the bundled weights, or with those of `tracker train
all`, and so also adapts them to photos of one's own.

    tracker train together --config FILE --data PHOTOS --out DIR --minutes 70
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
import math
from typing import Any, cast

import torch
from torch import nn, Tensor

from tracker_core.backbones.compact import CompactBackbone
from tracker_core.data import Footage, PairConfig
from tracker_core.errors import ParameterError
from tracker_core.training.backbone import (
    BackboneTraining,
    hold_fixed,
    Matcher,
    matching_accuracy,
)
from tracker_core.training.config import TrainConfig
from tracker_core.training.heads import HEADS
from tracker_core.training.parts import (
    BACKBONE,
    Given,
    Head,
    MapLearner,
    Part,
    Stage,
    sum_of,
    weight_file,
)
from tracker_core.weights import load_into

MATCHING = 'matching'  # the backbone's own losses and figures
CHECKED_MATCHING = PairConfig(size_jitter=1.25)  # the pairs of the backbone's own training


def default_weights() -> dict[str, float]:
    """Of the losses, as the heads declare them."""
    return {MATCHING: 0.75, **{head.name: head.weight for head in HEADS}}


@dataclass(frozen=True)
class TogetherTraining(TrainConfig):
    """One training run; see `TrainConfig`.

    Attributes:
        group: See `BackboneTraining`.
        weights: Of the losses of matching and of each head; those left out in a file keep their
            defaults.
    """

    batch: int = 24
    learning_rate: float = 1e-3
    average: float = 0.998
    group: int = 24
    weights: Mapping[str, float] = field(default_factory=default_weights)
    pairs: PairConfig = field(
        default_factory=lambda: PairConfig(
            template_size=129,
            search_size=193,
            context=0.5,
            size_jitter=1.15,
            scale=1.5,
            angle=0.1,
            turn=0.15,
            stretch=0.16,
            bend=0.08,
            distractor=0.5,
            alike=0.5,
            sources=(0.15, 0.35, 0.35, 0.15),
            seed=31,
        )
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        known = default_weights()
        for name, weight in self.weights.items():
            if name not in known:
                raise ParameterError(
                    f'weights: there is no {name!r}; there are {", ".join(sorted(known))}'
                )
            if not 0 <= weight < math.inf:
                raise ParameterError(f'weights: {name} must not be negative, but {weight} is')


class Together(nn.Module):
    """One trainable backbone and the networks whose heads use it; their own frozen backbones are
    idle, but for checks.

    Attributes:
        backbone: Trainable.
        trackers: The networks by name of the head.
    """

    def __init__(self, given: Mapping[str, Given]) -> None:
        super().__init__()
        self.backbone = CompactBackbone()
        load_into(self.backbone, given[BACKBONE].state, given[BACKBONE].source)
        hold_fixed(self.backbone)
        self.trackers = nn.ModuleDict()
        for head in HEADS:
            network = head.on_backbone(given[BACKBONE])
            head.load(network, given[head.name])
            self.trackers[head.name] = network


class TogetherLearner(nn.Module):
    """All losses on the maps of one backbone."""

    def __init__(self, network: Together, config: TogetherTraining) -> None:
        super().__init__()
        self.network, pairs = network, config.pairs
        self.weights = config.weights
        matcher = Matcher(BackboneTraining(batch=config.batch, group=config.group, pairs=pairs))
        matcher.backbone = network.backbone
        self.learners = nn.ModuleDict({MATCHING: matcher})
        for head in HEADS:
            learner = head.learner(network.trackers[head.name], head.config(pairs=pairs))
            self.learners[head.name] = learner

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weighted losses of a batch of pairs, one for matching and one per head."""
        template, search = (self.network.backbone(batch[name]) for name in ('template', 'search'))
        return {
            name: self.weights[name]
            * sum_of(cast(MapLearner, learner).losses(template, search, batch))
            for name, learner in self.learners.items()
        }


def check(network: Together, footage: Footage, device: torch.device) -> dict[str, float]:
    """The checks of all, each on the pairs of its own training, so that figures compare."""
    backbone = network.backbone
    figures = {MATCHING: matching_accuracy(backbone, footage, device, CHECKED_MATCHING)}
    for head in HEADS:
        tracker = network.trackers[head.name]
        head.backbone(tracker).load_state_dict(backbone.state_dict())
        pairs = head.config().pairs
        figures[head.name] = head.figures(tracker, footage, device, pairs)
    return {f'{part}_{name}': v for part, values in figures.items() for name, v in values.items()}


def make_part(
    config: TogetherTraining, given: Mapping[str, Given], footage: Footage
) -> Part[Together]:
    """Backbone and heads, to be trained on."""
    network = Together(given)
    files = {weight_file(BACKBONE): export_backbone}
    for head in HEADS:
        files[weight_file(head.name)] = partial(export_head, head)
    shown = [f'{head.name}_{head.shown_together}' for head in HEADS]
    return Part(
        'compact backbone and heads together',
        files,
        TogetherLearner(network, config),
        network,
        check,
        (f'{MATCHING}_deep_among_16', *shown),
        tuple(network.backbone.pretrained),
    )


def export_backbone(network: Together) -> dict[str, Tensor]:
    """What is written of the backbone."""
    return network.backbone.state_dict()


def export_head(head: Head[Any, Any], network: Together) -> dict[str, Tensor]:
    """What is written of a head."""
    return head.export(network.trackers[head.name])


STAGE = Stage(
    name='together',
    about='all of these at once, from weights that are there',
    config=TogetherTraining,
    begins_with=(BACKBONE, *(head.name for head in HEADS)),
    make=make_part,
    share=0.76,
    on_gpu={'batch': 128, 'group': 64, 'learning_rate': 2e-3, 'average': 0.999},
    pairs_on_gpu={'search_size': 225, 'shift': 80.0},
)

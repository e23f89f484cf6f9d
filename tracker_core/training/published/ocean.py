# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Training of Ocean on ResNet-50 (section 5.1 of the paper), with its object-aware branch.

The samples are asymmetric: every cell inside the target regresses its box, those near its centre
alone are positives of the regular-region score (section 3.3). The online branch is not trained.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

from torch import nn, Tensor

from tracker_core.data import Footage, PublishedPairConfig
from tracker_core.errors import ParameterError
from tracker_core.ocean.config import VOT2019
from tracker_core.ocean.network import OceanNetwork, rename_keys
from tracker_core.ocean.tracker import OceanTracker
from tracker_core.training.architecture import Architecture
from tracker_core.training.config import TrainConfig
from tracker_core.training.imagenet import load_resnet50
from tracker_core.training.ocean import check, OceanLearner, OceanTraining
from tracker_core.training.parts import Given
from tracker_core.training.record import weights_of
from tracker_core.weights import load_into

TEMPLATE = 127  # pixels, side of the template crop


@dataclass(frozen=True)
class PublishedOceanTraining(OceanTraining):
    """50 epochs of 600,000 pairs on eight GPUs, 32 on each; the backbone begins to learn after ten
    epochs. See `TrainConfig`."""

    batch: int = 256
    learning_rate: float = 5e-3
    optimizer: str = 'sgd'
    schedule: str = 'geometric'
    warmup: float = 0.1
    first_rate: float = 0.2
    last_rate: float = 2e-3
    pretrained_rate: float = 0.1
    frozen: float = 0.2
    weight_decay: float = 1e-4
    largest_gradient: float = 10.0
    average: float = 0.0
    whole: int = 30_000_000
    place: float = 0.0
    impostors: float = 0.0
    aligned_cells: int = 0
    pairs: PublishedPairConfig = field(
        default_factory=lambda: PublishedPairConfig(
            template_size=TEMPLATE,
            search_size=255,
            frames_apart={'': 100.0, 'youtubebb': 3.0},
            weights={'youtubebb': 2.1, 'vid': 1.1, 'got10k': 1.6, 'coco': 0.6},
        )
    )

    def __post_init__(self) -> None:
        TrainConfig.__post_init__(self)
        size = self.pairs.search_size
        if self.pairs.template_size != TEMPLATE or size < TEMPLATE + 64 or size % 16 != 15:
            raise ParameterError(
                f'pairs.template_size must be {TEMPLATE} and pairs.search_size 16 k + 15 and at '
                f'least {TEMPLATE + 64}, not {self.pairs.template_size} and {size}'
            )


class PublishedOceanLearner(nn.Module):
    """Backbone, heads and losses."""

    def __init__(self, network: OceanNetwork, config: OceanTraining) -> None:
        super().__init__()
        self.network, self.heads = network, OceanLearner(network, config)

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The losses of a batch of pairs, by name."""
        template, search = (self.network.extract(batch[name]) for name in ('template', 'search'))
        return self.heads.of_features(template, search, batch)


def load(network: OceanNetwork, given: Mapping[str, Given]) -> None:
    """A trained network."""
    (one,) = given.values()
    state = rename_keys(one.state)
    state = {name: value for name, value in state.items() if not name.startswith('online.')}
    load_into(network, state, one.source)


def begin(network: OceanNetwork, config: TrainConfig, footage: Footage) -> None:
    """The weights that layers are made with."""


ARCHITECTURE = Architecture(
    name=OceanTracker.name,
    title='Ocean',
    config=PublishedOceanTraining,
    network=OceanNetwork,
    load=load,
    imagenet=lambda network, given: load_resnet50(network.backbone, given),
    begin=begin,
    learner=PublishedOceanLearner,
    fixed=lambda network: (network.backbone.conv1, network.backbone.bn1),
    pretrained=lambda network: (
        network.backbone.layer1,
        network.backbone.layer2,
        network.backbone.layer3,
    ),
    files={'OceanV.safetensors': weights_of},
    check=partial(check, config=VOT2019),
    shown=('mean_iou', 'success_at_half', 'score_of_impostors'),
)

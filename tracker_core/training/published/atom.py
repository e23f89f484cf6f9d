# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Training of ATOM's overlap predictor on ResNet-18 (section 3.1 and 3.3 of the paper).

The backbone keeps the kernels of ImageNet, but its batch norms go on with the statistics of the
pairs; both are written. The classifier needs no training; it is learnt online.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

from torch import nn

from tracker_core.atom.config import PAPER
from tracker_core.atom.network import AtomNetwork, drop_unused
from tracker_core.atom.tracker import AtomTracker
from tracker_core.backbones.resnet18 import ResNet18
from tracker_core.data import Footage, PublishedPairConfig
from tracker_core.errors import ParameterError
from tracker_core.training.architecture import Architecture
from tracker_core.training.atom import AtomLearner, AtomTraining, check, initialize
from tracker_core.training.config import TrainConfig
from tracker_core.training.imagenet import load_resnet18
from tracker_core.training.parts import Given, OnBackbone
from tracker_core.training.record import weights_of
from tracker_core.weights import load_into

SIDE = 288  # of the crops, pixels
SHARE = 5  # side of the crops in target sizes


@dataclass(frozen=True)
class PublishedAtomTraining(AtomTraining):
    """50 epochs of 1000 batches; see `TrainConfig`."""

    batch: int = 64
    learning_rate: float = 1e-3
    optimizer: str = 'adam'
    schedule: str = 'steps'
    warmup: float = 0.0
    drops: tuple[float, ...] = (0.3, 0.6, 0.9)
    weight_decay: float = 0.0
    largest_gradient: float = 0.0
    average: float = 0.0
    whole: int = 3_200_000
    pairs: PublishedPairConfig = field(
        default_factory=lambda: PublishedPairConfig(
            template_size=SIDE,
            search_size=SIDE,
            object_size=SIDE / SHARE,
            context=0.0,
            template_shift=0.0,
            template_scale=0.0,
            shift=4.5 / 2 * SIDE / SHARE,  # 4.5 target sizes from end to end
            scale=0.0,
            spread=0.5,
            repeats_border=True,
            brightness=0.2,
            color=0.0,
            gray=0.05,
            frames_apart={'': 50.0},
        )
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ('template_size', 'search_size'):
            if getattr(self.pairs, name) % ResNet18.strides[1]:
                raise ParameterError(
                    f'pairs.{name} must be a multiple of {ResNet18.strides[1]}, not '
                    f'{getattr(self.pairs, name)}'
                )


def load(network: AtomNetwork, given: Mapping[str, Given]) -> None:
    """A trained network."""
    (one,) = given.values()
    load_into(network, drop_unused(one.state), one.source)


def begin(network: AtomNetwork, config: TrainConfig, footage: Footage) -> None:
    """Random weights."""
    initialize(network.bb_regressor)
    for module in network.bb_regressor.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight)


def make_learner(network: AtomNetwork, config: AtomTraining) -> OnBackbone:
    """The predictor on the backbone."""
    return OnBackbone(AtomLearner(network, config), network.feature_extractor)


def load_backbone(network: AtomNetwork, given: Given) -> None:
    """See `load_resnet18`."""
    assert isinstance(network.feature_extractor, ResNet18)
    load_resnet18(network.feature_extractor, given)


ARCHITECTURE = Architecture(
    name=AtomTracker.name,
    title='overlap predictor of ATOM',
    config=PublishedAtomTraining,
    network=AtomNetwork,
    load=load,
    imagenet=load_backbone,
    begin=begin,
    learner=make_learner,
    fixed=lambda network: (network.feature_extractor,),
    pretrained=lambda network: (),
    files={'atom_default.safetensors': weights_of},
    check=partial(check, config=PAPER),
    shown=('error', 'iou_before', 'iou_after'),
)

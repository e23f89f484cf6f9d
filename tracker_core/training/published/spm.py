# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Training of SPM-Tracker on AlexNet, both stages at once (sections 3.2 and 3.3 of the paper).

The coarse stage learns from pairs of two objects of one category too, which are positives for it
(its generalised training), and negatives for the fine stage. The release has no training; labels,
the number of anchors and proposals and the weights of the losses are those of its configuration
files, the rest is what trackers of its kind use.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import nn, Tensor

from tracker_core.data import Footage, PublishedPairConfig
from tracker_core.errors import ParameterError
from tracker_core.spm.candidates import flatten_maps
from tracker_core.spm.config import OTB
from tracker_core.spm.network import (
    coarse_from_released,
    fine_from_released,
    PaperNetwork,
)
from tracker_core.spm.tracker import SpmTracker
from tracker_core.training import spm
from tracker_core.training.architecture import Architecture
from tracker_core.training.batches import batches, make_sampler, to_device
from tracker_core.training.config import TrainConfig
from tracker_core.training.imagenet import load_alexnet
from tracker_core.training.parts import Given
from tracker_core.training.record import weights_of
from tracker_core.weights import load_into

SIDE = PaperNetwork.search_size
BEGINNING = 0.3  # spread of the coarse stage's first answers, which leaves them undecided


@dataclass(frozen=True)
class PublishedSpmTraining(spm.SpmTraining):
    """See `TrainConfig`."""

    batch: int = 128
    learning_rate: float = 1e-2
    optimizer: str = 'sgd'
    schedule: str = 'geometric'
    warmup: float = 0.1
    first_rate: float = 0.1
    last_rate: float = 1e-3
    pretrained_rate: float = 0.1
    weight_decay: float = 1e-4
    largest_gradient: float = 10.0
    average: float = 0.0
    whole: int = 10_000_000
    proposal_overlap: float = 0.75
    impostors: float = 0.0
    fine_box: float = 1.0
    pairs: PublishedPairConfig = field(
        default_factory=lambda: PublishedPairConfig(
            template_size=SIDE, search_size=SIDE, kin=0.2, negatives=0.2
        )
    )

    def __post_init__(self) -> None:
        TrainConfig.__post_init__(self)
        if (self.pairs.template_size, self.pairs.search_size) != (SIDE, SIDE):
            raise ParameterError(
                f'pairs.template_size and pairs.search_size must be {SIDE}, not '
                f'{self.pairs.template_size} and {self.pairs.search_size}'
            )


class PublishedSpmLearner(nn.Module):
    """Backbone, both stages and their losses."""

    def __init__(self, network: PaperNetwork, config: spm.SpmTraining) -> None:
        super().__init__()
        self.network, self.stages = network, spm.SpmLearner(network, config)

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The losses of a batch of pairs, by name."""
        found, z_maps, x_maps = coarse(self.network, batch)
        return self.stages.of_both_stages(found, z_maps, x_maps, batch)


def coarse(
    network: PaperNetwork, batch: Mapping[str, Tensor]
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """What the coarse stage finds, and the maps of template and search crops."""
    template, search = (spm.as_network_wants(network, batch[n]) for n in ('template', 'search'))
    z, z_maps = network.extract(template)
    x, x_maps = network.look(search)
    with torch.autocast(z.device.type, enabled=False):  # its kernels are tiny numbers
        kernels = network.coarse_template(z, batch['template_box'])
        found = network.match(kernels, x)
    return found, z_maps, x_maps


@torch.no_grad()
def begin(network: PaperNetwork, config: TrainConfig, footage: Footage) -> None:
    """Fit the fine stage to the backbone's maps, and the coarse one's kernels to their gain."""
    spm.measure_maps(network, make_sampler(footage, config.pairs))
    source = batches(make_sampler(footage, config.pairs), spm.MEASURED_BATCH)
    logits, deltas = flatten_maps(
        *coarse(network, to_device(next(source), torch.device('cpu')))[0]
    )
    head = network.coarse.rpn_head
    for convolution, answers in ((head.z_cls_conv, logits), (head.z_bbox_conv, deltas)):
        for parameter in convolution.parameters():
            parameter.mul_(BEGINNING / answers.std())


def load(network: PaperNetwork, given: Mapping[str, Given]) -> None:
    """Trained stages."""
    stages = {
        'cm': (network.coarse, coarse_from_released),
        'fm': (network.fine, fine_from_released),
    }
    for name, (stage, from_released) in stages.items():
        load_into(stage, from_released(given[name].state), f'{given[name].source} ({name})')


def export_coarse(network: PaperNetwork) -> dict[str, Tensor]:
    """The coarse stage as released: turning RGB to BGR is turning BGR to RGB."""
    return coarse_from_released(weights_of(network.coarse))


ARCHITECTURE = Architecture(
    name=SpmTracker.name,
    title='SPM-Tracker',
    config=PublishedSpmTraining,
    network=PaperNetwork,
    load=load,
    imagenet=lambda network, given: load_alexnet(network.coarse.z_net, given),
    begin=begin,
    learner=PublishedSpmLearner,
    fixed=lambda network: (),
    pretrained=lambda network: (network.coarse.z_net,),
    files={
        'cm_stage.safetensors': export_coarse,
        'fm_stage.safetensors': lambda network: weights_of(network.fine),
    },
    check=partial(spm.check, config=OTB),
    shown=('mean_iou', 'success_at_half', 'score_of_impostors'),
)

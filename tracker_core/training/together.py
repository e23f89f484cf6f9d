# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The backbone and all heads trained together, from weights that are there.

The backbone learns to match (`backbone.py`) and, through the heads of Ocean, SPM-Tracker and ATOM,
where objects end; every head learns on the backbone as it becomes. A step computes the backbone's
maps once for all of them. It begins with the bundled weights, or with those of `tracker train
all`, and so also adapts them to photos of one's own.

    tracker train together --config config/train_together.yaml --data PHOTOS --out DIR --minutes 70
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import nn, Tensor

from tracker_core.backbones.compact import CompactBackbone, fold_batch_norm, unfold_batch_norm
from tracker_core.training import atom, backbone, loop, ocean, spm
from tracker_core.training.data import PairConfig, PairSampler, Pool
from tracker_core.weights import load_into, read_weight_file
from tracker_core.weights.registry import BUNDLED_FOLDER

PARTS = ('backbone', 'ocean', 'spm', 'atom')
FILE = 'compact_{}.safetensors'  # of a part
MEASURED_PAIRS = 32  # whose search crops give the batch norms their first statistics


@dataclass(frozen=True)
class TogetherTraining(loop.TrainConfig):
    """One training run; see `TrainConfig`.

    Attributes:
        group: See `BackboneConfig`.
        matching, ocean, spm, atom: Weights of their losses.
    """

    batch: int = 24
    learning_rate: float = 1e-3
    average: float = 0.998
    group: int = 24
    matching: float = 0.75
    ocean: float = 1.0
    spm: float = 1.0
    atom: float = 6.0
    pairs: PairConfig = field(
        default_factory=lambda: PairConfig(
            template_size=129,
            search_size=193,
            context=0.5,
            size_jitter=1.15,
            scale=1.35,
            angle=0.1,
            turn=0.1,
            stretch=0.16,
            bend=0.12,
            distractor=0.5,
            alike=0.5,
            sources=(0.3, 0.4, 0.3, 0.3),
            seed=31,
        )
    )


class Together(nn.Module):
    """One trainable backbone and the networks whose heads use it; their own frozen backbones are
    idle, but for checks."""

    def __init__(
        self, config: TogetherTraining, weights: Mapping[str, Mapping[str, Tensor]], pool: Pool
    ) -> None:
        super().__init__()
        given, pairs, source = weights['backbone'], config.pairs, 'the weights to begin with'
        plain = CompactBackbone()
        load_into(plain, given, source)
        batch = next(loop.batches(PairSampler(pool, pairs), MEASURED_PAIRS))
        images = loop.to_device(batch, torch.device('cpu'))['search']
        self.backbone = unfold_batch_norm(plain, images)
        self.ocean = ocean.new_network(given, source)
        load_into(self.ocean.heads, weights['ocean'], source)
        self.spm = spm.CompactNetwork()
        load_into(
            self.spm, {**{f'backbone.{k}': v for k, v in given.items()}, **weights['spm']}, source
        )
        self.spm.backbone.requires_grad_(False)
        self.atom = atom.AtomNetwork(compact=True)
        load_into(self.atom.feature_extractor, given, source)
        self.atom.feature_extractor.requires_grad_(False)
        load_into(self.atom.bb_regressor, weights['atom'], source)


class TogetherLearner(nn.Module):
    """All losses on the maps of one backbone."""

    def __init__(self, network: Together, config: TogetherTraining) -> None:
        super().__init__()
        self.network, pairs = network, config.pairs
        matcher = backbone.Matcher(
            backbone.BackboneConfig(batch=config.batch, group=config.group, pairs=pairs)
        )
        matcher.backbone = network.backbone
        self.parts = nn.ModuleDict(
            {
                'matching': matcher,
                'ocean': ocean.OceanLearner(network.ocean, ocean.OceanTraining(pairs=pairs)),
                'spm': spm.SpmLearner(network.spm, spm.SpmTraining(pairs=pairs)),
                'atom': atom.AtomLearner(network.atom, atom.AtomTraining(pairs=pairs)),
            }
        )
        self.weights = {name: getattr(config, name) for name in self.parts}

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weighted losses of a batch of pairs, one per part."""
        template, search = (self.network.backbone(batch[name]) for name in ('template', 'search'))
        return {
            name: self.weights[name] * sum(part.losses(template, search, batch).values())
            for name, part in self.parts.items()
        }


def check(network: Together, pool: Pool, device: torch.device) -> dict[str, float]:
    """The checks of all parts, each on the pairs of its own training, so that figures compare."""
    folded = fold_batch_norm(network.backbone)
    for idle in (network.ocean.backbone, network.spm.backbone, network.atom.feature_extractor):
        idle.load_state_dict(folded.state_dict())
    matching = replace(backbone.BackboneConfig(), pairs=replace(PairConfig(), size_jitter=1.25))
    figures = {
        'matching': backbone.matching_accuracy(folded, pool, matching, device),
        'ocean': ocean.check(network.ocean, pool, device, ocean.OceanTraining().pairs),
        'spm': spm.check(network.spm, pool, device, spm.SpmTraining().pairs),
        'atom': atom.check(network.atom, pool, device, atom.AtomTraining().pairs),
    }
    return {f'{part}_{name}': v for part, values in figures.items() for name, v in values.items()}


def make_part(
    config: TogetherTraining, weights: Mapping[str, Mapping[str, Tensor]], pool: Pool
) -> loop.Part:
    """What `loop.Trainer` needs to know; `weights` are those of the four files to begin with."""
    network = Together(config, weights, pool)
    return loop.Part(
        'compact backbone and heads together',
        {
            FILE.format('backbone'): lambda averaged: fold_batch_norm(
                averaged.backbone
            ).state_dict(),
            FILE.format('ocean'): lambda averaged: loop.weights_of(averaged.ocean.heads),
            FILE.format('spm'): lambda averaged: loop.weights_of(averaged.spm, 'backbone.'),
            FILE.format('atom'): lambda averaged: loop.weights_of(averaged.atom.bb_regressor),
        },
        TogetherLearner(network, config),
        network,
        check,
        ('matching_deep_among_16', 'ocean_mean_iou', 'spm_mean_iou', 'atom_iou_after'),
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `tracker train together`."""
    loop.add_arguments(parser)
    parser.add_argument(
        '--config', metavar='FILE', help='YAML file, such as config/train_together.yaml'
    )
    parser.add_argument(
        '--from',
        dest='begin',
        metavar='DIR',
        help='folder of the four weight files to begin with (default: the bundled ones)',
    )


def run(args: argparse.Namespace) -> int:
    """`tracker train together`."""
    folder = Path(args.begin) if args.begin else BUNDLED_FOLDER
    weights = {name: read_weight_file(folder / FILE.format(name)) for name in PARTS}
    config = loop.read_config(TogetherTraining, args.config)
    return loop.run_part(args, config, lambda config, pool: make_part(config, weights, pool))

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Training of the box refiner on the compact backbone.

Boxes are drawn around the target, wrong in place, size and aspect as a tracker's rough boxes are;
the refiner learns to move them onto it, and how much its result then overlaps it.

    tracker train refiner --config CONFIGS/train_refiner.yaml --data PHOTOS --out DIR --minutes 10
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import nn, Tensor
import torch.nn.functional as F

from tracker_core.backbones.compact import CompactBackbone, Maps
from tracker_core.data import PairConfig, Pool
from tracker_core.refiner.network import RefinerNetwork
from tracker_core.spm.candidates import overlaps
from tracker_core.training.batches import held_out_batches
from tracker_core.training.config import TrainConfig
from tracker_core.training.parts import Given, Head, look, mean_of
from tracker_core.training.record import weights_of
from tracker_core.weights import load_into

SHIFT, GROWTH = 0.15, 0.2  # deviations of drawn boxes: of the centre in sides, of log sides
BEND = 0.02  # where the box's loss turns from square to linear, in sides


@dataclass(frozen=True)
class RefinerTraining(TrainConfig):
    """One training run; see `TrainConfig`.

    Attributes:
        boxes: Drawn boxes per pair.
        overlap: Weight of the loss of the overlap.
    """

    weight_decay: float = 1e-3
    boxes: int = 8
    overlap: float = 0.5
    pairs: PairConfig = field(
        default_factory=lambda: PairConfig(
            search_size=161,
            size_jitter=1.25,
            shift=28.0,
            angle=0.05,
            sources=(0.0, 0.5, 0.5, 0.0),
            seed=51,
        )
    )


def cells(boxes: Tensor) -> Tensor:
    """Boxes x, y, w, h in crop pixels as corners in cells."""
    corners = torch.cat([boxes[..., :2], boxes[..., :2] + boxes[..., 2:]], dim=-1)
    return (corners - 0.5) / CompactBackbone.stride


def draw_rough(targets: Tensor, count: int) -> Tensor:
    """Rough boxes (N, count, 4) around targets (N, 4), corners; a quarter is half as rough."""
    n = len(targets)
    boxes = targets[:, None].expand(-1, count, -1)
    centers, sides = (boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]
    roughness = torch.where(torch.rand(n, count, 1, device=targets.device) < 0.25, 0.5, 1.0)
    centers = centers + SHIFT * roughness * torch.randn_like(centers) * sides
    half = sides * (GROWTH * roughness * torch.randn_like(sides)).exp() / 2
    return torch.cat([centers - half, centers + half], dim=-1)


class RefinerLearner(nn.Module):
    """The refiner and its losses."""

    def __init__(self, network: RefinerNetwork, config: RefinerTraining) -> None:
        super().__init__()
        self.network, self.config = network, config

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The losses of a batch of pairs."""
        return self.losses(*look(self.network.backbone, batch), batch)

    def losses(
        self, template: Maps, search: Maps, batch: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """The same from the backbone's maps."""
        refiner, config = self.network.refiner, self.config
        targets, has_edges = cells(batch['search_box']), batch['has_edges']
        model = refiner.template(refiner.features(template), cells(batch['template_box']))
        rough = draw_rough(targets, config.boxes)
        found = refiner(model, refiner.features(search), rough)
        sides = (targets[:, 2:] - targets[:, :2]).repeat(1, 2)[:, None]
        wrong = (found.boxes - targets[:, None]) / sides  # of each edge, in sides
        box = F.smooth_l1_loss(wrong, torch.zeros_like(wrong), beta=BEND, reduction='none')
        quality = overlaps(found.boxes.detach(), targets, pixel=0.0)
        score = F.binary_cross_entropy_with_logits(found.overlaps, quality, reduction='none')
        return {
            'box': mean_of(box.sum(dim=-1), has_edges),
            'overlap': config.overlap * mean_of(score, has_edges),
        }


@torch.no_grad()
def check(
    network: RefinerNetwork, pool: Pool, device: torch.device, pairs: PairConfig
) -> dict[str, float]:
    """What the refinement makes of rough boxes: their mean overlap before and after it, and the
    mean absolute error of the overlap that it predicts."""
    refiner = network.refiner
    before, after, errors = [], [], []
    pairs = replace(pairs, search_size=257)
    for number, batch in enumerate(held_out_batches(pool, pairs, device)):
        targets = cells(batch['search_box'])
        template, search = look(network.backbone, batch)
        model = refiner.template(refiner.features(template), cells(batch['template_box']))
        with torch.random.fork_rng():
            torch.manual_seed(number)
            rough = draw_rough(targets, 8)
        found = refiner(model, refiner.features(search), rough)
        quality = overlaps(found.boxes, targets, pixel=0.0)
        before.append(overlaps(rough, targets, pixel=0.0).mean())
        after.append(quality.mean())
        errors.append((found.overlaps.sigmoid() - quality).abs().mean())
    named = {'error': errors, 'iou_before': before, 'iou_after': after}
    return {name: float(torch.stack(values).mean()) for name, values in named.items()}


def begin(network: RefinerNetwork, config: RefinerTraining, pool: Pool) -> None:
    """Random weights."""


def load(network: RefinerNetwork, given: Given) -> None:
    """A trained refiner."""
    load_into(network.refiner, given.state, given.source)


HEAD = Head(
    name='refiner',
    title='box refiner',
    about='the box refiner that TADT and DAT share, on that backbone',
    config=RefinerTraining,
    network=RefinerNetwork,
    backbone=lambda network: network.backbone,
    begin=begin,
    learner=RefinerLearner,
    export=lambda network: weights_of(network.refiner),
    load=load,
    check=check,
    shown=('error', 'iou_before', 'iou_after'),
    shown_together='iou_after',
    weight=1.0,
    share=0.02,
    on_gpu={'batch': 128, 'learning_rate': 2.5e-3, 'average': 0.999},
)

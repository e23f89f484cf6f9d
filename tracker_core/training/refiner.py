# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Training of the box refiner on the compact backbone.

Boxes are drawn around the target, wrong in place, size and aspect as a tracker's rough boxes are;
the refiner learns to move them onto it, and how much its result then overlaps it.

    tracker train refiner --config CONFIGS/train_refiner.yaml --data PHOTOS --out DIR --minutes 10
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import nn, Tensor
import torch.nn.functional as F

from tracker_core.backbones.compact import CompactBackbone, Maps
from tracker_core.data import Footage, PairConfig
from tracker_core.refiner.network import RefinerNetwork
from tracker_core.spm.candidates import overlaps
from tracker_core.training.batches import held_out_batches
from tracker_core.training.config import TrainConfig
from tracker_core.training.draws import Draws
from tracker_core.training.parts import Head, look, mean_of

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


def draw_rough(targets: Tensor, count: int, draws: Draws) -> Tensor:
    """Rough boxes (N, count, 4) around targets (N, 4), corners; a quarter is half as rough."""
    boxes = targets[:, None].expand(-1, count, -1)
    centers, sides = (boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]
    roughness = torch.where(draws.uniform(count, 1) < 0.25, 0.5, 1.0)
    centers = centers + SHIFT * roughness * draws.normal(count, 2) * sides
    half = sides * (GROWTH * roughness * draws.normal(count, 2)).exp() / 2
    return torch.cat([centers - half, centers + half], dim=-1)


class RefinerLearner(nn.Module):
    """The refiner and its losses."""

    def __init__(self, network: RefinerNetwork, config: RefinerTraining) -> None:
        super().__init__()
        self.network, self.config = network, config

    def losses(
        self, template: Maps, search: Maps, batch: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """See `MapLearner`."""
        refiner, config = self.network.refiner, self.config
        targets, has_edges = cells(batch['search_box']), batch['has_edges']
        model = refiner.template(refiner.features(template), cells(batch['template_box']))
        rough = draw_rough(targets, config.boxes, Draws(batch['number']))
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
    network: RefinerNetwork, footage: Footage, device: torch.device, pairs: PairConfig
) -> dict[str, float]:
    """What the refinement makes of rough boxes: their mean overlap before and after it, and the
    mean absolute error of the overlap that it predicts."""
    refiner = network.refiner
    before, after, errors = [], [], []
    for batch in held_out_batches(footage, pairs, device):
        targets = cells(batch['search_box'])
        template, search = look(network.backbone, batch)
        model = refiner.template(refiner.features(template), cells(batch['template_box']))
        rough = draw_rough(targets, 8, Draws(batch['number']))
        found = refiner(model, refiner.features(search), rough)
        quality = overlaps(found.boxes, targets, pixel=0.0)
        before.append(overlaps(rough, targets, pixel=0.0).mean())
        after.append(quality.mean())
        errors.append((found.overlaps.sigmoid() - quality).abs().mean())
    named = {'error': errors, 'iou_before': before, 'iou_after': after}
    return {name: float(torch.stack(values).mean()) for name, values in named.items()}


HEAD = Head(
    name='refiner',
    title='box refiner',
    about='the box refiner that TADT and DAT share, on that backbone',
    config=RefinerTraining,
    network=RefinerNetwork,
    backbone=lambda network: network.backbone,
    heads=lambda network: network.refiner,
    learner=RefinerLearner,
    check=check,
    checked={'search_size': 257},
    shown=('error', 'iou_before', 'iou_after'),
    shown_together='iou_after',
    weight=1.0,
    share=0.02,
    on_gpu={'batch': 128, 'learning_rate': 2.5e-3, 'average': 0.999},
)

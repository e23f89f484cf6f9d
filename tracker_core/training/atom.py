# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Training of ATOM's overlap predictor, and of its compact one on the frozen compact backbone.

Section 3.1 of the paper: boxes are drawn around the target in the search crop, and the predictor
learns the overlap of each, given the target's appearance in the template crop. Its answer is
trained towards 2 IoU - 1 by the mean square of the error. The classifier needs no training; it is
learnt online.

    tracker train atom --config CONFIGS/train_atom.yaml --data PHOTOS --out DIR --minutes 20
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import nn, Tensor

from tracker_core.atom.config import AtomConfig, COMPACT
from tracker_core.atom.network import (
    AtomNetwork,
    CompactAtomNetwork,
    IouAscent,
    IouPredictor,
)
from tracker_core.atom.tracker import propose
from tracker_core.backbones.compact import Maps
from tracker_core.data import Footage, PairConfig
from tracker_core.training.batches import held_out_batches
from tracker_core.training.config import Pairs, TrainConfig
from tracker_core.training.draws import Draws
from tracker_core.training.parts import Head, look, mean_of

DEVIATIONS = (0.01, 0.05, 0.1, 0.2, 0.3)  # of drawn boxes, target sizes
SMALLEST_IOU = 0.1  # of drawn boxes


@dataclass(frozen=True)
class AtomTraining(TrainConfig):
    """One training run; see `TrainConfig`.

    Attributes:
        boxes: Drawn boxes per pair.
    """

    weight_decay: float = 1e-4
    boxes: int = 16
    # the target's surroundings are enough to search in; unturned, so that boxes stay tight; only
    # boxes of objects teach anything
    pairs: Pairs = field(
        default_factory=lambda: PairConfig(
            search_size=161,
            size_jitter=1.25,
            shift=28.0,
            angle=0.0,
            sources=(0.0, 0.5, 0.5, 0.0),
            seed=21,
        )
    )


def overlap(boxes: Tensor, targets: Tensor) -> Tensor:
    """IoU of boxes (N, B, 4) with targets (N, 4), all x, y, w, h: (N, B)."""
    targets = targets[:, None]
    low = torch.maximum(boxes[..., :2], targets[..., :2])
    high = torch.minimum(boxes[..., :2] + boxes[..., 2:], targets[..., :2] + targets[..., 2:])
    shared = (high - low).clamp(min=0).prod(dim=-1)
    union = boxes[..., 2:].prod(dim=-1) + targets[..., 2:].prod(dim=-1) - shared
    return shared / union


def draw_boxes(targets: Tensor, count: int, draws: Draws, tries: int = 30) -> Tensor:
    """Boxes of all qualities around targets (N, 4): (N, count, 4), overlapping by 0.1 or more.

    Those that overlap less are drawn again with a tenth less deviation.
    """
    sizes = targets[:, None, 2:].expand(-1, count, -1)
    centers = (targets[:, :2] + targets[:, 2:] / 2)[:, None]
    deviations = torch.tensor(DEVIATIONS, device=targets.device)
    deviation = deviations[(len(DEVIATIONS) * draws.uniform(count)).long()]
    deviation = (deviation * sizes.prod(dim=2).sqrt())[..., None]
    boxes = targets[:, None].expand(-1, count, -1)
    again = torch.ones(boxes.shape[:2], dtype=torch.bool, device=targets.device)
    for _ in range(tries):
        noise = draws.normal(count, 4) * deviation
        wanted = sizes + noise[..., 2:]
        small = sizes * (0.15 + 0.35 * draws.uniform(count, 2))
        new_sizes = torch.where(wanted <= 1, small, wanted)
        new = torch.cat([centers + noise[..., :2] - new_sizes / 2, new_sizes], dim=2)
        boxes = torch.where(again[..., None], new, boxes)
        again = overlap(boxes, targets) < SMALLEST_IOU
        deviation = deviation * 0.9
    return torch.where(again[..., None], targets[:, None], boxes)


def into_index(boxes: Tensor) -> Tensor:
    """Boxes of pairs, whose first pixel covers 0 to 1, in the tracker's index coordinates."""
    return boxes - torch.tensor([0.5, 0.5, 0.0, 0.0], device=boxes.device)


class AtomLearner(nn.Module):
    """The predictor and its loss."""

    def __init__(self, network: AtomNetwork, config: AtomTraining) -> None:
        super().__init__()
        self.network, self.config = network, config

    def losses(
        self, template: Maps, search: Maps, batch: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """See `MapLearner`."""
        predictor = self.network.bb_regressor
        targets = into_index(batch['search_box'])
        boxes = draw_boxes(targets, self.config.boxes, Draws(batch['number']))
        features, modulation = condition(predictor, template, search, batch['template_box'])
        with torch.autocast(boxes.device.type, enabled=False):
            predicted = predictor(features, modulation, boxes)
        error = (predicted - (2 * overlap(boxes, targets) - 1)).square().mean(dim=1)
        return {'overlap': mean_of(error, batch['has_edges'] * batch['same'])}


def condition(
    predictor: IouPredictor, template: Maps, search: Maps, template_boxes: Tensor
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Test features and modulation, float32."""
    features = predictor.features(*search)
    with torch.autocast(search[0].device.type, enabled=False):
        middle, deep = (maps.float() for maps in template)
        modulation = predictor.modulation(middle, deep, into_index(template_boxes))
    return tuple(maps.float() for maps in features), modulation


def initialize(predictor: IouPredictor) -> None:
    """Random weights that keep the signal's size (He et al., 2015)."""
    for module in predictor.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight, mode='fan_in', nonlinearity='relu')
            if module.bias is not None:
                nn.init.zeros_(module.bias)


@torch.no_grad()
def check(
    network: AtomNetwork,
    footage: Footage,
    device: torch.device,
    pairs: Pairs,
    config: AtomConfig = COMPACT,
) -> dict[str, float]:
    """How well overlap is predicted, and what the refinement makes of boxes.

    Returns:
        `error`: mean absolute error of the predicted IoU; `iou_before` and `iou_after`: mean
        overlap of a box that is wrong in place and size by up to an eighth, before and after the
        refinement that the tracker makes.
    """
    predictor = network.bb_regressor
    ascent = IouAscent(predictor)
    generator = torch.Generator().manual_seed(5)
    errors: list[Tensor] = []
    before: list[Tensor] = []
    after: list[Tensor] = []
    for batch in held_out_batches(footage, pairs, device):
        targets = into_index(batch['search_box'])
        template, search = look(network.feature_extractor, batch)
        features, modulation = condition(predictor, template, search, batch['template_box'])
        boxes = draw_boxes(targets, 16, Draws(batch['number']))
        predicted = (predictor(features, modulation, boxes) + 1) / 2
        errors.append((predicted - overlap(boxes, targets)).abs().mean())

        noise = (torch.rand(len(targets), 4, generator=generator) - 0.5).to(targets) / 4
        sizes = targets[:, 2:] * (1 + noise[:, 2:])
        centers = targets[:, :2] + targets[:, 2:] * (0.5 + noise[:, :2])
        draws = torch.rand(len(targets), config.proposals - 1, 4, generator=generator)
        boxes = propose(centers, sizes, draws.to(targets), config)
        before.append(overlap(boxes[:, :1], targets).mean())
        maps = ascent.prepare(features, modulation)
        for _ in range(config.ascent_steps):
            value, gradient = ascent(maps, boxes)
            sides = boxes[..., 2:].repeat(1, 1, 2)
            boxes = boxes + config.step_length * gradient * sides
        index = value.topk(config.averaged, dim=1).indices
        best = boxes.gather(1, index[..., None].expand(-1, -1, 4)).mean(dim=1, keepdim=True)
        after.append(overlap(best, targets).mean())
    names = ('error', 'iou_before', 'iou_after')
    return {
        name: float(torch.stack(values).mean())
        for name, values in zip(names, (errors, before, after), strict=True)
    }


def begin(network: AtomNetwork, config: TrainConfig, footage: Footage) -> None:
    """Random weights."""
    initialize(network.bb_regressor)


HEAD = Head(
    name='atom',
    title="overlap predictor of ATOM's compact preset",
    about="ATOM's overlap predictor, compact or as published",
    config=AtomTraining,
    network=CompactAtomNetwork,
    backbone=lambda network: network.feature_extractor,
    heads=lambda network: network.bb_regressor,
    learner=AtomLearner,
    begin=begin,
    check=check,
    checked={'search_size': 257},
    shown=('error', 'iou_before', 'iou_after'),
    shown_together='iou_after',
    weight=6.0,
    share=0.02,
    on_gpu={'batch': 128, 'learning_rate': 2.5e-3, 'average': 0.999},
)

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Training of Ocean, and of its compact heads on the frozen compact backbone.

The paper's losses (section 3.3): every cell inside the target regresses its box (logarithm of the
IoU); cells within 16 pixels of the target's centre are positives of the regular-region score; the
object-aware score of each cell shall be the IoU of the box predicted there. Two are added for a
short training: a softmax over all cells, which has to point at the positives, so that the
strongest distractor counts most; and templates of other pairs, which must not be found.

    tracker train ocean --config CONFIGS/train_ocean.yaml --data PHOTOS --out DIR --minutes 30
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
import math

import torch
from torch import nn, Tensor
import torch.nn.functional as F

from tracker_core.backbones.compact import Maps
from tracker_core.boxes import Box
from tracker_core.data import Footage, PairConfig
from tracker_core.errors import ParameterError
from tracker_core.ocean.config import COMPACT, OceanConfig
from tracker_core.ocean.network import (
    AlignedHead,
    cell_offsets,
    CompactOcean,
    OceanNetwork,
    Prediction,
    tap_positions,
    Template,
)
from tracker_core.ocean.places import classification
from tracker_core.training.batches import held_out_batches
from tracker_core.training.config import Pairs, TrainConfig
from tracker_core.training.draws import Draws
from tracker_core.training.parts import Head, mean_of, search_figures

POSITIVE_RADIUS = 16.0  # pixels


@dataclass(frozen=True)
class OceanTraining(TrainConfig):
    """One training run; see `TrainConfig`.

    Attributes:
        place: Weight of the softmax over all cells.
        impostor: Weight of the loss on templates of other pairs.
        impostors: Share of the pairs that are also searched with another pair's template.
        aligned_cells: Cells per pair that the object-aware score learns from, half of them inside
            the target, half the best-scored outside; 0 for all.
    """

    batch: int = 24
    average: float = 0.997
    place: float = 0.5
    impostor: float = 0.5
    impostors: float = 0.25
    aligned_cells: int = 96
    # boxes turn little, so that they stay tight
    pairs: Pairs = field(
        default_factory=lambda: PairConfig(
            template_size=COMPACT.template_side,
            search_size=193,
            object_size=COMPACT.template_side / 2,
            context=0.5,
            size_jitter=1.1,
            scale=1.35,
            angle=0.07,
            stretch=0.13,
            sources=(0.15, 0.35, 0.35, 0.15),
            seed=21,
        )
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ('template_size', 'search_size'):
            size = getattr(self.pairs, name)
            if size < COMPACT.template_side or size % 16 != 1:
                raise ParameterError(
                    f'pairs.{name} must be 16 k + 1 and at least {COMPACT.template_side}, not '
                    f'{size}'
                )


@dataclass(frozen=True)
class Truth:
    """Where the targets are, per cell of a map.

    Attributes:
        ltrb: (N, 4, n, n) distances to the edges of the target, pixels.
        inside: (N, n, n) whether the cell lies on the target.
        middle: (N, n, n) whether it also lies near the target's centre.
    """

    ltrb: Tensor
    inside: Tensor
    middle: Tensor


def cell_truth(boxes: Tensor, count: int, side: int) -> Truth:
    """The truth for maps of `count` cells a side.

    Args:
        boxes: (N, 4) the targets, x, y, w, h in pixels of the search crop.
        count: Cells in a row.
        side: Of the search crop, pixels.
    """
    cells = cell_offsets(count, boxes.device) + side / 2
    x1, y1 = boxes[:, 0, None, None], boxes[:, 1, None, None]
    x2, y2 = x1 + boxes[:, 2, None, None], y1 + boxes[:, 3, None, None]
    xs, ys = (
        c.expand(len(boxes), count, count) for c in (cells, cells[:, None])
    )  # (N, n, n) each
    ltrb = torch.stack((xs - x1, ys - y1, x2 - xs, y2 - ys), 1)
    inside = ltrb.amin(1) > 0
    near = torch.hypot(xs - (x1 + x2) / 2, ys - (y1 + y2) / 2) <= POSITIVE_RADIUS
    return Truth(ltrb, inside, inside & near)


def cell_overlaps(predicted: Tensor, truth: Tensor) -> Tensor:
    """IoU, softened by one square pixel, of boxes around the same points, (N, 4, n, n) each."""
    shared = torch.minimum(predicted, truth)
    intersection = (shared[:, 0] + shared[:, 2]) * (shared[:, 1] + shared[:, 3])
    areas = [(b[:, 0] + b[:, 2]) * (b[:, 1] + b[:, 3]) for b in (predicted, truth)]
    return (intersection + 1) / (areas[0] + areas[1] - intersection + 1)


def balanced_loss(logits: Tensor, positive: Tensor) -> Tensor:
    """Cross-entropy; all positives weigh as much as all negatives, in all processes."""
    losses = F.binary_cross_entropy_with_logits(logits, positive.to(logits), reduction='none')
    return 0.5 * (mean_of(losses, positive) + mean_of(losses, ~positive))


def place_loss(logits: Tensor, positive: Tensor) -> Tensor:
    """Cross-entropy of a softmax over all cells (N, n, n), any positive being right."""
    logits, positive = logits.flatten(1), positive.flatten(1)
    right = logits.masked_fill(~positive, -torch.inf).logsumexp(1)
    return (logits.logsumexp(1) - right)[positive.any(1)].mean()  # NaN where there is none


def ocean_losses(
    logits: Tensor, ltrb: Tensor, truth: Truth, has_edges: Tensor
) -> tuple[dict[str, Tensor], Tensor]:
    """Losses of both branches, and the IoU of each cell's box (N, n, n), 0 outside the target.

    `has_edges` (N,) says whose boxes count.
    """
    overlap = cell_overlaps(ltrb, truth.ltrb.clamp(min=0))
    losses = {
        'box': mean_of(-overlap.log(), truth.inside * has_edges[:, None, None]),
        'regular': balanced_loss(logits, truth.middle),
        'place': place_loss(logits, truth.middle),
    }
    return losses, torch.where(truth.inside, overlap, 0.0).detach()


def choose_cells(logits: Tensor, inside: Tensor, count: int, draws: Draws) -> Tensor:
    """Cells to learn the object-aware score from: half of them inside, at random, and the best of
    the others. Indices (N, count) into the flattened maps."""
    inside = inside.flatten(1)
    within = draws.uniform(inside.shape[1]).masked_fill(~inside, -1.0)
    outside = logits.detach().flatten(1).masked_fill(inside, -torch.inf)
    return torch.cat([each.topk(count // 2, 1).indices for each in (within, outside)], 1)


class OceanLearner(nn.Module):
    """A network and its losses."""

    def __init__(self, network: CompactOcean | OceanNetwork, config: OceanTraining) -> None:
        super().__init__()
        self.network, self.config = network, config

    def losses(
        self, template_maps: Maps, search_maps: Maps, batch: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """See `MapLearner`."""
        return self.of_features(template_maps[1], search_maps[1], batch)

    def of_features(
        self, template_features: Tensor, features: Tensor, batch: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """The losses from features (N, C, n, n) of template and search crops."""
        heads, config = self.network.heads, self.config
        template = self.network.encode_features(template_features, batch['template_box'][:, 2:])
        box_features, ltrb = heads.boxes(features, template)
        pairs = len(features)
        others = round(config.impostors * pairs)
        logits = heads.logits(
            torch.cat((features, features[:others])),
            [torch.cat((k, k.roll(1, 0)[:others])) for k in template.classify],
        )
        logits, wrong = logits[:pairs], logits[pairs:]

        is_there = batch['same'][:, None, None] > 0  # else the template shows something else
        truth = cell_truth(batch['search_box'], logits.shape[-1], batch['search'].shape[-1])
        truth = replace(truth, inside=truth.inside & is_there, middle=truth.middle & is_there)
        losses, overlap = ocean_losses(logits, ltrb, truth, batch['has_edges'])
        place = losses.pop('place')
        if config.place:
            losses['place'] = config.place * place
        if others:
            best = wrong.flatten(1).topk(8, 1).values
            losses['impostor'] = config.impostor * F.softplus(best).mean()
        if heads.align is not None:
            chosen = None
            if config.aligned_cells:
                draws = Draws(batch['number'])
                chosen = choose_cells(logits, truth.inside, config.aligned_cells, draws)
            errors = aligned_errors(heads.align, box_features, ltrb, overlap, chosen)
            losses['aligned'] = mean_of(errors, batch['has_edges'])
        return losses


def aligned_errors(
    align: AlignedHead, features: Tensor, ltrb: Tensor, overlap: Tensor, chosen: Tensor | None
) -> Tensor:
    """Cross-entropy of the object-aware score, which shall be the IoU of the predicted box.

    Args:
        align: The branch.
        features: (N, C, n, n) of the box branch.
        ltrb: (N, 4, n, n) predicted; they learn from the truth, not from this score.
        overlap: (N, n, n) their IoU.
        chosen: (N, K) cells; None for all.

    Returns:
        (N, K), or (N, n n).
    """
    ys, xs = (taps.flatten(2) for taps in tap_positions(ltrb.detach()))  # (N, 9, n n)
    overlap = overlap.flatten(1)
    if chosen is not None:
        ys, xs = (taps.gather(2, chosen[:, None].expand(-1, 9, -1)) for taps in (ys, xs))
        overlap = overlap.gather(1, chosen)
    score = align.at(features, ys[:, :, None], xs[:, :, None])[:, 0].float()
    return F.binary_cross_entropy_with_logits(score, overlap, reduction='none')


@torch.no_grad()
def begin(network: CompactOcean, config: TrainConfig, footage: Footage) -> None:
    """Have boxes begin at about the target's size."""
    network.heads.box_gain.fill_(1.0)
    network.heads.box_bias.fill_(math.log(COMPACT.template_side / 4))


@torch.no_grad()
def check(
    network: CompactOcean | OceanNetwork,
    footage: Footage,
    device: torch.device,
    pairs: Pairs,
    config: OceanConfig = COMPACT,
) -> dict[str, float]:
    """How the best cell of one search per pair fares: its box, and its score for the pair's own
    and for another pair's template."""
    ious, scores, impostors = [], [], []
    for batch in held_out_batches(footage, pairs, device):
        features = network.extract(batch['search'])
        template = network.encode(batch['template'], batch['template_box'][:, 2:])
        prediction = network.heads(features, template)
        score, cell = classification(prediction, config).flatten(1).max(1)
        ious += best_overlaps(prediction, cell, batch['search_box'], pairs.search_size)
        scores.append(score)
        rolled = Template(
            *([k.roll(1, 0) for k in p] for p in (template.classify, template.regress))
        )
        impostors.append(
            classification(network.heads(features, rolled), config).flatten(1).amax(1)
        )
    return search_figures(torch.tensor(ious), torch.cat(scores).cpu(), torch.cat(impostors))


def best_overlaps(prediction: Prediction, cell: Tensor, truth: Tensor, side: int) -> list[float]:
    """IoU of the boxes predicted at cells (N,) with the truth (N, 4)."""
    n = prediction.logits.shape[-1]
    cells = cell_offsets(n, cell.device) + side / 2
    x, y = cells[cell % n], cells[cell // n]
    ltrb = prediction.ltrb.flatten(2).gather(2, cell[:, None, None].expand(-1, 4, 1))
    left, top, right, bottom = ltrb[..., 0].unbind(1)
    found = torch.stack((x - left, y - top, left + right, top + bottom), 1).tolist()
    return [Box(*box).iou(Box(*true)) for box, true in zip(found, truth.tolist(), strict=True)]


HEAD = Head(
    name='ocean',
    title='compact heads of Ocean',
    about='Ocean, its compact heads or the published architecture',
    config=OceanTraining,
    network=CompactOcean,
    backbone=lambda network: network.backbone,
    heads=lambda network: network.heads,
    learner=OceanLearner,
    begin=begin,
    check=check,
    checked={'search_size': COMPACT.search_side, 'shift': 80.0},
    shown=('mean_iou', 'success_at_half', 'score_of_impostors'),
    shown_together='mean_iou',
    weight=1.0,
    share=0.03,
    on_gpu={'batch': 128, 'learning_rate': 2.5e-3, 'average': 0.999},
    pairs_on_gpu={'search_size': 225, 'shift': 80.0, 'alike': 0.4},
)

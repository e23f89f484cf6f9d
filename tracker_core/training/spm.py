# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Training of SPM-Tracker, both stages at once, and of its compact heads on the frozen compact
backbone.

The coarse stage learns to score and to move the anchors that overlap the target (section 3.2 of
the paper: positives from an IoU of 0.6, negatives up to 0.3). An object of the target's category
is as good as the target to it, where pairs of such are among the data: it finds what is alike.
The fine stage learns on what the coarse one proposes, and on boxes near the target, to tell the
target from the rest and to refine its box (section 3.3: positives from an IoU of 0.5). Other
objects, and with `impostors` the templates of other pairs, are negatives for it.

    tracker train spm --config CONFIGS/train_spm.yaml --data PHOTOS --out DIR --minutes 25
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import nn, Tensor
import torch.nn.functional as F

from tracker_core.backbones.compact import Maps
from tracker_core.data import Footage, PairConfig
from tracker_core.errors import ParameterError
from tracker_core.layers.modules import statistics
from tracker_core.spm.candidates import (
    as_anchors,
    decode,
    flatten_maps,
    fuse,
    LARGEST_GROWTH,
    overlaps,
    select_candidates,
)
from tracker_core.spm.compact import CompactNetwork
from tracker_core.spm.config import COMPACT, SpmConfig
from tracker_core.spm.network import PaperNetwork
from tracker_core.spm.tracker import FINE_DELTA_SCALE
from tracker_core.training.batches import (
    batches,
    held_out_batches,
    make_sampler,
    Sampler,
    to_device,
)
from tracker_core.training.config import Pairs, TrainConfig
from tracker_core.training.draws import Draws
from tracker_core.training.parts import Head, mean_of, search_figures

MEASURED_BATCHES = 8  # that give the batch norms their statistics
MEASURED_BATCH = 16  # pairs


@dataclass(frozen=True)
class SpmTraining(TrainConfig):
    """One training run; see `TrainConfig`.

    Attributes:
        anchors: Anchors per pair that are learnt from, at most half of them positive.
        proposals: Boxes per pair that the coarse stage proposes to the fine one.
        proposal_overlap: IoU from which on of two of them the worse is left out.
        jittered: Boxes near the target that are added to them.
        impostors: Weight of the fine stage's loss on templates of other pairs.
        fine_box: Weight of the fine stage's box, whose features the score shares.
    """

    batch: int = 24
    average: float = 0.997
    anchors: int = 48
    proposals: int = 8
    proposal_overlap: float = COMPACT.candidate_overlap
    jittered: int = 4
    impostors: float = 0.5
    fine_box: float = 0.3
    # boxes turn little, so that they stay tight
    pairs: Pairs = field(
        default_factory=lambda: PairConfig(
            template_size=CompactNetwork.template_size,
            object_size=CompactNetwork.exemplar_size / 2,
            context=COMPACT.context,
            size_jitter=1.1,
            scale=1.35,
            angle=0.07,
            stretch=0.13,
            sources=(0.15, 0.35, 0.35, 0.15),
            seed=11,
        )
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        size = CompactNetwork.template_size
        if self.pairs.template_size != size or self.pairs.search_size % 16 != 1:
            raise ParameterError(
                f'pairs.template_size must be {size} and pairs.search_size 16 k + 1, not '
                f'{self.pairs.template_size} and {self.pairs.search_size}'
            )


def encode(anchors: Tensor, boxes: Tensor) -> Tensor:
    """The deltas with which `decode` makes `boxes` (..., 4), corners, of `anchors` (..., 4)."""
    centers = (boxes[..., :2] + boxes[..., 2:]) / 2
    sizes = (boxes[..., 2:] - boxes[..., :2]).clamp(min=1e-3)
    shift = (centers - anchors[..., :2]) / anchors[..., 2:]
    growth = (sizes / anchors[..., 2:]).log().clamp(-LARGEST_GROWTH, LARGEST_GROWTH)
    return torch.cat([shift, growth], dim=-1)


def corners(boxes: Tensor) -> Tensor:
    """x, y, w, h as corners."""
    return torch.cat([boxes[..., :2], boxes[..., :2] + boxes[..., 2:]], dim=-1)


def binary_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy, positives and negatives weighing the same in all, in all processes."""
    losses = F.binary_cross_entropy_with_logits(logits, labels.to(logits), reduction='none')
    return 0.5 * (mean_of(losses, labels) + mean_of(losses, ~labels))


def coarse_loss(
    cls: Tensor,
    deltas: Tensor,
    anchors: Tensor,
    targets: Tensor,
    batch: Mapping[str, Tensor],
    count: int,
    draws: Draws,
) -> tuple[Tensor, Tensor]:
    """Losses of the class and the box branch.

    Args:
        cls: (N, A) logits, foreground minus background.
        deltas: (N, A, 4).
        anchors: (A, 4) centre, width, height.
        targets: (N, 4) corners.
        batch: Which targets are alike, the same, and have boxes that are learnt; what else in the
            crop is like them.
        count: Anchors per pair.
        draws: Chance.
    """
    half = anchors[:, 2:] / 2
    boxes = torch.cat([anchors[:, :2] - half, anchors[:, :2] + half], dim=1)
    overlap = overlaps(boxes.expand(len(cls), -1, -1), targets, pixel=0.0)  # (N, A)
    positive = overlap >= 0.6
    positive.scatter_(1, overlap.argmax(dim=1, keepdim=True), True)
    is_alike = batch['alike'][:, None] > 0
    positive &= is_alike
    others = corners(batch['others']).unbind(1)  # (N, 4) each
    kin = torch.stack([overlaps(boxes.expand(len(cls), -1, -1), o, pixel=0.0) for o in others])
    of_target, positive = positive, positive | (kin.amax(dim=0) >= 0.6)
    negative = (torch.maximum(overlap, kin.amax(dim=0)) <= 0.3) & ~positive | ~is_alike

    chance = draws.uniform(overlap.shape[1])
    order, rows = chance.masked_fill(~positive, -1.0).topk(count // 2, dim=1)
    chosen = torch.zeros_like(positive).scatter_(1, rows, order >= 0)
    # negatives at random, the mistaken ones more likely (Gumbel noise on the logits)
    noise = -torch.log(-torch.log(chance.clamp(1e-6, 1 - 1e-6)))
    order = (cls.detach() + 2 * noise).masked_fill(~negative, -torch.inf)
    order, rows = order.topk(count // 2, dim=1)
    chosen.scatter_(1, rows, order.isfinite())

    labels = chosen & positive
    cls_loss = binary_loss(cls[chosen], labels[chosen])
    wanted = encode(anchors, targets[:, None].expand(-1, len(anchors), -1))
    box_loss = F.smooth_l1_loss(deltas, wanted, beta=0.1, reduction='none').sum(dim=-1)
    teaches = batch['has_edges'] * batch['same']
    return cls_loss, mean_of(box_loss, (labels & of_target) * teaches[:, None])


def jitter(targets: Tensor, count: int, draws: Draws) -> Tensor:
    """Boxes near targets (N, 4): (N, count, 4) corners."""
    boxes = targets[:, None].expand(-1, count, -1)
    centers, sizes = (boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]
    centers = centers + 0.15 * draws.normal(count, 2) * sizes
    half = sizes * (0.15 * draws.normal(count, 2)).exp() / 2
    return torch.cat([centers - half, centers + half], dim=-1)


class SpmLearner(nn.Module):
    """A network and its losses."""

    anchors: Tensor
    fine_scale: Tensor

    def __init__(self, network: CompactNetwork | PaperNetwork, config: SpmTraining) -> None:
        super().__init__()
        self.network, self.config = network, config
        if isinstance(network, CompactNetwork):
            anchors = network.anchors(config.pairs.search_size)
        else:
            anchors = network.anchors()
        self.register_buffer('anchors', anchors)
        self.register_buffer('fine_scale', torch.tensor(FINE_DELTA_SCALE))
        # spread as far as in tracking, so that distractors are among them
        self.proposing = replace(
            COMPACT,
            candidates=config.proposals,
            candidate_score=0.0,
            candidate_overlap=config.proposal_overlap,
        )

    def losses(self, z_maps: Maps, x_maps: Maps, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See `MapLearner`."""
        network = self.network
        assert isinstance(network, CompactNetwork)
        coarse = network.coarse_template(z_maps[1], corners(batch['template_box']))
        found = network.match(coarse, network.searched(x_maps[1]))
        return self.of_both_stages(found, z_maps, x_maps, batch)

    def of_both_stages(
        self,
        found: tuple[Tensor, Tensor],
        z_maps: Sequence[Tensor],
        x_maps: Sequence[Tensor],
        batch: Mapping[str, Tensor],
    ) -> dict[str, Tensor]:
        """The losses from what the coarse stage found and the maps that the fine stage sees."""
        network, config = self.network, self.config
        draws = Draws(batch['number'])
        template_boxes, targets = corners(batch['template_box']), corners(batch['search_box'])
        logits, deltas = flatten_maps(*found)
        coarse_cls, coarse_box = coarse_loss(
            logits, deltas, self.anchors, targets, batch, config.anchors, draws
        )

        with torch.no_grad():
            boxes = decode(self.anchors, deltas)
            chosen, _ = select_candidates(boxes, logits.sigmoid(), targets, self.proposing)
            proposals = boxes.gather(1, chosen[:, :, None].expand(-1, -1, 4))
            near = jitter(targets, config.jittered, draws)
            proposals = torch.cat([proposals, near], dim=1)
            is_target = overlaps(proposals, targets, pixel=0.0) >= 0.5
            is_target &= batch['same'][:, None] > 0
        features = network.fine.feat_extractor(x_maps, network.cells(proposals))
        template = network.fine.template(z_maps, network.cells(template_boxes))
        logits, deltas = self.compare(template, features)
        fine_cls = binary_loss(logits, is_target)
        wanted = encode(as_anchors(proposals), targets[:, None].expand_as(proposals))
        wanted = wanted * self.fine_scale
        errors = F.smooth_l1_loss(deltas, wanted, reduction='none').sum(dim=-1)
        fine_box = mean_of(errors, is_target * batch['has_edges'][:, None])
        losses = {
            'coarse_cls': coarse_cls,
            'coarse_box': 2 * coarse_box,
            'fine_cls': fine_cls,
            'fine_box': config.fine_box * fine_box,
        }
        if config.impostors:
            near = features[:, -config.jittered - 1 :]  # what one would be mistaken for
            logits, _ = self.compare(template.roll(1, dims=0), near)
            losses['impostor'] = config.impostors * F.softplus(logits).mean()
        return losses

    def compare(self, template: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (N, K), target minus rest, and deltas (N, K, 4)."""
        logits, deltas = self.network.fine.compare(template, features)
        logits = logits.float()
        return logits[..., 1] - logits[..., 0], deltas.float()


def as_network_wants(network: CompactNetwork | PaperNetwork, images: Tensor) -> Tensor:
    """Crops (N, 3, H, W), RGB 0 to 255, as the network's own `crop` makes them."""
    if isinstance(network, CompactNetwork):
        return images
    return images - network.mean_color[:, None, None]


@torch.no_grad()
def measure_maps(network: CompactNetwork | PaperNetwork, sampler: Sampler) -> None:
    """Set the statistics of the fine stage's batch norms from some search crops."""
    norms = network.fine.feat_extractor.norms
    sums = [torch.zeros(3, norm.num_features) for norm in norms]
    source = batches(sampler, MEASURED_BATCH)
    for _ in range(MEASURED_BATCHES):
        images = to_device(next(source), torch.device('cpu'))['search']
        _, maps = network.extract(as_network_wants(network, images))
        for total, features in zip(sums, maps, strict=True):
            x = features.float().transpose(0, 1).flatten(1)
            total += torch.stack([x.sum(1), x.square().sum(1), torch.full((len(x),), x.shape[1])])
    for total, norm in zip(sums, norms, strict=True):
        mean = total[0] / total[2]
        running_mean, running_variance = statistics(norm)
        running_mean.copy_(mean)
        running_variance.copy_(total[1] / total[2] - mean.square())


@torch.no_grad()
def check(
    network: CompactNetwork | PaperNetwork,
    footage: Footage,
    device: torch.device,
    pairs: Pairs,
    config: SpmConfig = COMPACT,
) -> dict[str, float]:
    """How one search per pair fares without the window: the box, and its raw score for the pair's
    own and for another pair's template."""
    size = network.search_size
    anchors = network.anchors().to(device)
    scale = torch.tensor(FINE_DELTA_SCALE, device=device)
    ious: list[Tensor] = []
    scores: list[Tensor] = []
    impostors: list[Tensor] = []
    for batch in held_out_batches(footage, pairs, device):
        targets, template_boxes = corners(batch['search_box']), corners(batch['template_box'])
        z, z_maps = network.extract(as_network_wants(network, batch['template']))
        x, x_maps = network.look(as_network_wants(network, batch['search']))
        coarse = network.coarse_template(z, template_boxes)
        fine = network.fine.template(z_maps, network.cells(template_boxes))
        for roll, found in ((0, scores), (1, impostors)):
            cls, deltas = network.match(tuple(part.roll(roll, 0) for part in coarse), x)
            logits, deltas = flatten_maps(cls, deltas)
            coarse_score = logits.sigmoid()
            boxes = decode(anchors, deltas)
            last = torch.full_like(targets, size / 2)
            last += torch.tensor([-28.0, -28.0, 28.0, 28.0], device=device)
            chosen, valid = select_candidates(boxes, coarse_score, last, config)
            candidates = boxes.gather(1, chosen[:, :, None].expand(-1, -1, 4))
            logits, deltas = network.fine(fine.roll(roll, 0), x_maps, network.cells(candidates))
            box, score = fuse(
                coarse_score.gather(1, chosen),
                candidates,
                logits.softmax(dim=2)[:, :, 1],
                decode(as_anchors(candidates), deltas / scale),
                torch.zeros_like(chosen, dtype=torch.float32),
                valid,
                replace(config, window_influence=0.0),
            )
            found.append(score)
            if roll == 0:
                ious.append(overlaps(box[:, None], targets, pixel=0.0)[:, 0])
    return search_figures(torch.cat(ious), torch.cat(scores), torch.cat(impostors))


def begin(network: CompactNetwork | PaperNetwork, config: TrainConfig, footage: Footage) -> None:
    """Fit the fine stage to the backbone's maps."""
    measure_maps(network, make_sampler(footage, config.pairs))


def heads(network: CompactNetwork) -> nn.ModuleDict:
    """All but the backbone."""
    return nn.ModuleDict({'cls': network.cls, 'box': network.box, 'fine': network.fine})


HEAD = Head(
    name='spm',
    title='compact heads of SPM-Tracker',
    about='both stages of SPM-Tracker, compact or as published',
    config=SpmTraining,
    network=CompactNetwork,
    backbone=lambda network: network.backbone,
    heads=heads,
    learner=SpmLearner,
    begin=begin,
    check=check,
    checked={'search_size': CompactNetwork.search_size, 'shift': 80.0},
    shown=('mean_iou', 'success_at_half', 'score_of_impostors'),
    shown_together='mean_iou',
    weight=1.0,
    share=0.03,
    on_gpu={'batch': 128, 'learning_rate': 2.5e-3, 'average': 0.999},
    pairs_on_gpu={'search_size': 225, 'shift': 80.0, 'alike': 0.4},
)

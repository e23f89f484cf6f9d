# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Training of SPM-Tracker's compact heads, both stages at once, on the frozen compact backbone.

The coarse stage learns to score and to move the anchors that overlap the target (section 3.2 of
the paper: positives from an IoU of 0.6, negatives up to 0.3). The fine stage learns on what the
coarse one proposes, and on boxes near the target, to tell the target from the rest and to refine
its box (section 3.3: positives from an IoU of 0.5). The templates of other pairs are negatives for
the fine stage; categories, which the paper's coarse stage learns from, these photos do not have.

    tracker train spm --config config/train_backbone.yaml --data PHOTOS --out DIR --minutes 12
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
import copy
from dataclasses import dataclass, replace
import json
from pathlib import Path
import time

import torch
from torch import nn, Tensor
import torch.nn.functional as F
from tqdm import tqdm

from tracker_core.errors import ParameterError
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
from tracker_core.spm.tracker import FINE_DELTA_SCALE
from tracker_core.training.backbone import batches, has_fast_bfloat16, read_config, to_device
from tracker_core.training.data import load_pool, PairConfig, PairSampler, Pool
from tracker_core.weights import load_into, read_weight_file, save_safetensors
from tracker_core.weights.registry import BUNDLED_FOLDER


@dataclass(frozen=True)
class SpmTraining:
    """One training run.

    Attributes:
        batch: Pairs per step.
        learning_rate: Its peak; it rises over the first 3 % and falls to zero by half a cosine.
        weight_decay: Of AdamW.
        average: Decay per step of the running average of the weights, which is what is saved.
        anchors: Anchors per pair that are learnt from, at most half of them positive.
        proposals: Boxes per pair that the coarse stage proposes to the fine one.
        jittered: Boxes near the target that are added to them.
        impostors: Weight of the fine stage's loss on templates of other pairs.
    """

    batch: int = 32
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    average: float = 0.998
    anchors: int = 48
    proposals: int = 8
    jittered: int = 4
    impostors: float = 0.5


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
    """Cross-entropy, positives and negatives weighing the same in all."""
    losses = F.binary_cross_entropy_with_logits(logits, labels.to(logits), reduction='none')
    positive, negative = losses[labels], losses[~labels]
    return 0.5 * (positive.sum() / max(len(positive), 1) + negative.sum() / max(len(negative), 1))


def coarse_loss(
    cls: Tensor, deltas: Tensor, anchors: Tensor, targets: Tensor, count: int
) -> tuple[Tensor, Tensor]:
    """Losses of the class and the box branch.

    Args:
        cls: (N, A) logits, foreground minus background.
        deltas: (N, A, 4).
        anchors: (A, 4) centre, width, height.
        targets: (N, 4) corners.
        count: Anchors per pair.
    """
    half = anchors[:, 2:] / 2
    boxes = torch.cat([anchors[:, :2] - half, anchors[:, :2] + half], dim=1)
    overlap = overlaps(boxes.expand(len(cls), -1, -1), targets, pixel=0.0)  # (N, A)
    positive = overlap >= 0.6
    positive.scatter_(1, overlap.argmax(dim=1, keepdim=True), True)
    negative = (overlap <= 0.3) & ~positive

    chance = torch.rand_like(overlap)
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
    box_loss = F.smooth_l1_loss(deltas[labels], wanted[labels], beta=0.1, reduction='none')
    return cls_loss, box_loss.sum(dim=-1).mean()


def jitter(targets: Tensor, count: int) -> Tensor:
    """Boxes near targets (N, 4): (N, count, 4) corners."""
    boxes = targets[:, None].expand(-1, count, -1)
    centers, sizes = (boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]
    centers = centers + 0.15 * torch.randn_like(centers) * sizes
    half = sizes * (0.15 * torch.randn_like(sizes)).exp() / 2
    return torch.cat([centers - half, centers + half], dim=-1)


class SpmLearner(nn.Module):
    """The compact network and its losses."""

    def __init__(self, network: CompactNetwork, training: SpmTraining, pairs: PairConfig) -> None:
        super().__init__()
        self.network, self.training_config = network, training
        self.register_buffer('anchors', network.anchors(pairs.search_size))
        self.register_buffer('fine_scale', torch.tensor(FINE_DELTA_SCALE))
        self.proposing = SpmConfig(
            candidates=training.proposals, candidate_score=0.0, candidate_overlap=0.75
        )

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The losses of a batch of pairs, by name."""
        network, training = self.network, self.training_config
        template_boxes, targets = corners(batch['template_box']), corners(batch['search_box'])
        with torch.no_grad():
            z, z_maps = network.extract(batch['template'])
            x, x_maps = network.extract(batch['search'])

        logits, deltas = flatten_maps(
            *network.match(network.coarse_template(z, template_boxes), x)
        )
        coarse_cls, coarse_box = coarse_loss(
            logits, deltas, self.anchors, targets, training.anchors
        )

        with torch.no_grad():
            boxes = decode(self.anchors, deltas)
            chosen, _ = select_candidates(boxes, logits.sigmoid(), targets, self.proposing)
            proposals = boxes.gather(1, chosen[:, :, None].expand(-1, -1, 4))
            proposals = torch.cat([proposals, jitter(targets, training.jittered)], dim=1)
            is_target = overlaps(proposals, targets, pixel=0.0) >= 0.5
        features = network.fine.feat_extractor(x_maps, network.cells(proposals))
        template = network.fine.template(z_maps, network.cells(template_boxes))
        logits, deltas = self.compare(template, features)
        fine_cls = binary_loss(logits, is_target)
        wanted = encode(as_anchors(proposals), targets[:, None].expand_as(proposals))
        wanted = wanted * self.fine_scale
        fine_box = F.smooth_l1_loss(deltas[is_target], wanted[is_target], reduction='none')
        near = features[:, -training.jittered - 1 :]  # what an impostor would be mistaken for
        logits, _ = self.compare(template.roll(1, dims=0), near)
        impostor = F.softplus(logits).mean()
        return {
            'coarse_cls': coarse_cls,
            'coarse_box': 2 * coarse_box,
            'fine_cls': fine_cls,
            'fine_box': fine_box.sum(dim=-1).mean() if is_target.any() else 0 * fine_box.sum(),
            'impostor': training.impostors * impostor,
        }

    def compare(self, template: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (N, K), target minus rest, and deltas (N, K, 4)."""
        fine = self.network.fine
        x = fine.siam_fusion(template, features)
        logits = fine.rcnn_cls(x).float()
        return logits[..., 1] - logits[..., 0], fine.rcnn_bbox(x).float()


@torch.no_grad()
def measure_maps(network: CompactNetwork, source: Iterator[dict[str, Tensor]], count: int) -> None:
    """Set the statistics of the fine stage's batch norms from `count` batches of search crops."""
    sums = [torch.zeros(3, norm.num_features) for norm in network.fine.feat_extractor.bn_list]
    for _ in range(count):
        _, maps = network.extract(next(source)['search'].float())
        for total, features in zip(sums, maps, strict=True):
            x = features.float().transpose(0, 1).flatten(1)
            total += torch.stack([x.sum(1), x.square().sum(1), torch.full((len(x),), x.shape[1])])
    for total, norm in zip(sums, network.fine.feat_extractor.bn_list, strict=True):
        mean = total[0] / total[2]
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(total[1] / total[2] - mean.square())


@torch.no_grad()
def held_out_results(
    network: CompactNetwork,
    source: Iterator[dict[str, Tensor]],
    pairs: PairConfig,
    device: torch.device,
    count: int,
    config: SpmConfig = COMPACT,
) -> tuple[Tensor, Tensor, Tensor]:
    """IoU and raw score of one search per pair, and the raw score for another pair's template."""
    anchors = network.anchors(pairs.search_size).to(device)
    scale = torch.tensor(FINE_DELTA_SCALE, device=device)
    ious, scores, impostors = [], [], []
    for _ in range(count):
        batch = to_device(next(source), device)
        targets, template_boxes = corners(batch['search_box']), corners(batch['template_box'])
        z, z_maps = network.extract(batch['template'])
        x, x_maps = network.extract(batch['search'])
        coarse = network.coarse_template(z, template_boxes)
        fine = network.fine.template(z_maps, network.cells(template_boxes))
        for roll, found in ((0, scores), (1, impostors)):
            cls, deltas = network.match(tuple(part.roll(roll, 0) for part in coarse), x)
            logits, deltas = flatten_maps(cls, deltas)
            coarse_score = logits.sigmoid()
            boxes = decode(anchors, deltas)
            last = torch.full_like(targets, pairs.search_size / 2)
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
                config,
            )
            found.append(score)
            if roll == 0:
                ious.append(overlaps(box[:, None], targets, pixel=0.0)[:, 0])
    return torch.cat(ious), torch.cat(scores), torch.cat(impostors)


def rate(training: SpmTraining, progress: float) -> float:
    """Learning rate at a progress in [0, 1]."""
    if progress < 0.03:
        return training.learning_rate * max(progress, 1e-3) / 0.03
    cosine = torch.cos(torch.tensor(min(progress, 1.0) * torch.pi))
    return training.learning_rate * 0.5 * (1 + float(cosine))


def train(
    pool: Pool,
    backbone: Mapping[str, Tensor],
    training: SpmTraining,
    pairs: PairConfig,
    minutes: float = 0.0,
    steps: int = 0,
    device: str | torch.device = 'cpu',
    workers: int = 0,
    progress: bool = True,
    heads: Mapping[str, Tensor] | None = None,
) -> CompactNetwork:
    """Train the heads until the time is up or the steps are done, whichever is given.

    Args:
        pool: Photographs to learn from.
        backbone: Weights of the backbone.
        training: The run.
        pairs: How pairs are cut and changed; its seed is the seed of everything.
        minutes: Time budget.
        steps: Number of steps.
        device: Where to compute.
        workers: Processes that make pairs; 0 makes them in this one.
        progress: Show a progress bar.
        heads: Weights to start from instead of random ones.

    Returns:
        The network with the averaged weights, in inference mode.
    """
    if (minutes > 0) == (steps > 0):
        raise ParameterError('give either minutes or steps, above zero')
    torch.manual_seed(pairs.seed)
    device = torch.device(device)
    source = batches(PairSampler(pool, pairs), training.batch, 0, workers)
    network = CompactNetwork()
    load_into(network.backbone, backbone, 'the backbone')
    if heads is not None:
        whole = {f'backbone.{key}': value for key, value in backbone.items()}
        load_into(network, {**whole, **heads}, 'heads to start from')
    measure_maps(network, source, 8)
    learner = SpmLearner(network, training, pairs).to(device)
    averaged = copy.deepcopy(network).eval().requires_grad_(False)
    network.backbone.requires_grad_(False)
    optimizer = torch.optim.AdamW(
        [p for p in network.parameters() if p.requires_grad],
        lr=training.learning_rate,
        weight_decay=training.weight_decay,
    )
    start, step = time.monotonic(), 0
    bar = tqdm(total=steps or round(minutes * 60), desc='training', disable=not progress)
    smoothed: dict[str, float] = {}
    while True:
        seconds = time.monotonic() - start
        done = step / steps if steps else seconds / (minutes * 60)
        if done >= 1:
            break
        for group in optimizer.param_groups:
            group['lr'] = rate(training, done)
        batch = to_device(next(source), device)
        with torch.autocast(device.type, torch.bfloat16, enabled=has_fast_bfloat16(device)):
            losses = learner(batch)
        loss = sum(losses.values())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()
        step += 1
        decay = min(training.average, step / (step + 10))
        with torch.no_grad():
            for mean, value in zip(
                averaged.state_dict().values(), network.state_dict().values(), strict=True
            ):
                mean.lerp_(value, 1 - decay) if mean.is_floating_point() else mean.copy_(value)
        if not torch.isfinite(loss):
            raise ParameterError(f'the loss is {float(loss)} at step {step}: lower learning_rate')
        for name, value in losses.items():
            smoothed[name] = 0.98 * smoothed.get(name, value.item()) + 0.02 * value.item()
        bar.update((step if steps else round(seconds)) - bar.n)
        if step % 20 == 0:
            text = ', '.join(f'{name} {value:.3f}' for name, value in smoothed.items())
            bar.set_postfix_str(f'step {step}: {text}', refresh=False)
    bar.close()
    return averaged


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `tracker train spm`."""
    parser.add_argument(
        '--data', required=True, metavar='DIR', help='folder of photos, read with its subfolders'
    )
    parser.add_argument('--out', required=True, metavar='DIR', help='folder for the weights')
    parser.add_argument(
        '--config', metavar='FILE', help="the backbone's config, for its photos and pairs"
    )
    parser.add_argument(
        '--backbone', metavar='FILE', help='weights of the backbone (default: the bundled ones)'
    )
    parser.add_argument(
        '--start', metavar='FILE', help='heads to go on from, trained on this or another backbone'
    )
    parser.add_argument('--minutes', type=float, default=0.0, help='time budget')
    parser.add_argument('--steps', type=int, default=0, help='number of steps instead of a time')
    parser.add_argument('--seed', type=int, default=11, help='(default: %(default)s)')
    parser.add_argument('--device', default='auto', help="'auto', 'cpu', 'cuda', ...")
    parser.add_argument('--threads', type=int, default=0, help='compute threads')
    parser.add_argument(
        '--workers', type=int, default=1, help='processes that make pairs (default: %(default)s)'
    )


def run(args: argparse.Namespace) -> int:
    """`tracker train spm`."""
    import cv2

    cv2.setNumThreads(1)
    if args.threads:
        torch.set_num_threads(args.threads)
    device = args.device
    if device == 'auto':
        device = 'cuda' if torch.cuda.is_available() else 'cpu'
    config = read_config(args.config)
    pairs = replace(config.pairs, seed=args.seed)
    training = SpmTraining()
    backbone = args.backbone or BUNDLED_FOLDER / 'compact_backbone.safetensors'
    pool = load_pool(args.data, 'train', config.video_folders, progress=True)
    network = train(
        pool,
        read_weight_file(backbone),
        training,
        pairs,
        args.minutes,
        args.steps,
        device,
        args.workers,
        heads=read_weight_file(args.start) if args.start else None,
    )

    checking = replace(pairs, search_size=CompactNetwork.search_size, seed=987_654_321)
    held_out = load_pool(args.data, 'held_out', config.video_folders)
    source = batches(PairSampler(held_out, checking), 16)
    ious, scores, impostors = held_out_results(network, source, checking, torch.device(device), 24)
    results = {
        'mean_iou': float(ious.mean()),
        'success_at_half': float((ious >= 0.5).float().mean()),
        'score_when_right': float(scores[ious >= 0.5].mean()),
        'score_when_wrong': float(scores[ious < 0.5].mean()),
        'score_of_impostors': float(impostors.mean()),
    }
    print(json.dumps(results, indent=1))
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    state = {
        key: value
        for key, value in network.state_dict().items()
        if not key.startswith('backbone.') and not key.endswith('num_batches_tracked')
    }
    card = {
        'name': 'compact heads of SPM-Tracker',
        'license': 'Apache-2.0',
        'data': config.data,
        'minutes': args.minutes,
        'steps': args.steps,
        'went_on_from_earlier_heads': bool(args.start),
        'held_out': results,
    }
    save_safetensors(state, out / 'compact_spm.safetensors', {'card': json.dumps(card)})
    return 0

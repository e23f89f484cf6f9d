# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Training of ATOM's overlap predictor on the frozen compact backbone.

Section 3.1 of the paper: boxes are drawn around the target in the search crop, and the predictor
learns the overlap of each, given the target's appearance in the template crop. Its answer is
trained towards 2 IoU - 1 by the mean square of the error. The classifier needs no training; it is
learnt online.

    tracker train atom --config config/train_backbone.yaml --data PHOTOS --out DIR --minutes 12
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
import copy
from dataclasses import dataclass, replace
import json
import math
from pathlib import Path
import time

import torch
from torch import nn, Tensor
import torch.nn.functional as F
from tqdm import tqdm

from tracker_core.atom.config import COMPACT
from tracker_core.atom.network import AtomNetwork, IouAscent, IouPredictor
from tracker_core.atom.tracker import propose
from tracker_core.errors import ParameterError
from tracker_core.training.backbone import batches, has_fast_bfloat16, read_config, to_device
from tracker_core.training.data import load_pool, PairConfig, PairSampler, Pool
from tracker_core.weights import load_into, read_weight_file, save_safetensors
from tracker_core.weights.registry import BUNDLED_FOLDER

DEVIATIONS = (0.01, 0.05, 0.1, 0.2, 0.3)  # of drawn boxes, target sizes
SMALLEST_IOU = 0.1  # of drawn boxes


@dataclass(frozen=True)
class AtomTraining:
    """One training run.

    Attributes:
        batch: Pairs per step.
        boxes: Drawn boxes per pair.
        learning_rate: Its peak; it rises over the first 3 % and falls to zero by half a cosine.
        weight_decay: Of AdamW.
        average: Decay per step of the running average of the weights, which is what is saved.
        search_size: Side of the search crops in pixels; the target's surroundings are enough.
        shift: The target's centre lies at most so far from the middle, in pixels.
    """

    batch: int = 32
    boxes: int = 16
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    average: float = 0.998
    search_size: int = 161
    shift: float = 28.0


def overlap(boxes: Tensor, targets: Tensor) -> Tensor:
    """IoU of boxes (N, B, 4) with targets (N, 4), all x, y, w, h: (N, B)."""
    targets = targets[:, None]
    low = torch.maximum(boxes[..., :2], targets[..., :2])
    high = torch.minimum(boxes[..., :2] + boxes[..., 2:], targets[..., :2] + targets[..., 2:])
    shared = (high - low).clamp(min=0).prod(dim=-1)
    union = boxes[..., 2:].prod(dim=-1) + targets[..., 2:].prod(dim=-1) - shared
    return shared / union


def draw_boxes(targets: Tensor, count: int, tries: int = 30) -> Tensor:
    """Boxes of all qualities around targets (N, 4): (N, count, 4), overlapping by 0.1 or more.

    Those that overlap less are drawn again with a tenth less deviation.
    """
    n = len(targets)
    sizes = targets[:, None, 2:].expand(-1, count, -1)
    centers = (targets[:, :2] + targets[:, 2:] / 2)[:, None]
    deviations = torch.tensor(DEVIATIONS, device=targets.device)
    deviation = deviations[torch.randint(len(DEVIATIONS), (n, count), device=targets.device)]
    deviation = (deviation * sizes.prod(dim=2).sqrt())[..., None]
    boxes = targets[:, None].expand(-1, count, -1)
    again = torch.ones(n, count, dtype=torch.bool, device=targets.device)
    for _ in range(tries):
        noise = torch.randn(n, count, 4, device=targets.device) * deviation
        wanted = sizes + noise[..., 2:]
        small = sizes * (0.15 + 0.35 * torch.rand_like(sizes))
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
    """Backbone, predictor and loss."""

    def __init__(self, network: AtomNetwork, training: AtomTraining, use_bf16: bool) -> None:
        super().__init__()
        self.network, self.training_options, self.use_bf16 = network, training, use_bf16

    def inputs(self, batch: Mapping[str, Tensor]) -> tuple[tuple[Tensor, Tensor], ...]:
        """Backbone maps of templates and of search crops, float32."""
        device = batch['template'].device
        with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=self.use_bf16):
            pairs = [self.network.extract(batch[name]) for name in ('template', 'search')]
        return tuple((middle.float(), deep.float()) for middle, deep in pairs)

    def condition(
        self, predictor: IouPredictor, batch: Mapping[str, Tensor]
    ) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Test features and modulation of a batch."""
        template, search = self.inputs(batch)
        modulation = predictor.modulation(*template, into_index(batch['template_box']))
        with torch.autocast(search[0].device.type, torch.bfloat16, enabled=self.use_bf16):
            features = predictor.features(*search)
        return tuple(maps.float() for maps in features), modulation

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """The loss of a batch as `PairDataset` makes it."""
        predictor = self.network.bb_regressor
        targets = into_index(batch['search_box'])
        boxes = draw_boxes(targets, self.training_options.boxes)
        predicted = predictor(*self.condition(predictor, batch), boxes)
        return F.mse_loss(predicted, 2 * overlap(boxes, targets) - 1)


def initialize(predictor: IouPredictor) -> None:
    """Random weights that keep the signal's size (He et al., 2015)."""
    for module in predictor.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight, mode='fan_in', nonlinearity='relu')
            nn.init.zeros_(module.bias)


def rate(training: AtomTraining, progress: float) -> float:
    """Learning rate at a progress in [0, 1]."""
    if progress < 0.03:
        return training.learning_rate * max(progress, 1e-3) / 0.03
    return training.learning_rate * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


@torch.no_grad()
def held_out_results(
    learner: AtomLearner, source: Iterator[dict[str, Tensor]], count: int
) -> dict[str, float]:
    """How well overlap is predicted, and what the refinement makes of boxes.

    Args:
        learner: With the network in inference mode.
        source: Batches of pairs.
        count: How many to check.

    Returns:
        `error`: mean absolute error of the predicted IoU; `iou_before` and `iou_after`: mean
        overlap of a box that is wrong in place and size by up to an eighth, before and after the
        refinement that the tracker makes.
    """
    predictor = learner.network.bb_regressor
    ascent = IouAscent(predictor)
    generator = torch.Generator().manual_seed(5)
    errors, before, after = [], [], []
    for _ in range(count):
        batch = to_device(next(source), next(predictor.parameters()).device)
        targets = into_index(batch['search_box'])
        features, modulation = learner.condition(predictor, batch)
        boxes = draw_boxes(targets, 16)
        predicted = (predictor(features, modulation, boxes) + 1) / 2
        errors.append((predicted - overlap(boxes, targets)).abs().mean())

        noise = (torch.rand(len(targets), 4, generator=generator) - 0.5).to(targets) / 4
        sizes = targets[:, 2:] * (1 + noise[:, 2:])
        centers = targets[:, :2] + targets[:, 2:] * (0.5 + noise[:, :2])
        draws = torch.rand(len(targets), COMPACT.proposals - 1, 4, generator=generator)
        boxes = propose(centers, sizes, draws.to(targets), COMPACT)
        before.append(overlap(boxes[:, :1], targets).mean())
        maps = ascent.prepare(features, modulation)
        for _ in range(COMPACT.ascent_steps):
            value, gradient = ascent(maps, boxes)
            sides = boxes[..., 2:].repeat(1, 1, 2)
            boxes = boxes + COMPACT.step_length * gradient * sides
        index = value.topk(COMPACT.averaged, dim=1).indices
        best = boxes.gather(1, index[..., None].expand(-1, -1, 4)).mean(dim=1, keepdim=True)
        after.append(overlap(best, targets).mean())
    names = ('error', 'iou_before', 'iou_after')
    return {
        name: round(float(torch.stack(values).mean()), 4)
        for name, values in zip(names, (errors, before, after), strict=True)
    }


def train(
    pool: Pool,
    backbone: Mapping[str, Tensor],
    training: AtomTraining,
    pairs: PairConfig,
    minutes: float = 0.0,
    steps: int = 0,
    device: str | torch.device = 'cpu',
    workers: int = 0,
    progress: bool = True,
) -> AtomLearner:
    """Train the predictor until the time is up or the steps are done, whichever is given.

    Returns:
        The learner with the averaged weights, in inference mode.
    """
    if (minutes > 0) == (steps > 0):
        raise ParameterError('give either minutes or steps, above zero')
    torch.manual_seed(pairs.seed)
    device = torch.device(device)
    # unrotated, so that the boxes stay tight
    pairs = replace(pairs, search_size=training.search_size, shift=training.shift, angle=0.0)
    source = batches(PairSampler(pool, pairs), training.batch, 0, workers)
    network = AtomNetwork(compact=True)
    load_into(network.feature_extractor, backbone, 'the backbone')
    network.feature_extractor.eval().requires_grad_(False)
    initialize(network.bb_regressor)
    network.to(device, memory_format=torch.channels_last)
    learner = AtomLearner(network, training, has_fast_bfloat16(device))
    predictor = network.bb_regressor
    averaged = copy.deepcopy(predictor).requires_grad_(False)
    optimizer = torch.optim.AdamW(
        predictor.parameters(), lr=training.learning_rate, weight_decay=training.weight_decay
    )
    start, step, smoothed = time.monotonic(), 0, 0.0
    bar = tqdm(total=steps or round(minutes * 60), desc='training', disable=not progress)
    while True:
        seconds = time.monotonic() - start
        done = step / steps if steps else seconds / (minutes * 60)
        if done >= 1:
            break
        for group in optimizer.param_groups:
            group['lr'] = rate(training, done)
        loss = learner(to_device(next(source), device))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(predictor.parameters(), 5.0)
        optimizer.step()
        step += 1
        decay = min(training.average, step / (step + 10))
        with torch.no_grad():
            for mean, value in zip(
                averaged.state_dict().values(), predictor.state_dict().values(), strict=True
            ):
                mean.lerp_(value, 1 - decay) if mean.is_floating_point() else mean.copy_(value)
        if not torch.isfinite(loss):
            raise ParameterError(f'the loss is {float(loss)} at step {step}: lower learning_rate')
        smoothed = 0.98 * smoothed + 0.02 * float(loss.detach())
        bar.update((step if steps else round(seconds)) - bar.n)
        if step % 20 == 0:
            mean = smoothed / (1 - 0.98**step)
            bar.set_postfix_str(f'step {step}, loss {mean:.4f}', refresh=False)
    bar.close()
    network.bb_regressor = averaged
    return learner.eval()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `tracker train atom`."""
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
    parser.add_argument('--minutes', type=float, default=0.0, help='time budget')
    parser.add_argument('--steps', type=int, default=0, help='number of steps instead of a time')
    parser.add_argument('--seed', type=int, default=21, help='(default: %(default)s)')
    parser.add_argument('--device', default='auto', help="'auto', 'cpu', 'cuda', ...")
    parser.add_argument('--threads', type=int, default=0, help='compute threads')
    parser.add_argument(
        '--workers', type=int, default=1, help='processes that make pairs (default: %(default)s)'
    )


def run(args: argparse.Namespace) -> int:
    """`tracker train atom`."""
    import cv2

    cv2.setNumThreads(1)
    if args.threads:
        torch.set_num_threads(args.threads)
    device = args.device
    if device == 'auto':
        device = 'cuda' if torch.cuda.is_available() else 'cpu'
    config = read_config(args.config)
    pairs = replace(config.pairs, seed=args.seed)
    training = AtomTraining()
    backbone = args.backbone or BUNDLED_FOLDER / 'compact_backbone.safetensors'
    pool = load_pool(args.data, 'train', config.video_folders, progress=True)
    learner = train(
        pool,
        read_weight_file(backbone),
        training,
        pairs,
        args.minutes,
        args.steps,
        device,
        args.workers,
    )
    held_out = load_pool(args.data, 'held_out', config.video_folders)
    checking = replace(pairs, search_size=257, shift=training.shift, angle=0.0, seed=987_654_321)
    results = held_out_results(learner, batches(PairSampler(held_out, checking), 16), 16)
    print(json.dumps(results, indent=1))
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    state = {
        key: value
        for key, value in learner.network.bb_regressor.state_dict().items()
        if not key.endswith('num_batches_tracked')
    }
    card = {
        'name': "overlap predictor of ATOM's compact preset",
        'license': 'Apache-2.0',
        'data': config.data,
        'minutes': args.minutes,
        'steps': args.steps,
        'held_out': results,
    }
    save_safetensors(state, out / 'compact_atom.safetensors', {'card': json.dumps(card)})
    return 0

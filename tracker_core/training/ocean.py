# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Training of Ocean's compact heads on the frozen compact backbone.

The paper's losses (section 3.3): every cell inside the target regresses its box (logarithm of the
IoU); cells within 16 pixels of the target's centre are positives of the regular-region score; the
object-aware score of each cell shall be the IoU of the box predicted there.

    tracker train ocean --config config/train_backbone.yaml --data PHOTOS --out DIR --minutes 12
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
import copy
from dataclasses import asdict, dataclass, replace
import json
import math
from pathlib import Path
import time

import torch
from torch import nn, Tensor
import torch.nn.functional as F
from tqdm import tqdm

from tracker_core.boxes import Box
from tracker_core.errors import ParameterError
from tracker_core.ocean.config import COMPACT
from tracker_core.ocean.network import cell_offsets, CompactOcean, middle_cells, Prediction
from tracker_core.ocean.tracker import classification
from tracker_core.training.backbone import batches, has_fast_bfloat16, read_config, to_device
from tracker_core.training.data import load_pool, PairConfig, PairSampler, Pool
from tracker_core.weights import load_into, read_weight_file, save_safetensors
from tracker_core.weights.registry import BUNDLED_FOLDER

POSITIVE_RADIUS = 16.0  # pixels


@dataclass(frozen=True)
class OceanTraining:
    """One training run.

    Attributes:
        batch: Pairs per step.
        learning_rate: Its peak; it rises over the first `warmup` of the run and falls to zero by
            half a cosine.
        warmup: Share of the run.
        weight_decay: Of AdamW.
        average: Decay per step of the running average of the weights, which is what is saved.
    """

    batch: int = 24
    learning_rate: float = 2e-3
    warmup: float = 0.05
    weight_decay: float = 0.01
    average: float = 0.99

    def rate(self, progress: float) -> float:
        """Learning rate at a progress in [0, 1]."""
        if progress < self.warmup:
            return self.learning_rate * max(progress, 1e-3) / self.warmup
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


def ocean_losses(prediction: Prediction, boxes: Tensor, side: int) -> dict[str, Tensor]:
    """The three losses of the paper, which weigh the same.

    Args:
        prediction: Of the networks.
        boxes: (N, 4) the targets, x, y, w, h in pixels of the search crop.
        side: Of the search crop, pixels.
    """
    n = prediction.logits.shape[-1]
    cells = cell_offsets(n, boxes.device) + side / 2
    x1, y1 = boxes[:, 0, None, None], boxes[:, 1, None, None]
    x2, y2 = x1 + boxes[:, 2, None, None], y1 + boxes[:, 3, None, None]
    xs, ys = cells.expand(len(boxes), n, n), cells[:, None].expand(len(boxes), n, n)
    truth = torch.stack((xs - x1, ys - y1, x2 - xs, y2 - ys), 1)  # (N, 4, n, n)

    middle = torch.hypot(xs - (x1 + x2) / 2, ys - (y1 + y2) / 2) <= POSITIVE_RADIUS
    inside = truth.amin(1) > 0
    overlap = cell_overlaps(prediction.ltrb, truth.clamp(min=0))
    losses = {
        'box': -overlap[inside].log().mean(),
        'regular': balanced_loss(prediction.logits, middle),
    }
    if prediction.aligned is not None:
        wanted = torch.where(inside, overlap.detach(), torch.zeros_like(overlap))
        losses['aligned'] = F.binary_cross_entropy_with_logits(prediction.aligned, wanted)
    return losses


def cell_overlaps(predicted: Tensor, truth: Tensor) -> Tensor:
    """IoU, softened by one square pixel, of boxes around the same points, (N, 4, n, n) each."""
    shared = torch.minimum(predicted, truth)
    intersection = (shared[:, 0] + shared[:, 2]) * (shared[:, 1] + shared[:, 3])
    areas = [(b[:, 0] + b[:, 2]) * (b[:, 1] + b[:, 3]) for b in (predicted, truth)]
    return (intersection + 1) / (areas[0] + areas[1] - intersection + 1)


def balanced_loss(logits: Tensor, positive: Tensor) -> Tensor:
    """Cross-entropy; all positives weigh as much as all negatives."""
    losses = F.binary_cross_entropy_with_logits(logits, positive.to(logits), reduction='none')
    count = positive.sum()
    share = torch.where(positive, 1 / count.clamp(min=1), 1 / (~positive).sum().clamp(min=1))
    return 0.5 * (losses * share).sum()


def new_network(backbone: Mapping[str, Tensor], source: str) -> CompactOcean:
    """A network with untrained heads, whose boxes begin at about the target's size."""
    network = CompactOcean()
    load_into(network.backbone, backbone, source)
    network.backbone.eval().requires_grad_(False)
    with torch.no_grad():
        network.heads.box_gain.fill_(1.0)
        network.heads.box_bias.fill_(math.log(COMPACT.template_side / 4))
    return network


def predict(network: CompactOcean, batch: Mapping[str, Tensor]) -> Prediction:
    """Predictions for the pairs of a batch; gradients flow into the heads only."""
    with torch.no_grad():
        template = middle_cells(network.extract(batch['template']))
        search = network.extract(batch['search'])
    return network.heads(search, network.heads.encode(template))


def train(
    pool: Pool,
    network: CompactOcean,
    training: OceanTraining,
    pairs: PairConfig,
    minutes: float = 0.0,
    steps: int = 0,
    device: str | torch.device = 'cpu',
    workers: int = 0,
    progress: bool = True,
) -> CompactOcean:
    """Train the heads until the time is up or the steps are done, whichever is given.

    Returns:
        A network with the averaged weights, in inference mode.

    Raises:
        ParameterError: Both or neither of minutes and steps are given, or the loss is not finite.
    """
    if (minutes > 0) == (steps > 0):
        raise ParameterError('give either minutes or steps, above zero')
    device = torch.device(device)
    source = batches(PairSampler(pool, pairs), training.batch, 0, workers)
    network = network.to(device)
    averaged = copy.deepcopy(network).eval().requires_grad_(False)
    heads = network.heads.train()
    optimizer = torch.optim.AdamW(
        heads.parameters(), lr=training.learning_rate, weight_decay=training.weight_decay
    )
    bar = tqdm(total=steps or round(minutes * 60), desc='training', disable=not progress)
    smoothed: dict[str, float] = {}
    start, step = time.monotonic(), 0
    while True:
        seconds = time.monotonic() - start
        done = step / steps if steps else seconds / (minutes * 60)
        if done >= 1:
            break
        for group in optimizer.param_groups:
            group['lr'] = training.rate(done)
        batch = to_device(next(source), device)
        with torch.autocast(device.type, torch.bfloat16, enabled=has_fast_bfloat16(device)):
            prediction = predict(network, batch)
        losses = ocean_losses(prediction, batch['search_box'], pairs.search_size)
        loss = sum(losses.values())
        if not torch.isfinite(loss):
            raise ParameterError(f'the loss is {float(loss)} at step {step}: lower learning_rate')
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(heads.parameters(), 5.0)
        optimizer.step()
        step += 1
        decay = min(training.average, step / (step + 10))
        with torch.no_grad():
            for mean, value in zip(
                averaged.heads.state_dict().values(), heads.state_dict().values(), strict=True
            ):
                mean.lerp_(value, 1 - decay) if mean.is_floating_point() else mean.copy_(value)
        for name, value in losses.items():
            smoothed[name] = 0.98 * smoothed.get(name, value.item()) + 0.02 * value.item()
        bar.update((step if steps else round(seconds)) - bar.n)
        if step % 20 == 0:
            text = ', '.join(f'{name} {value:.3f}' for name, value in smoothed.items())
            bar.set_postfix_str(f'step {step}: {text}', refresh=False)
    bar.close()
    return averaged


@torch.no_grad()
def held_out_results(
    network: CompactOcean, source: Iterator[dict[str, Tensor]], side: int, count: int
) -> dict[str, float]:
    """How the best cell of one search per pair fares: its box, and its score for the pair's own
    and for another pair's template.

    Args:
        network: In inference mode.
        source: Batches of pairs.
        side: Of the search crop, pixels.
        count: Number of batches.
    """
    device = next(network.parameters()).device
    ious, scores, impostors = [], [], []
    for _ in range(count):
        batch = to_device(next(source), device)
        prediction = predict(network, batch)
        score, cell = classification(prediction, COMPACT).flatten(1).max(1)
        n = prediction.logits.shape[-1]
        cells = cell_offsets(n, device) + side / 2
        x, y = cells[cell % n], cells[cell // n]
        ltrb = prediction.ltrb.flatten(2).gather(2, cell[:, None, None].expand(-1, 4, 1))
        left, top, right, bottom = ltrb[..., 0].unbind(1)
        found = torch.stack((x - left, y - top, x + right, y + bottom), 1).tolist()
        truth = batch['search_box'].tolist()
        ious += [
            Box(x1, y1, x2 - x1, y2 - y1).iou(Box(*box))
            for (x1, y1, x2, y2), box in zip(found, truth, strict=True)
        ]
        scores.append(score)
        batch['template'] = batch['template'].roll(1, 0)
        impostors.append(classification(predict(network, batch), COMPACT).flatten(1).amax(1))
    iou, score = torch.tensor(ious), torch.cat(scores).cpu()
    hit = iou >= 0.5
    return {
        'mean_iou': float(iou.mean()),
        'success_at_half': float(hit.float().mean()),
        'score_when_right': float(score[hit].mean()),
        'score_when_wrong': float(score[~hit].mean()),
        'score_of_impostors': float(torch.cat(impostors).mean()),
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `tracker train ocean`."""
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
        '--heads', metavar='FILE', help='heads to start from (default: untrained ones)'
    )
    parser.add_argument('--minutes', type=float, default=0.0, help='time budget')
    parser.add_argument('--steps', type=int, default=0, help='number of steps instead of a time')
    parser.add_argument(
        '--learning-rate', type=float, default=OceanTraining.learning_rate, help='its peak'
    )
    parser.add_argument('--seed', type=int, default=21, help='(default: %(default)s)')
    parser.add_argument('--device', default='auto', help="'auto', 'cpu', 'cuda', ...")
    parser.add_argument('--threads', type=int, default=0, help='compute threads')
    parser.add_argument(
        '--workers', type=int, default=1, help='processes that make pairs (default: %(default)s)'
    )


def run(args: argparse.Namespace) -> int:
    """`tracker train ocean`."""
    import cv2

    cv2.setNumThreads(1)
    if args.threads:
        torch.set_num_threads(args.threads)
    device = args.device
    if device == 'auto':
        device = 'cuda' if torch.cuda.is_available() else 'cpu'
    config = read_config(args.config)
    pairs = replace(
        config.pairs,
        template_size=COMPACT.template_side,
        search_size=COMPACT.search_side,
        object_size=COMPACT.template_side / 2,
        seed=args.seed,
    )
    training = OceanTraining(learning_rate=args.learning_rate)
    backbone = args.backbone or BUNDLED_FOLDER / 'compact_backbone.safetensors'
    torch.manual_seed(args.seed)
    network = new_network(read_weight_file(backbone), str(backbone))
    if args.heads:
        load_into(network.heads, read_weight_file(args.heads), args.heads)
    pool = load_pool(args.data, 'train', config.video_folders, progress=True)
    network = train(pool, network, training, pairs, args.minutes, args.steps, device, args.workers)
    held_out = load_pool(args.data, 'held_out', config.video_folders)
    source = batches(PairSampler(held_out, replace(pairs, seed=987_654_321)), 16)
    results = held_out_results(network, source, pairs.search_size, 16)
    print(json.dumps(results, indent=1))

    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    state = network.heads.state_dict()
    state = {key: value for key, value in state.items() if not key.endswith('num_batches_tracked')}
    card = {
        'name': 'compact heads of Ocean',
        'license': 'Apache-2.0',
        'data': config.data,
        'minutes': args.minutes,
        'steps': args.steps,
        'continued': bool(args.heads),
        'training': asdict(training),
        'held_out': results,
    }
    save_safetensors(state, out / 'compact_ocean.safetensors', {'card': json.dumps(card)})
    return 0

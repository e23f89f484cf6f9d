# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Training of the compact backbone by matching: find the template in the search crop, and nowhere
else.

A template's features, cut to its object, are correlated with the features of its own search crop
and with those of other pairs of the batch. A softmax over all places of all these crops has to
point at the target (after the fully-convolutional Siamese training of Bertinetto et al., 2016,
section 2, with a cross-entropy over places in the stead of the logistic loss at each). Both maps
of the backbone learn it. The target lies anywhere in the search crop, so zero padding leaves no
bias towards the centre.

    tracker train backbone --data PHOTOS --out DIR --minutes 70
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
import dataclasses
from dataclasses import dataclass, field
from datetime import datetime, timezone
import json
import math
import os
from pathlib import Path
import time
from typing import Any

from safetensors.torch import save_file
import torch
from torch import nn, Tensor
import torch.nn.functional as F
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm
import yaml

from tracker_core.backbones.compact import CompactBackbone, fold_batch_norm, TrainableBackbone
from tracker_core.errors import ParameterError
from tracker_core.training.data import load_pool, PairConfig, PairSampler, Pool

STRIDE = CompactBackbone.stride
KERNEL = 9  # cells of the template that are matched, a window of 72 pixels around its centre
HELD_OUT_PAIRS = 256


@dataclass(frozen=True)
class BackboneConfig:
    """One training run.

    Attributes:
        batch: Pairs per step.
        group: So many pairs of a batch are each other's negatives.
        learning_rate: Its peak; it rises over the first `warmup` of the run and falls to zero by
            half a cosine.
        warmup: Share of the run.
        weight_decay: Of AdamW, on kernels only.
        average: Decay per step of the running average of the weights; the average is what is
            saved.
        middle_weight: Weight of the middle map's loss next to the deep map's.
        label_width: Standard deviation of the label in cells.
        video_folders: Patterns of folders whose images are frames or overlapping views in order.
        data: Names and licences of the photographs, for the card.
        pairs: How pairs are cut and changed; its seed also seeds the weights.
    """

    batch: int = 32
    group: int = 16
    learning_rate: float = 2e-3
    warmup: float = 0.03
    weight_decay: float = 0.02
    average: float = 0.998
    middle_weight: float = 0.5
    label_width: float = 0.6
    video_folders: tuple[str, ...] = ()
    data: str = ''
    pairs: PairConfig = field(default_factory=PairConfig)

    def __post_init__(self) -> None:
        if self.batch < 1 or self.group < 1 or self.batch % self.group:
            raise ParameterError(
                f'batch ({self.batch}) must be a multiple of group ({self.group})'
            )
        if not self.learning_rate > 0:
            raise ParameterError(f'learning_rate must be above zero, not {self.learning_rate}')
        if not 0 <= self.average < 1:
            raise ParameterError(f'average must lie in [0, 1), not {self.average}')
        for name in ('template_size', 'search_size'):
            size = getattr(self.pairs, name)
            if size % (2 * STRIDE) != 1 or size < (KERNEL - 1) * STRIDE + 1:
                raise ParameterError(
                    f'pairs.{name} must be 16 k + 1 and at least {(KERNEL - 1) * STRIDE + 1}, so '
                    f'that a cell lies in the middle; it is {size}'
                )


def read_config(path: str | Path | None) -> BackboneConfig:
    """A BackboneConfig from a YAML file whose keys are its fields; `pairs` is a mapping of
    PairConfig's fields.

    Raises:
        ParameterError: A key is unknown or a value is refused.
    """
    values = yaml.safe_load(Path(path).read_text()) if path else {}
    return config_from(values or {}, str(path))


def config_from(values: Mapping[str, Any], origin: str = 'config') -> BackboneConfig:
    def build(kind: type, entries: Mapping[str, Any]) -> Any:
        known = {field.name for field in dataclasses.fields(kind)}
        for name in entries:
            if name not in known:
                raise ParameterError(
                    f'{origin}: {kind.__name__} has no {name!r}; it has {", ".join(sorted(known))}'
                )
        return kind(
            **{name: tuple(v) if isinstance(v, list) else v for name, v in entries.items()}
        )

    entries = dict(values)
    pairs = build(PairConfig, entries.pop('pairs', {}))
    return build(BackboneConfig, {**entries, 'pairs': pairs})


# ---------------------------------------------------------------------------------------- matching


def object_mask(boxes: Tensor, size: int) -> Tensor:
    """Which cells of the template window lie on the object, softly.

    Args:
        boxes: (N, 4) x, y, w, h in the template crop.
        size: Side of the template crop in pixels.

    Returns:
        (N, 1, KERNEL, KERNEL) weights that sum to one.
    """
    steps = torch.arange(KERNEL, device=boxes.device) - KERNEL // 2
    cells = steps * STRIDE + size / 2  # (K,) centres in pixels

    def cover(low: Tensor, extent: Tensor) -> Tensor:
        near = torch.minimum(cells - low[:, None], low[:, None] + extent[:, None] - cells)
        return (near / STRIDE + 0.5).clamp(0.0, 1.0)  # (N, K)

    mask = (
        cover(boxes[:, 1], boxes[:, 3])[:, :, None] * cover(boxes[:, 0], boxes[:, 2])[:, None, :]
        + 1e-6
    )
    return (mask / mask.sum(dim=(1, 2), keepdim=True))[:, None]


def correlate(template: Tensor, search: Tensor, mask: Tensor) -> Tensor:
    """Correlate every template with every search map.

    Args:
        template: (N, C, h, w) features, h and w odd.
        search: (M, C, H, W) features.
        mask: (N, 1, KERNEL, KERNEL) weights of the cells.

    Returns:
        (M, N, H - KERNEL + 1, W - KERNEL + 1) float32 responses; place (y, x) is centred on the
        pixel STRIDE * (y + KERNEL // 2, x + KERNEL // 2).
    """
    y, x = (template.shape[2] - KERNEL) // 2, (template.shape[3] - KERNEL) // 2
    kernels = template[:, :, y : y + KERNEL, x : x + KERNEL] * mask.to(template.dtype)
    return F.conv2d(search, kernels.to(search.dtype)).float()


def target_places(boxes: Tensor) -> Tensor:
    """Where targets are in a response: (N, 2) y, x, from boxes (N, 4) in the search crop."""
    centers = boxes[:, :2] + boxes[:, 2:] / 2 - 0.5
    return centers.flip(1) / STRIDE - KERNEL // 2


def soft_labels(places: Tensor, height: int, width: int, deviation: float) -> Tensor:
    """(N, height, width) Gaussians around places (N, 2), each of sum one."""
    ys = torch.arange(height, device=places.device)
    xs = torch.arange(width, device=places.device)
    gy = torch.exp(-0.5 * ((ys - places[:, :1]) / deviation) ** 2)
    gx = torch.exp(-0.5 * ((xs - places[:, 1:]) / deviation) ** 2)
    label = gy[:, :, None] * gx[:, None, :] + 1e-12
    return label / label.sum(dim=(1, 2), keepdim=True)


def matching_loss(responses: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy over all places of all search crops.

    Args:
        responses: (N, N, h, w), search crop by template.
        labels: (N, h, w), the label of each template in its own search crop.
    """
    count = len(labels)
    logits = responses.transpose(0, 1).reshape(count, -1)  # (template, search x h x w)
    own = torch.arange(count, device=logits.device)
    correct = responses[own, own]  # (N, h, w)
    return (logits.logsumexp(dim=1) - (labels * correct).sum(dim=(1, 2))).mean()


class Matcher(nn.Module):
    """Backbone and the learned contrast of its responses.

    A response is an average over cells, so that its size does not depend on the object's; the
    gains make logits of it.
    """

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = TrainableBackbone()
        self.gains = nn.Parameter(torch.full((2,), math.log(0.5)))

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """The loss of a batch as `PairDataset` makes it."""
        config = self.config
        mask = object_mask(batch['template_box'], batch['template'].shape[-1])
        templates, searches = self.backbone(batch['template']), self.backbone(batch['search'])
        places = target_places(batch['search_box'])
        loss = mask.new_zeros(())
        for level, weight in enumerate((config.middle_weight, 1.0)):
            if weight == 0:
                continue
            gain = self.gains[level].exp() * templates[level].shape[1] ** -0.5
            for start in range(0, len(places), config.group):
                part = slice(start, start + config.group)
                responses = gain * correlate(
                    templates[level][part], searches[level][part], mask[part]
                )
                labels = soft_labels(places[part], *responses.shape[-2:], config.label_width)
                loss = loss + weight * matching_loss(responses, labels)
        return loss * (config.group / len(places))


# -------------------------------------------------------------------------------------------- data


class PairDataset(Dataset):
    """Pairs as tensors: crops (3, H, W) uint8, boxes (4,) float32."""

    def __init__(self, sampler: PairSampler) -> None:
        self.sampler = sampler

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        pair = self.sampler.pair(index)
        return {
            'template': torch.from_numpy(pair.template).permute(2, 0, 1),
            'search': torch.from_numpy(pair.search).permute(2, 0, 1),
            'template_box': torch.from_numpy(pair.template_box).float(),
            'search_box': torch.from_numpy(pair.search_box).float(),
        }


class Numbers:
    """Batches of pair numbers from `start` on, without end."""

    def __init__(self, start: int, batch: int) -> None:
        self.start, self.batch = start, batch

    def __iter__(self) -> Iterator[list[int]]:
        at = self.start
        while True:
            yield list(range(at, at + self.batch))
            at += self.batch


def batches(
    sampler: PairSampler, batch: int, start: int = 0, workers: int = 0
) -> Iterator[dict[str, Tensor]]:
    """Batches of pairs, numbered from `start`; the same whatever the number of worker
    processes."""
    options: dict[str, Any] = {}
    if workers:
        # forked processes share the pool instead of copying it
        options = {'multiprocessing_context': 'fork', 'prefetch_factor': 4}
    return iter(
        DataLoader(
            PairDataset(sampler),
            batch_sampler=Numbers(start, batch),
            num_workers=workers,
            **options,
        )
    )


def to_device(batch: Mapping[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """Move a batch; crops become float."""
    return {name: value.to(device, non_blocking=True).float() for name, value in batch.items()}


# ---------------------------------------------------------------------------------------- checking


@torch.no_grad()
def matching_accuracy(
    backbone: nn.Module,
    pool: Pool,
    config: BackboneConfig,
    device: torch.device,
    count: int = HELD_OUT_PAIRS,
) -> dict[str, float]:
    """How often the right place answers best, in search crops of 257 pixels with all augmentations
    on.

    Returns:
        For both maps, plain and with feature vectors of unit length (`_unit`): the share of pairs
        whose peak in their own search crop lies within 16 pixels of the target's centre, and
        (`_among_16`) the share where it also exceeds everything in the search crops of 15 other
        pairs.
    """
    sampler = PairSampler(
        pool, dataclasses.replace(config.pairs, search_size=257, shift=96.0, seed=987_654_321)
    )
    source = batches(sampler, 16)
    hits: dict[str, int] = {}
    own = torch.arange(16, device=device)
    for _ in range(count // 16):
        batch = to_device(next(source), device)
        mask = object_mask(batch['template_box'], batch['template'].shape[-1])
        templates, searches = backbone(batch['template']), backbone(batch['search'])
        places = target_places(batch['search_box'])
        for level, z, x in zip(('middle', 'deep'), templates, searches, strict=True):
            for name, zf, xf in (
                (level, z, x),
                (f'{level}_unit', F.normalize(z, dim=1), F.normalize(x, dim=1)),
            ):
                responses = correlate(zf, xf, mask)  # (16, 16, h, w)
                peaks, best = responses[own, own].flatten(1).max(dim=1)
                found = torch.stack([best // responses.shape[3], best % responses.shape[3]], dim=1)
                right = (found - places).norm(dim=1) * STRIDE <= 16
                highest = responses.amax(dim=(0, 2, 3))
                hits[name] = hits.get(name, 0) + int(right.sum())
                alone = f'{name}_among_16'
                hits[alone] = hits.get(alone, 0) + int((right & (peaks >= highest)).sum())
    return {name: number / (count // 16 * 16) for name, number in hits.items()}


# ---------------------------------------------------------------------------------------- training


def has_fast_bfloat16(device: torch.device) -> bool:
    if device.type == 'cuda':
        return torch.cuda.is_bf16_supported()
    flags = Path('/proc/cpuinfo')
    return flags.is_file() and 'avx512_bf16' in flags.read_text()


class Trainer:
    """A training run that can stop anywhere and go on.

    Args:
        pool: Photographs to learn from.
        config: The run.
        out: Folder for the checkpoint, the history and the weights.
        device: Where to compute.
        precision: 'bf16', 'fp32' or 'auto'.
        workers: Processes that make pairs; 0 makes them in this one.
    """

    def __init__(
        self,
        pool: Pool,
        config: BackboneConfig,
        out: str | Path,
        device: str | torch.device = 'cpu',
        precision: str = 'auto',
        workers: int = 0,
    ) -> None:
        torch.manual_seed(config.pairs.seed)
        self.config, self.out = config, Path(out)
        self.device, self.workers = torch.device(device), workers
        self.out.mkdir(parents=True, exist_ok=True)
        self.half = precision == 'bf16' or (precision == 'auto' and has_fast_bfloat16(self.device))
        self.sampler = PairSampler(pool, config.pairs)
        self.matcher = Matcher(config).to(self.device, memory_format=torch.channels_last)
        self.averaged = TrainableBackbone().to(self.device)
        self.averaged.load_state_dict(self.matcher.backbone.state_dict())
        kernels = [p for p in self.matcher.parameters() if p.dim() == 4]
        others = [p for p in self.matcher.parameters() if p.dim() != 4]
        self.optimizer = torch.optim.AdamW(
            [
                {'params': kernels, 'weight_decay': config.weight_decay},
                {'params': others, 'weight_decay': 0.0},
            ],
            lr=config.learning_rate,
        )
        self.step = 0
        self.seconds = 0.0
        self.history: list[dict[str, float]] = []

    @property
    def checkpoint(self) -> Path:
        return self.out / 'checkpoint.pt'

    def save(self) -> None:
        """Write the checkpoint, whole or not at all."""
        state = {
            'matcher': self.matcher.state_dict(),
            'averaged': self.averaged.state_dict(),
            'optimizer': self.optimizer.state_dict(),
            'step': self.step,
            'seconds': self.seconds,
            'history': self.history,
            'random': torch.get_rng_state(),
            'config': dataclasses.asdict(self.config),
        }
        partial = self.checkpoint.with_suffix('.partial')
        torch.save(state, partial)
        os.replace(partial, self.checkpoint)

    def resume(self) -> None:
        """Go on from the checkpoint of this folder.

        Raises:
            ParameterError: There is none, or it belongs to another config.
        """
        if not self.checkpoint.is_file():
            raise ParameterError(f'nothing to resume: there is no {self.checkpoint}')
        state = torch.load(self.checkpoint, map_location=self.device, weights_only=True)
        if state['config'] != dataclasses.asdict(self.config):
            raise ParameterError(
                f'{self.checkpoint} was made with another config; use another --out'
            )
        self.matcher.load_state_dict(state['matcher'])
        self.averaged.load_state_dict(state['averaged'])
        self.optimizer.load_state_dict(state['optimizer'])
        self.step, self.seconds, self.history = state['step'], state['seconds'], state['history']
        torch.set_rng_state(state['random'].cpu())

    def rate(self, progress: float) -> float:
        """Learning rate at a progress in [0, 1]."""
        warmup = self.config.warmup
        if progress < warmup:
            return self.config.learning_rate * max(progress, 1e-3) / warmup
        return self.config.learning_rate * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))

    def learn(self, batch: Mapping[str, Tensor], rate: float) -> float:
        """One step; returns the loss."""
        for group in self.optimizer.param_groups:
            group['lr'] = rate
        self.matcher.train()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            loss = self.matcher(to_device(batch, self.device))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.matcher.parameters(), 5.0)
        self.optimizer.step()
        self.step += 1
        decay = min(self.config.average, self.step / (self.step + 10))
        with torch.no_grad():
            for mean, value in zip(
                self.averaged.state_dict().values(),
                self.matcher.backbone.state_dict().values(),
                strict=True,
            ):
                if mean.is_floating_point():
                    mean.lerp_(value, 1 - decay)
                else:
                    mean.copy_(value)
        return float(loss.detach())

    def backbone(self) -> CompactBackbone:
        """The averaged weights, folded."""
        return fold_batch_norm(self.averaged)

    def run(
        self,
        minutes: float = 0.0,
        steps: int = 0,
        snapshot_minutes: float = 5.0,
        held_out: Pool | None = None,
        progress: bool = True,
    ) -> None:
        """Train until the time is up or the steps are done, whichever is given.

        Args:
            minutes: Time budget, earlier parts of a resumed run counted in; the learning rate
                follows it.
            steps: Number of steps; given this, the learning rate follows the steps and the run is
                repeatable.
            snapshot_minutes: How often to write the checkpoint, the weights and the picture, and
                to check.
            held_out: Photographs to check with.
            progress: Show a progress bar.
        """
        if (minutes > 0) == (steps > 0):
            raise ParameterError('give either minutes or steps, above zero')
        source = batches(
            self.sampler, self.config.batch, self.step * self.config.batch, self.workers
        )
        bar = tqdm(
            total=steps or round(minutes * 60),
            initial=self.step if steps else round(self.seconds),
            desc='training',
            unit='step' if steps else 's',
            disable=not progress,
        )
        before, last = time.monotonic(), time.monotonic()
        losses: list[float] = []
        while (self.step < steps) if steps else (self.seconds < minutes * 60):
            done = self.step / steps if steps else self.seconds / (minutes * 60)
            losses.append(self.learn(next(source), self.rate(done)))
            now = time.monotonic()
            self.seconds, before = self.seconds + now - before, now
            bar.update(1 if steps else round(self.seconds) - bar.n)
            bar.set_postfix_str(f'step {self.step}, loss {losses[-1]:.3f}', refresh=False)
            if not math.isfinite(losses[-1]):
                raise ParameterError(
                    f'the loss is {losses[-1]} at step {self.step}: lower the learning rate'
                )
            if len(losses) == 50:
                self.record(losses)
            if now - last > snapshot_minutes * 60:
                self.record(losses)
                self.snapshot(held_out)
                last = time.monotonic()
                self.seconds, before = self.seconds + last - before, last
        self.record(losses)
        bar.close()
        self.snapshot(held_out)

    def record(self, losses: list[float]) -> None:
        if losses:
            self.history.append(
                {'step': self.step, 'seconds': self.seconds, 'loss': sum(losses) / len(losses)}
            )
            losses.clear()

    def snapshot(self, held_out: Pool | None) -> None:
        """Write the checkpoint, the folded weights with their card, the history and its
        picture."""
        backbone = self.backbone()
        accuracy: dict[str, float] = {}
        if held_out is not None:
            accuracy = matching_accuracy(backbone, held_out, self.config, self.device)
            self.history.append(
                {
                    'step': self.step,
                    'seconds': self.seconds,
                    **{f'accuracy_{name}': value for name, value in accuracy.items()},
                }
            )
            tqdm.write(
                f'step {self.step}, {self.seconds / 60:.1f} min, held-out accuracy '
                + ', '.join(f'{name} {value:.3f}' for name, value in accuracy.items())
            )
        self.save()
        save_backbone(backbone, self.out / 'latest.safetensors', self.card(accuracy))
        (self.out / 'history.json').write_text(json.dumps(self.history))
        plot_history(self.history, self.out / 'loss.png')

    def card(self, accuracy: Mapping[str, float]) -> dict[str, Any]:
        """What the weight file says of itself."""
        return {
            'name': 'compact backbone',
            'license': 'Apache-2.0',
            'data': self.config.data,
            'date': datetime.now(timezone.utc).strftime('%Y-%m-%d'),
            'steps': self.step,
            'pairs': self.step * self.config.batch,
            'minutes': round(self.seconds / 60, 1),
            'precision': 'bf16' if self.half else 'fp32',
            'device': self.device.type,
            'held_out_accuracy': dict(accuracy),
            'config': dataclasses.asdict(self.config),
        }


def save_backbone(backbone: CompactBackbone, path: Path, card: Mapping[str, Any]) -> None:
    """Write folded weights as safetensors; the metadata entry `card` is JSON."""
    state = {
        name: value.detach().cpu().float().contiguous()
        for name, value in backbone.state_dict().items()
    }
    partial = path.with_suffix('.partial')
    save_file(state, partial, metadata={'card': json.dumps(card)})
    partial.chmod(0o644)
    os.replace(partial, path)


def plot_history(history: Sequence[Mapping[str, float]], path: Path) -> None:
    """Loss and held-out accuracy over time as a small PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.2), dpi=90, layout='constrained')
    FigureCanvasAgg(figure)
    left = figure.add_subplot()
    losses = [entry for entry in history if 'loss' in entry]
    left.plot(
        [e['seconds'] / 60 for e in losses],
        [e['loss'] for e in losses],
        color='tab:blue',
        linewidth=1,
    )
    left.set_xlabel('minutes')
    left.set_ylabel('loss', color='tab:blue')
    checks = [entry for entry in history if 'accuracy_deep' in entry]
    if checks:
        right = left.twinx()
        for name, style in (('deep', '-'), ('middle', '--')):
            right.plot(
                [e['seconds'] / 60 for e in checks],
                [e[f'accuracy_{name}'] for e in checks],
                style,
                color='tab:orange',
                marker='.',
                label=f'{name} map',
            )
        right.set_ylabel('held-out matching accuracy', color='tab:orange')
        right.legend(loc='center right')
    figure.savefig(path)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `tracker train backbone`."""
    parser.add_argument(
        '--data', required=True, metavar='DIR', help='folder of photos, read with its subfolders'
    )
    parser.add_argument(
        '--out', required=True, metavar='DIR', help='folder for weights, checkpoint and curves'
    )
    parser.add_argument(
        '--config', metavar='FILE', help='YAML file, such as config/train_backbone.yaml'
    )
    parser.add_argument(
        '--minutes', type=float, default=0.0, help='time budget; the learning rate follows it'
    )
    parser.add_argument(
        '--steps', type=int, default=0, help='number of steps instead of a time budget'
    )
    parser.add_argument('--resume', action='store_true', help='go on from the checkpoint in --out')
    parser.add_argument('--seed', type=int, help='instead of the seed in the config')
    parser.add_argument(
        '--device', default='auto', help="'auto', 'cpu', 'cuda', ... (default: %(default)s)"
    )
    parser.add_argument('--precision', default='auto', choices=('auto', 'bf16', 'fp32'))
    parser.add_argument(
        '--threads', type=int, default=0, help='compute threads (default: what torch chooses)'
    )
    parser.add_argument(
        '--workers', type=int, default=1, help='processes that make pairs (default: %(default)s)'
    )


def run(args: argparse.Namespace) -> int:
    """`tracker train backbone`."""
    import cv2

    config = read_config(args.config)
    if args.seed is not None:
        config = dataclasses.replace(
            config, pairs=dataclasses.replace(config.pairs, seed=args.seed)
        )
    if (args.minutes > 0) == (args.steps > 0):
        raise ParameterError('give either --minutes or --steps, above zero')
    cv2.setNumThreads(1)
    if args.threads:
        torch.set_num_threads(args.threads)
    device = args.device
    if device == 'auto':
        device = 'cuda' if torch.cuda.is_available() else 'cpu'
    pool = load_pool(args.data, 'train', config.video_folders, progress=True)
    try:
        held_out = load_pool(args.data, 'held_out', config.video_folders)
    except ParameterError:
        held_out = None  # too few photos to spare any
    trainer = Trainer(pool, config, args.out, device, args.precision, args.workers)
    if args.resume:
        trainer.resume()
    print(
        f'{len(pool.photos)} photos, {len(pool.boxes)} boxes, {len(pool.followed)} followed '
        f'regions; {trainer.device}, {"bf16" if trainer.half else "fp32"}; weights go to '
        f'{trainer.out}/latest.safetensors'
    )
    trainer.run(args.minutes, args.steps, held_out=held_out)
    return 0

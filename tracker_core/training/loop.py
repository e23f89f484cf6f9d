# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The training loop that the backbone and all heads share.

A run has a fixed seed, a number of steps or a time budget, and can stop anywhere and go on. It
averages the weights over the steps and writes a checkpoint, the averaged weights with their card,
and the curves as a picture. What is special to a network is a `Part`: its losses, its check on
held-out photos, and what of it is written.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
import copy
import dataclasses
from dataclasses import dataclass, field
from datetime import datetime, timezone
import json
import math
import os
from pathlib import Path
import shutil
import time
from typing import Any, TypeVar

import torch
from torch import nn, Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm
import yaml

from tracker_core.backbones.compact import Maps
from tracker_core.errors import ParameterError, suggestion, WeightsError
from tracker_core.training.data import load_pool, PairConfig, PairSampler, Pool
from tracker_core.weights import read_checkpoint, read_weight_file, save_safetensors
from tracker_core.weights.registry import BUNDLED_FOLDER

CHECK_SEED = 987_654_321  # of the pairs from held-out photos
PREFETCHED = 3  # batches that each process has ready


@dataclass(frozen=True)
class TrainConfig:
    """One training run.

    Attributes:
        batch: Pairs per step.
        learning_rate: Its peak; it rises over the first `warmup` of the run and falls to zero by
            half a cosine.
        warmup: Share of the run.
        weight_decay: Of AdamW, on kernels only.
        average: Decay per step of the running average of the weights; the average is what is
            saved.
        video_folders: Patterns of folders whose images are frames or overlapping views in order.
        data: Names and licences of the photographs, for the card.
        pairs: How pairs are cut and changed; its seed is the seed of everything.
    """

    batch: int = 32
    learning_rate: float = 2e-3
    warmup: float = 0.03
    weight_decay: float = 0.02
    average: float = 0.998
    video_folders: tuple[str, ...] = ()
    data: str = ''
    pairs: PairConfig = field(default_factory=PairConfig)

    def __post_init__(self) -> None:
        if self.batch < 2:
            raise ParameterError(f'batch must be at least 2, not {self.batch}')
        if not self.learning_rate > 0:
            raise ParameterError(f'learning_rate must be above zero, not {self.learning_rate}')
        if not 0 <= self.average < 1:
            raise ParameterError(f'average must lie in [0, 1), not {self.average}')


Config = TypeVar('Config', bound=TrainConfig)


def read_config(kind: type[Config], path: str | Path | None) -> Config:
    """A config from a YAML file whose keys are its fields; `pairs` is a mapping of PairConfig's
    fields. What the file leaves out keeps its default.

    Raises:
        ParameterError: A key is unknown or a value is refused.
    """
    values = yaml.safe_load(Path(path).read_text()) if path else {}
    return config_from(kind, values or {}, str(path))


def config_from(kind: type[Config], values: Mapping[str, Any], origin: str = 'config') -> Config:
    """See `read_config`."""

    def changed(default: Any, entries: Mapping[str, Any]) -> Any:
        known = {field.name for field in dataclasses.fields(default)}
        for name in entries:
            if name not in known:
                raise ParameterError(
                    f'{origin}: there is no {name!r} here, only {", ".join(sorted(known))}'
                    f'{suggestion(name, known)}'
                )
        return dataclasses.replace(
            default,
            **{name: tuple(v) if isinstance(v, list) else v for name, v in entries.items()},
        )

    entries, default = dict(values), kind()
    pairs = changed(default.pairs, entries.pop('pairs', {}))
    return changed(default, {**entries, 'pairs': pairs})


@dataclass(frozen=True)
class Part:
    """What the loop has to know of the network that it trains.

    Attributes:
        name: What the card calls it.
        files: By name of a weight file, what of the averaged network is written to it.
        learner: Its `forward` gives the losses of a batch by name; their sum is minimised.
        network: The learner's network; its weights are averaged and written.
        check: Figures by name from the averaged network and held-out photographs.
        shown: Names of the figures that the picture shows; they lie between 0 and 1.
    """

    name: str
    files: Mapping[str, Callable[[nn.Module], dict[str, Tensor]]]
    learner: nn.Module
    network: nn.Module
    check: Callable[[nn.Module, Pool, torch.device], dict[str, float]]
    shown: tuple[str, ...]


# -------------------------------------------------------------------------------------------- data


class PairDataset(Dataset):
    """Pairs as tensors: crops (H, W, 3) uint8, boxes (4,) float32."""

    def __init__(self, sampler: PairSampler) -> None:
        self.sampler = sampler

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        pair = self.sampler.pair(index)
        return {
            'template': torch.from_numpy(pair.template),
            'search': torch.from_numpy(pair.search),
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
    sampler: PairSampler, batch: int, start: int = 0, workers: int = 0, pinned: bool = False
) -> Iterator[dict[str, Tensor]]:
    """Batches of pairs, numbered from `start`; the same whatever the number of worker
    processes.

    Args:
        sampler: Of the pairs.
        batch: Pairs per batch.
        start: Number of the first pair.
        workers: Processes that make pairs; 0 makes them in this one.
        pinned: Put them into memory that a GPU reads fast.
    """
    options: dict[str, Any] = {}
    if workers:
        check_shared_memory(sampler.config, batch * workers * PREFETCHED)
        # forked processes share the pool instead of copying it
        options = {'multiprocessing_context': 'fork', 'prefetch_factor': PREFETCHED}
    return iter(
        DataLoader(
            PairDataset(sampler),
            batch_sampler=Numbers(start, batch),
            num_workers=workers,
            pin_memory=pinned,
            generator=torch.Generator(),  # else it would draw from the one that losses draw from
            **options,
        )
    )


def check_shared_memory(config: PairConfig, pairs: int) -> None:
    """Refuse more pairs on their way between processes than the memory for that holds."""
    folder = Path('/dev/shm')
    needed = pairs * 3 * (config.template_size**2 + config.search_size**2)
    if folder.is_dir() and shutil.disk_usage(folder).free < needed:
        raise ParameterError(
            f'{folder} has no room for {needed >> 20} MiB of pairs: use fewer --workers, or a '
            'smaller batch'
        )


def to_device(batch: Mapping[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """Move a batch; crops become (N, 3, H, W) float, channels last in memory."""
    moved = {name: value.to(device, non_blocking=True) for name, value in batch.items()}
    return {
        name: (value.permute(0, 3, 1, 2) if value.dim() == 4 else value).float()
        for name, value in moved.items()
    }


def held_out_batches(
    pool: Pool, pairs: PairConfig, device: torch.device, count: int
) -> Iterator[dict[str, Tensor]]:
    """`count` batches of 16 pairs to check with, the same for every run."""
    source = batches(PairSampler(pool, dataclasses.replace(pairs, seed=CHECK_SEED)), 16)
    for _ in range(count):
        yield to_device(next(source), device)


@torch.no_grad()
def look(backbone: nn.Module, batch: Mapping[str, Tensor]) -> tuple[Maps, Maps]:
    """A frozen backbone's maps of the template and of the search crops."""
    return backbone(batch['template']), backbone(batch['search'])


# ---------------------------------------------------------------------------------------- training


def has_fast_bfloat16(device: torch.device) -> bool:
    if device.type == 'cuda':
        return torch.cuda.is_bf16_supported()
    flags = Path('/proc/cpuinfo')
    return flags.is_file() and 'avx512_bf16' in flags.read_text()


def weights_of(module: nn.Module, without: str = '') -> dict[str, Tensor]:
    """The weights that are worth writing, without those whose name begins with `without`."""
    return {
        name: value
        for name, value in module.state_dict().items()
        if not name.endswith('num_batches_tracked') and not (without and name.startswith(without))
    }


class Trainer:
    """A training run that can stop anywhere and go on.

    Args:
        part: What to train.
        pool: Photographs to learn from.
        config: The run.
        out: Folder for the checkpoint, the history and the weights.
        device: Where to compute.
        precision: 'bf16', 'fp32' or 'auto'.
        workers: Processes that make pairs; 0 makes them in this one.
    """

    def __init__(
        self,
        part: Part,
        pool: Pool,
        config: TrainConfig,
        out: str | Path,
        device: str | torch.device = 'cpu',
        precision: str = 'auto',
        workers: int = 0,
    ) -> None:
        self.part, self.config, self.out = part, config, Path(out)
        self.device, self.workers = torch.device(device), workers
        self.out.mkdir(parents=True, exist_ok=True)
        self.half = precision == 'bf16' or (precision == 'auto' and has_fast_bfloat16(self.device))
        self.sampler = PairSampler(pool, config.pairs)
        self.learner = part.learner.to(self.device, memory_format=torch.channels_last)
        self.averaged = copy.deepcopy(part.network).eval().requires_grad_(False)
        trained = [p for p in self.learner.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(
            [
                {
                    'params': [p for p in trained if p.dim() > 1],
                    'weight_decay': config.weight_decay,
                },
                {'params': [p for p in trained if p.dim() <= 1], 'weight_decay': 0.0},
            ],
            lr=config.learning_rate,
        )
        self.step = 0
        self.seconds = 0.0
        self.history: list[dict[str, Any]] = []

    @property
    def checkpoint(self) -> Path:
        return self.out / 'checkpoint.pt'

    def save(self) -> None:
        """Write the checkpoint, whole or not at all."""
        state = {
            'learner': self.learner.state_dict(),
            'averaged': self.averaged.state_dict(),
            'optimizer': self.optimizer.state_dict(),
            'step': self.step,
            'seconds': self.seconds,
            'history': self.history,
            'random': torch.get_rng_state(),
            'config': dataclasses.asdict(self.config),
        }
        if self.device.type == 'cuda':
            state['random_device'] = torch.cuda.get_rng_state(self.device)
        partial = self.checkpoint.with_suffix('.partial')
        torch.save(state, partial)
        os.replace(partial, self.checkpoint)

    def resume(self) -> None:
        """Go on from the checkpoint of this folder.

        Raises:
            ParameterError: There is none, or it belongs to another config.
            WeightsError: It is damaged, or no checkpoint of a training.
        """
        if not self.checkpoint.is_file():
            raise ParameterError(f'nothing to resume: there is no {self.checkpoint}')
        state = read_checkpoint(self.checkpoint)
        if not isinstance(state, dict) or 'config' not in state:
            raise WeightsError(f'{self.checkpoint} is no checkpoint of a training')
        if state['config'] != dataclasses.asdict(self.config):
            raise ParameterError(
                f'{self.checkpoint} was made with another config; use another --out'
            )
        try:
            self.restore(state)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise WeightsError(f'{self.checkpoint} does not fit this training') from error

    def restore(self, state: Mapping[str | int, Any]) -> None:
        """Take over what `save` wrote."""
        self.learner.load_state_dict(state['learner'])
        self.averaged.load_state_dict(state['averaged'])
        self.optimizer.load_state_dict(state['optimizer'])
        self.step, self.seconds, self.history = state['step'], state['seconds'], state['history']
        torch.set_rng_state(state['random'])
        if self.device.type == 'cuda' and 'random_device' in state:
            torch.cuda.set_rng_state(state['random_device'], self.device)

    def rate(self, progress: float) -> float:
        """Learning rate at a progress in [0, 1]."""
        warmup = self.config.warmup
        if progress < warmup:
            return self.config.learning_rate * max(progress, 1e-3) / warmup
        return self.config.learning_rate * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))

    def learn(self, batch: Mapping[str, Tensor], rate: float) -> dict[str, Tensor]:
        """One step on a batch as `batches` makes it; returns the losses by name."""
        for group in self.optimizer.param_groups:
            group['lr'] = rate
        self.learner.train()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            losses = self.learner(to_device(batch, self.device))
        self.optimizer.zero_grad(set_to_none=True)
        sum(losses.values()).backward()
        nn.utils.clip_grad_norm_(self.learner.parameters(), 5.0)
        self.optimizer.step()
        self.step += 1
        self.average()
        return {name: loss.detach() for name, loss in losses.items()}

    @torch.no_grad()
    def average(self) -> None:
        """Take the latest weights into the running average."""
        means, values = (
            [*m.parameters(), *m.buffers()] for m in (self.averaged, self.part.network)
        )
        moving = [i for i, mean in enumerate(means) if mean.is_floating_point()]
        decay = min(self.config.average, self.step / (self.step + 10))
        torch._foreach_lerp_([means[i] for i in moving], [values[i] for i in moving], 1 - decay)

    def run(
        self,
        minutes: float = 0.0,
        steps: int = 0,
        snapshot_minutes: float = 5.0,
        held_out: Pool | None = None,
        progress: bool = True,
        pause_at: float = math.inf,
    ) -> bool:
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
            pause_at: When to write the checkpoint and stop before the end, in seconds of
                `time.monotonic`.

        Returns:
            Whether the end is reached.

        Raises:
            ParameterError: Both or neither of minutes and steps are given, or the loss is not
                finite.
        """
        if (minutes > 0) == (steps > 0):
            raise ParameterError('give either minutes or steps, above zero')
        source = batches(
            self.sampler,
            self.config.batch,
            self.step * self.config.batch,
            self.workers,
            pinned=self.device.type == 'cuda',
        )
        bar = tqdm(
            total=steps or round(minutes * 60),
            initial=self.step if steps else round(self.seconds),
            desc=f'training {self.part.name}',
            unit='step' if steps else 's',
            mininterval=1.0,
            disable=not progress,
        )
        before, last = time.monotonic(), time.monotonic()
        losses: list[dict[str, Tensor]] = []
        while True:
            done = self.step / steps if steps else self.seconds / (minutes * 60)
            if done >= 1 or before >= pause_at:
                break
            losses.append(self.learn(next(source), self.rate(done)))
            now = time.monotonic()
            self.seconds, before = self.seconds + now - before, now
            bar.update(1 if steps else round(self.seconds) - bar.n)
            if len(losses) == 50:
                self.record(losses)
                latest = self.history[-1]
                bar.set_postfix_str(f'step {self.step}, loss {latest["loss"]:.3f}', refresh=False)
            if now - last > snapshot_minutes * 60:
                self.record(losses)
                self.snapshot(held_out)
                last = time.monotonic()
        self.record(losses)
        bar.close()
        if done < 1:
            self.save()
            return False
        self.snapshot(held_out)
        return True

    def record(self, losses: list[dict[str, Tensor]]) -> None:
        """Put the mean losses of some steps into the history."""
        if not losses:
            return
        means = {
            name: float(torch.stack([each[name] for each in losses]).mean()) for name in losses[0]
        }
        total = sum(means.values())
        if not math.isfinite(total):
            raise ParameterError(
                f'the loss is {total} at step {self.step}: lower the learning rate'
            )
        self.history.append(
            {'step': self.step, 'seconds': self.seconds, 'loss': total, 'losses': means}
        )
        losses.clear()

    def snapshot(self, held_out: Pool | None) -> None:
        """Write the checkpoint, the averaged weights with their card, the history and its
        picture."""
        figures: dict[str, float] = {}
        if held_out is not None:
            checked = self.part.check(self.averaged, held_out, self.device)
            figures = {name: round(value, 4) for name, value in checked.items()}
            self.history.append({'step': self.step, 'seconds': self.seconds, 'held_out': figures})
            tqdm.write(
                f'step {self.step}, {self.seconds / 60:.1f} min, on held-out photos: '
                + ', '.join(f'{name} {value:.3f}' for name, value in figures.items())
            )
        self.save()
        card = self.card(figures)
        for file, export in self.part.files.items():
            save_weights(export(self.averaged), self.out / file, card)
        (self.out / 'card.json').write_text(json.dumps(card, indent=1) + '\n')
        (self.out / 'history.json').write_text(json.dumps(self.history))
        plot_history(self.history, self.part.shown, self.out / 'loss.png')

    def card(self, figures: Mapping[str, float]) -> dict[str, Any]:
        """What the weight file says of itself."""
        return {
            'name': self.part.name,
            'license': 'Apache-2.0',
            'data': self.config.data,
            'date': datetime.now(timezone.utc).strftime('%Y-%m-%d'),
            'seed': self.config.pairs.seed,
            'steps': self.step,
            'pairs': self.step * self.config.batch,
            'minutes': round(self.seconds / 60, 1),
            'precision': 'bf16' if self.half else 'fp32',
            'device': device_name(self.device),
            'held_out': dict(figures),
            'config': dataclasses.asdict(self.config),
        }


def device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == 'cuda' else device.type


def save_weights(state: Mapping[str, Tensor], path: Path, card: Mapping[str, Any]) -> None:
    """Write weights as safetensors; the metadata entry `card` is JSON."""
    partial = path.with_suffix('.partial')
    values = {name: value.detach().cpu().float().contiguous() for name, value in state.items()}
    save_safetensors(values, partial, {'card': json.dumps(card)})
    partial.chmod(0o644)
    os.replace(partial, path)


def plot_history(history: Sequence[Mapping[str, Any]], shown: Sequence[str], path: Path) -> None:
    """Losses and held-out figures over time as a small PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.6), dpi=90, layout='constrained')
    FigureCanvasAgg(figure)
    left = figure.add_subplot()
    entries = [entry for entry in history if 'loss' in entry]
    minutes = [entry['seconds'] / 60 for entry in entries]
    left.plot(minutes, [e['loss'] for e in entries], color='black', linewidth=1, label='loss')
    names = list(entries[-1]['losses']) if entries else []
    for name in names if len(names) > 1 else ():
        values = [entry['losses'][name] for entry in entries]
        left.plot(minutes, values, linewidth=0.7, label=name.replace('_', ' '))
    left.set_xlabel('minutes')
    left.set_ylabel('loss')
    checks = [entry for entry in history if 'held_out' in entry]
    if checks:
        right = left.twinx()
        for name, style in zip(shown, ('-', '--', ':', '-.'), strict=False):
            right.plot(
                [e['seconds'] / 60 for e in checks],
                [e['held_out'][name] for e in checks],
                style,
                color='tab:orange',
                marker='.',
                label=name.replace('_', ' '),
            )
        right.set_ylabel('on held-out photos', color='tab:orange')
    figure.legend(loc='outside lower center', ncols=4, fontsize='x-small')
    figure.savefig(path)


# ----------------------------------------------------------------------------------------- command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of every `tracker train` command."""
    parser.add_argument(
        '--data', required=True, metavar='DIR', help='folder of photos, read with its subfolders'
    )
    parser.add_argument(
        '--out', required=True, metavar='DIR', help='folder for weights, checkpoint and curves'
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
        '--workers',
        type=int,
        help='processes that make pairs (default: 1; for a GPU one less than processor cores)',
    )


def add_head_arguments(parser: argparse.ArgumentParser, example: str) -> None:
    """Options of the commands that train heads on a backbone."""
    parser.add_argument('--config', metavar='FILE', help=f'YAML file, such as {example}')
    parser.add_argument(
        '--backbone', metavar='FILE', help='weights of the backbone (default: the bundled ones)'
    )


def prepare(args: argparse.Namespace) -> torch.device:
    """Check the budget, set the numbers of threads and processes, choose the device."""
    import cv2

    if (args.minutes > 0) == (args.steps > 0):
        raise ParameterError('give either --minutes or --steps, above zero')
    cv2.setNumThreads(1)
    if args.threads:
        torch.set_num_threads(args.threads)
    device = args.device
    if device == 'auto':
        device = 'cuda' if torch.cuda.is_available() else 'cpu'
    on_gpu = device.startswith('cuda')
    if args.workers is None:
        args.workers = max((os.cpu_count() or 1) - 1, 1) if on_gpu else 1
    if on_gpu:
        torch.backends.cudnn.benchmark = True
        torch.set_float32_matmul_precision('high')
    return torch.device(device)


def load_pools(folder: str, video_folders: Sequence[str]) -> tuple[Pool, Pool | None]:
    """The photos to learn from and those to check with, None where there are too few."""
    pool = load_pool(folder, 'train', video_folders, progress=True)
    try:
        return pool, load_pool(folder, 'held_out', video_folders)
    except ParameterError:
        return pool, None


def seeded(config: Config, seed: int | None) -> Config:
    """The config with another seed, None leaving it."""
    if seed is None:
        return config
    return dataclasses.replace(config, pairs=dataclasses.replace(config.pairs, seed=seed))


def run_part(
    args: argparse.Namespace, config: Config, make: Callable[[Config, Pool], Part]
) -> int:
    """Carry out `tracker train PART`.

    Args:
        args: Of `add_arguments`.
        config: The run.
        make: Makes the part from the config and the photos; the seed is set before.
    """
    device = prepare(args)
    config = seeded(config, args.seed)
    pool, held_out = load_pools(args.data, config.video_folders)
    torch.manual_seed(config.pairs.seed)
    part = make(config, pool)
    trainer = Trainer(part, pool, config, args.out, device, args.precision, args.workers)
    if args.resume:
        trainer.resume()
    print(
        f'{len(pool.photos)} photos, {len(pool.boxes)} boxes, {len(pool.followed)} followed '
        f'regions; {device_name(device)}, {"bf16" if trainer.half else "fp32"}; weights go to '
        f'{trainer.out}: {", ".join(part.files)}'
    )
    trainer.run(args.minutes, args.steps, held_out=held_out)
    return 0


def run_heads(args: argparse.Namespace, config: Config, make: Callable[..., Part]) -> int:
    """The same for heads on a backbone: `make` gets the config, the backbone's weights, the photos
    and the backbone's file name."""
    path = args.backbone or BUNDLED_FOLDER / 'compact_backbone.safetensors'
    state = read_weight_file(path)
    return run_part(args, config, lambda config, pool: make(config, state, pool, str(path)))

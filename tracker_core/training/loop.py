# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The training loop that the backbone and all heads share.

A run has a fixed seed, a number of steps or a time budget, and can stop anywhere and go on. It
averages the weights over the steps and writes a checkpoint and a record of itself (`record.py`).
What is special to a network is a `Part` (`parts.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import copy
import dataclasses
import math
import os
from pathlib import Path
import time
from typing import Any

import torch
from torch import nn, Tensor
from tqdm import tqdm

from tracker_core.data import PairSampler, Pool
from tracker_core.errors import ParameterError, WeightsError
from tracker_core.training.batches import batches, to_device
from tracker_core.training.compute import Compute
from tracker_core.training.config import TrainConfig
from tracker_core.training.parts import Part, sum_of
from tracker_core.training.record import Entry, loss_entry, make_card, write_record
from tracker_core.weights import read_checkpoint

LARGEST_GRADIENT = 5.0  # norm; larger ones are scaled down
RECORDED_STEPS = 50  # whose losses are one entry of the history


class TrainingRun:
    """A training run that can stop anywhere and go on.

    Args:
        part: What to train.
        pool: Photographs to learn from.
        config: The run.
        out: Folder for the checkpoint, the history and the weights.
        compute: Where and how to compute.
    """

    def __init__(
        self,
        part: Part[Any],
        pool: Pool,
        config: TrainConfig,
        out: str | Path,
        compute: Compute | None = None,
    ) -> None:
        self.part, self.config, self.out = part, config, Path(out)
        self.compute = compute or Compute()
        self.device = self.compute.device
        self.out.mkdir(parents=True, exist_ok=True)
        self.sampler = PairSampler(pool, config.pairs)
        self.learner = part.learner.to(  # type: ignore[call-overload]  # known to modules alone
            self.device, memory_format=torch.channels_last
        )
        self.averaged = copy.deepcopy(part.network).eval().requires_grad_(False)
        self.optimizer = make_optimizer(self.learner, config, part.pretrained)
        self.step = 0
        self.seconds = 0.0
        self.history: list[Entry] = []

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
        if self.compute.is_gpu:
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
        if self.compute.is_gpu and 'random_device' in state:
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
            group['lr'] = rate * group['factor']
        self.learner.train()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.compute.is_half):
            losses = self.learner(to_device(batch, self.device))
        self.optimizer.zero_grad(set_to_none=True)
        sum_of(losses).backward()
        nn.utils.clip_grad_norm_(self.learner.parameters(), LARGEST_GRADIENT)
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
        snapshot_minutes: float = 10.0,
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
            self.compute.workers,
            pinned=self.compute.is_gpu,
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
            if len(losses) == RECORDED_STEPS:
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
        if losses:
            self.history.append(loss_entry(self.step, self.seconds, losses))
            losses.clear()

    def snapshot(self, held_out: Pool | None) -> None:
        """Check, and write the checkpoint, the averaged weights with their card, the history and
        its picture."""
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
        files = {file: export(self.averaged) for file, export in self.part.files.items()}
        card = make_card(
            self.part.name, self.config, self.compute, self.step, self.seconds, figures
        )
        write_record(self.out, files, card, self.history, self.part.shown)


def make_optimizer(
    learner: nn.Module, config: TrainConfig, pretrained: Sequence[nn.Module] = ()
) -> torch.optim.AdamW:
    """AdamW on all that is trained; only kernels decay, and pretrained layers learn slowly."""
    trained = [p for p in learner.parameters() if p.requires_grad]
    slow = {id(p) for module in pretrained for p in module.parameters()}
    return torch.optim.AdamW(
        [
            {
                'params': [
                    p for p in trained if (id(p) in slow) == is_slow and (p.dim() > 1) == is_kernel
                ],
                'weight_decay': config.weight_decay if is_kernel else 0.0,
                'factor': config.pretrained_rate if is_slow else 1.0,
            }
            for is_slow in (False, True)
            for is_kernel in (True, False)
        ],
        lr=config.learning_rate,
    )

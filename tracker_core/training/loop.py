# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The training loop that the backbone and all heads share.

A run has a fixed seed, a number of steps or a time budget, and can stop anywhere and go on. It
averages the weights over the steps and writes a checkpoint and a record of itself (`record.py`).
What is special to a network is a `Part` (`parts.py`). Of several processes each runs this loop on
its share of every batch, and does what it does as many times as the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
import copy
import dataclasses
import math
import os
from pathlib import Path
import time
from typing import Any

import torch
from torch import nn, Tensor
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from tracker_core.data import Footage
from tracker_core.errors import ParameterError, WeightsError
from tracker_core.training.batches import batches, make_sampler, Share, to_device
from tracker_core.training.compute import Compute
from tracker_core.training.config import TrainConfig
from tracker_core.training.optimizers import learning_rate, make_optimizer
from tracker_core.training.parts import Part, sum_of
from tracker_core.training.processes import Processes
from tracker_core.training.record import Entry, loss_entry, make_card, write_record
from tracker_core.weights import checkpoints, read_checkpoint

RECORDED_STEPS = 50  # whose losses are one entry of the history


class TrainingRun:
    """A training run that can stop anywhere and go on.

    Args:
        part: What to train.
        footage: What to learn from.
        config: The run.
        out: Folder for the checkpoint, the history and the weights.
        compute: Where and how to compute.
    """

    def __init__(
        self,
        part: Part[Any],
        footage: Footage,
        config: TrainConfig,
        out: str | Path,
        compute: Compute | None = None,
    ) -> None:
        self.part, self.config, self.out = part, config, Path(out)
        self.compute = compute or Compute()
        self.device = self.compute.device
        self.out.mkdir(parents=True, exist_ok=True)
        self.sampler = make_sampler(footage, config.pairs)
        learner = part.learner.to(  # type: ignore[call-overload]  # known to modules alone
            self.device, memory_format=torch.channels_last
        )
        self.averaged = copy.deepcopy(part.network).eval().requires_grad_(False)
        if self.compute.is_gpu and self.processes.count > 1:  # CPUs have none
            learner = nn.SyncBatchNorm.convert_sync_batchnorm(learner)
        self.learner = learner
        self.optimizer = make_optimizer(self.learner, config, part.pretrained)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.compute.format == 'fp16')
        slow = [p for module in part.pretrained for p in module.parameters()]
        self.frozen = [p for p in slow if p.requires_grad] if config.frozen else []
        self.model = self.shared()
        self.step = 0
        self.seconds = 0.0
        self.history: list[Entry] = []

    @property
    def processes(self) -> Processes:
        return self.compute.processes

    def shared(self) -> nn.Module:
        """The learner, its gradients averaged over the processes."""
        if self.processes.count == 1:
            return self.learner
        devices = [self.device.index] if self.compute.is_gpu else None
        return DistributedDataParallel(self.learner, device_ids=devices)

    @property
    def checkpoint(self) -> Path:
        return self.out / 'checkpoint.pt'

    def save(self) -> None:
        """Write the checkpoint, whole or not at all; process 0 does."""
        if not self.processes.writes:
            return
        state = {
            'learner': self.learner.state_dict(),
            'averaged': self.averaged.state_dict(),
            'optimizer': self.optimizer.state_dict(),
            'scaler': self.scaler.state_dict(),
            'step': self.step,
            'seconds': self.seconds,
            'history': self.history,
            'config': dataclasses.asdict(self.config),
        }
        partial = self.checkpoint.with_suffix('.partial')
        torch.save(state, partial)
        os.replace(partial, self.checkpoint)

    def resume(self) -> None:
        """Go on from the checkpoint of this folder, which process 0 reads for all.

        Raises:
            ParameterError: There is none, or it belongs to another config.
            WeightsError: It is damaged, or no checkpoint of a training.
        """
        state = self.processes.share(self.read() if self.processes.writes else None)
        try:
            self.restore(state)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise WeightsError(f'{self.checkpoint} does not fit this training') from error

    def read(self) -> checkpoints.Loaded:
        """The checkpoint of this folder; see `resume`."""
        if not self.checkpoint.is_file():
            raise ParameterError(f'nothing to resume: there is no {self.checkpoint}')
        state = read_checkpoint(self.checkpoint)
        if not isinstance(state, dict) or 'config' not in state:
            raise WeightsError(f'{self.checkpoint} is no checkpoint of a training')
        if state['config'] != dataclasses.asdict(self.config):
            raise ParameterError(
                f'{self.checkpoint} was made with another config; use another --out'
            )
        return state

    def restore(self, state: Mapping[str | int, Any]) -> None:
        """Take over what `save` wrote."""
        self.learner.load_state_dict(state['learner'])
        self.averaged.load_state_dict(state['averaged'])
        self.optimizer.load_state_dict(state['optimizer'])
        if state['scaler']:
            self.scaler.load_state_dict(state['scaler'])
        self.step, self.seconds, self.history = state['step'], state['seconds'], state['history']

    def freeze(self, progress: float) -> None:
        """Have the layers that came trained learn, or not yet."""
        if not self.frozen:
            return
        learns = progress >= self.config.frozen
        if all(p.requires_grad == learns for p in self.frozen):
            return
        for parameter in self.frozen:
            parameter.requires_grad_(learns)
        self.model = self.shared()  # which gradients are averaged is decided when it is made

    def learn(self, parts: Sequence[Mapping[str, Tensor]], rate: float) -> dict[str, Tensor]:
        """One step on a batch in parts as `batches` makes them; returns the losses by name."""
        for group in self.optimizer.param_groups:
            group['lr'] = rate * group['factor']
        self.learner.train()
        self.optimizer.zero_grad(set_to_none=True)
        means: dict[str, Tensor] = {}
        for number, batch in enumerate(parts, 1):
            with self.gradients_stay_here() if number < len(parts) else nullcontext():
                with self.compute.autocast():
                    losses = self.model(to_device(batch, self.device))
                self.scaler.scale(sum_of(losses) / len(parts)).backward()
            for name, loss in losses.items():
                means[name] = means.get(name, 0.0) + loss.detach() / len(parts)
        if self.config.largest_gradient:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.learner.parameters(), self.config.largest_gradient)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.step += 1
        self.average()
        return means

    def gradients_stay_here(self) -> AbstractContextManager[None]:
        """In which gradients are added up, but not yet averaged over the processes."""
        if isinstance(self.model, DistributedDataParallel):
            return self.model.no_sync()
        return nullcontext()

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
        held_out: Footage | None = None,
        progress: bool = True,
        pause_at: float = math.inf,
        saved_steps: int = 0,
    ) -> bool:
        """Train until the time is up or the steps are done, whichever is given.

        Args:
            minutes: Time budget, earlier parts of a resumed run counted in; the learning rate
                follows it.
            steps: Number of steps; given this, the learning rate follows the steps and the run is
                repeatable. Several processes need it.
            snapshot_minutes: How often to write the checkpoint, the weights and the picture, and
                to check; about.
            held_out: What to check with.
            progress: Show a progress bar.
            pause_at: When to write the checkpoint and stop before the end, in seconds of
                `time.monotonic`.
            saved_steps: After so many steps each the checkpoint is also written; 0: not.

        Returns:
            Whether the end is reached.

        Raises:
            ParameterError: Both or neither of minutes and steps are given, the batch cannot be
                shared out, or the loss is not finite.
        """
        if (minutes > 0) == (steps > 0):
            raise ParameterError('give either minutes or steps, above zero')
        if minutes and self.processes.count > 1:
            raise ParameterError('several processes need a number of steps, not minutes')
        count, rank = self.processes.count, self.processes.rank
        source = batches(
            self.sampler,
            self.config.batch,
            self.step * self.config.batch,
            self.compute.workers,
            pinned=self.compute.is_gpu,
            share=Share(count * self.compute.accumulate, count, rank),
        )
        bar = tqdm(
            total=steps or round(minutes * 60),
            initial=self.step if steps else round(self.seconds),
            desc=f'training {self.part.name}',
            unit='step' if steps else 's',
            mininterval=1.0,
            disable=not (progress and self.processes.writes),
        )
        before, last = time.monotonic(), time.monotonic()
        losses: list[dict[str, Tensor]] = []
        while True:
            done = self.step / steps if steps else self.seconds / (minutes * 60)
            if done >= 1 or before >= pause_at:
                break
            self.freeze(done)
            parts = [next(source) for _ in range(self.compute.accumulate)]
            losses.append(self.learn(parts, learning_rate(self.config, done)))
            now = time.monotonic()
            self.seconds, before = self.seconds + now - before, now
            bar.update(1 if steps else round(self.seconds) - bar.n)
            saves = saved_steps > 0 and self.step % saved_steps == 0
            if saves or len(losses) == RECORDED_STEPS:
                self.record(losses)
                latest = self.history[-1]
                bar.set_postfix_str(f'step {self.step}, loss {latest["loss"]:.3f}', refresh=False)
            if not losses and now - last > snapshot_minutes * 60 and self.step != steps:
                self.snapshot(held_out)
                last = time.monotonic()
            elif saves:
                self.save()
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

    def snapshot(self, held_out: Footage | None) -> None:
        """Check, and write the checkpoint, the averaged weights with their card, the history and
        its picture; process 0 does, and the others wait for it at their next step."""
        if not self.processes.writes:
            return
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

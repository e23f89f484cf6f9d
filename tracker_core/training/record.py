# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""What a run writes of itself: its history, a card, weight files, and a picture of the curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import dataclasses
from datetime import datetime, timezone
import json
import math
import os
from pathlib import Path
from typing import Any, TypedDict

import torch
from torch import nn, Tensor

from tracker_core.errors import ParameterError
from tracker_core.training.compute import Compute
from tracker_core.training.config import TrainConfig
from tracker_core.training.processes import mean_over_processes
from tracker_core.weights import save_safetensors


class Entry(TypedDict, total=False):
    """Of the history: mean losses of some steps, or figures on held-out photos."""

    step: int
    seconds: float
    loss: float
    losses: dict[str, float]
    held_out: dict[str, float]


def loss_entry(step: int, seconds: float, losses: Sequence[Mapping[str, Tensor]]) -> Entry:
    """The means of the losses by name of some steps, in all processes, and of their sum.

    Raises:
        ParameterError: They are not finite.
    """
    names = list(losses[0])
    table = torch.stack([torch.stack([each[name] for name in names]).float() for each in losses])
    means = dict(zip(names, mean_over_processes(table.mean(dim=0)).tolist(), strict=True))
    total = sum(means.values())
    if not math.isfinite(total):
        raise ParameterError(f'the loss is {total} at step {step}: lower the learning rate')
    return {'step': step, 'seconds': seconds, 'loss': total, 'losses': means}


def make_card(
    name: str,
    config: TrainConfig,
    compute: Compute,
    step: int,
    seconds: float,
    figures: Mapping[str, float],
) -> dict[str, Any]:
    """What a weight file says of itself.

    Args:
        name: Of what was trained.
        config: The run.
        compute: Where it ran.
        step: Steps so far.
        seconds: Time so far.
        figures: On held-out photos.
    """
    return {
        'name': name,
        'license': 'Apache-2.0',
        'data': config.data,
        'date': datetime.now(timezone.utc).strftime('%Y-%m-%d'),
        'seed': config.pairs.seed,
        'steps': step,
        'pairs': step * config.batch,
        'minutes': round(seconds / 60, 1),
        'precision': compute.format,
        'device': compute.device_name,
        'processes': compute.processes.count,
        'held_out': dict(figures),
        'config': dataclasses.asdict(config),
    }


def write_record(
    folder: Path,
    files: Mapping[str, Mapping[str, Tensor]],
    card: Mapping[str, Any],
    history: Sequence[Entry],
    shown: Sequence[str],
) -> None:
    """Write the weight files, each with the card, the card alone, the history and its picture."""
    for name, state in files.items():
        save_weights(state, folder / name, card)
    (folder / 'card.json').write_text(json.dumps(card, indent=1) + '\n')
    (folder / 'history.json').write_text(json.dumps(history))
    plot_history(history, shown, folder / 'loss.png')


def weights_of(module: nn.Module, without: str = '') -> dict[str, Tensor]:
    """The weights that are worth writing, without those whose name begins with `without`."""
    return {
        name: value
        for name, value in module.state_dict().items()
        if not name.endswith('num_batches_tracked') and not (without and name.startswith(without))
    }


def save_weights(state: Mapping[str, Tensor], path: Path, card: Mapping[str, Any]) -> None:
    """Write weights as safetensors; the metadata entry `card` is JSON."""
    partial = path.with_suffix('.partial')
    values = {name: value.detach().cpu().float().contiguous() for name, value in state.items()}
    save_safetensors(values, partial, {'card': json.dumps(card)})
    partial.chmod(0o644)
    os.replace(partial, path)


def plot_history(history: Sequence[Entry], shown: Sequence[str], path: Path) -> None:
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

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""All bundled weights in one run: the backbone, every tracker's heads on it, then all together.

    tracker train all --config config --data PHOTOS --out DIR --minutes 25

The time is shared out; DIR gets the weight files, so that `tracker evaluate --weights DIR` uses
them, and the card and the curves of every part of the run. With `--pause-after` the command stops
after so many minutes, and `--resume` goes on, as often as needed: on machines that are lent for
short times. On a GPU batches are larger, and as many processes make pairs as there are processor
cores to spare.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
import json
from pathlib import Path
import shutil
import time
from typing import Any

import torch

from tracker_core.errors import ParameterError
from tracker_core.training import atom, backbone, loop, ocean, spm, together
from tracker_core.weights import read_weight_file


@dataclass(frozen=True)
class Step:
    """One part of the whole.

    Attributes:
        kind: Its config.
        make: Its `make_part`.
        share: Of the time; what is left over goes for reading photos and for checks.
        on_gpu: Changes of the config for a GPU.
        pairs_on_gpu: And of its pairs.
    """

    kind: type[loop.TrainConfig]
    make: Callable[..., loop.Part]
    share: float
    on_gpu: Mapping[str, Any] = field(default_factory=dict)
    pairs_on_gpu: Mapping[str, Any] = field(default_factory=dict)


STEPS = {
    'backbone': Step(
        backbone.BackboneConfig,
        backbone.make_part,
        0.17,
        {'batch': 256, 'group': 64, 'learning_rate': 3e-3, 'average': 0.999},
        {'alike': 0.4},
    ),
    'ocean': Step(
        ocean.OceanTraining,
        ocean.make_part,
        0.09,
        {'batch': 128, 'learning_rate': 2.5e-3, 'average': 0.999},
        {'search_size': 225, 'shift': 80.0, 'alike': 0.4},
    ),
    'spm': Step(
        spm.SpmTraining,
        spm.make_part,
        0.08,
        {'batch': 128, 'learning_rate': 2.5e-3, 'average': 0.999},
        {'search_size': 225, 'shift': 80.0, 'alike': 0.4},
    ),
    'atom': Step(
        atom.AtomTraining,
        atom.make_part,
        0.04,
        {'batch': 128, 'learning_rate': 2.5e-3, 'average': 0.999},
    ),
    'together': Step(
        together.TogetherTraining,
        together.make_part,
        0.56,
        {'batch': 128, 'group': 64, 'learning_rate': 2e-3, 'average': 0.999},
        {'search_size': 225, 'shift': 80.0},
    ),
}


def make_config(name: str, folder: str | None, on_gpu: bool, seed: int | None) -> loop.TrainConfig:
    """The config of a part, from `train_NAME.yaml` in a folder, None for the defaults."""
    step = STEPS[name]
    config = loop.read_config(step.kind, folder and Path(folder) / f'train_{name}.yaml')
    if on_gpu:
        pairs = replace(config.pairs, **step.pairs_on_gpu)
        config = replace(config, **step.on_gpu, pairs=pairs)
    return loop.seeded(config, seed)


def train_all(
    configs: Mapping[str, loop.TrainConfig],
    pools: tuple[loop.Pool, loop.Pool | None],
    out: Path,
    minutes: float = 0.0,
    steps: int = 0,
    device: torch.device | str = 'cpu',
    precision: str = 'auto',
    workers: int = 0,
    resume: bool = False,
    pause_at: float = float('inf'),
    progress: bool = True,
) -> bool:
    """Train all parts, each in a folder of its own below `out`, which gets the latest weights.

    Args:
        configs: By part.
        pools: Photographs to learn from and to check with.
        out: Folder.
        minutes: Time budget of the whole.
        steps: Number of steps of each part instead.
        device: Where to compute.
        precision: See `loop.Trainer`.
        workers: See `loop.Trainer`.
        resume: Go on from what is in the folder; parts whose cards are there are done.
        pause_at: When to stop, in seconds of `time.monotonic`.
        progress: Show progress bars.

    Returns:
        Whether all is done; otherwise the time was up.
    """
    pool, held_out = pools
    for name, step in STEPS.items():
        card = out / f'{name}.json'
        if resume and card.is_file():
            continue
        config = configs[name]
        torch.manual_seed(config.pairs.seed)
        part = step.make(config, *weights_before(name, out), pool)
        trainer = loop.Trainer(part, pool, config, out / name, device, precision, workers)
        if resume and trainer.checkpoint.is_file():
            trainer.resume()
        budget = {'steps': steps} if steps else {'minutes': step.share * minutes}
        is_done = trainer.run(**budget, held_out=held_out, progress=progress, pause_at=pause_at)
        if not is_done:
            return False
        for file in part.files:
            shutil.copyfile(trainer.out / file, out / file)
        shutil.copyfile(trainer.out / 'loss.png', out / f'{name}.png')
        shutil.copyfile(trainer.out / 'card.json', card)
    return True


def weights_before(name: str, out: Path) -> tuple[Any, ...]:
    """What a part begins with: nothing, the backbone, or all four weight files."""

    def read(part: str) -> dict[str, torch.Tensor]:
        return read_weight_file(out / part / together.FILE.format(part))

    if name == 'backbone':
        return ()
    if name == 'together':
        return ({part: read(part) for part in together.PARTS},)
    return (read('backbone'),)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `tracker train all`."""
    loop.add_arguments(parser)
    parser.add_argument(
        '--config', metavar='DIR', help='folder with train_backbone.yaml, train_ocean.yaml, ...'
    )
    parser.add_argument(
        '--pause-after',
        type=float,
        default=0.0,
        metavar='MINUTES',
        help='stop after so many minutes of this call, to be gone on from with --resume',
    )


def run(args: argparse.Namespace) -> int:
    """`tracker train all`; exit status 3 when it paused."""
    begin = time.monotonic()
    device = loop.prepare(args)
    on_gpu = device.type == 'cuda'
    configs = {name: make_config(name, args.config, on_gpu, args.seed) for name in STEPS}
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    if not args.resume and any((out / name / 'checkpoint.pt').is_file() for name in STEPS):
        raise ParameterError(f'{out} holds an earlier run: give --resume or another --out')
    pools = loop.load_pools(args.data, configs['backbone'].video_folders)
    is_done = train_all(
        configs,
        pools,
        out,
        args.minutes,
        args.steps,
        device,
        args.precision,
        args.workers,
        args.resume,
        begin + 60 * args.pause_after if args.pause_after else float('inf'),
    )
    for name in STEPS:
        card = out / f'{name}.json'
        if card.is_file():
            print(f'{name}: {json.loads(card.read_text())["held_out"]}')
    print(f'{"all trained" if is_done else "paused; go on with --resume"}: {out}')
    return 0 if is_done else 3

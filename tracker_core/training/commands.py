# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""What the commands `tracker train NAME` have in common, and how they are carried out."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
import os
from pathlib import Path
from typing import Any

import torch

from tracker_core.data import load_pool, Pool
from tracker_core.declaration import BUNDLED_FOLDER
from tracker_core.errors import ParameterError
from tracker_core.training.compute import Compute
from tracker_core.training.config import CONFIGS, read_config, seeded
from tracker_core.training.loop import TrainingRun
from tracker_core.training.parts import BACKBONE, Given, Stage, weight_file


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
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


def bundled(stage: str = '') -> str:
    """The path of a stage's config in this package, or of the folder of all, as help shows it."""
    path = CONFIGS / f'train_{stage}.yaml' if stage else CONFIGS
    return str(path).replace('%', '%%')


def add_arguments(parser: argparse.ArgumentParser, stage: Stage[Any]) -> None:
    """Options of the command of a stage."""
    add_common_arguments(parser)
    parser.add_argument(
        '--config',
        metavar='FILE',
        help=f'YAML file (default: none; that of the bundled weights is {bundled(stage.name)})',
    )
    if stage.begins_with == (BACKBONE,):
        parser.add_argument(
            '--backbone',
            metavar='FILE',
            help='weights of the backbone (default: the bundled ones)',
        )
    elif stage.begins_with:
        parser.add_argument(
            '--from',
            dest='begin',
            metavar='DIR',
            help='folder of the weight files to begin with (default: the bundled ones)',
        )


def read_given(args: argparse.Namespace, stage: Stage[Any]) -> dict[str, Given]:
    """The weights that a stage begins with, by name, from where the options say."""
    if stage.begins_with == (BACKBONE,) and args.backbone:
        return {BACKBONE: Given.read(Path(args.backbone))}
    folder = Path(getattr(args, 'begin', None) or BUNDLED_FOLDER)
    return {name: Given.read(folder / weight_file(name)) for name in stage.begins_with}


def prepare(args: argparse.Namespace) -> Compute:
    """Check the budget, set the number of threads, choose where to compute."""
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
    workers = args.workers
    if workers is None:
        workers = max((os.cpu_count() or 1) - 1, 1) if on_gpu else 1
    if on_gpu:
        torch.backends.cudnn.benchmark = True
        torch.set_float32_matmul_precision('high')
    return Compute(torch.device(device), args.precision, workers)


def load_pools(folder: str, video_folders: Sequence[str]) -> tuple[Pool, Pool | None]:
    """The photos to learn from and those to check with, None where there are too few."""
    pool = load_pool(folder, 'train', video_folders, progress=True)
    try:
        return pool, load_pool(folder, 'held_out', video_folders)
    except ParameterError:
        return pool, None


def run_stage(stage: Stage[Any], args: argparse.Namespace) -> int:
    """Carry out `tracker train NAME`."""
    config = read_config(stage.config, args.config)
    given = read_given(args, stage)
    compute = prepare(args)
    config = seeded(config, args.seed)
    pool, held_out = load_pools(args.data, config.video_folders)
    torch.manual_seed(config.pairs.seed)
    run = TrainingRun(stage.make(config, given, pool), pool, config, args.out, compute)
    if args.resume:
        run.resume()
    print(
        f'{len(pool.photos)} photos, {len(pool.boxes)} boxes, {len(pool.followed)} followed '
        f'regions; {compute}; weights go to {run.out}: {", ".join(run.part.files)}'
    )
    run.run(args.minutes, args.steps, held_out=held_out)
    return 0

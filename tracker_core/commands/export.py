# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""`tracker export`: write a tracker's step for other runtimes."""

from __future__ import annotations

import argparse
from pathlib import Path

from tracker_core.commands import options

NAME = 'export'
ABOUT = "write a tracker's step for other runtimes"
SUFFIXES = {'onnx': 'onnx', 'tensorrt': 'engine'}  # of the files, by format


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--tracker', required=True, metavar='T', help='see `tracker list`')
    parser.add_argument('--preset', default='compact', metavar='P', help=options.DEFAULT)
    parser.add_argument('--format', choices=SUFFIXES, default='onnx', help=options.DEFAULT)
    parser.add_argument('--out', metavar='FILE', help='default: TRACKER_PRESET.onnx or .engine')
    parser.add_argument(
        '--size',
        type=options.size,
        metavar='WxH',
        help='frames of this size only; default: any (onnx), 640x480 (tensorrt)',
    )
    parser.add_argument(
        '--targets', type=options.count, default=1, metavar='N', help=options.DEFAULT
    )
    parser.add_argument(
        '--target-size',
        type=options.size,
        default=(80, 80),
        metavar='WxH',
        help='a target in a frame of 640x480 (or --size), where the step depends on it: its shape '
        '(tadt), whether it counts as small (ocean); default: 80x80',
    )
    parser.add_argument('--weights', metavar='W', help="file or folder, or 'random'")
    options.add_settings(parser)


def run(args: argparse.Namespace) -> int:
    path = Path(args.out or f'{args.tracker}_{args.preset}.{SUFFIXES[args.format]}')
    wanted = options.TrackerOptions(
        args.tracker,
        args.preset,
        'cpu' if args.format == 'onnx' else 'cuda',
        runtime=args.format,
        weights=args.weights,
        settings=args.set,
    )
    write_step(wanted, path, args.size, args.target_size, args.targets)
    print(f'wrote {path}: {path.stat().st_size / 2**20:.1f} MiB')
    return 0


def write_step(
    wanted: options.TrackerOptions,
    path: Path,
    size: tuple[int, int] | None,
    target_size: tuple[int, int],
    targets: int,
) -> None:
    """Write a step as its runtime reads it.

    Args:
        wanted: The tracker, with the runtime onnx or tensorrt.
        path: The file.
        size: Width and height of the frames; None: any, and for tensorrt 640 x 480.
        target_size: Width and height of the targets in such a frame.
        targets: How many there are.

    Raises:
        ParameterError: What the runtime needs is missing, or this tracker cannot be exported.
        TrackerError: The step cannot be exported.
    """
    from tracker_core.runtime import export

    tracker = wanted.create()
    program, inputs = export.example(tracker, size or (640, 480), target_size, targets)
    if wanted.runtime == 'onnx':
        export.write_onnx(program, inputs, path, any_size=size is None)
    else:
        from tracker_core.runtime.tensorrt import write_engine

        write_engine(program, inputs, path)

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""`tracker benchmark`: measure speed on rendered frames."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Any, TYPE_CHECKING

from tracker_core.commands import options
from tracker_core.errors import WeightsError

if TYPE_CHECKING:
    from tracker_core.tracker import Tracker

NAME = 'benchmark'
ABOUT = 'measure speed on rendered frames'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    options.add_tracker_options(parser, weights_note='; without any: random')
    parser.add_argument(
        '--frames', type=options.count, default=100, metavar='N', help=options.DEFAULT
    )
    parser.add_argument(
        '--size',
        type=options.size,
        default=(640, 480),
        metavar='WxH',
        help='of the frames; default: 640x480',
    )
    parser.add_argument('--json', metavar='FILE', help='write all results')


def run(args: argparse.Namespace) -> int:
    from tracker_core.evaluation.benchmark import benchmark, benchmark_table
    from tracker_core.evaluation.machine import machine_line
    from tracker_core.evaluation.report import write_json

    tracker = create_with_any_weights(options.TrackerOptions.read(args, args.tracker))
    result = benchmark(tracker, args.frames, args.size)
    print(f'{machine_line(result["machine"])}\n\n{benchmark_table(result)}')
    if args.json:
        write_json(args.json, result)
        print(f'wrote {args.json}')
    return 0


def create_with_any_weights(wanted: options.TrackerOptions) -> Tracker[Any, Any, Any]:
    """The tracker, with random weights where none were asked for and its own are missing."""
    try:
        return wanted.create()
    except WeightsError:
        if wanted.weights is not None:
            raise
        return replace(wanted, weights='random').create()

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""`tracker evaluate`: measure accuracy on annotated sequences."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
import sys
from typing import Any, TYPE_CHECKING

from tracker_core.commands import options
from tracker_core.errors import ParameterError
from tracker_core.registry import list_trackers

if TYPE_CHECKING:
    from tracker_core.data.sequences import VideoSequence
    from tracker_core.evaluation.peers import OpenCvTracker
    from tracker_core.tracker import Tracker

NAME = 'evaluate'
LONG = 'longterm:'
ABOUT = 'measure accuracy on annotated sequences'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--dataset',
        required=True,
        nargs='+',
        metavar='otb:DIR',
        help='OTB-format folders; or longterm:scenes or longterm:DIR, where the target is out of '
        'sight at times',
    )
    parser.add_argument('--sequences', type=options.names, metavar='A,B', help='only these')
    options.add_tracker_options(parser, several=True)
    parser.add_argument(
        '--peers', action='store_true', help="add OpenCV's CSRT, KCF and MIL to the comparison"
    )
    parser.add_argument(
        '--peer-model',
        action='append',
        default=[],
        type=_peer_model,
        metavar='NAME=FILES',
        help="add OpenCV's nano=BACKBONE.onnx,HEAD.onnx or vit=FILE.onnx",
    )
    parser.add_argument(
        '--starts',
        type=options.count,
        default=1,
        metavar='N',
        help='start each sequence at N frames, evenly spaced, and go on to its end; '
        + options.DEFAULT,
    )
    parser.add_argument('--json', metavar='FILE', help='write all results')
    parser.add_argument('--plots', metavar='DIR', help='write success.png and precision.png')
    parser.add_argument(
        '--boxes', metavar='DIR', help='write TRACKER_PRESET/SEQUENCE.txt, boxes in OTB format'
    )


def run(args: argparse.Namespace) -> int:
    from tracker_core.data.datasets import with_later_starts
    from tracker_core.evaluation.machine import describe_machine, machine_line
    from tracker_core.evaluation.run import (
        evaluate_tracker,
        make_report,
        result_table,
        summary_table,
        write_json,
    )
    from tracker_core.media.folders import some_names

    if args.dataset[0].startswith(LONG):
        return run_long(args)
    whole = read_sequences(args.dataset, args.sequences)
    for sequence in whole:
        if sequence.note:
            print(f'warning: {sequence.note}', file=sys.stderr)
    sequences = with_later_starts(whole, args.starts)
    trackers = all_trackers(args)
    print(machine_line(describe_machine()))
    results = []
    for tracker in trackers:  # each result is shown as soon as it is there
        folder = Path(args.boxes) / f'{tracker.name}_{tracker.preset}' if args.boxes else None
        result = evaluate_tracker(tracker, sequences, folder)
        results.append(result)
        weights = f', weights {result["weights"]}' if 'weights' in result else ''
        print(f'\n{tracker.name} {tracker.preset}{weights}\n{result_table(result)}', flush=True)
    if len(results) > 1:
        print(f'\n{summary_table(results)}')
    report = make_report(' '.join(args.dataset), results)
    if args.json:
        write_json(args.json, report)
        print(f'wrote {args.json}')
    if args.plots:
        from tracker_core.evaluation.plots import write_plots

        print(f'wrote {", ".join(map(str, write_plots(report, args.plots)))}')
    entries = [entry for result in results for entry in result['sequences']]
    bad = sorted({Path(path) for entry in entries for path in entry['unreadable']})
    if bad:
        print(f'{len(bad)} frames could not be read: {some_names(bad)}', file=sys.stderr)
    return 1 if bad else 0


def run_long(args: argparse.Namespace) -> int:
    """The same on long sequences."""
    from tracker_core.data.longterm import load_longterm
    from tracker_core.evaluation.longterm import evaluate_long, long_table
    from tracker_core.evaluation.machine import describe_machine, machine_line
    from tracker_core.evaluation.run import make_report, write_json

    if args.starts > 1 or args.plots or args.boxes or len(args.dataset) > 1:
        raise ParameterError(f'{LONG}... goes alone, without --starts, --plots and --boxes')
    sequences = load_longterm(args.dataset[0], args.sequences)
    trackers = all_trackers(args)
    print(machine_line(describe_machine()))
    results = []
    for tracker in trackers:
        results.append(evaluate_long(tracker, sequences))
        print(f'\n{tracker.name} {tracker.preset}')
        print(long_table(results[-1]['sequences'], 'sequence'), flush=True)
    print(f'\n{long_table(results, "tracker")}')
    if args.json:
        write_json(args.json, make_report(args.dataset[0], results))
        print(f'wrote {args.json}')
    return 0


def all_trackers(args: argparse.Namespace) -> list[Tracker[Any, Any, Any] | OpenCvTracker]:
    """Those that are asked for, and the peers."""
    from tracker_core.evaluation.peers import available_peers, OpenCvTracker

    trackers: list[Tracker[Any, Any, Any] | OpenCvTracker] = []
    trackers += create_trackers(options.TrackerOptions.read(args, ''), args.tracker)
    if args.peers:
        peers, complaints = available_peers()
        trackers += peers
        print(''.join(f'not compared: {complaint}\n' for complaint in complaints), end='')
    return trackers + [OpenCvTracker(name, models) for name, models in args.peer_model]


def read_sequences(
    datasets: Sequence[str], chosen: Sequence[str] | None = None
) -> list[VideoSequence]:
    """The sequences of datasets, of these the `chosen` ones, None for all.

    Raises:
        DatasetError: They are not there.
        ImageError: A file of theirs is no image.
    """
    from tracker_core.data.datasets import load_dataset
    from tracker_core.media.folders import check_images

    sequences = load_dataset(datasets, chosen)
    for sequence in sequences:
        check_images(sequence.frames)
    return sequences


def create_trackers(
    wanted: options.TrackerOptions, names: Sequence[str]
) -> list[Tracker[Any, Any, Any]]:
    """The trackers of these names, `['all']` for all, with the same options.

    Raises:
        ParameterError: There are settings, and more than one tracker; further errors as of
            `create_tracker`.
    """
    names = list_trackers() if names == ['all'] else names
    if wanted.settings and len(names) > 1:
        raise ParameterError('--set goes with a single --tracker')
    return [replace(wanted, name=name).create() for name in names]


def _peer_model(text: str) -> tuple[str, list[str]]:
    from tracker_core.evaluation.peers import MODELS

    name, _, files = text.partition('=')
    if name not in MODELS or not files:
        raise argparse.ArgumentTypeError(
            f'{text!r} is not {" or ".join(f"{name}=FILES" for name in MODELS)}'
        )
    return name, options.names(files)

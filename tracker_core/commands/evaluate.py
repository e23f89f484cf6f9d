# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""`tracker evaluate`: measure accuracy on annotated sequences."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
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
        metavar='KIND:DIR',
        help='otb:DIR, got10k:DIR, lasot:DIR, ...: see `tracker data`; or longterm:scenes or '
        'longterm:DIR, where the target is out of sight at times',
    )
    parser.add_argument(
        '--split',
        choices=('train', 'val', 'test'),
        help='of data sets that have splits; default: test, where there is one',
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
    parser.add_argument(
        '--jobs',
        type=options.count,
        default=1,
        metavar='N',
        help='run sequences in so many processes, which slow each other down; ' + options.DEFAULT,
    )
    parser.add_argument(
        '--results',
        metavar='DIR',
        help='keep the run over each sequence, and go on from what is there',
    )
    parser.add_argument('--json', metavar='FILE', help='write all results')
    parser.add_argument('--plots', metavar='DIR', help='write success.png and precision.png')
    parser.add_argument(
        '--boxes',
        metavar='DIR',
        help="write what was found to TRACKER_PRESET/, in files as the data set's toolkit reads",
    )
    parser.add_argument(
        '--submit', metavar='DIR', help='write these files to TRACKER_PRESET.zip, for a server'
    )


def run(args: argparse.Namespace) -> int:
    from tracker_core.data.datasets import find_parts, with_later_starts
    from tracker_core.evaluation.machine import describe_machine, machine_line
    from tracker_core.evaluation.report import make_report, summary_table, write_json
    from tracker_core.media.folders import some_names

    if args.dataset[0].startswith(LONG):
        return run_long(args)
    kinds = {find_parts(dataset)[0].kind for dataset in args.dataset}
    kind = kinds.pop() if len(kinds) == 1 else 'otb'  # what all have in common
    whole = read_sequences(args.dataset, args.sequences, args.split)
    for sequence in whole:
        if sequence.note:
            print(f'warning: {sequence.note}', file=sys.stderr)
    sequences = with_later_starts(whole, args.starts)
    makers = tracker_makers(args)
    trackers = [make() for make in makers]  # what cannot be made is said before any runs
    print(machine_line(describe_machine()))
    results = [
        run_tracker(args, kind, tracker, make, sequences)
        for tracker, make in zip(trackers, makers, strict=True)
    ]
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


def run_tracker(
    args: argparse.Namespace,
    kind: str,
    tracker: Tracker[Any, Any, Any] | OpenCvTracker,
    make: Callable[[], Any],
    sequences: Sequence[VideoSequence],
) -> dict[str, Any]:
    """Run one tracker, write its files and show its table, as soon as it is there."""
    from tracker_core.evaluation.longterm import long_table
    from tracker_core.evaluation.report import result_table, summarize_runs
    from tracker_core.evaluation.results import Results, write_files, write_submission
    from tracker_core.evaluation.run_all import run_all

    title = f'{tracker.name}_{tracker.preset}'
    kept = Results(Path(args.results) / title, tracker) if args.results else None
    runs = run_all(tracker, sequences, kept, make, args.jobs)
    result = {**summarize_runs(tracker, sequences, runs, kind), 'jobs': args.jobs}
    weights = f', weights {result["weights"]}' if 'weights' in result else ''
    print(f'\n{tracker.name} {tracker.preset}{weights}\n{result_table(result)}', flush=True)
    if 'long_term' in result:
        print(f'\n{long_table([{"name": tracker.name, **result["long_term"]}], "tracker")}')
    if args.boxes:
        write_files(Path(args.boxes) / title, kind, sequences, runs)
    if args.submit:
        path = Path(args.submit) / f'{title}.zip'
        write_submission(path, kind, sequences, runs)
        print(f'wrote {path}')
    return result


def run_long(args: argparse.Namespace) -> int:
    """The same on long sequences."""
    from tracker_core.data.longterm import load_longterm
    from tracker_core.evaluation.longterm import evaluate_long, long_table
    from tracker_core.evaluation.machine import describe_machine, machine_line
    from tracker_core.evaluation.report import make_report, write_json

    others = ('plots', 'boxes', 'submit', 'results', 'split')
    if args.starts > 1 or args.jobs > 1 or any(map(vars(args).get, others)) or args.dataset[1:]:
        names = ', '.join(f'--{name}' for name in ('starts', 'jobs', *others))
        raise ParameterError(f'{LONG}... goes alone, without {names}')
    sequences = load_longterm(args.dataset[0], args.sequences)
    trackers = [make() for make in tracker_makers(args)]
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


def tracker_makers(
    args: argparse.Namespace,
) -> list[Callable[[], Tracker[Any, Any, Any] | OpenCvTracker]]:
    """Functions that make those that are asked for, and the peers; another process can call them.

    Raises:
        ParameterError: There are settings, and more than one tracker.
    """
    from tracker_core.evaluation.peers import available_peers, OpenCvTracker

    names = list_trackers() if args.tracker == ['all'] else args.tracker
    wanted = options.TrackerOptions.read(args, '')
    if wanted.settings and len(names) > 1:
        raise ParameterError('--set goes with a single --tracker')
    makers: list[Callable[[], Tracker[Any, Any, Any] | OpenCvTracker]] = []
    makers += [replace(wanted, name=name).create for name in names]
    if args.peers:
        peers, complaints = available_peers()
        makers += [partial(OpenCvTracker, peer.name) for peer in peers]
        print(''.join(f'not compared: {complaint}\n' for complaint in complaints), end='')
    return makers + [partial(OpenCvTracker, name, models) for name, models in args.peer_model]


def read_sequences(
    datasets: Sequence[str], chosen: Sequence[str] | None = None, split: str | None = None
) -> list[VideoSequence]:
    """The sequences of datasets, of these the `chosen` ones, None for all; see `load_dataset`.

    Raises:
        DatasetError: They are not there.
        ImageError: A file of theirs is no image.
    """
    from tracker_core.data.datasets import load_dataset
    from tracker_core.media.folders import check_images, HEADERS_CHECKED

    sequences = load_dataset(datasets, chosen, split)
    left = HEADERS_CHECKED  # of all together: some data sets have millions
    for sequence in sequences:
        check_images(sequence.frames[: max(left, 1)])
        left -= len(sequence)
    return sequences


def _peer_model(text: str) -> tuple[str, list[str]]:
    from tracker_core.evaluation.peers import MODELS

    name, _, files = text.partition('=')
    if name not in MODELS or not files:
        raise argparse.ArgumentTypeError(
            f'{text!r} is not {" or ".join(f"{name}=FILES" for name in MODELS)}'
        )
    return name, options.names(files)

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""`tracker weights`: list weight files, convert one."""

from __future__ import annotations

import argparse
from pathlib import Path

from tracker_core.commands import options
from tracker_core.declaration import weights_folder
from tracker_core.errors import WeightsError
from tracker_core.registry import list_trackers, tracker_declaration
from tracker_core.tables import format_table

NAME = 'weights'
ABOUT = 'list weight files, convert one'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(title='actions', metavar='ACTION', dest='action')
    about = "turn an authors' weight file into safetensors"
    convert = actions.add_parser(
        'convert', help=about, description=f'{about[0].upper()}{about[1:]}.'
    )
    convert.add_argument('source', metavar='IN', help='safetensors, torch.save or MatConvNet')
    convert.add_argument('target', metavar='OUT', help='.safetensors')
    convert.add_argument('--tracker', required=True, metavar='T')
    convert.add_argument('--preset', default='paper', metavar='P', help=options.DEFAULT)


def run(args: argparse.Namespace) -> int:
    if args.action == 'convert':
        tensors = convert_weights(args.source, args.target, args.tracker, args.preset)
        print(f'wrote {args.target}: {tensors} tensors, fit for {args.tracker} {args.preset}')
    else:
        print(weights_table())
        print(f"\nThe authors' files are looked for in {weights_folder()} ($TRACKER_WEIGHTS).")
    return 0


def weights_table() -> str:
    """A line per file that a preset reads."""
    rows = []
    for name in list_trackers():
        for preset, declared in tracker_declaration(name).presets.items():
            for file in declared.weights:
                place = str(file.path or f'missing: {file.origin}')
                checksum = file.sha256[:16] or '-'
                rows.append([name, preset, file.file, file.licence, checksum, place])
    return format_table(['tracker', 'preset', 'file', 'licence', 'SHA-256', 'where'], rows)


def convert_weights(source: str, target: str, tracker: str, preset: str) -> int:
    """Write a weight file as safetensors; returns the number of its tensors.

    Raises:
        WeightsError: It cannot be read or does not fit the tracker, or the new name does not end
            in .safetensors.
        UnknownTrackerError: There is no such tracker or preset.
    """
    if Path(target).suffix != '.safetensors':
        raise WeightsError(f'{target} must end in .safetensors')
    from tracker_core.factory import create_tracker
    from tracker_core.weights import read_weight_file, save_safetensors

    create_tracker(tracker, preset, weights=source)  # refuses what does not fit
    state = read_weight_file(source)
    save_safetensors(state, target, {'source': Path(source).name})
    create_tracker(tracker, preset, weights=target)
    return len(state)

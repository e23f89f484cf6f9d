# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""`tracker data`: what a folder with a data set holds."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tracker_core.tables import format_table

if TYPE_CHECKING:
    from tracker_core.data.sequences import DataSet

NAME = 'data'
ABOUT = 'say what a folder with a data set holds, and what of it cannot be used'
MOST_SHOWN = 20  # complaints


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        'dataset',
        nargs='?',
        metavar='[KIND:]DIR',
        help='its layout is recognised where no KIND is given; without, the kinds are listed',
    )
    parser.add_argument('--split', choices=('train', 'val', 'test'), help='only this one')
    parser.add_argument(
        '--sheet',
        metavar='FILE',
        help='where to write the contact sheet; default: KIND_sheet.jpg',
    )


def run(args: argparse.Namespace) -> int:
    if args.dataset is None:
        print(layouts_table())
        return 0
    from tracker_core.data.contact_sheet import write_contact_sheet
    from tracker_core.data.datasets import LAYOUTS, read_dataset

    data = read_dataset(args.dataset, args.split, strict=False, progress=True)
    print(f'{data.spec}: {LAYOUTS[data.kind].title}')
    print(counts_table(data))
    notes = [each.note for each in data.sequences] + [each.note for each in data.images]
    show('note', [note for note in notes if note])
    show('refused', [f'{each.name}: {each.why}' for each in data.refused])
    if data.sequences or data.images:
        path = Path(args.sheet or f'{data.kind}_sheet.jpg')
        write_contact_sheet(path, data)
        print(f'wrote {path}')
    return 1 if data.refused else 0


def show(what: str, sentences: Sequence[str]) -> None:
    """The first of them, and how many there are."""
    for sentence in sentences[:MOST_SHOWN]:
        print(f'{what}: {sentence}')
    if len(sentences) > MOST_SHOWN:
        print(f'{what}: {len(sentences) - MOST_SHOWN} more')


def layouts_table() -> str:
    """A line per kind of data set."""
    from tracker_core.data.datasets import LAYOUTS

    rows = [[each.kind, each.title, each.expects] for each in LAYOUTS.values()]
    return format_table(['kind', 'data set', 'a folder of it holds'], rows)


def counts_table(data: DataSet) -> str:
    """A line per split: how many sequences and photos, and how much of them has boxes."""
    splits = {each.split for each in data.sequences} | {each.split for each in data.images}
    rows = []
    for split in sorted(splits):
        sequences = [each for each in data.sequences if each.split == split]
        images = [each for each in data.images if each.split == split]
        rows.append(
            [
                split or 'all',
                len(sequences),
                sum(map(len, sequences)),
                sum(int(each.has_box.sum()) for each in sequences),
                sum(int(each.absent.sum()) for each in sequences),
                sum(map(len, images)),
                sum(len(each.boxes) for each in images),
            ]
        )
    header = ['split', 'sequences', 'frames', 'with a box', 'absent', 'photos', 'objects']
    return format_table(header, rows)

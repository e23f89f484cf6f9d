# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""What a training learns from and is checked with, from what the command was given."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tracker_core.data import Footage, Library, load_pool
from tracker_core.data.datasets import read_dataset
from tracker_core.data.library import Shelf
from tracker_core.errors import ParameterError


def is_dataset(spec: str) -> bool:
    """Whether it is KIND:DIR, and not a folder."""
    return ':' in spec and not Path(spec).is_dir()


def load_pools(
    folders: Sequence[str], video_folders: Sequence[str], progress: bool = False
) -> tuple[Footage, Footage | None]:
    """Photos to learn from and those to check with, in memory, None where there are too few."""
    pool = load_pool(folders, 'train', video_folders, progress=progress)
    try:
        return pool, load_pool(folders, 'held_out', video_folders)
    except ParameterError:
        return pool, None


def open_libraries(
    specs: Sequence[str], held_out: Sequence[str] = (), progress: bool = False
) -> tuple[Library, Library | None]:
    """Data sets to learn from and those to check with, None where there are too few.

    What a data set has for training is learnt from, and what it has for validation is checked
    with; where it has nothing for validation, one sequence in nine and one photo in sixteen.

    Args:
        specs: KIND:DIR of each.
        held_out: Of those to check with; then all of `specs` is learnt from.
        progress: Show progress bars.

    Raises:
        DatasetError, ParameterError: A data set cannot be read, or there is nothing in it.
    """
    learned, checked = [], []
    for spec in specs:
        parts, refused = read_parts(spec, progress)
        learned.append(parts['all' if held_out else 'train'])
        checked.append(parts['held_out'])
        if refused and progress:
            print(refused)
    for spec in held_out:
        parts, _ = read_parts(spec, progress)
        checked.append(parts['whole'])
    library = Library(learned)
    try:
        return library, Library(checked[-len(held_out) :] if held_out else checked)
    except ParameterError:
        if held_out:
            raise
        return library, None


def read_parts(spec: str, progress: bool) -> tuple[dict[str, Shelf], str]:
    """Parts of a data set by name, and a sentence on what of it cannot be used.

    The parts: 'whole'; 'all' that may be learnt from; of it, where nothing is for validation,
    'train' and 'held_out', which otherwise are 'all' and what is for validation.
    """
    found = read_dataset(spec, strict=False, progress=progress)
    refused = ''
    if found.refused:
        first = found.refused[0]
        refused = f'{spec}: {len(found.refused)} parts are left out, as {first.name}: {first.why}'
    kept = {
        split: (
            [each for each in found.sequences if each.split in splits],
            [each for each in found.images if each.split in splits],
        )
        for split, splits in {'train': ('', 'train'), 'val': ('val',)}.items()
    }
    has_validation = any(len(each) > 0 for each in kept['val'])
    return {
        'whole': Shelf(found.kind, found.sequences, found.images),
        'all': Shelf(found.kind, *kept['train']),
        'train': Shelf(found.kind, *kept['train'], part='all' if has_validation else 'train'),
        'held_out': (
            Shelf(found.kind, *kept['val'])
            if has_validation
            else Shelf(found.kind, *kept['train'], part='held_out')
        ),
    }, refused

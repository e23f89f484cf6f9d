# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""What a layout of a data set says of itself, and what layouts have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
import os
from pathlib import Path
import re

import numpy as np

from tracker_core.boxes import is_box
from tracker_core.data.arrays import Floats
from tracker_core.data.sequences import DatasetError, Files, ImageSet, Refusal, VideoSequence
from tracker_core.data.text import read_lines
from tracker_core.media.folders import in_order, is_image_name

SPLITS = ('train', 'val', 'test')


@dataclass(frozen=True)
class Part:
    """What of a data set is read at once: a sequence, a video with its objects, or a table.

    Attributes:
        name: Of the sequence or video.
        path: Its annotation: a file, or a folder with several.
        split: Of `SPLITS`; empty where the data set has none.
    """

    name: str
    path: Path
    split: str = ''


Found = VideoSequence | ImageSet | Refusal


@dataclass(frozen=True)
class Layout:
    """How a data set lies on a disk.

    Attributes:
        kind: As in KIND:DIR.
        title: The data set's name.
        expects: What a folder of it holds, for the complaint that it is not there.
        find: The parts of a folder, without opening a file of them; empty if it is none.
        read: What a part holds. Raises `DatasetError`, which names file and line.
        is_certain: Whether a folder whose first part is this one cannot be of another layout that
            is tried later.
    """

    kind: str
    title: str
    expects: str
    find: Callable[[Path], list[Part]]
    read: Callable[[Part], list[Found]]
    is_certain: Callable[[Part], bool] = lambda part: True


def folders_in(folder: Path) -> list[Path]:
    """Its subfolders but hidden ones, by name."""
    with os.scandir(folder) as entries:
        names = [each.name for each in entries if each.is_dir() and not each.name.startswith('.')]
    return [folder / name for name in sorted(names)]


def split_of(folder: Path) -> str:
    """The split that the name of a folder says it is: train, TRAIN_3, TNL2K_test_subset."""
    words = folder.name.casefold().replace('-', '_').split('_')
    return next((split for split in SPLITS if split in words), '')


def listed_folders(folder: Path, holds: Callable[[Path], bool]) -> list[Path]:
    """Folders of sequences: the folder itself if it is one, else those in it that are, or, where
    there is a `list.txt`, those whose names stand in it, be they there or not.

    Args:
        folder: Where to look.
        holds: Whether a folder is one of a sequence.

    Raises:
        DatasetError: What stands in `list.txt` is no name.
    """
    if holds(folder):
        return [folder]
    names = folder / 'list.txt'
    if names.is_file():
        lines = [line.strip() for line in read_lines(names) if line.strip()]
        for line in lines:
            if Path(line).name != line:
                raise DatasetError(f'{names}: {line!r} is not the name of a folder beside it')
        return [folder / line for line in lines]
    return [each for each in folders_in(folder) if holds(each)]


def list_frames(folder: Path) -> Files:
    """The images of a folder, in the order of the numbers in their names.

    Raises:
        DatasetError: There is no such folder, or there are no images in it.
    """
    if not folder.is_dir():
        raise DatasetError(f'folder {folder} does not exist')
    with os.scandir(folder) as entries:
        names = [each.name for each in entries if is_image_name(each.name)]
    if not names:
        raise DatasetError(f'folder {folder} holds no images')
    are_alike = all(name.partition('.')[0].isdecimal() for name in names)
    if are_alike and len({len(name) for name in names}) == 1:  # millions of them, ordered fast
        return Files(folder, sorted(names))
    return Files(folder, in_order(names))


def with_frames(boxes: Floats, frames: Sequence[Path], annotation: Path, split: str) -> Floats:
    """Boxes, a row a frame. Of a test sequence only the first box may be published: the others
    are NaN then.

    Raises:
        DatasetError: There are not as many rows as frames.
    """
    if len(boxes) == 1 < len(frames) and split in ('test', ''):
        return np.concatenate([boxes, np.full((len(frames) - 1, 4), np.nan)])
    if len(boxes) != len(frames):
        raise DatasetError(f'{annotation} has {len(boxes)} lines for {len(frames)} images')
    return boxes


def first_frames(
    boxes: Floats, frames: Files, annotation: Path, spare: int
) -> tuple[Floats, Files, str]:
    """Boxes and frames, of which there are a few more of one than of the other, as published.

    Args:
        boxes, frames: Of a sequence.
        annotation: Where the boxes stand.
        spare: By how many they may differ.

    Returns:
        Boxes and frames that belong together, and what was left out, as a sentence.

    Raises:
        DatasetError: They differ by more.
    """
    difference = len(boxes) - len(frames)
    if abs(difference) > spare:
        raise DatasetError(f'{annotation} has {len(boxes)} lines for {len(frames)} images')
    if not difference:
        return boxes, frames, ''
    count = min(len(boxes), len(frames))
    note = (
        f'{annotation} has {len(boxes)} lines for {len(frames)} images: the first {count} of both '
        'are taken'
    )
    return boxes[:count], frames[:count], note


def from_first_box(sequence: VideoSequence) -> VideoSequence | None:
    """A sequence from its first frame with a box to the last one; None if there is none."""
    there = np.flatnonzero(is_box(sequence.boxes))
    return sequence.part(int(there[0]), int(there[-1]) + 1) if len(there) else None


def plain(name: str) -> str:
    """A name that can be that of a file: `_` for spaces and slashes."""
    return re.sub(r'[\s/\\]+', '_', name)


def by_name(parts: Iterable[Part]) -> dict[str, Part]:
    """Parts by their names.

    Raises:
        DatasetError: Two have the same.
    """
    known: dict[str, Part] = {}
    for part in parts:
        if part.name in known:
            raise DatasetError(
                f'{known[part.name].path} and {part.path} are both called {part.name}'
            )
        known[part.name] = part
    return known

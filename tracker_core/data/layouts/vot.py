# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""VOT, short-term and long-term (Kristan et al., the VOT challenges from 2013 on).

    DIR/list.txt                    names of the sequences; DIR may also be a workspace of the
    DIR/NAME/sequence               toolkit with all this in sequences/
    DIR/NAME/color/00000001.jpg     where the key channels.color of the file `sequence` says;
    DIR/NAME/00000001.jpg           until 2018 there is no such file, and the images are here
    DIR/NAME/groundtruth.txt        a region a line; groundtruth_OBJECT.txt of several objects

A region is a rectangle x,y,w,h, a polygon x,y,x,y,..., or a mask, the letter m and then x,y,w,h of
a rectangle and the lengths of runs of its pixels, row by row, by turns outside the object and in
it. Polygons and masks become the boxes around them. NaN, or an empty mask: absent.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tracker_core.boxes import is_box
from tracker_core.data.arrays import Floats
from tracker_core.data.layouts.layout import (
    Found,
    Layout,
    list_frames,
    listed_folders,
    Part,
    with_frames,
)
from tracker_core.data.sequences import DatasetError, VideoSequence
from tracker_core.data.text import read_lines, words_of

ABSENT = (np.nan,) * 4


def annotations_in(folder: Path) -> list[Path]:
    whole = folder / 'groundtruth.txt'
    return [whole] if whole.is_file() else sorted(folder.glob('groundtruth_*.txt'))


def is_sequence(folder: Path) -> bool:
    return bool(annotations_in(folder)) and not (folder / 'img').is_dir()


def find(folder: Path) -> list[Part]:
    """The sequences; an object each where there are several."""
    inner = folder / 'sequences'
    parts = []
    for each in listed_folders(inner if inner.is_dir() else folder, is_sequence):
        for path in annotations_in(each) or [each / 'groundtruth.txt']:
            number = path.stem.removeprefix('groundtruth').lstrip('_')
            parts.append(Part(f'{each.name}-{number}' if number else each.name, path))
    return parts


def is_certain(part: Part) -> bool:
    """Whether a sequence is VOT's, and not a folder of one's own with a ground truth."""
    folder = part.path.parent
    beside = (folder / 'sequence', folder / 'color', folder.parent / 'list.txt')
    return any(each.exists() for each in beside)


def read(part: Part) -> list[Found]:
    """One sequence."""
    rows = []
    for number, line in enumerate(read_lines(part.path), start=1):
        try:
            rows.append(region_box(line))
        except ValueError as error:
            raise DatasetError(f'{part.path}, line {number}: {error}') from None
    frames = list_frames(image_folder(part.path.parent))
    boxes = with_frames(np.array(rows), frames, part.path, part.split)
    absent = ~is_box(boxes)
    absent[len(rows) :] = False  # not published
    return [VideoSequence(part.name, frames, boxes, absent)]


def image_folder(folder: Path) -> Path:
    """Where the images of a sequence are."""
    about = folder / 'sequence'
    for line in read_lines(about) if about.is_file() else []:
        key, _, value = line.partition('=')
        if key.strip() == 'channels.color':
            return (folder / value.strip()).parent
    return folder / 'color' if (folder / 'color').is_dir() else folder


def region_box(text: str) -> tuple[float, ...]:
    """The box x, y, w, h around a region; NaN where the target is absent.

    Raises:
        ValueError: It is none.
    """
    text = text.strip()
    try:
        if text.startswith('m'):
            return mask_box([int(word) for word in words_of(text[1:])])
        numbers = [float(word) for word in words_of(text)]
    except ValueError:
        numbers = []
    if len(numbers) == 4:
        return tuple(numbers)
    if len(numbers) >= 6 and len(numbers) % 2 == 0:
        if np.isnan(numbers).any():
            return ABSENT
        x, y, right, bottom = (edge(numbers[axis::2]) for edge in (min, max) for axis in (0, 1))
        return x, y, right - x, bottom - y
    raise ValueError(
        f'expected x,y,w,h, a polygon x,y,x,y,x,y,... or a mask m..., found {text[:60]!r}'
    )


def mask_box(numbers: list[int]) -> tuple[float, ...]:
    """The box around a mask's pixels, given its rectangle and its runs.

    Raises:
        ValueError: The runs are longer than the rectangle, or there are no four numbers.
    """
    x, y, width, height, *runs = numbers
    ends = np.cumsum(runs)
    if width < 0 or height < 0 or min(runs, default=0) < 0 or ends[-1:].sum() > width * height:
        raise ValueError('runs that leave the rectangle')
    inside: Floats = np.zeros(width * height)
    for begin, end in zip(ends[::2], ends[1::2], strict=False):
        inside[begin:end] = 1
    rows, columns = np.nonzero(inside.reshape(height, width))
    if not len(rows):
        return ABSENT
    left, top = int(columns.min()), int(rows.min())
    size = int(columns.max()) - left + 1, int(rows.max()) - top + 1
    return float(x + left), float(y + top), float(size[0]), float(size[1])


VOT = Layout(
    'vot',
    'VOT',
    'folders with groundtruth.txt and images or color/',
    find,
    read,
    is_certain,
)

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Sequences with ground truth on disk, in the format of the Object Tracking Benchmark (OTB)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
import os
from pathlib import Path
import re

import numpy as np

from tracker_core.boxes import Box, is_box
from tracker_core.errors import TrackerError
from tracker_core.media.folders import list_images, some_names

# Of the sequences with more images than annotation: the number of the first annotated image, how
# many images there are, and how many lines.
PUBLISHED = {
    'david': (300, 770, 471),
    'diving': (1, 231, 215),
    'football1': (1, 81, 74),
    'freeman3': (1, 474, 460),
    'freeman4': (1, 297, 283),
}


class DatasetError(TrackerError, ValueError):
    """A data set that is missing, incomplete or damaged."""


@dataclass(frozen=True)
class OtbSequence:
    """An annotated sequence.

    Attributes:
        name: Its name.
        frames: Image files, in order.
        boxes: (N, 4) x, y, w, h in the coordinates of `Box`, one row a frame; rows that are NaN
            or without area: not annotated.
        note: Which images were left out, as a sentence; empty if none.
    """

    name: str
    frames: list[Path]
    boxes: np.ndarray
    note: str = ''

    @property
    def first_box(self) -> Box:
        return Box(*self.boxes[0])

    def __len__(self) -> int:
        return len(self.frames)


def load_dataset(
    specs: str | Sequence[str], names: Sequence[str] | None = None
) -> list[OtbSequence]:
    """Read the sequences of one or more data sets; the images are read when they are used.

    An OTB folder holds one folder per sequence with `img/` and `groundtruth_rect.txt`: a line
    x, y, w, h per image, separated by commas, tabs or spaces. Its first pixel has the coordinates
    (1, 1), as in MATLAB; so 1 is subtracted from x and y. Several objects in one sequence
    (`groundtruth_rect.1.txt`, `.2`) become the sequences NAME-1, NAME-2; an empty file beside one
    that is not is left out. Where there are more images than lines see `annotated_images`.

    Args:
        specs: 'otb:DIR', or several of these; DIR may also be the folder of a single sequence.
        names: Which sequences to take, in this order; None for all, by name.

    Raises:
        DatasetError: What is wrong with which folder, file or line.
    """
    annotations: dict[str, Path] = {}
    for spec in [specs] if isinstance(specs, str) else specs:
        for name, path in find_annotations(spec).items():
            if name in annotations:
                raise DatasetError(f'{annotations[name]} and {path} are both called {name}')
            annotations[name] = path
    chosen = list(annotations) if names is None else list(names)
    for name in chosen:
        if name not in annotations:
            raise DatasetError(f'there is no sequence {name!r}, only {", ".join(annotations)}')
    return [read_sequence(name, annotations[name]) for name in chosen]


def find_annotations(spec: str) -> dict[str, Path]:
    """The files of boxes in a data set by the names of their sequences; see `load_dataset`."""
    kind, _, text = spec.partition(':')
    if kind != 'otb' or not text:
        raise DatasetError(f"a data set is given as 'otb:DIR', not {spec!r}")
    folder = Path(os.path.abspath(Path(text).expanduser()))  # '.' has a name, too
    if not folder.is_dir():
        raise DatasetError(f'data set folder {folder} does not exist')
    annotations: dict[str, Path] = {}
    for each in [folder] if (folder / 'img').is_dir() else sorted(folder.iterdir()):
        paths = sorted(each.glob('groundtruth_rect*.txt')) if each.is_dir() else []
        for path in [path for path in paths if path.stat().st_size] or paths:
            part = path.name[len('groundtruth_rect') : -len('.txt')].lstrip('.-_ ')
            name = f'{each.name}-{part}' if part else each.name
            if name in annotations:
                raise DatasetError(f'{annotations[name]} and {path} are both called {name}')
            annotations[name] = path
    if not annotations:
        raise DatasetError(
            f'{folder} holds no sequences: folders with img/ and groundtruth_rect.txt are expected'
        )
    return annotations


def with_later_starts(sequences: Sequence[OtbSequence], starts: int) -> list[OtbSequence]:
    """Sequences, and their remainders from later frames on.

    This is the temporal robustness evaluation of the Object Tracking Benchmark: a single run hangs
    on chance, so a difference between trackers is clearer over several.

    Args:
        sequences: To begin with.
        starts: How many per sequence, evenly spaced: at the first frame that is annotated from
            k / starts of its length on, for k from 0.

    Returns:
        The parts of each sequence in order, named NAME@FRAME but for those from the first frame.
    """
    parts = []
    for sequence in sequences:
        annotated = np.flatnonzero(is_box(sequence.boxes))
        wanted = [k * len(sequence) // starts for k in range(starts)]
        firsts = {
            int(annotated[annotated >= first][0]) for first in wanted if first <= annotated[-1]
        }
        for first in sorted(firsts):
            name = f'{sequence.name}@{first}' if first else sequence.name
            frames, boxes = sequence.frames[first:], sequence.boxes[first:]
            parts.append(OtbSequence(name, frames, boxes, '' if first else sequence.note))
    return parts


def read_sequence(name: str, annotation: Path) -> OtbSequence:
    """Read one sequence, given its annotation file; see `load_dataset`."""
    boxes = read_boxes(annotation)
    images = annotation.parent / 'img'
    if not images.is_dir():
        raise DatasetError(f'sequence {name}: folder {images} does not exist')
    frames, note = annotated_images(annotation, list_images(images), len(boxes))
    if not is_box(boxes[:1])[0]:
        raise DatasetError(f'{annotation}, line 1: a sequence must begin with a box of some size')
    return OtbSequence(name, frames, boxes, note)


def annotated_images(
    annotation: Path, files: Sequence[Path], lines: int
) -> tuple[list[Path], str]:
    """The images to which the lines of an annotation file belong, in the folder of a sequence.

    As many images as lines: each has its line. More images: see `published_images`; elsewhere the
    first images are taken.

    Returns:
        The images, one a line, and which were left out, as a sentence; empty if none.

    Raises:
        DatasetError: There are fewer images than lines.
    """
    images = f'{len(files)} images'
    if len(files) < lines:
        raise DatasetError(f'{annotation} has {lines} lines but there are only {images}')
    if len(files) == lines:
        return list(files), ''
    known = published_images(annotation.parent.name, files, lines)
    chosen = known or list(files[:lines])
    taken = set(chosen)
    left_out = [path for path in files if path not in taken]
    why = ', as published' if known else ''
    return chosen, (
        f'{annotation} has {lines} lines for {images}: they are taken for those from '
        f'{chosen[0].name} to {chosen[-1].name}{why}, and {len(left_out)} are left out: '
        f'{some_names(left_out)}'
    )


def published_images(name: str, files: Sequence[Path], lines: int) -> list[Path] | None:
    """The annotated images of an OTB sequence that is published with more images than lines.

    David's annotation begins with the image number 300, and those of four other sequences end
    early. This holds in every spelling of the folder's name (`david`, `David_0`), if there are
    images for all lines, and under any name where both counts are the published ones.

    Args:
        name: Of the sequence's folder.
        files: All images, in order, named by their numbers.
        lines: Of the annotation.

    Returns:
        One image a line; None if it is no such sequence.
    """
    numbers = [int(path.stem) if path.stem.isdecimal() else None for path in files]
    words = re.split(r'[^a-z0-9]+', name.casefold())
    for sequence, (first, image_count, line_count) in PUBLISHED.items():
        if sequence in words or (len(files), lines) == (image_count, line_count):
            start = numbers.index(first) if first in numbers else len(files)
            if start + lines <= len(files):
                return list(files[start : start + lines])
    return None


def read_boxes(path: Path) -> np.ndarray:
    """The lines of an annotation file as (N, 4) boxes, 1 subtracted from x and y."""
    rows = []
    lines = path.read_text(encoding='utf-8-sig', errors='replace').rstrip().splitlines()
    for number, line in enumerate(lines, start=1):
        words = [word for word in re.split(r'[,\s]+', line.strip()) if word]
        try:
            row = [float(word) for word in words]
        except ValueError:
            row = []
        if len(row) != 4:
            raise DatasetError(
                f'{path}, line {number}: expected four numbers x, y, w, h, found {line.strip()!r}'
            )
        rows.append(row)
    if not rows:
        raise DatasetError(f'{path} is empty')
    return np.array(rows) - (1, 1, 0, 0)

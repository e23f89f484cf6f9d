# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Sequences with ground truth on disk, in the format of the Object Tracking Benchmark (OTB)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
import re

import numpy as np

from tracker_core.boxes import Box
from tracker_core.errors import TrackerError
from tracker_core.evaluation.metrics import is_box
from tracker_core.evaluation.video import list_images

FIRST_IMAGE = {'David': 300}  # number of the first annotated image, where it is not the first


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
    """

    name: str
    frames: list[Path]
    boxes: np.ndarray

    @property
    def first_box(self) -> Box:
        return Box(*self.boxes[0])

    def __len__(self) -> int:
        return len(self.frames)


def load_dataset(spec: str, names: Sequence[str] | None = None) -> list[OtbSequence]:
    """Read the sequences of a data set; the images are read when they are used.

    An OTB folder holds one folder per sequence with `img/` and `groundtruth_rect.txt`: a line
    x, y, w, h per image, separated by commas, tabs or spaces. Its first pixel has the coordinates
    (1, 1), as in MATLAB; so 1 is subtracted from x and y. Several objects in one sequence
    (`groundtruth_rect.1.txt`, `.2`) become the sequences NAME-1, NAME-2. Images after the last
    annotated one are left out.

    Args:
        spec: 'otb:DIR'; DIR may also be the folder of a single sequence.
        names: Which sequences to take, in this order; None for all, by name.

    Raises:
        DatasetError: What is wrong with which folder, file or line.
    """
    kind, _, text = spec.partition(':')
    if kind != 'otb' or not text:
        raise DatasetError(f"a data set is given as 'otb:DIR', not {spec!r}")
    folder = Path(text).expanduser()
    if not folder.is_dir():
        raise DatasetError(f'data set folder {folder} does not exist')
    folders = [folder] if (folder / 'img').is_dir() else sorted(folder.iterdir())
    annotations = {
        each.name + path.name[len('groundtruth_rect') : -len('.txt')].replace('.', '-'): path
        for each in folders
        if each.is_dir()
        for path in sorted(each.glob('groundtruth_rect*.txt'))
    }
    if not annotations:
        raise DatasetError(
            f'{folder} holds no sequences: folders with img/ and groundtruth_rect.txt are expected'
        )
    chosen = list(annotations) if names is None else list(names)
    for name in chosen:
        if name not in annotations:
            raise DatasetError(
                f'{folder} has no sequence {name!r}; it has {", ".join(annotations)}'
            )
    return [read_sequence(name, annotations[name]) for name in chosen]


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
            parts.append(OtbSequence(name, sequence.frames[first:], sequence.boxes[first:]))
    return parts


def read_sequence(name: str, annotation: Path) -> OtbSequence:
    """Read one sequence, given its annotation file; see `load_dataset`."""
    boxes = read_boxes(annotation)
    images = annotation.parent / 'img'
    if not images.is_dir():
        raise DatasetError(f'sequence {name}: folder {images} does not exist')
    files = list_images(images)
    if name in FIRST_IMAGE and len(files) > len(boxes):
        files = [
            path for path in files if path.stem.isdecimal() and int(path.stem) >= FIRST_IMAGE[name]
        ]
    if len(files) < len(boxes):
        raise DatasetError(
            f'sequence {name}: {annotation} has {len(boxes)} lines but {images} only '
            f'{len(files)} images'
        )
    if not is_box(boxes[:1])[0]:
        raise DatasetError(f'{annotation}, line 1: a sequence must begin with a box of some size')
    return OtbSequence(name, files[: len(boxes)], boxes)


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

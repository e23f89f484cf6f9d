# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Boxes that people drew: tables beside photos, and one line per frame beside a sequence."""

from __future__ import annotations

from collections.abc import Iterator
import csv
from pathlib import Path
import re

from tracker_core.data.otb import published_images
from tracker_core.errors import ParameterError


def read_box_table(path: Path) -> dict[str, list[list[float]]]:
    """Boxes x, y, w, h by file name; empty if there is no such csv file.

    Raises:
        ParameterError: The columns file, x, y, w, h are not there, or hold no numbers.
    """
    boxes: dict[str, list[list[float]]] = {}
    for (file,), box in table_rows(path, 'file'):
        boxes.setdefault(file, []).append(box)
    return boxes


def read_tracks(path: Path) -> dict[str, list[tuple[str, list[float]]]]:
    """File names and boxes x, y, w, h by track, in order; empty if there is no such csv file.

    Raises:
        ParameterError: The columns file, track, x, y, w, h are not there, or hold no numbers.
    """
    tracks: dict[str, list[tuple[str, list[float]]]] = {}
    for (file, track), box in table_rows(path, 'file', 'track'):
        tracks.setdefault(track, []).append((file, box))
    return tracks


def table_rows(path: Path, *names: str) -> Iterator[tuple[list[str], list[float]]]:
    """What stands in the columns `names` and x, y, w, h of a csv file; nothing without a file."""
    if not path.is_file():
        return
    with path.open(newline='') as lines:
        for row in csv.DictReader(lines):
            try:
                yield [row[name] for name in names], [float(row[key]) for key in 'xywh']
            except (KeyError, TypeError, ValueError):
                columns = ','.join((*names, *'xywh'))
                raise ParameterError(
                    f'{path} needs the columns {columns} with numbers; one row reads {row}'
                ) from None


def read_ground_truth(
    directory: Path, images: list[Path]
) -> tuple[list[list[float]] | None, list[Path]]:
    """One box per frame from an annotation file of the OTB or GOT-10k form, or None.

    OTB folders have their frames in `img`, beside which the file stands and counts pixels from
    one; GOT-10k folders have file and frames together.

    Args:
        directory: Where the frames are.
        images: All of them, in order.

    Returns:
        The boxes, and the frames that they belong to; without an annotation all.

    Raises:
        ParameterError: A line is not x, y, w, h, or there are not as many lines as frames, which
            is not known of this sequence (see `published_images`).
    """
    beside, within = directory.parent / 'groundtruth_rect.txt', directory / 'groundtruth.txt'
    if directory.name == 'img' and beside.is_file():
        path, offset = beside, 1.0
    elif within.is_file():
        path, offset = within, 0.0
    else:
        return None, images
    boxes = []
    for number, line in enumerate(path.read_text().rstrip().splitlines(), 1):
        try:
            x, y, w, h = (float(word) for word in re.split(r'[,\s]+', line.strip()))
        except ValueError:
            raise ParameterError(f'{path}, line {number}: {line!r} is not x,y,w,h') from None
        boxes.append([x - offset, y - offset, w, h])
    if len(boxes) == len(images):
        return boxes, images
    frames = published_images(directory.parent.name, images, len(boxes)) if offset else None
    if frames is None:
        raise ParameterError(f'{path} has {len(boxes)} boxes for {len(images)} frames')
    return boxes, frames

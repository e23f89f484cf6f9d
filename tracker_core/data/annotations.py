# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Boxes that people drew: tables beside photos, and one line per frame beside a sequence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from tracker_core.data.layouts.otb import published_images
from tracker_core.data.sequences import DatasetError
from tracker_core.data.text import read_boxes, read_table


def read_box_table(path: Path) -> dict[str, list[list[float]]]:
    """Boxes x, y, w, h by file name; empty if there is no such csv file.

    Raises:
        DatasetError: The columns file, x, y, w, h are not there, or hold no numbers.
    """
    boxes: dict[str, list[list[float]]] = {}
    for (file,), box, _ in table_rows(path, 'file'):
        boxes.setdefault(file, []).append(box)
    return boxes


def read_tracks(path: Path) -> dict[str, list[tuple[str, list[float]]]]:
    """File names and boxes x, y, w, h by track, in order; empty if there is no such csv file.

    Raises:
        DatasetError: The columns file, track, x, y, w, h are not there, or hold no numbers.
    """
    tracks: dict[str, list[tuple[str, list[float]]]] = {}
    for (file, track), box, _ in table_rows(path, 'file', 'track'):
        tracks.setdefault(track, []).append((file, box))
    return tracks


def table_rows(path: Path, *names: str) -> Iterator[tuple[list[str], list[float], str]]:
    """What stands in the columns `names`, x, y, w, h, and label of a csv file, row by row.

    Nothing without a file; the label may be missing, and is empty then.

    Raises:
        DatasetError: The other columns are not there, or x, y, w, h hold no numbers.
    """
    if not path.is_file():
        return
    header: list[str] = []
    for number, words in read_table(path):
        if number == 1:
            header = words
            continue
        row = dict(zip(header, words, strict=False))
        try:
            box = [float(row[key]) for key in 'xywh']
            yield [row[name] for name in names], box, row.get('label', '')
        except (KeyError, ValueError):
            columns = ','.join((*names, *'xywh'))
            raise DatasetError(
                f'{path} needs the columns {columns} with numbers; line {number} reads {row}'
            ) from None


def read_ground_truth(
    directory: Path, images: Sequence[Path]
) -> tuple[list[list[float]] | None, list[Path]]:
    """One box per frame from an annotation file of the OTB or GOT-10k form, or None.

    OTB folders have their frames in `img`, beside which the file stands; GOT-10k folders have file
    and frames together. Both count pixels from one; the boxes count from zero.

    Args:
        directory: Where the frames are.
        images: All of them, in order.

    Returns:
        The boxes, and the frames that they belong to; without an annotation all.

    Raises:
        DatasetError: A line is not x, y, w, h, or there are not as many lines as frames, which
            is not known of this sequence (see `published_images`).
    """
    beside, within = directory.parent / 'groundtruth_rect.txt', directory / 'groundtruth.txt'
    is_otb = directory.name == 'img' and beside.is_file()
    if not is_otb and not within.is_file():
        return None, list(images)
    path = beside if is_otb else within
    boxes = read_boxes(path, offset=1.0)
    if len(boxes) == len(images):
        return boxes.tolist(), list(images)
    name = directory.parent.name
    frames = published_images(name, images, len(boxes)) if is_otb else None
    if frames is None:
        raise DatasetError(f'{path} has {len(boxes)} boxes for {len(images)} frames')
    return boxes.tolist(), list(frames)

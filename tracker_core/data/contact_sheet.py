# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""A picture of a data set: frames of some of its sequences and photos, with their boxes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np

from tracker_core.boxes import Box, is_box
from tracker_core.data.arrays import Floats, Image
from tracker_core.data.sequences import DataSet, DatasetError
from tracker_core.errors import ImageError
from tracker_core.media.folders import read_image
from tracker_core.media.overlay import contact_sheet, draw_box, FONT

TILE = (240, 180)  # width, height
COLUMNS, ROWS = 6, 4
STRIP = 16  # pixels below, darkened for the name
COLOUR = (255, 176, 0)
Item = TypeVar('Item')


def write_contact_sheet(path: Path, data: DataSet) -> None:
    """Write up to 24 frames, evenly chosen, each of another sequence or photo, as one picture.

    A sequence is shown at another part of its length each. What cannot be read is a gray tile that
    says so.

    Raises:
        DatasetError: There is nothing to be shown, or the file cannot be written.
    """
    tiles = [tile(*each) for each in examples(data, COLUMNS * ROWS)]
    if not tiles:
        raise DatasetError(f'{data.folder} has no frames to be shown')
    sheet = contact_sheet(tiles, COLUMNS, COLUMNS * TILE[0])
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        written = cv2.imwrite(str(path), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
    except cv2.error:  # a suffix that says no format
        written = False
    if not written:
        raise DatasetError(f'{path} cannot be written as an image')


def examples(data: DataSet, count: int) -> Iterator[tuple[str, Path, Floats]]:
    """Name, file and boxes (N, 4) of up to `count` frames and photos, half of each where there
    are both."""
    photos = sum(map(len, data.images))
    shares = count - min(count // 2, photos)
    for place, sequence in enumerate(evenly(data.sequences, shares)):
        there = np.flatnonzero(is_box(sequence.boxes))
        number = int(there[len(there) * (2 * place % 7) // 7])
        yield sequence.name, sequence.frames[number], sequence.boxes[number : number + 1]
    left = count - min(shares, len(data.sequences))
    for images in evenly(data.images, left):
        for image in evenly(images, max(left // max(len(data.images), 1), 1)):
            yield f'{image.file.parent.name}/{image.file.stem}', image.file, image.boxes


def evenly(items: Sequence[Item], count: int) -> list[Item]:
    """Up to `count` of them, evenly spaced."""
    count = min(count, len(items))
    return [items[at * len(items) // count] for at in range(count)]


def tile(name: str, file: Path, boxes: Floats) -> Image:
    """A reduced frame with its boxes and its name."""
    width, height = TILE
    canvas = np.full((height, width, 3), 60, np.uint8)
    try:
        image = read_image(file)
    except ImageError:
        name = f'{name}: unreadable'
    else:
        factor = min(width / image.shape[1], height / image.shape[0])
        size = (max(round(image.shape[1] * factor), 1), max(round(image.shape[0] * factor), 1))
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        for box in boxes[is_box(boxes)]:
            draw_box(small, Box(*(box * factor)), COLOUR)
        x, y = (width - size[0]) // 2, (height - size[1]) // 2
        canvas[y : y + size[1], x : x + size[0]] = small
    canvas[height - STRIP :] //= 3
    words = name.encode('ascii', 'replace').decode()[-36:]
    white = (255, 255, 255)
    cv2.putText(canvas, words, (4, height - 5), FONT, 0.36, white, 1, cv2.LINE_AA)
    return canvas

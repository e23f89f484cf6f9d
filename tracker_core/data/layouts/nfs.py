# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""NfS, Need for Speed (Kiani Galoogahi et al., ICCV 2017), at 30 and at 240 frames per second.

    DIR/NAME/30/NAME/00001.jpg
    DIR/NAME/30/NAME.txt
    DIR/NAME/240/...

A line of a text file is an object's box in one frame: number of the object, left, top, right,
bottom, frame, lost, occluded, generated, "label".
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tracker_core.data.layouts.layout import (
    first_frames,
    folders_in,
    Found,
    Layout,
    list_frames,
    Part,
)
from tracker_core.data.sequences import DatasetError, VideoSequence
from tracker_core.data.text import read_lines

RATES = ('30', '240')
EACH = 8  # frames of 240 Hz to one of 30 Hz
SPARE = 8  # lines or images that some sequences have too many of


def find(folder: Path) -> list[Part]:
    """The sequences NAME_30 and NAME_240, of each folder that has them."""
    inner = [folder] if any((folder / rate).is_dir() for rate in RATES) else folders_in(folder)
    return [
        Part(f'{each.name}_{rate}', path)
        for each in inner
        for rate in RATES
        if (path := each / rate / f'{each.name}.txt').is_file()
    ]


def read(part: Part) -> list[Found]:
    """One sequence. Where the boxes of 30 Hz are those of 240 Hz, every eighth is taken."""
    rows = []
    for number, line in enumerate(read_lines(part.path), start=1):
        words = line.split()
        try:
            left, top, right, bottom, _, lost = (float(word) for word in words[1:7])
        except ValueError:
            raise DatasetError(
                f'{part.path}, line {number}: expected object, left, top, right, bottom, frame, '
                f'lost, ..., found {line.strip()!r}'
            ) from None
        rows.append((left, top, right - left, bottom - top, lost))
    table = np.array(rows)
    frames = list_frames(part.path.with_suffix(''))
    if part.path.parent.name == RATES[0] and len(table) > len(frames) + SPARE:
        table = table[::EACH]
    table, frames, note = first_frames(table, frames, part.path, SPARE)
    return [VideoSequence(part.name, frames, table[:, :4], table[:, 4] != 0, note=note)]


NFS = Layout(
    'nfs', 'NfS', 'NAME/30/NAME.txt or NAME/240/NAME.txt, and NAME/ beside it', find, read
)

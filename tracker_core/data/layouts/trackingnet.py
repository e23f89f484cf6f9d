# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""TrackingNet (Müller et al., ECCV 2018).

    DIR/{TRAIN_0,...,TRAIN_11,TEST}/frames/NAME/0.jpg
    DIR/{TRAIN_0,...,TRAIN_11,TEST}/anno/NAME.txt       x,y,w,h a line; in TEST only the first

DIR may also be one of the chunks.
"""

from __future__ import annotations

from pathlib import Path

from tracker_core.data.layouts.layout import (
    folders_in,
    Found,
    Layout,
    list_frames,
    Part,
    split_of,
    with_frames,
)
from tracker_core.data.sequences import VideoSequence
from tracker_core.data.text import read_boxes


def is_chunk(folder: Path) -> bool:
    return (folder / 'anno').is_dir() and (folder / 'frames').is_dir()


def find(folder: Path) -> list[Part]:
    """The sequences of all chunks that are there, or of the folder itself."""
    chunks = (
        [folder] if is_chunk(folder) else [each for each in folders_in(folder) if is_chunk(each)]
    )
    return [
        Part(path.stem, path, split_of(chunk))
        for chunk in chunks
        for path in sorted((chunk / 'anno').glob('*.txt'))
    ]


def read(part: Part) -> list[Found]:
    """One sequence."""
    frames = list_frames(part.path.parents[1] / 'frames' / part.name)
    boxes = with_frames(read_boxes(part.path), frames, part.path, part.split)
    return [VideoSequence(part.name, frames, boxes, split=part.split)]


TRACKINGNET = Layout(
    'trackingnet',
    'TrackingNet',
    'TRAIN_0/ to TRAIN_11/ or TEST/ with anno/ and frames/',
    find,
    read,
)

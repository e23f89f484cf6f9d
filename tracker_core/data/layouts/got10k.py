# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""GOT-10k (Huang, Zhao and Huang, TPAMI 2019).

    DIR/{train,val,test}/list.txt
    DIR/train/GOT-10k_Train_000001/00000001.jpg
                                   groundtruth.txt      x,y,w,h a line; in test/ only the first
                                   absence.label        0 or 1 a line: out of sight
                                   cover.label          0 to 8 a line: eighths that are seen
                                   cut_by_image.label   0 or 1 a line: the border cuts it
                                   meta_info.ini        object_class, ...

DIR may also be one of the splits, or a sequence. The first pixel has the coordinates (1, 1).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tracker_core.data.layouts.layout import (
    Found,
    Layout,
    list_frames,
    listed_folders,
    Part,
    split_of,
    SPLITS,
    with_frames,
)
from tracker_core.data.sequences import VideoSequence
from tracker_core.data.text import read_boxes, read_flags, read_lines, read_values

COVERS = 8  # steps of cover.label
OFFSET = 1.0  # its toolkit counts pixels from one


def is_sequence(folder: Path) -> bool:
    return (folder / 'groundtruth.txt').is_file()


def find(folder: Path) -> list[Part]:
    """The sequences of all splits that are there, or of the folder itself."""
    parts = []
    splits = [folder / split for split in SPLITS if (folder / split).is_dir()]
    for each in splits or [folder]:
        for path in listed_folders(each, is_sequence):
            parts.append(Part(path.name, path, split_of(each) or split_of(path)))
    return parts


def is_certain(part: Part) -> bool:
    """Whether a sequence is GOT-10k's, and not one of the like layouts of VOT."""
    return part.name.startswith('GOT-10k_') or (part.path / 'absence.label').is_file()


def read(part: Part) -> list[Found]:
    """One sequence; `cut_by_image.label` says nothing that the boxes do not."""
    annotation = part.path / 'groundtruth.txt'
    frames = list_frames(part.path)
    boxes = with_frames(read_boxes(annotation, OFFSET), frames, annotation, part.split)
    count = len(frames)
    cover = part.path / 'cover.label'
    seen = read_values(cover, count) / COVERS if cover.is_file() else np.ones(count)
    absent = read_flags(part.path / 'absence.label', count)
    category = object_class(part.path / 'meta_info.ini')
    visible = seen.astype(np.float32)
    return [VideoSequence(part.name, frames, boxes, absent, visible, category, part.split, OFFSET)]


def object_class(path: Path) -> str:
    """What meta_info.ini says of the object; empty without such a file."""
    for line in read_lines(path) if path.is_file() else []:
        key, _, value = line.partition(':' if ':' in line else '=')
        if key.strip() == 'object_class':
            return value.strip()
    return ''


GOT10K = Layout(
    'got10k',
    'GOT-10k',
    'train/, val/ or test/ with folders of images and groundtruth.txt',
    find,
    read,
    is_certain,
)

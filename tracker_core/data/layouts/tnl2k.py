# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""TNL2K (Wang et al., CVPR 2021).

    DIR/NAME/imgs/00001.png
             groundtruth.txt        x,y,w,h a line; without area where the target is absent
             language.txt           a sentence, which is not read

DIR may also hold TNL2K_train_subset/ and TNL2K_test_subset/.
"""

from __future__ import annotations

from pathlib import Path

from tracker_core.boxes import is_box
from tracker_core.data.layouts.layout import (
    first_frames,
    folders_in,
    Found,
    Layout,
    list_frames,
    Part,
    split_of,
)
from tracker_core.data.sequences import VideoSequence
from tracker_core.data.text import read_boxes

SPARE = 2  # lines or images that some sequences have too many of


def is_sequence(folder: Path) -> bool:
    return (folder / 'imgs').is_dir() and (folder / 'groundtruth.txt').is_file()


def find(folder: Path) -> list[Part]:
    """The sequences of a folder, or of the subsets in it."""
    if is_sequence(folder):
        return [Part(folder.name, folder, split_of(folder.parent))]
    inner = folders_in(folder)
    found = [each for each in inner if is_sequence(each)]
    found = found or [each for subset in inner for each in folders_in(subset) if is_sequence(each)]
    return [Part(each.name, each, split_of(each.parent)) for each in found]


def read(part: Part) -> list[Found]:
    """One sequence."""
    annotation = part.path / 'groundtruth.txt'
    frames = list_frames(part.path / 'imgs')
    boxes, frames, note = first_frames(read_boxes(annotation), frames, annotation, SPARE)
    absent = ~is_box(boxes)
    return [VideoSequence(part.name, frames, boxes, absent, split=part.split, note=note)]


TNL2K = Layout('tnl2k', 'TNL2K', 'folders with imgs/ and groundtruth.txt', find, read)

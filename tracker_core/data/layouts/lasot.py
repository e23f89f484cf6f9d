# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""LaSOT (Fan et al., CVPR 2019 and IJCV 2021).

    DIR/airplane/airplane-1/img/00000001.jpg
                            groundtruth.txt         x,y,w,h a line
                            full_occlusion.txt      0 or 1 a frame, with commas between
                            out_of_view.txt         the same

The folders of the categories may be missing: DIR/airplane-1/.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from tracker_core.boxes import is_box
from tracker_core.data.layouts.layout import (
    folders_in,
    Found,
    Layout,
    list_frames,
    Part,
    with_frames,
)
from tracker_core.data.sequences import VideoSequence
from tracker_core.data.text import read_boxes, read_flags

# Protocol II: four sequences of each of the 70 categories are for tests.
TEST = """
airplane 1 9 13 15, basketball 1 6 7 11, bear 2 4 6 17, bicycle 2 7 9 18, bird 2 3 15 17,
boat 3 4 12 17, book 3 10 11 19, bottle 1 12 14 18, bus 2 5 17 19, car 2 6 9 17, cat 1 3 18 20,
cattle 2 7 12 13, spider 14 16 18 20, coin 3 6 7 18, crab 3 6 12 18, surfboard 4 5 8 12,
cup 1 4 7 17, deer 4 8 10 14, dog 1 7 15 19, guitar 3 8 10 16, person 1 5 10 12,
pig 2 10 13 18, rubicCube 1 6 14 19, swing 10 14 17 20, drone 2 7 13 15, pool 3 7 12 15,
rabbit 10 13 17 19, racing 10 15 16 20, robot 1 5 8 19, sepia 6 8 13 16, sheep 3 5 7 9,
skateboard 3 8 16 19, tank 6 9 14 16, tiger 4 6 12 18, train 1 7 11 20, truck 3 6 7 16,
turtle 5 8 9 16, umbrella 2 9 17 19, yoyo 7 15 17 19, zebra 10 14 16 17, elephant 1 12 16 18,
goldfish 3 7 8 10, hat 1 2 5 18, kite 4 6 10 15, motorcycle 1 3 9 18, mouse 1 8 9 17,
flag 2 3 5 9, frog 3 4 9 20, gametarget 1 2 7 13, hand 2 3 9 16, helmet 5 11 13 19,
licenseplate 6 12 13 15, electricfan 1 10 18 20, chameleon 3 6 11 20, crocodile 3 4 10 14,
gecko 1 5 16 19, fox 2 3 5 20, giraffe 2 10 13 15, gorilla 4 6 9 13, hippo 1 7 9 20,
horse 1 4 12 15, kangaroo 2 5 11 14, leopard 1 7 16 20, lion 1 5 12 20, lizard 1 3 6 13,
microphone 2 6 14 16, monkey 3 4 9 17, shark 2 3 5 6, squirrel 8 11 13 19,
volleyball 1 13 18 19
"""


@cache
def test_names() -> frozenset[str]:
    """The 280 sequences of the official test split."""
    lines = (entry.split() for entry in TEST.replace('\n', ' ').split(','))
    return frozenset(f'{category}-{number}' for category, *numbers in lines for number in numbers)


def split_of_name(name: str) -> str:
    """The split of a sequence; further categories, as of LaSOT's extension, are for tests."""
    names = test_names()
    is_known = name.rpartition('-')[0] in {each.rpartition('-')[0] for each in names}
    return 'train' if is_known and name not in names else 'test'


def is_sequence(folder: Path) -> bool:
    return (folder / 'img').is_dir() and (folder / 'groundtruth.txt').is_file()


def find(folder: Path) -> list[Part]:
    """The sequences, in folders of categories or without."""
    folders = [folder]
    if not is_sequence(folder):
        outer = folders_in(folder)
        folders = [each for each in outer if is_sequence(each)]
        folders = folders or [
            each for category in outer for each in folders_in(category) if is_sequence(each)
        ]
    return [Part(each.name, each, split_of_name(each.name)) for each in folders]


def read(part: Part) -> list[Found]:
    """One sequence."""
    annotation = part.path / 'groundtruth.txt'
    frames = list_frames(part.path / 'img')
    boxes = with_frames(read_boxes(annotation), frames, annotation, part.split)
    absent = ~is_box(boxes)
    for name in ('full_occlusion.txt', 'out_of_view.txt'):
        absent |= read_flags(part.path / name, len(frames))
    category = part.name.rpartition('-')[0]
    return [VideoSequence(part.name, frames, boxes, absent, category=category, split=part.split)]


LASOT = Layout('lasot', 'LaSOT', 'folders with img/ and groundtruth.txt, by category', find, read)

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""UAV123, UAV123 at 10 frames per second, and UAV20L (Mueller, Smith and Ghanem, ECCV 2016).

    DIR/data_seq/UAV123/bike1/000001.jpg            of UAV20L as well
    DIR/data_seq/UAV123_10fps/bike1/000001.jpg
    DIR/anno/{UAV123,UAV123_10fps,UAV20L}/bike1.txt     x,y,w,h a line; NaN while out of sight

Its first pixel has the coordinates (1, 1), as in MATLAB. Some folders of images hold several
sequences one after the other.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
import re

from tracker_core.boxes import is_box
from tracker_core.data.layouts.layout import Found, Layout, list_frames, Part
from tracker_core.data.sequences import DatasetError, VideoSequence
from tracker_core.data.text import read_boxes

# The images at which the sequences NAME_1, NAME_2, ... begin, at 30 frames per second
STARTS = {
    'bird1': (1, 775, 1573),
    'car1': (1, 751, 1627),
    'car6': (1, 487, 1807, 2953, 3925),
    'car8': (1, 1357),
    'car16': (1, 415),
    'group1': (1, 1333, 2515, 3925),
    'group2': (1, 907, 1771),
    'group3': (1, 1567, 2827, 4369),
    'person2': (1, 1189),
    'person4': (1, 1501),
    'person5': (1, 877),
    'person7': (1, 1249),
    'person8': (1, 1075),
    'person12': (1, 601),
    'person14': (1, 847, 1813),
    'person17': (1, 1501),
    'person19': (1, 1243, 2791),
    'truck4': (1, 577),
    'uav1': (1, 1555, 2473),
}
IMAGES = {'UAV20L': 'UAV123'}  # whose images a set shares


def find(annotations: str, folder: Path) -> list[Part]:
    """The sequences of one of the three sets."""
    paths = sorted((folder / 'anno' / annotations).glob('*.txt'))
    return [Part(path.stem, path) for path in paths]


def images_of(name: str) -> tuple[str, int]:
    """The folder of a sequence's images, and the first of them at 30 frames per second."""
    parts = re.fullmatch(r'(.+)_(\d+)', name)
    if parts and parts[1] in STARTS and 0 < int(parts[2]) <= len(STARTS[parts[1]]):
        return parts[1], STARTS[parts[1]][int(parts[2]) - 1]
    return name, 1


def read(part: Part) -> list[Found]:
    """One sequence."""
    boxes = read_boxes(part.path, offset=1.0)
    annotations = part.path.parent.name
    folder, first = images_of(part.name)
    if annotations.endswith('10fps'):
        first = (first - 1) // 3 + 1
    root = part.path.parents[2] / 'data_seq' / IMAGES.get(annotations, annotations)
    frames = list_frames(root / folder)[first - 1 : first - 1 + len(boxes)]
    if len(frames) < len(boxes):
        raise DatasetError(
            f'{part.path} has {len(boxes)} lines, but from image {first} on there are only '
            f'{len(frames)} in {root / folder}'
        )
    return [VideoSequence(part.name, frames, boxes, ~is_box(boxes), offset=1.0)]


def layout(kind: str, annotations: str) -> Layout:
    """One of the three sets."""
    expects = f'anno/{annotations}/NAME.txt and data_seq/{IMAGES.get(annotations, annotations)}/'
    return Layout(kind, annotations, expects, partial(find, annotations), read)


UAV123 = layout('uav123', 'UAV123')
UAV123_10FPS = layout('uav123_10fps', 'UAV123_10fps')
UAV20L = layout('uav20l', 'UAV20L')

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""ImageNet VID (Russakovsky et al., IJCV 2015).

    DIR/Annotations/VID/train/ILSVRC2015_VID_train_0000/ILSVRC2015_train_00000000/000000.xml
    DIR/Annotations/VID/val/ILSVRC2015_val_00000000/000000.xml
    DIR/Data/VID/...                                                              000000.JPEG

Each object of a video is a sequence, from the first to the last frame with its box.
"""

from __future__ import annotations

from collections.abc import Iterator
import os
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from tracker_core.boxes import is_box
from tracker_core.data.layouts.layout import (
    folders_in,
    Found,
    from_first_box,
    Layout,
    list_frames,
    Part,
    plain,
    SPLITS,
)
from tracker_core.data.sequences import DatasetError, VideoSequence


def find(folder: Path) -> list[Part]:
    """The videos of all splits."""
    root = folder / 'Annotations' / 'VID'
    return [
        Part(video.name, video, split)
        for split in SPLITS
        if (root / split).is_dir()
        for video in videos_below(root / split)
    ]


def videos_below(folder: Path) -> Iterator[Path]:
    """Folders that hold XML files, in a folder or in groups in it."""
    for each in folders_in(folder):
        if holds_xml(each):
            yield each
        else:
            yield from (inner for inner in folders_in(each) if holds_xml(inner))


def holds_xml(folder: Path) -> bool:
    with os.scandir(folder) as entries:
        return any(each.name.endswith('.xml') for each in entries)


def read(part: Part) -> list[Found]:
    """The objects of a video."""
    files = sorted(part.path.glob('*.xml'))
    root = next(each for each in part.path.parents if each.name == 'Annotations')
    frames = list_frames(root.parent / 'Data' / part.path.relative_to(root))
    if len(frames) != len(files):
        raise DatasetError(f'{part.path} has {len(files)} files for {len(frames)} images')
    boxes: dict[str, np.ndarray] = {}
    categories: dict[str, str] = {}
    for number, path in enumerate(files):
        for track, category, box in read_objects(path):
            if track not in boxes:
                boxes[track] = np.full((len(files), 4), np.nan)
                categories[track] = category
            boxes[track][number] = box
    found: list[Found] = []
    for track, rows in boxes.items():
        name = plain(f'{part.name}-{track}')
        sequence = VideoSequence(
            name, frames, rows, ~is_box(rows), category=categories[track], split=part.split
        )
        trimmed = from_first_box(sequence)
        found += [trimmed] if trimmed else []
    return found


def read_objects(path: Path) -> list[tuple[str, str, tuple[float, ...]]]:
    """Number, category and box of each object in a frame.

    Raises:
        DatasetError: It is no XML, or there is no such thing in it.
    """
    try:
        found: list[tuple[str, str, tuple[float, ...]]] = []
        for each in ElementTree.parse(path).iter('object'):
            left, top, right, bottom = (
                float(each.findtext(f'bndbox/{edge}', ''))
                for edge in ('xmin', 'ymin', 'xmax', 'ymax')
            )
            box = (left, top, right - left, bottom - top)
            found.append((each.findtext('trackid', '0'), each.findtext('name', ''), box))
    except ElementTree.ParseError as error:  # says line and column
        raise DatasetError(f'{path} is not XML: {error}') from None
    except ValueError:
        raise DatasetError(f'{path}: an object without xmin, ymin, xmax and ymax') from None
    return found


IMAGENET_VID = Layout(
    'vid', 'ImageNet VID', 'Annotations/VID/ and Data/VID/ with train/ or val/', find, read
)

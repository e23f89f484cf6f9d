# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Folders of one's own: images, and beside them tables of boxes.

    DIR/.../NAME.jpg
    DIR/.../boxes.csv           file,x,y,w,h and, if known, label: objects in photos
    DIR/.../tracks.csv          file,track,x,y,w,h,label: objects that are followed through frames
    DIR/.../groundtruth.txt     or groundtruth_rect.txt beside img/: one object in all frames

All folders below DIR are looked into, but for hidden ones and `masks`. A track is a sequence, from
its first to its last frame.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from tracker_core.data.annotations import read_ground_truth, table_rows
from tracker_core.data.layouts.layout import (
    Found,
    from_first_box,
    Layout,
    list_frames,
    Part,
    plain,
)
from tracker_core.data.sequences import DatasetError, Files, ImageSet, VideoSequence

BOXES, TRACKS = 'boxes.csv', 'tracks.csv'
TRUTH = 'groundtruth.txt'
TRUTH_BESIDE = 'groundtruth_rect.txt'
LEFT_OUT = 'masks'


def find(folder: Path) -> list[Part]:
    """The folders with annotations."""
    parts = []
    for place, inner, files in os.walk(folder):
        inner[:] = sorted(n for n in inner if not n.startswith('.') and n != LEFT_OUT)
        path = Path(place)
        name = '_'.join(path.relative_to(folder).parts) or path.name
        has_sequence = TRUTH_BESIDE in files and 'img' in inner
        if has_sequence or not {BOXES, TRACKS, TRUTH}.isdisjoint(files):
            parts.append(Part(name, path))
    return parts


def read(part: Part) -> list[Found]:
    """What the tables of a folder say."""
    folder = part.path
    found: list[Found] = []
    if (folder / TRUTH_BESIDE).is_file() and (folder / 'img').is_dir():
        found.append(whole_sequence(part.name, folder / 'img'))
    elif (folder / TRUTH).is_file():
        found.append(whole_sequence(part.name, folder))
    if (folder / BOXES).is_file():
        found.append(photos(folder))
    if (folder / TRACKS).is_file():
        found += tracks(part.name, folder)
    return found


def whole_sequence(name: str, images: Path) -> VideoSequence:
    """One object in all frames."""
    boxes, frames = read_ground_truth(images, list_frames(images))
    return VideoSequence(name, Files(images, [path.name for path in frames]), np.array(boxes))


def photos(folder: Path) -> ImageSet:
    """All images of a folder, and what boxes.csv says of them."""
    frames = list_frames(folder)
    place = places_of(frames)
    rows, words = [], []
    for (name,), box, label in table_rows(folder / BOXES, 'file'):
        rows.append((known(place, name, folder / BOXES), box))
        words.append(label)
    names = list(dict.fromkeys(words))
    order = sorted(range(len(rows)), key=lambda i: rows[i][0])
    return ImageSet(
        frames,
        np.bincount(np.array([rows[i][0] for i in order], np.int64), minlength=len(frames)),
        np.array([rows[i][1] for i in order], np.float64),
        np.array([names.index(words[i]) for i in order], np.int32),
        names,
    )


def tracks(name: str, folder: Path) -> list[VideoSequence]:
    """What tracks.csv says."""
    frames = list_frames(folder)
    place = places_of(frames)
    boxes: dict[str, np.ndarray] = {}
    labels: dict[str, str] = {}
    for (file, track), box, label in table_rows(folder / TRACKS, 'file', 'track'):
        rows = boxes.setdefault(track, np.full((len(frames), 4), np.nan))
        rows[known(place, file, folder / TRACKS)] = box
        labels[track] = label
    sequences = [
        from_first_box(
            VideoSequence(plain(f'{name}-{track}'), frames, rows, category=labels[track])
        )
        for track, rows in boxes.items()
    ]
    return [sequence for sequence in sequences if sequence]


def places_of(frames: Files) -> dict[str, int]:
    """Which image has which name."""
    return {path.name: number for number, path in enumerate(frames)}


def known(place: dict[str, int], name: str, table: Path) -> int:
    """The number of an image.

    Raises:
        DatasetError: There is none of this name.
    """
    if name not in place:
        raise DatasetError(f'{table} speaks of {name}, which is not beside it')
    return place[name]


OWN = Layout('own', 'own', 'images with boxes.csv, tracks.csv or groundtruth.txt', find, read)

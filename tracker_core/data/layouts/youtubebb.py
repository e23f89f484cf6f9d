# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""YouTube-BoundingBoxes (Real et al., CVPR 2017): its tables, and the frames of the videos.

    DIR/yt_bb_detection_train.csv       ten columns, see COLUMNS; the box in shares of the image
    DIR/yt_bb_detection_train/YOUTUBE_ID/TIMESTAMP_MS.jpg

The tables come without videos. Whoever has these writes each annotated frame (one a second) under
the name of its time. Segments of which fewer than two frames are there are left out.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tracker_core.data.layouts.layout import Found, from_first_box, Layout, Part, plain, split_of
from tracker_core.data.sequences import DatasetError, Files, Refusal, VideoSequence
from tracker_core.data.text import read_table
from tracker_core.media.folders import read_image

COLUMNS = (
    'youtube_id, timestamp_ms, class_id, class_name, object_id, object_presence, '
    'xmin, xmax, ymin, ymax'
)


class Row(NamedTuple):
    """One annotated frame: its time, whether the object is in it, and where, in shares."""

    milliseconds: int
    is_absent: bool
    edges: tuple[float, ...]  # left, right, top, bottom


def find(folder: Path) -> list[Part]:
    """The tables."""
    paths = sorted(folder.glob('yt_bb_detection_*.csv'))
    return [Part(path.stem, path, split_of(path.with_suffix('')) or 'val') for path in paths]


def read(part: Part) -> list[Found]:
    """The segments of a table whose frames are there."""
    segments: dict[tuple[str, str, str], list[Row]] = {}
    for at, row in read_table(part.path):
        try:
            video, time, _, word, number, presence, *edges = row
            shares = tuple(float(edge) for edge in edges)
            one = Row(int(time), presence == 'absent', shares)
            if len(shares) != 4 or presence not in ('present', 'absent', 'uncertain'):
                raise ValueError
        except ValueError:
            raise DatasetError(
                f'{part.path}, line {at}: expected {COLUMNS}, found {row}'
            ) from None
        segments.setdefault((video, word, number), []).append(one)
    found: list[Found] = []
    names: dict[str, set[str]] = {}
    for (video, word, number), rows in segments.items():
        folder = part.path.with_suffix('') / video
        if video not in names:
            names[video] = set(os.listdir(folder)) if folder.is_dir() else set()
        kept = sorted(row for row in rows if f'{row.milliseconds}.jpg' in names[video])
        if len(kept) < 2:
            continue
        sequence = from_first_box(segment(f'{video}-{word}-{number}', folder, kept, word, part))
        found += [sequence] if sequence else []
    missing = len(segments) - len(found)
    if missing:
        why = f'{missing} of {len(segments)} segments have fewer than two frames with a box'
        found.append(Refusal(part.name, f'{part.path}: {why} in {part.path.with_suffix("")}/'))
    return found


def segment(name: str, folder: Path, rows: list[Row], category: str, part: Part) -> VideoSequence:
    """A segment; its first image is opened, for its size."""
    frames = Files(folder, [f'{row.milliseconds}.jpg' for row in rows])
    height, width = read_image(frames[0]).shape[:2]
    left, right, top, bottom = np.array([row.edges for row in rows]).T
    boxes = np.stack(
        [left * width, top * height, (right - left) * width, (bottom - top) * height], axis=1
    )
    absent = np.array([row.is_absent for row in rows])
    return VideoSequence(plain(name), frames, boxes, absent, category=category, split=part.split)


YOUTUBE_BB = Layout(
    'youtubebb', 'YouTube-BB', 'yt_bb_detection_train.csv and a folder of that name', find, read
)

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""OTB, the Object Tracking Benchmark (Wu et al., TPAMI 2015).

    DIR/NAME/img/0001.jpg
    DIR/NAME/groundtruth_rect.txt       x,y,w,h a line; tabs and spaces as well

Its first pixel has the coordinates (1, 1), as in MATLAB.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
import re

from tracker_core.data.layouts.layout import folders_in, Found, Layout, list_frames, Part
from tracker_core.data.sequences import DatasetError, VideoSequence
from tracker_core.data.text import read_boxes
from tracker_core.media.folders import some_names

# Of the sequences with more images than annotation: the number of the first annotated image, how
# many images there are, and how many lines.
PUBLISHED = {
    'david': (300, 770, 471),
    'diving': (1, 231, 215),
    'football1': (1, 81, 74),
    'freeman3': (1, 474, 460),
    'freeman4': (1, 297, 283),
}


def find(folder: Path) -> list[Part]:
    """Sequences: folders with `img/` and `groundtruth_rect.txt`.

    Several objects in one (`groundtruth_rect.1.txt`, `.2`) become the sequences NAME-1, NAME-2; an
    empty file beside one that is not is left out.
    """
    parts = []
    for each in [folder] if (folder / 'img').is_dir() else folders_in(folder):
        paths = sorted(each.glob('groundtruth_rect*.txt'))
        for path in [path for path in paths if path.stat().st_size] or paths:
            number = path.name[len('groundtruth_rect') : -len('.txt')].lstrip('.-_ ')
            parts.append(Part(f'{each.name}-{number}' if number else each.name, path))
    return parts


def read(part: Part) -> list[Found]:
    """One sequence."""
    boxes = read_boxes(part.path, offset=1.0)
    frames, note = annotated_images(part.path, list_frames(part.path.parent / 'img'), len(boxes))
    return [VideoSequence(part.name, frames, boxes, offset=1.0, note=note)]


def annotated_images(
    annotation: Path, files: Sequence[Path], lines: int
) -> tuple[Sequence[Path], str]:
    """The images to which the lines of an annotation file belong, in the folder of a sequence.

    As many images as lines: each has its line. More images: see `published_images`; elsewhere the
    first images are taken.

    Returns:
        The images, one a line, and which were left out, as a sentence; empty if none.

    Raises:
        DatasetError: There are fewer images than lines.
    """
    images = f'{len(files)} images'
    if len(files) < lines:
        raise DatasetError(f'{annotation} has {lines} lines but there are only {images}')
    if len(files) == lines:
        return files, ''
    known = published_images(annotation.parent.name, files, lines)
    chosen = known or files[:lines]
    taken = set(chosen)
    left_out = [path for path in files if path not in taken]
    why = ', as published' if known else ''
    return chosen, (
        f'{annotation} has {lines} lines for {images}: they are taken for those from '
        f'{chosen[0].name} to {chosen[-1].name}{why}, and {len(left_out)} are left out: '
        f'{some_names(left_out)}'
    )


def published_images(name: str, files: Sequence[Path], lines: int) -> Sequence[Path] | None:
    """The annotated images of an OTB sequence that is published with more images than lines.

    David's annotation begins with the image number 300, and those of four other sequences end
    early. This holds in every spelling of the folder's name (`david`, `David_0`), if there are
    images for all lines, and under any name where both counts are the published ones.

    Args:
        name: Of the sequence's folder.
        files: All images, in order, named by their numbers.
        lines: Of the annotation.

    Returns:
        One image a line; None if it is no such sequence.
    """
    numbers = [int(path.stem) if path.stem.isdecimal() else None for path in files]
    words = re.split(r'[^a-z0-9]+', name.casefold())
    for sequence, (first, image_count, line_count) in PUBLISHED.items():
        if sequence in words or (len(files), lines) == (image_count, line_count):
            start = numbers.index(first) if first in numbers else len(files)
            if start + lines <= len(files):
                return files[start : start + lines]
    return None


OTB = Layout('otb', 'OTB', 'folders with img/ and groundtruth_rect.txt', find, read)

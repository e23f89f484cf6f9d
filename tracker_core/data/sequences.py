# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""What a data set on disk is in memory: names of files, boxes, and what is known of each frame.

    set = read_dataset('got10k:GOT-10k', split='train')      # see `datasets`
    for sequence in set.sequences:                           # one object through a video
        sequence.frames[0], sequence.boxes[0], sequence.absent[0]
    for image in set.images:                                 # all objects of one photo
        image.file, image.boxes, image.categories

No image is opened. A frame costs the length of its name and 37 bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
import os
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import NDArray

from tracker_core.boxes import Box, is_box
from tracker_core.data.arrays import Floats
from tracker_core.errors import TrackerError

Flags = NDArray[np.bool_]


class DatasetError(TrackerError, ValueError):
    """A data set that is missing, incomplete or damaged."""


class Files(Sequence[Path]):
    """Files of one folder: a sequence of paths that keeps no more than their names.

    Args:
        folder: Where they are.
        names: Theirs, in order; relative to the folder.
    """

    def __init__(self, folder: Path, names: Sequence[str] | NDArray[np.bytes_]) -> None:
        self.folder = folder
        if not isinstance(names, np.ndarray):
            names = np.array([os.fsencode(name) for name in names], np.bytes_)
        self._names = names

    def __len__(self) -> int:
        return len(self._names)

    @overload
    def __getitem__(self, index: int) -> Path: ...

    @overload
    def __getitem__(self, index: slice) -> Files: ...

    def __getitem__(self, index: int | slice) -> Path | Files:
        if isinstance(index, slice):
            return Files(self.folder, self._names[index])
        return self.folder / os.fsdecode(bytes(self._names[index]))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # as of any list

    def __repr__(self) -> str:
        return f'Files({self.folder}, {len(self)} files)'

    def take(self, numbers: NDArray[np.intp]) -> Files:
        """Those of these numbers."""
        return Files(self.folder, self._names[numbers])


@dataclass(frozen=True)
class VideoSequence:
    """One object through a video of N frames; what readers give begins with a box.

    Attributes:
        name: Its name, which can be that of a file.
        frames: Image files, in order.
        boxes: (N, 4) float64 x, y, w, h in the coordinates of `Box`, one row a frame. Rows that
            are NaN or without area hold no box: the target is absent or was not annotated.
        absent: (N,) bool: known to be out of sight, wholly covered or out of the picture. The
            rows of `boxes` are NaN there. Default: nowhere.
        visible: (N,) float32: share of the target that is seen, 0 to 1; default: 0 while absent,
            else 1.
        category: What it is, in the data set's own word; empty if unknown.
        split: 'train', 'val', 'test', or empty where the data set has no such parts.
        offset: The data set's coordinates of the top-left corner of the image; its files have
            x + offset, y + offset for `boxes`. 1 where pixels are counted from one.
        note: What was left out, as a sentence; empty if nothing.

    Raises:
        DatasetError: Arrays of different lengths, or a name that would be a path.
    """

    name: str
    frames: Sequence[Path]
    boxes: Floats
    absent: Flags = field(default=None)  # type: ignore[arg-type]  # see __post_init__
    visible: NDArray[np.float32] = field(default=None)  # type: ignore[arg-type]
    category: str = ''
    split: str = ''
    offset: float = 0.0
    note: str = ''

    def __post_init__(self) -> None:
        if Path(self.name).name != self.name:  # results are written under it
            raise DatasetError(f'a sequence cannot be called {self.name!r}: that is a path')
        boxes = np.array(self.boxes, np.float64).reshape(-1, 4)
        count = len(self.frames)
        absent = np.zeros(count, bool) if self.absent is None else np.asarray(self.absent, bool)
        lengths = {'boxes': len(boxes), 'absent': len(absent)}
        visible = self.visible
        if visible is not None:
            lengths['visible'] = len(visible)
        for what, length in lengths.items():
            if length != count:
                raise DatasetError(f'sequence {self.name}: {count} frames, but {length} {what}')
        if visible is None:
            visible = ~absent
        boxes[absent] = np.nan
        object.__setattr__(self, 'boxes', boxes)
        object.__setattr__(self, 'absent', absent)
        object.__setattr__(self, 'visible', np.where(absent, 0.0, visible).astype(np.float32))

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def first_box(self) -> Box:
        """The box that a tracker is given.

        Raises:
            BoxError: The first row holds none.
        """
        return Box(*self.boxes[0])

    @property
    def has_box(self) -> Flags:
        """(N,) bool: in which frames there is a box."""
        return is_box(self.boxes)

    def part(self, first: int, end: int | None = None, name: str | None = None) -> VideoSequence:
        """The frames from `first` to before `end`."""
        kept = slice(first, end)
        return VideoSequence(
            self.name if name is None else name,
            self.frames[kept],
            self.boxes[kept],
            self.absent[kept],
            self.visible[kept],
            self.category,
            self.split,
            self.offset,
            '' if first else self.note,
        )


@dataclass(frozen=True)
class AnnotatedImage:
    """One photo and its M objects.

    Attributes:
        file: The image.
        boxes: (M, 4) float64 x, y, w, h in the coordinates of `Box`; M may be 0.
        categories: What each is, in the data set's own words; empty if unknown.
    """

    file: Path
    boxes: Floats
    categories: tuple[str, ...]


class ImageSet(Sequence[AnnotatedImage]):
    """Many annotated photos, in little memory.

    Args:
        files: Of the photos.
        counts: (len(files),) how many objects each has.
        boxes: (sum of counts, 4) theirs, photo by photo.
        categories: (sum of counts,) numbers into `category_names`.
        category_names: The words.
        split, note: As of `VideoSequence`.
    """

    def __init__(
        self,
        files: Sequence[Path],
        counts: NDArray[np.integer],
        boxes: Floats,
        categories: NDArray[np.integer],
        category_names: Sequence[str],
        split: str = '',
        note: str = '',
    ) -> None:
        self.files, self.split, self.note = files, split, note
        self.boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
        self.categories = np.asarray(categories, np.int32)
        self.category_names = tuple(category_names)
        self._ends = np.cumsum(counts, dtype=np.int64)
        objects = int(self._ends[-1]) if len(self._ends) else 0
        if len(files) != len(self._ends) or not len(self.boxes) == len(self.categories) == objects:
            raise DatasetError(
                f'{len(files)} photos with {objects} objects, but {len(self.boxes)} boxes and '
                f'{len(self.categories)} categories'
            )

    def __len__(self) -> int:
        return len(self.files)

    @overload
    def __getitem__(self, index: int) -> AnnotatedImage: ...

    @overload
    def __getitem__(self, index: slice) -> list[AnnotatedImage]: ...

    def __getitem__(self, index: int | slice) -> AnnotatedImage | list[AnnotatedImage]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        index = range(len(self))[index]
        kept = slice(int(self._ends[index - 1]) if index else 0, int(self._ends[index]))
        words = tuple(self.category_names[i] for i in self.categories[kept])
        return AnnotatedImage(self.files[index], self.boxes[kept], words)

    def photo_of(self, objects: NDArray[np.integer]) -> NDArray[np.intp]:
        """Which photo each of these objects, numbers into `boxes`, is on."""
        return np.searchsorted(self._ends, objects, side='right')

    def __repr__(self) -> str:
        return f'ImageSet({len(self)} photos, {len(self.boxes)} objects)'


@dataclass(frozen=True)
class Refusal:
    """A part of a data set that cannot be used.

    Attributes:
        name: Of the sequence or photo.
        why: The complaint, which names file and line.
    """

    name: str
    why: str


@dataclass(frozen=True)
class DataSet:
    """What was read of a folder.

    Attributes:
        kind: Of its layout, such as 'got10k'.
        folder: Where it is.
        sequences: Objects in videos.
        images: Sets of annotated photos, one a split or folder.
        refused: What cannot be used.
    """

    kind: str
    folder: Path
    sequences: list[VideoSequence] = field(default_factory=list)
    images: list[ImageSet] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)

    @property
    def spec(self) -> str:
        """As it is written on the command line."""
        return f'{self.kind}:{self.folder}'

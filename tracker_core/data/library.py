# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Data sets on a disk, of which only what a pair needs is read.

In memory are the names of files and the boxes, in arrays that processes share; a frame is decoded
when a pair is made of it, and forgotten. So memory does not grow with the frames that are read,
and hardly with those that are listed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
import logging
from pathlib import Path

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from tracker_core.data.arrays import Floats, Image
from tracker_core.data.photos import make_photo, Photo
from tracker_core.data.pool import HELD_OUT_FOLDERS, HELD_OUT_SHARE, is_held_out, SMALLEST_BOX
from tracker_core.data.regions import draw_region, Region
from tracker_core.data.sequences import ImageSet, VideoSequence
from tracker_core.data.sources import FRAMES_APART, Source
from tracker_core.errors import ImageError, ParameterError
from tracker_core.media.folders import read_image

log = logging.getLogger(__name__)
TRIES = 10  # unreadable images in a row, before that is an error


Item = tuple[int, int]  # number of an image set, -1 for the sequences, and which object of it


@dataclass(frozen=True)
class Seen:
    """An object in one frame, not yet read.

    Attributes:
        file: The image.
        box: (4,) x, y, w, h.
        shelf: The data set.
        item: Which of its objects.
    """

    file: Path
    box: Floats
    shelf: Shelf
    item: Item

    def is_of(self, other: Seen) -> bool:
        """Whether both are one object."""
        return self.shelf is other.shelf and self.item == other.item

    def is_like(self, other: Seen) -> bool:
        """Whether both are known to be of one category."""
        category = self.shelf.category(self.item)
        return category != '' and category == other.shelf.category(other.item)

    def others(self) -> Floats:
        """Boxes (M, 4) of further objects of its category that are known to be in the frame."""
        of, number = self.item
        if of < 0:
            return np.zeros((0, 4))
        images = self.shelf.images[of]
        photo = images[int(images.photo_of(self.shelf.objects[of][number]))]
        category = self.shelf.category(self.item)
        alike = [category != '' and word.casefold() == category for word in photo.categories]
        return photo.boxes[np.array(alike, bool) & (photo.boxes != self.box).any(axis=1)]


class Shelf:
    """One data set: its objects, each in a sequence or in a photo.

    Args:
        kind: Of the data set, such as 'got10k'.
        sequences: Those with a usable box in two frames are kept.
        images: Of each, the objects that are large enough are kept.
        part: 'all', 'held_out' (one sequence in nine and one photo in sixteen, chosen by name) or
            'train' (the others).
    """

    def __init__(
        self,
        kind: str,
        sequences: Sequence[VideoSequence],
        images: Sequence[ImageSet] = (),
        part: str = 'all',
    ) -> None:
        self.kind = kind
        self.sequences = [
            sequence
            for sequence in sequences
            if belongs(sequence.name, HELD_OUT_FOLDERS, part)
            and np.count_nonzero(usable(sequence)) > 1
        ]
        self.images = list(images)
        self.objects = [usable_objects(each, part) for each in images]  # numbers of boxes
        self._ends = np.cumsum([len(each) for each in self.objects])

    @property
    def frames(self) -> int:
        """Frames and photos that are listed."""
        return sum(map(len, self.sequences)) + sum(map(len, self.images))

    @property
    def in_photos(self) -> int:
        """Objects in photos."""
        return int(self._ends[-1]) if len(self._ends) else 0

    def __len__(self) -> int:
        return len(self.sequences) + self.in_photos

    def draw_item(self, rng: Generator) -> Item:
        """A sequence or an object in a photo: of either kind half, where there are both."""
        if self.sequences and (not self.in_photos or rng.random() < 0.5):
            return -1, int(rng.integers(len(self.sequences)))
        return self.item(int(rng.integers(self.in_photos)))

    def item(self, number: int) -> Item:
        """The object in a photo of this number."""
        of = int(np.searchsorted(self._ends, number, side='right'))
        return of, number - (int(self._ends[of - 1]) if of else 0)

    def category(self, item: Item) -> str:
        """What an object is, in lower case; empty if unknown."""
        of, number = item
        if of < 0:
            return self.sequences[number].category.casefold()
        images = self.images[of]
        return images.category_names[images.categories[self.objects[of][number]]].casefold()

    def views(self, rng: Generator, item: Item, apart: int) -> tuple[Seen, Seen]:
        """Two views of an object, at most so many frames apart; of a photo the same twice."""
        of, number = item
        if of >= 0:
            images, which = self.images[of], self.objects[of][number]
            file = images.files[int(images.photo_of(which))]
            seen = Seen(file, images.boxes[which], self, item)
            return seen, seen
        sequence = self.sequences[number]
        frames = np.flatnonzero(usable(sequence))
        first = int(rng.choice(frames))
        near = frames[(np.abs(frames - first) <= apart) & (frames != first)]
        second = int(rng.choice(near)) if len(near) else first
        early, late = (
            Seen(sequence.frames[at], sequence.boxes[at], self, item) for at in (first, second)
        )
        return early, late

    @cached_property
    def kin(self) -> dict[str, tuple[NDArray[np.int32], NDArray[np.int32]]]:
        """By category with more than one object: numbers of sequences and of objects in photos."""
        found: dict[str, tuple[list[int], list[NDArray[np.int32]]]] = {}
        for number, sequence in enumerate(self.sequences):
            found.setdefault(sequence.category.casefold(), ([], []))[0].append(number)
        start = 0
        for images, objects in zip(self.images, self.objects, strict=True):
            categories = images.categories[objects]
            for category in np.unique(categories):
                name = images.category_names[category].casefold()
                numbers = np.flatnonzero(categories == category).astype(np.int32) + start
                found.setdefault(name, ([], []))[1].append(numbers)
            start += len(objects)
        none = np.zeros(0, np.int32)
        kin = {
            name: (np.array(videos, np.int32), np.concatenate([none, *photos]))
            for name, (videos, photos) in found.items()
        }
        return {n: (v, p) for n, (v, p) in kin.items() if n and len(v) + len(p) > 1}

    def draw_kin(self, rng: Generator, item: Item) -> Item | None:
        """Another object of the same category, None if there is none."""
        videos, photos = self.kin.get(self.category(item), ((), ()))
        for _ in range(TRIES if len(videos) + len(photos) else 0):
            of_videos = len(videos) and (not len(photos) or rng.random() < 0.5)
            other = (
                (-1, int(rng.choice(videos))) if of_videos else self.item(int(rng.choice(photos)))
            )
            if other != item:
                return other
        return None


def belongs(name: str, share: int, part: str) -> bool:
    """Whether what has this name is of a part, see `Shelf`; one in `share` is held out."""
    return part == 'all' or is_held_out(name, share) == (part == 'held_out')


def large_enough(boxes: Floats) -> NDArray[np.bool_]:
    """Which boxes (N, 4) are neither tiny nor slivers; a row without a box is not."""
    w, h = boxes[:, 2], boxes[:, 3]
    return (np.minimum(w, h) >= SMALLEST_BOX / 2) & (w * h >= SMALLEST_BOX**2)


def usable(sequence: VideoSequence) -> NDArray[np.bool_]:
    """(N,) in which frames something of the target is seen and its box is large enough."""
    return (sequence.visible > 0) & large_enough(sequence.boxes)


def usable_objects(images: ImageSet, part: str) -> NDArray[np.int32]:
    """Numbers of the boxes of a set that are large enough and on photos of a part."""
    found = np.flatnonzero(large_enough(images.boxes)).astype(np.int32)
    if part == 'all':
        return found
    named = [
        belongs(f'{file.parent.name}/{file.name}', HELD_OUT_SHARE, part) for file in images.files
    ]
    kept = np.array(named, bool)[images.photo_of(found)]
    return found[kept]


class Library:
    """Data sets to make pairs of; see `Footage`.

    Attributes:
        shelves: One for each data set that has something.

    Raises:
        ParameterError: None has.
    """

    def __init__(self, shelves: Sequence[Shelf]) -> None:
        self.shelves = [shelf for shelf in shelves if len(shelf)]
        if not self.shelves:
            raise ParameterError(
                'training data: no object is seen in two frames, or in a photo, with a box of at '
                f'least {SMALLEST_BOX:.0f} x {SMALLEST_BOX:.0f} pixels'
            )

    def __str__(self) -> str:
        return ', '.join(
            f'{shelf.kind}: {len(shelf.sequences)} sequences and {shelf.in_photos} objects in '
            f'photos, {shelf.frames} frames'
            for shelf in self.shelves
        )

    def draw_shelf(self, rng: Generator, weights: Mapping[str, float] | None = None) -> Shelf:
        """A data set by the weights of the kinds, 1 for those that have none."""
        shares = np.array([(weights or {}).get(shelf.kind, 1.0) for shelf in self.shelves])
        if shares.sum() <= 0:
            raise ParameterError('no data set has a weight above zero')
        return self.shelves[rng.choice(len(self.shelves), p=shares / shares.sum())]

    def sources(self) -> Mapping[str, Source]:
        """See `Footage`: videos are sequences, photos boxes, and a region of any is a photo."""
        videos = [shelf for shelf in self.shelves if shelf.sequences]
        photos = [shelf for shelf in self.shelves if shelf.in_photos]
        return {
            'photo': RegionSource(self),
            'box': ObjectSource(photos, in_photos=True),
            'sequence': ObjectSource(videos, in_photos=False),
        }

    def draw_photo(self, rng: Generator, group: str | None = None) -> Photo:
        """See `Footage`; a group is a kind of data set."""
        among = [shelf for shelf in self.shelves if group in (None, shelf.kind)]

        def drawn() -> tuple[Seen, Seen]:
            shelf = among[rng.integers(len(among))]
            return shelf.views(rng, shelf.draw_item(rng), 0)

        return read_regions(drawn)[0].photo


def read(draw: Callable[[], tuple[Seen, Seen]]) -> tuple[tuple[Seen, Image], tuple[Seen, Image]]:
    """The first two views that are drawn whose images can be read, with these, (H, W, 3) RGB.

    Raises:
        ImageError: Ten times in a row an image could not be read.
    """
    for left in reversed(range(TRIES)):
        first, second = draw()
        try:
            image = read_image(first.file)
            later = image if second.file == first.file else read_image(second.file)
        except ImageError as error:
            if not left:
                raise
            log.warning('%s; another pair is made in its place', error)
        else:
            return (first, image), (second, later)
    raise AssertionError  # the last try returns or raises


def read_regions(draw: Callable[[], tuple[Seen, Seen]]) -> tuple[Region, Region]:
    """The same as regions of photos."""
    first, second = read(draw)
    photo = make_photo(first[1], first[0].shelf.kind, first[0].box)
    is_one = second[1] is first[1]
    later = photo if is_one else make_photo(second[1], second[0].shelf.kind, second[0].box)
    return Region(photo, first[0].box), Region(later, second[0].box)


class RegionSource:
    """Any textured region of a frame, seen twice; see `Source`."""

    has_edges = False

    def __init__(self, library: Library) -> None:
        self.library = library

    def __len__(self) -> int:
        return len(self.library.shelves)

    def draw(self, rng: Generator) -> tuple[Region, Region]:
        """See `Source`."""
        photo = self.library.draw_photo(rng)
        region = Region(photo, draw_region(rng, photo))
        return region, region


class ObjectSource:
    """Objects in photos, or in videos; see `Source`."""

    has_edges = True

    def __init__(self, shelves: Sequence[Shelf], in_photos: bool) -> None:
        self.shelves, self.in_photos = shelves, in_photos

    def __len__(self) -> int:
        return sum(s.in_photos if self.in_photos else len(s.sequences) for s in self.shelves)

    def draw(self, rng: Generator) -> tuple[Region, Region]:
        """See `Source`."""

        def drawn() -> tuple[Seen, Seen]:
            shelf = self.shelves[int(rng.integers(len(self.shelves)))]
            if self.in_photos:
                item = shelf.item(int(rng.integers(shelf.in_photos)))
            else:
                item = (-1, int(rng.integers(len(shelf.sequences))))
            return shelf.views(rng, item, FRAMES_APART)

        return read_regions(drawn)

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Where targets come from: what can be seen twice.

A source draws a target's two views, and is empty where there is nothing for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.random import Generator

from tracker_core.data.photos import Photo
from tracker_core.data.regions import draw_region, Region

Item = TypeVar('Item')
SOURCES = ('photo', 'box', 'sequence', 'followed')  # in the order of their weights in a config
FRAMES_APART = 50  # at most, of the two views in a sequence


class Balanced(Generic[Item]):
    """Items drawn so that a group's share grows with the square root of its size.

    Args:
        items: What to draw from.
        groups: The group of each.
    """

    def __init__(self, items: Sequence[Item], groups: Sequence[str]) -> None:
        self.items = items
        _, inverse, counts = np.unique(
            np.array(groups, dtype=str), return_inverse=True, return_counts=True
        )
        weights = (1.0 / np.sqrt(counts))[inverse]
        self.cumulative = np.cumsum(weights / weights.sum())

    def __len__(self) -> int:
        return len(self.items)

    def draw(self, rng: Generator) -> Item:
        """One item."""
        place = int(np.searchsorted(self.cumulative, rng.random(), side='right'))
        return self.items[min(place, len(self.items) - 1)]


class Source(Protocol):
    """Targets that can be seen twice.

    Attributes:
        has_edges: Whether their boxes are those of objects, and so tell where one ends.
    """

    has_edges: bool

    def __len__(self) -> int: ...

    def draw(self, rng: Generator) -> tuple[Region, Region]:
        """The first and the second view of a target."""
        ...


class PhotoSource:
    """A textured region of any photo, seen twice."""

    has_edges = False

    def __init__(self, photos: Sequence[Photo]) -> None:
        self.photos = balanced_photos(photos)

    def __len__(self) -> int:
        return len(self.photos)

    def draw(self, rng: Generator) -> tuple[Region, Region]:
        """See `Source`."""
        photo = self.photos.draw(rng)
        region = Region(photo, draw_region(rng, photo))
        return region, region


class BoxSource:
    """An annotated object, seen twice."""

    has_edges = True

    def __init__(self, boxes: Sequence[Region]) -> None:
        self.boxes = Balanced(boxes, [region.photo.group for region in boxes])

    def __len__(self) -> int:
        return len(self.boxes)

    def draw(self, rng: Generator) -> tuple[Region, Region]:
        """See `Source`."""
        region = self.boxes.draw(rng)
        return region, region


class SequenceSource:
    """One object in two frames of an annotated sequence."""

    has_edges = True

    def __init__(self, sequences: Sequence[Sequence[Region]]) -> None:
        self.sequences = Balanced(sequences, [frames[0].photo.group for frames in sequences])

    def __len__(self) -> int:
        return len(self.sequences)

    def draw(self, rng: Generator) -> tuple[Region, Region]:
        """See `Source`."""
        frames = self.sequences.draw(rng)
        first = int(rng.integers(len(frames)))
        apart = rng.integers(-FRAMES_APART, FRAMES_APART + 1)
        return frames[first], frames[int(np.clip(first + apart, 0, len(frames) - 1))]


class FollowedSource:
    """A region that optical flow followed from one frame to another, in either order."""

    has_edges = False

    def __init__(self, followed: Sequence[tuple[Region, Region]]) -> None:
        self.followed = Balanced(followed, [early.photo.group for early, _ in followed])

    def __len__(self) -> int:
        return len(self.followed)

    def draw(self, rng: Generator) -> tuple[Region, Region]:
        """See `Source`."""
        early, late = self.followed.draw(rng)
        return (late, early) if rng.random() < 0.5 else (early, late)


class Footage(Protocol):
    """What pairs are made of: a `PhotoPool` in memory, or data sets on a disk (`Library`)."""

    def sources(self) -> Mapping[str, Source]:
        """By the names in `SOURCES`; those that are left out are empty."""
        ...

    def draw_photo(self, rng: Generator, group: str | None = None) -> Photo:
        """Any photo, of a group where one is given."""
        ...


def balanced_photos(photos: Sequence[Photo]) -> Balanced[Photo]:
    """All photos, to be drawn."""
    return Balanced(photos, [photo.group for photo in photos])

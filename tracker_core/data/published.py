# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Pairs as the trackers' papers have them: two frames of a video, cut around the target, moved and
scaled, and otherwise left as they are.

What the papers say in common is here, and what they differ in are the values of a config; those of
each tracker are in `tracker_core.training.published`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.random import Generator

from tracker_core.data.arrays import Floats, Image
from tracker_core.data.augmentation import jitter_colors
from tracker_core.data.geometry import center_of, map_box, mean_side, view_matrix, warp
from tracker_core.data.library import Library, read, Seen
from tracker_core.data.pairs import check_shares, check_sizes, Pair
from tracker_core.errors import ParameterError


@dataclass(frozen=True)
class PublishedPairConfig:
    """How pairs are drawn and cut.

    Attributes:
        template_size: Side of the template crop in pixels.
        search_size: Side of the search crop in pixels.
        object_size: Geometric mean of the target's sides in both, in pixels; with `context` that
            of a square target.
        context: See `PairConfig`.
        template_shift: The target's centre lies at most so many pixels from the template's centre,
            per axis, uniformly.
        template_scale: Each axis of the template is scaled by 1 - template_scale to
            1 + template_scale.
        shift: As `template_shift`, of the search crop.
        scale: As `template_scale`, of the search crop.
        spread: Standard deviation of the logarithm of each side of the box that the search crop is
            cut around; the crop stays square (ATOM's jitter).
        repeats_border: Whether the border of the image goes on outside it, which is otherwise
            filled with the image's mean colour.
        brightness, color: See `jitter_colors`.
        gray: Share of pairs without colour.
        frames_apart: At most, of the two frames, by kind of data set; '' is for all others.
        weights: How often each kind of data set is drawn, relative to the others; 1 for those that
            are not named.
        kin: Share of pairs of two different objects of one category; above zero, further such
            objects in the search crop are also told.
        negatives: Share of pairs of any two different objects.
        seed: Pair number i depends on this, on i and on nothing else.
    """

    template_size: int = 127
    search_size: int = 255
    object_size: float = 63.5
    context: float = 0.5
    template_shift: float = 4.0
    template_scale: float = 0.05
    shift: float = 64.0
    scale: float = 0.18
    spread: float = 0.0
    repeats_border: bool = False
    brightness: float = 0.05
    color: float = 0.05
    gray: float = 0.0
    frames_apart: Mapping[str, float] = field(default_factory=lambda: {'': 100.0})
    weights: Mapping[str, float] = field(default_factory=dict)
    kin: float = 0.0
    negatives: float = 0.0
    seed: int = 1

    def __post_init__(self) -> None:
        check_sizes(self)
        check_shares(self, 'template_scale', 'scale', 'brightness', 'color', 'gray')
        for name in ('context', 'template_shift', 'shift', 'spread', 'kin', 'negatives'):
            if getattr(self, name) < 0:
                raise ParameterError(f'pairs.{name} must not be negative')
        if self.kin + self.negatives > 1:
            raise ParameterError('pairs.kin and pairs.negatives must not be above 1 together')
        for name in ('frames_apart', 'weights'):
            for kind, value in getattr(self, name).items():
                if not value >= 0:
                    raise ParameterError(
                        f'pairs.{name}: {kind} must not be negative, but {value} is'
                    )

    def apart(self, kind: str) -> int:
        """Frames between both views at most, for a kind of data set."""
        return int(self.frames_apart.get(kind, self.frames_apart.get('', 100.0)))


class PublishedSampler:
    """Numbered training pairs out of data sets.

    Args:
        library: The data sets.
        config: How pairs are drawn and cut.
    """

    def __init__(self, library: Library, config: PublishedPairConfig) -> None:
        self.library, self.config = library, config
        if config.kin:
            for shelf in library.shelves:
                shelf.kin  # noqa: B018  # made once, before processes share it

    def pair(self, index: int) -> Pair:
        """Make pair number `index` (any whole number from zero)."""
        config = self.config
        rng = np.random.default_rng((config.seed, index))
        (first, template), (second, search) = read(lambda: self.draw(rng))
        gray = rng.random() < config.gray

        middle = np.full(2, config.template_size / 2)
        place = middle + rng.uniform(-config.template_shift, config.template_shift, 2)
        axes = 1 + rng.uniform(-config.template_scale, config.template_scale, 2)
        template_matrix = self.matrix(first.box, place, axes)
        middle = np.full(2, config.search_size / 2)
        place = middle + rng.uniform(-config.shift, config.shift, 2)
        axes = (1 + rng.uniform(-config.scale, config.scale, 2)) * np.exp(
            -config.spread * rng.normal(0, 1, 2).mean()
        )
        search_matrix = self.matrix(second.box, place, axes)
        return Pair(
            self.cut(rng, template, template_matrix, config.template_size, gray),
            self.cut(rng, search, search_matrix, config.search_size, gray),
            map_box(first.box, template_matrix),
            map_box(second.box, search_matrix),
            has_edges=True,
            source=first.shelf.kind,
            same=first.is_of(second),
            alike=first.is_of(second) or first.is_like(second),
            others=self.others(first, second, search_matrix),
        )

    def others(self, first: Seen, second: Seen, matrix: Floats) -> Floats:
        """See `Pair`; where pairs of two objects of one category are wanted."""
        if not self.config.kin or not first.is_like(second):
            return np.zeros((0, 4))
        boxes = np.array([map_box(box, matrix) for box in second.others()]).reshape(-1, 4)
        centers = boxes[:, :2] + boxes[:, 2:] / 2
        return boxes[((centers > 0) & (centers < self.config.search_size)).all(axis=1)]

    def draw(self, rng: Generator) -> tuple[Seen, Seen]:
        """Two views of one object, or of two."""
        config = self.config
        shelf = self.library.draw_shelf(rng, config.weights)
        item = shelf.draw_item(rng)
        first, second = shelf.views(rng, item, config.apart(shelf.kind))
        chance = rng.random()
        if chance < config.kin:
            other = shelf.draw_kin(rng, item)
            if other is not None:
                return first, shelf.views(rng, other, 0)[0]
        elif chance < config.kin + config.negatives:
            shelf = self.library.draw_shelf(rng, config.weights)
            return first, shelf.views(rng, shelf.draw_item(rng), 0)[0]
        return first, second

    def matrix(self, box: Floats, place: Floats, axes: Floats) -> Floats:
        """From an image to a crop that shows a box at a place, each axis scaled."""
        config = self.config
        scale = config.object_size / mean_side(box, config.context) * np.sqrt(axes.prod())
        return view_matrix(center_of(box), place, scale, stretch=axes[0] / axes[1])

    def cut(self, rng: Generator, image: Image, matrix: Floats, size: int, gray: bool) -> Image:
        """A crop, its colours changed."""
        config = self.config
        fill = None if config.repeats_border else image.reshape(-1, 3).mean(axis=0)
        crop = warp([image], matrix, size, fill)
        return jitter_colors(rng, crop, config.brightness, config.color, gray)

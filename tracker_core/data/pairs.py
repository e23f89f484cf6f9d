# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Pairs: a target drawn from the pool, cut, moved, changed and disturbed.

A pair can have its surroundings exchanged (the target is cut out along its outline, or a random
one, and put on other photos), its view shifted, scaled, turned, stretched, bent, mirrored, relit
and blurred, and other objects put beside or in front of the target.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.random import Generator

from tracker_core.data.arrays import Floats, Image
from tracker_core.data.augmentation import change_look
from tracker_core.data.geometry import (
    Bend,
    bounds,
    center_of,
    ellipse,
    map_box,
    map_points,
    mean_side,
    view_matrix,
    warp,
)
from tracker_core.data.pasting import background, blend, blob, outline_mask, put_flat, put_object
from tracker_core.data.photos import Photo
from tracker_core.data.regions import Region
from tracker_core.data.sources import Footage, Source, SOURCES
from tracker_core.errors import ParameterError


@dataclass(frozen=True)
class PairConfig:
    """How pairs are cut and changed.

    Attributes:
        template_size: Side of the template crop in pixels; its middle is the target's centre.
        search_size: Side of the search crop in pixels.
        object_size: Geometric mean of the target's sides in the template, in pixels; with
            `context` that of a square target.
        context: Crops are cut as by trackers that see a target with this share of its width plus
            height added to both sides, so that a long target gets a little smaller; 0 for none.
        shift: The target's centre lies at most so many pixels from the search crop's centre, per
            axis, uniformly.
        size_jitter: object_size is multiplied by up to this factor or its inverse, in both crops
            alike.
        scale: The target's size in the search crop is at most this many times larger or smaller
            than object_size; small changes are more frequent.
        angle: Standard deviation of the rotation in radians.
        turn: Share of the pairs that are turned by any angle up to 180 degrees instead; by a
            multiple of 90 degrees and `angle` where the box would not stay tight otherwise.
        stretch: Standard deviation of the logarithm of the change of aspect.
        bend: Standard deviation of a smooth displacement within the search crop, as of a body
            that moves its limbs, in target sizes.
        look: Strength of the changes of colour, light and sharpness, 0 for none.
        paste: Share of pairs whose target is cut out and put on other photos, of those whose
            outline is known or that have none.
        distractor: Chance of each of two other objects in the search crop.
        alike: Share of these that come from the same group of photos as the target, where they are
            often of its kind.
        occluder: Chance of an object in front of the target.
        gray: Share of pairs without colour.
        sources: Weights of photo, box, sequence and followed pairs, see `SOURCES`; sources that
            the pool lacks drop out.
        seed: Pair number i depends on this, on i and on nothing else.
    """

    template_size: int = 129
    search_size: int = 193
    object_size: float = 56.0
    context: float = 0.0
    size_jitter: float = 1.0
    shift: float = 64.0
    scale: float = 1.25
    angle: float = 0.15
    turn: float = 0.0
    stretch: float = 0.1
    bend: float = 0.0
    look: float = 1.0
    paste: float = 0.4
    distractor: float = 0.35
    alike: float = 0.0
    occluder: float = 0.2
    gray: float = 0.12
    sources: tuple[float, float, float, float] = (0.4, 0.3, 0.3, 0.3)
    seed: int = 1

    def __post_init__(self) -> None:
        check_sizes(self)
        if self.context < 0:
            raise ParameterError(f'pairs.context must not be negative, but {self.context} is')
        if not 0 <= self.bend <= 0.2:
            raise ParameterError(f'pairs.bend must lie between 0 and 0.2, not {self.bend}')
        check_shares(self, 'turn', 'paste', 'distractor', 'alike', 'occluder', 'gray')
        for name in ('scale', 'size_jitter'):
            if getattr(self, name) < 1:
                raise ParameterError(f'pairs.{name} must be at least 1, not {getattr(self, name)}')
        if not 0 <= self.shift <= self.search_size / 2:
            raise ParameterError(
                f'pairs.shift must lie between 0 and half the search size, not {self.shift}'
            )
        if len(self.sources) != len(SOURCES) or min(self.sources) < 0 or sum(self.sources) <= 0:
            raise ParameterError(
                f'pairs.sources must be {len(SOURCES)} weights, of {", ".join(SOURCES)}, not '
                f'{self.sources}'
            )


def check_sizes(pairs: object) -> None:
    """Refuse crops and objects of a `PairConfig` or `PublishedPairConfig` that are too small.

    Raises:
        ParameterError: One is.
    """
    for name in ('template_size', 'search_size', 'object_size'):
        if getattr(pairs, name) < 16:
            raise ParameterError(
                f'pairs.{name} must be at least 16 pixels, not {getattr(pairs, name)}'
            )


def check_shares(pairs: object, *names: str) -> None:
    """Refuse parameters of these names that are no shares.

    Raises:
        ParameterError: One is not between 0 and 1.
    """
    for name in names:
        if not 0 <= getattr(pairs, name) <= 1:
            raise ParameterError(
                f'pairs.{name} must lie between 0 and 1, not {getattr(pairs, name)}'
            )


@dataclass(frozen=True)
class Pair:
    """One training example.

    Attributes:
        template: (template_size, template_size, 3) uint8 RGB, the target's centre in the middle.
        search: (search_size, search_size, 3) uint8 RGB.
        template_box: (4,) float64 x, y, w, h of the target in the template.
        search_box: (4,) float64 x, y, w, h of the target in the search crop.
        has_edges: Whether the boxes are those of an object, and so tell where it ends.
        source: Where it came from, such as photo, box, sequence or followed.
        same: Whether both show one and the same object; otherwise `search_box` is that of another.
        alike: Whether both are of one category, as an object always is with itself.
        others: (M, 4) float64 boxes of further objects of that category that are known to be in
            the search crop.
    """

    template: Image
    search: Image
    template_box: Floats
    search_box: Floats
    has_edges: bool
    source: str
    same: bool = True
    alike: bool = True
    others: Floats = field(default_factory=lambda: np.zeros((0, 4)))


@dataclass(frozen=True)
class Crops:
    """Both views of a target, cut and moved.

    Attributes:
        template, search: The crops.
        template_matrix, search_matrix: From photo to crop, before the bend.
        bend: Of the search crop, None for none.
        template_box, search_box: The target's.
    """

    template: Image
    search: Image
    template_matrix: Floats
    search_matrix: Floats
    bend: Bend | None
    template_box: Floats
    search_box: Floats


class PairSampler:
    """Numbered training pairs.

    Args:
        footage: Where photos and boxes come from.
        config: How pairs are cut and changed.

    Raises:
        ParameterError: The footage has nothing for any source that has a weight.
    """

    def __init__(self, footage: Footage, config: PairConfig) -> None:
        self.config, self.footage = config, footage
        sources = footage.sources()
        weights = {
            name: weight
            for name, weight in zip(SOURCES, config.sources, strict=True)
            if weight > 0 and len(sources.get(name, ()))
        }
        if not weights:
            raise ParameterError('no source of pairs with a weight above zero has any data')
        self.sources: dict[str, Source] = {name: sources[name] for name in weights}
        self.weights = np.array(list(weights.values())) / sum(weights.values())

    def draw_photo(self, rng: Generator) -> Photo:
        """Any photo, for what is not the target."""
        return self.footage.draw_photo(rng)

    def pair(self, index: int) -> Pair:
        """Make pair number `index` (any whole number from zero)."""
        config = self.config
        rng = np.random.default_rng((config.seed, index))
        name = list(self.sources)[rng.choice(len(self.sources), p=self.weights)]
        first, second = self.sources[name].draw(rng)
        has_edges = self.sources[name].has_edges
        has_outline = bool(first.outline and second.outline)
        flip = rng.random() < 0.5
        gray = rng.random() < config.gray
        pasted = rng.random() < config.paste and (has_outline or not has_edges)

        crops = self.cut(rng, first, second, flip, has_outline or not has_edges)
        if pasted:
            crops = self.exchange_surroundings(rng, crops, first, second)
        else:
            search = self.add_distractors(rng, crops.search, crops.search_box, second.photo.group)
            crops = replace(crops, search=search)
        search = crops.search
        if rng.random() < config.occluder:
            search = self.add_occluder(rng, search, crops.search_box)

        template = change_look(rng, crops.template, 0.6 * config.look, gray)
        search = change_look(rng, search, config.look, gray)
        return Pair(template, search, crops.template_box, crops.search_box, has_edges, name)

    def cut(
        self, rng: Generator, first: Region, second: Region, flip: bool, turns_freely: bool
    ) -> Crops:
        """Cut both views, the second moved."""
        config = self.config
        jitter, limit = np.log(config.size_jitter), np.log(config.scale)
        size = config.object_size * np.exp(rng.uniform(-jitter, jitter))
        change = np.exp(rng.triangular(-limit, 0.0, limit)) if limit > 0 else 1.0
        angle = config.angle * float(np.clip(rng.normal(), -2.5, 2.5))
        if config.turn > 0 and rng.random() < config.turn:
            if turns_freely:
                angle = rng.uniform(-1.0, 1.0) * np.pi
            else:
                angle += rng.integers(1, 4) * np.pi / 2
        stretch = float(np.exp(config.stretch * rng.normal()))
        middle = config.template_size / 2
        place = config.search_size / 2 + rng.uniform(-config.shift, config.shift, 2)
        scale = size / mean_side(first.box, config.context)
        template_matrix = view_matrix(center_of(first.box), (middle, middle), scale, flip=flip)
        scale = size / mean_side(second.box, config.context) * change
        search_matrix = view_matrix(center_of(second.box), place, scale, angle, stretch, flip)

        fill = None if rng.random() < 0.5 else second.photo.mean
        template = warp(first.photo.levels, template_matrix, config.template_size, fill)
        search = warp(second.photo.levels, search_matrix, config.search_size, fill)
        template_box = map_box(first.box, template_matrix)
        search_box = map_box(second.box, search_matrix)
        bend = None
        if config.bend > 0:
            strength = config.bend * size * change * rng.random()
            bend = Bend.draw(rng, config.search_size, strength)
            search = bend.image(search)
            points = np.concatenate(second.outline) if second.outline else ellipse(second.box)
            search_box = bounds(bend.points(map_points(points, search_matrix)))
        elif second.outline:
            search_box = bounds(map_points(np.concatenate(second.outline), search_matrix))
        return Crops(
            template, search, template_matrix, search_matrix, bend, template_box, search_box
        )

    def exchange_surroundings(
        self, rng: Generator, crops: Crops, first: Region, second: Region
    ) -> Crops:
        """Leave of both crops what lies in the target's outline, or a random one; boxes become
        those of the outline."""
        outlines = first.outline, second.outline
        if not all(outlines):
            random = blob(rng)
            outlines = tuple(  # type: ignore[assignment]  # two of them
                (region.box[:2] + random * region.box[2:],) for region in (first, second)
            )
        in_template = [map_points(each, crops.template_matrix) for each in outlines[0]]
        in_search = [map_points(each, crops.search_matrix) for each in outlines[1]]
        if crops.bend is not None:
            in_search = [crops.bend.points(each) for each in in_search]
        search_box = bounds(np.concatenate(in_search))

        size = self.config.template_size
        behind = self.draw_photo(rng)
        other = self.draw_photo(rng) if rng.random() < 0.5 else behind
        below = background(rng, other, size)
        template = blend(below, crops.template, outline_mask(in_template, size))
        size = self.config.search_size
        below = background(rng, behind, size)
        below = self.add_distractors(rng, below, search_box, second.photo.group)
        search = blend(below, crops.search, outline_mask(in_search, size))
        return replace(
            crops,
            template=template,
            search=search,
            template_box=bounds(np.concatenate(in_template)),
            search_box=search_box,
        )

    def add_distractors(self, rng: Generator, search: Image, box: Floats, group: str) -> Image:
        """Up to two other objects that leave the target free; `group` is the target's."""
        side = np.sqrt(box[2] * box[3])
        for _ in range(2):
            if rng.random() < self.config.distractor:
                center = rng.uniform(0, self.config.search_size, 2)
                size = side * np.exp(rng.uniform(np.log(0.5), np.log(1.4)))
                gap = np.abs(center - (box[:2] + box[2:] / 2)) - (box[2:] + size) / 2
                if gap.max() > 0:
                    alike = self.config.alike > 0 and rng.random() < self.config.alike
                    photo = self.footage.draw_photo(rng, group) if alike else self.draw_photo(rng)
                    search = put_object(rng, search, center, size, photo)
        return search

    def add_occluder(self, rng: Generator, search: Image, box: Floats) -> Image:
        """An object that hides up to about 40 % of the target."""
        side = np.sqrt(box[2] * box[3])
        size = side * rng.uniform(0.5, 1.2)
        direction = rng.uniform(0, 2 * np.pi)
        reach = rng.uniform(0.65, 1.0) * (side + size) / 2
        center = box[:2] + box[2:] / 2 + reach * np.array([np.cos(direction), np.sin(direction)])
        if rng.random() < 0.3:
            return put_flat(rng, search, center, size)
        return put_object(rng, search, center, size, self.draw_photo(rng))

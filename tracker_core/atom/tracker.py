# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""ATOM: a classifier learnt online finds the place, ascent on a predicted overlap the box.

Danelljan, Bhat, Khan, Felsberg: ATOM: Accurate Tracking by Overlap Maximization, CVPR 2019.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
import math
from typing import TypeVar

import torch
from torch import Tensor

from tracker_core.atom.classifier import compose, correlate, fit_first, refit_on
from tracker_core.atom.config import AtomConfig
from tracker_core.atom.crops import crop, Position
from tracker_core.atom.network import (
    AtomNetwork,
    CompactAtomNetwork,
    drop_unused,
    IouAscent,
    normalize,
)
from tracker_core.atom.place import (
    find_places,
    fourier_matrix,
    gaussian_labels,
    hann_window,
    label_deviation,
)
from tracker_core.backbones.compact import CompactBackbone
from tracker_core.boxes import Box
from tracker_core.discriminative.memory import SampleMemory
from tracker_core.discriminative.squares import cut_squares, PixelSquare, square_reach
from tracker_core.discriminative.verdict import Verdict
from tracker_core.discriminative.views import (
    drop_channels,
    first_shifts,
    first_views,
    kept_channels,
)
from tracker_core.images import Corners, square_corners
from tracker_core.layers.appearance import appearance, similarity
from tracker_core.layers.folding import fold_batch_norms
from tracker_core.layers.placing import place
from tracker_core.refiner.network import optional_refiner
from tracker_core.refiner.refine import sharpened
from tracker_core.step import ProgramKey, Tensors
from tracker_core.target import Proposal, Target
from tracker_core.tracker import Setup, Tracker
from tracker_core.weights import load_into, randomize, Weights

Side = TypeVar('Side', float, Tensor)
SMALLEST_SIDE = 10.0  # pixels; without refinement boxes do not shrink below it
BORDER = 0.3  # the centre may leave the image by this share of the target


@dataclass
class AtomModel:
    """What is learnt of a target.

    Attributes:
        kernel: (D, K, K) filter.
        projection: (D, C); both are learnt on the first frame, afterwards only the filter.
        composed: (1, C, K, K) both in one.
        memory: Samples to learn from.
        modulation: Two (1, hidden), from the first frame, with `refiner` the template of the box
            refiner, and with preset compact the appearance; none without refinement.
        learnt: Age of the target when it last learnt.
    """

    kernel: Tensor
    projection: Tensor
    composed: Tensor
    memory: SampleMemory
    modulation: Tensors
    learnt: int = 0


@dataclass(frozen=True)
class AtomSample:
    """A search region to learn from.

    Attributes:
        age: Of the target when it was seen.
        features: (F, F, C), what the classifier saw.
        center: Row and column of the label's peak in cells, see `gaussian_labels`.
        verdict: What it said.
    """

    age: int
    features: Tensor
    center: Position
    verdict: Verdict


@dataclass(frozen=True)
class AtomState:
    """Centre (row, column in index coordinates), size in pixels, and what is left to be learnt."""

    y: float
    x: float
    h: float
    w: float
    pending: AtomSample | None = None

    @property
    def box(self) -> Box:
        return Box.from_center(self.x + 0.5, self.y + 0.5, self.w, self.h)


AtomTarget = Target[AtomModel, AtomState]


class AtomTracker(Tracker[AtomConfig, AtomModel, AtomState]):
    """ATOM; see `AtomConfig` for its parameters.

    `learn` adds the last frame to the memory and refits the filter when it is due.
    """

    name = 'atom'

    def __init__(self, setup: Setup[AtomConfig]) -> None:
        super().__init__(setup)
        config, device, precision = self.config, self.device, self.precision
        network = build_network(setup.network, setup.weights)
        self.ascent = IouAscent(network.bb_regressor.to(device), stored=precision)
        fold_batch_norms(network)
        self.network = place(network, device, precision)
        self.refiner = optional_refiner(config.refiner, setup)
        side = config.search_side
        self.cells = side // network.strides[1]
        upsample = fourier_matrix(self.cells, side)
        self._window: Tensor | None = None
        if config.window:
            hann = hann_window(side).to(device, torch.float32)
            self._window = hann[:, None] * hann
        self._upsample = upsample.to(device, torch.float32)
        self._factors = [
            config.scale_step ** (k - (config.scales - 1) / 2) for k in range(config.scales)
        ]
        generator = torch.Generator().manual_seed(config.seed)
        d, c, k = config.kernel_channels, network.channels, config.kernel_size
        # where the optimisation starts: small, so that its first scores are near zero
        self.first_kernel = torch.randn(d, k, k, generator=generator) / (d * k * k)
        self.first_projection = torch.randn(d, c, generator=generator) / math.sqrt(c)

    # ------------------------------------------------------------------------------- first frame

    def _start(self, frame: Tensor, box: Box) -> tuple[AtomModel, AtomState]:
        config = self.config
        state = AtomState(box.cy - 0.5, box.cx - 0.5, box.h, box.w)
        center = self._sampled_center((state.y, state.x))
        scale = self._scale(state)
        size = 2 * config.search_side
        square = torch.tensor([self._square((state.y, state.x), scale, size)]).double()
        patch = self._cut(frame, square.to(self.device), size)
        generator = torch.Generator().manual_seed(config.seed)
        shifts = first_shifts(
            config.search_side, config.random_shift, config.rotations, generator, torch.float64
        )
        views = first_views(patch, config.search_side, shifts, torch.float64)
        middle, deep = self.network.extract(views)

        samples = normalize(deep)
        kept = kept_channels(config.dropouts, samples.shape[-1], generator)
        samples = torch.cat([samples, drop_channels(samples[0], kept.to(samples.device), -1)])
        shifts += [(0, 0)] * config.dropouts
        offset = self._label_center((state.y, state.x), center, scale)
        cells = self.cells / config.search_side
        centers = [
            tuple(o + s * cells for o, s in zip(offset, shift, strict=True)) for shift in shifts
        ]
        labels = self._labels(centers)
        weights = torch.full((len(samples),), 1 / len(samples), device=self.device)
        kernel, projection = fit_first(
            samples,
            labels,
            weights,
            self.first_kernel.to(self.device),
            self.first_projection.to(self.device),
            (config.newton_steps, config.first_iterations),
            config.kernel_penalty,
            config.projection_penalty,
        )
        memory = SampleMemory.start(
            samples @ projection.T, labels, config.memory_size, config.first_weight
        )
        modulation: Tensors = ()
        if config.refine:
            reference = self._into_crop(state, (state.y, state.x), center, scale)
            boxes = torch.tensor([reference], device=self.device)
            modulation = self.network.bb_regressor.modulation(middle[:1], deep[:1], boxes)
            if self.refiner is not None:
                seen = self.refiner.features((middle[:1], deep[:1]))
                modulation = (*modulation, self.refiner.template(seen, into_cells(boxes)))
            if isinstance(self.network, CompactAtomNetwork):
                modulation = (*modulation, appearance(deep[:1], into_cells(boxes)))
        composed = compose(kernel, projection)[None]
        return AtomModel(kernel, projection, composed, memory, modulation), state

    # ---------------------------------------------------------------------------------- tracking

    def search_geometry(self, target: AtomTarget, image_size: tuple[int, int]) -> Tensor:
        """Six numbers of `_bounds`, then what is to be cut out at each size, then the draws of
        the proposals."""
        config, state = self.config, target.state
        place = (state.y + target.search_offset[1], state.x + target.search_offset[0])
        scale = self._scale(state)
        numbers = [*self._bounds(state, self._sampled_center(place), scale, image_size)]
        for factor in self._factors:
            numbers += self._square(place, scale * factor, config.search_side)
        geometry = torch.tensor(numbers, dtype=torch.float64)
        if not config.refine:
            return geometry
        return torch.cat([geometry, self._draws(target.age).flatten().double()])

    def reach(self, geometry: list[float], image_size: tuple[int, int]) -> list[Corners] | None:
        width = 6 if self.config.released else 3
        first = range(6, 6 + self.config.scales * width, width)
        squares = [geometry[index : index + width] for index in first]
        if self.config.released:
            return [square_reach(square, image_size) for square in squares]
        return [square_corners(x + 0.5, y + 0.5, side) for y, x, side in squares]

    def model_tensors(self, target: AtomTarget) -> Tensors:
        return target.model.composed, *target.model.modulation

    def step(self, key: ProgramKey, frame: Tensor, geometry: Tensor, *model: Tensor) -> Tensors:
        """See `Tracker.step`. The result is that of `_decide`, with refinement followed by that
        of `_refine`; what the classifier saw at each size (N, K, F, F, C) stays on the device."""
        config, k = self.config, self.config.scales
        kernels, *modulation = model
        width = 6 if config.released else 3  # numbers of a square
        squares = geometry[:, 6 : 6 + k * width].reshape(-1, width)
        crops = self._cut(frame, squares, config.search_side)
        features: list[Tensor] = []
        if config.refine:
            middle, deep, *features = self.network.look(crops)
        else:
            middle, deep = self.network.extract(crops)
        samples = normalize(deep)  # (N K, F, F, C)
        scores = correlate(samples, kernels.repeat_interleave(k, dim=0))
        bounds = geometry[:, :6].float()
        result = self._decide(scores.unflatten(0, (-1, k)), bounds)
        if config.refine:
            maps = self.ascent.prepare(features, modulation[:2])
            draws = geometry[:, 6 + k * width :].float().unflatten(1, (-1, 4))
            boxes = self._refine(maps, result[:, 3:5], bounds[:, :2], draws)
            if self.refiner is not None:
                seen = self.refiner.features((middle, deep))
                boxes = self._sharpen(boxes, seen, modulation[2])
            result = torch.cat([result, boxes], dim=1)
            if isinstance(self.network, CompactAtomNetwork):
                cells = into_cells(self._in_crop(boxes))
                result = torch.cat((result, similarity(modulation[-1], deep, cells)), dim=1)
        return result, samples.unflatten(0, (-1, k))

    def _decide(self, scores: Tensor, bounds: Tensor) -> Tensor:
        """Peaks of score maps (N, K, F, F) as (N, 5): verdict, score, best size, and the shift
        (row, column) in pixels of the search region."""
        maps = self._upsample @ scores @ self._upsample.T
        if self._window is not None:
            maps = maps * self._window
        found = find_places(maps, bounds[:, :2], self.config)
        shift = found.shift.clamp(bounds[:, 2:4], bounds[:, 4:6])
        score = found.peak if self.config.released else found.score
        columns = (found.verdict.to(maps.dtype), score, found.best.to(maps.dtype))
        return torch.cat([torch.stack(columns, dim=1), shift], dim=1)

    def _refine(self, maps: list[Tensor], shift: Tensor, size: Tensor, draws: Tensor) -> Tensor:
        """Raise the predicted overlap of boxes around a place (section 3.1).

        Args:
            maps: From `IouAscent.prepare`.
            shift: (N, 2) row and column of the target, from the centre of the search region.
            size: (N, 2) height and width, pixels of the search region.
            draws: (N, B - 1, 4) uniform in [0, 1).

        Returns:
            (N, 5): how many boxes are left, and the mean of the best ones: row and column of the
            centre from that of the search region, height and width.
        """
        config, middle = self.config, (self.config.search_side - 1) / 2
        boxes = propose(shift.flip(1) + middle, size.flip(1), draws, config)
        boxes, overlap = self.ascent.climb(maps, boxes, config.ascent_steps, config.step_length)
        sides = boxes[..., 2:].clamp(min=1)
        boxes = torch.cat([boxes[..., :2], sides], dim=-1)  # (N, B, 4)
        aspect = sides[..., 0] / sides[..., 1]
        fits = (aspect < config.largest_aspect) & (aspect > 1 / config.largest_aspect)
        overlap = overlap.masked_fill(~fits, -math.inf)
        best, index = overlap.topk(min(config.averaged, config.proposals), dim=1)
        valid = best > -math.inf
        chosen = boxes.gather(1, index[..., None].expand(-1, -1, 4)) * valid[..., None]
        count = valid.to(boxes.dtype).sum(dim=1, keepdim=True)
        x, y, w, h = (chosen.sum(dim=1) / count.clamp(min=1)).unbind(1)
        columns = (count[:, 0], y + h / 2 - middle, x + w / 2 - middle, h, w)
        return torch.stack(columns, dim=1)

    def _sharpen(self, rows: Tensor, features: Tensor, template: Tensor) -> Tensor:
        """What `_refine` found, on the way to what the box refiner makes of it, by as much as that
        is sure of itself."""
        assert self.refiner is not None
        middle = (self.config.search_side - 1) / 2
        count = rows[:, 0]
        rough = into_cells(self._in_crop(rows))
        better = sharpened(self.refiner, template, features, rough, rate=1.0)
        x1, y1, x2, y2 = (better * self.network.strides[0]).unbind(1)
        y, x = (y1 + y2) / 2 - middle, (x1 + x2) / 2 - middle
        h, w = y2 - y1, x2 - x1
        return torch.stack((count, y, x, h, w), dim=1)

    def _in_crop(self, rows: Tensor) -> Tensor:
        """What `_refine` found as boxes (N, 4) x, y, w, h in pixels of the search region."""
        middle = (self.config.search_side - 1) / 2
        _, y, x, h, w = rows.unbind(1)
        return torch.stack((x + middle - w / 2, y + middle - h / 2, w, h), dim=1)

    def proposal(
        self,
        target: AtomTarget,
        row: list[float],
        kept: Tensors,
        index: int,
        image_size: tuple[int, int],
    ) -> Proposal[AtomState]:
        """What a row of numbers from the device means for the target."""
        state, (dx, dy) = target.state, target.search_offset
        center, scale = self._sampled_center((state.y + dy, state.x + dx)), self._scale(state)
        verdict, peak, best, *shift = row[:5]
        verdict, best = Verdict(int(verdict)), int(best)
        y, x, h, w = state.y, state.x, state.h, state.w
        label_center: Position = (0.0, 0.0)
        if verdict != Verdict.NOT_FOUND:
            found = tuple(c + s * scale for c, s in zip(center, shift, strict=True))
            factor = self._factors[best]
            if not self.config.refine:
                y, x = found
                growth = self._limit(factor, state, image_size)
                h, w = h * growth, w * growth
            elif row[5] > 0:
                y, x = (c + r * scale for c, r in zip(center, row[6:8], strict=True))
                rate = self.config.size_rate
                h += rate * (row[8] * scale - h)
                w += rate * (row[9] * scale - w)
                found = (y, x)
            else:  # no box fits: the classifier alone says where the target is
                y, x = found
            label_center = self._label_center(found, center, scale * factor)
        sample = AtomSample(target.age + 1, kept[0][index, best], label_center, verdict)
        state = AtomState(y, x, h, w, sample)
        box = state.box if all(map(math.isfinite, (y, x, h, w))) and min(h, w) > 0 else None
        likeness = row[10] if len(row) > 10 else None
        return Proposal(box, peak, state, verdict != Verdict.NOT_FOUND, likeness)

    def resized(self, state: AtomState, factor: float) -> AtomState:
        return replace(state, h=state.h * factor, w=state.w * factor)

    # ---------------------------------------------------------------------------------- learning

    def _learn(self, target: AtomTarget) -> None:
        config, model, sample = self.config, target.model, target.state.pending
        if sample is None or sample.age != target.age or model.learnt == target.age:
            return
        model.learnt = target.age
        is_hard = sample.verdict == Verdict.HARD_NEGATIVE
        if is_hard or sample.verdict == Verdict.NORMAL:
            rate = config.hard_learning_rate if is_hard else config.learning_rate
            label = self._labels([sample.center])[0]
            model.memory.add(sample.features @ model.projection.T, label, rate)
        if is_hard:
            iterations = config.hard_iterations
        elif target.age % config.train_interval == 0:
            iterations = config.train_iterations
        else:
            return
        model.kernel = refit_on(
            model.memory, model.kernel, iterations, config.kernel_penalty, self.updates
        )
        model.composed = compose(model.kernel, model.projection)[None]

    # ---------------------------------------------------------------------------------- geometry

    def _scale(self, state: AtomState) -> float:
        """Image pixels per pixel of the search region."""
        return math.sqrt(state.h * state.w) * self.config.search_scale / self.config.search_side

    def _sampled_center(self, place: Position) -> Position:
        """Which place of the image counts as the centre of a search region."""
        return tuple(float(round(p)) for p in place) if self.config.released else place

    def _square(self, place: Position, scale: float, size: int) -> tuple[float, ...]:
        """The numbers of a search region for `_cut`."""
        if self.config.released:
            return PixelSquare.at((place[1], place[0]), scale * size, size).numbers()
        return (*place, scale * size)

    def _cut(self, frame: Tensor, squares: Tensor, size: int) -> Tensor:
        if self.config.released:
            return cut_squares(frame, squares, size, squares.dtype)
        return crop(frame, squares, size, self.cut)

    def _bounds(
        self, state: AtomState, center: Position, scale: float, image_size: tuple[int, int]
    ) -> tuple[float, ...]:
        """Height and width, and the first and last row and column where the target's centre may
        be, relative to `center`, all in pixels of the search region."""
        size = (state.h, state.w)
        low = (-BORDER * s - c for s, c in zip(size, center, strict=True))
        high = (
            extent + BORDER * s - c
            for extent, s, c in zip(image_size[::-1], size, center, strict=True)
        )
        return tuple(value / scale for value in (*size, *low, *high))

    def _into_crop(
        self, state: AtomState, place: Position, center: Position, scale: float
    ) -> tuple[float, ...]:
        """The box x, y, w, h in pixels of the search region."""
        middle = (self.config.search_side - 1) / 2
        w, h = state.w / scale, state.h / scale
        y, x = ((p - c) / scale + middle for p, c in zip(place, center, strict=True))
        return (x - corner(w, self.config), y - corner(h, self.config), w, h)

    def _label_center(self, place: Position, center: Position, scale: float) -> Position:
        cells = self.cells / (scale * self.config.search_side)
        return tuple((p - c) * cells + 0.5 for p, c in zip(place, center, strict=True))

    def _labels(self, centers: Sequence[Position]) -> Tensor:
        deviation = label_deviation(self.config, self.cells)
        return gaussian_labels(torch.tensor(centers, device=self.device), self.cells, deviation)

    def _limit(self, factor: float, state: AtomState, image_size: tuple[int, int]) -> float:
        """Keep a change of size within the image and above the smallest side; a target that is
        beyond either from its start goes no further."""
        low = max(SMALLEST_SIDE / side for side in (state.h, state.w))
        high = min(image_size[1] / state.h, image_size[0] / state.w)
        return max(min(low, 1.0), min(factor, max(high, 1.0)))

    def _draws(self, age: int) -> Tensor:
        """Random numbers for the proposals of a frame; they depend on seed and age only."""
        generator = torch.Generator().manual_seed(self.config.seed * 1_000_003 + age + 1)
        return torch.rand(self.config.proposals - 1, 4, generator=generator)


def into_cells(boxes: Tensor) -> Tensor:
    """Boxes (N, 4) x, y, w, h in pixels of the search region, 0 being the centre of the first, as
    corners in cells of the compact backbone."""
    corners = torch.cat((boxes[:, :2], boxes[:, :2] + boxes[:, 2:]), dim=1)
    return corners / CompactBackbone.stride


def corner(side: Side, config: AtomConfig) -> Side:
    """How far a box's corner lies from its centre; the released tracker is half a pixel off."""
    return (side - 1) / 2 if config.released else side / 2


def propose(centers: Tensor, sizes: Tensor, draws: Tensor, config: AtomConfig) -> Tensor:
    """Boxes to start the refinement from.

    Args:
        centers: (N, 2) x, y.
        sizes: (N, 2) w, h.
        draws: (N, B - 1, 4) uniform in [0, 1).
        config: Their jitter.

    Returns:
        (N, B, 4) x, y, w, h; the first is the box itself.
    """
    corners = centers - corner(sizes, config)
    side = sizes.prod(dim=1).sqrt()[:, None, None]
    change = (draws - 0.5) * side  # (N, B - 1, 4)
    shift, growth = config.position_jitter * change[..., :2], config.size_jitter * change[..., 2:]
    smallest = sizes.amin(dim=1)[:, None, None] / 3
    new_sizes = torch.maximum(sizes[:, None] + growth, smallest)
    new_corners = (corners + sizes / 2)[:, None] + shift - new_sizes / 2
    own = torch.cat([corners, sizes], dim=1)[:, None]
    return torch.cat([own, torch.cat([new_corners, new_sizes], dim=-1)], dim=1)


def build_network(kind: str, weights: Weights) -> AtomNetwork:
    """A network of a kind (see `Preset.network`) with its weights, in inference mode.

    Raises:
        WeightsError: The file does not fit.
    """
    network = CompactAtomNetwork() if kind == 'compact' else AtomNetwork()
    if weights.state is None:
        randomize(network)
    elif kind == 'compact':
        load_into(network.feature_extractor, weights.state['backbone'], weights.source)
        load_into(network.bb_regressor, weights.state['head'], weights.source)
    else:
        load_into(network, drop_unused(weights.state['']), weights.source)
    return network.eval().requires_grad_(False)

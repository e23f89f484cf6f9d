# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Ocean: every place inside the target regresses its box, and the box judges the place.

Zhang, Peng, Fu, Li, Hu: Ocean: Object-aware Anchor-free Tracking, ECCV 2020.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
import math

import torch
from torch import Tensor

from tracker_core.boxes import Box
from tracker_core.discriminative.squares import cut_squares, PixelSquare, square_reach
from tracker_core.discriminative.verdict import Verdict
from tracker_core.images import Corners, sample_grid, square_corners, window_positions
from tracker_core.layers.appearance import appearance, similarity
from tracker_core.layers.interpolation import resample
from tracker_core.layers.placing import place
from tracker_core.ocean.building import build_compact, build_network, build_online, ready
from tracker_core.ocean.config import OceanConfig
from tracker_core.ocean.network import (
    CompactOcean,
    STRIDE,
    Template,
    TEMPLATE_CELLS,
)
from tracker_core.ocean.online_filter import score_maps
from tracker_core.ocean.online_learning import Learner, start_learning
from tracker_core.ocean.online_network import CROP, OnlineNetwork, SEARCH_FACTOR
from tracker_core.ocean.online_state import (
    judge,
    OnlineSample,
    OnlineState,
    OnlineView,
    summarize,
    view_centre,
)
from tracker_core.ocean.places import boxes_in_cells, Cells, choose_places, context_side
from tracker_core.refiner.network import optional_refiner
from tracker_core.refiner.refine import sharpened
from tracker_core.step import ProgramKey, Tensors
from tracker_core.target import Proposal, Target
from tracker_core.tracker import Setup, Tracker


@dataclass(frozen=True)
class OceanModel:
    """What is learnt of a target: all of it in the first frame, and afterwards a recent template
    and the online branch.

    Attributes:
        template: The networks' kernels, mixed of `first` and `recent`.
        first: `Template.kernels` of the first frame, float32.
        recent: Their running average over the frames.
        fill: (1, 3) mean colour of the first frame, shown outside the image.
        search_side: Side of the search region, network input pixels.
        smallest_side: No side of the box becomes shorter, pixels.
        largest: Width and height in the first frame, pixels; a box larger than the image does not
            become larger.
        learner: Of the online branch; goes on learning while tracking.
        of_refiner: With `refiner`, the template of the box refiner.
        appearance: Of the first frame, see `tracker_core.layers.appearance`; of preset compact.
    """

    template: Template
    first: tuple[Tensor, ...]
    recent: tuple[Tensor, ...]
    fill: Tensor
    search_side: int
    smallest_side: float
    largest: tuple[float, float]
    learner: Learner | None = None
    of_refiner: Tensors = ()
    appearance: Tensors = ()


@dataclass(frozen=True)
class OceanState:
    """Centre and size in pixels, the state of the online branch, and what is to be learnt of the
    frame: the kernels of the target where it was found, as of `OceanModel.first`."""

    cx: float
    cy: float
    w: float
    h: float
    online: OnlineState | None = None
    found: tuple[Tensor, ...] = ()

    @property
    def context(self) -> float:
        """Side of the square around the target with half its mean side added on each side."""
        return context_side(self.w, self.h)


OceanTarget = Target[OceanModel, OceanState]


class OceanTracker(Tracker[OceanConfig, OceanModel, OceanState]):
    """Ocean; see `OceanConfig` for its parameters."""

    name = 'ocean'

    def __init__(self, setup: Setup[OceanConfig]) -> None:
        super().__init__(setup)
        config, device, precision = self.config, self.device, self.precision
        compact = setup.network == 'compact'
        build = build_compact if compact else build_network
        self.network = place(build(config, self.weights), device, precision)
        self.refiner = optional_refiner(config.refiner, setup)
        self.online: OnlineNetwork | None = None
        if config.online:
            online = ready(OnlineNetwork(compact=True)) if compact else build_online(self.weights)
            self.online = place(online, device, precision)
        counts = map(self.network.cells, (config.search_side, config.small_search_side))
        self._cells = {count: Cells.of(count, device) for count in counts}

    def _start(self, frame: Tensor, box: Box) -> tuple[OceanModel, OceanState]:
        config = self.config
        state = OceanState(box.cx, box.cy, box.w, box.h)
        fill = frame.float().mean((0, 1))[None]
        if config.released:
            fill = fill.floor()
        small = box.area < config.small_share * frame.shape[0] * frame.shape[1]
        window = (box.cx, box.cy, state.context)
        if config.released:
            window = (*window[:2], round(state.context))
        windows = torch.tensor([window], dtype=torch.float64).to(self.device)
        crop = self._cut(frame, windows, fill, config.template_side)
        scale = config.template_side / state.context
        sizes = torch.tensor([[scale * box.w, scale * box.h]], device=self.device)
        of_refiner: Tensors = ()
        first_look: Tensors = ()
        if isinstance(self.network, CompactOcean):
            maps = self.network.backbone(crop)
            template = self.network.encode_features(maps[1], sizes)
            truth = boxes_in_cells(torch.zeros_like(sizes), sizes, maps[1])
            first_look = (self._first_look(frame, windows, fill, sizes),)
            if self.refiner is not None:
                of_refiner = (self.refiner.template(self.refiner.features(maps), truth),)
        else:
            template = self.network.encode(crop, sizes)
        first = tuple(kernel.float() for kernel in template.kernels)
        model = OceanModel(
            template=template,
            first=first,
            recent=first,
            fill=fill,
            search_side=config.small_search_side if small else config.search_side,
            smallest_side=min(config.smallest_side, box.w, box.h),
            largest=(box.w, box.h),
            of_refiner=of_refiner,
            appearance=first_look,
        )
        if self.online is not None:
            learner = start_learning(self.online, self.network, frame, box, config)
            model = replace(model, learner=learner)
            state = replace(state, online=OnlineState(box.cx, box.cy))
        return model, state

    def _first_look(self, frame: Tensor, windows: Tensor, fill: Tensor, sizes: Tensor) -> Tensor:
        """The appearance of targets in the middle of windows, `sizes` (N, 2) wide and high in
        pixels of the template crop."""
        assert isinstance(self.network, CompactOcean)
        side = self.config.search_side
        windows = windows * windows.new_tensor((1, 1, side / self.config.template_side))
        deep = self.network.extract(self._cut(frame, windows, fill, side))
        return appearance(deep, boxes_in_cells(torch.zeros_like(sizes), sizes, deep))

    def program_key(self, target: OceanTarget, image_size: tuple[int, int]) -> ProgramKey:
        return (target.model.search_side,)

    def search_geometry(self, target: OceanTarget, image_size: tuple[int, int]) -> Tensor:
        """Centre and width of the search region, width and height of the target in its pixels;
        with an online branch also a `PixelSquare`, and the target's size in pixels of that."""
        config, state, (dx, dy) = self.config, target.state, target.search_offset
        width = state.context * target.model.search_side / config.template_side
        if config.released:
            width = math.floor(width + 0.5)
        scale = config.template_side / state.context
        numbers = [state.cx + dx, state.cy + dy, width, state.w * scale, state.h * scale]
        if self.online is not None:
            patch = self._patch(target)
            numbers += [*patch.numbers(), state.w / patch.scale, state.h / patch.scale]
        return torch.tensor(numbers, dtype=torch.float64)

    def reach(self, geometry: list[float], image_size: tuple[int, int]) -> list[Corners] | None:
        windows = [square_corners(geometry[0], geometry[1], geometry[2])]
        if self.online is not None:
            windows.append(square_reach(geometry[5:11], image_size))
        return windows

    @staticmethod
    def _online_parts(target: OceanTarget) -> tuple[Learner, OnlineState]:
        """What a target has where there is an online branch."""
        learner, state = target.model.learner, target.state.online
        assert learner is not None
        assert state is not None
        return learner, state

    def _patch(self, target: OceanTarget) -> PixelSquare:
        """Where the online branch looks for a target."""
        state, (dx, dy) = target.state, target.search_offset
        learner, online = self._online_parts(target)
        side = SEARCH_FACTOR * math.sqrt(state.w * state.h)
        if self.config.released:
            side = learner.side
        centre = view_centre(online.cx + dx, online.cy + dy, side / CROP)
        return PixelSquare.at(centre, side, CROP)

    def model_tensors(self, target: OceanTarget) -> Tensors:
        model = target.model
        tensors = (*model.template.kernels, model.fill, *model.of_refiner, *model.appearance)
        return tensors if model.learner is None else (*tensors, model.learner.filter)

    def step(self, key: ProgramKey, frame: Tensor, geometry: Tensor, *model: Tensor) -> Tensors:
        """See `Tracker.step`. The result is (N, 5), see `choose_places`; with an online branch
        (N, 9), see also `summarize`. On the device stay the kernels of the target where it is
        now, with `template_rate`, and the features of the online branch."""
        config, paths = self.config, len(self.network.heads.classify.template)
        template, fills = Template(model[:paths], model[paths : 2 * paths]), model[2 * paths]
        crops = self._cut(frame, geometry[:, :3], fills, key[0])
        last = geometry[:, 3:5].float()
        maps: Tensors = ()
        if isinstance(self.network, CompactOcean):
            maps = self.network.backbone(crops)
            features = maps[1]
            prediction = self.network.match(features, template)
        else:
            prediction, features = self.network.predict(crops, template)
        looks: Tensors = ()
        scores = peaks = None
        if self.online is not None:
            looks = (self.look(frame, geometry[:, 5:11]),)
            scores = score_maps(looks[0], model[-1])
            peaks = summarize(scores, geometry[:, 11:13].float())
        cells = self._cells[prediction.logits.shape[-1]]
        result = choose_places(prediction, last, config, cells, scores)
        if maps:
            rest = model[2 * paths + 1 :]
            if config.refiner:
                result, rest = self._sharpen(result, maps, rest[0]), rest[1:]
            boxes = boxes_in_cells(result[:, :2], result[:, 2:4], features)
            result = torch.cat((result, similarity(rest[0], features, boxes)), 1)
        if peaks is not None:
            result = torch.cat((result, peaks), 1)
        kernels = self._encode_found(features, result, last) if config.template_rate else ()
        return result, *kernels, *looks

    def _sharpen(self, places: Tensor, maps: Tensors, template: Tensor) -> Tensor:
        """Places as of `choose_places`, their boxes on the way to what the box refiner makes of
        them; the score is as it was."""
        assert self.refiner is not None
        rough = boxes_in_cells(places[:, :2], places[:, 2:4], maps[1])
        features = self.refiner.features((maps[0], maps[1]))
        better = sharpened(self.refiner, template, features, rough, self.config.box_rate)
        middle = (maps[1].shape[-1] - 1) / 2
        center, sides = (better[:, :2] + better[:, 2:]) / 2 - middle, better[:, 2:] - better[:, :2]
        return torch.cat((center * STRIDE, sides * STRIDE, places[:, 4:]), dim=1)

    def _cut(self, frame: Tensor, windows: Tensor, fills: Tensor, side: int) -> Tensor:
        """Square windows (N, 3) of a frame, outside which lie the colours (N, 3)."""
        if self.config.released:
            return cut_as_released(frame, windows, side, fills)
        return self.cut(frame, windows, side, fills)

    def _encode_found(self, features: Tensor, places: Tensor, last: Tensor) -> tuple[Tensor, ...]:
        """The kernels of targets where they were found, see `OceanModel.first`.

        Args:
            features: (N, C, n, n) of the search regions.
            places: From `choose_places`.
            last: (N, 2) last width and height of each target, pixels of the search region.
        """
        sizes = places[:, 2:4]
        growth = (context_side(*sizes.unbind(1)) / context_side(*last.unbind(1)))[:, None]
        steps = torch.arange(TEMPLATE_CELLS, device=features.device) - TEMPLATE_CELLS // 2
        middle = (features.shape[-1] - 1) / 2 + places[:, :2] / STRIDE  # (N, 2) x, y in cells
        xs, ys = (middle[:, axis, None] + growth * steps for axis in (0, 1))  # (N, 7)
        cells = resample(features.float(), ys[:, None], xs[:, None])  # (N, C, 7, 7)
        return self.network.encode_features(cells.to(features.dtype), sizes / growth).kernels

    def look(self, frame: Tensor, numbers: Tensor) -> Tensor:
        """What the online branch sees: (N, C, 13, 13) of squares, see `PixelSquare.numbers`."""
        assert self.online is not None
        crops = cut_squares(frame, numbers, CROP, torch.float32)
        return self.online.project(self.online.backbone_features(self.network, crops))

    def proposal(
        self,
        target: OceanTarget,
        row: list[float],
        kept: Tensors,
        index: int,
        image_size: tuple[int, int],
    ) -> Proposal[OceanState]:
        """The state that a place in the search region stands for."""
        shift_x, shift_y, width, height, score, *peaks = row
        likeness = peaks.pop(0) if isinstance(self.network, CompactOcean) else None
        if not all(map(math.isfinite, (shift_x, shift_y, width, height, score))):
            return Proposal(None, 0.0, target.state)
        old, (dx, dy) = target.state, target.search_offset
        scale = old.context / self.config.template_side
        smallest = target.model.smallest_side
        state = OceanState(
            min(max(old.cx + dx + shift_x * scale, 0.0), float(image_size[0])),
            min(max(old.cy + dy + shift_y * scale, 0.0), float(image_size[1])),
            max(min(width * scale, max(image_size[0], target.model.largest[0])), smallest),
            max(min(height * scale, max(image_size[1], target.model.largest[1])), smallest),
        )
        if self.config.template_rate:
            kernels = kept[: len(target.model.first)]
            state = replace(state, found=tuple(kernel[index, None].float() for kernel in kernels))
        if self.online is not None:
            patch = self._patch(target)
            view = OnlineView(kept[-1][index : index + 1], patch.centre, patch.scale)
            _, online = self._online_parts(target)
            state = replace(state, online=self._judge_view(online, state, view, peaks))
        box = Box.from_center(state.cx, state.cy, state.w, state.h)
        return Proposal(box, score, state, similarity=likeness)

    def resized(self, state: OceanState, factor: float) -> OceanState:
        return replace(state, w=state.w * factor, h=state.h * factor)

    def _judge_view(
        self, old: OnlineState, state: OceanState, view: OnlineView, peaks: list[float]
    ) -> OnlineState:
        """Where the online branch looks next, and what it has to learn of this frame."""
        verdict = judge(peaks, self.config.online_hard_peak)
        if verdict == Verdict.NOT_FOUND:
            return replace(old, pending=None)
        pending = None
        if verdict != Verdict.UNCERTAIN:
            box = view.box(state.cx, state.cy, state.w, state.h)
            pending = OnlineSample(view.features, box, verdict == Verdict.HARD_NEGATIVE)
        return OnlineState(state.cx, state.cy, pending)

    def _learn(self, target: OceanTarget) -> None:
        self._follow(target)
        if self.online is None:
            return
        (learner, online), config = self._online_parts(target), self.config
        sample = online.pending
        if sample is None:
            return
        rate = config.online_hard_rate if sample.hard else config.online_rate
        learner.add(sample.features, sample.box, rate)
        if sample.hard or target.age % config.online_interval == 0:
            learner.learn(config.online_steps, self.updates)
        target.state = replace(target.state, online=replace(online, pending=None))

    def _follow(self, target: OceanTarget) -> None:
        """Let the template follow what the target looks like where it was found for sure."""
        state, model, config = target.state, target.model, self.config
        if not state.found:
            return
        target.state = replace(state, found=())
        if target.score < config.tracking_score:
            return
        rate, share = config.template_rate, config.template_share
        pairs = zip(model.recent, state.found, strict=True)
        recent = tuple(torch.lerp(old, new, rate) for old, new in pairs)
        pairs = zip(model.first, recent, strict=True)
        kernels = [torch.lerp(old, new, share).to(self.precision) for old, new in pairs]
        paths = len(kernels) // 2
        template = Template(kernels[:paths], kernels[paths:])
        target.model = replace(model, template=template, recent=recent)


def cut_as_released(frame: Tensor, windows: Tensor, side: int, fills: Tensor) -> Tensor:
    """See `Cut`; whole pixels, half a pixel early, and rounded colours, like the released code."""
    cx, cy, width = windows.unbind(1)
    cx, cy = (torch.round(centre - (width + 1) / 2) + width / 2 for centre in (cx, cy))
    ys, xs = window_positions(cy, width, side), window_positions(cx, width, side)
    reach = (width[:, None] - 1) / 2  # an enlarged window ends with its outermost pixels' centres
    ys, xs = (
        torch.maximum(torch.minimum(p, c[:, None] - 0.5 + reach), c[:, None] - 0.5 - reach)
        for p, c in ((ys, cy), (xs, cx))
    )
    return sample_grid(frame, ys.float(), xs.float(), fills).round()

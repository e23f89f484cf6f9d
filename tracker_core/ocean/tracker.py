# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Ocean: every place inside the target regresses its box, and the box judges the place.

Zhang, Peng, Fu, Li, Hu: Ocean: Object-aware Anchor-free Tracking, ECCV 2020.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
import math
from typing import Any, ClassVar, TypeVar

import torch
from torch import nn, Tensor
import torch.nn.functional as F

from tracker_core.boxes import Box
from tracker_core.errors import WeightsError
from tracker_core.images import sample_grid, window_positions
from tracker_core.layers.folding import fold_batch_norms
from tracker_core.ocean.config import (
    COMPACT,
    COMPACT_ONLINE,
    OceanConfig,
    PAPER_PRESETS,
)
from tracker_core.ocean.network import (
    cell_offsets,
    CompactOcean,
    join_templates,
    OceanNetwork,
    Prediction,
    read_authors_state,
    Template,
)
from tracker_core.ocean.online import (
    CROP,
    judge,
    Learner,
    OnlineNetwork,
    OnlineState,
    Pending,
    sample_patch,
    score_maps,
    SEARCH_FACTOR,
    start_learning,
    summarize,
    View,
    view_centre,
)
from tracker_core.tracker import Sighting, Target, Tracker
from tracker_core.weights import load_into, randomize, Weights

Network = TypeVar('Network', bound=nn.Module)


@dataclass(frozen=True)
class Model:
    """What is learnt of a target in the first frame.

    Attributes:
        template: The networks' kernels.
        fill: (3,) mean colour of the first frame, shown outside the image.
        search_side: Side of the search region, network input pixels.
        smallest_side: No side of the box becomes shorter, pixels.
        learner: Of the online branch; goes on learning while tracking.
    """

    template: Template
    fill: Tensor
    search_side: int
    smallest_side: float
    learner: Learner | None = None


@dataclass(frozen=True)
class State:
    """Centre and size in pixels, and the state of the online branch."""

    cx: float
    cy: float
    w: float
    h: float
    online: OnlineState | None = None

    @property
    def context(self) -> float:
        """Side of the square around the target with half its mean side added on each side."""
        return float(context_side(self.w, self.h))


def context_side(width: Any, height: Any) -> Any:
    """Side of the square that a target of this size is seen in; numbers or tensors."""
    margin = 0.5 * (width + height)
    return ((width + margin) * (height + margin)) ** 0.5


class OceanTracker(Tracker):
    """Ocean; see `OceanConfig` for its parameters."""

    name = 'ocean'
    presets: ClassVar[Mapping[str, OceanConfig]] = {
        'compact': COMPACT,
        'compact_online': COMPACT_ONLINE,
        **PAPER_PRESETS,
    }
    config: OceanConfig

    def __init__(
        self,
        config: OceanConfig,
        preset: str,
        device: torch.device,
        precision: torch.dtype,
        weights: Weights,
    ) -> None:
        super().__init__(config, preset, device, precision, weights)
        compact = preset.startswith('compact')
        build = build_compact if compact else build_network
        self.network = build(config, weights).to(
            device, precision, memory_format=torch.channels_last
        )
        self.online = None
        if config.online:
            online = ready(OnlineNetwork(compact=True)) if compact else build_online(weights)
            self.online = online.to(device, precision, memory_format=torch.channels_last)

    def _start(self, frame: Tensor, box: Box) -> tuple[Model, State]:
        config = self.config
        state = State(box.cx, box.cy, box.w, box.h)
        fill = frame.float().mean((0, 1))
        if config.released:
            fill = fill.floor()
        small = box.area < config.small_share * frame.shape[0] * frame.shape[1]
        window = (box.cx, box.cy, state.context)
        if config.released:
            window = (*window[:2], round(state.context))
        crop = crop_windows(frame, [window], fill[None], config.template_side, config.released)
        scale = config.template_side / state.context
        sizes = torch.tensor([[scale * box.w, scale * box.h]], device=self.device)
        model = Model(
            self.network.encode(crop.to(self.precision), sizes),
            fill,
            config.small_search_side if small else config.search_side,
            min(config.smallest_side, box.w, box.h),
        )
        if self.online is not None:
            learner = start_learning(self.online, self.network, frame, box, config)
            model = replace(model, learner=learner)
            state = replace(state, online=OnlineState(box.cx, box.cy))
        return model, state

    def _locate(self, frame: Tensor, targets: Sequence[Target]) -> list[Sighting]:
        groups: dict[int, list[int]] = {}
        for index, target in enumerate(targets):
            groups.setdefault(target.model.search_side, []).append(index)
        views = self.look(frame, targets) if self.online is not None else [None] * len(targets)
        rows = [
            self._search(frame, [targets[i] for i in group], [views[i] for i in group])
            for group in groups.values()
        ]
        order = [index for group in groups.values() for index in group]
        places = dict(zip(order, torch.cat(rows).tolist(), strict=True))
        size = (frame.shape[1], frame.shape[0])
        return [
            self._move(target, places[index], size, views[index])
            for index, target in enumerate(targets)
        ]

    def _search(
        self, frame: Tensor, targets: Sequence[Target], views: Sequence[View | None]
    ) -> Tensor:
        """Where the targets are in their search regions: (N, 5), see `choose_places`; with an
        online branch (N, 9), see `summarize`."""
        config = self.config
        side = targets[0].model.search_side
        zoom = side / config.template_side
        windows, sizes = [], []
        for target in targets:
            state, (dx, dy) = target.state, target.search_offset
            width = state.context * zoom
            if config.released:
                width = math.floor(width + 0.5)
            windows.append((state.cx + dx, state.cy + dy, width))
            scale = config.template_side / state.context
            sizes.append((state.w * scale, state.h * scale))
        fills = torch.stack([target.model.fill for target in targets])
        crops = crop_windows(frame, windows, fills, side, config.released).to(self.precision)
        template = join_templates([target.model.template for target in targets])
        prediction = self.network(crops, template)
        last = torch.tensor(sizes, device=self.device)
        if self.online is None:
            return choose_places(prediction, last, config)
        features = torch.cat([view.features for view in views])
        maps = score_maps(features, torch.cat([t.model.learner.filter for t in targets]))
        seen = [
            (t.state.w / view.scale, t.state.h / view.scale)
            for t, view in zip(targets, views, strict=True)
        ]
        peaks = summarize(maps, torch.tensor(seen, device=self.device))
        return torch.cat((choose_places(prediction, last, config, maps), peaks), 1)

    def look(self, frame: Tensor, targets: Sequence[Target]) -> list[View]:
        """What the online branch sees of each target."""
        patches, frames = [], []
        for target in targets:
            state, (dx, dy) = target.state, target.search_offset
            side = SEARCH_FACTOR * math.sqrt(state.w * state.h)
            if self.config.released:
                side = target.model.learner.side
            centre = view_centre(state.online.cx + dx, state.online.cy + dy, side / CROP)
            patch, *place = sample_patch(frame, centre, side, CROP)
            patches.append(patch)
            frames.append(place)
        crops = torch.cat(patches).to(self.precision)
        features = self.online.project(self.online.backbone_features(self.network, crops))
        return [
            View(f[None], centre, scale)
            for f, (centre, scale) in zip(features, frames, strict=True)
        ]

    def _move(
        self,
        target: Target,
        place: list[float],
        image_size: tuple[int, int],
        view: View | None,
    ) -> Sighting:
        """The state that a place in the search region stands for."""
        shift_x, shift_y, width, height, score, *peaks = place
        if not all(map(math.isfinite, (shift_x, shift_y, width, height, score))):
            return Sighting(None, 0.0, target.state)
        old, (dx, dy) = target.state, target.search_offset
        scale = old.context / self.config.template_side
        smallest = target.model.smallest_side
        state = State(
            min(max(old.cx + dx + shift_x * scale, 0.0), float(image_size[0])),
            min(max(old.cy + dy + shift_y * scale, 0.0), float(image_size[1])),
            max(min(width * scale, image_size[0]), smallest),
            max(min(height * scale, image_size[1]), smallest),
        )
        if view is not None:
            state = replace(state, online=self._judge_view(old.online, state, view, peaks))
        return Sighting(Box.from_center(state.cx, state.cy, state.w, state.h), score, state)

    def _judge_view(
        self, old: OnlineState, state: State, view: View, peaks: list[float]
    ) -> OnlineState:
        """Where the online branch looks next, and what it has to learn of this frame."""
        verdict = judge(peaks, self.config.online_hard_peak)
        if verdict == 'not_found':
            return replace(old, pending=None)
        pending = None
        if verdict != 'uncertain':
            box = view.box(state.cx, state.cy, state.w, state.h)
            pending = Pending(view.features, box, verdict == 'hard_negative')
        return OnlineState(state.cx, state.cy, pending)

    def _learn(self, target: Target) -> None:
        online, config = target.state.online, self.config
        if online is None or online.pending is None:
            return
        sample, learner = online.pending, target.model.learner
        rate = config.online_hard_rate if sample.hard else config.online_rate
        learner.add(sample.features, sample.box, rate)
        if sample.hard or target.age % config.online_interval == 0:
            learner.learn(config.online_steps)
        target.state = replace(target.state, online=replace(online, pending=None))


def crop_windows(
    frame: Tensor,
    windows: Sequence[tuple[float, float, float]],
    fills: Tensor,
    side: int,
    released: bool = False,
) -> Tensor:
    """Resample square windows of a frame.

    Args:
        frame: (H, W, 3) uint8.
        windows: Centre (x, y) and width of each window, pixels.
        fills: (N, 3) colour outside the frame.
        side: Side of the crops.
        released: Whole pixels, half a pixel early, and rounded colours, like the released code.

    Returns:
        (N, 3, side, side) float32, 0 to 255.
    """
    cx, cy, width = torch.tensor(windows, dtype=torch.float64).unbind(1)
    if released:
        cx, cy = (torch.round(centre - (width + 1) / 2) + width / 2 for centre in (cx, cy))
    ys, xs = window_positions(cy, width, side), window_positions(cx, width, side)
    if released:  # an enlarged window ends with the centres of its outermost pixels
        reach = (width[:, None] - 1) / 2
        ys, xs = (
            torch.maximum(torch.minimum(p, c[:, None] - 0.5 + reach), c[:, None] - 0.5 - reach)
            for p, c in ((ys, cy), (xs, cx))
        )
    positions = torch.stack((ys, xs)).to(frame.device, torch.float32)
    crops = sample_grid(frame, *positions, fills[:, None, None])
    return crops.round() if released else crops


def classification(prediction: Prediction, config: OceanConfig) -> Tensor:
    """How likely each cell is the target, (N, n, n): regular-region and object-aware score."""
    scores = prediction.logits.sigmoid()
    if prediction.aligned is None:
        return scores
    return torch.lerp(prediction.aligned.sigmoid(), scores, config.regular_weight)


def choose_places(
    prediction: Prediction, sizes: Tensor, config: OceanConfig, online: Tensor | None = None
) -> Tensor:
    """Choose the best cell of each search region and smooth the size of its box (section 4.1).

    Args:
        prediction: Of the networks.
        sizes: (N, 2) last width and height of each target, in pixels of the search region.
        config: Parameters.
        online: (N, m, m) score maps of the online branch.

    Returns:
        (N, 5): shift of the target's centre (x, y) from the middle of the search region, new
        width and height, all in pixels of the search region, and the classification score.
    """
    scores = classification(prediction, config)  # (N, n, n)
    n = scores.shape[-1]
    left, top, right, bottom = prediction.ltrb.unbind(1)
    width, height = left + right, top + bottom
    last_w, last_h = sizes[:, 0, None, None], sizes[:, 1, None, None]
    growth = context_side(width, height) / context_side(last_w, last_h)
    stretch = (last_w / last_h) * (height / width)
    change = torch.maximum(growth, 1 / growth) * torch.maximum(stretch, 1 / stretch)
    penalized = scores * torch.exp(-config.penalty * (change - 1))
    hann = torch.hann_window(n, periodic=False, device=scores.device)
    ranking = torch.lerp(penalized, hann[:, None] * hann, config.window_influence)
    if online is not None:
        # the two search regions differ; both have the target in the middle
        online = F.interpolate(online[:, None], size=(n, n), mode='bicubic', align_corners=False)
        ranking = torch.lerp(ranking, online[:, 0], config.online_weight)
    best = ranking.flatten(1).argmax(1, keepdim=True)  # (N, 1)

    def at_best(maps: Tensor) -> Tensor:
        return maps.flatten(1).gather(1, best)[:, 0]

    offsets = cell_offsets(n, scores.device).expand(len(best), n, n)
    shift_x = at_best(offsets + (right - left) / 2)
    shift_y = at_best(offsets.mT + (bottom - top) / 2)
    rate = config.size_rate * at_best(penalized)
    if config.smooth_twice:
        rate = rate.square()
    new_w = torch.lerp(sizes[:, 0], at_best(width), rate)
    new_h = torch.lerp(sizes[:, 1], at_best(height), rate)
    return torch.stack((shift_x, shift_y, new_w, new_h, at_best(scores)), 1)


def ready(network: Network) -> Network:
    """A network with its weights loaded, made ready for tracking."""
    network.eval().requires_grad_(False)
    fold_batch_norms(network)
    return network


def build_network(config: OceanConfig, weights: Weights) -> OceanNetwork:
    """The published network with its weights, in inference mode.

    Raises:
        WeightsError: The file does not fit, or lacks the aligned branch that is wanted.
    """
    network = OceanNetwork(config.align)
    if weights.state is None:
        randomize(network)
    else:
        state = read_authors_state(weights.state[''], weights.source)
        unused = ('online.',) if config.align else ('online.', 'heads.align.')
        state = {key: value for key, value in state.items() if not key.startswith(unused)}
        if config.align and not any(key.startswith('heads.align.') for key in state):
            raise WeightsError(
                f'{weights.source} has no branch for aligned features: set align to false'
            )
        load_into(network, state, weights.source)
    return ready(network)


def build_compact(config: OceanConfig, weights: Weights) -> CompactOcean:
    """The compact network with its weights, in inference mode.

    Raises:
        WeightsError: A file does not fit.
    """
    network = CompactOcean(config.align)
    if weights.state is None:
        randomize(network)
    else:
        heads = weights.state['heads']
        if not config.align:
            heads = {key: value for key, value in heads.items() if not key.startswith('align.')}
        load_into(network.backbone, weights.state['backbone'], weights.source)
        load_into(network.heads, heads, weights.source)
    return ready(network)


def build_online(weights: Weights) -> OnlineNetwork:
    """The networks of the online branch with their weights, in inference mode.

    Raises:
        WeightsError: The file does not fit, or has no online branch.
    """
    network = OnlineNetwork()
    if weights.state is None:
        randomize(network)
        network.reset_loss()
    else:
        state = read_authors_state(weights.state[''], weights.source)
        prefix = 'online.'
        state = {key[len(prefix) :]: v for key, v in state.items() if key.startswith(prefix)}
        if not state:
            raise WeightsError(f'{weights.source} has no online branch: set online to false')
        load_into(network, state, weights.source)
    return ready(network)

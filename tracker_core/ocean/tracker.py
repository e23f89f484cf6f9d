# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Ocean: every place inside the target regresses its box, and the box judges the place.

Zhang, Peng, Fu, Li, Hu: Ocean: Object-aware Anchor-free Tracking, ECCV 2020.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
import math
from typing import Any, ClassVar

import torch
from torch import Tensor
import torch.nn.functional as F

from tracker_core.boxes import Box
from tracker_core.errors import WeightsError
from tracker_core.images import sample_grid, window_positions
from tracker_core.ocean.config import OceanConfig, SETTINGS, VOT2019
from tracker_core.ocean.network import (
    cell_offsets,
    join_templates,
    OceanNetwork,
    Prediction,
    read_authors_state,
    Template,
)
from tracker_core.tracker import Sighting, Target, Tracker
from tracker_core.weights import load_into, randomize, Weights


@dataclass(frozen=True)
class Model:
    """What is learnt of a target in the first frame.

    Attributes:
        template: The networks' kernels.
        fill: (3,) mean colour of the first frame, shown outside the image.
        search_side: Side of the search region, network input pixels.
        smallest_side: No side of the box becomes shorter, pixels.
    """

    template: Template
    fill: Tensor
    search_side: int
    smallest_side: float


@dataclass(frozen=True)
class State:
    """Centre and size in pixels."""

    cx: float
    cy: float
    w: float
    h: float

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
        'paper': VOT2019,
        **{f'paper_{name}': config for name, config in SETTINGS.items()},
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
        self.network = build_network(config, weights).to(device, precision)

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
        model = Model(
            self.network.encode(crop.to(self.precision)),
            fill,
            config.small_search_side if small else config.search_side,
            min(config.smallest_side, box.w, box.h),
        )
        return model, state

    def _locate(self, frame: Tensor, targets: Sequence[Target]) -> list[Sighting]:
        groups: dict[int, list[int]] = {}
        for index, target in enumerate(targets):
            groups.setdefault(target.model.search_side, []).append(index)
        places = torch.cat(
            [self._search(frame, [targets[i] for i in group]) for group in groups.values()]
        ).tolist()
        order = [index for group in groups.values() for index in group]
        size = (frame.shape[1], frame.shape[0])
        sightings = {
            i: self._move(targets[i], p, size) for i, p in zip(order, places, strict=True)
        }
        return [sightings[index] for index in range(len(targets))]

    def _search(self, frame: Tensor, targets: Sequence[Target]) -> Tensor:
        """Where the targets are in their search regions, (N, 5), see `choose_places`."""
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
        return choose_places(prediction, torch.tensor(sizes, device=self.device), config)

    def _move(self, target: Target, place: list[float], image_size: tuple[int, int]) -> Sighting:
        """The state that a place in the search region stands for."""
        if not all(map(math.isfinite, place)):
            return Sighting(None, 0.0, target.state)
        shift_x, shift_y, width, height, score = place
        old, (dx, dy) = target.state, target.search_offset
        scale = old.context / self.config.template_side
        smallest = target.model.smallest_side
        state = State(
            min(max(old.cx + dx + shift_x * scale, 0.0), float(image_size[0])),
            min(max(old.cy + dy + shift_y * scale, 0.0), float(image_size[1])),
            max(min(width * scale, image_size[0]), smallest),
            max(min(height * scale, image_size[1]), smallest),
        )
        return Sighting(Box.from_center(state.cx, state.cy, state.w, state.h), score, state)


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
    scores = prediction.logits.sigmoid()  # (N, n, n)
    if prediction.aligned is not None:
        scores = torch.lerp(prediction.aligned.sigmoid(), scores, config.regular_weight)
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
    return network.eval().requires_grad_(False)

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""TADT: a template of target-aware features, found again by correlation at three sizes.

Li, Ma, Wu, He, Yang: Target-Aware Deep Tracking, CVPR 2019.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
import math
from typing import Any, ClassVar

import torch
from torch import nn, Tensor
import torch.nn.functional as F

from tracker_core.backbones.compact import CompactBackbone
from tracker_core.backbones.vgg import Vgg16
from tracker_core.boxes import Box
from tracker_core.errors import WeightsError
from tracker_core.images import sample_grid, window_positions
from tracker_core.layers.interpolation import resample
from tracker_core.tadt import released
from tracker_core.tadt.channels import centre_patch, Channels, choose_channels
from tracker_core.tadt.config import COMPACT, PAPER, TadtConfig
from tracker_core.tracker import Sighting, Target, Tracker
from tracker_core.weights import load_into, randomize, Weights


@dataclass(frozen=True)
class Model:
    """What is learnt of a target in the first frame.

    Attributes:
        channels: Kept channels.
        template: (1, K, h, w) their values on the target.
        norm: Euclidean norm of the template.
        width: Target width in the first frame, pixels.
        height: Target height in the first frame, pixels.
        search_side: Side of the search region in the first frame, pixels.
    """

    channels: Channels
    template: Tensor
    norm: float
    width: float
    height: float
    search_side: float


@dataclass(frozen=True)
class State:
    """Centre in pixels and size relative to the first frame."""

    cx: float
    cy: float
    zoom: float = 1.0


class TadtTracker(Tracker):
    """TADT; see `TadtConfig` for its parameters. It learns on the first frame only."""

    name = 'tadt'
    presets: ClassVar[Mapping[str, TadtConfig]] = {'compact': COMPACT, 'paper': PAPER}
    config: TadtConfig

    def __init__(
        self,
        config: TadtConfig,
        preset: str,
        device: torch.device,
        precision: torch.dtype,
        weights: Weights,
    ) -> None:
        super().__init__(config, preset, device, precision, weights)
        self.backbone = build_backbone(preset, weights).to(device, precision)
        stride = self.backbone.stride
        self._map_side = -(-config.search_side // stride)
        scales = torch.tensor([1 / config.scale_step, 1.0, config.scale_step], device=device)
        cells = torch.arange(self._map_side, device=device) - (self._map_side - 1) / 2
        self._scales = scales
        self._level_positions = (self._map_side - 1) / 2 + scales[:, None] * cells  # (3, n)
        side = (self._map_side - 1) * stride + 1
        self._hann = torch.hann_window(side, periodic=False, device=device)

    def _start(self, frame: Tensor, box: Box) -> tuple[Any, Any]:
        config = self.config
        if config.released:
            return released.start(self.backbone, frame, box, config)
        side = math.sqrt(box.area)
        input_side = min(max(side, config.smallest_side), config.largest_side)
        scale = side / input_side  # image pixels per network input pixel
        state = State(box.cx, box.cy)
        shallow, deep = self._extract(frame, [(box.cx, box.cy, config.search_side * scale)])
        cells = scale * self.backbone.stride
        patch = tuple(
            min(
                2 * math.floor(length / cells / 2) + 1, self._map_side - 2 - self._map_side % 2 + 1
            )
            for length in (box.h, box.w)
        )
        channels = choose_channels(shallow[0], deep[0], patch, config)
        template = centre_patch(channels.select(shallow, deep), patch)
        model = Model(
            channels,
            template,
            float(template.norm()),
            box.w,
            box.h,
            config.search_side * scale,
        )
        return model, state

    def _locate(self, frame: Tensor, targets: Sequence[Target]) -> list[Sighting]:
        if self.config.released:
            return [self._locate_as_released(frame, target) for target in targets]
        windows = []
        for target in targets:
            state, (dx, dy) = target.state, target.search_offset
            windows.append((state.cx + dx, state.cy + dy, target.model.search_side * state.zoom))
        shallow, deep = self._extract(frame, windows)
        peaks = torch.stack(
            [
                self._match(shallow[i : i + 1], deep[i : i + 1], target.model)
                for i, target in enumerate(targets)
            ]
        )
        return [
            self._follow(target, window, peak)
            for target, window, peak in zip(targets, windows, peaks.tolist(), strict=True)
        ]

    def _extract(
        self, frame: Tensor, windows: Sequence[tuple[float, float, float]]
    ) -> tuple[Tensor, Tensor]:
        """Features of windows (cx, cy, side): two maps (N, C, n, n) float32."""
        cx, cy, side = torch.tensor(windows, dtype=torch.float32).to(self.device).unbind(1)
        size = self.config.search_side
        patches = sample_grid(
            frame, window_positions(cy, side, size), window_positions(cx, side, size)
        )
        shallow, deep = self.backbone(patches.to(self.precision))
        return shallow.float(), deep.float()

    def _match(self, shallow: Tensor, deep: Tensor, model: Model) -> Tensor:
        """Correlate the template at three sizes around the last one.

        Args:
            shallow: (1, C1, n, n).
            deep: (1, C2, n, n).
            model: The target's.

        Returns:
            (4,): shift (x, y) of the peak in search-region pixels, its size relative to the last
            one, and the cosine similarity of template and features there.
        """
        config, stride = self.config, self.backbone.stride
        features = model.channels.select(shallow, deep)  # (1, K, n, n)
        positions = self._level_positions[:, None]  # (3, 1, n)
        levels = resample(features, positions, positions)  # (3, K, n, n)
        height, width = model.template.shape[-2:]
        padding = (height // 2, width // 2)
        response = F.conv2d(levels, model.template, padding=padding)  # (3, 1, n, n)
        ones = torch.ones_like(model.template[:, :1])
        energy = F.conv2d(levels.square().sum(dim=1, keepdim=True), ones, padding=padding)
        similarity = response / (model.norm * energy.clamp(min=1e-12).sqrt())  # (3, 1, n, n)

        response = response / response.amax().clamp(min=1e-12)
        fine = F.interpolate(
            response, size=self._hann.shape * 2, mode='bicubic', align_corners=True
        )
        fine = fine[:, 0] + config.window_influence * self._hann[:, None] * self._hann  # (3, m, m)
        fine[0] *= config.scale_penalty
        fine[2] *= config.scale_penalty
        index = fine.argmax()
        m, n = fine.shape[-1], response.shape[-1]
        level, row, column = index // (m * m), index // m % m, index % m
        scale = self._scales[level]
        near_row, near_column = (row + stride // 2) // stride, (column + stride // 2) // stride
        score = similarity.flatten()[level * n * n + near_row * n + near_column]
        centre = (m - 1) / 2
        return torch.stack(((column - centre) * scale, (row - centre) * scale, scale, score))

    def _follow(
        self, target: Target, window: tuple[float, float, float], peak: list[float]
    ) -> Sighting:
        """The box that a peak stands for."""
        shift_x, shift_y, scale, similarity = peak
        cx, cy, side = window
        pixels = side / self.config.search_side
        zoom = target.state.zoom * scale**self.config.scale_rate
        state = State(cx + shift_x * pixels, cy + shift_y * pixels, zoom)
        model = target.model
        box = Box.from_center(state.cx, state.cy, model.width * zoom, model.height * zoom)
        return Sighting(box, similarity, state)

    def _locate_as_released(self, frame: Tensor, target: Target) -> Sighting:
        found, geometry = released.locate(self.backbone, frame, target.model, target.state)
        return Sighting(geometry.box, found.similarity, geometry)


def build_backbone(preset: str, weights: Weights) -> nn.Module:
    """The feature extractor of a preset with its weights, in inference mode."""
    network = CompactBackbone() if preset == 'compact' else Vgg16()
    if weights.state is None:
        randomize(network)
    else:
        state = weights.state['']
        if preset == 'paper' and 'conv1_1.weight' in state:
            state = rename_matconvnet(state, network, weights.source)
        load_into(network, state, weights.source)
    return network.eval().requires_grad_(False)


def rename_matconvnet(
    state: Mapping[str, Tensor], network: nn.Module, source: str
) -> dict[str, Tensor]:
    """Give the convolutions of a MatConvNet file the names of the network's, in their order."""
    wanted = list(network.state_dict())
    values = list(state.values())[: len(wanted)]
    if len(values) < len(wanted):
        raise WeightsError(
            f'{source} has {len(values) // 2} convolutions, {len(wanted) // 2} wanted'
        )
    return dict(zip(wanted, values, strict=True))

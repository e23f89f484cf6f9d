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
from tracker_core.errors import ParameterError, WeightsError
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
        templates: (3, K, h, w) their values on the target, at three sizes.
        supports: (3, 1, h, w) where the templates are, 0 to 1.
        norms: (3, 1, 1) Euclidean norms of the templates.
        width: Target width in the first frame, pixels.
        height: Target height in the first frame, pixels.
        search_side: Side of the search region in the first frame, pixels.
    """

    channels: Channels
    templates: Tensor
    supports: Tensor
    norms: Tensor
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
    """Target-aware deep tracking: a template of the channels that tell the target apart.

    It learns on the first frame only. `TadtConfig` has its parameters.
    """

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
        self._map_side = config.search_side // stride
        if config.search_side % (2 * stride) != stride:
            raise ParameterError(
                f'TadtConfig.search_side must be an odd multiple of {stride} for preset {preset}, '
                f'not {config.search_side}'
            )
        step = config.scale_step
        self._scales = torch.tensor([1 / step, 1.0, step], device=device)
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
        cell = scale * self.backbone.stride
        limit = self._map_side - 4  # leaves the background a border
        patch = tuple(min(2 * int(side / cell / 2) + 1, limit) for side in (box.h, box.w))
        channels = choose_channels(shallow[0], deep[0], patch, config)
        template = centre_patch(channels.select(shallow, deep), patch)[0]
        templates = self._at_three_sizes(template)
        model = Model(
            channels,
            templates,
            self._at_three_sizes(torch.ones_like(template[:1])),
            templates.flatten(1).norm(dim=1)[:, None, None],
            box.w,
            box.h,
            config.search_side * scale,
        )
        return model, state

    def _at_three_sizes(self, template: Tensor) -> Tensor:
        """Resample a template (K, h, w) to a smaller, its own and a larger size.

        Returns:
            (3, K, h + 2, w + 2), zero outside the template.
        """
        positions = []
        for side in template.shape[1:]:
            reach = side // 2 + 1
            offsets = torch.arange(-reach, reach + 1, device=self.device)
            positions.append((side // 2 + offsets / self._scales[:, None])[:, None])
        return resample(template, *positions, repeat=False)

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
        """Correlate the templates with the search region.

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
        padding = tuple(side // 2 for side in model.templates.shape[-2:])
        response = F.conv2d(features, model.templates, padding=padding)[0]  # (3, n, n)
        energy = F.conv2d(
            features.square().sum(dim=1, keepdim=True), model.supports, padding=padding
        )[0]
        similarity = response / (model.norms * energy.clamp(min=1e-12).sqrt())  # (3, n, n)

        response = response / self._scales[:, None, None] ** 2  # a larger template sums more
        response = response / response.amax().clamp(min=1e-12)
        fine = F.interpolate(
            response[None], size=self._hann.shape * 2, mode='bicubic', align_corners=True
        )[0]  # (3, m, m), one value per pixel of the search region
        fine = fine + config.window_influence * self._hann[:, None] * self._hann
        fine = fine * self._scale_weights(config)
        index = fine.argmax()
        m, n = fine.shape[-1], response.shape[-1]
        level, row, column = index // (m * m), index // m % m, index % m
        cell = (row + stride // 2) // stride * n + (column + stride // 2) // stride
        score = similarity.flatten()[level * n * n + cell]
        centre = (m - 1) / 2
        return torch.stack((column - centre, row - centre, self._scales[level], score))

    def _scale_weights(self, config: TadtConfig) -> Tensor:
        """Weights (3, 1, 1) of the three sizes."""
        is_changed = self._scales != 1
        return torch.where(is_changed, config.scale_penalty, 1.0)[:, None, None]

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

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""TADT: a template of target-aware features, found again by correlation at three sizes.

Li, Ma, Wu, He, Yang: Target-Aware Deep Tracking, CVPR 2019.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
import math

import torch
from torch import nn, Tensor

from tracker_core.backbones.vgg import Vgg16
from tracker_core.boxes import Box
from tracker_core.errors import ParameterError, WeightsError
from tracker_core.images import Corners, square_corners
from tracker_core.layers.appearance import appearance, similarity
from tracker_core.layers.correlation import correlation_kernels, full_correlation
from tracker_core.layers.interpolation import cubic_matrix, resample
from tracker_core.layers.peaks import row_and_column
from tracker_core.layers.placing import place
from tracker_core.refiner.network import BoxRefiner, build_refiner, check_refiner, RefinerNetwork
from tracker_core.refiner.refine import into_cells, refine, toward
from tracker_core.step import ProgramKey, Tensors
from tracker_core.tadt import released
from tracker_core.tadt.channels import centre_patch, choose_channels, select
from tracker_core.tadt.config import TadtConfig
from tracker_core.target import Proposal, Target
from tracker_core.tracker import Setup, Tracker
from tracker_core.weights import load_into, randomize, Weights


@dataclass(frozen=True)
class TadtModel:
    """What is learnt of a target: all of it in the first frame, and a recent template afterwards.

    Attributes:
        tensors: What the step needs: indices of the kept channels of either layer (1, K1) and
            (1, K2), the factor on each (1, K), their values on the target at three sizes as
            `correlation_kernels` (1, 3 h w, K), where these are, 0 to 1 (1, 3, h, w), and their
            Euclidean norms (1, 3, 1, 1); with `refiner` also the template of the box refiner.
        first: The values on the target in the first frame, (1, 3 h w, K).
        recent: Their running average over the frames.
        template: h and w, in cells.
        width: Target width in the first frame, pixels.
        height: Target height in the first frame, pixels.
        search_side: Side of the search region in the first frame, pixels.
    """

    tensors: tuple[Tensor, ...]
    first: Tensor
    recent: Tensor
    template: tuple[int, int]
    width: float
    height: float
    search_side: float


@dataclass(frozen=True)
class TadtState:
    """Where a target is.

    Attributes:
        cx, cy: Its centre in pixels.
        zoom: Its size relative to the first frame.
        stretch: Square root of its width over its height, relative to the first frame.
        found: What is to be learnt: the values on the target where it was found, as of
            `TadtModel.first`.
    """

    cx: float
    cy: float
    zoom: float = 1.0
    stretch: float = 1.0
    found: Tensor | None = None


# what the released tracker keeps differs
AnyModel = TadtModel | released.ReleasedModel
AnyState = TadtState | released.Geometry
TadtTarget = Target[AnyModel, AnyState]


class TadtTracker(Tracker[TadtConfig, AnyModel, AnyState]):
    """Target-aware deep tracking: a template of the channels that tell the target apart.

    It chooses its channels on the first frame; the template can follow the target's appearance.
    `TadtConfig` has its parameters.
    """

    name = 'tadt'

    def __init__(self, setup: Setup[TadtConfig]) -> None:
        super().__init__(setup)
        config = self.config
        backbone = build_backbone(setup.network, setup.weights)
        self.backbone = place(backbone, self.device, self.precision)
        check_refiner(config.refiner, setup)
        stride = self.backbone.stride
        self._map_side = config.search_side // stride
        if config.search_side % (2 * stride) != stride:
            raise ParameterError(
                f'search_side must be an odd multiple of {stride} for preset {self.preset}, '
                f'not {config.search_side}'
            )
        step = config.scale_step
        self._scales = torch.tensor([1 / step, 1.0, step], device=self.device)
        side = (self._map_side - 1) * stride + 1
        self._hann = torch.hann_window(side, periodic=False, device=self.device)
        self._finer = cubic_matrix(self._map_side, side, align_corners=True).to(self.device)

    @property
    def exportable(self) -> bool:
        return not self.config.released

    def _start(self, frame: Tensor, box: Box) -> tuple[AnyModel, AnyState]:
        config = self.config
        if config.released:
            return released.start(self.backbone, frame, box, config)
        side = math.sqrt(box.area)
        input_side = min(max(side, config.smallest_side), config.largest_side)
        scale = side / input_side  # image pixels per network input pixel
        state = TadtState(box.cx, box.cy)
        window = torch.tensor([(box.cx, box.cy, config.search_side * scale)]).to(self.device)
        shallow, deep, *seen = self._extract(frame, window)
        cell = scale * self.backbone.stride
        limit = self._map_side - 4  # leaves the background a border
        rows, columns = (min(2 * int(side / cell / 2) + 1, limit) for side in (box.h, box.w))
        patch = rows, columns
        channels = choose_channels(shallow[0], deep[0], patch, config)
        rows, columns = rows + 2, columns + 2  # room for the larger template
        if self.steps.prepares_programs:
            # programs are prepared for their shapes, of which there shall be few
            channels = channels.filled_up(
                config.shallow_channels, max(config.deep_channels, config.minimum_channels)
            )
            rows, columns = (side + (-side - 1) % 4 for side in (rows, columns))
        size = rows, columns
        index_and_gains = channels.tensors()
        template = centre_patch(select(shallow, deep, *index_and_gains), patch)[0]
        templates = self._at_three_sizes(template, size)
        supports = self._at_three_sizes(torch.ones_like(template[:1]), size)  # (3, 1, h, w)
        kernels = correlation_kernels(templates[None])
        norms = norms_at_three_sizes(kernels)
        tensors: Tensors = (*index_and_gains, kernels, supports[None, :, 0].contiguous(), norms)
        if isinstance(self.backbone, RefinerNetwork):
            truth = torch.tensor([box.as_xywh()], device=self.device)
            cells = into_cells(truth, window, config.search_side)
            if config.refiner:
                tensors = (*tensors, self._refiner.template(seen[0], cells))
            tensors = (*tensors, appearance(deep, cells))
        search_side = config.search_side * scale
        return TadtModel(tensors, kernels, kernels, size, box.w, box.h, search_side), state

    def _at_three_sizes(self, template: Tensor, size: tuple[int, int]) -> Tensor:
        """Resample a template (K, h, w) to a smaller, its own and a larger size.

        Returns:
            (3, K, *size), zero outside the template.
        """
        ys, xs = (
            (side // 2 + self._offsets(whole))[:, None]
            for side, whole in zip(template.shape[1:], size, strict=True)
        )
        return resample(template, ys, xs, repeat=False)

    def _offsets(self, side: int) -> Tensor:
        """Where the cells of a template of odd side are looked up, from its middle: (3, side)."""
        return (torch.arange(side, device=self.device) - side // 2) / self._scales[:, None]

    def program_key(self, target: TadtTarget, image_size: tuple[int, int]) -> ProgramKey:
        """Rows and columns of the templates, and the numbers of channels."""
        model, _ = own(target)
        shallow, deep, *_ = model.tensors
        return *model.template, shallow.shape[1], deep.shape[1]

    @property
    def _refiner(self) -> BoxRefiner:
        assert isinstance(self.backbone, RefinerNetwork)
        return self.backbone.refiner

    def search_geometry(self, target: TadtTarget, image_size: tuple[int, int]) -> Tensor:
        """Centre (x, y) and side of the search region, and width and height of the target,
        pixels."""
        model, state = own(target)
        sides = model.width * state.zoom * state.stretch, model.height * state.zoom / state.stretch
        return torch.tensor((*self._window(target), *sides), dtype=torch.float64)

    def reach(self, geometry: list[float], image_size: tuple[int, int]) -> list[Corners] | None:
        return [square_corners(geometry[0], geometry[1], geometry[2])]

    def _window(self, target: TadtTarget) -> tuple[float, float, float]:
        """Centre (x, y) and side of the search region, pixels."""
        (model, state), (dx, dy) = own(target), target.search_offset
        return state.cx + dx, state.cy + dy, model.search_side * state.zoom

    def model_tensors(self, target: TadtTarget) -> Tensors:
        return own(target)[0].tensors

    def step(self, key: ProgramKey, frame: Tensor, geometry: Tensor, *model: Tensor) -> Tensors:
        """See `Tracker.step`. The result is (N, 4): shift (x, y) of the peak in search-region
        pixels, its size relative to the last one, and the cosine similarity of template and
        features there; with `refiner` followed by what `refine` says of the box there; with preset
        compact at last its `similarity` to the first frame. With
        `template_rate` there stay the features there at three sizes, as `correlation_kernels`
        (N, 3 h w, K)."""
        config, stride = self.config, self.backbone.stride
        shallow_index, deep_index, gains, templates, supports, norms, *of_compact = model
        windows = geometry[:, :3]
        size = key[0], key[1]
        leaves_out = isinstance(self.backbone, Vgg16) and not torch.compiler.is_compiling()
        if leaves_out and len(geometry) == 1:
            # a single target needs no other channels; an exported program wants fixed kernels
            maps = self._extract(frame, windows, deep_index[0])
            deep_index = torch.arange(deep_index.shape[1], device=deep_index.device)[None]
        else:
            maps = self._extract(frame, windows)
        features = select(maps[0], maps[1], shallow_index, deep_index, gains)  # (N, K, n, n)
        response = full_correlation(features, templates, size)  # (N, 3, n, n)
        energy = features.square().sum(dim=1, keepdim=True)
        energy = full_correlation(energy, supports.flatten(1)[:, :, None], size)  # (N, 3, n, n)
        cosines = response / (norms * energy.clamp(min=1e-12).sqrt())

        if config.ranking == 'similarity':
            response = cosines
        else:
            response = response / self._scales[:, None, None] ** 2  # a larger template sums more
        response = response / response.amax(dim=(1, 2, 3), keepdim=True).clamp(min=1e-12)
        # (N, 3, m, m), one value per pixel of the search region
        fine = self._finer @ response @ self._finer.T
        fine = fine + config.window_influence * self._hann[:, None] * self._hann
        fine = fine * torch.where(self._scales != 1, config.scale_penalty, 1.0)[:, None, None]
        index = fine.flatten(1).argmax(dim=1)  # (N,)
        m, n = fine.shape[-1], response.shape[-1]
        level, place = row_and_column(index, m * m)
        row, column = row_and_column(place, m)
        near_row, near_column = (
            torch.div(at + stride // 2, stride, rounding_mode='floor') for at in (row, column)
        )
        cell = near_row * n + near_column
        score = cosines.flatten(1).gather(1, (level * n * n + cell)[:, None])[:, 0]
        row, column = (
            row + peak_offset(fine, index, row, m),
            column + peak_offset(fine, index, column, 1),
        )
        centre = (m - 1) / 2
        scale = self._scales.index_select(0, level)
        result = torch.stack((column - centre, row - centre, scale, score), dim=1)
        if of_compact:
            shift = result[:, :2] * windows[:, 2:] / config.search_side
            sides = geometry[:, 3:] * scale[:, None]
            boxes = torch.cat((windows[:, :2] + shift - sides / 2, sides), dim=1)
            if config.refiner:
                better = refine(
                    self._refiner, of_compact[0], maps[2], boxes, windows, config.search_side
                )
                boxes = better[:, :4]
                result = torch.cat((result, better.to(result.dtype)), dim=1)
            cells = into_cells(boxes, windows, config.search_side)
            result = torch.cat((result, similarity(of_compact[-1], maps[1], cells)), dim=1)
        if not config.template_rate:
            return (result,)
        ys, xs = (
            (at / stride)[:, None, None] + self._offsets(side) * scale[:, None, None]  # (N, 3, h)
            for at, side in zip((row, column), size, strict=True)
        )
        found = resample(features[:, None], ys[:, :, None], xs[:, :, None])  # (N, 3, K, h, w)
        return result, correlation_kernels(found * supports[:, :, None])

    def _extract(self, frame: Tensor, windows: Tensor, *wanted: Tensor) -> Tensors:
        """Features of windows (N, 3) centre x, y and side: two maps (N, C, n, n) float32, the
        deep one of the `wanted` channels (K,) where they are given; of preset compact also those
        of the box refiner."""
        patches = self.cut(frame, windows.float(), self.config.search_side)
        if isinstance(self.backbone, RefinerNetwork):
            shallow, deep, *seen = self.backbone.look(patches)
        else:
            shallow, deep, *seen = self.backbone(patches, *wanted)
        return shallow.float(), deep.float(), *seen

    def proposal(
        self,
        target: TadtTarget,
        row: list[float],
        kept: Tensors,
        index: int,
        image_size: tuple[int, int],
    ) -> Proposal[AnyState]:
        """The box that a peak stands for."""
        shift_x, shift_y, scale, raw_score, *better = row
        likeness = better.pop() if isinstance(self.backbone, RefinerNetwork) else None
        cx, cy, side = self._window(target)
        pixels = side / self.config.search_side
        model, old = own(target)
        zoom = old.zoom * scale**self.config.scale_rate
        found = kept[0][index, None] if kept else None
        centre = cx + shift_x * pixels, cy + shift_y * pixels
        sides = model.width * zoom * old.stretch, model.height * zoom / old.stretch
        box = Box.from_center(*centre, *sides)
        if better and all(map(math.isfinite, better)) and box.area > 0:
            box = toward(box, better, self.config.box_rate)
        wide, high = box.w / model.width, box.h / model.height
        state = TadtState(box.cx, box.cy, math.sqrt(wide * high), math.sqrt(wide / high), found)
        return Proposal(box, raw_score, state, similarity=likeness)

    def resized(self, state: AnyState, factor: float) -> AnyState:
        if isinstance(state, released.Geometry):
            return state
        return replace(state, zoom=state.zoom * factor)

    def _learn(self, target: TadtTarget) -> None:
        """Let the template follow what the target looks like where it was found for sure."""
        config = self.config
        if config.released:
            return
        model, state = own(target)
        if state.found is None:
            return
        target.state = replace(state, found=None)
        if target.score < config.tracking_score:
            return
        found = state.found * (model.first.norm() / state.found.norm().clamp(min=1e-12))
        recent = torch.lerp(model.recent, found, config.template_rate)
        *parts, _, supports, _ = model.tensors[:6]
        kernels = torch.lerp(model.first, recent, config.template_share)
        norms = norms_at_three_sizes(kernels)
        tensors = (*parts, kernels, supports, norms, *model.tensors[6:])
        target.model = replace(model, tensors=tensors, recent=recent)

    def locate(self, frame: Tensor, targets: Sequence[TadtTarget]) -> list[Proposal[AnyState]]:
        if self.config.released:
            return [self._locate_as_released(frame, target) for target in targets]
        return super().locate(frame, targets)

    def _locate_as_released(self, frame: Tensor, target: TadtTarget) -> Proposal[AnyState]:
        model, state = target.model, target.state
        assert isinstance(model, released.ReleasedModel)
        assert isinstance(state, released.Geometry)
        found, geometry = released.locate(self.backbone, frame, model, state)
        return Proposal(geometry.box, found.similarity, geometry)


def own(target: TadtTarget) -> tuple[TadtModel, TadtState]:
    """What is known of a target that is not tracked as released."""
    model, state = target.model, target.state
    assert isinstance(model, TadtModel)
    assert isinstance(state, TadtState)
    return model, state


def peak_offset(maps: Tensor, peaks: Tensor, places: Tensor, step: int) -> Tensor:
    """Where along an axis the top of a parabola through a peak and its two neighbours lies.

    Without it a peak would jump by a whole pixel where rounding tips the balance.

    Args:
        maps: (N, K, m, m).
        peaks: (N,) index of the highest value of each in the flattened maps.
        places: (N,) place of the peak on the axis, 0 to m - 1.
        step: Distance of two neighbours along the axis in the flattened maps.

    Returns:
        (N,) -0.5 to 0.5, from the peak; 0 on the border.
    """
    inner = (places > 0) & (places < maps.shape[-1] - 1)
    away = step * inner.to(peaks.dtype)  # on the border all three are the peak itself
    three = torch.stack((peaks - away, peaks, peaks + away), dim=1)
    before, top, after = maps.flatten(1).gather(1, three).unbind(1)
    bend = (2 * top - before - after).clamp(min=1e-12)
    return (0.5 * (after - before) / bend).clamp(-0.5, 0.5)


def norms_at_three_sizes(kernels: Tensor) -> Tensor:
    """Euclidean norms (1, 3, 1, 1) of `correlation_kernels` (1, 3 h w, K)."""
    return kernels.view(3, -1).norm(dim=1)[None, :, None, None]


def build_backbone(kind: str, weights: Weights) -> RefinerNetwork | Vgg16:
    """The feature extractor of a kind (see `Preset.network`) with its weights, in inference
    mode."""
    if kind == 'compact':
        return build_refiner(weights)
    network = Vgg16()
    if weights.state is None:
        randomize(network)
    else:
        state = weights.state['']
        if 'conv1_1.weight' in state:
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

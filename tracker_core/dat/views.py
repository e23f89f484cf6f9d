# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""From a frame and boxes in it to samples for the classifier.

`CropViews` runs VGG-M on a crop per box (preset paper). `RegionViews` runs the compact backbone
once on the search region and pools each box out of its maps (preset compact).
"""

from __future__ import annotations

from collections.abc import Sequence
import copy
from dataclasses import dataclass

import torch
from torch import Tensor
import torch.nn.functional as F

from tracker_core.dat.config import DatConfig
from tracker_core.dat.crops import crop, crops_at_once, PADDING, SIDE
from tracker_core.dat.learning import Chain, PooledChain, Samples
from tracker_core.dat.network import FEATURES, Linearised, VggM
from tracker_core.images import Cut, cut_windows
from tracker_core.layers.placing import place
from tracker_core.refiner.network import RefinerNetwork

Window = tuple[float, float, float]  # centre x, y and side in pixels of the frame
CONTEXT = 1 + 2 * PADDING / SIDE  # what is seen of a box, relative to its size
SUBCELLS = 2  # bilinear samples per pooled cell and axis
FEATURE_RMS = 0.5  # of the compact features; online training is the steadier for small inputs


@dataclass(frozen=True)
class View:
    """What is looked at of a frame: its pixels, or features of a window.

    Attributes:
        pixels: The frame (H, W, 3) (preset paper), or the window's feature map (h * w, C).
        window: The window.
        refined: What the box refiner sees of the window, (1, 64, h, w) (preset compact).
    """

    pixels: Tensor
    window: Window
    refined: Tensor | None = None


class CropViews:
    """A crop and a pass through VGG-M for every box."""

    features = FEATURES

    def __init__(
        self, network: VggM, device: torch.device, precision: torch.dtype, exact: bool
    ) -> None:
        self.linear = network.to(device)  # attention is always float32
        self.network = copy.deepcopy(network).to(precision)
        self._exact = exact
        is_cuda = device.type == 'cuda'  # on a CPU a part should stay in the cache
        self._crops_at_once = 512 if is_cuda else 16
        self._chains_at_once = 64 if is_cuda else 8

    def look(self, frame: Tensor, windows: Sequence[Window]) -> list[View]:
        """Nothing is computed yet; the frame is copied, for the caller may reuse its memory
        before the target learns from it."""
        pixels = frame.clone()
        return [View(pixels, window) for window in windows]

    def search(
        self, frame: Tensor, windows: Tensor, boxes: Tensor, largest: tuple[int, int]
    ) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        """Features of boxes (N, B, 4) of one frame, (N, B, F), the frame's copy, and nothing for
        the box refiner."""
        at_once = crops_at_once(largest, self._exact, self._crops_at_once)
        parts = boxes.flatten(0, 1).split(at_once)
        features = [
            self.network(crop(frame, part, largest, self._exact)).float() for part in parts
        ]
        return torch.cat(features).unflatten(0, boxes.shape[:2]), frame.clone(), ()

    def view(self, seen: Tensor, index: int, window: Window) -> View:
        """What target `index` of a `search` saw."""
        return View(seen, window)

    def samples(
        self,
        views: Sequence[View],
        boxes: Sequence[Tensor],
        largest: Sequence[tuple[int, int]],
    ) -> list[Samples]:
        """Crops and features of boxes (N, 4), one set per view; one pass for all."""
        crops = torch.cat(
            [
                crop(view.pixels, part, side, self._exact).to(torch.int8)  # a quarter to keep
                for view, of_view, side in zip(views, boxes, largest, strict=True)
                for part in of_view.split(crops_at_once(side, self._exact, self._crops_at_once))
            ]
        )
        features = torch.cat(
            [self.network(part).float() for part in crops.split(self._crops_at_once)]
        )
        sizes = [len(of_view) for of_view in boxes]
        return [
            Samples(*pair) for pair in zip(features.split(sizes), crops.split(sizes), strict=True)
        ]

    def chains(self, crops: Tensor) -> list[Chain]:
        return [Linearised.at(self.linear, part) for part in crops.split(self._chains_at_once)]


class RegionViews:
    """One pass of the compact backbone for a search region; boxes are pooled from its maps."""

    def __init__(
        self,
        network: RefinerNetwork,
        device: torch.device,
        precision: torch.dtype,
        config: DatConfig,
    ) -> None:
        self.network = place(network, device, precision)
        self.cut: Cut = cut_windows
        self.side = config.region_side
        self._cells = config.cells
        self.features = sum(network.channels) * config.cells**2
        points = config.cells * SUBCELLS
        self._points = (torch.arange(points, device=device) + 0.5) / points - 0.5

    def look(self, frame: Tensor, windows: Sequence[Window]) -> list[View]:
        """Features of windows, in one pass."""
        numbers = torch.tensor(windows, dtype=torch.float64).to(frame.device)
        tables, refined = self._tables(frame, numbers)
        return [
            View(table, window, seen[None])
            for table, window, seen in zip(tables, windows, refined, strict=True)
        ]

    def search(
        self, frame: Tensor, windows: Tensor, boxes: Tensor, largest: tuple[int, int]
    ) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        """Features of boxes (N, B, 4) in windows (N, 3), (N, B, F), the windows' maps, and what
        the box refiner sees of them."""
        tables, refined = self._tables(frame, windows)
        return self._pool(tables, windows, boxes), tables, (refined,)

    def view(self, seen: Tensor, index: int, window: Window) -> View:
        """What target `index` of a `search` saw."""
        return View(seen[index], window)

    def deep(self, tables: Tensor) -> Tensor:
        """The deep maps (N, 128, h, w) that windows' maps (N, h * w, C) hold, standardized."""
        side = -(-self.side // self.network.stride)
        return tables[..., self.network.channels[0] :].mT.unflatten(2, (side, side))

    def _tables(self, frame: Tensor, windows: Tensor) -> tuple[Tensor, Tensor]:
        """Standardized features of windows (N, 3), (N, h * w, C), and what the box refiner sees of
        them, (N, 64, h, w)."""
        pixels = self.cut(frame, windows.float(), self.side)
        *both, refined = self.network.look(pixels)
        maps = torch.cat([standardize(maps.float()) for maps in both], dim=1)
        return maps.flatten(2).transpose(1, 2).contiguous(), refined

    def samples(
        self,
        views: Sequence[View],
        boxes: Sequence[Tensor],
        largest: Sequence[tuple[int, int]],
    ) -> list[Samples]:
        """Pooled features of boxes (N, 4), one set per view."""
        found = []
        for view, of_view in zip(views, boxes, strict=True):
            window = torch.tensor([view.window], dtype=torch.float64).to(of_view.device)
            features = self._pool(view.pixels[None], window, of_view[None])[0]
            found.append(Samples(features, features))
        return found

    def chains(self, features: Tensor) -> list[Chain]:
        return [PooledChain(features, self._cells)]

    def _pool(self, tables: Tensor, windows: Tensor, boxes: Tensor) -> Tensor:
        """Mean of bilinear samples in each cell of each box.

        Args:
            tables: (N, h * w, C) features of windows.
            windows: (N, 3).
            boxes: (N, B, 4).

        Returns:
            (N, B, cells * cells * C).
        """
        scale = (self.side / windows[:, 2])[:, None, None]
        stride = self.network.stride
        side = -(-self.side // stride)  # of the maps
        shape = (*boxes.shape[:2], self._cells, 2 * SUBCELLS)
        axes = []
        for axis in (1, 0):
            middle = boxes[..., axis] + boxes[..., axis + 2] / 2
            points = middle[..., None] + CONTEXT * boxes[..., axis + 2, None] * self._points
            centre = windows[:, axis, None, None]
            at = (((points - centre) * scale + self.side / 2 - 0.5) / stride).float()
            at = at.clamp(0, side - 1)
            low = at.floor().clamp(max=side - 2)
            # two map cells around every point, and their weights
            near = torch.stack((low, low + 1), dim=3).long()
            weight = torch.stack((1 - (at - low), at - low), dim=3) / SUBCELLS
            axes.append((near.view(shape), weight.view(shape)))
        (rows, row_weights), (columns, column_weights) = axes
        first = torch.arange(len(tables), device=tables.device)[:, None, None, None] * (
            side * side
        )
        index = (first + rows * side)[:, :, :, None, :, None] + columns[:, :, None, :, None, :]
        weight = row_weights[:, :, :, None, :, None] * column_weights[:, :, None, :, None, :]
        taps = (2 * SUBCELLS) ** 2
        index, weight = index.reshape(-1, taps), weight.reshape(-1, taps)
        tables = tables.flatten(0, 1)
        if torch.compiler.is_compiling():  # exporters know no bags
            near = tables.index_select(0, index.flatten()).unflatten(0, index.shape)
            pooled = (weight[:, None] @ near)[:, 0]
        else:
            pooled = F.embedding_bag(index, tables, per_sample_weights=weight, mode='sum')
        return pooled.view(*boxes.shape[:2], -1)


def standardize(maps: Tensor) -> Tensor:
    """Maps (N, C, h, w) without the mean of each channel, and with one root mean square for all
    of a window: what the channels have in common hinders the training of a fresh classifier."""
    centred = maps - maps.mean(dim=(2, 3), keepdim=True)
    power = centred.square().mean(dim=(1, 2, 3), keepdim=True)
    return centred * (FEATURE_RMS * (power + 1e-12).rsqrt())

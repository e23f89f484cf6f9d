# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""TADT as its released Python port computes it, pixel for pixel (option `released`).

It differs from the paper in the crops (the whole frame is resized, windows are cut at whole
pixels), in the regression (100 steps of gradient descent instead of its minimum), in the choice
of scale-sensitive channels (which amounts to a coin toss per channel) and in the scale search.
Boxes inside this module are (x, y, w, h) arrays in pixels of the resized frame, 0-based.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
import math
import zlib

import cv2
import numpy as np
import torch
from torch import nn, Tensor
import torch.nn.functional as F

from tracker_core.boxes import Box
from tracker_core.tadt.channels import (
    centre_patch,
    Channels,
    keep_channels,
    kernel_of,
    label,
    patch_gram,
    zoomed_patches,
)
from tracker_core.tadt.config import TadtConfig

SEARCH_FACTOR = 3
STRIDE = 4
STEPS, RATE, MOMENTUM, DECAY = 100, 1e-9, 0.9, 1000.0
BALANCE_CHANNELS = 49
SCALE_WEIGHTS = (0.99, 1.0, 1.0055)
SCALE_FACTORS = (45 / 47, 1.0, 45 / 43)

KernelSource = Callable[[str, tuple[int, ...]], Tensor]


@dataclass(frozen=True)
class Geometry:
    """Where a target is and is searched; replaced on every frame.

    Attributes:
        rescale: Size of the resized frame relative to the original.
        input_side: Side of the network input.
        window: Search window.
        target: Target box.
    """

    rescale: float
    input_side: int
    window: np.ndarray
    target: np.ndarray

    @property
    def box(self) -> Box:
        """The target in pixels of the original frame, 0-based."""
        x, y, w, h = self.target
        r = self.rescale
        return Box((x + 1) / r - 1, (y + 1) / r - 1, w / r, h / r)


@dataclass(frozen=True)
class ReleasedModel:
    """Channels and template (1, K, h, w) of a target."""

    channels: Channels
    exemplar: Tensor


@dataclass(frozen=True)
class Search:
    """Intermediate results of one frame, for inspection.

    Attributes:
        levels: (3, K, n, n) features at three sizes.
        responses: (3, n, n), divided by their common maximum.
        maps: (3, w, w) responses at the window's resolution plus the Hann window.
        scale: Index of the chosen size.
        peak: Row and column of the peak in the chosen map.
        similarity: Cosine similarity of the template and the features at the peak.
    """

    levels: Tensor
    responses: Tensor
    maps: Tensor
    scale: int
    peak: tuple[int, int]
    similarity: float


def round_half_up(values: np.ndarray | float) -> np.ndarray:
    return np.floor(np.asarray(values, float) + 0.5)


def seeded_kernel(name: str, shape: tuple[int, ...]) -> Tensor:
    """A random initial kernel; the released code draws it from torch's global generator."""
    _, channels, height, width = shape
    noise = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape)
    scale = math.sqrt(channels * (height - 1) / 2 * (width - 1) / 2) * 1e8
    return torch.from_numpy((noise / scale).astype(np.float32))


def first_geometry(frame_size: tuple[int, int], box: Box, config: TadtConfig) -> Geometry:
    """Geometry of the first frame.

    Args:
        frame_size: Height and width of the original frame.
        box: Target in the original frame.
        config: Parameters.
    """
    given = np.array([box.x + 1, box.y + 1, box.w, box.h])  # the released code counts from 1
    side = math.sqrt(box.w * box.h)
    rescale = 1.0
    if side > config.largest_side:
        rescale = config.largest_side / side
    elif side < config.smallest_side:
        rescale = config.smallest_side / side
    target = round_half_up(given * rescale)
    target[:2] -= 1
    frame_side = min(math.ceil(side * rescale) for side in frame_size)
    search = min(int(config.largest_side) * SEARCH_FACTOR, frame_side)
    search += 8 - (search - STRIDE) % 8
    corner = np.floor(target[:2] + target[2:] / 2 - search / 2)
    return Geometry(rescale, search, np.array([*corner, search, search], float), target)


def resize_frame(frame: np.ndarray, rescale: float) -> np.ndarray:
    """The whole frame at the tracker's resolution."""
    height, width = frame.shape[:2]
    size = (math.ceil(width * rescale), math.ceil(height * rescale))
    return cv2.resize(frame, size, interpolation=cv2.INTER_LINEAR)


def crop(frame: np.ndarray, window: np.ndarray, side: int) -> np.ndarray:
    """Cut a window at whole pixels, repeating the border, and resize it to (side, side, 3)."""

    def positions(start: float, length: float, limit: int) -> np.ndarray:
        steps = np.arange(1, int(length) + 1)
        found = np.floor(start + length / 2 + steps - math.ceil(length / 2))
        return np.clip(found, 0, limit - 1).astype(int)

    x, y, w, h = window
    rows = positions(y, h, frame.shape[0])
    columns = positions(x, w, frame.shape[1])
    patch = np.ascontiguousarray(frame[rows][:, columns])
    return cv2.resize(patch, (side, side), interpolation=cv2.INTER_LINEAR)


def patch_size(geometry: Geometry, size: int) -> tuple[int, int]:
    """Height and width of the target on a feature map of a given side; odd."""
    window = geometry.window[2]
    width, height = (2 * math.floor(t * size / window / 2) + 1 for t in geometry.target[2:])
    return height, width


def descend(
    features: Tensor, patch: tuple[int, int], start: Tensor, sigma: float
) -> tuple[Tensor, float, list[float]]:
    """The released regression: gradient descent with momentum and decay on a kernel.

    Every iterate is a multiple of the start plus a combination of patches, so the descent is run
    on these numbers, with the patches' Gram matrix, exactly as it would run on the kernel.

    Args:
        features: (C, n, n).
        patch: Height and width of the target in cells.
        start: (1, C, patch height + 2, patch width + 2).
        sigma: Width of the label as a fraction of the target.

    Returns:
        Kernel (C, height, width), bias, and the loss after every step.
    """
    n = features.shape[-1]
    kernel = start.shape[-2], start.shape[-1]
    gram = patch_gram(features, kernel)
    of_start = F.conv2d(features[None], start, padding=(kernel[0] // 2, kernel[1] // 2)).flatten()
    wanted = label(n, patch, sigma).to(features).flatten()
    dual, dual_speed = torch.zeros_like(wanted), torch.zeros_like(wanted)
    share, share_speed, bias, bias_speed = 1.0, 0.0, 0.0, 0.0
    residual = of_start - wanted
    losses = []
    for _ in range(STEPS):
        slope = residual * (2 / n**2)
        dual_speed = MOMENTUM * dual_speed + slope + DECAY * dual
        share_speed = MOMENTUM * share_speed + DECAY * share
        bias_speed = MOMENTUM * bias_speed + float(slope.sum()) + DECAY * bias
        dual = dual - RATE * dual_speed
        share -= RATE * share_speed
        bias -= RATE * bias_speed
        residual = share * of_start + gram @ dual + bias - wanted
        losses.append(float(residual.square().mean()))
    return share * start[0] + kernel_of(features, dual.view(n, n), kernel), bias, losses


def ranking_samples(features: Tensor, kernel: tuple[int, int]) -> Tensor:
    """The target's surroundings at odd map sizes around the true one, (S, C, height, width)."""
    n = features.shape[-1]
    sizes = [2 * j + 1 for j in range(max(kernel) // 2, 2 * (n // 2) + 1)]
    true = sizes.index(n)
    reach = min(true, n - 1 - true)
    zooms = [(n - 1) / (r - 1) for r in sizes[true - reach : true + reach + 1]]
    return zoomed_patches(features, kernel, torch.tensor(zooms).to(features))


def ranking_pairs(samples: int) -> list[tuple[int, int]]:
    """Pairs (better, worse) in the released order."""
    base = samples // 2
    pairs = []
    for distance in range(1, base):
        pairs += [(j, j - distance) for j in range(distance, base + 1)]
        pairs += [(j, j + distance) for j in range(base, 2 * base - distance + 1)]
    return pairs


def ranking_slope(predictions: Tensor) -> tuple[Tensor, float]:
    """The released derivative of the ranking loss, not the true one, and the loss."""
    pairs = ranking_pairs(len(predictions))
    better, worse = torch.tensor(pairs).T
    loss = math.log(1 + float(torch.exp(predictions[worse] - predictions[better]).sum()))
    slope = torch.zeros_like(predictions)
    for a, b in pairs[: len(predictions) - 1]:
        slope[a] -= torch.exp(-predictions[a]) / loss
        slope[b] += torch.exp(predictions[b]) / loss
    return slope, loss


def ranking_gradient_sums(features: Tensor, kernel: Tensor) -> Tensor:
    """Spatial sum per channel of the released ranking gradient; its sign decides on a channel.

    The kernel is random and never trained, and resampling keeps the sum of what flows back, so
    this is the sum of the random kernel times one number for all channels.

    Args:
        features: (C, n, n).
        kernel: (1, C, height, width).

    Returns:
        (C,).
    """
    samples = ranking_samples(features, (kernel.shape[-2], kernel.shape[-1]))
    slope, _ = ranking_slope((samples * kernel).sum(dim=(1, 2, 3)))
    return kernel[0].sum(dim=(1, 2)) * slope.sum()


def choose_channels(
    shallow: Tensor,
    deep: Tensor,
    patch: tuple[int, int],
    config: TadtConfig,
    kernel_source: KernelSource = seeded_kernel,
) -> Channels:
    """The released choice of channels.

    Args:
        shallow: conv4_1 (C, n, n).
        deep: conv4_3 (C, n, n).
        patch: Height and width of the target in cells.
        config: Parameters.
        kernel_source: Gives the random kernels 'taf.reg0', 'taf.rank0' and 'taf.reg1'.
    """
    shape = (1, len(shallow), patch[0] + 2, patch[1] + 2)
    kernels = {
        name: kernel_source(f'taf.{name}', shape).to(shallow) for name in ('reg0', 'rank0', 'reg1')
    }
    of_shallow, of_deep = (
        descend(maps, patch, kernels[name], config.label_sigma)[0].sum(dim=(1, 2))
        for maps, name in ((shallow, 'reg0'), (deep, 'reg1'))
    )
    suits = ranking_gradient_sums(shallow, kernels['rank0']) > 0
    return keep_channels(shallow, deep, of_shallow, of_deep, suits, config, BALANCE_CHANNELS)


def extract(backbone: nn.Module, frame: Tensor, geometry: Geometry) -> tuple[Tensor, Tensor]:
    """Resize, crop and run the network: two maps (1, C, n, n)."""
    resized = resize_frame(frame.cpu().numpy(), geometry.rescale)
    patch = torch.from_numpy(crop(resized, geometry.window, geometry.input_side))
    parameter = next(backbone.parameters())
    image = patch.permute(2, 0, 1)[None].to(parameter)  # (1, 3, S, S)
    shallow, deep = backbone(image)
    return shallow.float(), deep.float()


def start(
    backbone: nn.Module,
    frame: Tensor,
    box: Box,
    config: TadtConfig,
    kernel_source: KernelSource = seeded_kernel,
) -> tuple[ReleasedModel, Geometry]:
    """First frame: geometry, channels, template.

    Args:
        backbone: Gives the maps of conv4_1 and conv4_3.
        frame: (H, W, 3) uint8 RGB.
        box: The target.
        config: Parameters.
        kernel_source: See `choose_channels`.
    """
    geometry = first_geometry((frame.shape[0], frame.shape[1]), box, config)
    shallow, deep = extract(backbone, frame, geometry)
    patch = patch_size(geometry, shallow.shape[-1])
    channels = choose_channels(shallow[0], deep[0], patch, config, kernel_source)
    return ReleasedModel(channels, centre_patch(channels.select(shallow, deep), patch)), geometry


def search(features: Tensor, exemplar: Tensor, window: float) -> Search:
    """Correlate the template at three sizes.

    Args:
        features: (1, K, n, n) kept channels of the search window.
        exemplar: (1, K, h, w).
        window: Side of the search window in pixels.
    """
    n = features.shape[-1]
    resize = partial(F.interpolate, features, mode='bilinear', align_corners=False)
    larger = resize(size=(n + 2, n + 2))[..., 1:-1, 1:-1]
    smaller = F.pad(resize(size=(n - 2, n - 2)), (1, 1, 1, 1))
    levels = torch.cat((larger, features, smaller))  # (3, K, n, n)
    pad_y, pad_x = (side // 2 for side in exemplar.shape[-2:])
    responses = F.pad(F.conv2d(levels, exemplar), (pad_x, pad_x, pad_y, pad_y))  # (3, 1, n, n)
    responses = responses / responses.max()
    side = round(window)
    maps = F.interpolate(responses, size=(side, side), mode='bicubic', align_corners=True)[:, 0]
    hann = torch.hann_window(side, periodic=False, device=maps.device)
    maps = maps + hann[:, None] * hann
    peaks = maps.amax(dim=(1, 2)) * torch.tensor(SCALE_WEIGHTS, device=maps.device)
    scale = int(peaks.argmax())
    peak = divmod(int(maps[scale].argmax()), side)
    corner = [
        min(max(round(at * (n - 1) / (side - 1)) - pad, 0), n - 2 * pad - 1)
        for at, pad in zip(peak, (pad_y, pad_x), strict=True)
    ]
    found = levels[scale, :, corner[0] :, corner[1] :][:, : exemplar.shape[2], : exemplar.shape[3]]
    similarity = float(F.cosine_similarity(found.flatten(), exemplar.flatten(), dim=0))
    return Search(levels, responses[:, 0], maps, scale, peak, similarity)


def move(geometry: Geometry, found: Search) -> Geometry:
    """Follow the peak of the chosen size."""
    factor = SCALE_FACTORS[found.scale]
    window = geometry.window
    row, column = found.peak
    shift = (np.array([column, row]) - (window[2:] / 2 - 1)) * factor
    centre = geometry.target[:2] + geometry.target[2:] / 2 + shift
    size = geometry.target[2:] * factor
    side = round_half_up(window[2:] * factor)
    return replace(
        geometry,
        target=np.concatenate((centre - size / 2, size)),
        window=np.concatenate((centre - side / 2, side)),
    )


def locate(
    backbone: nn.Module, frame: Tensor, model: ReleasedModel, geometry: Geometry
) -> tuple[Search, Geometry]:
    """A later frame.

    Args:
        backbone: Gives the maps of conv4_1 and conv4_3.
        frame: (H, W, 3) uint8 RGB.
        model: From `start`.
        geometry: From `start` or the frame before.
    """
    features = model.channels.select(*extract(backbone, frame, geometry))
    found = search(features, model.exemplar, geometry.window[2])
    return found, move(geometry, found)

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The online branch of Ocean: a filter that follows the target's appearance (section 4.2).

The filter is trained on the first frame by steepest descent on a discriminative loss with learnt
label, mask and weight (Bhat, Danelljan, Van Gool, Timofte: Learning Discriminative Model
Prediction for Tracking, ICCV 2019), and goes on learning from a memory of samples. Its score map
is added to the offline tracker's; the boxes are the offline tracker's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
import math

import numpy as np
import torch
from torch import nn, Tensor
import torch.nn.functional as F

from tracker_core.boxes import Box
from tracker_core.images import sample_grid
from tracker_core.layers.prroi_pool import prroi_pool
from tracker_core.ocean.config import OceanConfig
from tracker_core.ocean.network import CompactOcean, OceanNetwork, reducing_stage
from tracker_core.runtime import Updates
from tracker_core.runtime.eager import EagerUpdates

CROP = 224  # pixels, side of the branch's search region
SEARCH_FACTOR = 4.0  # side of the search region in target sizes
CELL = 16  # pixels per cell of the features and of the score map
FEATURES = 13  # cells a side; cell i is centred on pixel 16 i + 8
SCORES = 14  # cells a side; cell k is centred on pixel 16 k
KERNEL = 4  # cells, side of the filter
IMAGENET_MEAN = (123_675, 116_280, 103_530)  # RGB, thousandths of a gray level
IMAGENET_STD = (58_395, 57_120, 57_375)

BINS, BIN_WIDTH = 100, 0.1  # of the distance to the target's centre, in cells
FIRST_SHIFT = 67  # pixels, of the four shifted copies of the first frame
RANDOM_SHIFT = CROP / 3  # pixels, range of the shift of the other copies
BLURS = ((2, 0.2), (0.2, 2), (3, 1), (1, 3), (2, 2))  # standard deviation (rows, columns), pixels
ROTATIONS = (5, -5, 10, -10, 20, -20, 30, -30, 45, -45, -60, 60)  # degrees
DROPOUTS, DROPOUT = 7, 0.2
FIRST_SAMPLES = 5 + 1 + len(BLURS) + len(ROTATIONS) + DROPOUTS

FOUND = 0.0  # a best score below this means not found
SAME_PEAK = 2.2  # the second peak lies outside this many target sizes around the first
FAR = 0.7 * SCORES / 2  # cells; a peak further from the centre than this is likely not the target
DISTRACTOR = 100.0  # a second peak so many times higher than the first calls it in question


class OnlineNetwork(nn.Module):
    """The branch's own features, and what it has learnt about learning a filter.

    Args:
        compact: Use the compact backbone's features as they are, nothing trained; otherwise the
            published fourth stage and its projection.
    """

    def __init__(self, compact: bool = False) -> None:
        super().__init__()
        self.compact = compact
        self.channels = 128 if compact else 512
        # integers, so that a change of precision leaves them exact
        for name, colour in (('mean', IMAGENET_MEAN), ('std', IMAGENET_STD)):
            self.register_buffer(name, torch.tensor(colour)[:, None, None], persistent=False)
        if not compact:
            self.layer = reducing_stage(512, 256, 6)
            self.reduce = nn.Conv2d(1024, self.channels, 3, padding=1, bias=False)
            self.initial = nn.Conv2d(self.channels, self.channels, 3, padding=1)
        self.log_step = nn.Parameter(torch.empty(1))
        self.regularisation = nn.Parameter(torch.empty(1))
        # as functions of the distance to the target's centre: wanted score, how much negative
        # scores count, weight of the error
        self.label = nn.Parameter(torch.empty(1, BINS, 1, 1))
        self.mask = nn.Parameter(torch.empty(1, BINS, 1, 1))
        self.spatial = nn.Parameter(torch.empty(1, BINS, 1, 1))
        self.reset_loss()

    @torch.no_grad()
    def reset_loss(self) -> None:
        """Where the training of the loss begins: a Gaussian label, negatives masked out in the
        target's middle."""
        distance = BIN_WIDTH * torch.arange(BINS).view(1, BINS, 1, 1)
        label = torch.exp(-0.5 * (distance / 0.85) ** 2)
        self.log_step.fill_(math.log(0.9))
        self.regularisation.fill_(0.1)
        self.label.copy_(label - label.min())
        self.mask.copy_(3 * torch.tanh(2 - distance))
        self.spatial.fill_(1.0)

    def backbone_features(self, network: OceanNetwork | CompactOcean, crops: Tensor) -> Tensor:
        """(N, C, 13, 13) features of crops (N, 3, 224, 224), RGB, 0 to 255."""
        if self.compact:
            return F.avg_pool2d(network.backbone(crops)[1], 3, 2)
        crops = (crops - self.mean / 1000) / (self.std / 1000)
        crops = crops.to(network.backbone.conv1.weight.dtype, memory_format=torch.channels_last)
        return self.layer(network.backbone.middle(crops))

    def project(self, features: Tensor) -> Tensor:
        """What the filter sees: (N, C, 13, 13) float32, every sample of the same energy."""
        if not self.compact:
            features = self.reduce(features)
        features = features.float()
        energy = features.square().sum((1, 2, 3), keepdim=True)
        count = features[0].numel()
        scale = math.sqrt(1 / (self.channels * KERNEL**2))
        return features * scale * torch.sqrt(count / (energy + 1e-5))

    def first_filter(self, features: Tensor, boxes: Tensor) -> Tensor:
        """The filter that the optimisation starts from: mean of what lies in the boxes.

        Args:
            features: (N, C, 13, 13).
            boxes: (N, 4) x, y, w, h in crop pixels.

        Returns:
            (1, C, 4, 4).
        """
        if not self.compact:
            features = self.initial(features.to(self.initial.weight.dtype)).float()
        corners = torch.cat((boxes[:, :2], boxes[:, :2] + boxes[:, 2:]), 1) / CELL
        pooled = prroi_pool(features, corners[:, None], KERNEL)  # (N, 1, C, 4, 4)
        return pooled.mean((0, 1))[None]

    def targets(self, boxes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Label, mask and weight at each cell of the score map.

        Args:
            boxes: (N, 4) x, y, w, h in crop pixels.

        Returns:
            Three maps (N, 14, 14); the mask lies in [0, 1].
        """
        centre_x, centre_y = ((boxes[:, :2] + boxes[:, 2:] / 2) / CELL).unbind(1)
        cells = torch.arange(SCORES, device=boxes.device, dtype=boxes.dtype)
        distance = torch.hypot(
            (cells - centre_y[:, None])[:, :, None], (cells - centre_x[:, None])[:, None]
        )
        # linear interpolation between bins; the last one holds for all larger distances
        place = (distance / BIN_WIDTH).clamp(max=BINS - 1)
        low = place.floor().clamp(max=BINS - 2)
        share, low = place - low, low.long()

        def value(parameter: Tensor) -> Tensor:
            bins = parameter.float().flatten()
            return torch.lerp(bins[low], bins[low + 1], share)

        return value(self.label), value(self.mask).sigmoid(), value(self.spatial)


def score_maps(features: Tensor, filters: Tensor) -> Tensor:
    """Score maps (N, 14, 14) of features (N, C, 13, 13), each with its own filter (N, C, 4, 4)."""
    samples = len(features)
    grouped = features.reshape(1, -1, *features.shape[2:])
    return F.conv2d(grouped, filters, padding=KERNEL // 2, groups=samples)[0]


@dataclass
class Problem:
    """What a filter is fitted to.

    Attributes:
        features: (N, C, 13, 13).
        label: (N, 14, 14) wanted scores.
        mask: (N, 14, 14) how much negative scores count: 0 none, 1 like positive ones.
        weight: (N, 14, 14) factor on the error.
        regularisation: Factor on the squared filter.
        step: Factor on the optimal step length.
    """

    features: Tensor
    label: Tensor
    mask: Tensor
    weight: Tensor
    regularisation: Tensor
    step: Tensor

    def scores(self, kernel: Tensor) -> Tensor:
        return F.conv2d(self.features, kernel, padding=KERNEL // 2)[:, 0]

    def back(self, maps: Tensor) -> Tensor:
        """The transpose of `scores`: (1, C, 4, 4)."""
        shape = (1, self.features.shape[1], KERNEL, KERNEL)
        return nn.grad.conv2d_weight(self.features, shape, maps[:, None], padding=KERNEL // 2)

    def residuals(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Weighted errors of scores and their derivative with respect to the scores."""
        half_sum, half_difference = (1 + self.mask) / 2, (1 - self.mask) / 2
        active = half_difference * scores.abs() + half_sum * scores
        slope = half_difference * scores.sign() + half_sum
        return self.weight * (active - self.label), self.weight * slope

    def loss(self, kernel: Tensor) -> Tensor:
        errors, _ = self.residuals(self.scores(kernel))
        return errors.square().sum() + self.regularisation * kernel.square().sum()

    def descend(self, kernel: Tensor, steps: int) -> Tensor:
        """Steepest descent with the step length of the Gauss-Newton model; no autograd.

        Args:
            kernel: (1, C, 4, 4).
            steps: Number of steps.
        """
        scores = self.scores(kernel)
        for _ in range(steps):
            errors, slope = self.residuals(scores)
            gradient = self.back(slope * errors) + self.regularisation * kernel
            change = self.scores(gradient)
            energy = gradient.square().sum()
            curvature = (slope * change).square().sum() + self.regularisation * energy
            length = self.step * energy / curvature.clamp(min=1e-8)
            kernel = kernel - length * gradient
            scores = scores - length * change
        return kernel


def fit(
    features: Tensor,
    maps: Tensor,
    shares: Tensor,
    kernel: Tensor,
    regularisation: Tensor,
    step: Tensor,
    steps: int,
) -> tuple[Tensor]:
    """Fit a filter to samples from where it is, as an online update.

    Args:
        features: (N, C, 13, 13).
        maps: (N, 3, 14, 14) label, mask and weight, see `Problem`.
        shares: (N,) factors on the errors of each sample.
        kernel: (1, C, 4, 4).
        regularisation: See `Problem`.
        step: Likewise.
        steps: Number of steps.

    Returns:
        The new filter.
    """
    label, mask, weight = maps.unbind(1)
    weight = weight * shares[:, None, None]
    problem = Problem(features, label, mask, weight, regularisation, step)
    return (problem.descend(kernel, steps),)


class Learner:
    """What is learnt of one target: the filter and the samples it is fitted to.

    Args:
        network: Of the branch.
        features: (N, C, 13, 13) first samples.
        boxes: (N, 4) the target in them, x, y, w, h in crop pixels.
        side: Side of the search region in the first frame, image pixels.
        config: Parameters.
    """

    def __init__(
        self,
        network: OnlineNetwork,
        features: Tensor,
        boxes: Tensor,
        side: float,
        config: OceanConfig,
    ) -> None:
        count = len(features)
        self.network, self.side = network, side
        self.features = features  # grown in steps up to the capacity
        self.maps = torch.stack(network.targets(boxes), 1)  # (N, 3, 14, 14)
        self.weights = np.full(count, 1 / count)
        self.capacity = config.online_memory
        self.newest: int | None = None
        self.filter = network.first_filter(features, boxes)
        self.learn(config.online_first_steps, EagerUpdates())

    def add(self, features: Tensor, box: Tensor, rate: float) -> None:
        """Keep a sample.

        Args:
            features: (1, C, 13, 13).
            box: (1, 4).
            rate: Its weight; the older samples' weights shrink accordingly.
        """
        weights = self.weights
        if len(weights) < self.capacity:
            index = len(weights)
            weights = np.append(weights, 0.0)
        else:
            index = int(weights.argmin())
        if index == len(self.features):
            room = min(len(self.features), self.capacity - index)
            self.features = F.pad(self.features, (0, 0, 0, 0, 0, 0, 0, room))
            self.maps = F.pad(self.maps, (0, 0, 0, 0, 0, 0, 0, room))
        self.features[index] = features[0]
        self.maps[index] = torch.cat(self.network.targets(box))
        if self.newest is None:
            weights = weights / (1 - rate)
            weights[index] = rate
        else:
            weights[index] = weights[self.newest] / (1 - rate)
        self.newest, self.weights = index, weights / weights.sum()

    def learn(self, steps: int, updates: Updates) -> None:
        """Fit the filter to the samples, from where it is."""
        used = len(self.weights)
        count = updates.samples(used, len(self.features))
        shares = torch.from_numpy(np.pad(np.sqrt(self.weights), (0, count - used)))
        tensors = (
            self.features[:count],
            self.maps[:count],
            shares.to(self.maps),
            self.filter,
            self.network.regularisation.float().square().clamp(min=1e-6),
            self.network.log_step.float().exp(),
        )
        (self.filter,) = updates(fit, tensors, steps=steps)


@dataclass(frozen=True)
class Patch:
    """A square of whole pixels that is cut out and resized; the frame's border is repeated.

    A patch much larger than the result is taken from every second, third, ... pixel.

    Attributes:
        offset: First row and column that are looked at.
        step: Distance of the pixels that are looked at.
        first: First row and column of the square, in such pixels.
        count: Its side in such pixels.
        size: Side of the result.
    """

    offset: tuple[int, int]
    step: int
    first: tuple[int, int]
    count: int
    size: int

    @classmethod
    def at(cls, centre: tuple[float, float], side: float, size: int) -> Patch:
        """Around a centre (x, y), a side of about `side` image pixels."""
        step = max(int(side / size - 0.1), 1)
        count = max(round(side / step), 2)
        x, y = (int(value) for value in centre)
        first = tuple(value // step - (count - 1) // 2 for value in (y, x))
        return cls((y % step, x % step), step, first, count, size)

    @property
    def centre(self) -> tuple[float, float]:
        """Of what is cut (x, y), pixels."""
        y, x = ((2 * first + self.count) * self.step / 2 - 0.5 for first in self.first)
        return x, y

    @property
    def scale(self) -> float:
        """Image pixels per pixel of the result."""
        return self.count * self.step / self.size

    def numbers(self) -> tuple[int, ...]:
        """What `cut_patches` takes."""
        return (*self.offset, self.step, *self.first, self.count)


def cut_patches(frame: Tensor, numbers: Tensor, size: int) -> Tensor:
    """Cut patches out of a frame.

    Args:
        frame: (H, W, 3) uint8.
        numbers: (N, 6), see `Patch.numbers`.
        size: Side of the result.

    Returns:
        (N, 3, size, size) float32, 0 to 255.
    """
    first, count = numbers[:, 3:5].float(), numbers[:, 5:6].float()
    places = (torch.arange(size, device=frame.device) + 0.5) * (count / size) - 0.5  # (N, size)
    places = torch.minimum(places.clamp(min=0), count - 1)
    ys, xs = (places + first[:, axis, None] for axis in (0, 1))
    return sample_grid(frame, ys, xs, lattice=numbers[:, :3].long())


@dataclass(frozen=True)
class Pending:
    """What a frame leaves to be learnt.

    Attributes:
        features: (1, C, 13, 13).
        box: (1, 4) the target, x, y, w, h in crop pixels.
        hard: It shows a distractor.
    """

    features: Tensor
    box: Tensor
    hard: bool


@dataclass(frozen=True)
class OnlineState:
    """Where the online branch looks for the target next, and what is to be learnt.

    This is where the tracker found the target last while the branch found it, too.
    """

    cx: float
    cy: float
    pending: Pending | None = None


@dataclass(frozen=True)
class View:
    """What the online branch sees of one target in one frame.

    Attributes:
        features: (1, C, 13, 13).
        centre: Centre (x, y) of the crop in the image, pixels.
        scale: Image pixels per crop pixel.
    """

    features: Tensor
    centre: tuple[float, float]
    scale: float

    def box(self, cx: float, cy: float, w: float, h: float) -> Tensor:
        """A box of the image, (1, 4) x, y, w, h in crop pixels."""
        width, height = w / self.scale, h / self.scale
        x = (cx - self.centre[0]) / self.scale + (CROP - 1) / 2 - (width - 1) / 2
        y = (cy - self.centre[1]) / self.scale + (CROP - 1) / 2 - (height - 1) / 2
        return torch.tensor([[x, y, width, height]], device=self.features.device)


def view_centre(cx: float, cy: float, scale: float) -> tuple[float, float]:
    """Where to cut so that the target lies on the middle of the score map, between two cells."""
    shift = scale * CROP / (2 * FEATURES)
    return cx + shift, cy + shift


def first_shifts(generator: torch.Generator) -> list[tuple[int, int]]:
    """How far (rows, columns) the copies of the first frame are moved, one after the other."""
    random = torch.rand(FIRST_SAMPLES - 5 - DROPOUTS, 2, generator=generator)
    moved = [tuple(int(v) for v in (row - 0.5) * RANDOM_SHIFT) for row in random]
    s = FIRST_SHIFT
    return [(0, 0), (s, s), (-s, s), (s, -s), (-s, -s), *moved]


def first_crops(patch: Tensor, shifts: Sequence[tuple[int, int]]) -> Tensor:
    """Copies of the first frame: shifted, mirrored, blurred and turned.

    Args:
        patch: (1, 3, 448, 448), the target in the middle.
        shifts: (rows, columns) of each copy; content moves down and right.

    Returns:
        (23, 3, 224, 224).
    """
    changed = [patch] * 5 + [patch.flip(3)]
    changed += [blur(patch, *sigmas) for sigmas in BLURS]
    changed += [rotate(patch, angle) for angle in ROTATIONS]
    margin = (patch.shape[-1] - CROP) // 2
    crops = []
    for image, (down, right) in zip(changed, shifts, strict=True):
        top, left = margin - down, margin - right
        crops.append(image[..., top : top + CROP, left : left + CROP])
    return torch.cat(crops)


def blur(images: Tensor, sigma_y: float, sigma_x: float) -> Tensor:
    """Gaussian blur of images (N, 3, H, W) with zeros around them."""
    for axis, sigma in ((2, sigma_y), (3, sigma_x)):
        reach = math.ceil(2 * sigma)
        at = torch.arange(-reach, reach + 1, device=images.device, dtype=images.dtype)
        kernel = torch.exp(-(at**2) / (2 * sigma**2))
        shape = (3, 1, -1, 1) if axis == 2 else (3, 1, 1, -1)
        kernel = (kernel / kernel.sum()).repeat(3).view(shape)
        images = F.conv2d(images, kernel, padding='same', groups=3)
    return images


def rotate(images: Tensor, degrees: float) -> Tensor:
    """Images (N, 3, S, S) turned about their centre; border pixels are repeated."""
    size = images.shape[-1]
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    at = torch.arange(size, device=images.device, dtype=images.dtype) - (size - 1) / 2
    xs, ys = cos * at - sin * at[:, None], sin * at + cos * at[:, None]
    grid = torch.stack((xs, ys), 2) / ((size - 1) / 2)
    return F.grid_sample(
        images,
        grid.expand(len(images), size, size, 2),
        padding_mode='border',
        align_corners=True,
    )


def drop_channels(features: Tensor, kept: Tensor) -> Tensor:
    """Copies of a sample without some channels.

    Args:
        features: (1, C, 13, 13).
        kept: (M, C) bool.

    Returns:
        (M, C, 13, 13).
    """
    return features * (kept.to(features) / (1 - DROPOUT))[:, :, None, None]


def start_learning(
    network: OnlineNetwork,
    backbone: OceanNetwork | CompactOcean,
    frame: Tensor,
    box: Box,
    config: OceanConfig,
    shifts: Sequence[tuple[int, int]] | None = None,
    kept: Tensor | None = None,
) -> Learner:
    """Train the filter on the first frame.

    Args:
        network: Of the branch.
        backbone: The offline network.
        frame: (H, W, 3) uint8.
        box: The target.
        config: Parameters.
        shifts: Of the copies, see `first_shifts`; drawn from `config.seed` if not given.
        kept: (7, C) channels that the copies with dropout keep; drawn likewise.
    """
    generator = torch.Generator().manual_seed(config.seed)
    if shifts is None:
        shifts = first_shifts(generator)
    if kept is None:
        kept = torch.rand(DROPOUTS, network.channels, generator=generator) >= DROPOUT
    side = SEARCH_FACTOR * math.sqrt(box.area)
    middle = (round(box.cx), round(box.cy))
    patch = Patch.at(middle, 2 * side, 2 * CROP)
    numbers = torch.tensor([patch.numbers()], dtype=torch.float64).to(frame.device)
    crops = first_crops(cut_patches(frame, numbers, patch.size), shifts)
    features = network.project(network.backbone_features(backbone, crops))
    features = torch.cat((features, drop_channels(features[:1], kept.to(features.device))))
    first = View(features, patch.centre, patch.scale).box(box.cx, box.cy, box.w, box.h)
    moves = torch.tensor([(right, down, 0, 0) for down, right in shifts])
    moves = F.pad(moves, (0, 0, 0, DROPOUTS)).to(first)
    return Learner(network, features, first + moves, side, config)


def summarize(maps: Tensor, sizes: Tensor) -> Tensor:
    """The two highest peaks of each score map.

    Args:
        maps: (N, 14, 14).
        sizes: (N, 2) width and height of each target in crop pixels.

    Returns:
        (N, 4): score of the best cell, best score outside its neighbourhood, and distance of
        both from the centre of the map in cells.
    """
    cells = torch.arange(SCORES, device=maps.device, dtype=maps.dtype)
    distance = torch.hypot(*torch.meshgrid(*([cells - (SCORES - 1) / 2] * 2), indexing='ij'))
    first, place = maps.flatten(1).max(1)
    row, column = place // SCORES, place % SCORES
    reach_x, reach_y = (sizes / CELL * SAME_PEAK / 2).unbind(1)
    near = (cells - row[:, None]).abs()[:, :, None] <= reach_y[:, None, None] + 0.5
    near = near & ((cells - column[:, None]).abs()[:, None] <= reach_x[:, None, None] + 0.5)
    second, other = maps.masked_fill(near, -math.inf).flatten(1).max(1)
    distance = distance.flatten()
    return torch.stack((first, second, distance[place], distance[other]), 1)


def judge(peaks: Sequence[float], hard_peak: float) -> str:
    """What the two highest peaks mean.

    Args:
        peaks: A row of `summarize`.
        hard_peak: See `OceanConfig.online_hard_peak`.

    Returns:
        'not_found'; 'uncertain' (nothing should be learnt); 'hard_negative' (there is a
        distractor to learn from); 'normal'.
    """
    first, second, first_distance, second_distance = peaks
    if not first >= FOUND:
        return 'not_found'
    if second > DISTRACTOR * first:
        one_is_near = (first_distance < FAR) != (second_distance < FAR)
        return 'hard_negative' if one_is_near else 'uncertain'
    if second > hard_peak * first and second > FOUND:
        return 'hard_negative'
    return 'normal'

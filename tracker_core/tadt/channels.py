# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Which channels of a pre-trained network tell this target from its surroundings (section 3).

Both losses of the paper are minimised by a kernel w that is correlated with the features, and a
channel's importance follows from w. Written over the patches of the feature map, w is a
combination of patches, so all that is solved for is one number per patch: the regression over
n x n positions needs the Gram matrix of the patches, (n n) x (n n), and never the patches
themselves, because neighbouring patches share their values.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
import torch.nn.functional as F

from tracker_core.layers.interpolation import resample
from tracker_core.tadt.config import TadtConfig

BALANCE_CHANNELS = 50  # strongest channels whose sum sets a layer's level
RANKING_REACH = 6  # sizes on either side of the true one
RANKING_STEPS = 100


@dataclass(frozen=True)
class Channels:
    """The kept channels of the two layers, ascending, and the factor on the shallow ones. The last
    few of either may only fill up; they count as zero."""

    shallow: Tensor
    deep: Tensor
    balance: float
    unused: tuple[int, int] = (0, 0)

    def filled_up(self, shallow: int, deep: int) -> Channels:
        """With at least so many channels of each layer."""
        unused = (max(shallow - len(self.shallow), 0), max(deep - len(self.deep), 0))
        return Channels(
            F.pad(self.shallow, (0, unused[0])),
            F.pad(self.deep, (0, unused[1])),
            self.balance,
            unused,
        )

    def tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        """What `select` takes for one target."""
        parts = []
        for index, gain, unused in zip(
            (self.shallow, self.deep), (self.balance, 1.0), self.unused, strict=True
        ):
            used = torch.arange(len(index), device=index.device) < len(index) - unused
            parts.append(used * gain)
        return self.shallow[None], self.deep[None], torch.cat(parts)[None]

    def select(self, shallow: Tensor, deep: Tensor) -> Tensor:
        """Kept channels of both layers, (1, K, h, w), the layers at one level."""
        return select(shallow, deep, *self.tensors())


def select(
    shallow: Tensor, deep: Tensor, shallow_index: Tensor, deep_index: Tensor, gains: Tensor
) -> Tensor:
    """Choose channels of two layers, for each image its own.

    Args:
        shallow: (N, C1, h, w).
        deep: (N, C2, h, w).
        shallow_index: (N, K1) channels.
        deep_index: (N, K2) channels.
        gains: (N, K1 + K2) factors.

    Returns:
        (N, K1 + K2, h, w).
    """
    chosen = []
    for maps, index in ((shallow, shallow_index), (deep, deep_index)):
        n, channels = maps.shape[:2]
        first = torch.arange(n, device=maps.device)[:, None] * channels
        rows = maps.reshape(n * channels, *maps.shape[2:])
        chosen.append(rows.index_select(0, (index + first).flatten()).unflatten(0, index.shape))
    return torch.cat(chosen, dim=1) * gains[:, :, None, None]


def label(size: int, patch: tuple[int, int], sigma: float) -> Tensor:
    """Gaussian regression label (size, size) around the map's centre.

    Args:
        size: Side of the feature map.
        patch: Height and width of the target in cells.
        sigma: Width as a fraction of the target.
    """
    offset = torch.arange(size) - (size - 1) / 2
    rows, columns = (torch.exp(-0.2 * (offset / (sigma * side)) ** 2) for side in patch)
    return rows[:, None] * columns


def patch_gram(features: Tensor, kernel: tuple[int, int]) -> Tensor:
    """Inner products of all pairs of zero-padded patches of a feature map.

    The product of two patches is a sum of products of pixels over the kernel's offsets, so the
    pixels' Gram matrix is summed along its diagonals, first over rows, then over columns.

    Args:
        features: (C, n, n).
        kernel: Height and width of a patch, odd.

    Returns:
        (n n, n n).
    """
    n = features.shape[-1]
    pixels = features.flatten(1)  # (C, n n)
    gram = (pixels.T @ pixels).view(n, n, n, n)  # [y, x, y', x']
    for axis, side in enumerate(kernel):
        summed = gram.clone()
        for step in range(1, side // 2 + 1):
            near = [slice(None)] * 4
            far = [slice(None)] * 4
            near[axis] = near[axis + 2] = slice(0, n - step)
            far[axis] = far[axis + 2] = slice(step, n)
            summed[tuple(near)] += gram[tuple(far)]
            summed[tuple(far)] += gram[tuple(near)]
        gram = summed
    return gram.reshape(n * n, n * n)


def kernel_of(features: Tensor, dual: Tensor, kernel: tuple[int, int]) -> Tensor:
    """The kernel w = sum over patches of dual * patch.

    Args:
        features: (C, n, n).
        dual: (n, n), one number per patch.
        kernel: Height and width of a patch, odd.

    Returns:
        (C, height, width).
    """
    padding = (kernel[0] // 2, kernel[1] // 2)
    return F.conv2d(features[:, None], dual[None, None], padding=padding)[:, 0]


def regression_importance(features: Tensor, patch: tuple[int, int], config: TadtConfig) -> Tensor:
    """Importance of each channel for telling the target from the background (section 3.1).

    A kernel is fitted by ridge regression so that its response to the frame is a Gaussian at the
    target. The importance is the pooled gradient of that loss with respect to the features: up to
    a common factor and the map's border, the spatial sum of the fitted kernel. For features of
    both signs `config.importance` takes the kernel's response to the target instead.

    Args:
        features: (C, n, n), the target in the middle.
        patch: Height and width of the target in cells, odd.
        config: Parameters.

    Returns:
        (C,), positive for channels that speak for the target.
    """
    n = features.shape[-1]
    kernel = (patch[0] + 2, patch[1] + 2)
    gram = patch_gram(features, kernel)
    energy = gram.diagonal().mean()
    wanted = label(n, patch, config.label_sigma).to(features).reshape(-1, 1)
    gram += energy  # a constant feature: the regression's bias
    gram.diagonal().add_(config.ridge * energy)
    dual = torch.cholesky_solve(wanted, torch.linalg.cholesky(gram))
    fitted = kernel_of(features, dual.view(n, n), kernel)
    if config.importance == 'response':
        fitted = fitted * centre_patch(features, kernel)
    return fitted.sum(dim=(1, 2))


def centre_patch(features: Tensor, size: tuple[int, int]) -> Tensor:
    """The patch (..., height, width) in the middle of maps (..., n, n) with odd n."""
    n = features.shape[-1]
    top, left = (n - size[0]) // 2, (n - size[1]) // 2
    return features[..., top : top + size[0], left : left + size[1]]


def zoomed_patches(features: Tensor, kernel: tuple[int, int], zooms: Tensor) -> Tensor:
    """Patches around the map's centre as they look at other sizes.

    Args:
        features: (C, n, n).
        kernel: Height and width of a patch, odd.
        zooms: (S,) sampling distances in cells: above 1 the content appears smaller.

    Returns:
        (S, C, height, width).
    """
    centre = (features.shape[-1] - 1) / 2
    rows, columns = (
        centre + zooms[:, None] * (torch.arange(side).to(zooms) - (side - 1) / 2)
        for side in kernel
    )
    return resample(features, rows[:, None], columns[:, None])


def ranking_importance(features: Tensor, patch: tuple[int, int], config: TadtConfig) -> Tensor:
    """Importance of each channel for telling the target's true size from others (section 3.2).

    A kernel is fitted by the ranking loss log(1 + sum over pairs exp(f(worse) - f(better))), where
    of two sizes the one nearer to the true size is the better. A channel's importance is how much
    the loss falls when the channel grows: minus gradient times input, summed over sizes and space.

    Args:
        features: (C, n, n), the target in the middle.
        patch: Height and width of the target in cells, odd.
        config: Parameters.

    Returns:
        (C,), positive for channels that rank sizes rightly.
    """
    rank = torch.arange(-RANKING_REACH, RANKING_REACH + 1).to(features)
    samples = zoomed_patches(features, patch, config.scale_step**rank)  # (S, C, h, w)
    flat = samples.flatten(1)
    gram = flat @ flat.T
    gram = gram / gram.diagonal().mean()
    nearness = -rank.abs()
    better = (nearness[:, None] > nearness).to(features)  # [i, j]: size i is better than size j

    dual = torch.zeros_like(rank)
    for _ in range(RANKING_STEPS):
        slope = ranking_gradient(gram @ dual, better)
        dual = dual - 0.5 * (slope + 0.01 * dual)
    slope = ranking_gradient(gram @ dual, better)
    kernel = torch.einsum('s,schw->chw', dual, samples)
    return -torch.einsum('s,schw,chw->c', slope, samples, kernel)


def ranking_gradient(predictions: Tensor, better: Tensor) -> Tensor:
    """Gradient of the ranking loss with respect to the predictions.

    Args:
        predictions: (S,).
        better: (S, S), 1 where sample i should rank above sample j.

    Returns:
        (S,).
    """
    excess = torch.exp(predictions - predictions[:, None]) * better  # [i, j]: exp(x_j - x_i)
    return (excess.sum(dim=0) - excess.sum(dim=1)) / (1 + excess.sum())


def choose_channels(
    shallow: Tensor, deep: Tensor, patch: tuple[int, int], config: TadtConfig
) -> Channels:
    """Keep the channels of the first frame's features that suit the target (section 3.3).

    Args:
        shallow: (C1, n, n), the target in the middle.
        deep: (C2, n, n).
        patch: Height and width of the target in cells, odd.
        config: Parameters.
    """
    shallow_importance = regression_importance(shallow, patch, config)
    deep_importance = regression_importance(deep, patch, config)
    suits = torch.ones_like(shallow_importance, dtype=torch.bool)
    if config.scale_sensitive:
        suits = ranking_importance(shallow, patch, config) > 0
    return keep_channels(
        shallow, deep, shallow_importance, deep_importance, suits, config, BALANCE_CHANNELS
    )


def keep_channels(
    shallow: Tensor,
    deep: Tensor,
    shallow_importance: Tensor,
    deep_importance: Tensor,
    shallow_suits: Tensor,
    config: TadtConfig,
    balance_channels: int,
) -> Channels:
    """The strongest channels with positive importance, topped up from the deep layer if too few.

    Args:
        shallow: (C1, n, n).
        deep: (C2, n, n).
        shallow_importance: (C1,).
        deep_importance: (C2,).
        shallow_suits: (C1,) bool, further condition on the shallow channels.
        config: Parameters.
        balance_channels: So many of the strongest channels set the level of a layer.
    """
    shallow_order = shallow_importance.argsort(descending=True)
    deep_order = deep_importance.argsort(descending=True)
    first = shallow_order[: config.shallow_channels]
    first = first[(shallow_importance[first] > 0) & shallow_suits[first]]
    positive = int((deep_importance > 0).sum())
    wanted = max(min(positive, config.deep_channels), config.minimum_channels - len(first))
    second = deep_order[:wanted]
    level = [
        maps[order[:balance_channels]].sum(dim=0).max()
        for maps, order in ((shallow, shallow_order), (deep, deep_order))
    ]
    balance = float(level[1] / level[0].clamp(min=1e-6))
    return Channels(first.sort().values, second.sort().values, balance)

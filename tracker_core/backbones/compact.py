# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The compact backbone: eight plain 3x3 convolutions, shared by all compact presets.

It exists in two forms with the same function. `TrainableBackbone` has a batch norm behind every
convolution and identity shortcuts, which make it learn; `fold_batch_norm` turns both into the
kernels of a `CompactBackbone`, which is what trackers run and what weight files hold;
`unfold_batch_norm` goes back, to learn on.
"""

from __future__ import annotations

import math

import torch
from torch import nn, Tensor
import torch.nn.functional as F

from tracker_core.layers.modules import bias_of, members, statistics

# (input channels, output channels, stride) of each 3x3 convolution
LAYERS = (
    (3, 24, 2),
    (24, 48, 2),
    (48, 96, 2),
    (96, 96, 1),
    (96, 96, 1),  # the middle map
    (96, 128, 1),
    (128, 128, 1),
    (128, 128, 1),  # the deep map
)
MIDDLE = 4  # index of the layer whose output is the middle map
Maps = tuple[Tensor, Tensor]  # the middle and the deep one
GRAY = 128.0  # subtracted from pixels, so that zero padding is gray; exact in every float type
CONTRAST = 64.0  # pixels are divided by this; folded into the first kernel


class CompactBackbone(nn.Module):
    """Eight 3x3 convolutions: 0.62 M parameters, 0.68 G multiply-adds for a 255 x 255 image.

    Cell (i, j) of either map is centred on the pixel of row 8 i and column 8 j. Receptive fields
    are 47 pixels (middle) and 95 pixels (deep).
    """

    stride = 8
    channels = (96, 128)  # of the middle and of the deep map

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Conv2d(inputs, outputs, 3, stride, padding=1) for inputs, outputs, stride in LAYERS
        )

    @property
    def convolutions(self) -> list[nn.Conv2d]:
        """Its layers."""
        return members(self.layers, nn.Conv2d)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Extract features.

        Args:
            images: (N, 3, H, W) float RGB, 0 to 255, in any precision; they are centred before
                they are rounded to that of the kernels.

        Returns:
            The middle map (N, 96, ceil(H/8), ceil(W/8)), behind its ReLU, so never negative, and
            the deep map (N, 128, ceil(H/8), ceil(W/8)), without a final ReLU, so of both signs.
        """
        *layers, last = self.convolutions
        x = (images - GRAY).to(last.weight.dtype, memory_format=torch.channels_last)
        middle = x
        for index, layer in enumerate(layers):
            x = F.relu(layer(x))
            if index == MIDDLE:
                middle = x
        return middle, last(x)


class TrainableBackbone(nn.Module):
    """The compact backbone as it is trained: convolution, batch norm, identity shortcut, ReLU."""

    stride = CompactBackbone.stride
    channels = CompactBackbone.channels

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
            for inputs, outputs, stride in LAYERS
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(outputs) for _, outputs, _ in LAYERS)
        for convolution in members(self.convolutions, nn.Conv2d):
            nn.init.kaiming_normal_(convolution.weight, nonlinearity='relu')

    @property
    def pairs(self) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
        """Every convolution with the batch norm behind it."""
        convolutions, norms = members(self.convolutions, nn.Conv2d), self.norms
        return list(zip(convolutions, members(norms, nn.BatchNorm2d), strict=True))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The same contract as `CompactBackbone.forward`."""
        x = (images - GRAY) / CONTRAST
        middle = x
        last = len(LAYERS) - 1
        for index, (convolution, norm) in enumerate(self.pairs):
            y = norm(convolution(x))
            if has_shortcut(index):
                y = y + x
            x = y if index == last else F.relu(y)
            if index == MIDDLE:
                middle = x
        return middle, x


def has_shortcut(index: int) -> bool:
    """Whether layer `index` keeps the shape, so that its input can be added to its output."""
    inputs, outputs, stride = LAYERS[index]
    return inputs == outputs and stride == 1


@torch.no_grad()
def fold_batch_norm(trained: TrainableBackbone) -> CompactBackbone:
    """The plain-convolution form of a trained backbone, in evaluation mode.

    A batch norm scales each output channel and shifts it; a shortcut adds one to the centre tap
    that joins equal channels. Both, and the division of the pixels, are linear, so they become
    part of the kernel and the bias.
    """
    folded = CompactBackbone().to(next(trained.parameters()).device)
    for index, (layer, (convolution, norm)) in enumerate(
        zip(folded.convolutions, trained.pairs, strict=True)
    ):
        mean, variance = statistics(norm)
        gain = norm.weight.double() / (variance.double() + norm.eps).sqrt()
        kernel = convolution.weight.double() * gain[:, None, None, None]
        if index == 0:
            kernel = kernel / CONTRAST
        if has_shortcut(index):
            channels = torch.arange(kernel.shape[0], device=kernel.device)
            kernel[channels, channels, 1, 1] += 1.0
        layer.weight.copy_(kernel)
        bias_of(layer).copy_(norm.bias.double() - mean.double() * gain)
    return folded.eval()


@torch.no_grad()
def unfold_batch_norm(folded: CompactBackbone, images: Tensor) -> TrainableBackbone:
    """A trainable backbone that does what a plain one does.

    Kernels get the norm with which training begins, so that they learn as fast; the batch norms
    give their outputs the old mean and spread.

    Args:
        folded: What to do.
        images: (N, 3, H, W) RGB, 0 to 255, to take the batch norms' statistics from.
    """
    trained = TrainableBackbone().to(images.device).eval()
    x = (images - GRAY) / CONTRAST
    for index, (layer, (convolution, norm)) in enumerate(
        zip(folded.convolutions, trained.pairs, strict=True)
    ):
        kernel = layer.weight.clone()
        if index == 0:
            kernel *= CONTRAST
        if has_shortcut(index):
            channels = torch.arange(kernel.shape[0], device=kernel.device)
            kernel[channels, channels, 1, 1] -= 1.0
        length = kernel.flatten(1).norm(dim=1).clamp(min=1e-6) / math.sqrt(2.0)
        convolution.weight.copy_(kernel / length[:, None, None, None])
        y = convolution(x)
        variance, mean = torch.var_mean(y, dim=(0, 2, 3), unbiased=False)
        running_mean, running_variance = statistics(norm)
        running_mean.copy_(mean)
        running_variance.copy_(variance)
        norm.weight.copy_(length * (variance + norm.eps).sqrt())
        norm.bias.copy_(bias_of(layer) + length * mean)
        y = norm(y)
        if has_shortcut(index):
            y = y + x
        x = F.relu(y)
    return trained

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""ResNet-18 up to its third stage, as ATOM uses it."""

from __future__ import annotations

import torch
from torch import nn, Tensor
import torch.nn.functional as F

MEAN = (485, 456, 406)  # of ImageNet, RGB, thousandths of the largest value
DEVIATION = (229, 224, 225)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module | None = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(x)) + shortcut)


class ResNet18(nn.Module):
    """ResNet-18 (He et al., CVPR 2016, table 1) without its last stage and classifier.

    Cell (i, j) of a map of stride s is centred on the pixel of row s i and column s j.
    """

    strides = (8, 16)  # of the middle and of the deep map
    channels = (128, 256)
    mean: Tensor  # (3, 1, 1) int64, like the other
    deviation: Tensor

    def __init__(self) -> None:
        super().__init__()
        # integers, so that a change of precision leaves them exact
        self.register_buffer('mean', torch.tensor(MEAN)[:, None, None], persistent=False)
        self.register_buffer('deviation', torch.tensor(DEVIATION)[:, None, None], persistent=False)
        self.conv1 = nn.Conv2d(3, 64, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = nn.Sequential(BasicBlock(64, 64, 1), BasicBlock(64, 64, 1))
        self.layer2 = nn.Sequential(BasicBlock(64, 128, 2), BasicBlock(128, 128, 1))
        self.layer3 = nn.Sequential(BasicBlock(128, 256, 2), BasicBlock(256, 256, 1))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Extract features.

        Args:
            images: (N, 3, H, W) float RGB, 0 to 255; H and W multiples of 16.

        Returns:
            The outputs of the second (N, 128, H/8, W/8) and the third stage (N, 256, H/16, W/16),
            never negative.
        """
        x = (images / 255 - self.mean / 1000) / (self.deviation / 1000)
        x = x.to(self.conv1.weight.dtype, memory_format=torch.channels_last)
        x = F.max_pool2d(self.bn1(self.conv1(x)), 3, 2, padding=1)
        x = self.layer1(F.relu(x))  # behind the pooling: the same for less
        middle = self.layer2(x)
        return middle, self.layer3(middle)

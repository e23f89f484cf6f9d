# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""VGG-16 up to conv4_3 at stride 4, as TADT uses it (no pooling after conv3_3)."""

from __future__ import annotations

import torch
from torch import nn, Tensor
import torch.nn.functional as F

from tracker_core.layers.modules import bias_of

SIZES = (64, 64, 'pool', 128, 128, 'pool', 256, 256, 256, None, 512, 512, 512)
CONV4_1, CONV4_3 = 18, 22  # positions of their ReLUs in `features`


class Vgg16(nn.Module):
    """VGG-16 without pool3, so that conv4 keeps stride 4.

    Simonyan and Zisserman 2015; the layers are numbered as in the original network's feature
    stack, so that the keys of a state are `features.<n>.weight`.
    """

    stride = 4
    channels = (512, 512)

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width = 3
        for size in SIZES:
            if isinstance(size, str):
                layers.insert(-1, nn.MaxPool2d(2))  # before the ReLU: the same for less
            elif size is None:
                layers.append(nn.Identity())  # holds the place of pool3 in the numbering
            else:
                layers += [nn.Conv2d(width, size, 3, padding=1), nn.ReLU(inplace=True)]
                width = size
        self.features = nn.Sequential(*layers)

    def forward(self, images: Tensor, wanted: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Features after the ReLUs of conv4_1 and conv4_3.

        Args:
            images: (N, 3, H, W) RGB, 0 to 255.
            wanted: (K,) channels of conv4_3 that are computed; None for all.

        Returns:
            Maps (N, 512, H // 4, W // 4) and (N, K or 512, H // 4, W // 4).
        """
        first, last = self.features[0], self.features[CONV4_3 - 1]
        assert isinstance(first, nn.Conv2d)
        assert isinstance(last, nn.Conv2d)
        images = (images - 128).to(first.weight.dtype, memory_format=torch.channels_last)
        shallow = self.features[: CONV4_1 + 1](images)
        if wanted is None:
            return shallow, self.features[CONV4_1 + 1 : CONV4_3 + 1](shallow)
        x = self.features[CONV4_1 + 1 : CONV4_3 - 1](shallow)
        kernels = last.weight.index_select(0, wanted)
        kernels = kernels.contiguous(memory_format=torch.channels_last)
        bias = bias_of(last).index_select(0, wanted)
        return shallow, F.conv2d(x, kernels, bias, padding=1).relu_()

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The networks of Ocean's online branch (section 4.2): its features, and what it has learnt about
learning a filter.

The filter follows the target's appearance. Its score map is added to the offline tracker's; the
boxes are the offline tracker's.
"""

from __future__ import annotations

import math

import torch
from torch import nn, Tensor
import torch.nn.functional as F

from tracker_core.layers.prroi_pool import prroi_pool
from tracker_core.ocean.network import CompactOcean, OceanNetwork, reducing_stage

CROP = 224  # pixels, side of the branch's search region
SEARCH_FACTOR = 4.0  # side of the search region in target sizes
CELL = 16  # pixels per cell of the features and of the score map
FEATURES = 13  # cells a side; cell i is centred on pixel 16 i + 8
SCORES = 14  # cells a side; cell k is centred on pixel 16 k
KERNEL = 4  # cells, side of the filter
IMAGENET_MEAN = (123_675, 116_280, 103_530)  # RGB, thousandths of a gray level
IMAGENET_STD = (58_395, 57_120, 57_375)
BINS, BIN_WIDTH = 100, 0.1  # of the distance to the target's centre, in cells


class OnlineNetwork(nn.Module):
    """The branch's own features, and what it has learnt about learning a filter.

    Args:
        compact: Use the compact backbone's features as they are, nothing trained; otherwise the
            published fourth stage and its projection.
    """

    mean: Tensor
    std: Tensor
    layer: nn.Sequential  # these three are the published network's
    reduce: nn.Conv2d
    initial: nn.Conv2d

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
        if isinstance(network, CompactOcean):
            return F.avg_pool2d(network.extract(crops), 3, 2)
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
        squares = [(cells - centre[:, None]).square() for centre in (centre_y, centre_x)]
        distance = (squares[0][:, :, None] + squares[1][:, None]).sqrt()
        # linear interpolation between bins; the last one holds for all larger distances
        place = (distance / BIN_WIDTH).clamp(max=BINS - 1)
        low = place.floor().clamp(max=BINS - 2)
        share, low = place - low, low.long()

        def value(parameter: Tensor) -> Tensor:
            bins = parameter.float().flatten()
            return torch.lerp(bins[low], bins[low + 1], share)

        return value(self.label), value(self.mask).sigmoid(), value(self.spatial)

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The compact network of SPM-Tracker: both stages on the compact backbone.

The coarse stage correlates channel by channel (as in Li et al., 'SiamRPN++', CVPR 2019, section
3.4), which needs far fewer weights than the up-channel correlation of the paper. The fine stage is
the paper's, smaller, and also sees the product of the two boxes' features.
"""

from __future__ import annotations

import torch
from torch import nn, Tensor

from tracker_core.backbones.compact import CompactBackbone, Maps
from tracker_core.images import Cut
from tracker_core.layers.correlation import depthwise_correlation
from tracker_core.layers.graphs import graphed
from tracker_core.layers.placing import place
from tracker_core.spm.candidates import make_anchors
from tracker_core.spm.network import FineStage

# width x height of the five anchors: area 56 x 56, ratios of height to width 1/3 to 3
ANCHOR_SIZES = ((97.0, 32.3), (79.2, 39.6), (56.0, 56.0), (39.6, 79.2), (32.3, 97.0))
TEMPLATE_CELLS = 9  # per side, around the template's centre
KERNEL_CELLS = TEMPLATE_CELLS - 2


class CorrelationBranch(nn.Module):
    """From template and search features to one kind of output."""

    def __init__(self, inputs: int, channels: int, outputs: int) -> None:
        super().__init__()
        self.template = nn.Sequential(
            nn.Conv2d(inputs + 1, channels, 3, bias=False), nn.BatchNorm2d(channels)
        )
        self.search = nn.Sequential(
            nn.Conv2d(inputs, channels, 3, bias=False), nn.BatchNorm2d(channels)
        )
        self.after = nn.BatchNorm2d(channels)
        self.head = nn.Sequential(
            nn.Conv2d(channels, channels, 1), nn.ReLU(), nn.Conv2d(channels, outputs, 1)
        )

    def decide(self, correlation: Tensor) -> Tensor:
        """The outputs (N, outputs, h, w) of a correlation (N, C, h, w)."""
        return self.head(self.after(correlation))


class CompactFineStage(FineStage):
    """The fine stage on the compact backbone's maps."""

    def __init__(self, hidden: int) -> None:
        super().__init__(CompactBackbone.channels, hidden, product=True)

    @graphed('spm_compare')
    def compare(self, template: Tensor, candidates: Tensor) -> tuple[Tensor, Tensor]:
        """See `FineStage.compare`."""
        return super().compare(template, candidates)


class CompactNetwork(nn.Module):
    """Both stages on the compact backbone, with the crops they want.

    Crops count pixels as areas: a square covers [0, size] x [0, size].
    """

    template_size = 129  # pixels, like all sizes
    search_size = 257
    exemplar_size = 112  # a square target is half of it wide
    window_end = 257.0

    def __init__(self, channels: int = 96, hidden: int = 64) -> None:
        super().__init__()
        self.backbone = CompactBackbone()
        deep = self.backbone.channels[1]
        self.cls = CorrelationBranch(deep, channels, 10)
        self.box = CorrelationBranch(deep, channels, 20)
        self.fine = CompactFineStage(hidden)

    def anchors(self, search_size: int = search_size) -> Tensor:
        stride = self.backbone.stride
        cells = (search_size - 1) // stride + 1  # of the feature map
        border = 1 + KERNEL_CELLS // 2  # cells around the response
        return make_anchors(cells - 2 * border, border * stride + 0.5, stride, ANCHOR_SIZES)

    def crop(self, frame: Tensor, squares: Tensor, size: int, cut: Cut) -> Tensor:
        """Cut squares (N, 4) out of a frame: (N, 3, size, size) RGB 0 to 255; its border goes on
        outside it."""
        sides = squares[:, 2:3] - squares[:, :1]
        centers = (squares[:, :2] + squares[:, 2:]) / 2
        return cut(frame, torch.cat((centers, sides), dim=1), size)

    def cells(self, boxes: Tensor) -> Tensor:
        """Boxes in crop pixels as boxes in cells of the feature maps."""
        return (boxes - 0.5) / self.backbone.stride

    def pixels(self, boxes: Tensor) -> Tensor:
        """The inverse of `cells`."""
        return boxes * self.backbone.stride + 0.5

    def extract(self, images: Tensor) -> tuple[Tensor, Maps]:
        """Features for the coarse stage's template, float32, and the maps for the fine stage."""
        middle, deep = self.backbone(images)
        return deep.float(), (middle, deep)

    def look(self, images: Tensor) -> tuple[tuple[Tensor, ...], Maps]:
        """What the coarse stage correlates of search crops, float32, and the maps for the fine
        stage."""
        middle, deep = self.backbone(images)
        return self.searched(deep), (middle, deep)

    @graphed('spm_searched')
    def searched(self, deep: Tensor) -> tuple[Tensor, Tensor]:
        """What both branches make of the deep map, (N, 96, n - 2, n - 2) each."""
        features = deep.float()
        return self.cls.search(features), self.box.search(features)

    def coarse_template(self, features: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
        """The kernels of both branches.

        Args:
            features: (N, C, 17, 17) of the template crop.
            boxes: (N, 4) corners of the target in it, which become a channel of their own.

        Returns:
            (N, 96, 7, 7) for classes and for boxes.
        """
        middle = slice((features.shape[-1] - TEMPLATE_CELLS) // 2, None)
        features = features[:, :, middle, middle][:, :, :TEMPLATE_CELLS, :TEMPLATE_CELLS]
        cells = self.cells(boxes) - middle.start  # (N, 4)
        steps = torch.arange(TEMPLATE_CELLS, device=boxes.device)
        low, high = cells[:, :2, None], cells[:, 2:, None]
        cover = (torch.minimum(steps - low, high - steps) + 0.5).clamp(0, 1)  # (N, 2, 9)
        mask = cover[:, 1, :, None] * cover[:, 0, None, :]
        features = torch.cat([features, mask[:, None].to(features.dtype)], dim=1)
        return self.cls.template(features), self.box.template(features)

    def match(
        self, template: tuple[Tensor, ...], searched: tuple[Tensor, ...]
    ) -> tuple[Tensor, Tensor]:
        """The coarse stage: class maps (N, 10, h, w) and box maps (N, 20, h, w), float32."""
        return self.decide(*map(depthwise_correlation, searched, template))

    @graphed('spm_coarse')
    def decide(self, cls: Tensor, box: Tensor) -> tuple[Tensor, Tensor]:
        """What follows the correlations (N, 96, h, w) of both branches."""
        return self.cls.decide(cls).float(), self.box.decide(box).float()

    def set_precision(self, precision: torch.dtype) -> None:
        """The coarse stage stays in float32: its sums of products outgrow float16."""
        place(self.backbone, precision=precision)
        self.fine.to(precision)

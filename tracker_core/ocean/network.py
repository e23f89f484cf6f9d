# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The networks of Ocean: backbone, correlation in three dilated paths, box and score towers,
feature alignment.

Zhang, Peng, Fu, Li, Hu: Ocean: Object-aware Anchor-free Tracking, ECCV 2020.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
import re

import torch
from torch import nn, Tensor
import torch.nn.functional as F

from tracker_core.backbones.compact import CompactBackbone
from tracker_core.layers.aligned_conv import aligned_conv2d
from tracker_core.layers.correlation import depthwise_correlation
from tracker_core.layers.graphs import graphed

STRIDE = 8  # pixels per cell of all maps
PATHS = ((1, 1), (2, 1), (1, 2))  # dilation (rows, columns) of the correlation paths
TEMPLATE_CELLS = 7
LARGEST_EXPONENT = 7.0  # an edge 1097 pixels away is far outside any search region


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolution with batch norms and a shortcut; four times `width` outputs."""

    def __init__(
        self,
        inputs: int,
        width: int,
        stride: int = 1,
        dilation: int = 1,
        padding: int = 1,
        downsample: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding, dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


def shortcut(
    inputs: int, outputs: int, kernel: int, stride: int = 1, padding: int = 0
) -> nn.Module:
    """The convolution that brings a stage's input to the shape of its output."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False), nn.BatchNorm2d(outputs)
    )


def stage(first: Bottleneck, count: int, width: int, dilation: int = 1) -> nn.Sequential:
    """A first block and its followers, which keep the shape."""
    others = [
        Bottleneck(4 * width, width, dilation=dilation, padding=dilation) for _ in range(count - 1)
    ]
    return nn.Sequential(first, *others)


def reducing_stage(inputs: int, width: int, count: int) -> nn.Sequential:
    """A stage that halves the resolution without padding, so that n cells become (n - 1) // 2."""
    first = Bottleneck(
        inputs, width, stride=2, padding=0, downsample=shortcut(inputs, 4 * width, 3, stride=2)
    )
    return stage(first, count, width)


class ResNet50(nn.Module):
    """ResNet-50 without its last stage and with stride 8 in the fourth (section 4.1).

    The strided layers have no padding; the fourth stage is dilated instead of strided.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = stage(Bottleneck(64, 64, downsample=shortcut(64, 256, 1)), 3, 64)
        self.layer2 = reducing_stage(256, 128, 4)
        first = Bottleneck(512, 256, downsample=shortcut(512, 1024, 3, padding=1))
        self.layer3 = stage(first, 6, 256, dilation=2)

    def stem(self, images: Tensor) -> Tensor:
        return F.relu(self.bn1(self.conv1(images)))

    def middle(self, images: Tensor) -> Tensor:
        """Features of the third stage, (N, 512, n, n), which the online branch shares."""
        x = F.max_pool2d(self.stem(images), 3, 2, 1)
        return self.layer2(self.layer1(x))

    def forward(self, images: Tensor) -> Tensor:
        """Features (N, 1024, n, n) of images (N, 3, H, W)."""
        return self.layer3(self.middle(images))


def tower(inputs: int, width: int, depth: int) -> nn.Sequential:
    """3x3 convolutions, each with batch norm and ReLU."""
    layers: list[nn.Module] = []
    for index in range(depth):
        layers += [
            nn.Conv2d(width if index else inputs, width, 3, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers)


class Branch(nn.Module):
    """Correlation of template and search region along dilated paths, and the tower behind it.

    Each path has its own 3x3 convolution, dilated in rows or columns, for template and search
    region; their correlations are added with learnt weights (section 4.1).
    """

    def __init__(
        self,
        inputs: int,
        width: int,
        depth: int,
        paths: Sequence[tuple[int, int]],
        template_inputs: int,
    ) -> None:
        super().__init__()

        def encoder(channels: int, dilation: tuple[int, int]) -> nn.Sequential:
            return nn.Sequential(
                nn.Conv2d(channels, width, 3, dilation=dilation, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(),
            )

        self.template = nn.ModuleList(encoder(template_inputs, dilation) for dilation in paths)
        self.search = nn.ModuleList(encoder(inputs, dilation) for dilation in paths)
        self.path_logits = nn.Parameter(torch.ones(len(paths)))
        self.tower = tower(width, width, depth)

    def encode(self, features: Tensor) -> list[Tensor]:
        """The template's kernels, one (N, width, h, w) per path."""
        return [encoder(features) for encoder in self.template]

    def correlate(self, features: Tensor, kernels: Sequence[Tensor]) -> Tensor:
        """Weighted sum of the paths' correlations, (N, width, n, n); in float32, for sums of 25
        products of what any weight file may make large outgrow float16."""
        shares = self.path_logits.float().softmax(0)
        responses = [
            share * depthwise_correlation(encoder(features).float(), kernel.float())
            for share, encoder, kernel in zip(shares, self.search, kernels, strict=True)
        ]
        return saturated(torch.stack(responses).sum(0), features.dtype)

    def forward(self, features: Tensor, kernels: Sequence[Tensor]) -> Tensor:
        return self.tower(self.correlate(features, kernels))


def saturated(x: Tensor, dtype: torch.dtype) -> Tensor:
    """x as another number format; what is too large for it is the largest that there is."""
    if dtype == torch.float16:
        largest = torch.finfo(dtype).max
        x = x.clamp(-largest, largest)
    return x.to(dtype)


class AlignedHead(nn.Module):
    """Object-aware classification: a 3x3 convolution whose taps are the corners, edge middles and
    centre of the box that is predicted at each cell (section 3.2)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width, width, 3, 3))
        nn.init.kaiming_normal_(self.weight, nonlinearity='relu')
        self.predict = nn.Conv2d(width, 1, 1)

    def forward(self, features: Tensor, ltrb: Tensor) -> Tensor:
        """Logits (N, n, n) of features (N, C, n, n) and predicted boxes (N, 4, n, n)."""
        return self.at(features, *tap_positions(ltrb))

    def at(self, features: Tensor, ys: Tensor, xs: Tensor) -> Tensor:
        """Logits (N, h, w) of features (N, C, n, n) at taps (N, 9, h, w), see `tap_positions`."""
        aligned = aligned_conv2d(features, ys, xs, self.weight)
        return self.predict(F.relu(aligned))[:, 0]


def cell_offsets(count: int, device: torch.device) -> Tensor:
    """Distance of each of `count` cells in a row from the map's centre, pixels."""
    return STRIDE * (torch.arange(count, device=device, dtype=torch.float32) - count // 2)


def tap_positions(ltrb: Tensor) -> tuple[Tensor, Tensor]:
    """Where the nine taps lie: at the corners, edge middles and centre of each predicted box.

    The network was trained with boxes one pixel larger than predicted and centres half a pixel
    early, so this belongs to its weights.

    Args:
        ltrb: (N, 4, n, n) distances from each cell to the left, top, right and bottom edge of its
            box, pixels.

    Returns:
        Rows and columns, (N, 9, n, n) each, in index coordinates of the map.
    """
    n = ltrb.shape[-1]
    left, top, right, bottom = ltrb.unbind(1)  # (N, n, n)
    cells = torch.arange(n, device=ltrb.device, dtype=ltrb.dtype)
    centre_y = cells[:, None] + ((bottom - top) / 2 - 0.5) / STRIDE
    centre_x = cells + ((right - left) / 2 - 0.5) / STRIDE
    half_h, half_w = (top + bottom + 1) / (2 * STRIDE), (left + right + 1) / (2 * STRIDE)
    steps = (cells[:3] - 1)[:, None, None]
    ys = torch.addcmul(centre_y[:, None], steps, half_h[:, None])[:, :, None]  # (N, 3, 1, n, n)
    xs = torch.addcmul(centre_x[:, None], steps, half_w[:, None])[:, None]  # (N, 1, 3, n, n)
    shape = (-1, 3, 3, -1, -1)
    return ys.expand(shape).flatten(1, 2), xs.expand(shape).flatten(1, 2)


@dataclass(frozen=True)
class Template:
    """What the networks keep of a target: kernels per path, (N, C, h, w) each."""

    classify: Sequence[Tensor]
    regress: Sequence[Tensor]

    @property
    def kernels(self) -> tuple[Tensor, ...]:
        """All of them, those of `classify` first."""
        return *self.classify, *self.regress


@dataclass(frozen=True)
class Prediction:
    """What the networks say of each cell of a search region.

    Attributes:
        logits: (N, n, n) regular-region classification.
        ltrb: (N, 4, n, n) distances to the left, top, right and bottom edge of the box, pixels.
        aligned: (N, n, n) object-aware classification; None without alignment.
    """

    logits: Tensor
    ltrb: Tensor
    aligned: Tensor | None


class Heads(nn.Module):
    """Everything behind the backbone."""

    def __init__(
        self,
        inputs: int,
        width: int,
        depth: int,
        paths: Sequence[tuple[int, int]],
        align: bool,
        template_inputs: int,
    ) -> None:
        super().__init__()
        self.classify = Branch(inputs, width, depth, paths, template_inputs)
        self.regress = Branch(inputs, width, depth, paths, template_inputs)
        self.logit = nn.Conv2d(width, 1, 3, padding=1)
        self.box = nn.Conv2d(width, 4, 3, padding=1)
        self.box_gain = nn.Parameter(torch.tensor([0.1]))
        self.box_bias = nn.Parameter(torch.ones(1, 4, 1, 1))
        self.align = AlignedHead(width) if align else None

    def encode(self, features: Tensor) -> Template:
        """The template of features (N, C, 7, 7)."""
        return Template(self.classify.encode(features), self.regress.encode(features))

    def boxes(self, features: Tensor, template: Template) -> tuple[Tensor, Tensor]:
        """Features (N, C, n, n) of the box branch, and the boxes, see `Prediction.ltrb`."""
        box_features = self.regress(features, template.regress)
        return box_features, self._ltrb(box_features)

    def _ltrb(self, box_features: Tensor) -> Tensor:
        exponent = self.box_gain * self.box(box_features) + self.box_bias
        return torch.exp(exponent.float().clamp(max=LARGEST_EXPONENT))

    def towers(self, classify: Tensor, regress: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What follows the correlations (N, C, n, n) of both branches: features of the box branch,
        boxes, and regular-region classification (N, n, n)."""
        box_features = self.regress.tower(regress)
        return box_features, self._ltrb(box_features), self._logits(self.classify.tower(classify))

    def logits(self, features: Tensor, kernels: Sequence[Tensor]) -> Tensor:
        """Regular-region classification (N, n, n); kernels are those of `Template.classify`."""
        return self._logits(self.classify(features, kernels))

    def _logits(self, features: Tensor) -> Tensor:
        return 0.1 * self.logit(features)[:, 0].float()

    def forward(self, features: Tensor, template: Template) -> Prediction:
        """Predictions from features of search regions; 25 cells a side for the published network
        and 255 pixels, 23 for the compact one and 225."""
        classify = self.classify.correlate(features, template.classify)
        regress = self.regress.correlate(features, template.regress)
        return self.decide(*self.towers(classify, regress))

    def decide(self, box_features: Tensor, ltrb: Tensor, logits: Tensor) -> Prediction:
        """The predictions of what `towers` gives."""
        aligned = None
        if self.align is not None:
            aligned = self.align(box_features, ltrb).float()
        return Prediction(logits, ltrb, aligned)


def middle_cells(features: Tensor) -> Tensor:
    """The middle 7x7 cells of features (N, C, n, n) of a template crop."""
    margin = (features.shape[-1] - TEMPLATE_CELLS) // 2
    inner = slice(margin, margin + TEMPLATE_CELLS)
    return features[..., inner, inner]


def target_mask(sizes: Tensor) -> Tensor:
    """Which share of each template cell a centred target of width and height (N, 2), pixels,
    covers: (N, 1, 7, 7)."""
    cells = torch.arange(TEMPLATE_CELLS, device=sizes.device) - TEMPLATE_CELLS // 2
    cover = ((sizes[..., None] / 2 / STRIDE - cells.abs()) + 0.5).clamp(0, 1)  # (N, 2, 7)
    return (cover[:, 1, :, None] * cover[:, 0, None])[:, None]


class OceanNetwork(nn.Module):
    """The published network. Images are RGB, 0 to 255."""

    def __init__(self, align: bool = True) -> None:
        super().__init__()
        self.backbone = ResNet50()
        self.neck = nn.Sequential(nn.Conv2d(1024, 256, 1, bias=False), nn.BatchNorm2d(256))
        self.heads = Heads(256, 256, 4, PATHS, align, template_inputs=256)

    def extract(self, images: Tensor) -> Tensor:
        """Features (N, 256, n, n): 15 cells for 127 pixels, 31 for 255, 33 for 271, 35 for 287."""
        weight = self.backbone.conv1.weight
        images = images.flip(1).to(weight.dtype, memory_format=torch.channels_last)  # to BGR
        return self.neck(self.backbone(images))

    @staticmethod
    def cells(side: int) -> int:
        """Cells a side of the predictions in search regions of so many pixels."""
        for kernel, padding in ((7, 0), (3, 1), (3, 0)):  # what has stride 2: two layers, a pool
            side = (side + 2 * padding - kernel) // 2 + 1
        return side - TEMPLATE_CELLS + 1

    def predict(self, images: Tensor, template: Template) -> tuple[Prediction, Tensor]:
        """Predictions of search regions (N, 3, side, side), and their features (N, C, n, n)."""
        features = self.extract(images)
        return self.heads(features, template), features

    def encode(self, images: Tensor, sizes: Tensor | None = None) -> Template:
        """The template of crops (N, 3, 127, 127), whatever the targets' sizes."""
        return self.encode_features(self.extract(images))

    def encode_features(self, features: Tensor, sizes: Tensor | None = None) -> Template:
        """The same from the crops' features (N, 256, n, n)."""
        return self.heads.encode(middle_cells(features))


class CompactOcean(nn.Module):
    """The small network: the shared backbone, one path, short and narrow towers. Images are RGB,
    0 to 255.

    Which cells of the template lie on the target is a channel of its own: without it nothing tells
    how far a long target reaches. Crop sides are multiples of 16 plus one, so that a cell lies on
    the centre.
    """

    def __init__(self, align: bool = True) -> None:
        super().__init__()
        self.backbone = CompactBackbone()
        channels = self.backbone.channels[1]
        self.heads = Heads(channels, 96, 2, PATHS[:1], align, template_inputs=channels + 1)

    def extract(self, images: Tensor) -> Tensor:
        """Features (N, 128, n, n), n = (side - 1) / 8 + 1."""
        return self.backbone(images)[1]

    @staticmethod
    def cells(side: int) -> int:
        """Cells a side of the predictions in search regions of so many pixels."""
        return (side - 1) // STRIDE + 2 - TEMPLATE_CELLS

    @graphed('ocean_searched')
    def searched(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """What either branch makes of the features of search regions, to be correlated."""
        branches = (self.heads.classify, self.heads.regress)
        classify, regress = (branch.search[0](features) for branch in branches)
        return classify, regress

    @graphed('ocean_towers')
    def towers(self, classify: Tensor, regress: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See `Heads.towers`."""
        return self.heads.towers(classify, regress)

    def predict(self, images: Tensor, template: Template) -> tuple[Prediction, Tensor]:
        """Predictions of search regions (N, 3, side, side), and their features (N, C, n, n)."""
        features = self.extract(images)
        return self.match(features, template), features

    def match(self, features: Tensor, template: Template) -> Prediction:
        """Predictions of search regions with these features."""
        kernels = (template.classify[0], template.regress[0])
        classify, regress = map(depthwise_correlation, self.searched(features), kernels)
        return self.heads.decide(*self.towers(classify, regress))

    def encode(self, images: Tensor, sizes: Tensor) -> Template:
        """The template of crops (N, 3, side, side); sizes (N, 2) are width and height of the
        targets in their middles, pixels."""
        return self.encode_features(self.extract(images), sizes)

    def encode_features(self, features: Tensor, sizes: Tensor) -> Template:
        """The same from the crops' features (N, 128, n, n)."""
        features = middle_cells(features)
        return self.heads.encode(torch.cat((features, target_mask(sizes).to(features)), 1))


# the authors' names -> ours; the first that matches the start of a key
_NAMES = (
    (r'features\.features\.layeronline\.', 'online.layer.'),
    (r'features\.features\.', 'backbone.'),
    (r'neck\.downsample\.', 'neck.'),
    (r'connect_model\.(cls|reg)_encode\.matrix(\d+)_([ks])\.', None),
    (r'connect_model\.cls_dw\.weight$', 'heads.classify.path_logits'),
    (r'connect_model\.reg_dw\.weight$', 'heads.regress.path_logits'),
    (r'connect_model\.cls_tower\.', 'heads.classify.tower.'),
    (r'connect_model\.bbox_tower\.', 'heads.regress.tower.'),
    (r'connect_model\.cls_pred\.', 'heads.logit.'),
    (r'connect_model\.bbox_pred\.', 'heads.box.'),
    (r'connect_model\.adjust$', 'heads.box_gain'),
    (r'connect_model\.bias$', 'heads.box_bias'),
    (r'align_head\.rpn_conv\.conv\.weight$', 'heads.align.weight'),
    (r'align_head\.rpn_cls\.', 'heads.align.predict.'),
    (r'classifier\.feature_extractor\.0\.', 'online.reduce.'),
    (r'classifier\.filter_initializer\.filter_conv\.', 'online.initial.'),
    (r'classifier\.filter_optimizer\.log_step_length$', 'online.log_step'),
    (r'classifier\.filter_optimizer\.filter_reg$', 'online.regularisation'),
    (r'classifier\.filter_optimizer\.label_map_predictor\.weight$', 'online.label'),
    (r'classifier\.filter_optimizer\.target_mask_predictor\.0\.weight$', 'online.mask'),
    (r'classifier\.filter_optimizer\.spatial_weight_predictor\.weight$', 'online.spatial'),
)


def rename_key(key: str) -> str:
    """Our name for a parameter of the authors' files; other names stay as they are."""
    for prefix in ('module.', 'feature_extractor.'):
        key = key.removeprefix(prefix)
    for pattern, name in _NAMES:
        found = re.match(pattern, key)
        if found is None:
            continue
        if name is None:
            kind, path, side = found.groups()
            branch = 'classify' if kind == 'cls' else 'regress'
            part = 'template' if side == 'k' else 'search'
            name = f'heads.{branch}.{part}.{("11", "12", "21").index(path)}.'
        return name + key[found.end() :]
    return key


def rename_keys(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state of an authors' file under our names."""
    return {rename_key(key): value for key, value in state.items()}

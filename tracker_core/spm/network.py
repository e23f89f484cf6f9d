# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The networks of SPM-Tracker (sections 3.2 and 3.3).

`CoarseStage` and `FineStage` are the published architecture. Their weights have the names that
they have in the authors' cm_stage.pt and fm_stage.pt but for what `coarse_from_released` and
`fine_from_released` change. Images are RGB with `MEAN_COLOR` subtracted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn, Tensor
import torch.nn.functional as F

from tracker_core.images import Cut, lerp_pairs, sample_grid
from tracker_core.layers.modules import bias_of, members, statistics
from tracker_core.layers.normalization import window_sum
from tracker_core.layers.placing import place
from tracker_core.spm.candidates import make_anchors

MEAN_COLOR = (123.0, 117.0, 104.0)  # R, G, B
KERNEL_GAIN = 0.001  # of the template's kernels, part of the released weights' meaning
CACHED_KERNELS = ('rpn_head.z_cls_weights', 'rpn_head.z_bbox_weights')


def coarse_from_released(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The content of a cm_stage.pt for `CoarseStage`: the first kernel turned from BGR to RGB, and
    without the kernels of the last template that the file also holds."""
    state = {key: value for key, value in state.items() if key not in CACHED_KERNELS}
    first = 'z_net.conv1.conv.weight'
    if first in state and state[first].ndim == 4:
        state[first] = state[first].flip(1)
    return state


def fine_from_released(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The content of an fm_stage.pt for `FineStage`: the relation network's convolution in two
    parts, for template and candidate."""
    state = dict(state)
    name, parent = 'siam_fusion.roi_conv.roi_conv0', 'siam_fusion'
    joined = state.get(f'{name}.weight')
    if joined is not None and joined.ndim == 4 and joined.shape[1] % 2 == 0:
        template, candidate = state.pop(f'{name}.weight').tensor_split(2, dim=1)
        state[f'{parent}.template_conv.weight'] = template.contiguous()
        state[f'{parent}.candidate_conv.weight'] = candidate.contiguous()
    if f'{name}.bias' in state:
        state[f'{parent}.template_conv.bias'] = state.pop(f'{name}.bias')
    return state


class LocalResponseNorm(nn.Module):
    """x / (1 + 1e-4 / 5 * sum of the squares of five neighbouring channels) ** 0.75."""

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, C, H, W)."""
        if x.requires_grad:  # in training nothing is overwritten
            return F.local_response_norm(x, 5)
        squares = (x * (1e-4 / 5) ** 0.5).square_()  # scaled first: fits into float16
        total = window_sum(squares).add_(1)
        return total.sqrt().mul_(total).rsqrt_().mul_(x)


class AlexNetStage(nn.Module):
    """Convolution and ReLU, in the first two stages with pooling and normalisation between."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int, groups: int, pooled: bool
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups)
        self.after = nn.Sequential(  # the ReLU behind the pooling gives the same for less
            *([nn.MaxPool2d(3, 2, padding=1)] if pooled else []),
            nn.ReLU(inplace=True),
            *([LocalResponseNorm()] if pooled else []),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.after(self.conv(x))


class AlexNet(nn.Module):
    """Grouped AlexNet with padding, stride 8."""

    stride = 8
    receptive_field = 87  # of conv5, which decides how much of it is free of padding

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = AlexNetStage(3, 96, 11, 2, 1, pooled=True)
        self.conv2 = AlexNetStage(96, 256, 5, 1, 2, pooled=True)
        self.conv3 = AlexNetStage(256, 384, 3, 1, 1, pooled=False)
        self.conv4 = AlexNetStage(384, 384, 3, 1, 2, pooled=False)
        self.conv5 = AlexNetStage(384, 256, 3, 1, 2, pooled=False)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Extract features.

        Args:
            images: (N, 3, H, H) RGB, mean subtracted; H = 271 gives 34 x 34 maps.

        Returns:
            conv2 (N, 256, 34, 34), conv4 (N, 384, 34, 34), and of conv5 only the middle cells
            that an AlexNet without padding would have (N, 256, 24, 24).
        """
        conv2 = self.conv2(self.conv1(images))
        conv4 = self.conv4(self.conv3(conv2))
        count = (images.shape[-1] - self.receptive_field) // self.stride + 1
        start = (conv4.shape[-1] - count) // 2
        middle = slice(start - 1, start + count + 1)
        layer = self.conv5.conv
        conv5 = F.conv2d(
            conv4[:, :, middle, middle], layer.weight, layer.bias, groups=layer.groups
        )
        return conv2, conv4, F.relu(conv5)


class RpnHead(nn.Module):
    """Up-channel correlation: from the template's features come the kernels that score the
    search features and regress boxes on them."""

    def __init__(self, channels: int = 256, anchors: int = 5) -> None:
        super().__init__()
        self.outputs = (2 * anchors, 4 * anchors)
        self.z_cls_conv = nn.Conv2d(channels, 2 * anchors * channels, 3)
        self.z_bbox_conv = nn.Conv2d(channels, 4 * anchors * channels, 3)
        self.x_cls_conv = nn.Sequential(nn.Conv2d(channels, channels, 3))
        self.x_bbox_conv = nn.Sequential(nn.Conv2d(channels, channels, 3))
        self.cls_bias = nn.Parameter(torch.zeros(1, 2 * anchors, 1, 1))
        self.bbox_refine = nn.Conv2d(4 * anchors, 4 * anchors, 1)

    def template_kernels(self, template: Tensor) -> tuple[Tensor, Tensor]:
        """The kernels of both branches.

        Args:
            template: (N, 256, 6, 6).

        Returns:
            (N, 10, 256, 4, 4) and (N, 20, 256, 4, 4).
        """
        cls, box = (
            KERNEL_GAIN * conv(template).reshape(len(template), outputs, -1, 4, 4)
            for conv, outputs in zip(
                (self.z_cls_conv, self.z_bbox_conv), self.outputs, strict=True
            )
        )
        return cls, box

    def compose(self, template: Tensor) -> tuple[Tensor, Tensor]:
        """All that a search needs of a template, as one convolution.

        Nothing between the search features and the outputs is nonlinear: the 3x3 convolution of
        the search features, the 4x4 correlation and the 1x1 refinement are together one 6x6
        convolution, a tenth of the work.

        Args:
            template: (N, 256, 6, 6).

        Returns:
            Kernels (N, 30, 256, 6, 6) and biases (N, 30), classes first.
        """
        cls, box = self.template_kernels(template)
        refine = self.bbox_refine.weight[:, :, 0, 0]  # (20, 20)
        box = torch.einsum('ij,njchw->nichw', refine, box)
        kernels, biases = [], []
        for kernel, (search,), bias in (
            (cls, members(self.x_cls_conv, nn.Conv2d), self.cls_bias.reshape(-1)),
            (box, members(self.x_bbox_conv, nn.Conv2d), bias_of(self.bbox_refine)),
        ):
            n, outputs = kernel.shape[:2]
            whole = F.conv_transpose2d(kernel.flatten(0, 1), search.weight)
            kernels.append(whole.reshape(n, outputs, -1, 6, 6))
            biases.append(torch.einsum('nochw,c->no', kernel, bias_of(search)) + bias)
        return torch.cat(kernels, dim=1), torch.cat(biases, dim=1)


def correlate(features: Tensor, kernels: Tensor, biases: Tensor) -> Tensor:
    """Convolve each target's search features with its own kernels.

    Args:
        features: (N, C, H, W).
        kernels: (N, K, C, h, w).
        biases: (N, K).

    Returns:
        (N, K, H - h + 1, W - w + 1).
    """
    n = len(features)
    response = F.conv2d(
        features.reshape(1, -1, *features.shape[2:]),
        kernels.flatten(0, 1),
        biases.flatten(),
        groups=n,
    )
    return response.reshape(n, -1, *response.shape[2:])


class CoarseStage(nn.Module):
    """The network of cm_stage.pt."""

    def __init__(self) -> None:
        super().__init__()
        self.z_net = AlexNet()
        self.rpn_head = RpnHead()


def aligned_places(low: Tensor, high: Tensor, length: int, count: int) -> tuple[Tensor, Tensor]:
    """Sampling positions along one axis, the first and the last on the edges.

    Args:
        low: (...) lower edges, 0 being the centre of the first pixel or cell.
        high: (...) upper edges.
        length: Pixels or cells that there are.
        count: Positions from edge to edge.

    Returns:
        (..., count) float32 positions, and whether they are inside.
    """
    last = length - 1
    # to shares of the map and back, in float32 and in this order, so that a sample on the map's
    # edge rounds to the side to which it rounds in the released code
    low, high = low.float() / last, high.float() / last
    spacing = (high - low) * last / (count - 1)
    steps = torch.arange(count, device=low.device, dtype=torch.float32)
    places = (low * last)[..., None] + steps * spacing[..., None]
    return places, (places >= 0) & (places <= last)


def crop_aligned(frame: Tensor, squares: Tensor, size: int, mean: Tensor) -> Tensor:
    """Cut squares out of a frame as the network wants them.

    Args:
        frame: (H, W, 3) uint8 RGB.
        squares: (N, 4) corners in pixels, 0 being the centre of the first pixel.
        size: Side of the crops.
        mean: (3,) colour that is subtracted.

    Returns:
        (N, 3, size, size) float32; outside the frame is the frame's mean colour.
    """
    height, width = frame.shape[:2]
    xs, inside_x = aligned_places(squares[:, 0], squares[:, 2], width, size)
    ys, inside_y = aligned_places(squares[:, 1], squares[:, 3], height, size)
    mean = mean[:, None, None]
    fill = frame.to(torch.float32).mean(dim=(0, 1))[:, None, None] - mean
    inside = inside_y[:, None, :, None] & inside_x[:, None, None, :]
    return torch.where(inside, sample_grid(frame, ys, xs) - mean, fill)


def sample_boxes(features: Tensor, boxes: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Sample the features of boxes, one bilinear sample per cell, the outer samples on the edges.

    Args:
        features: (N, C, H, W).
        boxes: (N, K, 4) corners in cells, 0 being the centre of the first cell.
        size: Samples per side.

    Returns:
        Samples (N, K, size, size, C), 0 outside the map, and where they are inside
        (N, K, size, size, 1), 1 or 0.
    """
    n, channels, height, width = features.shape
    x, inside_x = aligned_places(boxes[..., 0], boxes[..., 2], width, size)  # (N, K, size)
    y, inside_y = aligned_places(boxes[..., 1], boxes[..., 3], height, size)
    x, y = torch.where(inside_x, x, 0.0), torch.where(inside_y, y, 0.0)
    x0, y0 = x.floor(), y.floor()
    wx, wy = (x - x0).to(features.dtype), (y - y0).to(features.dtype)
    pair = torch.arange(2, device=boxes.device, dtype=x0.dtype)
    columns = (x0[..., None] + pair).clamp(max=width - 1).long()  # (N, K, size, 2)
    rows = (y0[..., None] + pair).clamp(max=height - 1).long()
    first = height * width * torch.arange(n, device=boxes.device)[:, None, None, None]
    rows = rows * width + first
    index = rows[..., None, None] + columns[:, :, None, None]  # (N, K, size, 2, size, 2)
    cells = features.permute(0, 2, 3, 1).reshape(-1, channels)
    samples = cells.index_select(0, index.flatten()).view(*index.shape, channels)
    samples = lerp_pairs(samples, 5, wx[:, :, None, None, :, None])
    samples = lerp_pairs(samples, 3, wy[:, :, :, None, None])
    mask = (inside_y[..., :, None] & inside_x[..., None, :])[..., None].to(features.dtype)
    return samples * mask, mask


class BoxFeatures(nn.Module):
    """Normalised features of boxes from several maps, one behind the other."""

    def __init__(self, channels: Sequence[int], size: int = 6) -> None:
        super().__init__()
        self.size = size
        self.bn_list = nn.ModuleList(nn.BatchNorm2d(count) for count in channels)

    @property
    def norms(self) -> list[nn.BatchNorm2d | nn.SyncBatchNorm]:
        """One for each map."""
        return members(self.bn_list, nn.BatchNorm2d, nn.SyncBatchNorm)

    def forward(self, maps: Sequence[Tensor], boxes: Tensor) -> Tensor:
        """Sample maps inside boxes.

        The batch norm comes behind the sampling, on far fewer values; both are linear, so the
        result is the same.

        Args:
            maps: (N, C_i, H, W) each.
            boxes: (N, K, 4) corners in cells.

        Returns:
            (N, K, sum of C_i, size, size).
        """
        # one behind the other first: all are sampled at the same places
        sampled, inside = sample_boxes(torch.cat(list(maps), dim=1), boxes, self.size)
        gains, shifts = [], []
        for norm in self.norms:
            mean, variance = statistics(norm)
            gains.append(norm.weight * (variance + norm.eps).rsqrt())
            shifts.append(norm.bias - mean * gains[-1])
        samples = torch.addcmul(torch.cat(shifts) * inside, sampled, torch.cat(gains))
        return samples.permute(0, 1, 4, 2, 3)


class RelationNetwork(nn.Module):
    """How to compare two boxes' features: a convolution over both, then two layers.

    The convolution of the two feature maps one behind the other is the sum of a convolution of
    each, and the template's is done once. With `product` their product is a third input.
    """

    def __init__(self, channels: int, hidden: int, size: int = 6, product: bool = False) -> None:
        super().__init__()
        self.template_conv = nn.Conv2d(channels, hidden, 3, padding=1)
        self.candidate_conv = nn.Conv2d(channels, hidden, 3, padding=1, bias=False)
        self.product_conv = (
            nn.Conv2d(channels, hidden, 3, padding=1, bias=False) if product else None
        )
        self.linear_layers = nn.ModuleDict(
            {
                'linear0': nn.Linear(hidden * size * size, hidden),
                'linear1': nn.Linear(hidden, hidden),
            }
        )

    def template(self, features: Tensor) -> Tensor:
        """What is kept of a template's features (N, C, h, w): their share of the convolution
        (N, hidden, h, w), and where products are wanted the features behind it."""
        share = self.template_conv(features)
        return share if self.product_conv is None else torch.cat([share, features], dim=1)

    def forward(self, template: Tensor, candidates: Tensor) -> Tensor:
        """Compare.

        Args:
            template: From `template`.
            candidates: (N, K, C, h, w).

        Returns:
            (N K, hidden).
        """
        hidden = self.template_conv.out_channels
        x = self.candidate_conv(candidates.flatten(0, 1))
        if self.product_conv is not None:
            x = x + self.product_conv((candidates * template[:, None, hidden:]).flatten(0, 1))
        x = x.unflatten(0, candidates.shape[:2]) + template[:, None, :hidden]
        x = F.relu(x).flatten(0, 1).flatten(1)
        x = F.relu(self.linear_layers['linear0'](x))
        return F.relu(self.linear_layers['linear1'](x))


class FineStage(nn.Module):
    """The network of fm_stage.pt; the compact preset has a smaller one."""

    def __init__(
        self, channels: Sequence[int] = (384, 256), hidden: int = 256, product: bool = False
    ) -> None:
        super().__init__()
        self.feat_extractor = BoxFeatures(channels)
        self.siam_fusion = RelationNetwork(sum(channels), hidden, product=product)
        self.rcnn_cls = nn.Linear(hidden, 2)
        self.rcnn_bbox = nn.Linear(hidden, 4)

    def template(self, maps: Sequence[Tensor], boxes: Tensor) -> Tensor:
        """See `RelationNetwork.template`; from maps and boxes (N, 4) in cells."""
        return self.siam_fusion.template(self.feat_extractor(maps, boxes[:, None])[:, 0])

    def forward(
        self, template: Tensor, maps: Sequence[Tensor], boxes: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Compare candidates with the template.

        Args:
            template: From `template`.
            maps: Feature maps of the search crops, (N, C_i, H, W) each.
            boxes: (N, K, 4) corners in cells.

        Returns:
            Logits (N, K, 2) of background and target, and box deltas (N, K, 4), times (5, 5, 10,
            10).
        """
        return self.compare(template, self.feat_extractor(maps, boxes))

    def compare(self, template: Tensor, candidates: Tensor) -> tuple[Tensor, Tensor]:
        """The same from the candidates' features (N, K, C, 6, 6)."""
        x = self.siam_fusion(template, candidates)
        shape = candidates.shape[:2]
        return self.rcnn_cls(x).unflatten(0, shape), self.rcnn_bbox(x).unflatten(0, shape)


class PaperNetwork(nn.Module):
    """Both stages on one AlexNet, with the crops they want."""

    template_size = search_size = 271  # pixels; the exemplar is the 127 in the middle
    exemplar_size = 127
    window_end = search_size - 1.0  # position of the crop's last pixel
    mean_color: Tensor
    template_cells = slice(9, 15)  # of the 24 x 24 cells of conv5: the exemplar's 6 x 6

    def __init__(self) -> None:
        super().__init__()
        self.coarse = CoarseStage()
        self.fine = FineStage()
        self.register_buffer('mean_color', torch.tensor(MEAN_COLOR), persistent=False)

    def anchors(self) -> Tensor:
        return make_anchors(19, first=64.0, stride=8.0)

    def crop(self, frame: Tensor, squares: Tensor, size: int, cut: Cut) -> Tensor:
        """See `crop_aligned`, which has a way of its own to `cut`."""
        return crop_aligned(frame, squares, size, self.mean_color)

    def cells(self, boxes: Tensor) -> Tensor:
        """Boxes in crop pixels as boxes in cells of the feature maps."""
        return boxes / self.coarse.z_net.stride

    def pixels(self, boxes: Tensor) -> Tensor:
        """The inverse of `cells`."""
        return boxes * self.coarse.z_net.stride

    def extract(self, images: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Features for the coarse stage, float32, and the maps for the fine stage."""
        precision = self.coarse.z_net.conv1.conv.weight.dtype
        images = images.to(precision, memory_format=torch.channels_last)
        conv2, conv4, conv5 = self.coarse.z_net(images)
        return conv5.float(), (conv4, conv2)

    def look(self, images: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, Tensor]]:
        """What the coarse stage correlates of search crops, and the maps for the fine stage."""
        features, maps = self.extract(images)
        return (features,), maps

    def coarse_template(self, features: Tensor, boxes: Tensor) -> tuple[Tensor, ...]:
        """What the coarse stage keeps of a template, see `RpnHead.compose`; the box in it does
        not matter."""
        middle = features[:, :, self.template_cells, self.template_cells]
        return self.coarse.rpn_head.compose(middle)

    def match(
        self, template: tuple[Tensor, ...], searched: tuple[Tensor, ...]
    ) -> tuple[Tensor, Tensor]:
        """The coarse stage: class maps (N, 10, 19, 19) and box maps (N, 20, 19, 19)."""
        return correlate(*searched, *template).split((10, 20), dim=1)

    def set_precision(self, precision: torch.dtype) -> None:
        """The coarse head stays in float32: it costs little, and its kernels are tiny numbers."""
        place(self.coarse.z_net, precision=precision)
        self.fine.to(precision)

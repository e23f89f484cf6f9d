# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The networks of ATOM: features, and the overlap predictor with its gradient in closed form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn, Tensor
import torch.nn.functional as F

from tracker_core.backbones.compact import CompactBackbone
from tracker_core.backbones.resnet18 import ResNet18
from tracker_core.layers.graphs import graphed
from tracker_core.layers.prroi_pool import bin_weights_and_slopes, prroi_pool

MIDDLE_BINS, DEEP_BINS = 5, 3  # bins per side of the pooled test features


def conv_block(inputs: int, outputs: int, kernel: int = 3, padding: int = 1) -> nn.Sequential:
    """Convolution, batch norm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, padding=padding), nn.BatchNorm2d(outputs), nn.ReLU()
    )


class LinearBlock(nn.Module):
    """Linear layer, batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.linear(x)[:, :, None, None])[:, :, 0, 0])

    def folded(self) -> tuple[Tensor, Tensor]:
        """Weight and bias of the linear layer with the batch norm in them."""
        mean, variance = self.bn.running_mean, self.bn.running_var
        assert mean is not None  # both are tracked
        assert variance is not None
        gain = self.bn.weight / (variance + self.bn.eps).sqrt()
        bias = (self.linear.bias - mean) * gain + self.bn.bias
        return self.linear.weight * gain[:, None], bias


class IouPredictor(nn.Module):
    """Predicts the overlap of a box with the target (sections 3.1 and 3.2 of the paper).

    The target's features in the first frame become one factor per channel (the modulation) for
    the features of the frame at hand. The 3 and 4 in the names stand for the middle and the deep
    map.

    Args:
        inputs: Channels of the middle and of the deep map.
        strides: Their strides in pixels.
        reference: Channels of the first convolutions on the reference.
        hidden: Channels of the modulated features.
        units: Hidden units for each of the two maps.
    """

    def __init__(
        self,
        inputs: tuple[int, int] = (128, 256),
        strides: tuple[int, int] = (8, 16),
        reference: tuple[int, int] = (128, 256),
        hidden: int = 256,
        units: int = 256,
    ) -> None:
        super().__init__()
        self.strides, self.hidden = strides, hidden
        self.conv3_1r = conv_block(inputs[0], reference[0])
        self.conv3_1t = conv_block(inputs[0], hidden)
        self.conv3_2t = conv_block(hidden, hidden)
        self.fc3_1r = conv_block(reference[0], hidden, padding=0)
        self.conv4_1r = conv_block(inputs[1], reference[1])
        self.conv4_1t = conv_block(inputs[1], hidden)
        self.conv4_2t = conv_block(hidden, hidden)
        self.fc34_3r = conv_block(hidden + reference[1], hidden, kernel=1, padding=0)
        self.fc34_4r = conv_block(hidden + reference[1], hidden, kernel=1, padding=0)
        self.fc3_rt = LinearBlock(hidden * MIDDLE_BINS**2, units)
        self.fc4_rt = LinearBlock(hidden * DEEP_BINS**2, units)
        self.iou_predictor = nn.Linear(2 * units, 1)

    def modulation(self, middle: Tensor, deep: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
        """Factors per channel from the reference.

        Args:
            middle: (N, C1, H, W).
            deep: (N, C2, H', W').
            boxes: (N, 4) x, y, w, h of the target, pixels of the network's input.

        Returns:
            (N, hidden) for the middle and for the deep features.
        """
        corners = _corners(boxes)[:, None]
        x = prroi_pool(self.conv3_1r(middle), corners / self.strides[0], 3)[:, 0]
        y = prroi_pool(self.conv4_1r(deep), corners / self.strides[1], 1)[:, 0]
        x = torch.cat([self.fc3_1r(x), y], dim=1)  # (N, hidden + C, 1, 1)
        return self.fc34_3r(x).flatten(1), self.fc34_4r(x).flatten(1)

    def features(self, middle: Tensor, deep: Tensor) -> tuple[Tensor, Tensor]:
        """Test features (N, hidden, H, W) and (N, hidden, H', W') of one frame."""
        return self.conv3_2t(self.conv3_1t(middle)), self.conv4_2t(self.conv4_1t(deep))

    def forward(
        self, features: Sequence[Tensor], modulation: Sequence[Tensor], boxes: Tensor
    ) -> Tensor:
        """Predict twice the overlap minus one.

        Args:
            features: From `features`.
            modulation: From `modulation`.
            boxes: (N, B, 4) x, y, w, h, pixels of the network's input.

        Returns:
            (N, B).
        """
        corners, hidden = _corners(boxes), []
        for maps, factor, stride, bins, layer in zip(
            features,
            modulation,
            self.strides,
            (MIDDLE_BINS, DEEP_BINS),
            (self.fc3_rt, self.fc4_rt),
            strict=True,
        ):
            pooled = prroi_pool(maps * factor[:, :, None, None], corners / stride, bins)
            hidden.append(layer(pooled.flatten(0, 1).flatten(1)))
        return self.iou_predictor(torch.cat(hidden, dim=1)).reshape(boxes.shape[:2])


def _corners(boxes: Tensor) -> Tensor:
    return torch.cat([boxes[..., :2], boxes[..., :2] + boxes[..., 2:]], dim=-1)


@dataclass(frozen=True)
class _Level:
    """One map's part of the predictor, batch norm folded in.

    Attributes:
        stride: Of the map, in pixels.
        bins: Per side.
        weight: (units, bins * bins * hidden), columns ordered by column bin, row bin, channel.
        bias: (units,).
        readout: (units,) weights of the last layer.
    """

    stride: int
    bins: int
    weight: Tensor
    bias: Tensor
    readout: Tensor


class IouAscent:
    """The predicted overlap and its gradient with respect to the box, as tensor algebra.

    With pooled features p = R M C^T (R and C: weights of rows and columns, which depend on the
    box; M: the modulated map) the overlap is r . relu(W p + b). Its derivative with respect to p
    is g = W^T (r where the unit is active), and so the derivatives with respect to the weights are
    dR = g (M C^T) and dC = (R^T g) M: two more products of the size of the pooling itself.

    Args:
        predictor: In inference mode.
        dtype: Of the computation.
        stored: Of the large weights, whose reading is what takes the time; None: `dtype`.
    """

    def __init__(
        self,
        predictor: IouPredictor,
        dtype: torch.dtype = torch.float32,
        stored: torch.dtype | None = None,
    ) -> None:
        self.levels = []
        readouts = predictor.iou_predictor.weight[0].to(dtype).chunk(2)
        self.offset = predictor.iou_predictor.bias[0].to(dtype)
        for stride, bins, block, readout in zip(
            predictor.strides,
            (MIDDLE_BINS, DEEP_BINS),
            (predictor.fc3_rt, predictor.fc4_rt),
            readouts,
            strict=True,
        ):
            weight, bias = (value.to(dtype) for value in block.folded())
            weight = weight.reshape(-1, predictor.hidden, bins, bins).permute(0, 3, 2, 1)
            weight = weight.flatten(1).to(stored or dtype).contiguous()
            self.levels.append(_Level(stride, bins, weight, bias, readout.contiguous()))

    def prepare(self, features: Sequence[Tensor], modulation: Sequence[Tensor]) -> list[Tensor]:
        """Modulate the maps of a frame once for all boxes and steps: two (N, W, H, C)."""
        return [
            (maps.to(level.bias.dtype) * factor[:, :, None, None].to(level.bias.dtype))
            .permute(0, 3, 2, 1)
            .contiguous()
            for level, maps, factor in zip(self.levels, features, modulation, strict=True)
        ]

    def __call__(self, maps: list[Tensor], boxes: Tensor) -> tuple[Tensor, Tensor]:
        """Evaluate boxes.

        Args:
            maps: From `prepare`.
            boxes: (N, B, 4) x, y, w, h, pixels of the network's input.

        Returns:
            The prediction (N, B) and its gradient with respect to x, y, w, h (N, B, 4).
        """
        value = self.offset.expand(boxes.shape[:2])
        gradient = torch.zeros_like(boxes)
        for level, m in zip(self.levels, maps, strict=True):
            part, slope = self._evaluate(level, m, boxes)
            value, gradient = value + part, gradient + slope
        return value, gradient

    def _evaluate(self, level: _Level, maps: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
        n, width, height, channels = maps.shape
        count, k = boxes.shape[1], level.bins
        low, extent = boxes[..., :2] / level.stride, boxes[..., 2:] / level.stride
        # (N, B, 2, k, S): both axes at once, since the many small operations cost the time
        along = bin_weights_and_slopes(low, low + extent, k, max(width, height))
        columns, *column_slopes = (part[:, :, 0, :, :width] for part in along)  # (N, B, k, W)
        rows, *row_slopes = (part[:, :, 1, :, :height] for part in along)  # (N, B, k, H)

        flat = maps.reshape(n, width, height * channels)
        strips = (columns.reshape(n, count * k, width) @ flat).reshape(
            n, count, k, height, channels
        )
        pooled = rows[:, :, None] @ strips  # (N, B, k columns, k rows, C)
        # (N B, units)
        hidden = multiply(pooled.reshape(n * count, -1), level.weight.T) + level.bias
        value = (hidden.relu() @ level.readout).reshape(n, count)

        active = level.readout * (hidden > 0)
        g = multiply(active, level.weight).reshape(n, count, k, k, channels)
        d_rows = (g @ strips.transpose(-1, -2)).sum(dim=2)  # (N, B, k, H)
        spread = rows[:, :, None].transpose(-1, -2) @ g  # (N, B, k columns, H, C)
        d_columns = spread.reshape(n, count * k, height * channels) @ flat.transpose(-1, -2)
        d_columns = d_columns.reshape(n, count, k, width)

        d_left, d_right = ((d_columns * slope).sum(dim=(2, 3)) for slope in column_slopes)
        d_top, d_bottom = ((d_rows * slope).sum(dim=(2, 3)) for slope in row_slopes)
        gradient = torch.stack([d_left + d_right, d_top + d_bottom, d_right, d_bottom], dim=-1)
        return value, gradient / level.stride


def multiply(values: Tensor, weights: Tensor) -> Tensor:
    """`values @ weights` in the precision of the weights, returned in that of the values."""
    return (values.to(weights.dtype) @ weights).to(values.dtype)


class AtomNetwork(nn.Module):
    """Features and overlap predictor of a preset.

    Args:
        compact: The small network instead of the published one.
    """

    def __init__(self, compact: bool = False) -> None:
        super().__init__()
        self.feature_extractor: ResNet18 | CompactBackbone
        if compact:
            self.feature_extractor = CompactBackbone()
            self.strides = (CompactBackbone.stride, CompactBackbone.stride)
            self.bb_regressor = IouPredictor(
                CompactBackbone.channels, self.strides, reference=(64, 64), hidden=64, units=128
            )
        else:
            self.feature_extractor = ResNet18()
            self.strides = ResNet18.strides
            self.bb_regressor = IouPredictor()
        self.channels = self.feature_extractor.channels[1]  # of the map that the classifier uses

    def extract(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The middle and the deep map of images (N, 3, H, W), RGB 0 to 255."""
        return self.feature_extractor(images)

    def look(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Both maps of search regions, and the test features of the overlap predictor."""
        middle, deep = self.extract(images)
        return middle, deep, *self.test_features(middle, deep)

    def test_features(self, middle: Tensor, deep: Tensor) -> tuple[Tensor, Tensor]:
        """See `IouPredictor.features`."""
        return self.bb_regressor.features(middle, deep)


class CompactAtomNetwork(AtomNetwork):
    """Those of preset compact."""

    def __init__(self) -> None:
        super().__init__(compact=True)

    @graphed('atom_test_features')
    def test_features(self, middle: Tensor, deep: Tensor) -> tuple[Tensor, Tensor]:
        """See `IouPredictor.features`."""
        return super().test_features(middle, deep)


def normalize(deep: Tensor) -> Tensor:
    """What the classifier sees: deep maps (N, C, H, W) divided by their root mean square, as
    (N, H, W, C) float32."""
    x = deep.float().permute(0, 2, 3, 1)
    return x * (x.square().mean(dim=(1, 2, 3), keepdim=True) + 1e-10).rsqrt()


def drop_unused(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors that ATOM uses of an authors' checkpoint: not ResNet's last stage and its
    classifier."""
    unused = ('feature_extractor.layer4.', 'feature_extractor.fc.')
    return {key: value for key, value in state.items() if not key.startswith(unused)}

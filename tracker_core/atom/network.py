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
from tracker_core.layers.prroi_pool import prroi_pool

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
        bins: Per side.
        place: Which of the rows that `IouAscent` has for all bins are those of this level.
        weight: (units, bins * bins * hidden), columns ordered by column bin, row bin, channel.
        bias: (units,).
        readout: (units,) weights of the last layer.
        stored_readout: The same in the format of `weight`.
    """

    bins: int
    place: slice
    weight: Tensor
    bias: Tensor
    readout: Tensor
    stored_readout: Tensor


@dataclass(frozen=True)
class _Edges:
    """What bins of N targets' B boxes are made of, both axes (x, y) and all bins K at once.

    A bin's weights on a line of S cells are (integral at its end - integral at its start) times
    `scale`, with the integral of the interpolation's hat function, see `layers/prroi_pool.py`.

    Attributes:
        weights: (N, B, 2, K, S).
        parts: (N, B, 2, 4 K, S): integral at the bins' starts and ends, then the hat there.
        scale: (N, B, 2, K, 1), zero for a box without extent.
        inverse: (N, B, 2) of the box's sides, zero likewise.
    """

    weights: Tensor
    parts: Tensor
    scale: Tensor
    inverse: Tensor


class IouAscent:
    """The predicted overlap and its gradient with respect to the box, as tensor algebra.

    With pooled features p = R M C^T (R and C: weights of rows and columns, which depend on the
    box; M: the modulated map) the overlap is r . relu(W p + b). Its derivative with respect to p
    is g = W^T (r where the unit is active), and so the derivatives with respect to the weights are
    dR = g (M C^T) and dC = (R^T g) M: two more products of the size of the pooling itself.

    The many small operations cost the time, so the weights of both axes and of both maps are made
    at once, and so are their derivatives.

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
        stored = stored or dtype
        readouts = predictor.iou_predictor.weight[0].detach().to(dtype).chunk(2)
        # copies: who changes the predictor's precision in place leaves views of another type
        self.offset = predictor.iou_predictor.bias[0].detach().to(dtype).clone()
        begin = 0
        for bins, block, readout in zip(
            (MIDDLE_BINS, DEEP_BINS), (predictor.fc3_rt, predictor.fc4_rt), readouts, strict=True
        ):
            weight, bias = (value.to(dtype) for value in block.folded())
            weight = weight.reshape(-1, predictor.hidden, bins, bins).permute(0, 3, 2, 1)
            weight = weight.flatten(1).to(stored).contiguous()
            readout = readout.clone()
            place = slice(begin, begin + bins)
            self.levels.append(_Level(bins, place, weight, bias, readout, readout.to(stored)))
            begin += bins
        self._tabulate(predictor.strides, self.offset)

    def _tabulate(self, strides: Sequence[int], like: Tensor) -> None:
        """Constants of all bins K: how an edge's place depends on a box, and how the box's
        gradient follows from the products of `_Edges.parts` with the gradient of the weights."""
        starts, ends, per_cell, per_side = [], [], [], []
        for level, stride in zip(self.levels, strides, strict=True):
            at = [number / level.bins for number in range(level.bins + 1)]
            starts += at[:-1]
            ends += at[1:]
            per_cell += level.bins * [1 / stride]
            per_side += level.bins * [float(level.bins * stride)]
        count = len(starts)
        cells = like.new_tensor(per_cell)
        shares = like.new_tensor([starts, ends])  # (2, K)
        self._cells = cells.repeat(2)[:, None]  # (2 K, 1), per pixel of a corner
        self._shares = (shares * cells).reshape(-1, 1)  # (2 K, 1), per pixel of a side
        self._sides = like.new_tensor(per_side)[:, None]  # (K, 1)
        # the parts of bin k matter to weight k only; results: corner, side by its edges, by scale
        table = like.new_zeros(4, count, count, 3)
        own = range(count)
        table[0, own, own, 2], table[1, own, own, 2] = -1, 1
        table[2, own, own, 0], table[3, own, own, 0] = -cells, cells
        table[2, own, own, 1], table[3, own, own, 1] = -cells * shares[0], cells * shares[1]
        self._table = table.reshape(-1, 3)  # (4 K K, 3)

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
        hidden, *slopes = self._evaluate(maps, boxes[..., :2], boxes[..., 2:], cells_of(maps))
        return self._overlap(hidden, len(boxes)), torch.cat(slopes, dim=-1)

    def climb(
        self, maps: list[Tensor], boxes: Tensor, steps: int, length: float
    ) -> tuple[Tensor, Tensor]:
        """Move boxes uphill.

        Args:
            maps: From `prepare`.
            boxes: (N, B, 4) x, y, w, h, pixels of the network's input.
            steps: How many.
            length: Of a step, as a factor on the gradient in sides of the box.

        Returns:
            The boxes after the last step, and the prediction (N, B) for those before it.
        """
        corners, sides = boxes[..., :2], boxes[..., 2:]
        cells = cells_of(maps)
        hidden: list[Tensor] = []
        for _ in range(steps):
            hidden, by_corner, by_side = self._evaluate(maps, corners, sides, cells)
            corners = torch.addcmul(corners, by_corner, sides, value=length)
            sides = torch.addcmul(sides, by_side, sides, value=length)
        return torch.cat([corners, sides], dim=-1), self._overlap(hidden, len(boxes))

    def _overlap(self, hidden: Sequence[Tensor], count: int) -> Tensor:
        """The prediction of the levels' hidden units (N B, units) before their activation."""
        values = [
            units.relu() @ level.readout for level, units in zip(self.levels, hidden, strict=True)
        ]
        return (values[0] + values[1] + self.offset).view(count, -1)

    def _evaluate(
        self, maps: Sequence[Tensor], corners: Tensor, sides: Tensor, cells: Tensor
    ) -> tuple[list[Tensor], Tensor, Tensor]:
        """The hidden units of both levels, and the gradients with respect to `corners` and `sides`
        (N, B, 2) of boxes; cells are those of the larger map, negated, (S,)."""
        edges = self._edges(corners, sides, cells)
        hidden, slopes = [], []
        for level, m in zip(self.levels, maps, strict=True):
            units, slope = self._pool(level, m, edges.weights[:, :, :, level.place])
            hidden.append(units)
            slopes.append(lengthened(slope, len(cells)))
        gradient = torch.cat(slopes, dim=3) * edges.scale  # (N, B, 2, K, S)
        products = edges.parts @ gradient.mT  # (N, B, 2, 4 K, K)
        by_corner, by_edges, by_scale = (products.flatten(3) @ self._table).unbind(-1)
        return hidden, by_corner, torch.addcmul(by_edges, by_scale, edges.inverse, value=-1)

    def _edges(self, corners: Tensor, sides: Tensor, cells: Tensor) -> _Edges:
        """See `_Edges`."""
        # first the distance from each cell, which is exact near it, then the share of the side:
        # so the bins of small boxes keep their precision
        places = torch.addcmul(cells, corners[..., None, None], self._cells)
        places = torch.addcmul(places, sides[..., None, None], self._shares).clamp(-1, 1)
        size = places.abs()
        integral = torch.addcmul(places, places, size, value=-0.5)  # but for a constant
        starts, ends = integral.chunk(2, dim=3)
        inverse = sides.reciprocal().masked_fill(sides <= 0, 0)
        scale = inverse[..., None, None] * self._sides
        parts = torch.cat([integral, 1 - size], dim=3)
        return _Edges((ends - starts) * scale, parts, scale, inverse)

    @staticmethod
    def _pool(level: _Level, maps: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """A level's hidden units (N B, units), and the gradient (N, B, 2, bins, S) with respect to
        `weights`, which are of that shape and on columns and rows of the maps (N, W, H, C), or on
        more than there are."""
        n, width, height, channels = maps.shape
        count, k = weights.shape[1], level.bins
        columns = weights[:, :, 0, :, :width].reshape(n, count * k, width)
        rows = weights[:, :, None, 1, :, :height].expand(-1, -1, k, -1, -1)
        rows = rows.reshape(-1, k, height)  # (N B k, k, H), the same for each column bin
        flat = maps.view(n, width, height * channels)
        strips = (columns @ flat).view(-1, height, channels)  # (N B k columns, H, C)
        pooled = rows @ strips  # (N B k columns, k rows, C)
        hidden = multiply(pooled.view(n * count, -1), level.weight.T, level.bias)  # (N B, units)

        active = (hidden > 0) * level.stored_readout
        g = (active @ level.weight).to(maps.dtype).view(-1, k, channels)
        d_rows = (g @ strips.mT).view(n, count, k, k, height).sum(dim=2)
        spread = (rows.mT @ g).view(n, count * k, height * channels)
        d_columns = (spread @ flat.mT).view(n, count, k, width)
        side = max(width, height)
        both = [lengthened(d, side) for d in (d_columns, d_rows)]
        return hidden, torch.stack(both, dim=2)


def cells_of(maps: Sequence[Tensor]) -> Tensor:
    """Numbers of the cells along the larger side of maps (N, W, H, C), negated: (S,)."""
    side = max(max(m.shape[1:3]) for m in maps)
    return -torch.arange(side, device=maps[0].device, dtype=maps[0].dtype)


def lengthened(lines: Tensor, length: int) -> Tensor:
    """Lines (..., L) with zeros behind them up to a length."""
    missing = length - lines.shape[-1]
    return F.pad(lines, (0, missing)) if missing else lines


def multiply(values: Tensor, weights: Tensor, bias: Tensor) -> Tensor:
    """`values @ weights + bias`, multiplied in the precision of the weights, returned in that of
    the values, which is the bias'."""
    if values.dtype == weights.dtype:
        return torch.addmm(bias, values, weights)
    return values.to(weights.dtype) @ weights + bias


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

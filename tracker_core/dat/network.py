# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""VGG-M up to conv3, and its linearisation around given crops.

The convolutions never change while tracking. For one crop, ReLU and max pooling then are fixed
selections and the normalisation has a simple derivative, so the gradient at conv1 is a linear
function of the gradient at conv3. `Linearised` holds what this linear function and its transpose
need; neither takes an automatic differentiation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn, Tensor
import torch.nn.functional as F
from torch.nn.grad import conv2d_weight

from tracker_core.layers.modules import members
from tracker_core.layers.normalization import window_sum

OFFSET, ALPHA, BETA = 2.0, 1e-4, 0.75  # of the normalisation
POOL, STEP = 3, 2
FEATURES = 512 * 3 * 3


def norm_factors(x: Tensor) -> tuple[Tensor, Tensor]:
    """d = 2 + 1e-4 * (sum of squares of five channels), and d^-0.75."""
    d = window_sum(x.square()).mul_(ALPHA).add_(OFFSET)
    root = d.rsqrt()
    return d, root * root.sqrt()


@dataclass(frozen=True)
class Norm:
    """ReLU and local response normalisation linearised: y = a d^-0.75 with a = relu(x).

    Attributes:
        a: Rectified input (N, C, H, W).
        d: The normalisation's denominator before its power.
        slope: d^-0.75 where the input is positive, else 0.
        side: a d^-1.75, for the coupling of neighbouring channels.
    """

    a: Tensor
    d: Tensor
    slope: Tensor
    side: Tensor

    @classmethod
    def at(cls, x: Tensor) -> tuple[Norm, Tensor]:
        """Linearise at x; also returns y."""
        a = F.relu(x)
        d, power = norm_factors(a)
        y = a * power
        return cls(a, d, power * (a > 0), y / d), y

    def pull(self, gradient: Tensor) -> Tensor:
        """Gradient with respect to x from that with respect to y."""
        coupling = window_sum(gradient * self.side).mul_(self.a)
        return (gradient * self.slope).sub_(coupling, alpha=2 * ALPHA * BETA)

    def push(self, tangent: Tensor) -> Tensor:
        """Change of y for a change of x."""
        coupling = window_sum(tangent * self.a).mul_(self.side)
        return (tangent * self.slope).sub_(coupling, alpha=2 * ALPHA * BETA)

    def bend(self, gradient: Tensor, tangent: Tensor) -> Tensor:
        """Gradient with respect to x of the number <gradient, push(tangent)>."""
        a, d = self.a, self.d
        tangent = tangent * (a > 0)
        power = d.pow(-BETA - 1)
        reach = window_sum(a * tangent)
        direct = a * window_sum(gradient * tangent * power)
        explicit = gradient * power * reach
        through = tangent * window_sum(gradient * a * power)
        second = a * window_sum(gradient * a * reach * power / d)
        total = direct + explicit + through - 2 * ALPHA * (BETA + 1) * second
        return -2 * ALPHA * BETA * total * (a > 0)


@dataclass(frozen=True)
class Pool:
    """Max pooling as a selection."""

    shape: torch.Size
    chosen: Tensor  # (N, C, h, w) index into the flattened H x W

    @classmethod
    def at(cls, x: Tensor) -> tuple[Pool, Tensor]:
        y, chosen = F.max_pool2d(x, POOL, STEP, return_indices=True)
        return cls(x.shape, chosen), y

    def pull(self, gradient: Tensor) -> Tensor:
        out = gradient.new_zeros(self.shape).flatten(2)
        out.scatter_add_(2, self.chosen.flatten(2), gradient.flatten(2))
        return out.view(self.shape)

    def push(self, tangent: Tensor) -> Tensor:
        return tangent.flatten(2).gather(2, self.chosen.flatten(2)).view(self.chosen.shape)


class VggM(nn.Module):
    """conv1 to conv3 of VGG-M (Chatfield et al. 2014) without padding.

    The keys of its state are `conv1.0.weight` to `conv3.0.bias`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(nn.Conv2d(3, 96, 7, 2))
        self.conv2 = nn.Sequential(nn.Conv2d(96, 256, 5, 2))
        self.conv3 = nn.Sequential(nn.Conv2d(256, 512, 3, 1))

    @property
    def convolutions(self) -> tuple[nn.Conv2d, nn.Conv2d, nn.Conv2d]:
        layers = (self.conv1, self.conv2, self.conv3)
        (conv1,), (conv2,), (conv3,) = (members(layer, nn.Conv2d) for layer in layers)
        return conv1, conv2, conv3

    def forward(self, crops: Tensor) -> Tensor:
        """Features of crops.

        Args:
            crops: (N, 3, 107, 107), gray levels minus 128.

        Returns:
            (N, 4608), not negative, in the convolutions' dtype.
        """
        conv1, conv2, conv3 = self.convolutions
        x = crops.to(conv1.weight.dtype)
        for convolution in (conv1, conv2):
            a = F.relu(convolution(x)).float()  # squares overflow in half precision
            y = F.max_pool2d(a * norm_factors(a)[1], POOL, STEP)
            x = y.to(x.dtype)
        return F.relu(conv3(x)).flatten(1)


@dataclass(frozen=True)
class Linearised:
    """VGG-M around given crops, as a linear function of small changes at conv1's output.

    Attributes:
        network: The convolutions, float32 or float64.
        crops: (N, 3, 107, 107).
        norm1: After conv1.
        pool1: After conv1.
        pooled1: Input of conv2.
        norm2: After conv2.
        pool2: After conv2.
        active: (N, 512, 3, 3) bool, where conv3 is positive.
        features: (N, 4608).
    """

    network: VggM
    crops: Tensor
    norm1: Norm
    pool1: Pool
    pooled1: Tensor
    norm2: Norm
    pool2: Pool
    active: Tensor
    features: Tensor

    @classmethod
    def at(cls, network: VggM, crops: Tensor) -> Linearised:
        conv1, conv2, conv3 = network.convolutions
        crops = crops.to(conv1.weight.dtype)
        norm1, x = Norm.at(conv1(crops))
        pool1, pooled1 = Pool.at(x)
        norm2, x = Norm.at(conv2(pooled1))
        pool2, x = Pool.at(x)
        x = conv3(x)
        features = F.relu(x).flatten(1)
        return cls(network, crops, norm1, pool1, pooled1, norm2, pool2, x > 0, features)

    def pull(self, gradient: Tensor) -> Tensor:
        """Gradient at conv1's output (N, 96, 51, 51) from that at the features (N, 4608)."""
        x = self.norm2.pull(self._pull_to_norm2(gradient))
        x = F.conv_transpose2d(x, self.network.convolutions[1].weight, stride=2)
        return self.norm1.pull(self.pool1.pull(x))

    def push(self, tangent: Tensor) -> Tensor:
        """The transpose of `pull`: change of the features for a change of conv1's output."""
        x = self.pool1.push(self.norm1.push(tangent))
        x = F.conv2d(x, self.network.convolutions[1].weight, stride=2)
        x = self.pool2.push(self.norm2.push(x))
        x = F.conv2d(x, self.network.convolutions[2].weight)
        return (x * self.active).flatten(1)

    def _pull_to_norm2(self, gradient: Tensor) -> Tensor:
        x = gradient.view(self.active.shape) * self.active
        return self.pool2.pull(F.conv_transpose2d(x, self.network.convolutions[2].weight))


def kernel_gradient(inputs: Tensor, gradient: Tensor, convolution: nn.Conv2d) -> Tensor:
    """Gradient with respect to a convolution's kernel."""
    return conv2d_weight(inputs, convolution.weight.shape, gradient, stride=convolution.stride)


def convolution_gradients(
    chain: Linearised, gradient: Tensor, tangent: Tensor
) -> dict[str, Tensor]:
    """Gradient of <pull(gradient), tangent> with respect to the convolutions.

    The released code counts it in the norm of the whole gradient although the convolutions stay
    as they are. A kernel is a factor of the chain; conv1 and conv2 also move the points at which
    the normalisations are linearised.

    Args:
        chain: The network around crops.
        gradient: (N, 4608) at the features.
        tangent: (N, 96, 51, 51) at conv1's output.
    """
    conv1, conv2, conv3 = chain.network.convolutions
    at_norm2 = chain._pull_to_norm2(gradient)
    at_conv2 = chain.norm2.pull(at_norm2)
    at_pool1 = F.conv_transpose2d(at_conv2, conv2.weight, stride=2)
    push1 = chain.pool1.push(chain.norm1.push(tangent))
    push2 = F.conv2d(push1, conv2.weight, stride=2)
    push3 = chain.pool2.push(chain.norm2.push(push2))

    bend2 = chain.norm2.bend(at_norm2, push2)
    bend1 = chain.norm1.bend(chain.pool1.pull(at_pool1), tangent)
    through2 = F.conv_transpose2d(bend2, conv2.weight, stride=2)
    bend1 = bend1 + chain.norm1.pull(chain.pool1.pull(through2))
    kept = gradient.view(chain.active.shape) * chain.active
    return {
        'conv1.0.weight': kernel_gradient(chain.crops, bend1, conv1),
        'conv1.0.bias': bend1.sum(dim=(0, 2, 3)),
        'conv2.0.weight': kernel_gradient(push1, at_conv2, conv2)
        + kernel_gradient(chain.pooled1, bend2, conv2),
        'conv2.0.bias': bend2.sum(dim=(0, 2, 3)),
        'conv3.0.weight': kernel_gradient(push3, kept, conv3),
    }


def summed_convolution_gradients(
    chains: Sequence[Linearised], upstream: Tensor, tangents: Sequence[Sequence[Tensor]]
) -> dict[str, Tensor]:
    """The attention penalty's gradient with respect to the convolutions.

    Args:
        chains: The samples in parts.
        upstream: (2, N, 4608) gradients of the two logits at the features.
        tangents: By part and class, the penalty's gradient at conv1's output.
    """
    total: dict[str, Tensor] = {}
    sizes = [len(chain.features) for chain in chains]
    for chain, gradients, moves in zip(
        chains, upstream.split(sizes, dim=1), tangents, strict=True
    ):
        for gradient, move in zip(gradients, moves, strict=True):
            for name, value in convolution_gradients(chain, gradient, move).items():
                total[name] = total.get(name, 0) + value
    return total


def split_weight_file(
    state: Mapping[str, Tensor],
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Weights of the convolutions and of the hidden layers out of any file that DAT reads.

    Known are `imagenet-vgg-m.mat`, checkpoints with `shared_layers` (of DAT and of MDNet ports,
    whose `fc4.0` is DAT's `fc4.1`), and states with the prefixes `layers.` and `branches.0.`.

    Args:
        state: From `read_weight_file`.

    Returns:
        State for `VggM`; state with the keys `fc4`, `fc5`, `fc6` + `.weight` or `.bias` as far as
        the file has them.
    """
    if 'conv1.weight' in state:  # MatConvNet: conv1 to conv5, then the fc layers of ImageNet
        names = [f'conv{i}.{part}' for i in (1, 2, 3) for part in ('weight', 'bias')]
        state = {name.replace('.', '.0.'): state[name] for name in names if name in state}
    convolutions, hidden = {}, {}
    for key, value in state.items():
        name = key.removeprefix('layers.')
        if name.startswith('branches.0.'):
            name = name.replace('branches.0', 'fc6')
        layer, _, part = name.partition('.')
        if layer in ('fc4', 'fc5', 'fc6'):
            hidden[f'{layer}.{part.rpartition(".")[2]}'] = value
        else:
            convolutions[name] = value
    return convolutions, hidden

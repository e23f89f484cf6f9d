# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The box refiner: from a rough box and the target's template to a better box and its overlap.

Features are sampled in a grid that reaches beyond the box, so that the object's edges are seen
from both sides, and compared with the template's, which were sampled around its box in the first
frame. Boxes here are corners in cells of the compact backbone's maps, 0 being the centre of the
first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, TYPE_CHECKING, TypeVar

import torch
from torch import nn, Tensor
import torch.nn.functional as F

from tracker_core.backbones.compact import CompactBackbone, Maps
from tracker_core.errors import ParameterError
from tracker_core.layers.appearance import POINTS, sample_around
from tracker_core.layers.graphs import graphed
from tracker_core.layers.placing import place
from tracker_core.weights import load_into, randomize, Weights

if TYPE_CHECKING:
    from tracker_core.tracker import Setup

REACH = 1.6  # side of the grid relative to the box
LARGEST_GROWTH = 1.0  # of the logarithm of a side, in one refinement
Network = TypeVar('Network', bound=nn.Module)


class Refined(NamedTuple):
    """What the refiner says of boxes.

    Attributes:
        boxes: (N, K, 4) corners in cells.
        overlaps: (N, K) the IoU that these shall have with the object, as logits.
    """

    boxes: Tensor
    overlaps: Tensor


class BoxRefiner(nn.Module):
    """Compares a rough box's surroundings with the template's: 0.5 M parameters."""

    def __init__(
        self, channels: tuple[int, int] = CompactBackbone.channels, width: int = 64
    ) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(sum(channels), width, 1)
        self.join = nn.Conv2d(3 * width, width, 3, padding=1)
        self.hidden = nn.Linear(width * POINTS**2, 96)
        self.box = nn.Linear(96, 4)
        self.overlap = nn.Linear(96, 1)
        nn.init.zeros_(self.box.weight)
        nn.init.zeros_(self.box.bias)

    def features(self, maps: Maps) -> Tensor:
        """What is sampled of the backbone's maps, (N, 64, h, w) float32."""
        return self.reduced(*maps)[0]

    @graphed('refiner_reduced')
    def reduced(self, middle: Tensor, deep: Tensor) -> tuple[Tensor]:
        """See `features`."""
        return (self.reduce(torch.cat((middle, deep), dim=1)).float(),)

    @graphed('refiner_compare')
    def compare(self, found: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
        """Compare samples (B, 64, 8, 8) around boxes with a template's: how the boxes move, see
        `moved`, (B, 4), and the overlaps that they then have, as logits (B, 1)."""
        x = torch.cat((found, wanted, found * wanted), dim=1)
        x = F.relu(self.join(x.to(self.join.weight.dtype))).flatten(1)
        x = F.relu(self.hidden(x))
        return self.box(x).float(), self.overlap(x).float()

    def template(self, features: Tensor, boxes: Tensor) -> Tensor:
        """The template of features (N, 64, h, w) and boxes (N, 4): (N, 64, 8, 8)."""
        return sample_around(features, boxes[:, None], REACH)[:, 0]

    def forward(self, template: Tensor, features: Tensor, boxes: Tensor) -> Refined:
        """Refine boxes.

        Args:
            template: From `template`.
            features: From `features`, (N, 64, h, w).
            boxes: (N, K, 4).
        """
        found = sample_around(features, boxes, REACH)  # (N, K, 64, 8, 8)
        wanted = template[:, None].expand_as(found)
        deltas, overlaps = self.compare(found.flatten(0, 1), wanted.flatten(0, 1))
        deltas = deltas.unflatten(0, boxes.shape[:2])
        return Refined(moved(boxes, deltas), overlaps.view(boxes.shape[:2]))


def moved(boxes: Tensor, deltas: Tensor) -> Tensor:
    """Boxes (..., 4) whose centre is moved by `deltas` (..., :2), in sides, and whose sides grow
    by the exponential of the others."""
    sides = boxes[..., 2:] - boxes[..., :2]
    centers = (boxes[..., :2] + boxes[..., 2:]) / 2 + deltas[..., :2] * sides
    half = sides * deltas[..., 2:].clamp(-LARGEST_GROWTH, LARGEST_GROWTH).exp() / 2
    return torch.cat((centers - half, centers + half), dim=-1)


class RefinerNetwork(nn.Module):
    """The refiner on the compact backbone."""

    stride = CompactBackbone.stride
    channels = CompactBackbone.channels

    def __init__(self) -> None:
        super().__init__()
        self.backbone = CompactBackbone()
        self.refiner = BoxRefiner()

    def look(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The backbone's maps of images, and `BoxRefiner.features` of them."""
        maps = self.backbone(images)
        return *maps, self.refiner.features(maps)


def build_refiner(weights: Weights) -> RefinerNetwork:
    """Backbone and refiner with their weights, in inference mode.

    Raises:
        WeightsError: A file does not fit.
    """
    network = RefinerNetwork()
    return _filled(network, weights, {'backbone': network.backbone, 'refiner': network.refiner})


def build_box_refiner(weights: Weights) -> BoxRefiner:
    """The refiner alone, for trackers with a backbone of their own.

    Raises:
        WeightsError: The file does not fit.
    """
    refiner = BoxRefiner()
    return _filled(refiner, weights, {'refiner': refiner})


def optional_refiner(is_wanted: bool, setup: Setup[Any]) -> BoxRefiner | None:
    """The refiner of a tracker with a backbone of its own, ready where it computes; None if it is
    not wanted.

    Raises:
        ParameterError: See `check_refiner`.
        WeightsError: The file does not fit.
    """
    check_refiner(is_wanted, setup)
    if not is_wanted:
        return None
    return place(build_box_refiner(setup.weights), setup.device, setup.precision)


def check_refiner(is_wanted: bool, setup: Setup[Any]) -> None:
    """Refuse a parameter `refiner` where there is no compact backbone.

    Raises:
        ParameterError: It is wanted there.
    """
    if is_wanted and setup.network != 'compact':
        raise ParameterError(f'refiner is for preset compact, not for {setup.preset}')


def _filled(network: Network, weights: Weights, parts: Mapping[str, nn.Module]) -> Network:
    """A network with its weights, given the parts of it that files hold; in inference mode."""
    if weights.state is None:
        randomize(network)
    else:
        for name, part in parts.items():
            load_into(part, weights.state[name], weights.source)
    return network.eval().requires_grad_(False)

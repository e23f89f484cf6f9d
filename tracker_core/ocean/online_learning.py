# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""What Ocean's online branch learns of a target: in the first frame, and afterwards from a memory
of samples."""

from __future__ import annotations

from collections.abc import Sequence
import math

import torch
from torch import Tensor
import torch.nn.functional as F

from tracker_core.boxes import Box
from tracker_core.discriminative.memory import SampleMemory
from tracker_core.discriminative.squares import cut_squares, PixelSquare
from tracker_core.discriminative.views import (
    drop_channels,
    first_shifts,
    first_views,
    kept_channels,
    Shift,
)
from tracker_core.ocean.config import OceanConfig
from tracker_core.ocean.network import CompactOcean, OceanNetwork
from tracker_core.ocean.online_filter import fit
from tracker_core.ocean.online_network import CROP, OnlineNetwork, SEARCH_FACTOR
from tracker_core.ocean.online_state import OnlineView
from tracker_core.runtime.eager import EagerUpdates
from tracker_core.step import Updates

RANDOM_SHIFT = 1 / 3  # of the copies of the first frame, range as a share of the search region
DROPOUTS = 7  # copies without some channels


class Learner:
    """What is learnt of one target: the filter and the samples it is fitted to.

    Args:
        network: Of the branch.
        features: (N, C, 13, 13) first samples.
        boxes: (N, 4) the target in them, x, y, w, h in crop pixels.
        side: Side of the search region in the first frame, image pixels.
        config: Parameters.
    """

    def __init__(
        self,
        network: OnlineNetwork,
        features: Tensor,
        boxes: Tensor,
        side: float,
        config: OceanConfig,
    ) -> None:
        self.network, self.side = network, side
        maps = torch.stack(network.targets(boxes), 1)  # (N, 3, 14, 14)
        self.memory = SampleMemory.growing(features, maps, config.online_memory)
        self.filter = network.first_filter(features, boxes)
        self.learn(config.online_first_steps, EagerUpdates())

    def add(self, features: Tensor, box: Tensor, rate: float) -> None:
        """Keep a sample.

        Args:
            features: (1, C, 13, 13).
            box: (1, 4).
            rate: Its weight; the older samples' weights shrink accordingly.
        """
        self.memory.add(features[0], torch.cat(self.network.targets(box)), rate)

    def learn(self, steps: int, updates: Updates) -> None:
        """Fit the filter to the samples, from where it is."""
        features, maps, weights = self.memory.taken_by(updates)
        tensors = (
            features,
            maps,
            weights.sqrt().to(maps),
            self.filter,
            self.network.regularisation.float().square().clamp(min=1e-6),
            self.network.log_step.float().exp(),
        )
        (self.filter,) = updates(fit, tensors, steps=steps)


def start_learning(
    network: OnlineNetwork,
    backbone: OceanNetwork | CompactOcean,
    frame: Tensor,
    box: Box,
    config: OceanConfig,
    shifts: Sequence[Shift] | None = None,
    kept: Tensor | None = None,
) -> Learner:
    """Train the filter on the first frame.

    Args:
        network: Of the branch.
        backbone: The offline network.
        frame: (H, W, 3) uint8.
        box: The target.
        config: Parameters.
        shifts: Of the copies, see `first_shifts`; drawn from `config.seed` if not given.
        kept: (7, C) bool, channels that the copies with dropout keep; drawn likewise.
    """
    generator = torch.Generator().manual_seed(config.seed)
    if shifts is None:
        shifts = first_shifts(CROP, RANDOM_SHIFT, True, generator, torch.float32)
    if kept is None:
        kept = kept_channels(DROPOUTS, network.channels, generator)
    side = SEARCH_FACTOR * math.sqrt(box.area)
    middle = (round(box.cx), round(box.cy))
    square = PixelSquare.at(middle, 2 * side, 2 * CROP)
    numbers = torch.tensor([square.numbers()], dtype=torch.float64).to(frame.device)
    patch = cut_squares(frame, numbers, square.size, torch.float32)
    crops = first_views(patch, CROP, shifts, torch.float32)
    features = network.project(network.backbone_features(backbone, crops))
    dropped = drop_channels(features[0], kept.to(features.device), 0)
    features = torch.cat((features, dropped))
    view = OnlineView(features, square.centre, square.scale)
    first = view.box(box.cx, box.cy, box.w, box.h)
    moves = torch.tensor([(right, down, 0, 0) for down, right in shifts])
    moves = F.pad(moves, (0, 0, 0, len(dropped))).to(first)
    return Learner(network, features, first + moves, side, config)

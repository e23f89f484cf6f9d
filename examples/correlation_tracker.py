# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The smallest thing that is a tracker: the first frame's pixels, found again by correlation.

    python examples/correlation_tracker.py VIDEO X,Y,W,H

docs/add_a_tracker.md goes through it line by line. It has no network and does not learn, and its
size stays; but it runs in the node, in batches, captured and exported like the others.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
import math
import sys

import torch
from torch import Tensor
import torch.nn.functional as F

from tracker_core import Box, create_tracker, Declaration, Preset, register
from tracker_core.images import sample_grid, window_positions
from tracker_core.parameters import parameter, TrackerConfig
from tracker_core.step import ProgramKey, Tensors
from tracker_core.target import Proposal, Target
from tracker_core.tracker import Setup, Tracker


@dataclass(frozen=True)
class CorrelationConfig(TrackerConfig):
    """Parameters of the correlation tracker. Both decide on the scale at which pixels are
    compared; a template has its own for good, so neither can change while it runs."""

    search_factor: float = parameter(
        3.0, 'Side of the search region in target sizes.', minimum=1.5, maximum=8.0, live=False
    )
    search_side: int = parameter(
        96, 'The same in pixels that are compared.', minimum=32, maximum=512, live=False
    )


@dataclass(frozen=True)
class Template:
    """The target's pixels in the first frame: (1, 3, h, w) of mean zero and norm one."""

    pixels: Tensor


class CorrelationTracker(Tracker[CorrelationConfig, Template, Box]):
    """Normalised cross-correlation of the target's first pixels with the search region. A target's
    state is its box in the pixels that the tracker sees, which may be squeezed ones."""

    name = 'correlation'

    def __init__(self, setup: Setup[CorrelationConfig]) -> None:
        super().__init__(setup)  # a network would be made of `setup.weights` here

    def _start(self, frame: Tensor, box: Box) -> tuple[Template, Box]:
        scale = self._region(box) / self.config.search_side  # image pixels per compared pixel
        height, width = (max(round(side / scale), 3) for side in (box.h, box.w))
        region = torch.tensor([[box.cx, box.cy, self._region(box)]], device=self.device)
        patch = self._cut(frame, region)
        top, left = ((patch.shape[-1] - side) // 2 for side in (height, width))
        patch = patch[..., top : top + height, left : left + width]
        patch = patch - patch.mean(dim=(2, 3), keepdim=True)
        return Template(patch / patch.norm().clamp(min=1e-6)), box

    def _region(self, box: Box) -> float:
        """Side of the search region in pixels of the image; the template fits into it."""
        return max(self.config.search_factor * math.sqrt(box.area), 1.5 * box.w, 1.5 * box.h)

    def _cut(self, frame: Tensor, regions: Tensor) -> Tensor:
        """Search regions (N, 3) centre x, y and side as pixels (N, 3, S, S), -0.5 to 0.5."""
        cx, cy, side = regions.float().unbind(1)
        size = self.config.search_side
        ys, xs = window_positions(cy, side, size), window_positions(cx, side, size)
        return sample_grid(frame, ys, xs) / 255 - 0.5

    # Before the step: where to look, and what for

    def program_key(
        self, target: Target[Template, Box], image_size: tuple[int, int]
    ) -> ProgramKey:
        return tuple(target.model.pixels.shape[2:])  # templates of other sizes: another program

    def search_geometry(
        self, target: Target[Template, Box], image_size: tuple[int, int]
    ) -> Tensor:
        box, (dx, dy) = target.state, target.search_offset
        region = (box.cx + dx, box.cy + dy, self._region(box))
        return torch.tensor(region, dtype=torch.float64)

    def model_tensors(self, target: Target[Template, Box]) -> Tensors:
        return (target.model.pixels,)

    # The step: a tensor program

    def step(self, key: ProgramKey, frame: Tensor, geometry: Tensor, *model: Tensor) -> Tensors:
        """See `Tracker.step`. The result is (N, 3): shift (x, y) of the best place in image
        pixels, and the correlation there, -1 to 1."""
        (templates,), (height, width) = model, key
        search = self._cut(frame, geometry)  # (N, 3, S, S)
        pairs, channels = search.shape[:2]
        response = F.conv2d(search.flatten(0, 1)[None], templates, groups=pairs)[0]  # (N, m, n)
        ones = torch.ones_like(templates[:1, :1]).expand(channels, 1, -1, -1)
        area = height * width
        mean = F.conv2d(search, ones, groups=channels) / area
        energy = F.conv2d(search.square(), ones, groups=channels) - area * mean.square()
        response = response / energy.sum(dim=1).clamp(min=1e-6).sqrt()
        score, best = response.flatten(1).max(dim=1)
        rows, columns = response.shape[1:]
        row = torch.div(best, columns, rounding_mode='floor')
        pixels = geometry[:, 2].float() / self.config.search_side
        dy = (row - (rows - 1) // 2) * pixels  # `_start` cut the template from there
        dx = (best - row * columns - (columns - 1) // 2) * pixels
        return (torch.stack((dx, dy, score), dim=1),)

    # After the step: what its numbers mean

    def proposal(
        self,
        target: Target[Template, Box],
        row: list[float],
        kept: Tensors,
        index: int,
        image_size: tuple[int, int],
    ) -> Proposal[Box]:
        box, (offset_x, offset_y), (dx, dy, score) = target.state, target.search_offset, row
        box = replace(box, x=box.x + offset_x + dx, y=box.y + offset_y + dy)
        return Proposal(box, score, box)


DECLARATION = Declaration(
    'correlation',
    'Correlation',
    "the first frame's pixels are found again by correlation.",
    f'{__name__}:CorrelationTracker',
    {'compact': Preset(CorrelationConfig(score_midpoint=0.6, score_slope=12.0), 'none', ())},
)


if __name__ == '__main__':
    from tracker_core.media.sources import open_frames

    register(DECLARATION)
    tracker = create_tracker('correlation')
    with open_frames(sys.argv[1]) as video:
        frames = iter(video)
        target = tracker.start(next(frames), Box(*map(float, sys.argv[2].split(','))))
        for image in frames:
            track = tracker.track(image, target)
            print(f'{track.status.name:10} {track.score:.2f} {track.box}')

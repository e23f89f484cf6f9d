# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Random boxes around a box, drawn on the device in fixed shapes.

Boxes are float tensors (N, 4) of x, y, w, h in pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
import math
from typing import Any

import torch
from torch import Tensor

# pixels; no sample is smaller, nor closer than this to the image's size, unless the target is
SMALLEST = 10.0
ROUNDING = 0.01  # pixels by which a side that is held may be off
ROUNDS = (2, 4, 8)  # filtered sampling draws so many times what is still wanted, then gives up


@dataclass(frozen=True)
class Spread:
    """A distribution of boxes around a box.

    Attributes:
        kind: 'gaussian' and 'uniform' scatter around the box, 'whole' over the image.
        shift: Largest shift of the centre in units of the mean of width and height.
        scale: Largest change of size, both sides alike.
        aspect: Largest change of width, with height changed by the inverse.
        overlap: Accepted range of the IoU with the box.
        area: Accepted range of the area relative to the box.
        inside: Keep boxes wholly inside the image (otherwise their centres).
    """

    kind: str
    shift: float
    scale: float
    aspect: float = 1.0
    overlap: tuple[float, float] | None = None
    area: tuple[float, float] | None = None
    inside: bool = False

    def largest(self, box: tuple[float, ...], image: tuple[int, int]) -> tuple[int, int]:
        """Upper bound of the width and height of a sample, in whole pixels."""
        growth = self.scale * self.aspect
        width, height = (
            math.ceil(max(min(max(side * growth, SMALLEST), longest), 1.0))
            for side, longest in (
                (side, limit if is_whole(side, limit) else limit - SMALLEST)
                for side, limit in zip(box[2:], image, strict=True)
            )
        )
        return width, height


REGRESSION = Spread('uniform', 0.3, 1.5, 1.1, overlap=(0.6, 1.0), area=(1.0, 2.0))
POSITIVES = Spread('gaussian', 0.1, 1.2, overlap=(0.7, 1.0))
FIRST_NEGATIVES = Spread('uniform', 1.0, 2.0, 1.1, overlap=(0.0, 0.5))
WHOLE_NEGATIVES = Spread('whole', 0.0, 1.2, 1.1, overlap=(0.0, 0.5))
NEGATIVES = Spread('uniform', 1.5, 1.2, overlap=(0.0, 0.3))


def is_whole(side: Any, limit: Any) -> Any:
    """Whether a side of the target is about as long as the image's; numbers or tensors."""
    return side > limit - SMALLEST + ROUNDING


def bounded(size: Tensor, own: Tensor, limit: Tensor) -> Tensor:
    """Sizes (..., 2) within what samples may have.

    Args:
        size: Widths and heights.
        own: Width and height of the target, like `size`.
        limit: Those of the image, like `size`.
    """
    smallest = torch.where(own < SMALLEST - ROUNDING, 1.0, SMALLEST)
    largest = torch.where(is_whole(own, limit), limit, limit - SMALLEST).clamp(min=1)
    return torch.minimum(torch.maximum(size, smallest), largest)


def search_spread(shift: float, scale: float) -> Spread:
    """Candidates for the target in the next frame."""
    return Spread('gaussian', shift, scale, inside=True)


def search_noise(count: int, random: torch.Generator) -> Tensor:
    """What `search_boxes` scatters candidates by: (count, 3) float64 in [-1, 1], for the centre
    and the size; as `draw` draws it."""
    torch.rand((count, 1), generator=random, dtype=torch.float64)  # of the aspect, not used
    normal = [torch.randn((count, axes), generator=random, dtype=torch.float64) for axes in (2, 1)]
    return (0.5 * torch.cat(normal, dim=1)).clamp(-1, 1)


def search_boxes(box: Tensor, limit: Tensor, shift: Tensor, scale: float, noise: Tensor) -> Tensor:
    """`draw` from a `search_spread` for several targets, its noise given.

    Args:
        box: (N, 4).
        limit: (N, 2) width and height of the image in pixels.
        shift: (N, 1) of the spread.
        scale: Of the spread.
        noise: (N, B, 3) from `search_noise`.

    Returns:
        (N, B, 4).
    """
    reach = (shift * box[:, 2:].mean(dim=1, keepdim=True))[:, None]
    size = box[:, None, 2:] * scale ** noise[..., 2:]
    centre = (box[:, :2] + box[:, 2:] / 2)[:, None] + reach * noise[..., :2]
    limit = limit[:, None]
    size = bounded(size, box[:, None, 2:], limit)
    centre = torch.maximum(torch.minimum(centre, limit - size / 2 - 1), size / 2)
    return torch.cat((centre - size / 2, size), dim=-1)


def overlaps(boxes: Tensor, box: Tensor) -> Tensor:
    """IoU (N,) of boxes (N, 4) with a box (4,) or boxes (N, 4)."""
    corner = torch.maximum(boxes[..., :2], box[..., :2])
    end = torch.minimum(boxes[..., :2] + boxes[..., 2:], box[..., :2] + box[..., 2:])
    shared = (end - corner).clamp(min=0).prod(dim=-1)
    return shared / (boxes[..., 2:].prod(dim=-1) + box[..., 2:].prod(dim=-1) - shared)


def draw(
    spread: Spread, box: Tensor, image: tuple[int, int], count: int, random: torch.Generator
) -> Tensor:
    """Draw boxes without looking at their overlap.

    Args:
        spread: The distribution.
        box: (4,), on the device where the boxes are wanted.
        image: Width and height of the image in pixels.
        count: Number of boxes N.
        random: Generator on the same device.

    Returns:
        (N, 4).
    """
    device, dtype = box.device, box.dtype
    limit = torch.tensor(image, device=device, dtype=dtype)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(shape, generator=random, device=device, dtype=dtype) * 2 - 1

    def noise(*shape: int) -> Tensor:
        if spread.kind != 'gaussian':
            return uniform(*shape)
        normal = torch.randn(shape, generator=random, device=device, dtype=dtype)
        return (0.5 * normal).clamp(-1, 1)

    size = box[2:].expand(count, 2)
    stretch = spread.aspect ** uniform(count, 1)
    size = size * torch.cat((stretch, 1 / stretch), dim=1)
    if spread.kind == 'whole':
        side = int(2 * math.sqrt(count))
        places = torch.randperm(side * side, generator=random, device=device)[:count]
        grid = torch.stack((places % side, places // side), dim=1).to(dtype) / max(side - 1, 1)
        half = box[2:] / 2
        centre = half + grid * (limit - half - 1)
    else:
        centre = box[:2] + box[2:] / 2 + spread.shift * box[2:].mean() * noise(count, 2)
    size = size * spread.scale ** noise(count, 1)
    size = bounded(size, box[2:], limit)
    if spread.inside:
        centre = torch.maximum(torch.minimum(centre, limit - size / 2 - 1), size / 2)
    else:
        centre = torch.minimum(centre.clamp(min=0), limit)
    return torch.cat((centre - size / 2, size), dim=1)


def draw_accepted(
    spread: Spread, box: Tensor, image: tuple[int, int], count: int, random: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draw boxes whose overlap and area lie in the accepted ranges.

    Fewer than wanted may be found (see `ROUNDS`). The rest then repeats those that were found, or
    the box itself where there are none, so that shapes do not depend on luck.

    Args:
        spread: The distribution.
        box: (4,).
        image: Width and height of the image in pixels.
        count: Number of boxes N wanted.
        random: Generator on the box's device.

    Returns:
        Boxes (N, 4), and how many of them were found: an integer tensor of no dimension.
    """
    rounds = [draw(spread, box, image, factor * count, random) for factor in ROUNDS]
    found = torch.zeros((), dtype=torch.long, device=box.device)
    accepted = []
    for factor, boxes in zip(ROUNDS, rounds, strict=True):
        fits = torch.ones(len(boxes), dtype=torch.bool, device=box.device)
        if spread.overlap is not None:
            overlap = overlaps(boxes, box)
            fits &= (overlap >= spread.overlap[0]) & (overlap <= spread.overlap[1])
        if spread.area is not None:
            area = boxes[:, 2:].prod(dim=1) / box[2:].prod()
            fits &= (area >= spread.area[0]) & (area <= spread.area[1])
        allowed = factor * (count - found).clamp(min=0)
        fits &= torch.arange(len(boxes), device=box.device) < allowed
        accepted.append(fits)
        found = found + fits.sum()
    chosen, found = repeat_accepted(torch.cat(accepted), count)
    return torch.where(found > 0, torch.cat(rounds)[chosen], box), found


def repeat_accepted(fits: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Indices (count,) of the first accepted, over and over, and how many different ones."""
    order = torch.argsort((~fits).to(torch.uint8), stable=True)
    found = fits.sum().clamp(max=count)
    return order[torch.arange(count, device=fits.device) % found.clamp(min=1)], found

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""How far away the surfaces are that a depth image shows inside a box."""

from __future__ import annotations

from dataclasses import dataclass
import math

import numpy as np

from tracker_core.boxes import Box
from tracker_core.errors import ImageError

INNER = 0.6  # share of the box's sides that is looked at: its rim shows what is behind
SAMPLES = 48  # along each side of that part at most
FEWEST = 4  # valid samples below which nothing is said
LEAST_VALID = 0.02  # share of the samples that has to be valid
BIN = 0.02  # width of the histogram's bins, of the logarithm of the depth
REACH = 0.07  # half the extent of one surface, of the logarithm of the depth
LEAST_SHARE = 0.1  # of the valid samples that makes a surface
MOST_SURFACES = 5
FRONT_SHARE = 0.25  # of the valid samples that the nearest surface needs to be the target


@dataclass(frozen=True, eq=False)
class DepthImage:
    """A depth image whose pixels lie where those of the colour image do.

    Attributes:
        values: (H, W) uint16 or float32 of any byte order: z, not the distance along the ray.
            Zero, negative and not finite values mean that there is none.
        unit: Metres of a value of one.

    Raises:
        ImageError: Another shape or type.
    """

    values: np.ndarray
    unit: float = 1.0

    def __post_init__(self) -> None:
        kind = self.values.dtype.kind + str(self.values.dtype.itemsize)
        if self.values.ndim != 2 or not self.values.size or kind not in ('u2', 'f4', 'f8'):
            raise ImageError(
                f'a depth image is (H, W) of uint16 or float32, not {self.values.shape} of '
                f'{self.values.dtype}'
            )

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.values.shape[1], self.values.shape[0]


@dataclass(frozen=True)
class Surface:
    """What a part of the samples in a box agrees on.

    Attributes:
        z: Its depth in metres, the median.
        spread: Standard deviation of its samples, metres.
        share: Of the valid samples.
    """

    z: float
    spread: float
    share: float


def surfaces(image: DepthImage, box: Box, image_size: tuple[int, int]) -> list[Surface]:
    """The surfaces that are seen in the inner part of a box, nearest first.

    The samples' logarithms fill a histogram, as errors of depth grow with it. Its highest peak and
    what lies within `REACH` of it is a surface; then the next highest of the rest.

    Args:
        image: The depth.
        box: In pixels of the colour image.
        image_size: Width and height of the colour image; the depth image may be larger or smaller.

    Returns:
        Empty where there are too few valid values.
    """
    samples = _samples(image, box, image_size)
    z = samples[np.isfinite(samples) & (samples > 0)]
    if len(z) < max(FEWEST, LEAST_VALID * len(samples)):
        return []
    logs = np.log(z)
    found: list[Surface] = []
    least = LEAST_SHARE * len(z)
    while len(logs) >= max(least, 1) and len(found) < MOST_SURFACES:
        low = logs.min()
        counts = np.bincount(((logs - low) / BIN).astype(int))
        peak = low + (np.convolve(counts, (1, 2, 3, 2, 1), 'same').argmax() + 0.5) * BIN
        is_of_it = np.abs(logs - peak) <= REACH
        part = np.exp(logs[is_of_it])
        if len(part) < least:
            break
        middle = float(np.median(part))
        spread = 1.4826 * float(np.median(np.abs(part - middle)))
        found.append(Surface(middle, spread, len(part) / len(z)))
        logs = logs[~is_of_it]
    return sorted(found, key=lambda surface: surface.z)


def front(found: list[Surface]) -> Surface:
    """Of what is seen in a box for the first time, the target: the nearest surface of some size,
    since a box holds its object and what is behind it.

    Args:
        found: Not empty, nearest first.
    """
    large = (surface for surface in found if surface.share >= FRONT_SHARE)
    return next(large, max(found, key=lambda surface: surface.share))


def _samples(image: DepthImage, box: Box, image_size: tuple[int, int]) -> np.ndarray:
    """(N,) float64 metres of the box's inner part, at most `SAMPLES` squared."""
    (width, height), values = image.size, image.values
    scale_x, scale_y = width / image_size[0], height / image_size[1]
    rows = _picks(box.cy * scale_y, box.h * scale_y * INNER, height)
    columns = _picks(box.cx * scale_x, box.w * scale_x * INNER, width)
    with np.errstate(invalid='ignore', over='ignore'):
        return values[rows, columns].astype(np.float64).ravel() * image.unit


def _picks(centre: float, extent: float, limit: int) -> slice:
    """Indices of pixels around a centre, at least one where it lies in the image."""
    begin = min(max(math.floor(centre - extent / 2), 0), limit)
    end = min(max(math.ceil(centre + extent / 2), 0), limit)
    return slice(begin, end, max((end - begin) // SAMPLES, 1))

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The box: where a target is, in continuous pixel coordinates."""

from __future__ import annotations

from dataclasses import dataclass
import math

import numpy as np

from tracker_core.errors import BoxError


@dataclass(frozen=True)
class Box:
    """An axis-aligned box in pixels of the full image.

    Coordinates are continuous: the image covers [0, width] x [0, height] and the top-left pixel
    covers [0, 1] x [0, 1]. A box may reach over the image's border.

    Attributes:
        x: Left edge.
        y: Top edge.
        w: Width, greater than zero.
        h: Height, greater than zero.

    Raises:
        BoxError: A number is not finite, or the box is empty.
    """

    x: float
    y: float
    w: float
    h: float

    def __post_init__(self) -> None:
        for name in ('x', 'y', 'w', 'h'):
            try:
                value = float(getattr(self, name))
            except (TypeError, ValueError):
                raise BoxError(
                    f'box {name} must be a number, not {getattr(self, name)!r}'
                ) from None
            if not math.isfinite(value):
                raise BoxError(f'box {name} is {value}; all four numbers must be finite')
            object.__setattr__(self, name, value)
        if self.w <= 0 or self.h <= 0:
            raise BoxError(
                f'box is empty: width {self.w:g}, height {self.h:g}; both must be above zero'
            )

    def __str__(self) -> str:
        return f'box of {self.w:g} x {self.h:g} pixels at ({self.x:g}, {self.y:g})'

    @classmethod
    def from_center(cls, cx: float, cy: float, w: float, h: float) -> Box:
        return cls(cx - w / 2, cy - h / 2, w, h)

    @property
    def cx(self) -> float:
        return self.x + self.w / 2

    @property
    def cy(self) -> float:
        return self.y + self.h / 2

    @property
    def x2(self) -> float:
        return self.x + self.w

    @property
    def y2(self) -> float:
        return self.y + self.h

    @property
    def area(self) -> float:
        return self.w * self.h

    def as_xywh(self) -> tuple[float, float, float, float]:
        return self.x, self.y, self.w, self.h

    def intersection(self, other: Box) -> float:
        """Area in square pixels that both boxes cover."""
        width = min(self.x2, other.x2) - max(self.x, other.x)
        height = min(self.y2, other.y2) - max(self.y, other.y)
        return max(width, 0.0) * max(height, 0.0)

    def iou(self, other: Box) -> float:
        """Intersection over union, in [0, 1]."""
        shared = self.intersection(other)
        return shared / (self.area + other.area - shared)


def startable(box: Box) -> Box:
    """The box, if there can be an object in it.

    Raises:
        BoxError: It is less than a pixel wide or high, as a box in shares of the image is.
    """
    if min(box.w, box.h) < 1:
        raise BoxError(
            f'the {box} is smaller than a pixel; give it in pixels of the image, not in shares '
            'of its width and height (0 to 1)'
        )
    return box


def is_box(rows: np.ndarray) -> np.ndarray:
    """Which rows hold a box: finite, with an area; (N,) bool."""
    kept: np.ndarray = np.isfinite(rows).all(axis=1) & (rows[:, 2] > 0) & (rows[:, 3] > 0)
    return kept

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Where things lie in a crop: matrices, boxes, outlines, and the resampling that follows them.

Matrices are (2, 3) and map continuous image coordinates (the top-left pixel covers [0, 1] x
[0, 1]) to continuous crop coordinates. Boxes are (4,) float64 arrays x, y, w, h in the same
coordinates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
import math

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from tracker_core.data.arrays import Floats, Image

Point = Sequence[float] | Floats  # x, y


def view_matrix(
    center: Point,
    target: Point,
    scale: float,
    angle: float = 0.0,
    stretch: float = 1.0,
    flip: bool = False,
) -> Floats:
    """A similarity with a stretch that brings one point of the image to one point of the crop.

    Args:
        center: Point (x, y) in the image.
        target: Where it comes to lie in the crop.
        scale: Crop pixels per image pixel.
        angle: Rotation in radians, from x towards y.
        stretch: The crop gets wider by its square root and lower by the same.
        flip: Mirror left and right.
    """
    cos, sin = math.cos(angle), math.sin(angle)
    sx = scale * math.sqrt(stretch) * (-1.0 if flip else 1.0)
    sy = scale / math.sqrt(stretch)
    linear = np.array([[cos, -sin], [sin, cos]]) @ np.array([[sx, 0.0], [0.0, sy]])
    offset = np.asarray(target) - linear @ np.asarray(center)
    return np.column_stack([linear, offset])


def center_of(box: Floats) -> tuple[float, float]:
    """x and y of a box's middle."""
    return float(box[0] + box[2] / 2), float(box[1] + box[3] / 2)


def mean_side(box: Floats, context: float) -> float:
    """Geometric mean of a box's sides; with context, of the sides that a square with the same
    surroundings would have."""
    margin = context * (box[2] + box[3])
    return float(np.sqrt((box[2] + margin) * (box[3] + margin))) / (1 + 2 * context)


def map_points(points: Floats, matrix: Floats) -> Floats:
    """Points (N, 2) through the matrix."""
    return points @ matrix[:, :2].T + matrix[:, 2]


def map_box(box: Floats, matrix: Floats) -> Floats:
    """The box around the mapped ellipse that fills `box`: exact without rotation, tight for round
    things with it."""
    x, y, w, h = box
    center = matrix[:, :2] @ (x + w / 2, y + h / 2) + matrix[:, 2]
    half = np.linalg.norm(matrix[:, :2] * (w / 2, h / 2), axis=1)
    return np.concatenate([center - half, 2 * half])


def ellipse(box: Floats, corners: int = 24) -> Floats:
    """Points (corners, 2) on the ellipse that fills a box."""
    angles = np.arange(corners) * (2 * math.pi / corners)
    half = box[2:] / 2
    points: Floats = box[:2] + half + half * np.column_stack([np.cos(angles), np.sin(angles)])
    return points


def bounds(points: Floats) -> Floats:
    """The box around points (N, 2)."""
    low, high = points.min(axis=0), points.max(axis=0)
    return np.concatenate([low, high - low])


def pyramid(image: Image, levels: int = 3) -> list[Image]:
    """The image and its halvings by area, so that a strongly reduced crop does not alias."""
    result = [image]
    while len(result) < levels and min(result[-1].shape[:2]) >= 32:
        height, width = result[-1].shape[:2]
        half = cv2.resize(result[-1], (width // 2, height // 2), interpolation=cv2.INTER_AREA)
        result.append(np.asarray(half, np.uint8))
    return result


def warp(
    levels: Sequence[Image],
    matrix: Floats,
    size: int,
    fill: Sequence[float] | Floats | None = None,
) -> Image:
    """Resample a crop.

    Args:
        levels: The image as made by `pyramid`.
        matrix: From continuous image coordinates to continuous crop coordinates.
        size: Side of the crop in pixels.
        fill: Colour outside the image; None repeats the border.

    Returns:
        (size, size, 3) uint8.
    """
    scale = math.sqrt(abs(np.linalg.det(matrix[:, :2])))
    level = min(max(math.floor(math.log2(1.0 / scale)), 0), len(levels) - 1)
    image = levels[level]
    ratio = np.array([levels[0].shape[1] / image.shape[1], levels[0].shape[0] / image.shape[0]])
    linear = matrix[:, :2] * ratio
    offset = matrix[:, 2] + linear @ (0.5, 0.5) - 0.5  # OpenCV counts from pixel centres
    border = cv2.BORDER_REPLICATE if fill is None else cv2.BORDER_CONSTANT
    crop = cv2.warpAffine(
        image,
        np.column_stack([linear, offset]),
        (size, size),
        flags=cv2.INTER_LINEAR,
        borderMode=border,
        borderValue=(0, 0, 0) if fill is None else tuple(float(c) for c in fill),
    )
    return np.asarray(crop, np.uint8)


@dataclass(frozen=True)
class Bend:
    """A smooth displacement of a crop, as of a body that moves its limbs or turns.

    Attributes:
        field: (size, size, 2) float32: where in the old crop, relative to its own place, a pixel
            of the new one comes from.
    """

    field: NDArray[np.float32]

    @classmethod
    def draw(cls, rng: Generator, size: int, strength: float, knots: int = 6) -> Bend:
        """Random displacements of `strength` pixels (standard deviation) at `knots` x `knots`
        places, smooth between them."""
        coarse = rng.normal(0, strength, (knots, knots, 2)).astype(np.float32)
        smooth = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)
        return cls(np.asarray(smooth, np.float32))

    def image(self, image: Image) -> Image:
        """The crop, displaced."""
        size = image.shape[0]
        grid = np.arange(size, dtype=np.float32)
        bent = cv2.remap(
            image,
            self.field[:, :, 0] + grid,
            self.field[:, :, 1] + grid[:, None],
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        return np.asarray(bent, np.uint8)

    def points(self, points: Floats) -> Floats:
        """Where points (N, 2) of the old crop come to lie."""
        last = self.field.shape[0] - 1
        moved = points
        for _ in range(4):  # the field is weak and smooth, so this contracts
            x, y = np.clip(moved, 0, last).astype(int).T
            moved = points - self.field[y, x]
        return moved

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Changes of a view: geometry with exact boxes, light, sharpness, and things pasted in.

Matrices are (2, 3) and map continuous image coordinates (the top-left pixel covers [0, 1] x
[0, 1]) to continuous crop coordinates. Boxes are (4,) float64 arrays x, y, w, h in the same
coordinates. Images are (H, W, 3) uint8 RGB.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
import math

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Floats = NDArray[np.float64]

LUMA = np.array([0.299, 0.587, 0.114])


def view_matrix(
    center: tuple[float, float],
    target: tuple[float, float],
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
    return box[:2] + half + half * np.column_stack([np.cos(angles), np.sin(angles)])


def bounds(points: Floats) -> Floats:
    """The box around points (N, 2)."""
    low, high = points.min(axis=0), points.max(axis=0)
    return np.concatenate([low, high - low])


def pyramid(image: Image, levels: int = 3) -> list[Image]:
    """The image and its halvings by area, so that a strongly reduced crop does not alias."""
    result = [image]
    while len(result) < levels and min(result[-1].shape[:2]) >= 32:
        height, width = result[-1].shape[:2]
        result.append(
            cv2.resize(result[-1], (width // 2, height // 2), interpolation=cv2.INTER_AREA)
        )
    return result


def warp(
    levels: Sequence[Image], matrix: Floats, size: int, fill: Sequence[float] | None = None
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
    return cv2.warpAffine(
        image,
        np.column_stack([linear, offset]),
        (size, size),
        flags=cv2.INTER_LINEAR,
        borderMode=border,
        borderValue=(0, 0, 0) if fill is None else tuple(float(c) for c in fill),
    )


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
        return cls(cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC))

    def image(self, image: Image) -> Image:
        """The crop, displaced."""
        size = image.shape[0]
        grid = np.arange(size, dtype=np.float32)
        return cv2.remap(
            image,
            self.field[:, :, 0] + grid,
            self.field[:, :, 1] + grid[:, None],
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )

    def points(self, points: Floats) -> Floats:
        """Where points (N, 2) of the old crop come to lie."""
        last = self.field.shape[0] - 1
        moved = points
        for _ in range(4):  # the field is weak and smooth, so this contracts
            x, y = np.clip(moved, 0, last).astype(int).T
            moved = points - self.field[y, x]
        return moved


def blob(rng: Generator, roughness: float = 0.25, corners: int = 24) -> Floats:
    """A random star-shaped outline (corners, 2) that touches all four sides of the unit square."""
    angles = np.arange(corners) * (2 * math.pi / corners)
    radius = np.ones(corners)
    for harmonic in (2, 3, 4, 5):
        radius += (
            roughness
            * rng.normal()
            / harmonic
            * np.cos(harmonic * angles + rng.uniform(0, 2 * math.pi))
        )
    radius = np.maximum(radius, 0.3)
    outline = np.column_stack([radius * np.cos(angles), radius * np.sin(angles)])
    low, high = outline.min(axis=0), outline.max(axis=0)
    return (outline - low) / (high - low)


def outline_mask(outline: Floats, size: int, softness: float = 1.5) -> NDArray[np.float32]:
    """Coverage (size, size, 1) in [0, 1] of an outline (N, 2) in crop coordinates, with a soft
    edge."""
    mask = np.zeros((size, size), np.uint8)
    points = np.round((outline - 0.5) * 16).astype(np.int32)
    cv2.fillPoly(mask, [points], 255, lineType=cv2.LINE_AA, shift=4)
    if softness > 0:
        mask = cv2.GaussianBlur(mask, (0, 0), softness)
    return mask[:, :, None].astype(np.float32) / 255.0


def blend(below: Image, above: Image, mask: NDArray[np.float32]) -> Image:
    """`above` where the mask is 1, `below` where it is 0."""
    mixed = below + mask * (above.astype(np.float32) - below)
    return (mixed + 0.5).astype(np.uint8)


def change_colors(
    rng: Generator, image: Image, strength: float = 1.0, gray: bool = False
) -> Image:
    """Random brightness, contrast, saturation, white balance and gamma.

    All but gamma are one linear map of the colours.
    """
    saturation = 0.0 if gray else math.exp(strength * rng.normal(0, 0.25))
    contrast = math.exp(strength * rng.normal(0, 0.2))
    gains = np.exp(strength * rng.normal(0, 0.0 if gray else 0.06, 3))
    shift = strength * rng.normal(0, 18.0)
    colors = saturation * np.eye(3) + (1.0 - saturation) * LUMA[None, :]
    colors = contrast * gains[:, None] * colors
    offset = 128.0 * (1.0 - contrast) + shift
    image = cv2.transform(image, np.column_stack([colors, np.full(3, offset)]))
    if rng.random() < 0.3 * strength:
        gamma = math.exp(rng.normal(0, 0.3))
        table = (255.0 * (np.arange(256) / 255.0) ** gamma + 0.5).astype(np.uint8)
        image = cv2.LUT(image, table)
    return image


def shade(rng: Generator, image: Image) -> Image:
    """A smooth change of light across the image, as from a shadow."""
    corners = np.exp(rng.normal(0, 0.35, (2, 2))).astype(np.float32)
    light = cv2.resize(corners, (image.shape[1], image.shape[0]), interpolation=cv2.INTER_LINEAR)
    return np.clip(image * light[:, :, None], 0, 255).astype(np.uint8)


def soften(rng: Generator, image: Image) -> Image:
    """Blur by defocus, by motion, or by a coarser resolution."""
    kind = rng.integers(3)
    if kind == 0:
        return cv2.GaussianBlur(image, (0, 0), rng.uniform(0.6, 2.0))
    if kind == 1:
        length = rng.uniform(3.0, 12.0)
        angle = rng.uniform(0, math.pi)
        side = int(length) | 1
        kernel = np.zeros((side, side), np.float32)
        dx, dy = (math.cos(angle) * side / 2, math.sin(angle) * side / 2)
        middle = side / 2 - 0.5
        ends = [
            (round((middle - dx) * 16), round((middle - dy) * 16)),
            (round((middle + dx) * 16), round((middle + dy) * 16)),
        ]
        cv2.line(kernel, ends[0], ends[1], 1.0, 1, cv2.LINE_8, 4)
        return cv2.filter2D(image, -1, kernel / max(kernel.sum(), 1.0))
    height, width = image.shape[:2]
    factor = rng.uniform(1.5, 3.5)
    small = cv2.resize(
        image, (int(width / factor), int(height / factor)), interpolation=cv2.INTER_AREA
    )
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)


def add_noise(rng: Generator, image: Image) -> Image:
    """Sensor noise, the same in all channels."""
    noise = rng.normal(0, rng.uniform(3.0, 12.0), image.shape[:2]).astype(np.float32)
    return np.clip(image + noise[:, :, None], 0, 255).astype(np.uint8)


def change_look(rng: Generator, image: Image, strength: float = 1.0, gray: bool = False) -> Image:
    """Colours, light, sharpness and noise together; geometry stays.

    Args:
        rng: Source of chance.
        image: (H, W, 3) uint8 RGB.
        strength: 0 leaves the image as it is, 1 is what training uses on the search region.
        gray: Take the colour away.
    """
    if strength > 0 or gray:
        image = change_colors(rng, image, strength, gray)
    if rng.random() < 0.25 * strength:
        image = shade(rng, image)
    if rng.random() < 0.3 * strength:
        image = soften(rng, image)
    if rng.random() < 0.2 * strength:
        image = add_noise(rng, image)
    return image

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Changes of how a crop looks: colour, light, sharpness and noise; geometry stays."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.random import Generator

from tracker_core.data.arrays import Image

LUMA = np.array([0.299, 0.587, 0.114])
DIAGONAL = np.ones(3) / math.sqrt(3)  # of the cube of colours; hues lie around it


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
    linear = np.column_stack([colors, np.full(3, offset)])
    image = np.asarray(cv2.transform(image, linear), np.uint8)
    if rng.random() < 0.3 * strength:
        gamma = math.exp(rng.normal(0, 0.3))
        table = (255.0 * (np.arange(256) / 255.0) ** gamma + 0.5).astype(np.uint8)
        image = np.asarray(cv2.LUT(image, table), np.uint8)
    return image


def jitter_colors(
    rng: Generator, image: Image, brightness: float, color: float = 0.0, gray: bool = False
) -> Image:
    """Mild changes of colour, as the papers have them: one linear map of the colours.

    Args:
        rng: Source of chance.
        image: (H, W, 3) uint8 RGB.
        brightness: It is multiplied by 1 - brightness to 1 + brightness.
        color: So are contrast and saturation, and the hue is turned by up to this share of a whole
            turn.
        gray: Take the colour away.
    """
    light = 1 + rng.uniform(-brightness, brightness)
    contrast, saturation = 1 + rng.uniform(-color, color, 2)
    angle = 2 * math.pi * rng.uniform(-color, color)
    if not (brightness or color or gray):
        return image
    saturation = 0.0 if gray else saturation
    x, y, z = DIAGONAL
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    hue = (  # the rotation about the diagonal (Rodrigues)
        math.cos(angle) * np.eye(3)
        + math.sin(angle) * cross
        + (1 - math.cos(angle)) * np.outer(DIAGONAL, DIAGONAL)
    )
    colors = saturation * hue + (1 - saturation) * LUMA[None, :]
    mean = float(LUMA @ image.reshape(-1, 3).mean(axis=0))
    linear = np.column_stack(
        [light * contrast * colors, np.full(3, light * (1 - contrast) * mean)]
    )
    return np.asarray(cv2.transform(image, linear), np.uint8)


def shade(rng: Generator, image: Image) -> Image:
    """A smooth change of light across the image, as from a shadow."""
    corners = np.exp(rng.normal(0, 0.35, (2, 2))).astype(np.float32)
    light = cv2.resize(corners, (image.shape[1], image.shape[0]), interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.clip(image * light[:, :, None], 0, 255), np.uint8)


def soften(rng: Generator, image: Image) -> Image:
    """Blur by defocus, by motion, or by a coarser resolution."""
    change = (defocus, blur_by_motion, coarsen)[rng.integers(3)]
    return change(rng, image)


def defocus(rng: Generator, image: Image) -> Image:
    """The same blur in all directions."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.6, 2.0)), np.uint8)


def blur_by_motion(rng: Generator, image: Image) -> Image:
    """Blur along a line of up to 12 pixels."""
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
    return np.asarray(cv2.filter2D(image, -1, kernel / max(kernel.sum(), 1.0)), np.uint8)


def coarsen(rng: Generator, image: Image) -> Image:
    """A coarser resolution."""
    height, width = image.shape[:2]
    factor = rng.uniform(1.5, 3.5)
    small = cv2.resize(
        image, (int(width / factor), int(height / factor)), interpolation=cv2.INTER_AREA
    )
    coarse = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(coarse, np.uint8)


def add_noise(rng: Generator, image: Image) -> Image:
    """Sensor noise, the same in all channels."""
    noise = rng.normal(0, rng.uniform(3.0, 12.0), image.shape[:2]).astype(np.float32)
    return np.asarray(np.clip(image + noise[:, :, None], 0, 255), np.uint8)


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

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Things cut out along random outlines and put on other photos."""

from __future__ import annotations

from collections.abc import Sequence
import math

import cv2
import numpy as np
from numpy.random import Generator

from tracker_core.data.arrays import Floats, Image, Mask
from tracker_core.data.geometry import center_of, map_points, view_matrix, warp
from tracker_core.data.photos import Photo
from tracker_core.data.regions import draw_region


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
    unit: Floats = (outline - low) / (high - low)
    return unit


def outline_mask(outline: Sequence[Floats], size: int, softness: float = 1.5) -> Mask:
    """Coverage (size, size, 1) in [0, 1] of an outline, polygons (N, 2) in crop coordinates, with
    a soft edge."""
    mask = np.zeros((size, size), np.uint8)
    polygons = [np.round((each - 0.5) * 16).astype(np.int32) for each in outline]
    cv2.fillPoly(mask, polygons, 255, lineType=cv2.LINE_AA, shift=4)
    if softness > 0:
        mask = np.asarray(cv2.GaussianBlur(mask, (0, 0), softness), np.uint8)
    return mask[:, :, None].astype(np.float32) / 255.0


def blend(below: Image, above: Image, mask: Mask) -> Image:
    """`above` where the mask is 1, `below` where it is 0."""
    mixed = below + mask * (above.astype(np.float32) - below)
    return (mixed + 0.5).astype(np.uint8)


def background(rng: Generator, photo: Photo, size: int) -> Image:
    """A random view of a photo."""
    width, height = photo.size
    scale = size / min(width, height) * np.exp(rng.uniform(0, np.log(2.0)))
    half = size / 2 / scale
    center = (
        rng.uniform(min(half, width / 2), max(width - half, width / 2)),
        rng.uniform(min(half, height / 2), max(height - half, height / 2)),
    )
    return warp(
        photo.levels,
        view_matrix(center, (size / 2, size / 2), scale, flip=rng.random() < 0.5),
        size,
    )


def put_object(rng: Generator, image: Image, center: Floats, side: float, photo: Photo) -> Image:
    """Put a cut-out of a photo, an annotated object or any region, at a place in a crop."""
    annotated = len(photo.boxes) > 0 and rng.random() < 0.7
    box = photo.boxes[rng.integers(len(photo.boxes))] if annotated else draw_region(rng, photo, 2)
    matrix = view_matrix(
        center_of(box),
        center,
        side / np.sqrt(box[2] * box[3]),
        angle=rng.normal(0, 0.3),
        flip=rng.random() < 0.5,
    )
    outline = map_points(box[:2] + blob(rng) * box[2:], matrix)
    size = image.shape[0]
    return blend(image, warp(photo.levels, matrix, size), outline_mask([outline], size))


def put_flat(rng: Generator, image: Image, center: Floats, side: float) -> Image:
    """Put something of a single colour at a place in a crop."""
    matrix = view_matrix((0.5, 0.5), center, side)
    color = np.full_like(image, 0) + rng.integers(0, 256, 3).astype(np.uint8)
    return blend(image, color, outline_mask([map_points(blob(rng), matrix)], image.shape[0]))

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Photos in memory, prepared so that crops of them are cut fast and without aliasing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from tracker_core.data.arrays import Floats, Gray, Image
from tracker_core.data.geometry import pyramid
from tracker_core.errors import ImageError
from tracker_core.media.folders import is_image_name, list_images, read_image

MASKS = 'masks'  # folder of masks beside images


@dataclass(eq=False)
class Photo:
    """One image in memory.

    Attributes:
        levels: (H, W, 3) uint8 RGB and its halvings.
        group: The photo's top folder; groups are sampled alike, however large.
        boxes: (N, 4) float annotated boxes.
        edges: Integral image of the gradient strength at a quarter of the resolution.
        mean: (3,) mean colour.
        objects: (H, W) uint8 which object each pixel belongs to, 0 being none; None if unknown.
    """

    levels: list[Image]
    group: str
    boxes: Floats
    edges: Floats
    mean: Floats
    objects: Gray | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.levels[0].shape[1], self.levels[0].shape[0]


def make_photo(
    image: Image, group: str = '', boxes: Floats | None = None, objects: Gray | None = None
) -> Photo:
    """Prepare one (H, W, 3) uint8 RGB image for sampling."""
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(gray, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    strength = np.abs(cv2.Sobel(small, cv2.CV_32F, 1, 0)) + np.abs(
        cv2.Sobel(small, cv2.CV_32F, 0, 1)
    )
    return Photo(
        pyramid(image),
        group,
        np.zeros((0, 4)) if boxes is None else np.asarray(boxes, np.float64).reshape(-1, 4),
        np.asarray(cv2.integral(np.minimum(strength, 200.0)), np.float64),
        image.reshape(-1, 3).mean(axis=0),
        objects,
    )


def list_photos(root: Path) -> dict[Path, list[Path]]:
    """The images in a folder and its subfolders, by the folder they are in, each in order (see
    `list_images`); hidden folders and those of masks do not count."""
    parents = [path.parent for path in sorted(root.rglob('*')) if is_image_name(path.name)]
    return {
        parent: list_images(parent)
        for parent in dict.fromkeys(parents)
        if not any(
            part.startswith('.') or part == MASKS for part in parent.relative_to(root).parts
        )
    }


def read_photo(path: Path, longest_side: int) -> tuple[Image, float]:
    """An image, reduced to `longest_side` pixels if it is larger, and the factor of that.

    Raises:
        ImageError: It cannot be read.
    """
    image = read_image(path)
    factor = min(longest_side / max(image.shape[:2]), 1.0)
    if factor < 1:
        image = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    return np.asarray(image, np.uint8), factor


def read_objects(path: Path, size: tuple[int, int]) -> Gray | None:
    """Which object each pixel of an image belongs to, from `masks/NAME.png` beside it.

    Args:
        path: The image.
        size: Width and height that the image has in memory.

    Returns:
        (height, width) uint8, or None if there is no such file.

    Raises:
        ImageError: The file cannot be read, or holds no gray picture of 8 bits.
    """
    mask = path.parent / MASKS / f'{path.stem}.png'
    if not mask.is_file():
        return None
    objects = cv2.imread(str(mask), cv2.IMREAD_UNCHANGED)
    if objects is None or objects.ndim != 2 or objects.dtype != np.uint8:
        raise ImageError(f'{mask} is no gray picture of 8 bits, one number an object')
    return np.asarray(cv2.resize(objects, size, interpolation=cv2.INTER_NEAREST), np.uint8)

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Things of a rendered scene on its frames: where they reach, and their paint in a pose.

A pose is a (2, 3) affine map from a thing's own units to pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from tracker_core.boxes import Box
from tracker_core.media.textures import REACH, Thing

Pose = Callable[[float], np.ndarray]  # the pose at a time in frames


def bound_of(outline: np.ndarray, pose: np.ndarray) -> Box:
    """The bound of an outline (n, 2) in a pose."""
    points = outline @ pose[:, :2].T + pose[:, 2]
    (x, y), (x2, y2) = points.min(0), points.max(0)
    return Box(x, y, x2 - x, y2 - y)


def smooth(x: float) -> float:
    """From 0 to 1, without a kink where it begins and ends."""
    x = min(max(x, 0.0), 1.0)
    return x * x * (3 - 2 * x)


def at_pixel_centres(affine: np.ndarray) -> np.ndarray:
    """An affine map of continuous coordinates as OpenCV wants it, where pixel i is at i."""
    return np.column_stack([affine[:, :2], affine @ (0.5, 0.5, 1) - 0.5])


def touched(poses: Sequence[np.ndarray], size: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns of the image that a thing in any of the poses may touch."""
    square = REACH * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    points = np.concatenate([square @ pose[:, :2].T + pose[:, 2] for pose in poses])
    low = np.clip(np.floor(points.min(0)), 0, size).astype(int)
    high = np.clip(np.ceil(points.max(0)), 0, size).astype(int)
    return slice(low[1], high[1]), slice(low[0], high[0])


def warp(thing: Thing, pose: np.ndarray, window: tuple[slice, slice]) -> np.ndarray:
    """Paint of a thing in a pose within a window of the image, (h, w, 4) float32."""
    rows, columns = window
    if rows.stop <= rows.start or columns.stop <= columns.start:
        return np.zeros((rows.stop - rows.start, columns.stop - columns.start, 4), np.float32)
    texture = thing.patch
    side = 2 * REACH * np.linalg.norm(pose[:, :2], axis=0).max()  # of the patch, in pixels
    while texture.shape[0] > 2 * side and texture.shape[0] > 8:  # too fine to be sampled
        texture = cv2.resize(texture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    linear = pose[:, :2] * (2 * REACH / texture.shape[0])
    corner = pose @ (-REACH, -REACH, 1) - (columns.start, rows.start)
    matrix = at_pixel_centres(np.column_stack([linear, corner]))
    return cv2.warpAffine(texture, matrix, (columns.stop - columns.start, rows.stop - rows.start))


def draw(frame: np.ndarray, thing: Thing, pose: Pose, t: float) -> None:
    """Draw a thing as a shutter sees it that is open for half a frame around time t."""
    way = np.abs(pose(t + 0.25) - pose(t - 0.25))[:, 2].max()
    exposures = min(max(round(way), 1), 12)
    poses = [pose(t + (k + 0.5) / (2 * exposures) - 0.25) for k in range(exposures)]
    window = touched(poses, frame.shape[1::-1])
    patch = sum(warp(thing, each, window) for each in poses) / exposures
    frame[window] = frame[window] * (1 - patch[..., 3:]) + patch[..., :3]

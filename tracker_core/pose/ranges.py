# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""How far away the object in a box is: by depth, by its known size, or by where it stands.

A range is the distance from the camera along the ray through the box's centre.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
import math

import numpy as np

from tracker_core.boxes import Box
from tracker_core.errors import ParameterError
from tracker_core.pose.camera import CameraModel
from tracker_core.pose.depth import Surface

EDGE = 1.5  # pixels from the image's border within which a box's edge may not be the object's


class Source(IntEnum):
    """What told a range, the most trusted first."""

    DEPTH = 1
    SIZE = 2
    GROUND = 3
    NONE = 4


@dataclass(frozen=True)
class Range:
    """Metres along the ray, and one standard deviation of it."""

    distance: float
    deviation: float
    source: Source


@dataclass(frozen=True, eq=False)
class Ground:
    """The plane that the objects stand on, in the camera's optical frame.

    Attributes:
        up: (3,) float64, a unit vector away from it.
        height: Of the camera above it, metres.

    Raises:
        ParameterError: The camera is not above it, or `up` has no direction.
    """

    up: np.ndarray
    height: float

    def __post_init__(self) -> None:
        length = float(np.linalg.norm(self.up))
        if not (math.isfinite(length) and length > 1e-6 and 0 < self.height < math.inf):
            raise ParameterError(
                f'the camera has to be above the ground, not at {self.height:g} m'
            )
        object.__setattr__(self, 'up', np.asarray(self.up, np.float64) / length)

    @classmethod
    def below(cls, height: float, pitch: float) -> Ground:
        """Below a camera that is level but for its pitch, in radians, positive when it looks
        down."""
        return cls(np.array([0.0, -math.cos(pitch), -math.sin(pitch)]), height)


def by_depth(surface: Surface, ray: np.ndarray, error: float) -> Range:
    """By a surface in the depth image.

    Args:
        surface: That of the target.
        ray: (3,) unit vector through the box's centre.
        error: Of the camera, as a share of the depth.
    """
    distance = surface.z / ray[2]
    # How deep the object is behind its surface is not known: its relief tells something.
    deviation = math.hypot(error * surface.z, surface.spread) / ray[2]
    return Range(float(distance), float(deviation), Source.DEPTH)


def by_size(
    camera: CameraModel, box: Box, width: float, height: float, error: float
) -> Range | None:
    """By how large an object of known size appears; it faces the camera.

    Args:
        camera: That sees it.
        box: Around it.
        width, height: Of the object, metres; 0 where not known. The height is preferred, since
            what turns about the vertical keeps it.
        error: Of the box's edges as a share of its size.

    Returns:
        None where the size is not known, or the box is cut off by the image's border.
    """
    columns, rows = camera.image_size
    is_whole = (
        box.x > EDGE and box.x2 < columns - EDGE,
        box.y > EDGE and box.y2 < rows - EDGE,
    )
    middles = {
        1: [(box.cx, box.y), (box.cx, box.y2)],
        0: [(box.x, box.cy), (box.x2, box.cy)],
    }
    for axis, size in ((1, height), (0, width)):
        if not (size and is_whole[axis]):
            continue
        rays = camera.rays(np.array([*middles[axis], (box.cx, box.cy)]))
        first, last, centre = rays / rays[:, 2:]  # on the plane z = 1
        extent = abs(last[axis] - first[axis])
        if not (np.isfinite(rays).all() and extent > 0):
            continue
        distance = float(size / extent * np.linalg.norm(centre))
        return Range(distance, math.sqrt(2) * error * distance, Source.SIZE)
    return None


def by_ground(camera: CameraModel, box: Box, ground: Ground, error: float) -> Range | None:
    """By where the lower edge of the box meets the ground.

    Args:
        camera: That sees it.
        box: Around an object that stands on the ground.
        ground: Of the camera.
        error: Of the box's edges as a share of its size.

    Returns:
        None where the edge is at the image's border or does not look down, by its error.
    """
    if box.y2 >= camera.image_size[1] - EDGE:
        return None
    shift = error * box.h
    feet = [(box.cx, box.y2 + way * shift) for way in (0, -1, 1)]
    rays = camera.rays(np.array([*feet, (box.cx, box.cy)]))
    down = -rays[:3] @ ground.up
    if not (np.isfinite(rays).all() and (down > 0).all()):
        return None
    centre = rays[3]
    distances = []
    for ray, share in zip(rays[:3], down, strict=True):
        foot = ray * (ground.height / share)
        # Where the ray through the centre passes the vertical above the foot
        across = foot - (foot @ ground.up) * ground.up
        level = centre - (centre @ ground.up) * ground.up
        distances.append(float(np.linalg.norm(across) / np.linalg.norm(level)))
    middle, far, near = distances
    return Range(middle, (far - near) / 2, Source.GROUND)

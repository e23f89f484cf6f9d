# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The space that a rendered scene is a picture of: its camera, depth images, the object's place.

The camera has no distortion. Everything in a scene is flat and faces it: the object is as near as
it is large, with a wall behind; what hides it is nearer. In the scenes of `SPACE_SCENES` the
object stands on a level floor, as far below the camera as the object is tall.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tracker_core.media.scene import Layer, Scene
from tracker_core.pose.camera import CameraModel
from tracker_core.pose.depth import DepthImage
from tracker_core.pose.ranges import Ground

FOCAL = 0.9  # focal length in widths of the image
USUAL = 4.0  # metres to the object at a zoom of one
WALL = 10.0  # metres to what is behind everything
DISTANCES = {Layer.BEHIND: 1.15, Layer.OBJECT: 1.0, Layer.BEFORE: 0.7}  # of the object's


@dataclass(frozen=True, eq=False)
class Space:
    """A scene's space; all of it is exact.

    Attributes:
        scene: It.
    """

    scene: Scene

    @property
    def camera(self) -> CameraModel:
        """The camera of the scene."""
        width, height = self.scene.size
        k = np.array([[self._focal, 0, width / 2 - 0.5], [0, self._focal, height / 2 - 0.5]])
        return CameraModel(width, height, np.vstack([k, [0, 0, 1]]))

    @property
    def object_size(self) -> tuple[float, float]:
        """The object's width and height in metres, when it is upright."""
        half_width, half_height = self.scene.half_size
        return 2 * half_width * USUAL / self._focal, 2 * half_height * USUAL / self._focal

    @property
    def ground(self) -> Ground:
        """The floor, where the object stands on it."""
        return Ground.below(self.object_size[1], 0.0)

    def place(self, i: int) -> np.ndarray:
        """The centre of the object's box in frame i, (3,) metres in the optical frame."""
        box, z = self.scene.boxes[i], self._z(i)
        width, height = self.scene.size
        offset = np.array([box.cx - width / 2, box.cy - height / 2, self._focal])
        place: np.ndarray = offset * z / self._focal
        return place

    def depth(self, i: int) -> DepthImage:
        """What a perfect depth camera sees in frame i, (H, W) float32 metres."""
        width, height = self.scene.size
        values = np.full((height, width), WALL, np.float32)
        if self.scene.stands:
            below = np.maximum(np.arange(height) + 0.5 - height / 2, 1e-3)
            floor = self._focal * self.object_size[1] / below
            values = np.minimum(values, floor[:, None].astype(np.float32))
        for layer, window, alpha in self.scene.coverage(i):
            if layer is not Layer.SHADOW:
                values[window][alpha > 0.5] = self._z(i) * DISTANCES[layer]
        return DepthImage(values)

    @property
    def _focal(self) -> float:
        return FOCAL * self.scene.size[0]

    def _z(self, i: int) -> float:
        return USUAL / self.scene.zoom(i)

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""From pixels to rays and back, as a `sensor_msgs/CameraInfo` describes the camera.

Pixels are in continuous coordinates in which the top-left pixel covers [0, 1] x [0, 1], like those
of a `Box`. Rays and points are in the optical frame of REP 103: x to the right, y down, z forward.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
import math

import cv2
import numpy as np

from tracker_core.errors import CameraError

# Numbers of coefficients by model; ROS writes five, eight and four
COEFFICIENTS = {
    'plumb_bob': (4, 5),
    'rational_polynomial': (8, 12, 14),
    'equidistant': (4,),
}
INVERSE_TOLERANCE = 0.5  # pixels by which a ray may miss the pixel that it was made of
LONGEST_WORD = 64  # characters of a model's name that an error repeats


@dataclass(frozen=True)
class Roi:
    """The part of the sensor that was read out, in pixels of the full resolution; all zero: all of
    it."""

    x: int = 0
    y: int = 0
    width: int = 0
    height: int = 0


@dataclass(frozen=True, eq=False)
class CameraModel:
    """A calibrated camera, checked when it is made.

    The matrices are those of a CameraInfo: of the full resolution, with the centre of the first
    pixel at (0, 0). Images may be a part of it (`roi`), with pixels put together (`binning`).

    Attributes:
        width, height: Of the sensor at full resolution, pixels.
        k: (3, 3) float64, of the raw image.
        distortion_model: A key of `COEFFICIENTS`; any where all coefficients are zero.
        d: Coefficients of the distortion, in OpenCV's order.
        r: (3, 3) float64, turns the raw camera into the rectified one.
        p: (3, 4) float64, of the rectified image; its first three columns count.
        binning: Pixels that are put together, in x and in y; 0 means 1.
        roi: What part of the sensor the images show.
        is_rectified: The images are rectified: `p` counts and there is no distortion.

    Raises:
        CameraError: No calibration, a matrix or coefficients of the wrong size or not finite, a
            model that is not known, a region outside the sensor.
    """

    width: int
    height: int
    k: np.ndarray
    distortion_model: str = 'plumb_bob'
    d: Sequence[float] = ()
    r: np.ndarray | None = None
    p: np.ndarray | None = None
    binning: tuple[int, int] = (1, 1)
    roi: Roi = Roi()
    is_rectified: bool = False

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise CameraError(
                f'camera_info: the image is {self.width} x {self.height} pixels; width and height '
                'have to be those of the calibration'
            )
        k = _matrix('K', self.k, 3)
        r = _matrix('R', np.eye(3) if self.r is None or not np.any(self.r) else self.r, 3)
        p = _matrix('P', k if self.p is None or not np.any(self.p) else self.p, 0)
        if not k.any():
            raise CameraError(
                'camera_info: the camera is not calibrated (K is all zeros): calibrate it '
                '(ros2 run camera_calibration cameracalibrator), or give field_of_view'
            )
        used = p if self.is_rectified else k
        if min(used[0, 0], used[1, 1]) <= 0:
            name = 'P' if self.is_rectified else 'K'
            raise CameraError(f'camera_info: the focal lengths in {name} have to be above zero')
        if abs(np.linalg.det(r) - 1) > 1e-3:
            raise CameraError('camera_info: R is no rotation')
        object.__setattr__(self, 'k', k)
        object.__setattr__(self, 'r', r)
        object.__setattr__(self, 'p', p[:, :3])
        object.__setattr__(self, 'd', self._checked_coefficients())
        object.__setattr__(self, 'binning', tuple(max(int(n), 1) for n in self.binning))
        self._check_roi()

    @classmethod
    def from_field_of_view(cls, width: int, height: int, degrees: float) -> CameraModel:
        """A camera without distortion of which only the horizontal field of view is known."""
        if not 0 < degrees < 180:
            raise CameraError(f'a field of view of {degrees:g} degrees is not between 0 and 180')
        focal = width / 2 / math.tan(math.radians(degrees) / 2)
        centre = (width - 1) / 2, (height - 1) / 2
        k = np.array([[focal, 0, centre[0]], [0, focal, centre[1]], [0, 0, 1]])
        return cls(width, height, k)

    @property
    def image_size(self) -> tuple[int, int]:
        """Width and height of the images, pixels."""
        roi = self.roi
        whole = (roi.width or self.width, roi.height or self.height)
        return whole[0] // self.binning[0], whole[1] // self.binning[1]

    def rays(self, pixels: np.ndarray) -> np.ndarray:
        """Where pixels look.

        Args:
            pixels: (N, 2) x and y.

        Returns:
            (N, 3) unit vectors in the frame that the CameraInfo names; not a number where the
            model of the lens has no inverse, as far outside the image.
        """
        pixels = np.asarray(pixels, np.float64).reshape(-1, 2)
        full = pixels * self.binning + (self.roi.x, self.roi.y) - 0.5  # centres at whole numbers
        if self.is_rectified:
            plane = np.linalg.solve(self._p, np.column_stack([full, np.ones(len(full))]).T).T
        else:
            plane = np.column_stack([self._undistorted(full), np.ones(len(full))])
        rays: np.ndarray = plane / np.linalg.norm(plane, axis=1, keepdims=True)
        miss = np.abs(self.pixels(rays) - pixels).max(axis=1)
        rays[~(miss <= INVERSE_TOLERANCE)] = np.nan
        return rays

    def pixels(self, points: np.ndarray) -> np.ndarray:
        """Where points are seen.

        Args:
            points: (N, 3) in the frame that the CameraInfo names, any unit.

        Returns:
            (N, 2) pixels, which may lie outside the image; not a number for points that are not
            in front of the camera.
        """
        points = np.asarray(points, np.float64).reshape(-1, 3)
        in_front = points[:, 2] > 0
        full = np.full((len(points), 2), np.nan)
        if in_front.any():
            full[in_front] = self._projected(points[in_front])
        pixels: np.ndarray = (full + 0.5 - (self.roi.x, self.roi.y)) / self.binning
        return pixels

    @property
    def _r(self) -> np.ndarray:
        assert self.r is not None
        return self.r

    @property
    def _p(self) -> np.ndarray:
        assert self.p is not None
        return self.p

    def _projected(self, points: np.ndarray) -> np.ndarray:
        """(N, 2) pixels of the full resolution, centres at whole numbers."""
        if self.is_rectified:
            image = points @ self._p.T
            plane: np.ndarray = image[:, :2] / image[:, 2:]
            return plane
        turn, zero = cv2.Rodrigues(self._r.T)[0], np.zeros(3)
        d = np.asarray(self.d)
        if self.distortion_model == 'equidistant' and len(d):
            found = cv2.fisheye.projectPoints(points[:, None], turn, zero, self.k, d)[0]
        else:
            found = cv2.projectPoints(points[:, None], turn, zero, self.k, d)[0]
        return np.asarray(found).reshape(-1, 2)

    def _undistorted(self, full: np.ndarray) -> np.ndarray:
        """(N, 2) x / z and y / z of the rays of pixels of the full resolution."""
        d = np.asarray(self.d)
        stop = (cv2.TERM_CRITERIA_COUNT + cv2.TERM_CRITERIA_EPS, 50, 1e-10)
        if self.distortion_model == 'equidistant' and len(d):
            found = cv2.fisheye.undistortPoints(full[:, None], self.k, d, R=self._r, criteria=stop)
        else:
            found = cv2.undistortPoints(full[:, None], self.k, d, R=self._r, criteria=stop)
        return np.asarray(found).reshape(-1, 2)

    def _checked_coefficients(self) -> tuple[float, ...]:
        d = tuple(float(value) for value in self.d)
        if not all(math.isfinite(value) for value in d):
            raise CameraError('camera_info: a coefficient of the distortion in D is not finite')
        if self.is_rectified or not any(d):
            return ()
        allowed = COEFFICIENTS.get(self.distortion_model)
        if allowed is None:
            raise CameraError(
                f'camera_info: the distortion model {self.distortion_model[:LONGEST_WORD]!r} is '
                f'not known; known are {", ".join(COEFFICIENTS)}. Rectified images '
                '(image_proc) need none: set rectified'
            )
        if len(d) not in allowed:
            raise CameraError(
                f'camera_info: {self.distortion_model} has '
                f'{" or ".join(map(str, allowed))} coefficients, D has {len(d)}'
            )
        return d

    def _check_roi(self) -> None:
        roi = self.roi
        is_inside = (
            min(roi.x, roi.y, roi.width, roi.height) >= 0
            and roi.x + roi.width <= self.width
            and roi.y + roi.height <= self.height
        )
        if not is_inside or min(self.image_size) < 1:
            raise CameraError(
                f'camera_info: roi {roi.width} x {roi.height} at ({roi.x}, {roi.y}) with binning '
                f'{self.binning} is no part of {self.width} x {self.height} pixels'
            )


def _matrix(name: str, values: np.ndarray, columns: int) -> np.ndarray:
    """A matrix of three rows; columns 0: three or four."""
    matrix = np.array(values, np.float64)
    width = columns or (4 if matrix.size == 12 else 3)
    if matrix.size != 3 * width or not np.isfinite(matrix).all():
        raise CameraError(f'camera_info: {name} has to hold {3 * width} finite numbers')
    return matrix.reshape(3, width)

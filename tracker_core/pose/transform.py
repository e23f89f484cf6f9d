# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Where one frame lies in another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tracker_core.errors import ParameterError


@dataclass(frozen=True, eq=False)
class RigidTransform:
    """Takes points of one frame to another: `rotation @ point + translation`.

    Attributes:
        rotation: (3, 3) float64.
        translation: (3,) float64, metres.

    Raises:
        ParameterError: The one is no rotation, or the other not finite.
    """

    rotation: np.ndarray
    translation: np.ndarray

    def __post_init__(self) -> None:
        rotation = np.array(self.rotation, np.float64)
        translation = np.array(self.translation, np.float64)
        is_rotation = (
            rotation.shape == (3, 3)
            and np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-4)
            and np.linalg.det(rotation) > 0
        )
        if not is_rotation or translation.shape != (3,) or not np.isfinite(translation).all():
            raise ParameterError('a transform needs a (3, 3) rotation and a finite (3,) shift')
        object.__setattr__(self, 'rotation', rotation)
        object.__setattr__(self, 'translation', translation)

    @classmethod
    def from_quaternion(
        cls, quaternion: tuple[float, float, float, float], translation: np.ndarray
    ) -> RigidTransform:
        """From x, y, z, w, which need not be of length one."""
        norm = float(np.linalg.norm(quaternion))
        if not np.isfinite(norm) or norm < 1e-6:
            raise ParameterError(f'{quaternion} is no quaternion of a rotation')
        x, y, z, w = np.array(quaternion, np.float64) / norm
        rotation = np.array(
            [
                [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
                [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
                [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
            ]
        )
        return cls(rotation, translation)

    def __call__(self, point: np.ndarray) -> np.ndarray:
        """A point, (3,) float64, in the other frame."""
        moved: np.ndarray = self.rotation @ point + self.translation
        return moved

    def back(self, point: np.ndarray) -> np.ndarray:
        """The point that this takes to the given one."""
        moved: np.ndarray = self.rotation.T @ (point - self.translation)
        return moved


def quaternion(rotation: np.ndarray) -> tuple[float, float, float, float]:
    """x, y, z, w of a (3, 3) rotation; w is not negative."""
    # The eigenvector of the largest eigenvalue of this symmetric matrix is the quaternion
    # (I. Bar-Itzhack, New method for extracting the quaternion from a rotation matrix, 2000).
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = rotation
    k = np.array(
        [
            [xx - yy - zz, yx + xy, zx + xz, zy - yz],
            [yx + xy, yy - xx - zz, zy + yz, xz - zx],
            [zx + xz, zy + yz, zz - xx - yy, yx - xy],
            [zy - yz, xz - zx, yx - xy, xx + yy + zz],
        ]
    )
    x, y, z, w = np.linalg.eigh(k)[1][:, -1]
    sign = 1.0 if w >= 0 else -1.0
    return float(sign * x), float(sign * y), float(sign * z), float(sign * w)


def facing(towards: np.ndarray, up: np.ndarray) -> np.ndarray:
    """(3, 3) rotation of a frame whose x axis points towards something, with z as far upwards as
    that allows; both (3,) vectors of any length."""
    whole = np.eye(3)
    x = next(v / np.linalg.norm(v) for v in (towards, *whole) if np.linalg.norm(v) > 1e-9)
    ys = (np.cross(v, x) for v in (up, *whole))  # where that is straight up, any will do
    y = next(v / np.linalg.norm(v) for v in ys if np.linalg.norm(v) > 1e-6)
    return np.column_stack([x, y, np.cross(x, y)])

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Camera models against the formulas that define them, written out here without OpenCV."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tracker_core.errors import CameraError
from tracker_core.pose.camera import CameraModel, Roi

SIZE = (640, 480)
K = np.array([[520.0, 0, 322.5], [0, 510.0, 236.5], [0, 0, 1]])
LENSES = {
    'plumb_bob': (-0.31, 0.12, 0.001, -0.0007, -0.02),
    'rational_polynomial': (0.4, -0.1, 0.0005, 0.001, 0.02, 0.75, -0.05, 0.03),
    'equidistant': (-0.02, 0.01, -0.004, 0.001),
}


def distorted(model: str, d: tuple[float, ...], rays: np.ndarray) -> np.ndarray:
    """x / z and y / z behind the lens, by the definitions that CameraInfo refers to."""
    x, y = rays[:, 0] / rays[:, 2], rays[:, 1] / rays[:, 2]
    r = np.hypot(x, y)
    if model == 'equidistant':
        angle = np.arctan(r)
        bent = angle * (1 + sum(k * angle ** (2 * n) for n, k in enumerate(d, 1)))
        scale = np.where(r > 0, bent / np.maximum(r, 1e-12), 1.0)
        return np.column_stack([x * scale, y * scale])
    k1, k2, p1, p2, k3, *rest = d
    k4, k5, k6 = rest or (0.0, 0.0, 0.0)
    radial = (1 + k1 * r**2 + k2 * r**4 + k3 * r**6) / (1 + k4 * r**2 + k5 * r**4 + k6 * r**6)
    return np.column_stack(
        [
            x * radial + 2 * p1 * x * y + p2 * (r**2 + 2 * x**2),
            y * radial + p1 * (r**2 + 2 * y**2) + 2 * p2 * x * y,
        ]
    )


def directions(reach: float = 0.45) -> np.ndarray:
    """(N, 3) unit vectors that cover most of the image."""
    x, y = np.meshgrid(np.linspace(-reach, reach, 9), np.linspace(-0.8 * reach, 0.8 * reach, 7))
    rays = np.column_stack([x.ravel(), y.ravel(), np.ones(x.size)])
    return rays / np.linalg.norm(rays, axis=1, keepdims=True)


def turned(angle: float) -> np.ndarray:
    c, s = math.cos(angle), math.sin(angle)
    about_y = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    return about_y @ np.array([[1, 0, 0], [0, c, -s], [0, s, c]])


@pytest.mark.parametrize('model', LENSES)
def test_rays_of_a_raw_image(model: str):
    """A continuous coordinate is half a pixel more than that of the matrices."""
    camera = CameraModel(*SIZE, K, model, LENSES[model])
    rays = directions()
    plane = distorted(model, LENSES[model], rays)
    pixels = plane * (520.0, 510.0) + (322.5, 236.5) + 0.5
    np.testing.assert_allclose(camera.pixels(rays * 7.0), pixels, atol=1e-6)
    np.testing.assert_allclose(camera.rays(pixels), rays, atol=1e-6)


@pytest.mark.parametrize('model', LENSES)
def test_raw_and_rectified_images_have_the_same_rays(model: str):
    r = turned(0.03)
    p = np.array([[480.0, 0, 310.0, -48.0], [0, 480.0, 250.0, 0], [0, 0, 1, 0]])
    raw, flat = (
        CameraModel(*SIZE, K, model, LENSES[model], r, p, is_rectified=is_rectified)
        for is_rectified in (False, True)
    )
    rays = directions(0.4)  # in the rectified frame
    plane = distorted(model, LENSES[model], rays @ r)
    np.testing.assert_allclose(
        raw.rays(plane * (520.0, 510.0) + (322.5, 236.5) + 0.5), rays, atol=1e-6
    )
    on_flat = rays[:, :2] / rays[:, 2:] * 480.0 + (310.0, 250.0) + 0.5
    np.testing.assert_allclose(flat.rays(on_flat), rays, atol=1e-12)
    np.testing.assert_allclose(flat.pixels(rays), on_flat, atol=1e-9)


@pytest.mark.parametrize('model', LENSES)
def test_a_part_of_the_sensor_with_pixels_put_together_has_the_same_rays(model: str):
    """Pixel (c, r) of the image covers 2 x 4 pixels of the sensor from (40 + 2 c, 80 + 4 r) on."""
    whole = CameraModel(*SIZE, K, model, LENSES[model])
    part = CameraModel(*SIZE, K, model, LENSES[model], binning=(2, 4), roi=Roi(40, 80, 400, 320))
    assert part.image_size == (200, 80)
    corners = np.array([(0, 0), (200, 0), (200, 80), (0, 80), (33.5, 20.25)])
    on_sensor = corners * (2, 4) + (40, 80)
    np.testing.assert_allclose(part.rays(corners), whole.rays(on_sensor), atol=1e-9)
    np.testing.assert_allclose(part.pixels(whole.rays(on_sensor)), corners, atol=1e-6)


def test_a_field_of_view_reaches_from_edge_to_edge():
    camera = CameraModel.from_field_of_view(640, 480, 90.0)
    left, centre, right = camera.rays(np.array([(0, 240), (320, 240), (640, 240)]))
    np.testing.assert_allclose(left, np.array([-1, 0, 1]) / math.sqrt(2), atol=1e-12)
    np.testing.assert_allclose(centre, (0, 0, 1), atol=1e-12)
    np.testing.assert_allclose(right, np.array([1, 0, 1]) / math.sqrt(2), atol=1e-12)


def test_what_cannot_be_told_is_not_a_number():
    """Pixels beyond the bend of a lens, and points behind the camera."""
    camera = CameraModel(*SIZE, K, 'plumb_bob', (-0.31, 0, 0, 0, 0.0))
    assert np.isnan(camera.rays(np.array([(5000.0, 240.0)]))).all()
    assert np.isnan(camera.pixels(np.array([(0, 0, -1.0), (1.0, 0, 0)]))).all()
    assert np.isfinite(camera.rays(np.array([(50.0, 50.0), (590, 430)]))).all()


ZERO = np.zeros((3, 3))


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'k': ZERO, 'd': (0.0,) * 5, 'r': ZERO, 'p': np.zeros((3, 4))}, 'not calibrated .K is'),
        ({'width': 0}, 'the image is 0 x 480'),
        ({'k': np.full((3, 3), np.nan)}, 'K has to hold 9 finite'),
        ({'k': np.diag([-1.0, 1, 1])}, 'focal lengths in K'),
        ({'r': 2 * np.eye(3)}, 'R is no rotation'),
        ({'p': np.diag([0.0, 0, 1])[:, :3], 'is_rectified': True}, 'focal lengths in P'),
        ({'distortion_model': 'thin', 'd': (0.1,) * 4}, "'thin' is not known; known are"),
        ({'distortion_model': 'equidistant', 'd': (0.1,) * 5}, 'has 4 coefficients, D has 5'),
        ({'d': (math.inf,) * 5}, 'not finite'),
        ({'roi': Roi(600, 0, 100, 100)}, 'is no part of 640 x 480'),
        ({'binning': (1000, 1)}, 'is no part of'),
    ],
)
def test_a_calibration_that_cannot_be_is_named(changes: dict, message: str):
    given = {'width': 640, 'height': 480, 'k': K, **changes}
    with pytest.raises(CameraError, match=message):
        CameraModel(**given)


def test_an_unknown_model_without_coefficients_is_no_distortion():
    camera = CameraModel(*SIZE, K, 'inverse_brown_conrady', (0.0,) * 5)
    np.testing.assert_allclose(camera.rays(np.array([(323.0, 237.0)])), [(0, 0, 1)], atol=1e-12)

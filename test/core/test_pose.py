# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Where a target is, against the exact geometry of rendered scenes and of made-up motion."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
import math

import numpy as np
import pytest

from tracker_core import Box, ImageError, ParameterError, TrackStatus
from tracker_core.media.scene import render_scene
from tracker_core.media.space import Space, WALL
from tracker_core.pose.camera import CameraModel
from tracker_core.pose.config import PoseConfig, sizes_by_label
from tracker_core.pose.depth import DepthImage, front, surfaces
from tracker_core.pose.kalman import ConstantVelocity
from tracker_core.pose.locate import (
    angles,
    direction,
    Estimate,
    Observation,
    TargetLocator,
    View,
)
from tracker_core.pose.ranges import by_ground, by_size, Ground, Source
from tracker_core.pose.transform import quaternion, RigidTransform

FRAME = 33_333_333  # nanoseconds
TRACKING, UNCERTAIN, LOST = TrackStatus
CAMERA = CameraModel.from_field_of_view(640, 480, 60.0)
LENS = CameraModel(640, 480, CAMERA.k, 'plumb_bob', (-0.28, 0.08, 0.001, 0.0005, 0.0))


@cache
def space(name: str = 'walk', seed: int = 1, frames: int = 90) -> Space:
    return Space(render_scene(name, frames=frames, size=(320, 240), seed=seed))


def box_of(camera: CameraModel, centre: np.ndarray, width: float, height: float) -> Box:
    """The box around an upright rectangle that faces the camera, by its edges' middles."""
    half = np.array([[-width, 0, 0], [width, 0, 0], [0, -height, 0], [0, height, 0]]) / 2
    (x, _), (x2, _), (_, y), (_, y2) = camera.pixels(centre + half)
    return Box(x, y, x2 - x, y2 - y)


def followed(
    there: Space, config: PoseConfig, **known: bool
) -> Iterator[tuple[np.ndarray, Estimate]]:
    """The true place and the estimate of every frame of a scene."""
    locator = TargetLocator(config)
    for i, box in enumerate(there.scene.boxes):
        view = View(
            there.camera,
            there.depth(i) if known.get('depth') else None,
            there.ground if known.get('ground') else None,
        )
        estimate = locator.observe(Observation(i * FRAME, TRACKING, box), view)
        assert estimate is not None
        yield there.place(i), estimate


def test_a_scene_is_a_picture_of_its_space():
    there = space()
    for i in (0, 40, 89):
        place, depth, box = there.place(i), there.depth(i).values, there.scene.boxes[i]
        np.testing.assert_allclose(there.camera.pixels(place[None]), [(box.cx, box.cy)], atol=1e-9)
        assert depth[int(box.cy), int(box.cx)] == pytest.approx(place[2])
        assert box.h == pytest.approx(there.camera.k[0, 0] * there.object_size[1] / place[2])
        foot = place + np.array([0, there.object_size[1] / 2, 0])
        assert foot[1] == pytest.approx(there.ground.height), 'it stands on the floor'
        assert depth[min(math.ceil(box.y2) + 2, 239), 2] < place[2], 'the floor before it'
        assert depth[0, 0] == WALL
    hidden = space('walk_hidden')
    covered = next(i for i in range(90) if hidden.scene.visible[i] < 0.05)
    middle = hidden.scene.boxes[covered]
    assert hidden.depth(covered).values[int(middle.cy), int(middle.cx)] < hidden.place(covered)[2]


@pytest.mark.parametrize(
    ('source', 'known', 'worst'),
    [
        (Source.DEPTH, {'depth': True}, 0.01),
        (Source.SIZE, {}, 0.06),
        (Source.GROUND, {'ground': True}, 0.06),
    ],
)
def test_every_source_finds_the_place(source: Source, known: dict, worst: float):
    """Exact boxes: what is left is that the filter smooths."""
    there = space()
    height = there.object_size[1] if source is Source.SIZE else 0.0
    for place, estimate in followed(there, PoseConfig(object_height=height), **known):
        assert estimate.source is source
        assert not estimate.is_predicted
        assert np.linalg.norm(estimate.position - place) < worst * place[2]
        turned = [estimate.bearing.azimuth, estimate.bearing.elevation]
        np.testing.assert_allclose(turned, angles(place), atol=2e-3)
        width, tall = estimate.size
        assert width == pytest.approx(there.object_size[0], rel=0.3)  # it leans
        assert tall == pytest.approx(there.object_size[1], rel=0.07)


def test_the_covariance_holds_what_it_promises():
    """Noisy boxes and depth: the squared error in deviations is as chi squared, or smaller."""
    there, rng = space('walk', 2), np.random.default_rng(0)
    config = PoseConfig()
    locator, errors = TargetLocator(config), []
    for i, box in enumerate(there.scene.boxes):
        shift = rng.normal(0, config.box_error, 2) * (box.w, box.h)
        seen = Box(box.x + shift[0], box.y + shift[1], box.w, box.h)
        depth = there.depth(i).values * rng.normal(1, 0.02, (240, 320)).astype(np.float32)
        view = View(there.camera, DepthImage(depth))
        estimate = locator.observe(Observation(i * FRAME, TRACKING, seen), view)
        off = estimate.position - there.place(i)
        errors.append(off @ np.linalg.solve(estimate.covariance, off))
    assert 0.1 < np.mean(errors) < 3  # three dimensions
    assert np.percentile(errors, 95) < 7.8


def test_holes_noise_and_background_do_not_matter():
    """A third of the pixels is missing, and the box is half as large again."""
    there, rng = space('walk', 3), np.random.default_rng(1)
    locator = TargetLocator(PoseConfig())
    for i, box in enumerate(there.scene.boxes):
        values = there.depth(i).values * 1000 + rng.normal(0, 20, (240, 320))
        values = np.where(rng.random(values.shape) < 0.33, 0, values).astype(np.uint16)
        wide = Box.from_center(box.cx, box.cy, 1.5 * box.w, 1.5 * box.h)
        view = View(there.camera, DepthImage(values, 0.001))
        estimate = locator.observe(Observation(i * FRAME, TRACKING, wide), view)
        assert abs(estimate.position[2] - there.place(i)[2]) < 0.05


def test_an_occlusion_is_bridged_and_something_in_front_is_not_the_target():
    """While the screen is there the tracker is unsure; as it comes and goes, it is not."""
    there = space('walk_hidden', frames=240)
    locator, errors, predicted, deviations = TargetLocator(PoseConfig()), [], 0, []
    for i, box in enumerate(there.scene.boxes):
        status = TRACKING if there.scene.visible[i] > 0.3 else UNCERTAIN
        view = View(there.camera, there.depth(i))
        estimate = locator.observe(Observation(i * FRAME, status, box), view)
        assert estimate is not None
        place = there.place(i)
        errors.append(np.linalg.norm(estimate.position - place))
        if status is UNCERTAIN:
            assert estimate.is_predicted
            predicted += 1
            deviations.append(math.sqrt(np.trace(estimate.covariance)))
            assert errors[-1] < 3 * deviations[-1]
    assert predicted > 40
    assert np.median(errors) < 0.02
    assert max(errors) < 0.8
    assert deviations[10] > 2 * deviations[0], 'what is predicted gets less sure'


def at(z: float, x: float = 0.0) -> tuple[Box, DepthImage]:
    """The box of a square metre at a place, and its depth image with a wall at six metres."""
    box = box_of(CAMERA, np.array([x, 0.0, z]), 1.0, 1.0)
    values = np.full((480, 640), 6.0, np.float32)
    values[int(box.y) : int(box.y2), int(box.x) : int(box.x2)] = z
    return box, DepthImage(values)


def watch(
    locator: TargetLocator,
    frames: range,
    z: float,
    status: TrackStatus = TRACKING,
    **given: object,
) -> Estimate | None:
    """The last estimate of a target that stands still at a depth."""
    box, depth = at(z)
    view = View(CAMERA, **{'depth': depth, **given})
    estimate = None
    for i in frames:
        estimate = locator.observe(Observation(i * FRAME, status, box), view)
    return estimate


def test_silence_when_lost_and_after_coasting():
    locator = TargetLocator(PoseConfig(coast=0.5))
    assert watch(locator, range(1), 3.0, UNCERTAIN) is None, 'never seen yet'
    assert watch(locator, range(1, 10), 3.0).position[2] == pytest.approx(3, abs=0.01)
    assert watch(locator, range(10, 11), 3.0, LOST) is None
    assert watch(locator, range(11, 12), 3.0, UNCERTAIN) is None, 'what was lost is forgotten'
    assert watch(locator, range(12, 20), 3.0) is not None
    assert watch(locator, range(20, 34), 3.0, UNCERTAIN).is_predicted
    assert watch(locator, range(34, 36), 3.0, UNCERTAIN) is None
    assert not watch(locator, range(36, 37), 5.0).is_predicted
    assert watch(locator, range(37, 38), 5.0).position[2] == pytest.approx(5, abs=0.01)


def test_a_jump_of_time_begins_anew():
    locator = TargetLocator(PoseConfig())
    watch(locator, range(100, 110), 3.0)
    assert watch(locator, range(5, 6), 5.0).position[2] == pytest.approx(5, abs=0.01)
    assert watch(locator, range(1000, 1001), 2.0).position[2] == pytest.approx(2, abs=0.01)


def test_another_surface_is_believed_only_when_it_stays():
    """Something at one metre comes before the target at four."""
    locator = TargetLocator(PoseConfig(reacquire=0.5))
    box, _ = at(4.0)
    watch(locator, range(10), 4.0)
    near = DepthImage(np.full((480, 640), 1.0, np.float32))
    for i in range(10, 24):
        estimate = locator.observe(Observation(i * FRAME, TRACKING, box), View(CAMERA, near))
        assert estimate.is_predicted
        assert estimate.position[2] == pytest.approx(4, abs=0.1)
    for i in range(24, 27):
        estimate = locator.observe(Observation(i * FRAME, TRACKING, box), View(CAMERA, near))
    assert estimate.position[2] == pytest.approx(1, abs=0.05)


def test_the_target_is_told_from_what_is_behind_by_its_motion():
    """First it fills the box; then half of it is gone, and a wall is seen through it."""
    locator = TargetLocator(PoseConfig())
    watch(locator, range(10), 4.0)
    box, depth = at(4.0)
    values = depth.values.copy()
    values[:, int(box.x) : int(box.x + 0.7 * box.w)] = 6.0
    for i in range(10, 40):
        seen = Observation(i * FRAME, TRACKING, box)
        estimate = locator.observe(seen, View(CAMERA, DepthImage(values)))
    assert not estimate.is_predicted
    assert estimate.position[2] == pytest.approx(4, abs=0.02)


def test_without_a_range_there_is_a_bearing_or_a_nominal_place():
    box = box_of(CAMERA, np.array([0.5, -0.2, 3.0]), 0.4, 0.4)
    seen, view = Observation(0, TRACKING, box), View(CAMERA)
    estimate = TargetLocator(PoseConfig()).observe(seen, view)
    assert estimate.source is Source.NONE
    assert estimate.position is None
    assert estimate.bearing.azimuth == pytest.approx(-math.atan2(0.5, 3), abs=1e-6), 'to the right'
    assert estimate.bearing.elevation == pytest.approx(math.atan2(0.2, math.hypot(0.5, 3)))
    estimate = TargetLocator(PoseConfig(nominal_range=2.0)).observe(seen, view)
    assert np.linalg.norm(estimate.position) == pytest.approx(2.0)
    np.testing.assert_allclose(angles(estimate.position), angles(np.array([0.5, -0.2, 3.0])))
    ray = estimate.position / 2
    assert ray @ estimate.covariance @ ray == pytest.approx(4.0), 'as unsure as it is far'


def test_a_range_is_kept_for_a_while_when_the_depth_ends():
    locator = TargetLocator(PoseConfig(coast=0.5))
    watch(locator, range(10), 3.0)
    kept = watch(locator, range(10, 20), 3.0, depth=None)
    assert kept.is_predicted
    assert kept.source is Source.DEPTH
    assert kept.position[2] == pytest.approx(3, abs=0.05)
    assert watch(locator, range(20, 30), 3.0, depth=None).position is None


def test_rates_of_the_bearing():
    """It passes at 1 m/s, 2 m before the camera, from left to right."""
    locator = TargetLocator(PoseConfig())
    for i in range(30):
        x = -0.5 + i / 30
        box = box_of(CAMERA, np.array([x, 0, 2.0]), 0.3, 0.3)
        estimate = locator.observe(Observation(i * FRAME, TRACKING, box), View(CAMERA))
    assert estimate.bearing.azimuth_rate == pytest.approx(-1 * 2 / (x**2 + 4), rel=0.1)
    assert estimate.bearing.elevation_rate == pytest.approx(0, abs=0.01)


def test_velocity_of_what_walks():
    locator = TargetLocator(PoseConfig())
    for i in range(60):
        box, depth = at(4.0 - i / 60)
        estimate = locator.observe(Observation(i * FRAME, TRACKING, box), View(CAMERA, depth))
    np.testing.assert_allclose(estimate.velocity, (0, 0, -0.5), atol=0.08)


def test_a_standing_target_stands_in_the_fixed_frame_whatever_the_robot_does():
    """The camera drives and turns; while the target is hidden its place stays, and its bearing
    turns as the camera does."""
    target = np.array([3.0, 0.5, 0.4])  # x forward, y left, z up
    optical = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])  # its axes in those of the robot
    locator = TargetLocator(PoseConfig())
    for i in range(60):
        yaw = 0.3 * math.sin(i / 10)
        c, s = math.cos(yaw), math.sin(yaw)
        turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
        to_fixed = RigidTransform(turn @ optical, np.array([i / 60, 0.1, 0.3]))
        place = to_fixed.back(target)
        box = box_of(CAMERA, place, 0.3, 0.3)
        depth = DepthImage(np.full((48, 64), place[2], np.float32))
        status = TRACKING if i < 30 else UNCERTAIN
        view = View(CAMERA, depth, to_fixed=to_fixed)
        estimate = locator.observe(Observation(i * FRAME, status, box), view)
        assert estimate.is_fixed
        assert np.linalg.norm(estimate.position - target) < 0.06
        turned = [estimate.bearing.azimuth, estimate.bearing.elevation]
        np.testing.assert_allclose(turned, angles(place), atol=0.06)
    assert np.linalg.norm(estimate.velocity) < 0.1
    # Without the transform it is the camera's frame, and another course
    seen = Observation(60 * FRAME, TRACKING, box)
    assert not locator.observe(seen, View(CAMERA, depth)).is_fixed


@pytest.mark.parametrize('camera', [CAMERA, LENS], ids=['pinhole', 'lens'])
@pytest.mark.parametrize('x', [-1.0, 0.0, 1.2])
def test_known_size_and_ground_are_exact(camera: CameraModel, x: float):
    pitch, height = 0.25, 1.1
    centre = np.array([x, 0.2, 4.0])
    whole = box_of(camera, centre, 0.6, 1.0)
    for known in ((0.0, 1.0), (0.6, 0.0), (9.0, 1.0)):
        told = by_size(camera, whole, *known, 0.05)
        assert told.distance == pytest.approx(np.linalg.norm(centre), rel=0.01)
    ground = Ground.below(height, pitch)
    # Stands where the vertical through its centre meets the ground, 0.5 m below
    middle = np.array([x, 0, 0]) - ground.up * (height - 0.5)
    middle += 4.0 * np.array([0, -math.sin(pitch), math.cos(pitch)])
    (_, top), (_, foot) = camera.pixels(middle + np.outer((0.5, -0.5), ground.up))
    cx, cy = camera.pixels(middle[None])[0]
    stands = Box(cx - 30, cy - (foot - cy), 60, 2 * (foot - cy))
    told = by_ground(camera, stands, ground, 0.02)
    assert told.distance == pytest.approx(np.linalg.norm(middle), rel=0.01)
    assert 0 < told.deviation < 0.5 * told.distance
    assert top < cy < foot


def test_what_the_border_cuts_tells_no_size_and_no_ground():
    box = Box(200, 100, 100, 379)  # to the lower border
    assert by_size(CAMERA, box, 0.0, 1.7, 0.05) is None
    assert by_size(CAMERA, box, 0.5, 1.7, 0.05) is not None, 'by its width'
    assert by_ground(CAMERA, box, Ground.below(1.0, 0.0), 0.05) is None
    above = Box(200, 100, 100, 100)
    assert by_ground(CAMERA, above, Ground.below(1.0, 0.0), 0.05) is None, 'above the horizon'


def test_surfaces_of_a_box():
    values = np.full((100, 200), 5.0, np.float32)
    values[20:80, 60:100] = 2.0
    values[40:50] = np.nan
    values[50:55] = np.inf
    values[55:58] = -1
    values[58:60] = 0
    found = surfaces(DepthImage(values), Box(50, 20, 100, 60), (200, 100))
    assert [round(surface.z, 3) for surface in found] == [2.0, 5.0]
    assert sum(surface.share for surface in found) == pytest.approx(1)
    assert front(found).z == 2.0
    # The same in millimetres, of the other byte order, and of half the size
    valid = np.where(np.isfinite(values) & (values > 0), values, 0)
    small = DepthImage((valid[::2, ::2] * 1000).astype('>u2'), 0.001)
    again = surfaces(small, Box(50, 20, 100, 60), (200, 100))
    assert [surface.z for surface in again] == pytest.approx([2.0, 5.0])
    empty = DepthImage(np.zeros((100, 200), np.uint16))
    assert surfaces(empty, Box(0, 0, 9, 9), (200, 100)) == []
    assert surfaces(DepthImage(values), Box(-90, -90, 9, 9), (200, 100)) == [], 'outside'
    for shape, kind in (((4, 4, 3), 'u2'), ((4, 4), 'u1'), ((0, 4), 'f4')):
        with pytest.raises(ImageError, match='depth image is'):
            DepthImage(np.zeros(shape, kind))


def test_a_speck_in_front_is_not_the_target():
    values = np.full((100, 100), 3.0, np.float32)
    values[45:57, 45:57] = 1.0
    found = surfaces(DepthImage(values), Box(20, 20, 60, 60), (100, 100))
    assert front(found).z == pytest.approx(3)


def test_the_filter_is_consistent_and_its_rate_makes_no_difference():
    rng = np.random.default_rng(3)
    ends = []
    for rate in (10, 30):
        motion = ConstantVelocity(np.zeros(2), np.eye(2), 1.0, 0.5)
        for _ in range(3 * rate):
            motion.predict(1 / rate)
        ends.append(motion.covariance)
    np.testing.assert_allclose(*ends)
    squares = []
    for _ in range(60):
        truth, speed = np.zeros(2), rng.normal(0, 1, 2)
        motion = ConstantVelocity(rng.normal(0, 0.1, 2), 0.01 * np.eye(2), 1.0, 0.5)
        for _ in range(40):
            speed = speed + rng.normal(0, 0.5 * math.sqrt(0.05), 2)
            truth = truth + speed * 0.05
            motion.predict(0.05)
            motion.update(truth + rng.normal(0, 0.1, 2), 0.01 * np.eye(2))
        off = motion.position - truth
        squares.append(off @ np.linalg.solve(motion.covariance, off))
    assert 1.3 < np.mean(squares) < 2.9  # two dimensions


def test_quaternions_and_directions_go_both_ways():
    rng = np.random.default_rng(0)
    for given in rng.normal(size=(20, 4)):
        transform = RigidTransform.from_quaternion(tuple(given), np.zeros(3))
        unit = given / np.linalg.norm(given) * np.sign(given[3])
        np.testing.assert_allclose(quaternion(transform.rotation), unit, atol=1e-9)
        point = rng.normal(size=3)
        np.testing.assert_allclose(transform.back(transform(point)), point, atol=1e-12)
    half_turn = RigidTransform.from_quaternion((1, 0, 0, 0), np.zeros(3))
    np.testing.assert_allclose(np.abs(quaternion(half_turn.rotation)), (1, 0, 0, 0), atol=1e-9)
    there = space()
    for place, estimate in followed(there, PoseConfig(), depth=True):
        ray = direction(estimate.bearing)
        assert np.linalg.norm(ray) == pytest.approx(1)
        assert ray @ place / np.linalg.norm(place) > 0.99999
    for wrong in (np.zeros((3, 3)), -np.eye(3), np.eye(4)):
        with pytest.raises(ParameterError, match='transform'):
            RigidTransform(wrong, np.zeros(3))
    with pytest.raises(ParameterError, match='no quaternion'):
        RigidTransform.from_quaternion((0, 0, 0, 0), np.zeros(3))
    with pytest.raises(ParameterError, match='above the ground'):
        Ground.below(0.0, 0.1)


def test_sizes_by_label():
    config = PoseConfig(object_height=0.5, object_heights='person: 1.7, cup: 0.1,')
    assert config.known_size('person') == (0, 1.7)
    assert config.known_size('dog') == (0, 0.5)
    assert replace(config, object_widths='a:b: 2').known_size('a:b') == (2, 0.5)
    for text in ('person', 'person: tall', 'person: -1', ': 2', 'cup: nan'):
        with pytest.raises(ParameterError, match='object_heights must be pairs'):
            sizes_by_label('object_heights', text)
        with pytest.raises(ParameterError, match='object_heights must be pairs'):
            PoseConfig(object_heights=text)
    with pytest.raises(ParameterError, match=r'min_range .* below max_range'):
        PoseConfig(min_range=5.0, max_range=5.0)
    with pytest.raises(ParameterError, match='coast must be at least 0'):
        PoseConfig(coast=-1.0)

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""One target over time: its boxes become bearings, positions and velocities.

TRACKING: the box tells the bearing, and what there is tells the range. UNCERTAIN: the motion goes
on as before, for `coast` seconds. LOST: nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
import math

import numpy as np

from tracker_core.boxes import Box
from tracker_core.pose.camera import CameraModel
from tracker_core.pose.config import PoseConfig
from tracker_core.pose.depth import DepthImage, front, Surface, surfaces
from tracker_core.pose.kalman import ConstantVelocity
from tracker_core.pose.ranges import by_depth, by_ground, by_size, Ground, Range, Source
from tracker_core.pose.transform import RigidTransform
from tracker_core.target import TrackStatus

GATE = 3.0  # standard deviations by which a range may differ from the one that is expected
TURNING = 1.0  # rad/s: the unknown rate of a bearing at the start, and its change in a second


@dataclass(frozen=True)
class Observation:
    """What a tracker says of the target in one frame; `stamp` in nanoseconds."""

    stamp: int
    status: TrackStatus
    box: Box
    label: str = 'target'


@dataclass(frozen=True, eq=False)
class View:
    """What else is known of the frame.

    Attributes:
        camera: That took it.
        depth: Its depth image, if there is one.
        ground: What objects stand on, if they do.
        to_fixed: From the camera's optical frame to one that does not move with the robot; None:
            the target is located in the camera's frame.
    """

    camera: CameraModel
    depth: DepthImage | None = None
    ground: Ground | None = None
    to_fixed: RigidTransform | None = None


@dataclass(frozen=True)
class Bearing:
    """Where to turn from the optical axis, radians and radians per second; positive to the left
    and upwards, the directions of REP 103."""

    azimuth: float
    elevation: float
    azimuth_rate: float
    elevation_rate: float


@dataclass(frozen=True, eq=False)
class Estimate:
    """Where a target is.

    Attributes:
        bearing: In the camera's frame.
        source: What its range was known by last.
        is_predicted: The range, or all of it, is predicted; not seen in this frame.
        position: (3,) float64, metres; None where only the bearing is known.
        covariance: (3, 3) float64, of it.
        velocity: (3,) float64, m/s.
        size: Width and height of the box at that distance, metres.
        is_fixed: Whether these are in the fixed frame, or in the camera's.
    """

    bearing: Bearing
    source: Source
    is_predicted: bool
    position: np.ndarray | None = None
    covariance: np.ndarray | None = None
    velocity: np.ndarray | None = None
    size: tuple[float, float] = (0.0, 0.0)
    is_fixed: bool = False


@dataclass
class _Course:
    """A filter, and what it lives on."""

    motion: ConstantVelocity
    is_fixed: bool
    source: Source
    ranged: int  # stamp of the last range that was taken in
    misfit: int | None = None  # stamp of the first of those ranges since then that do not fit


class TargetLocator:
    """Locates one target.

    Args:
        config: May be exchanged at any time.
    """

    def __init__(self, config: PoseConfig) -> None:
        self.config = config
        self._stamp: int | None = None  # of the last observation
        self._seen = 0  # stamp of the last one in which it was TRACKING
        self._angles: ConstantVelocity | None = None  # azimuth and elevation
        self._course: _Course | None = None

    def observe(self, seen: Observation, view: View) -> Estimate | None:
        """Take in a frame.

        Returns:
            Where the target is; None while that is not known.
        """
        last, self._stamp = self._stamp, seen.stamp
        if seen.status is TrackStatus.LOST or (last is not None and seen.stamp < last):
            self._forget()
        elif last is not None:
            self._predict((seen.stamp - last) / 1e9)
        if seen.status is TrackStatus.LOST:
            return None
        if self._course is not None and self._course.is_fixed != (view.to_fixed is not None):
            self._course = None
        if self._angles is not None and seen.stamp - self._seen > self._coast:
            self._forget()
        if self._course is not None and seen.stamp - self._course.ranged > self._coast:
            self._course = None
        box = seen.box
        rays = view.camera.rays(
            np.array([(box.cx, box.cy), (box.x, box.cy), (box.x2, box.cy), (box.cx, box.y2)])
        )
        if seen.status is not TrackStatus.TRACKING or not np.isfinite(rays[0]).all():
            return self._estimate(view, box, is_seen=False, is_ranged=False)
        self._seen = seen.stamp
        ray = rays[0]
        # The extents of the box as angles; where an edge has no ray, as the other one
        extent = np.arccos(np.clip(rays[1:] @ ray, -1, 1))
        error = max(2 * self.config.box_error * float(np.nanmax([*extent, 1e-4])), 1e-4)
        self._turn(ray, error)
        is_ranged = self._move(seen, view, ray, error)
        return self._estimate(view, box, is_seen=True, is_ranged=is_ranged)

    @property
    def _coast(self) -> float:
        """Nanoseconds."""
        return self.config.coast * 1e9

    def _forget(self) -> None:
        self._angles = self._course = None

    def _predict(self, seconds: float) -> None:
        if self._angles is not None:
            self._angles.predict(seconds)
        if self._course is not None:
            self._course.motion.predict(seconds)

    def _turn(self, ray: np.ndarray, error: float) -> None:
        """Take in a bearing."""
        measured, covariance = angles(ray), error**2 * np.eye(2)
        if self._angles is None:
            self._angles = ConstantVelocity(measured, covariance, TURNING, TURNING)
        else:
            self._angles.update(measured, covariance)

    def _move(self, seen: Observation, view: View, ray: np.ndarray, error: float) -> bool:
        """Take in a position, or at least the ray; returns whether there was a range that fits."""
        course = self._course
        expected = self._expected(view, ray)
        found = self._range(seen, view, ray, expected)
        fits = found is not None and (expected is None or _agree(found, expected))
        if course is not None and found is not None and not fits:
            course.misfit = seen.stamp if course.misfit is None else course.misfit
            if seen.stamp - course.misfit >= self.config.reacquire * 1e9:
                course, fits = None, True
        if found is not None and fits:
            position, covariance = _on_ray(ray, found.distance, found.deviation, error)
            if view.to_fixed is not None:
                position, covariance = _moved(view.to_fixed, position, covariance)
            if course is None:
                motion = ConstantVelocity(
                    position, covariance, self.config.speed, self.config.agility
                )
                is_fixed = view.to_fixed is not None
                self._course = _Course(motion, is_fixed, found.source, seen.stamp)
            else:
                course.motion.update(position, covariance)
                course.source, course.ranged, course.misfit = found.source, seen.stamp, None
            return True
        if course is not None and expected is not None:
            self._move_across(course.motion, view, ray, error * expected.distance)
        return False

    def _move_across(
        self, motion: ConstantVelocity, view: View, ray: np.ndarray, deviation: float
    ) -> None:
        """Take in a ray alone: the target is on it, at whatever distance."""
        across = np.linalg.svd(ray[None])[2][1:]  # (2, 3), at right angles to the ray
        origin = np.zeros(3)
        if view.to_fixed is not None:
            across, origin = across @ view.to_fixed.rotation.T, view.to_fixed.translation
        motion.update(across @ origin, deviation**2 * np.eye(2), across)

    def _expected(self, view: View, ray: np.ndarray) -> Range | None:
        """The range by the motion so far."""
        if self._course is None:
            return None
        position, covariance = self._course.motion.position, self._course.motion.covariance
        if view.to_fixed is not None:
            position = view.to_fixed.back(position)
            covariance = view.to_fixed.rotation.T @ covariance @ view.to_fixed.rotation
        deviation = math.sqrt(max(float(ray @ covariance @ ray), 0.0))
        return Range(float(ray @ position), deviation, self._course.source)

    def _range(
        self, seen: Observation, view: View, ray: np.ndarray, expected: Range | None
    ) -> Range | None:
        """By the most trusted source that tells one, if possible one that is expected."""
        config, box = self.config, seen.box
        tellers: list[Range | None] = []
        if view.depth is not None:
            found = surfaces(view.depth, box, view.camera.image_size)
            if found:
                tellers.append(self._of_surfaces(found, ray, expected))
        width, height = config.known_size(seen.label)
        tellers.append(by_size(view.camera, box, width, height, config.box_error))
        if view.ground is not None:
            tellers.append(by_ground(view.camera, box, view.ground, config.box_error))
        inside = [
            each
            for each in tellers
            if each is not None and config.min_range <= each.distance <= config.max_range
        ]
        fitting = (each for each in inside if expected is not None and _agree(each, expected))
        return next(fitting, inside[0] if inside else None)

    def _of_surfaces(self, found: list[Surface], ray: np.ndarray, expected: Range | None) -> Range:
        """The target's surface: the one where it is expected, else the front one."""
        ranges = [by_depth(surface, ray, self.config.depth_error) for surface in found]
        if expected is not None:
            nearest = min(ranges, key=lambda each: abs(each.distance - expected.distance))
            if _agree(nearest, expected):
                return nearest
        return ranges[found.index(front(found))]

    def _estimate(self, view: View, box: Box, is_seen: bool, is_ranged: bool) -> Estimate | None:
        if self._angles is None:
            return None
        course, to_fixed = self._course, view.to_fixed
        turned, rate = self._angles.position, self._angles.velocity
        if course is not None and not is_seen and to_fixed is not None:
            # The robot's own motion is known in the fixed frame, and not to the bearing's filter
            turned = angles(to_fixed.back(course.motion.position))
        bearing = Bearing(*map(float, (*turned, *rate)))
        if course is not None:
            position, covariance = course.motion.position, course.motion.covariance
            velocity, source, is_fixed = course.motion.velocity, course.source, course.is_fixed
        elif self.config.nominal_range:
            distance = self.config.nominal_range
            towards = direction(bearing)
            position, covariance = _on_ray(towards, distance, distance, self.config.box_error)
            velocity, source, is_fixed = np.zeros(3), Source.NONE, to_fixed is not None
            if to_fixed is not None:
                position, covariance = _moved(to_fixed, position, covariance)
        else:
            return Estimate(bearing, Source.NONE, is_predicted=not is_seen)
        seen_from = position if to_fixed is None else to_fixed.back(position)
        size = _metric_size(view.camera, box, float(seen_from[2]))
        is_predicted = not (is_seen if course is None else is_ranged)
        return Estimate(
            bearing, source, is_predicted, position, covariance, velocity, size, is_fixed
        )


def angles(point: np.ndarray) -> np.ndarray:
    """Azimuth and elevation of a point or ray in the optical frame, radians; see `Bearing`."""
    x, y, z = point
    return np.array([math.atan2(-x, z), math.atan2(-y, math.hypot(x, z))])


def direction(bearing: Bearing) -> np.ndarray:
    """(3,) unit vector in the optical frame, the inverse of `angles`."""
    level = math.cos(bearing.elevation)
    return np.array(
        [
            -level * math.sin(bearing.azimuth),
            -math.sin(bearing.elevation),
            level * math.cos(bearing.azimuth),
        ]
    )


def _agree(found: Range, expected: Range) -> bool:
    return abs(found.distance - expected.distance) <= GATE * math.hypot(
        found.deviation, expected.deviation
    )


def _on_ray(
    ray: np.ndarray, distance: float, deviation: float, error: float
) -> tuple[np.ndarray, np.ndarray]:
    """A position and its covariance from a range and the error of the bearing in radians."""
    along = np.outer(ray, ray)
    across = (distance * error) ** 2 * (np.eye(3) - along)
    return distance * ray, deviation**2 * along + across


def _moved(
    to_fixed: RigidTransform, position: np.ndarray, covariance: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    return to_fixed(position), to_fixed.rotation @ covariance @ to_fixed.rotation.T


def _metric_size(camera: CameraModel, box: Box, z: float) -> tuple[float, float]:
    """Width and height in metres of what fills a box at a depth; 0 where that has no rays."""
    edges = [(box.x, box.cy), (box.x2, box.cy), (box.cx, box.y), (box.cx, box.y2)]
    rays = camera.rays(np.array(edges))
    left, right, top, bottom = np.nan_to_num(rays / rays[:, 2:]) * z
    return float(abs(right[0] - left[0])), float(abs(bottom[1] - top[1]))

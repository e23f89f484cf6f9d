# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""target_pose over real DDS: where targets are, and what it does with what does not fit."""

from __future__ import annotations

import array
from collections.abc import Callable
import gc
import math
import subprocess
import sys
import time
from typing import Any

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import PoseStamped, PoseWithCovarianceStamped, Vector3Stamped
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
import numpy as np
import pytest
from rcl_interfaces.msg import Log
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, qos_profile_sensor_data, QoSProfile
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header
from tracker_nodes.msg import TrackStatus, TrackStatusArray
from vision_msgs.msg import Detection2D, Detection2DArray, Detection3DArray
from visualization_msgs.msg import MarkerArray

from tracker_core import Box, ParameterError
from tracker_core.media.scene import render_scene
from tracker_core.media.space import Space
from tracker_core.pose.camera import CameraModel
from tracker_core.pose.depth import DepthImage
from tracker_core.pose.locate import angles
from tracker_core.pose.transform import RigidTransform
from tracker_nodes import fixed_frame
from tracker_nodes.conversions import box_to_message, nanoseconds
from tracker_nodes.depth_encodings import fill_depth
from tracker_nodes.target_pose import TargetPose

FRAME = 'camera_color_optical_frame'
SIZE = (320, 240)


@pytest.fixture(scope='module')
def space() -> Space:
    """Whose object stands on the floor before a level camera."""
    return Space(render_scene('walk', frames=60, size=SIZE, seed=1))


def camera_info(camera: CameraModel) -> CameraInfo:
    message = CameraInfo(width=camera.width, height=camera.height, distortion_model='plumb_bob')
    message.header.frame_id = FRAME
    message.k = camera.k.ravel()
    message.d = [0.0] * 5
    message.r = np.eye(3).ravel()
    message.p = np.hstack([camera.k, np.zeros((3, 1))]).ravel()
    return message


def depth_message(depth: DepthImage, header: Header, encoding: str = '32FC1') -> Image:
    if encoding == '16UC1':
        depth = DepthImage((1000 * depth.values).round().astype(np.uint16), 0.001)
    return fill_depth(Image(header=header), depth)


class Robot:
    """A tracker, a camera and whoever listens."""

    def __init__(self, operator: Any, space: Space) -> None:
        self.operator, self.space = operator, space
        node = operator.node
        self.status = node.create_publisher(TrackStatusArray, 'status', 10)
        self.infos = node.create_publisher(CameraInfo, 'camera_info', qos_profile_sensor_data)
        self.depths = node.create_publisher(Image, 'depth', qos_profile_sensor_data)
        self.poses: list[PoseWithCovarianceStamped] = operator.listen(
            PoseWithCovarianceStamped, 'target_pose'
        )
        self.detections: list[Detection3DArray] = operator.listen(
            Detection3DArray, 'detections_3d'
        )
        self.goals: list[PoseStamped] = operator.listen(PoseStamped, 'pose')
        self.bearings: list[Vector3Stamped] = operator.listen(Vector3Stamped, 'bearing')
        self.rates: list[Vector3Stamped] = operator.listen(Vector3Stamped, 'bearing_rate')
        self.logs: list[Log] = operator.listen(
            Log, '/rosout', qos=QoSProfile(depth=1000, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        )
        self.stamp = self.began = time.time_ns()

    def said(self, words: str) -> list[str]:
        """What the node of this test has logged with these words, from a warning on."""
        return [
            log.msg
            for log in list(self.logs)
            if words in log.msg and log.level >= 30 and nanoseconds(log.stamp) > self.began
        ]

    def begin(self, with_depth: bool = True, info: CameraInfo | None = None) -> None:
        """Have all ends found each other, and the camera known."""
        wait = self.operator.wait_until
        publishers = [self.status, self.infos, *([self.depths] if with_depth else [])]
        wait(lambda: all(p.get_subscription_count() for p in publishers), 'the subscriptions')
        for topic in ('target_pose', 'detections_3d', 'pose', 'bearing', 'bearing_rate'):
            wait(lambda topic=topic: self.operator.hears(topic), topic)
        self.infos.publish(info or camera_info(self.space.camera))

    def header(self, stamp: int | None = None) -> Header:
        stamp = self.stamp if stamp is None else stamp
        return Header(frame_id=FRAME, stamp=Time(sec=stamp // 10**9, nanosec=stamp % 10**9))

    def next(self) -> Header:
        self.stamp += 33_333_333
        return self.header()

    def see(
        self, i: int, header: Header, state: int = TrackStatus.TRACKING, **fields: Any
    ) -> None:
        """Publish the status of a frame."""
        box = self.space.scene.boxes[i]
        given = {'id': 'mug', 'label': 'cup', 'score': 0.9, 'bbox': box_to_message(box), **fields}
        target = TrackStatus(state=state, **given)
        self.status.publish(TrackStatusArray(header=header, targets=[target]))

    def answer(self, header: Header) -> Detection3DArray:
        """The detections of a frame."""
        stamp = nanoseconds(header.stamp)
        return self.operator.wait_until(
            lambda: next(
                (m for m in reversed(self.detections) if nanoseconds(m.header.stamp) == stamp),
                None,
            ),
            f'the answer to {stamp}',
        )

    def show(
        self, i: int, state: int = TrackStatus.TRACKING, encoding: str = '32FC1', **fields: Any
    ) -> Detection3DArray:
        """Publish depth and status of a frame, and wait for the answer."""
        header = self.next()
        self.depths.publish(depth_message(self.space.depth(i), header, encoding))
        self.see(i, header, state, **fields)
        return self.answer(header)

    def see_alone(self, i: int, **fields: Any) -> Detection3DArray:
        """A frame without depth."""
        header = self.next()
        self.see(i, header, **fields)
        return self.answer(header)


@pytest.fixture
def robot(operator: Any, space: Space) -> Robot:
    return Robot(operator, space)


@pytest.fixture
def start_pose(spin: Callable[[Any], None]) -> Callable[..., TargetPose]:
    """Starts a target_pose in this process; parameters as keywords, without TF."""

    def start(**parameters: Any) -> TargetPose:
        gc.collect()  # a node that is gone, but not freed yet, would take this one's log with it
        given = {'fixed_frame': '', **parameters}
        node = TargetPose(
            parameter_overrides=[Parameter(name, value=value) for name, value in given.items()]
        )
        node.start()
        spin(node)
        return node

    return start


def position(detections: Detection3DArray) -> np.ndarray:
    (detection,) = detections.detections
    point = detection.bbox.center.position
    return np.array([point.x, point.y, point.z])


@pytest.mark.parametrize('encoding', ['32FC1', '16UC1'])
def test_a_target_is_where_the_scene_has_it(
    start_pose: Any, robot: Robot, space: Space, encoding: str
):
    start_pose(patience=5.0)
    robot.begin()
    robot.operator.wait_until(lambda: robot.show(0, encoding=encoding).detections, 'a pose')
    for i in range(1, 20):
        answer = robot.show(i, encoding=encoding)
        place = space.place(i)
        assert answer.header.frame_id == FRAME
        np.testing.assert_allclose(position(answer), place, atol=0.05)
    (detection,) = answer.detections
    assert (detection.id, detection.results[0].hypothesis.class_id) == ('mug', 'cup')
    assert detection.results[0].hypothesis.score == pytest.approx(0.9)
    assert detection.bbox.size.y == pytest.approx(space.object_size[0], rel=0.3)
    assert detection.bbox.size.z == pytest.approx(space.object_size[1], rel=0.1)
    wait = robot.operator.wait_until
    wait(lambda: robot.goals[-1].header == answer.header, 'the goal')
    wait(lambda: robot.poses[-1].header == answer.header, 'the pose')
    wait(lambda: robot.rates[-1].header == answer.header, 'the rate')
    assert robot.goals[-1].pose == robot.poses[-1].pose.pose == detection.bbox.center
    covariance = robot.poses[-1].pose.covariance.reshape(6, 6)
    assert 0 < covariance[2, 2] < 0.1**2
    assert covariance[5, 5] == pytest.approx(math.pi**2), 'how it is turned is not known'
    azimuth, elevation = angles(place)
    assert robot.bearings[-1].vector.x == pytest.approx(azimuth, abs=2e-3)
    assert robot.bearings[-1].vector.y == pytest.approx(elevation, abs=2e-3)
    turn = detection.bbox.center.orientation
    forward = RigidTransform.from_quaternion((turn.x, turn.y, turn.z, turn.w), np.zeros(3))
    np.testing.assert_allclose(forward.rotation[:, 0], place / np.linalg.norm(place), atol=0.02)
    assert not robot.said('')


def test_silence_when_lost(start_pose: Any, robot: Robot, space: Space):
    start_pose(patience=5.0, coast=0.2)
    robot.begin()
    robot.operator.wait_until(lambda: robot.show(0).detections, 'a pose')
    assert robot.show(1, TrackStatus.UNCERTAIN).detections, 'predicted'
    assert not robot.show(2, TrackStatus.LOST).detections
    poses, bearings = len(robot.poses), len(robot.bearings)
    for i in range(3, 8):
        assert not robot.show(i, TrackStatus.LOST).detections
    assert robot.show(8).detections
    for i in range(9, 15):  # 0.2 s
        assert robot.show(i, TrackStatus.UNCERTAIN).detections
    for i in range(15, 18):
        assert not robot.show(i, TrackStatus.UNCERTAIN).detections
    robot.operator.wait_until(lambda: len(robot.poses) == poses + 7, 'the poses')
    robot.operator.wait_until(lambda: len(robot.bearings) == bearings + 7, 'the bearings')


def test_a_known_size_can_be_set_at_any_time(start_pose: Any, robot: Robot, space: Space):
    node = start_pose(depth_transport='none')
    robot.begin(with_depth=False)
    bearing = robot.operator.wait_until(
        lambda: robot.see_alone(0) and robot.bearings and robot.bearings[-1], 'a bearing'
    )
    assert bearing.header.frame_id == FRAME
    assert not robot.poses, 'nothing tells the range'
    height = f'{space.object_size[1]:.4f}'
    (result,) = node.set_parameters([Parameter('object_heights', value=f'cup: {height}')])
    assert result.successful, result.reason
    np.testing.assert_allclose(position(robot.see_alone(1)), space.place(1), rtol=0.05, atol=0.01)
    for name, value, reason in (
        ('object_heights', 'cup: high', 'must be pairs'),
        ('coast', -1.0, 'coast'),
        ('min_range', 99.0, 'has to lie below max_range'),
        ('depth_transport', 'raw', 'clean the node up first'),
    ):
        (result,) = node.set_parameters([Parameter(name, value=value)])
        assert not result.successful
        assert reason in result.reason or name in result.reason
    (result,) = node.set_parameters([Parameter('nominal_range', value=2.0)])
    assert result.successful
    far = position(robot.see_alone(2, id='other', label='thing'))
    assert np.linalg.norm(far) == pytest.approx(2.0)


def test_the_ground_below_a_camera_of_known_height(start_pose: Any, robot: Robot, space: Space):
    start_pose(depth_transport='none', ground=True, camera_height=space.object_size[1])
    robot.begin(with_depth=False)
    robot.operator.wait_until(lambda: robot.see_alone(0).detections, 'a pose')
    for i in range(1, 5):
        np.testing.assert_allclose(
            position(robot.see_alone(i)), space.place(i), rtol=0.05, atol=0.01
        )


# What does not fit: one line each, and a sensible output


def test_depth_that_comes_late_is_waited_for(start_pose: Any, robot: Robot, space: Space):
    start_pose(patience=5.0)
    robot.begin()
    robot.operator.wait_until(lambda: robot.show(0).detections, 'a pose')
    first = robot.next()
    robot.see(1, first)
    second = robot.next()
    robot.see(2, second)
    time.sleep(0.1)
    assert nanoseconds(robot.detections[-1].header.stamp) < nanoseconds(first.stamp)
    robot.depths.publish(depth_message(space.depth(2), second))
    np.testing.assert_allclose(position(robot.answer(second)), space.place(2), atol=0.05)
    stamps = [nanoseconds(m.header.stamp) for m in robot.detections]
    assert stamps == sorted(stamps), 'in their order'
    assert nanoseconds(first.stamp) in stamps


def test_depth_that_comes_too_late_is_told(start_pose: Any, robot: Robot, space: Space):
    start_pose(patience=0.0)
    robot.begin()
    robot.operator.wait_until(lambda: robot.show(0), 'an answer')

    def frame() -> list[str]:
        header = robot.next()
        robot.see(1, header)
        robot.answer(header)
        robot.depths.publish(depth_message(space.depth(1), header))
        time.sleep(0.01)
        return robot.said('the depth images come too late')

    (line,) = robot.operator.wait_until(frame, 'the line')
    assert line.endswith('going on without depth')
    assert robot.bearings
    for _ in range(5):
        frame()
    assert len(robot.said('too late')) == 1


def test_missing_depth_leaves_bearings(
    start_pose: Any, robot: Robot, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr('tracker_nodes.silence.PATIENCE', 1.0)
    robot.operator.node.destroy_publisher(robot.depths)
    start_pose()
    health = robot.operator.listen(DiagnosticArray, '/diagnostics')
    robot.begin(with_depth=False)
    robot.operator.wait_until(
        lambda: robot.see_alone(0) and robot.said('no image on /depth for 1 s: nobody'), 'a line'
    )
    assert len(robot.said('/depth')) == 1
    assert robot.bearings
    assert not robot.poses
    robot.operator.wait_until(
        lambda: (
            robot.see_alone(0)
            and health
            and health[-1].status[0].level == DiagnosticStatus.WARN
            and 'no image on /depth' in health[-1].status[0].message
        ),
        'the diagnosis',
    )


def test_depth_of_half_the_size_and_a_third_of_the_rate(
    start_pose: Any, robot: Robot, space: Space
):
    """In between the range is predicted."""
    start_pose(patience=0.05)
    robot.begin()
    robot.operator.wait_until(lambda: robot.show(0).detections, 'a pose')
    for i in range(1, 20):
        header = robot.next()
        if i % 3 == 0:
            half = DepthImage(np.ascontiguousarray(space.depth(i).values[::2, ::2]))
            robot.depths.publish(depth_message(half, header))
        robot.see(i, header)
        close = 0.3 if i < 9 else 0.1  # once its velocity is known
        np.testing.assert_allclose(position(robot.answer(header)), space.place(i), atol=close)
    assert not robot.said('')


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        ({'encoding': 'rgb8'}, "encoding 'rgb8', step 1280, 307200 bytes: depth is expected as"),
        ({'width': 9999}, 'these do not fit together, a row takes 39996 bytes'),
        ({'height': 120}, 'are 320 x 120 pixels and the images 320 x 240, of another shape'),
        ({'data': array.array('B')}, '0 bytes: these do not fit together'),
    ],
    ids=['encoding', 'step', 'shape', 'truncated'],
)
def test_depth_that_cannot_be_used_is_told_once(
    start_pose: Any, robot: Robot, space: Space, change: dict, words: str
):
    start_pose(patience=5.0)
    robot.begin()
    for _ in range(4):
        header = robot.next()
        message = depth_message(space.depth(0), header)
        for name, value in change.items():
            setattr(message, name, value)
        robot.depths.publish(message)
        robot.see(0, header)
        assert not robot.answer(header).detections
    robot.operator.wait_until(lambda: robot.said(words), 'the line')
    robot.operator.wait_until(lambda: len(robot.bearings) >= 3, 'bearings nevertheless')
    (line,) = robot.said('depth image')
    assert line.endswith('going on without depth')


def test_stamps_that_do_not_match_are_told_once(start_pose: Any, robot: Robot, space: Space):
    start_pose(patience=0.05, object_height=space.object_size[1])
    robot.begin()
    robot.operator.wait_until(lambda: robot.show(0).detections, 'a pose')
    for _ in range(20):
        header = robot.next()
        robot.depths.publish(
            depth_message(space.depth(0), robot.header(robot.stamp + 116_000_000))
        )
        robot.see(0, header)
        np.testing.assert_allclose(position(robot.answer(header)), space.place(0), rtol=0.1)
    lines = robot.operator.wait_until(lambda: robot.said('no depth image has the stamp'), 'a line')
    assert len(lines) == 1
    assert 'or raise depth_slop' in lines[0]


def test_a_camera_without_calibration_is_told_once(start_pose: Any, robot: Robot, space: Space):
    node = start_pose(depth_transport='none', nominal_range=3.0)
    nothing = CameraInfo(width=SIZE[0], height=SIZE[1])
    nothing.header.frame_id = FRAME
    robot.begin(with_depth=False, info=nothing)
    (line,) = robot.operator.wait_until(
        lambda: robot.said('not calibrated (K is all zeros)'), 'it'
    )
    assert 'or give field_of_view' in line
    for _ in range(3):
        robot.infos.publish(nothing)
        robot.see(0, robot.next())
    time.sleep(0.2)
    assert not robot.detections
    (result,) = node.set_parameters([Parameter('field_of_view', value=58.1)])
    assert result.successful
    there = position(robot.operator.wait_until(lambda: robot.see_alone(0), 'a pose'))
    np.testing.assert_allclose(angles(there), angles(space.place(0)), atol=0.01)
    assert len(robot.said('not calibrated')) == 1


def test_without_camera_info_nothing_comes_and_one_line_says_why(
    start_pose: Any, robot: Robot, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr('tracker_nodes.silence.PATIENCE', 1.0)
    robot.operator.node.destroy_publisher(robot.infos)
    start_pose(depth_transport='none')
    robot.operator.wait_until(robot.status.get_subscription_count, 'the subscription')
    for _ in range(3):
        robot.see(0, robot.next())
    (line,) = robot.operator.wait_until(lambda: robot.said('no camera_info on /camera_info'), 'it')
    assert 'nobody publishes it' in line
    assert not robot.detections


def test_a_latched_camera_info_arrives(start_pose: Any, robot: Robot, space: Space):
    robot.operator.node.destroy_publisher(robot.infos)
    qos = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    robot.infos = robot.operator.node.create_publisher(CameraInfo, 'camera_info', qos)
    robot.infos.publish(camera_info(space.camera))
    start_pose(depth_transport='none', nominal_range=1.0)
    robot.operator.wait_until(robot.status.get_subscription_count, 'the subscription')

    def is_known() -> bool:
        robot.see(0, robot.next())
        time.sleep(0.05)
        return bool(robot.detections)

    robot.operator.wait_until(is_known, 'a pose')


@pytest.mark.parametrize('box', [Box(1, 2, 3, 4), None], ids=['no state', 'no box'])
def test_a_target_that_is_none_is_left_out(start_pose: Any, robot: Robot, box: Box | None):
    start_pose(depth_transport='none', nominal_range=1.0)
    robot.begin(with_depth=False)
    bbox = box_to_message(box or Box(1, 2, 3, 4))
    if box is None:
        bbox.center.position.x = math.nan
    state = TrackStatus.TRACKING if box is None else 17
    assert not robot.operator.wait_until(
        lambda: robot.see_alone(0, bbox=bbox, state=state), 'an answer'
    ).detections
    robot.operator.wait_until(lambda: robot.said("target 'mug' is left out"), 'the line')


def test_detections_of_another_node_are_located(start_pose: Any, robot: Robot, space: Space):
    """A detector has no `status`."""
    node = robot.operator.node
    node.destroy_publisher(robot.status)
    robot.status = node.create_publisher(Detection2DArray, 'detections', 10)
    start_pose(depth_transport='none', nominal_range=4.0)
    robot.begin(with_depth=False)
    seen = Detection2D(bbox=box_to_message(space.scene.boxes[0]))

    def answer() -> list:
        header = robot.next()
        robot.status.publish(Detection2DArray(header=header, detections=[seen]))
        return robot.answer(header).detections

    (detection,) = robot.operator.wait_until(answer, 'a pose')
    assert detection.id == '_0'


class StandIn:
    """What tf2 does, which has no wheels: a camera half a metre up that looks along x of odom."""

    OPTICAL = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])
    published: list[tuple[Header, str]] = []  # noqa: RUF012

    def __init__(self, node: Any) -> None:
        self.published.clear()

    def lookup(self, target: str, source: str, stamp: int) -> RigidTransform | str:
        assert source == FRAME
        if target == 'map':
            return 'no such frame'
        return RigidTransform(self.OPTICAL, np.array([1.0, 2.0, 0.5]))

    def publish(self, header: Header, child: str, pose: Any) -> None:
        self.published.append((header, child))

    def close(self) -> None:
        pass


def test_poses_in_the_fixed_frame(
    start_pose: Any, robot: Robot, space: Space, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(fixed_frame, 'Transforms', StandIn)
    start_pose(patience=5.0, fixed_frame='odom', target_frame='followed')
    robot.begin()
    robot.operator.wait_until(lambda: robot.show(0).detections, 'a pose')
    for i in range(1, 10):
        answer = robot.show(i)
        expected = StandIn.OPTICAL @ space.place(i) + (1.0, 2.0, 0.5)
        np.testing.assert_allclose(position(answer), expected, atol=0.05)
    assert answer.header.frame_id == 'odom'
    turn = answer.detections[0].bbox.center.orientation
    assert (turn.x, turn.y) == pytest.approx((0, 0)), 'level'
    assert StandIn.published[-1] == (answer.header, 'followed')
    assert robot.bearings[-1].header.frame_id == FRAME


def test_the_camera_frame_serves_where_tf_does_not_lead_to_the_fixed_one(
    start_pose: Any, robot: Robot, space: Space, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(fixed_frame, 'Transforms', StandIn)
    start_pose(patience=5.0, fixed_frame='map')
    robot.begin()
    robot.operator.wait_until(lambda: robot.show(0).detections, 'a pose')
    assert robot.show(1).header.frame_id == FRAME
    robot.operator.wait_until(lambda: robot.said(f'no transform from {FRAME} to map'), 'the line')
    assert len(robot.said('no transform')) == 1


def test_without_tf2_it_says_so_once(start_pose: Any, robot: Robot):
    try:
        import tf2_ros  # noqa: F401

        pytest.skip('tf2_ros is installed')
    except ImportError:
        pass
    robot.operator.wait_until(lambda: robot.operator.hears('/rosout'), 'the log')
    start_pose(depth_transport='none', nominal_range=1.0, fixed_frame='odom', ground=True)
    robot.begin(with_depth=False)
    robot.operator.wait_until(lambda: robot.see_alone(0).detections, 'a pose')
    robot.operator.wait_until(lambda: robot.said('tf2_ros is not installed'), 'the line')
    assert len(robot.said('tf2_ros')) == 1
    assert robot.said('without TF the ground needs camera_height')


def test_markers_only_while_somebody_looks(start_pose: Any, robot: Robot):
    start_pose(depth_transport='none', nominal_range=1.0)
    robot.begin(with_depth=False)
    markers: list[MarkerArray] = robot.operator.listen(MarkerArray, 'target_markers')
    robot.operator.wait_until(lambda: robot.see_alone(0) and markers, 'markers')
    clear, box, text = markers[-1].markers
    assert clear.action == clear.DELETEALL
    assert box.header.frame_id == FRAME
    assert text.text == 'mug (none)'


def test_one_target_can_be_chosen(start_pose: Any, robot: Robot, space: Space):
    start_pose(depth_transport='none', nominal_range=1.0, target='b')
    robot.begin(with_depth=False)
    boxes = [box_to_message(Box(10 + 100 * n, 50, 40, 40)) for n in range(3)]

    def both() -> bool:
        targets = [
            TrackStatus(id=name, state=TrackStatus.TRACKING, bbox=box)
            for name, box in zip('abc', boxes, strict=True)
        ]
        header = robot.next()
        robot.status.publish(TrackStatusArray(header=header, targets=targets))
        return len(robot.answer(header).detections) == 3 and len(robot.poses) >= 3

    robot.operator.wait_until(both, 'three poses')
    middle = robot.detections[-1].detections[1]
    assert middle.id == 'b'
    robot.operator.wait_until(lambda: robot.goals, 'the goal')
    assert robot.goals[-1].pose.position == middle.bbox.center.position


def test_it_can_be_stopped_and_started(start_pose: Any, robot: Robot):
    start_pose(depth_transport='none', nominal_range=1.0, autostart=False)
    for step in (
        Transition.TRANSITION_CONFIGURE,
        Transition.TRANSITION_ACTIVATE,
        Transition.TRANSITION_DEACTIVATE,
        Transition.TRANSITION_CLEANUP,
        Transition.TRANSITION_CONFIGURE,
        Transition.TRANSITION_ACTIVATE,
    ):
        answer = robot.operator.call(
            ChangeState, 'target_pose/change_state', transition=Transition(id=step)
        )
        assert answer.success
    robot.begin(with_depth=False)
    robot.operator.wait_until(lambda: robot.see_alone(0).detections, 'a pose')


def test_what_does_not_fit_at_the_start_is_named(ros: None):
    for name, value, words in (
        ('object_heights', 'tall', 'object_heights must be pairs'),
        ('depth_transport', 'theora', 'must be one of raw'),
        ('min_range', 50.0, 'has to lie below max_range'),
    ):
        with pytest.raises(ParameterError, match=words):
            TargetPose(parameter_overrides=[Parameter(name, value=value)])


def test_it_needs_no_torch():
    """So it starts at once, beside any detector."""
    code = 'import sys, tracker_nodes.target_pose; assert "torch" not in sys.modules'
    subprocess.run([sys.executable, '-c', code], check=True)

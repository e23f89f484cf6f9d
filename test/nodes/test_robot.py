# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Nodes as processes on a robot: several cameras at once, and any of them killed in the middle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
import subprocess
import sys
import time
from typing import Any

import pytest
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image
from tracker_nodes.msg import TrackStatusArray
from tracker_nodes.srv import InitTarget

from tracker_core import Box, create_tracker
from tracker_core.media.scene import render_scene, Scene
from tracker_nodes.conversions import box_from_message, box_to_message, nanoseconds

FRAMES = 12
SETTINGS = {'tracker': 'tadt', 'device': 'cpu'}


@dataclass
class Camera:
    """A camera, the node that looks through it, and its user.

    Attributes:
        namespace: Of the node.
        topic: That the camera publishes.
        scene: What it sees.
        boxes: By the targets' names, where they are in the first frame.
    """

    namespace: str
    topic: str
    scene: Scene
    boxes: dict[str, Box]
    operator: Any = None
    process: Any = None


def targets(scene: Scene, names: tuple[str, str, str]) -> dict[str, Box]:
    """The object and two places of the ground."""
    width, height = scene.size
    ground = (Box(10, 12, 50, 40), Box(width - 70, height - 60, 44, 48))
    return dict(zip(names, (scene.boxes[0], *ground), strict=True))


def test_two_cameras_three_targets_each(start_process: Any, make_operator: Any):
    """Each namespace has the boxes that the library gives for its own camera, and no others."""
    cameras = []
    for namespace, topic, seed, names in (
        ('left', 'camera/image_raw', 1, ('cup', 'plate', 'bin')),  # relative: in the namespace
        ('right', '/rig/right/rgb', 2, ('cup', 'shelf', 'door')),  # elsewhere
    ):
        scene = render_scene('calm', frames=FRAMES, size=(320, 240), seed=seed)
        camera = Camera(namespace, topic, scene, targets(scene, names))
        options = ('-r', f'__ns:=/{namespace}', '-r', f'image:={topic}', '-r', '__node:=eye')
        camera.process = start_process('tracker_node', *options, **SETTINGS)
        camera.operator = make_operator(namespace)
        camera.operator.camera = camera.operator.node.create_publisher(
            Image, topic, qos_profile_sensor_data
        )
        cameras.append(camera)

    for camera in cameras:
        camera.operator.show(camera.scene[0])
        for name, box in camera.boxes.items():
            answer = camera.operator.init(box, id=name, label=f'{camera.namespace} {name}')
            assert answer.success, answer.message

    stamps = []
    for number in range(1, FRAMES):
        messages = [camera.operator.image(camera.scene[number], 'bgr8') for camera in cameras]
        for camera, message in zip(cameras, messages, strict=True):
            message.header.frame_id = camera.namespace
            camera.operator.publish(message)  # both at once
        stamps.append([nanoseconds(message.header.stamp) for message in messages])
        for camera, stamp in zip(cameras, stamps[-1], strict=True):
            camera.operator.wait_until(
                lambda c=camera, s=stamp: c.operator.status_of(s), f'{camera.namespace} {number}'
            )

    tracker = create_tracker('tadt', device='cpu')
    for index, camera in enumerate(cameras):
        scene = camera.scene
        library = [tracker.start(scene[0], box) for box in camera.boxes.values()]
        for number in range(1, FRAMES):
            tracks = tracker.track_many(scene[number], library)
            status = camera.operator.status_of(stamps[number - 1][index])
            assert status.header.frame_id == camera.namespace
            assert [told.id for told in status.targets] == list(camera.boxes)
            for told, track in zip(status.targets, tracks, strict=True):
                assert told.label == f'{camera.namespace} {told.id}'
                assert box_from_message(told.bbox).as_xywh() == pytest.approx(
                    track.box.as_xywh(), abs=0.05
                )
                assert told.state == track.status
        followed = box_from_message(status.targets[0].bbox)
        assert followed.iou(scene.boxes[-1]) > 0.5, f'{camera.namespace} lost its object'
        assert camera.process.is_alive
        detections = camera.operator.detections
        assert {d.header.frame_id for array in detections for d in array.detections} <= {
            'camera_optical_frame',
            camera.namespace,
        }


@pytest.fixture
def start_camera(start_process: Any, still: tuple[Path, Box]) -> Callable[..., Any]:
    """Starts a camera process; its name is the frame_id of its images."""

    def start(name: str, **parameters: Any) -> Any:
        settings = {'video': still[0], 'rate': 10.0, 'loop': True, 'frame_id': name, **parameters}
        return start_process('video_source', **settings)

    return start


def newest(operator: Any, camera: str, since: int = 0) -> TrackStatusArray | None:
    """The last status of a frame of that camera, of those that came after the first `since`."""
    found = [s for s in operator.statuses[since:] if s.header.frame_id == camera]
    return found[-1] if found else None


def follow(operator: Any, box: Box, name: str) -> InitTarget.Response:
    """Call init_target until it is answered: a request to a node that was just killed never is."""
    client = operator.node.create_client(InitTarget, 'init_target')
    request = InitTarget.Request(id=name, bbox=box_to_message(box))
    answers: list[InitTarget.Response] = []

    def answered() -> bool:
        if not client.wait_for_service(1.0):
            return False
        future = client.call_async(request)
        end = time.monotonic() + 5
        while not future.done() and time.monotonic() < end:
            time.sleep(0.01)
        if future.done() and future.result().error_code != InitTarget.Response.NO_IMAGE:
            answers.append(future.result())
        return bool(answers)

    operator.wait_until(answered, 'the answer of init_target')
    operator.node.destroy_client(client)
    return answers[0]


def test_targets_survive_a_camera_that_is_killed_and_comes_back(
    start_process: Any, start_camera: Any, operator: Any, still: tuple[Path, Box]
):
    """Each time with another quality of service: best effort, reliable, and best effort again."""
    node = start_process('tracker_node', **SETTINGS)
    camera = start_camera('first')
    operator.wait_until(lambda: newest(operator, 'first'), 'the first camera')
    assert follow(operator, still[1], 'mug').success
    ages = [0]
    for name, lockstep in (('second', True), ('third', False)):
        old = operator.wait_until(
            lambda: (s := operator.statuses[-1]).targets and s.targets[0].age > ages[-1] and s,
            'the target',
        )
        camera.end()
        ages.append(old.targets[0].age)
        camera = start_camera(name, lockstep=lockstep)
        since = len(operator.statuses)
        new = operator.wait_until(
            lambda name=name, since=since: newest(operator, name, since), f'the {name} camera'
        )
        assert [target.id for target in new.targets] == ['mug']
        assert new.targets[0].age > ages[-1], 'it was never started again'
        assert box_from_message(new.targets[0].bbox).iou(still[1]) > 0.5
        assert new.frames > old.frames, 'the node is still the first one'
    assert node.is_alive
    assert node.logged('Traceback') == []


def test_a_killed_node_can_be_started_again(
    start_process: Any, start_camera: Any, operator: Any, still: tuple[Path, Box]
):
    """The camera plays on, listeners hear the new node, and it takes a target as the first did."""
    node = start_process('tracker_node', **SETTINGS)
    camera = start_camera('eye')
    operator.wait_until(lambda: newest(operator, 'eye'), 'the camera')
    assert follow(operator, still[1], 'mug').success
    operator.wait_until(lambda: operator.statuses[-1].targets, 'the target')
    node.end()

    since = len(operator.statuses)
    node = start_process('tracker_node', **SETTINGS)
    first = operator.wait_until(lambda: newest(operator, 'eye', since), 'the second node')
    assert first.targets == [], 'a new node follows nothing'
    assert follow(operator, still[1], 'mug').success
    told = operator.wait_until(lambda: operator.statuses[-1].targets, 'the target')
    assert [target.id for target in told] == ['mug']
    operator.wait_until(
        lambda: any(d.id == 'mug' for d in operator.detections[-1].detections), 'its detection'
    )
    assert camera.is_alive
    assert node.is_alive


LISTENER = """
import rclpy
from rclpy.node import Node
from sensor_msgs.msg import Image
from tracker_nodes.msg import TrackStatusArray

rclpy.init()
node = Node('listener')
node.create_subscription(TrackStatusArray, 'status', lambda m: print(m.frames, flush=True), 10)
node.create_subscription(Image, 'image_annotated', lambda m: None, 10)
rclpy.spin(node)
"""


def test_nobody_waits_for_a_subscriber_that_was_killed(
    start_process: Any, start_camera: Any, operator: Any, still: tuple[Path, Box]
):
    """A reliable reader that vanishes leaves the node, the camera and the other reader alone."""
    node = start_process('tracker_node', **SETTINGS)
    camera = start_camera('eye', rate=20.0)
    operator.wait_until(lambda: newest(operator, 'eye'), 'the camera')
    assert follow(operator, still[1], 'mug').success
    for _ in range(2):  # and a second one can take its place
        listener = subprocess.Popen([sys.executable, '-c', LISTENER], stdout=subprocess.PIPE)
        try:
            frames = int(listener.stdout.readline())  # it hears the node
        finally:
            listener.kill()
            listener.communicate()
        later = frames + 25  # more than any queue holds
        operator.wait_until(lambda n=later: operator.statuses[-1].frames >= n, 'further frames')
    assert [target.id for target in operator.statuses[-1].targets] == ['mug']
    assert camera.is_alive
    assert node.is_alive

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""One tracker_node over real DDS: what it publishes, what it refuses, what it survives."""

from __future__ import annotations

import array
import math
import random
import re
import time
import weakref

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
import numpy as np
import pytest
from rcl_interfaces.msg import Log
from rcl_interfaces.srv import DescribeParameters, SetParameters
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from std_srvs.srv import SetBool, Trigger
from tracker_nodes.srv import InitTarget, RemoveTarget
from vision_msgs.msg import BoundingBox2D, Detection2D, Detection2DArray

from tracker_core import Box, create_tracker, TrackStatus
from tracker_core.media.encodings import compressed_to_rgb, fill_compressed, to_rgb
from tracker_core.media.scene import render_scene
from tracker_nodes.conversions import box_from_message, box_to_message, nanoseconds

Code = InitTarget.Response


@pytest.fixture(scope='module')
def scene():
    """Frames and boxes of a rendered object."""
    whole = render_scene('calm', frames=300, size=(320, 240))
    return [whole[i] for i in range(12)], whole.boxes[:12]


def test_a_message_box_is_the_same_box():
    """The pixel (row 2, column 5) alone is a box of size 1 x 1 with its centre at (5.5, 2.5)."""
    image = np.zeros((8, 8), np.uint8)
    image[2, 5] = 1
    rows, columns = np.nonzero(image)
    box = Box(columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1)
    message = box_to_message(box)
    center = message.center.position
    assert (center.x, center.y, message.size_x, message.size_y) == (5.5, 2.5, 1, 1)
    assert message.center.theta == 0
    assert box_from_message(message) == box


def test_every_frame_is_answered(start_node, operator, scene):
    frames, boxes = scene
    start_node()
    alone = operator.listen(Detection2D, 'detection')
    empty = operator.show(frames[0])
    assert empty.detections == []
    frames_before = operator.statuses[-1].frames

    answer = operator.init(boxes[0], id='mug', label='cup')
    assert (answer.success, answer.error_code, answer.message, answer.id) == (
        True,
        Code.NONE,
        '',
        'mug',
    )
    for number, frame in enumerate(frames[1:6], 1):
        message = operator.show(frame)
        assert message.header.frame_id == 'camera_optical_frame'
        status = operator.status_of(nanoseconds(message.header.stamp))
        assert status.header == message.header
        assert (status.tracker, status.preset) == ('tadt', 'compact')
        assert status.frames == frames_before + number
        assert status.processing_time > 0
        (target,) = status.targets
        assert (target.id, target.label, target.age) == ('mug', 'cup', number)
        for detection in message.detections:
            assert detection.header == message.header
            assert detection.id == 'mug'
            (hypothesis,) = detection.results
            assert hypothesis.hypothesis.class_id == 'cup'
            assert 0 <= hypothesis.hypothesis.score <= 1
            assert detection.bbox == target.bbox
        assert len(message.detections) == (target.state != TrackStatus.LOST)
    operator.wait_until(lambda: alone and alone[-1] == message.detections[0], 'the detection')


@pytest.mark.parametrize('encoding', ['bgr8', 'rgba8'])
def test_boxes_equal_those_of_the_library(start_node, operator, scene, encoding):
    frames, boxes = scene
    start_node()
    tracker = create_tracker('tadt', device='cpu', weights='random')
    targets = [tracker.start(frames[0], box) for box in (boxes[0], Box(30, 40, 50, 35))]
    operator.show(frames[0], encoding)
    assert operator.init(boxes[0]).id == 'target_1'
    assert operator.init(Box(30, 40, 50, 35)).id == 'target_2'
    for frame in frames[1:6]:
        message = operator.show(frame, encoding)
        tracks = tracker.track_many(frame, targets)
        status = operator.status_of(nanoseconds(message.header.stamp))
        assert [target.id for target in status.targets] == ['target_1', 'target_2']
        for told, track in zip(status.targets, tracks, strict=True):
            assert box_from_message(told.bbox).as_xywh() == pytest.approx(
                track.box.as_xywh(), abs=0.01
            )
            assert told.score == pytest.approx(track.score, abs=1e-4)
            assert told.state == track.status


def bbox(cx=100.0, cy=80.0, w=40.0, h=30.0):
    message = BoundingBox2D(size_x=w, size_y=h)
    message.center.position.x, message.center.position.y = cx, cy
    return message


BAD_REQUESTS = {
    'not a number': ({'box': bbox(cx=math.nan)}, Code.BAD_BOX, 'nan'),
    'infinite': ({'box': bbox(w=math.inf)}, Code.BAD_BOX, 'inf'),
    'empty': ({'box': bbox(h=0.0)}, Code.BAD_BOX, 'empty'),
    'negative': ({'box': bbox(w=-5.0)}, Code.BAD_BOX, 'width -5'),
    'all zero': ({'box': BoundingBox2D()}, Code.BAD_BOX, 'empty'),
    'in shares of the image': (
        {'box': bbox(cx=0.5, cy=0.5, w=0.2, h=0.3)},
        Code.BAD_BOX,
        'shares of its width and height',
    ),
    'left of the image': ({'box': bbox(cx=-50.0)}, Code.BOX_OUTSIDE_IMAGE, '320 x 240'),
    'below the image': ({'box': bbox(cy=1e9)}, Code.BOX_OUTSIDE_IMAGE, 'outside'),
    'unknown stamp': ({'box': bbox(), 'stamp': 5}, Code.STAMP_NOT_FOUND, '0.000000005'),
    'long id': ({'box': bbox(), 'id': 'x' * 1000}, Code.BAD_ID, 'at most 64'),
    'long label': (
        {'box': bbox(), 'label': 'y' * 1000},
        Code.BAD_ID,
        f"the label '{'y' * 24}...' (1000 characters) must",
    ),
    'unprintable label': ({'box': bbox(), 'label': 'a\nb'}, Code.BAD_ID, 'printable'),
    'one too many': ({'box': bbox()}, Code.TOO_MANY_TARGETS, 'max_targets'),
}


def test_bad_requests_are_refused_with_the_reason(start_node, operator, scene):
    frames, boxes = scene
    start_node(max_targets=1)
    answer = operator.init(boxes[0])
    assert (answer.success, answer.error_code) == (False, Code.NO_IMAGE)
    operator.show(frames[0])
    for name, (request, code, reason) in BAD_REQUESTS.items():
        if code == Code.TOO_MANY_TARGETS:
            assert operator.init(boxes[0]).success
        answer = operator.init(**request)
        assert (answer.success, answer.error_code, answer.id) == (False, code, ''), name
        assert reason in answer.message, (name, answer.message)
    assert operator.init(boxes[1], id='target_1').success, 'a target may start again at the limit'
    assert len(operator.show(frames[1]).detections) <= 1


def test_garbage_images_do_not_end_the_node(start_node, operator, scene):
    frames, boxes = scene
    node = start_node()
    operator.show(frames[0])
    assert operator.init(boxes[0]).success
    rng = random.Random(0)
    for _ in range(60):
        message = operator.image(frames[0], rng.choice(['rgb8', 'bgra8', 'mono8']))
        for field in rng.sample(['width', 'height', 'step', 'encoding', 'data'], 2):
            if field == 'encoding':
                message.encoding = rng.choice(
                    ['', 'rgb8', '16UC1', 'bayer_rggb8', 'nonsense', '\x00']
                )
            elif field == 'data':
                message.data = array.array('B', rng.randbytes(rng.choice([0, 1, 999, 70_000])))
            else:
                setattr(message, field, rng.choice([0, 1, 15, 319, 2**16, 2**32 - 1]))
        operator.publish(message)
        if rng.random() < 0.2:
            operator.init(bbox())
    operator.show(frames[1])
    assert operator.init(boxes[1], id='again').success
    assert operator.status_of(operator.newest_stamp).targets
    assert node.context.ok()


def test_a_frame_too_small_is_a_bad_image(start_node, operator):
    start_node()
    operator.publish(operator.image(np.zeros((8, 8, 3), np.uint8)))

    def answer():
        told = operator.init(bbox(cx=4.0, cy=4.0, w=2.0, h=2.0))
        return told if told.error_code != Code.NO_IMAGE else None

    refused = operator.wait_until(answer, 'the image')
    assert (refused.success, refused.error_code) == (False, Code.BAD_IMAGE)
    assert '8 x 8' in refused.message


def test_targets_come_and_go(start_node, operator, scene):
    frames, boxes = scene
    start_node()
    operator.show(frames[0])
    for name in ('a', 'b', 'c'):
        assert operator.init(boxes[0], id=name).id == name

    def followed(frame):
        stamp = nanoseconds(operator.show(frame).header.stamp)
        return [(target.id, target.age) for target in operator.status_of(stamp).targets]

    assert followed(frames[1]) == [('a', 1), ('b', 1), ('c', 1)]
    removed = operator.call(RemoveTarget, 'remove_target', id='b')
    assert removed.success
    assert 'b' in removed.message
    removed = operator.call(RemoveTarget, 'remove_target', id='b')
    assert not removed.success
    assert "'b'" in removed.message
    assert operator.init(boxes[1], id='a').success  # starts again
    assert followed(frames[2]) == [('a', 1), ('c', 2)]
    assert operator.call(Trigger, 'reset').success
    assert followed(frames[3]) == []
    assert operator.call(RemoveTarget, 'remove_target', id='').success


def test_a_target_that_starts_on_a_past_frame_catches_up(start_node, operator, scene):
    frames, boxes = scene
    start_node()
    stamps = [nanoseconds(operator.show(frame).header.stamp) for frame in frames[:6]]
    tracker = create_tracker('tadt', device='cpu', weights='random')
    target = tracker.start(frames[2], boxes[2])
    for frame in frames[3:7]:
        tracker.track(frame, target)

    assert operator.init(boxes[2], stamp=stamps[2]).success
    time.sleep(1.0)  # the burst over frames 3 to 5
    message = operator.show(frames[6])
    (told,) = operator.status_of(nanoseconds(message.header.stamp)).targets
    assert told.age == 4
    assert box_from_message(told.bbox).as_xywh() == pytest.approx(target.box.as_xywh(), abs=0.01)


def test_the_history_is_as_long_as_the_parameters_say(start_node, operator, scene):
    frames, boxes = scene
    start_node(history_seconds=0.05)  # two frames of 1/30 s
    stamps = [nanoseconds(operator.show(frame).header.stamp) for frame in frames[:4]]
    answer = operator.init(boxes[1], stamp=stamps[1])
    assert (answer.success, answer.error_code) == (False, Code.STAMP_NOT_FOUND)
    assert operator.init(boxes[2], stamp=stamps[2]).success


def test_a_disabled_node_keeps_its_targets(start_node, operator, scene):
    frames, boxes = scene
    node = start_node()
    operator.show(frames[0])
    assert operator.init(boxes[0]).success
    assert operator.call(SetBool, 'enable', data=False).success
    answer = operator.init(boxes[0])
    assert (answer.success, answer.error_code) == (False, Code.NOT_ACTIVE)
    assert 'enable' in answer.message
    before = len(operator.statuses)
    arrived = node._input._last_image
    operator.publish(operator.image(frames[1]))
    operator.wait_until(lambda: node._input._last_image > arrived, 'the image')
    assert operator.call(SetBool, 'enable', data=True).success
    operator.show(frames[2])
    assert len(operator.statuses) == before + 1
    assert operator.statuses[-1].targets[0].age == 1


def test_a_detection_on_init_box_starts_a_target(start_node, operator, scene):
    frames, boxes = scene
    start_node()
    message = operator.show(frames[0])
    publisher = operator.node.create_publisher(Detection2D, 'init_box', 10)
    operator.wait_until(publisher.get_subscription_count, 'the subscription to init_box')
    publisher.publish(Detection2D(header=message.header, bbox=bbox(cx=math.nan), id='bad'))
    publisher.publish(Detection2D(header=message.header, bbox=box_to_message(boxes[0]), id='good'))
    # Whatever was sent before a request is not surely served before it, so frames are shown until.
    operator.wait_until(
        lambda: (
            operator.show(frames[1]) and [t.id for t in operator.statuses[-1].targets] == ['good']
        ),
        'the target of init_box',
    )


def test_a_lost_target_is_looked_for_where_a_detector_says(start_node, operator):
    """Among wrong and worthless candidates; without them it would take long."""
    rng = np.random.default_rng(5)
    patch = rng.integers(0, 256, (6, 6, 3), np.uint8).repeat(5, axis=0).repeat(5, axis=1)
    empty = rng.integers(60, 120, (480, 640, 3), np.uint8)
    first, later = empty.copy(), empty.copy()
    first[40:70, 50:80] = later[420:450, 590:620] = patch
    node = start_node(weights='', **{'tadt.lost_after': 2, 'tadt.search_windows': 1})
    operator.show(first)
    assert operator.init(Box(50, 40, 30, 30), id='it').success
    publisher = operator.node.create_publisher(Detection2DArray, 'candidates', 10)
    operator.wait_until(publisher.get_subscription_count, 'the subscription to candidates')
    for _ in range(3):
        operator.show(empty)
    assert operator.statuses[-1].targets[0].state == TrackStatus.LOST
    boxes = [bbox(cx=math.nan), bbox(cx=1e9, cy=5.0), bbox(cx=300.0, cy=200.0)]
    boxes.append(box_to_message(Box(588, 419, 33, 30)))
    wrong = [Detection2D(bbox=box) for box in boxes]
    log = operator.listen(Log, '/rosout')
    publisher.publish(Detection2DArray(detections=wrong))
    target = node._worker._followed['it'].target
    operator.wait_until(lambda: target.suggestions, 'the candidates')
    for _ in range(5):
        operator.show(later)
    status = operator.statuses[-1].targets[0]
    assert status.state == TrackStatus.TRACKING
    assert box_from_message(status.bbox).iou(Box(590, 420, 30, 30)) > 0.5
    assert len(operator.statuses) < 12
    operator.wait_until(
        lambda: any('candidates: detection 0 is left out' in line.msg for line in log),
        'what is wrong with a candidate',
    )


def test_the_annotated_image_is_only_made_for_a_subscriber(
    start_node, operator, scene, monkeypatch
):
    drawn = []
    monkeypatch.setattr('tracker_nodes.results.draw_track', lambda *_: drawn.append(1))
    frames, boxes = scene
    start_node()
    operator.show(frames[0])
    assert operator.init(boxes[0]).success
    operator.show(frames[1])
    assert not drawn
    images = operator.listen(Image, 'image_annotated')
    operator.wait_until(
        lambda: operator.hears('image_annotated'), 'the publisher of image_annotated'
    )
    operator.wait_until(lambda: operator.show(frames[2]) and images, 'the annotated image')
    assert drawn
    operator.mute('image_annotated')
    operator.wait_until(lambda: (drawn.clear(), operator.show(frames[3]), not drawn)[2], 'silence')


def test_the_annotated_image_shows_the_box(start_node, operator, scene):
    frames, boxes = scene
    start_node()
    images = operator.listen(Image, 'image_annotated')
    operator.show(frames[0])
    assert operator.init(boxes[0]).success
    operator.wait_until(
        lambda: operator.hears('image_annotated'), 'the publisher of image_annotated'
    )
    operator.wait_until(lambda: operator.show(frames[1]) and images, 'the annotated image')
    header = operator.show(frames[2]).header
    annotated = operator.wait_until(
        lambda: next((image for image in images if image.header == header), None),
        'the annotated image of this frame',
    )
    changed = np.abs(to_rgb(annotated).astype(int) - frames[2]).max(axis=2) > 8
    assert 0 < changed.mean() < 0.5
    box = box_from_message(operator.statuses[-1].targets[0].bbox)
    edge = changed[round(box.y) - 3 : round(box.y) + 4, round(box.x) + 8 : round(box.x2) - 8]
    assert edge.any(axis=0).mean() > 0.8, 'the upper edge of the box is drawn'


def test_the_annotated_image_is_also_compressed(start_node, operator, scene):
    frames, boxes = scene
    start_node()
    images = operator.listen(CompressedImage, 'image_annotated/compressed')
    operator.show(frames[0])
    assert operator.init(boxes[0]).success
    operator.wait_until(lambda: operator.hears('image_annotated/compressed'), 'the publisher')
    operator.wait_until(lambda: operator.show(frames[1]) and images, 'the annotated image')
    rgb = compressed_to_rgb(images[-1]).astype(int)
    assert rgb.shape == frames[1].shape
    assert 1 < np.abs(rgb - frames[1]).mean() < 30


def test_what_changes_about_the_images_is_logged(start_node, operator, scene):
    frames, _ = scene
    start_node()
    logs = operator.listen(Log, '/rosout')
    operator.wait_until(lambda: operator.hears('/rosout'), 'the log')
    late = operator.show(frames[0])
    operator.show(frames[0], 'bgr8')
    operator.show(frames[0][:200])
    message = operator.image(frames[0][:200])
    message.header.stamp = late.header.stamp
    message.header.stamp.sec -= 1
    operator.publish(message)
    for words in ('from 320 x 240 rgb8 to 320 x 240 bgr8', 'time jumped back by 1.067 s'):
        operator.wait_until(lambda words=words: any(words in log.msg for log in logs), words)
    assert operator.show(frames[1]) is not None


def test_two_cameras_do_not_mix(start_node, make_operator, scene):
    frames, boxes = scene
    operators = [make_operator(name) for name in ('left', 'right')]
    for name in ('left', 'right'):
        start_node(namespace=name)
    for operator, box in zip(operators, boxes, strict=False):
        operator.show(frames[0])
        assert operator.init(box, id=operator.node.get_namespace()[1:]).success
    for operator in operators:
        message = operator.show(frames[1])
        assert {d.id for d in message.detections} <= {operator.node.get_namespace()[1:]}
        assert len(operator.statuses[-1].targets) == 1


def change_state(operator, transition: int) -> bool:
    request = Transition(id=transition)
    return operator.call(ChangeState, 'tracker_node/change_state', transition=request).success


def state(operator) -> int:
    return operator.call(GetState, 'tracker_node/get_state').current_state.id


def test_lifecycle(start_node, operator, scene):
    frames, boxes = scene
    node = start_node(autostart=False)
    assert state(operator) == State.PRIMARY_STATE_UNCONFIGURED
    answer = operator.init(boxes[0])
    assert (answer.success, answer.error_code) == (False, Code.NOT_READY)

    assert change_state(operator, Transition.TRANSITION_CONFIGURE)
    assert state(operator) == State.PRIMARY_STATE_INACTIVE
    assert node._tracker is not None
    answer = operator.init(boxes[0])
    assert (answer.success, answer.error_code) == (False, Code.NOT_ACTIVE)
    assert operator.camera.get_subscription_count() == 0

    assert change_state(operator, Transition.TRANSITION_ACTIVATE)
    operator.show(frames[0])
    assert operator.init(boxes[0]).success
    tracker = weakref.ref(node._tracker)

    assert change_state(operator, Transition.TRANSITION_DEACTIVATE)
    operator.wait_until(
        lambda: operator.camera.get_subscription_count() == 0, 'the end of the subscription'
    )
    assert change_state(operator, Transition.TRANSITION_ACTIVATE)
    operator.show(frames[1])
    assert [target.age for target in operator.statuses[-1].targets] == [1], (
        'targets outlive a pause'
    )

    assert change_state(operator, Transition.TRANSITION_DEACTIVATE)
    assert change_state(operator, Transition.TRANSITION_CLEANUP)
    assert state(operator) == State.PRIMARY_STATE_UNCONFIGURED
    assert node._tracker is None
    assert tracker() is None, 'its memory is free again'

    assert change_state(operator, Transition.TRANSITION_CONFIGURE)
    assert change_state(operator, Transition.TRANSITION_ACTIVATE)
    operator.show(frames[0])
    assert operator.statuses[-1].targets == []
    assert change_state(operator, Transition.TRANSITION_ACTIVE_SHUTDOWN)
    assert state(operator) == State.PRIMARY_STATE_FINALIZED
    answer = operator.init(boxes[0])
    assert (answer.success, answer.error_code) == (False, Code.NOT_ACTIVE)
    assert 'has been shut down' in answer.message
    enabled = operator.call(SetBool, 'enable', data=True)
    assert not enabled.success
    assert 'has been shut down' in enabled.message


def change_to(operator, *transitions: str) -> None:
    for transition in transitions:
        assert change_state(operator, getattr(Transition, f'TRANSITION_{transition}'))


def test_one_node_can_change_its_tracker(start_node, operator, scene):
    """With the parameters of each: what was given at start-up counts for the one it names."""
    frames, boxes = scene
    node = start_node(autostart=False, spm__lost_after=7)
    assert set_parameter(operator, 'tracker', 'spm').successful
    assert not node.has_parameter('tadt.lost_after')
    assert set_parameter(operator, 'spm.lost_score', 0.2).successful
    change_to(operator, 'CONFIGURE', 'ACTIVATE')
    operator.show(frames[0])
    assert operator.init(boxes[0], id='mug').success
    operator.show(frames[1])
    status = operator.statuses[-1]
    assert (status.tracker, status.preset, len(status.targets)) == ('spm', 'compact', 1)
    assert (node._tracker.config.lost_after, node._tracker.config.lost_score) == (7, 0.2)

    assert 'cleanup' in set_parameter(operator, 'tracker', 'ocean').reason
    change_to(operator, 'DEACTIVATE', 'CLEANUP')
    assert "no tracker 'otter'" in set_parameter(operator, 'tracker', 'otter').reason
    assert 'compact, paper' in set_parameter(operator, 'preset', 'compact_online').reason
    assert set_parameter(operator, 'tracker', 'ocean').successful
    assert node.get_parameter('ocean.online').value is False
    assert set_parameter(operator, 'preset', 'compact_online').successful
    assert node.get_parameter('ocean.online').value is True, 'as in that preset'
    assert set_parameter(operator, 'ocean.lost_after', 5).successful
    change_to(operator, 'CONFIGURE', 'ACTIVATE')
    operator.show(frames[2])
    assert (operator.statuses[-1].tracker, operator.statuses[-1].preset) == (
        'ocean',
        'compact_online',
    )
    assert node._tracker.config.online
    assert node._tracker.config.lost_after == 5


def test_a_tracker_that_does_not_exist_can_be_mended(start_node, operator):
    start_node(tracker='nobody', preset='tiny')
    assert 'tiny' in set_parameter(operator, 'tracker', 'tadt').reason
    assert set_parameter(operator, 'preset', 'compact').successful
    assert set_parameter(operator, 'tracker', 'tadt').successful
    assert change_state(operator, Transition.TRANSITION_CONFIGURE)


def logged(operator) -> list[Log]:
    """What nodes log from now on, and what was just logged."""
    qos = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    return operator.listen(Log, '/rosout', qos=qos)


def test_parameters_that_do_not_exist_are_named(start_node, operator):
    logs = logged(operator)
    start_node(
        autostart=False,
        nonsense=1,
        max_target=3,
        tadt__lost_afer=3,
        lost_after=3,
        spm__lost_after=3,
        tadt__lost_after=3,
        **{'qos_overrides__/image__subscription__depth': 1},
    )
    words = {
        "no parameter 'nonsense', it is ignored",
        "no parameter 'max_target', it is ignored; did you mean 'max_targets'?",
        "no parameter 'tadt.lost_afer', it is ignored; did you mean 'tadt.lost_after'?",
        "no parameter 'lost_after', it is ignored; did you mean 'tadt.lost_after'?",
        "spm.lost_after: ignored while the parameter tracker is 'tadt'",
    }
    for each in words:
        operator.wait_until(lambda each=each: any(each in log.msg for log in logs), each)
    warnings = [log.msg for log in logs if 'ignored' in log.msg]
    assert len(warnings) == len(words), warnings


def test_what_services_change_is_logged(start_node, operator, scene):
    frames, boxes = scene
    start_node()
    logs = logged(operator)
    operator.wait_until(lambda: operator.hears('/rosout'), 'the log')
    operator.show(frames[0])
    for name in ('a', 'b', 'c'):
        assert operator.init(boxes[0], id=name).success
    operator.call(SetBool, 'enable', data=False)
    operator.call(SetBool, 'enable', data=True)
    operator.call(RemoveTarget, 'remove_target', id='b')
    operator.call(RemoveTarget, 'remove_target', id='b' * 100)
    operator.call(Trigger, 'reset')
    for words in (
        'enable: disabled; 3 targets now',
        'enable: enabled; 3 targets now',
        'remove_target: removed b; 2 targets now',
        f"remove_target refused: there is no target '{'b' * 24}...' (100 characters)",
        'reset: removed a, c; no targets now',
    ):
        operator.wait_until(lambda words=words: any(words == log.msg for log in logs), words)


@pytest.mark.parametrize(
    ('parameters', 'reason'),
    [
        ({'tracker': 'nobody'}, "no tracker 'nobody'.*tadt"),
        ({'preset': 'tiny'}, "no preset 'tiny'.*compact"),
        ({'weights': '/no/such/file.safetensors'}, '/no/such/file.safetensors'),
        ({'device': 'abacus'}, "'abacus'"),
        ({'tadt__lost_after': 0}, 'tadt.lost_after must be at least 1'),
        ({'max_targets': 0}, 'max_targets'),
        ({'image_transport': 'pigeon'}, 'raw.*compressed'),
    ],
)
def test_a_node_without_a_tracker_lives_and_says_why(start_node, operator, parameters, reason):
    start_node(**parameters)
    assert state(operator) == State.PRIMARY_STATE_UNCONFIGURED
    answer = operator.init(bbox())
    assert (answer.success, answer.error_code) == (False, Code.NOT_READY)
    assert re.search(reason, answer.message), answer.message
    assert not operator.call(RemoveTarget, 'remove_target', id='x').success
    assert operator.call(Trigger, 'reset').success


def set_parameter(operator, name: str, value: object):
    message = Parameter(name, value=value).to_parameter_msg()
    answer = operator.call(SetParameters, 'tracker_node/set_parameters', parameters=[message])
    return answer.results[0]


def test_parameters_are_described_and_guarded(start_node, operator):
    node = start_node()
    names = ['max_targets', 'precision', 'tadt.lost_score', 'tadt.lost_after']
    limit, precision, score, after = operator.call(
        DescribeParameters, 'tracker_node/describe_parameters', names=names
    ).descriptors
    assert (limit.integer_range[0].from_value, limit.integer_range[0].to_value) == (1, 100)
    assert 'float16' in precision.additional_constraints
    assert (score.floating_point_range[0].from_value, score.floating_point_range[0].to_value) == (
        0,
        1,
    )
    assert 'at least 1' in after.additional_constraints
    assert all(d.description for d in (limit, precision, score, after))

    for name, value, reason in [
        ('max_targets', 0, 'max_targets'),
        ('max_targets', 'many', 'type'),
        ('tadt.lost_score', 1.5, 'tadt.lost_score'),
        ('tadt.lost_score', 0.9, 'tracking_score'),  # must not exceed it
        ('tadt.lost_after', 0, 'at least 1'),
        ('precision', 'float16', 'cleanup'),
        ('tracker', 'atom', 'cleanup'),
        ('preset', 'paper', 'cleanup'),
    ]:
        result = set_parameter(operator, name, value)
        assert not result.successful, name
        assert reason in result.reason, result.reason
    assert set_parameter(operator, 'max_targets', 3).successful
    assert set_parameter(operator, 'tadt.lost_after', 4).successful
    assert set_parameter(operator, 'tadt.lost_score', 0).successful, 'an integer for a float'
    operator.wait_until(lambda: node._tracker.config.lost_after == 4, 'the new value')
    operator.wait_until(lambda: node._tracker.config.lost_score == 0.0, 'the new value')
    assert node._worker.max_targets == 3


def test_compressed_images(start_node, operator, scene):
    frames, boxes = scene
    start_node(image_transport='compressed')
    publisher = operator.node.create_publisher(CompressedImage, 'image/compressed', 1)
    operator.wait_until(publisher.get_subscription_count, 'the subscription to image/compressed')
    operator.wait_until(lambda: operator.hears('status'), 'the publisher of status')

    def show(frame):
        message = CompressedImage(header=operator.image(frame).header)
        publisher.publish(fill_compressed(message, frame))
        return operator.wait_until(lambda: operator.status_of(operator.newest_stamp), 'the status')

    show(frames[0])
    assert operator.init(boxes[0]).success
    publisher.publish(CompressedImage(header=Header(), format='jpeg'))
    assert show(frames[1]).targets[0].age == 1


def test_the_subscription_adopts_what_the_camera_offers(start_node, operator, scene):
    node = start_node()
    operator.node.destroy_publisher(operator.camera)
    operator.camera = operator.node.create_publisher(Image, 'image', QoSProfile(depth=1))
    frame = scene[0][0]
    operator.show(frame)
    number = operator.statuses[-1].frames
    while node._input.qos.reliability != ReliabilityPolicy.RELIABLE:
        number += 1
        operator.show(frame)  # no frame is lost, and none is taken twice
        assert operator.statuses[-1].frames == number
    for _ in range(3):
        number += 1
        operator.show(frame)
        assert operator.statuses[-1].frames == number
    operator.wait_until(lambda: not node._input.is_changing, 'the end of the old subscription')
    operator.show(frame)
    assert operator.statuses[-1].frames == number + 1


def test_diagnostics(start_node, operator, scene):
    start_node()
    arrays = operator.listen(DiagnosticArray, '/diagnostics')
    for _ in range(3):
        operator.show(scene[0][0])

    def healthy():
        statuses = [s for a in arrays for s in a.status if s.level == DiagnosticStatus.OK]
        values = [{v.key: v.value for v in s.values} for s in statuses]
        return [v for v in values if int(v['frames']) >= 3 and 'latency p99 (ms)' in v]

    values = operator.wait_until(healthy, 'diagnostics')[-1]
    assert values['tracker'] == 'tadt compact'
    assert values['device'] == 'cpu'
    assert values['weights checksum'] == 'random'
    assert float(values['processing p99 (ms)']) >= float(values['processing p50 (ms)']) > 0
    operator.wait_until(
        lambda: any(
            s.level == DiagnosticStatus.WARN and 'no image on /image' in s.message
            for a in arrays
            for s in a.status
        ),
        'the warning that no image arrives',
    )


def test_a_value_refused_at_start_can_be_mended(start_node, operator, scene):
    node = start_node(precision='int3', tadt__lost_after=0)
    assert operator.init(bbox()).error_code == Code.NOT_READY
    assert set_parameter(operator, 'precision', 'float32').successful
    assert not change_state(operator, Transition.TRANSITION_CONFIGURE)
    assert 'tadt.lost_after' in operator.init(bbox()).message
    assert set_parameter(operator, 'tadt.lost_after', 3).successful
    assert change_state(operator, Transition.TRANSITION_CONFIGURE)
    assert change_state(operator, Transition.TRANSITION_ACTIVATE)
    operator.show(scene[0][0])
    assert operator.init(scene[1][0]).success
    assert node._tracker.config.lost_after == 3

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Every field of every message, and every parameter with its description and limits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
import numpy as np
import pytest
from rcl_interfaces.srv import DescribeParameters, ListParameters, SetParameters
from rclpy.parameter import Parameter
from sensor_msgs.msg import CompressedImage, Image
from vision_msgs.msg import BoundingBox2D, Detection2D

from tracker_core import list_trackers, tracker_declaration, TrackStatus
from tracker_core.media.scene import render_scene
from tracker_core.parameters import describe, ParameterInfo
from tracker_nodes.parameters import NodeConfig


def at_default(message: Any, path: str = '') -> Iterator[str]:
    """Paths of the fields that have the value that a new message has."""
    for name, kind in message.get_fields_and_field_types().items():
        value, place = getattr(message, name), f'{path}.{name}'.lstrip('.')
        if hasattr(value, 'get_fields_and_field_types'):
            yield from at_default(value, place)
        elif isinstance(value, list) and value and hasattr(value[0], 'SLOT_TYPES'):
            for each in value:
                yield from at_default(each, f'{place}[]')
        elif kind in ('byte', 'octet'):
            if value == b'\x00':
                yield place
        elif not (np.any(value) if not isinstance(value, str) else value):
            yield place


POSE = {
    f'pose.{field}'
    for field in (
        'pose.position.x',
        'pose.position.y',
        'pose.position.z',
        'pose.orientation.x',
        'pose.orientation.y',
        'pose.orientation.z',
        'covariance',
    )
}
DETECTION = {'bbox.center.theta', *(f'results[].{field}' for field in POSE)}  # a box is upright


def test_no_field_is_left_at_its_default_by_accident(start_node: Any, operator: Any):
    whole = render_scene('calm', frames=300, size=(320, 240))
    start_node(weights='')
    alone = operator.listen(Detection2D, 'detection')
    pictures = operator.listen(Image, 'image_annotated')
    compressed = operator.listen(CompressedImage, 'image_annotated/compressed')
    diagnostics = operator.listen(DiagnosticArray, '/diagnostics')
    operator.show(whole[0])
    assert operator.init(whole.boxes[0], id='mug', label='cup').success
    for topic in ('detection', 'image_annotated', 'image_annotated/compressed', '/diagnostics'):
        operator.wait_until(lambda topic=topic: operator.hears(topic), topic)
    frames = iter(range(1, 200))
    operator.wait_until(
        lambda: operator.show(whole[next(frames)]) and alone and pictures and compressed, 'all'
    )
    message = operator.show(whole[next(frames)])
    status = operator.status_of(operator.newest_stamp)
    assert status.targets[0].state == TrackStatus.TRACKING
    assert set(at_default(message)) == {f'detections[].{field}' for field in DETECTION}
    assert set(at_default(alone[-1])) == DETECTION
    assert set(at_default(status)) - {'dropped_frames'} == {
        'targets[].frames_lost',
        'targets[].bbox.center.theta',
    }
    assert set(at_default(pictures[-1])) == {'is_bigendian'}
    assert set(at_default(compressed[-1])) == set()

    def healthy() -> DiagnosticArray | None:
        full = [array for array in diagnostics if 'rate (Hz)' in str(array)]
        return next((a for a in full if a.status[0].message == 'images arrive'), None)

    array = operator.wait_until(healthy, 'diagnostics')
    assert set(at_default(array)) == {'header.frame_id', 'status[].level'}
    assert array.status[0].hardware_id == 'cpu'
    for detection in (*message.detections, alone[-1]):
        (hypothesis,) = detection.results
        assert detection.id == 'mug'
        assert hypothesis.hypothesis.class_id == 'cup'
        assert 0 < hypothesis.hypothesis.score <= 1
        assert hypothesis.pose.pose.orientation.w == 1, 'a valid rotation'


def test_a_box_is_where_its_pixels_are(start_node: Any, operator: Any):
    """Columns 100 to 139 and rows 60 to 89: the centre is (120, 75), the size 40 x 30."""
    rng = np.random.default_rng(2)
    image = rng.integers(60, 90, (240, 320, 3), np.uint8)
    image[60:90, 100:140] = np.kron(
        rng.integers(0, 256, (6, 8, 3), np.uint8), np.ones((5, 5, 1), np.uint8)
    )
    start_node(weights='')
    pictures = operator.listen(Image, 'image_annotated')
    operator.show(image)
    box = BoundingBox2D(size_x=40.0, size_y=30.0)
    box.center.position.x, box.center.position.y = 120.0, 75.0
    assert operator.init(box).success
    operator.wait_until(lambda: operator.hears('image_annotated'), 'the publisher')
    operator.wait_until(lambda: operator.show(image) and pictures, 'the annotated image')
    (target,) = operator.statuses[-1].targets
    told = target.bbox
    assert told.center.position.x == pytest.approx(120, abs=1.5)
    assert told.center.position.y == pytest.approx(75, abs=1.5)
    assert told.size_x == pytest.approx(40, abs=3)
    assert told.size_y == pytest.approx(30, abs=3)


def described(operator: Any) -> dict[str, Any]:
    listed = operator.call(ListParameters, 'tracker_node/list_parameters').result.names
    answer = operator.call(
        DescribeParameters, 'tracker_node/describe_parameters', names=list(listed)
    )
    return dict(zip(listed, answer.descriptors, strict=True))


def infos(tracker: str) -> dict[str, ParameterInfo]:
    """All parameters of a node for a tracker, by their full names."""
    config = tracker_declaration(tracker).preset('compact').config
    return {
        **{info.name: info for info in describe(NodeConfig)},
        **{f'{tracker}.{info.name}': info for info in describe(config)},
    }


@pytest.mark.parametrize('tracker', list_trackers())
def test_every_parameter_is_described(tracker: str, start_node: Any, operator: Any):
    start_node(tracker=tracker, autostart=False)
    descriptors = described(operator)
    for name, info in infos(tracker).items():
        descriptor = descriptors[name]
        assert len(descriptor.description) > 10, name
        limits = descriptor.additional_constraints
        for range_ in (*descriptor.integer_range, *descriptor.floating_point_range):
            assert (range_.from_value, range_.to_value) == (info.minimum, info.maximum), name
            break
        else:
            if info.minimum is not None:
                assert f'at least {info.minimum:g}' in limits, name
            if info.maximum is not None:
                assert f'at most {info.maximum:g}' in limits, name
        for choice in info.choices or ():
            assert str(choice) in limits, name
        assert ('fixed' in limits) == (not info.live), name


def other_value(info: ParameterInfo, value: Any) -> Any:
    """A value near this one that fits."""
    if info.choices:
        return next(choice for choice in info.choices if choice != value)
    if info.type is bool:
        return not value
    if info.type is str:
        return value + 'x'
    step = 1 if info.type is int else 0.001
    return (
        value - step if info.maximum is not None and value + step > info.maximum else value + step
    )


@pytest.mark.parametrize('tracker', ['tadt', 'atom'])
def test_live_parameters_are_taken_and_the_others_refused(
    tracker: str, start_node: Any, operator: Any
):
    node = start_node(tracker=tracker)
    for name, info in infos(tracker).items():
        value = other_value(info, node.get_parameter(name).value)
        message = Parameter(name, value=value).to_parameter_msg()
        (result,) = operator.call(
            SetParameters, 'tracker_node/set_parameters', parameters=[message]
        ).results
        assert result.successful == info.live, (name, value, result.reason)
        if not info.live:
            assert name in result.reason
            assert 'fixed' in result.reason
        elif '.' in name:
            field = name.partition('.')[2]
            operator.wait_until(
                lambda field=field, value=value: getattr(node._tracker.config, field) == value,
                f'the new {name}',
            )

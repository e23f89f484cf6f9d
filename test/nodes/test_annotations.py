# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""What Foxglove draws over the camera's image."""

from __future__ import annotations

from importlib.util import find_spec
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

from builtin_interfaces.msg import Time
import pytest
from std_msgs.msg import Header

from tracker_core import Box, TrackStatus
from tracker_core.media.scene import render_scene
from tracker_nodes import annotations
from tracker_nodes.annotations import annotations_message, PACKAGE

IS_THERE = find_spec(PACKAGE) is not None
HEADER = Header(stamp=Time(sec=7, nanosec=8), frame_id='camera')


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> None:
    """foxglove_msgs, or where it is not installed something with its names."""
    if IS_THERE:
        return
    messages = ModuleType(f'{PACKAGE}.msg')
    for name in ('Color', 'Point2', 'TextAnnotation'):
        setattr(messages, name, type(name, (SimpleNamespace,), {}))
    messages.PointsAnnotation = type('PointsAnnotation', (SimpleNamespace,), {'LINE_LOOP': 2})
    messages.ImageAnnotations = lambda: SimpleNamespace(circles=[], points=[], texts=[])
    monkeypatch.setitem(sys.modules, PACKAGE, ModuleType(PACKAGE))
    monkeypatch.setitem(sys.modules, f'{PACKAGE}.msg', messages)


def followed(name: str, status: TrackStatus) -> Any:
    target = SimpleNamespace(box=Box(10, 20, 30, 40), score=0.25, status=status)
    return SimpleNamespace(id=name, target=target)


def test_a_box_and_its_name(package: None):
    states = {'cup': TrackStatus.TRACKING, 'mug': TrackStatus.UNCERTAIN, 'can': TrackStatus.LOST}
    message = annotations_message(HEADER, [followed(*each) for each in states.items()])
    assert [text.text for text in message.texts] == ['cup 0.25', 'mug 0.25 uncertain']
    assert len(message.points) == 2, 'what is lost has no box'
    line = message.points[0]
    assert line.type == line.LINE_LOOP
    corners = [(point.x, point.y) for point in line.points]
    assert corners == [(10, 20), (40, 20), (40, 60), (10, 60)]
    assert line.outline_color != message.points[1].outline_color
    assert line.timestamp == message.texts[0].timestamp == HEADER.stamp


@pytest.mark.skipif(IS_THERE, reason=f'{PACKAGE} is installed')
def test_without_the_package_there_is_no_topic(start_node: Any):
    node = start_node()
    assert annotations.message_type() is None
    assert not [p for p in node.publishers if p.topic_name == '/annotations']


@pytest.mark.skipif(not IS_THERE, reason=f'{PACKAGE} is not installed (it has no wheels)')
def test_annotations_come_with_the_frames(start_node: Any, operator: Any):
    start_node()
    scene = render_scene('calm', frames=4, size=(320, 240))
    operator.show(scene[0])
    assert operator.init(scene.boxes[0], id='cup').success
    operator.show(scene[1])
    received = operator.listen(annotations.message_type(), 'annotations')
    answer = operator.wait_until(
        lambda: (detections := operator.show(scene[2])) and received and detections, 'annotations'
    )
    last = received[-1]
    assert len(last.points) == len(last.texts) == len(answer.detections)
    assert all(text.text.startswith('cup ') for text in last.texts)

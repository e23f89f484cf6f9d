# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Messages and services: what other people's nodes, bags and viewers rely on."""

from __future__ import annotations

from collections.abc import Iterator
import contextlib
import importlib
import threading
import time
from typing import Any

import pytest
import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.serialization import deserialize_message, serialize_message
from tracker_nodes.msg import TrackStatus, TrackStatusArray
from tracker_nodes.srv import InitTarget, RemoveTarget

from tracker_core import TrackStatus as CoreStatus

PATIENCE = 30.0  # seconds

# Type hashes of upstream's vision_msgs 4.1, as in the files that its build installs. A hash covers
# the names of the type and its fields, their types and order, and those of all nested types.
VISION_MSGS = {
    'BoundingBox2D': '008eacbb0cf8f26e83795547bed013eec3675485ef386ec056d80eaaf1c1ce2f',
    'BoundingBox2DArray': '2464e82838009386d371b523211c21c91d74d313fcdd6788223c531d621cf691',
    'BoundingBox3D': 'bbb73a65c163d7f9bb29009c7bde9f7faa576bd2d23299c4511d19230dab4698',
    'BoundingBox3DArray': 'a81938db9576b10c2eecd7c5a5da3eac496efd00221b25ed051dfbc81fb56da6',
    'Classification': 'f74db28d0eaef3afb78f48bf2161cd709a1383a0309d3454383b25be11345143',
    'Detection2D': '0d12b69df5c593b3455b7346fac8205437a7d4bcb09b9e0e0b2dde787ded38ea',
    'Detection2DArray': '214274120007f4a683866481336b70310268cfa107aebe9d594a6acf75bda968',
    'Detection3D': 'ddd703be132ab0b69d33121f1bb034132bfbb3b0ac5f9fb1516005ba1c8a265b',
    'Detection3DArray': '793f5eab9595ac1c0da07873cc859db42eae51f0ee76056db8562515d830e018',
    'LabelInfo': '3d37df4015cdf660cc851c51897f2acd957e1ca6205ba0a99aebffb9406b0783',
    'ObjectHypothesis': '51da43cec11c01957a64d1e05a24acd18aae7745ec30b74348ad5f6d634f7f90',
    'ObjectHypothesisWithPose': '41c12344c0396c48b81df12467c192d99b2a0eb1463c5c37194e4223251c80bc',
    'Point2D': 'eab0e83f44ab4de92ceaf76dd7d0e7638f2bdd1d16ffbe16c7a136c48e407247',
    'Pose2D': 'b0b5d1d7b4c20dd4fcde3ed1d4b289a919290572007d67a97043814db25d3648',
    'VisionClass': '1e4a11f0fed50b5623cb8ff26ca0e37952a48a9c074d16f804b44e9164c2037a',
    'VisionInfo': '95d3116a17484ad91c9a2686e1d54890bbfc3ff6c6a2de137738c4950d45d284',
}

# Clients written against 0.1 rely on these names and types.
FIELDS = {
    TrackStatus: {
        'id': 'string',
        'label': 'string',
        'state': 'uint8',
        'score': 'float',
        'raw_score': 'float',
        'age': 'uint32',
        'frames_lost': 'uint32',
        'bbox': 'vision_msgs/BoundingBox2D',
        'velocity_x': 'float',
        'velocity_y': 'float',
    },
    TrackStatusArray: {
        'header': 'std_msgs/Header',
        'tracker': 'string',
        'preset': 'string',
        'targets': 'sequence<tracker_nodes/TrackStatus>',
        'latency': 'float',
        'processing_time': 'float',
        'dropped_frames': 'uint32',
        'frames': 'uint64',
    },
    InitTarget.Request: {
        'id': 'string',
        'bbox': 'vision_msgs/BoundingBox2D',
        'stamp': 'builtin_interfaces/Time',
        'label': 'string',
    },
    InitTarget.Response: {
        'success': 'boolean',
        'error_code': 'uint8',
        'message': 'string',
        'id': 'string',
    },
    RemoveTarget.Request: {'id': 'string'},
    RemoveTarget.Response: {'success': 'boolean', 'message': 'string'},
}

ERROR_CODES = (
    'NONE',
    'NO_IMAGE',
    'BAD_BOX',
    'BOX_OUTSIDE_IMAGE',
    'TOO_MANY_TARGETS',
    'STAMP_NOT_FOUND',
    'NOT_ACTIVE',
    'BAD_IMAGE',
    'BAD_ID',
    'TRACKER_FAILED',
    'NOT_READY',
)


@pytest.fixture(scope='module')
def node() -> Iterator[Node]:
    """A node that spins in a thread."""
    context = rclpy.Context()
    rclpy.init(context=context)
    node = Node('interfaces', context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)

    def spin() -> None:
        with contextlib.suppress(ExternalShutdownException):
            executor.spin()

    thread = threading.Thread(target=spin)
    thread.start()
    yield node
    rclpy.shutdown(context=context)
    thread.join(PATIENCE)


def wait_for(condition: Any) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, 'nothing came in time'
        time.sleep(0.01)


@pytest.mark.parametrize('name', VISION_MSGS)
def test_vision_msgs_is_upstreams(node: Node, name: str) -> None:
    message = getattr(importlib.import_module('vision_msgs.msg'), name)
    publisher = node.create_publisher(message, f'hash_of_{name}', 1)
    wait_for(lambda: node.get_publishers_info_by_topic(f'hash_of_{name}'))
    (info,) = node.get_publishers_info_by_topic(f'hash_of_{name}')
    if not hasattr(info, 'topic_type_hash'):
        pytest.skip('this distribution has no type hashes')
    assert str(info.topic_type_hash) == f'RIHS01_{VISION_MSGS[name]}'
    node.destroy_publisher(publisher)


@pytest.mark.parametrize('interface', FIELDS, ids=lambda interface: interface.__name__)
def test_fields(interface: Any) -> None:
    assert interface.get_fields_and_field_types() == FIELDS[interface]


def test_error_codes() -> None:
    codes = [getattr(InitTarget.Response, name) for name in ERROR_CODES]
    assert codes == list(range(11))


def test_states_are_those_of_tracker_core() -> None:
    for status in CoreStatus:
        assert getattr(TrackStatus, status.name) == status.value


def filled_status() -> TrackStatusArray:
    message = TrackStatusArray(
        tracker='tadt',
        preset='compact',
        latency=0.25,
        processing_time=0.125,
        dropped_frames=2**32 - 1,
        frames=2**63,
    )
    message.header.stamp.sec, message.header.stamp.nanosec = 1_800_000_000, 999_999_999
    message.header.frame_id = 'camera'
    target = TrackStatus(
        id='cup',
        label='Tasse \N{HOT BEVERAGE}',
        state=TrackStatus.LOST,
        score=0.5,
        raw_score=-3.0,
        age=7,
        frames_lost=3,
        velocity_x=-1.5,
        velocity_y=2.5,
    )
    target.bbox.center.position.x, target.bbox.center.position.y = 320.25, 240.75
    target.bbox.size_x, target.bbox.size_y = 64.5, 48.125
    message.targets = [target, TrackStatus(id='empty')]
    return message


def test_status_survives_the_wire(node: Node) -> None:
    sent, received = filled_status(), []
    node.create_subscription(TrackStatusArray, 'round_trip', received.append, 1)
    publisher = node.create_publisher(TrackStatusArray, 'round_trip', 1)
    wait_for(lambda: publisher.get_subscription_count() == 1)
    publisher.publish(sent)
    wait_for(lambda: received)
    assert received == [sent]
    assert deserialize_message(serialize_message(sent), TrackStatusArray) == sent


def test_a_service_call_carries_every_field(node: Node) -> None:
    requests = []

    def answer(request: Any, response: Any) -> Any:
        requests.append(request)
        response.success = False
        response.error_code = InitTarget.Response.STAMP_NOT_FOUND
        response.message = 'no frame of that stamp'
        response.id = request.id
        return response

    node.create_service(InitTarget, 'init_round_trip', answer)
    client = node.create_client(InitTarget, 'init_round_trip')
    request = InitTarget.Request(id='cup', label='mug')
    request.stamp.sec, request.stamp.nanosec = 12, 345
    request.bbox.center.position.x, request.bbox.size_y = 10.5, 20.25
    assert client.wait_for_service(PATIENCE)
    future = client.call_async(request)
    wait_for(future.done)
    assert requests == [request]
    assert future.result() == InitTarget.Response(
        success=False, error_code=5, message='no frame of that stamp', id='cup'
    )

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""`qos_overrides`, and publishers whose quality of service does not fit."""

from __future__ import annotations

import re
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
import numpy as np
import pytest
from rcl_interfaces.msg import Log
from rcl_interfaces.srv import DescribeParameters
import rclpy
from rclpy.qos import (
    DurabilityPolicy,
    qos_profile_sensor_data,
    QoSProfile,
    ReliabilityPolicy,
)
from sensor_msgs.msg import CompressedImage, Image

from tracker_core import Box

FRAME = np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8)

pytestmark = pytest.mark.usefixtures('alone')


def overrides(topic: str, entity: str, **policies: object) -> dict[str, object]:
    """As keywords of start_node, which writes '.' as '__'."""
    return {f'qos_overrides__{topic}__{entity}__{name}': value for name, value in policies.items()}


def offered(operator: Any, topic: str) -> QoSProfile:
    infos = operator.wait_until(
        lambda: operator.node.get_publishers_info_by_topic(topic), f'the publisher of {topic}'
    )
    return infos[0].qos_profile


def test_an_override_wins_over_what_the_camera_offers(start_node: Any, operator: Any):
    """A reliable camera would be subscribed to reliably."""
    given = overrides('/image', 'subscription', reliability='best_effort', depth=3)
    node = start_node(**given)
    operator.camera = operator.node.create_publisher(Image, 'image', QoSProfile(depth=1))
    logs = operator.listen(Log, '/rosout')
    operator.wait_until(
        lambda: operator.show(FRAME) and any('publishes /image' in log.msg for log in logs),
        'a look at the publisher',
    )
    assert node._input.qos.reliability == ReliabilityPolicy.BEST_EFFORT
    assert node._input.qos.depth == 3
    assert not node._input.is_changing
    assert node._input.qos.durability == DurabilityPolicy.VOLATILE, 'not given: as offered'


def test_publishers_can_be_overridden(start_node: Any, operator: Any):
    given = {
        **overrides('/detections', 'publisher', reliability='best_effort', depth=3),
        **overrides('/status', 'publisher', durability='transient_local'),
    }
    start_node(**given)
    assert offered(operator, '/detections').reliability == ReliabilityPolicy.BEST_EFFORT
    assert offered(operator, '/status').durability == DurabilityPolicy.TRANSIENT_LOCAL
    assert offered(operator, '/detection').reliability == ReliabilityPolicy.RELIABLE
    names = [f'qos_overrides./{topic}.publisher.reliability' for topic in ('detections', 'status')]
    answer = operator.call(
        DescribeParameters, 'tracker_node/describe_parameters', names=names
    ).descriptors
    assert all(descriptor.read_only and descriptor.description for descriptor in answer)


@pytest.mark.parametrize(
    ('given', 'reason'),
    [
        (
            overrides('/image', 'subscription', reliability='perhaps'),
            r'/image\.subscription\.reliability must be one of .*best_effort.*perhaps',
        ),
        (overrides('/image', 'subscription', depth=0), 'depth must be a whole number from 1 on'),
        (overrides('/image', 'subscription', depth='many'), "not 'many'"),
        (
            overrides('/detections', 'publisher', history='some'),
            r'/detections\.publisher\.history must be one of .*keep_last',
        ),
    ],
)
def test_an_override_that_does_not_exist_is_told(
    start_node: Any, operator: Any, given: dict[str, object], reason: str
):
    start_node(**given)
    answer = operator.init(Box(1, 1, 20, 20))
    assert not answer.success
    assert re.search(reason, answer.message), answer.message


def test_a_publisher_that_does_not_fit_is_told_once_with_the_cure(start_node: Any, operator: Any):
    logs = operator.listen(Log, '/rosout')
    diagnostics = operator.listen(DiagnosticArray, '/diagnostics')
    operator.camera = operator.node.create_publisher(Image, 'image', qos_profile_sensor_data)
    operator.wait_until(lambda: operator.hears('/rosout'), 'the log')
    start_node(**overrides('/image', 'subscription', reliability='reliable'))

    def told() -> list[str]:
        return [log.msg for log in logs if 'no image of /rest_of_the_robot arrives' in log.msg]

    operator.wait_until(told, 'the warning')
    count = len(diagnostics)
    operator.wait_until(lambda: len(diagnostics) > count + 4, 'some seconds')
    (line,) = told()
    assert 'reliab' in line.lower()
    assert 'take the override of reliability away' in line
    assert 'reliab' in diagnostics[-1].status[0].message.lower()
    assert 'no image on /image' in diagnostics[-1].status[0].message


def test_a_publisher_that_is_adopted_is_not_told(start_node: Any, make_operator: Any):
    """The node subscribes reliably to the first camera, which a second one cannot satisfy."""
    first, second = make_operator(), make_operator()
    logs = first.listen(Log, '/rosout')
    first.camera = first.node.create_publisher(Image, 'image', QoSProfile(depth=1))
    node = start_node()
    first.wait_until(
        lambda: node._input.qos.reliability == ReliabilityPolicy.RELIABLE, 'the adoption'
    )
    second.camera = second.node.create_publisher(Image, 'image', qos_profile_sensor_data)
    first.wait_until(
        lambda: node._input.qos.reliability == ReliabilityPolicy.BEST_EFFORT, 'the adoption'
    )
    first.wait_until(lambda: not node._input.is_changing, 'the end of the old subscription')
    told = [log.msg for log in logs if log.name == 'tracker_node']
    assert not [line for line in told if 'arrives' in line or 'incompatible' in line]


def test_a_publisher_of_another_type_is_told(start_node: Any, operator: Any):
    logs = operator.listen(Log, '/rosout')
    context = rclpy.Context()  # as in another process
    rclpy.init(context=context)
    camera = rclpy.create_node('camera', context=context)
    camera.create_publisher(CompressedImage, 'image', 1)
    operator.wait_until(lambda: operator.hears('/rosout'), 'the log')
    start_node()

    def told() -> list[str]:
        return [log.msg for log in logs if 'sensor_msgs/msg/CompressedImage' in log.msg]

    assert 'image_transport: compressed' in operator.wait_until(told, 'the warning')[0]
    camera.destroy_node()
    context.try_shutdown()

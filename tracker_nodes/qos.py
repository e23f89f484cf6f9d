# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Quality of service: what the camera offers is adopted, unless `qos_overrides` say otherwise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rcl_interfaces.msg import ParameterDescriptor
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    qos_check_compatible,
    qos_profile_sensor_data,
    QoSCompatibility,
    QoSPolicyKind,
    QoSProfile,
    ReliabilityPolicy,
)
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.topic_endpoint_info import TopicEndpointInfo

from tracker_core import ParameterError
from tracker_nodes.compat import SubscriptionEventCallbacks

__all__ = [
    'NO_EVENTS',
    'given_overrides',
    'image_qos',
    'incompatibility',
    'is_of_type',
    'loss_events',
    'overridden',
    'override_names',
    'publisher_with_overrides',
    'type_name',
]

# rclpy would warn of a publisher that does not fit a second before its offer is adopted.
NO_EVENTS = SubscriptionEventCallbacks(use_default_callbacks=False)

POLICIES: dict[QoSPolicyKind, Any] = {
    QoSPolicyKind.HISTORY: HistoryPolicy,
    QoSPolicyKind.DEPTH: int,
    QoSPolicyKind.RELIABILITY: ReliabilityPolicy,
    QoSPolicyKind.DURABILITY: DurabilityPolicy,
}


def image_qos(
    publishers: list[TopicEndpointInfo], fallback: QoSProfile = qos_profile_sensor_data
) -> QoSProfile:
    """The quality of service for the image subscription: the newest frame only, otherwise what the
    publishers offer.

    Args:
        publishers: What `get_publishers_info_by_topic` knows of them.
        fallback: Whose reliability and durability to take while there is no publisher.
    """
    offers = [publisher.qos_profile for publisher in publishers] or [fallback]
    is_reliable = all(offer.reliability == ReliabilityPolicy.RELIABLE for offer in offers)
    is_latched = is_reliable and all(
        offer.durability == DurabilityPolicy.TRANSIENT_LOCAL for offer in offers
    )
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=1,
        reliability=ReliabilityPolicy.RELIABLE if is_reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if is_latched else DurabilityPolicy.VOLATILE,
    )


def loss_events(on_lost: Callable[[Any], None]) -> SubscriptionEventCallbacks:
    """For a subscription: calls back when messages were lost, where the middleware tells."""
    return SubscriptionEventCallbacks(message_lost=on_lost, use_default_callbacks=False)


def given_overrides(node: Node, topic: str, entity: str) -> dict[QoSPolicyKind, Any]:
    """The policies that were given at start-up as `qos_overrides.<topic>.<entity>.<policy>`.

    Args:
        node: The node.
        topic: The topic's full name.
        entity: 'publisher' or 'subscription'.

    Raises:
        ParameterError: A value that is no such policy.
    """
    given = {}
    for kind, name in override_names(topic, entity).items():
        if node.has_parameter(name):  # declared when the topic was subscribed to before
            value = node.get_parameter(name).value
        else:
            # Declared without a default, it has a value only if one was given.
            trial = ParameterDescriptor(dynamic_typing=True)
            value = node.declare_parameter(name, None, trial).value
            node.undeclare_parameter(name)
        if value is not None:
            given[kind] = _parsed(name, POLICIES[kind], value)
    return given


def override_names(topic: str, entity: str) -> dict[QoSPolicyKind, str]:
    """The parameters that `given_overrides` reads."""
    return {kind: f'qos_overrides.{topic}.{entity}.{kind.name.lower()}' for kind in POLICIES}


def _parsed(name: str, values: Any, value: Any) -> Any:
    if values is int:
        if type(value) is not int or value < 1:
            raise ParameterError(f'{name} must be a whole number from 1 on, not {value!r}')
        return value
    choices = [each.name.lower() for each in values if each.name.lower() != 'unknown']
    if str(value).lower() not in choices:
        raise ParameterError(f'{name} must be one of {", ".join(choices)}, not {value!r}')
    return values[value.upper()]


def overridden(qos: QoSProfile, given: dict[QoSPolicyKind, Any]) -> QoSProfile:
    """The profile with the given policies instead of its own; changed in place."""
    for kind, value in given.items():
        setattr(qos, kind.name.lower(), value)
    return qos


def publisher_with_overrides(
    node: Node, message: type, topic: str, depth: int
) -> tuple[Publisher, str]:
    """A publisher that `qos_overrides` can change, with why they were refused, else an empty
    text."""
    topic = node.resolve_topic_name(topic)
    try:
        given_overrides(node, topic, 'publisher')
    except ParameterError as error:
        return node.create_publisher(message, topic, depth), str(error)
    options = QoSOverridingOptions(POLICIES)
    return node.create_publisher(message, topic, depth, qos_overriding_options=options), ''


def incompatibility(publisher: TopicEndpointInfo, message: type, subscription: QoSProfile) -> str:
    """Why nothing of a publisher arrives; empty if it does.

    Args:
        publisher: What `get_publishers_info_by_topic` knows of it.
        message: What is subscribed to on its topic.
        subscription: With which quality of service.
    """
    if not is_of_type(publisher, message):
        return f'it is a {publisher.topic_type}, and {type_name(message)} is subscribed to'
    compatibility, reason = qos_check_compatible(publisher.qos_profile, subscription)
    return reason.strip().rstrip(';') if compatibility == QoSCompatibility.ERROR else ''


def is_of_type(publisher: TopicEndpointInfo, message: type) -> bool:
    """Whether a publisher's messages are of this type."""
    return publisher.topic_type == type_name(message)


def type_name(message: type) -> str:
    """Of a class of messages, such as sensor_msgs/msg/Image."""
    return f'{message.__module__.partition(".")[0]}/msg/{message.__name__}'

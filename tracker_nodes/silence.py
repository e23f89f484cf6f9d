# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""What to say when no image comes: who should publish it, or under which name one might come."""

from __future__ import annotations

from collections.abc import Callable, Iterable
import difflib
import time

from rclpy.node import Node
from rclpy.topic_endpoint_info import TopicEndpointInfo

PATIENCE = 5.0  # seconds without an image
SHOWN = 4  # topics at most
COMPRESSED = '/compressed'


class Silence:
    """Waits for images on a topic, and has one sentence for each time that none come.

    Args:
        node: The node that subscribes.
        topic: The full name of the topic.
        type_name: Of its messages, such as 'sensor_msgs/msg/Image'.
        what: One of them in a word.
    """

    def __init__(self, node: Node, topic: str, type_name: str, what: str = 'image') -> None:
        self._node = node
        self._topic = topic
        self._type_name = type_name
        self._what = what
        self._publishers: set[bytes] = set()
        self._since = time.monotonic()
        self._is_told = False

    def end(self) -> None:
        """Note that an image has come."""
        self._since = time.monotonic()

    def sentence(
        self, publishers: list[TopicEndpointInfo], fits: Callable[[TopicEndpointInfo], bool]
    ) -> str:
        """To be called every second; empty unless there is something to say. It is said again
        only when the publishers have changed.

        Args:
            publishers: What `get_publishers_info_by_topic` knows of them.
            fits: Whether the images of one of them could arrive; of others nothing is said.
        """
        ids = {bytes(publisher.endpoint_gid) for publisher in publishers}
        if ids != self._publishers:
            self._publishers, self._since, self._is_told = ids, time.monotonic(), False
        if self._is_told or time.monotonic() - self._since < PATIENCE:
            return ''
        self._is_told = True
        silence = f'no {self._what} on {self._topic} for {PATIENCE:g} s'
        if not publishers:
            return f'{silence}: nobody publishes it{self._elsewhere()}'
        names = [name_of(publisher) for publisher in publishers if fits(publisher)]
        verb = 'are' if len(names) > 1 else 'is'
        there = f'{" and ".join(names)} {verb} there to publish it, but nothing comes'
        return f'{silence}: {there}' if names else ''

    def _elsewhere(self) -> str:
        images: list[str] = []
        others: list[str] = []
        for name, types in self._node.get_topic_names_and_types():
            if any(type_.startswith('sensor_msgs/msg/') for type_ in types) and self._is_of_others(
                name
            ):
                (images if self._type_name in types else others).append(name)
        return elsewhere(self._topic, images, others)

    def _is_of_others(self, topic: str) -> bool:
        own = self._node.get_fully_qualified_name()
        return any(name_of(p) != own for p in self._node.get_publishers_info_by_topic(topic))


def elsewhere(topic: str, images: Iterable[str], others: Iterable[str]) -> str:
    """The end of a sentence: where images come instead.

    Args:
        topic: On which none come.
        images: Topics of the same type.
        others: Topics of other types.
    """
    others = list(others)
    if topic + COMPRESSED in others:
        return f', but {topic + COMPRESSED} comes: set image_transport to compressed'
    if topic.endswith(COMPRESSED) and topic.removesuffix(COMPRESSED) in others:
        return f', but {topic.removesuffix(COMPRESSED)} comes: set image_transport to raw'
    ranked = nearest_topics(topic, images)
    if not ranked:
        return ', nor any other topic of this type; is the camera running, in this ROS_DOMAIN_ID?'
    more = ', ...' if len(ranked) > SHOWN else ''
    return f'; topics of this type: {", ".join(ranked[:SHOWN])}{more}'


def nearest_topics(wanted: str, topics: Iterable[str]) -> list[str]:
    """Topics in the order of their names' likeness to a wanted one, the nearest first."""

    def distance(topic: str) -> tuple[float, str]:
        return -difflib.SequenceMatcher(None, wanted, topic, autojunk=False).ratio(), topic

    return sorted(topics, key=distance)


def name_of(publisher: TopicEndpointInfo) -> str:
    """The full name of a publisher's node."""
    return f'{publisher.node_namespace.rstrip("/")}/{publisher.node_name}'

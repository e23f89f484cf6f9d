# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The subscription to the camera: follows what is published, and tells what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
import time
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.subscription import Subscription
from rclpy.topic_endpoint_info import TopicEndpointInfo
from sensor_msgs.msg import CompressedImage, Image

from tracker_core.media.encodings import compressed_to_rgb, LONGEST_WORD, to_rgb
from tracker_core.media.gray import GrayRange, Span
from tracker_nodes.arrivals import Arrivals
from tracker_nodes.compat import SubscriptionEventCallbacks, UnsupportedEventTypeError
from tracker_nodes.conversions import nanoseconds
from tracker_nodes.fast_dds import profile_variables
from tracker_nodes.frames import Frame
from tracker_nodes.qos import (
    given_overrides,
    image_qos,
    incompatibility,
    is_of_type,
    loss_events,
    NO_EVENTS,
    overridden,
    type_name,
)
from tracker_nodes.silence import name_of, Silence

SILENCE = 2.0  # seconds without an image after which something is wrong
LOSS_WORTH_TELLING = 0.1  # share of the images
LOOKS = 3  # so many in a row have to see a loss before it is told
TELL_AGAIN = 300.0  # seconds


class ImageInput:
    """Takes the images of `image` or `image/compressed` as they arrive.

    Args:
        node: The node that subscribes.
        is_compressed: Which of the two topics.
        take: Called with each frame.
        bit_depth: See `GrayRange`.
        topic: Full name of another topic, of which nothing is decoded; empty: `image_topic`.

    Raises:
        ParameterError: One of the node's `qos_overrides` is no such policy.
    """

    def __init__(
        self,
        node: Node,
        is_compressed: bool,
        take: Callable[[Frame], None],
        bit_depth: int = 0,
        topic: str = '',
    ) -> None:
        self.gray = GrayRange(bit_depth, self._note_range)
        self._node = node
        self._take = take
        self._message = CompressedImage if is_compressed else Image
        self._decode = compressed_to_rgb if is_compressed else to_rgb
        self.topic = topic or image_topic(node, is_compressed)
        self._overrides = given_overrides(node, self.topic, 'subscription')
        self._publishers: dict[bytes, str] = {}  # their nodes by their id
        self._told: set[bytes] = set()  # publishers whose misfit has been logged
        self._clock_told: set[float] = set()  # by the max_age that it was logged for
        self._arrivals = Arrivals()
        self._kind = ''  # size and encoding of the last image
        self._stamp = 0  # of the last image
        self._last_image = 0.0  # time.monotonic()
        self._looks = 0  # in a row that have seen a loss
        self._loss_told = -TELL_AGAIN  # time.monotonic()
        self._silence = Silence(node, self.topic, type_name(self._message))
        self._old: Subscription | None = None  # for a second, beside the one that replaces it
        self._subscription = self._subscribe(self._adoptable(self._infos()))

    def close(self) -> None:
        """End the subscription."""
        for subscription in filter(None, (self._subscription, self._old)):
            self._node.destroy_subscription(subscription)
        self._old = None

    @property
    def qos(self) -> QoSProfile:
        """Of the subscription as it is now."""
        return self._subscription.qos_profile

    @property
    def is_changing(self) -> bool:
        """Whether two subscriptions overlap while the publisher's QoS is adopted."""
        return self._old is not None

    def problem(self, max_age: float) -> str:
        """What is wrong with the images, in a sentence; empty if nothing is.

        Args:
            max_age: See `Arrivals.clock_problem`.
        """
        if time.monotonic() - self._last_image > SILENCE:
            infos = self._infos()
            if not infos:
                return f'no image on {self.topic} for {SILENCE:g} s: nobody publishes it'
            reasons = filter(None, (self._incompatibility(info) for info in infos))
            reason = next(reasons, f'{name_of(infos[0])} is there to publish it, but does not')
            return f'no image on {self.topic} for {SILENCE:g} s: {reason}'
        if max_age > 0 and (problem := self._arrivals.clock_problem(max_age)):
            return problem
        return self._loss() if self._looks >= LOOKS else ''

    def values(self, max_age: float) -> dict[str, str]:
        """What diagnostics show; for `max_age` see `Arrivals.clock_problem`."""
        return {
            'lost before the node (%)': f'{100 * self._arrivals.lost_share:.0f}',
            'clock': self._arrivals.clock_problem(max_age) or 'agrees with the images',
        }

    def look_around(self, max_age: float) -> None:
        """Once a second: follow a publisher that appeared or changed, and log what a user would
        want to know, once.

        Args:
            max_age: See `Arrivals.clock_problem`.
        """
        # The old subscription stays until the next call, so that no frame is lost in between.
        if self._old is not None:
            self._node.destroy_subscription(self._old)
            self._old = None
        infos = self._infos()
        self._note_publishers(infos)
        if not self._adopt(infos):
            self._note_incompatible(infos)
        silence = self._silence.sentence(infos, lambda info: not self._incompatibility(info))
        if silence:
            self._node.get_logger().warning(silence)
        self._note_losses()
        problem = self._arrivals.clock_problem(max_age)
        if problem and max_age not in self._clock_told:
            self._clock_told.add(max_age)
            self._node.get_logger().warning(problem)

    def _infos(self) -> list[TopicEndpointInfo]:
        return self._node.get_publishers_info_by_topic(self.topic)

    def _adoptable(self, infos: list[TopicEndpointInfo], *fallback: QoSProfile) -> QoSProfile:
        return overridden(image_qos(infos, *fallback), self._overrides)

    def _subscribe(self, qos: QoSProfile) -> Subscription:
        def make(events: SubscriptionEventCallbacks) -> Subscription:
            return self._node.create_subscription(
                self._message, self.topic, self._on_image, qos, event_callbacks=events
            )

        try:
            subscription = make(loss_events(self._on_lost))
            self._arrivals.is_told = True
            return subscription
        except UnsupportedEventTypeError:
            return make(NO_EVENTS)

    def _on_lost(self, event: Any) -> None:
        """Images that were sent and did not arrive; not those that a newer one replaced here."""
        if not self.is_changing:
            self._arrivals.lose(event.total_count_change)

    def _on_image(self, message: Image | CompressedImage) -> None:
        stamp = nanoseconds(message.header.stamp)
        if self._old is not None and 0 < stamp <= self._stamp:
            return  # the other subscription brought it
        self._last_image = time.monotonic()
        self._silence.end()
        self._arrivals.add(stamp, self._node.get_clock().now().nanoseconds)
        self._note_changes(message, stamp)
        decode = partial(self._decode, message, scale=self.gray.at(stamp))
        self._take(Frame(stamp, message, decode))

    def _note_range(self, span: Span) -> None:
        """Called in the thread that looks at the images."""
        self._node.get_logger().info(span.sentence('bit_depth'), throttle_duration_sec=10.0)

    def _note_changes(self, message: Image | CompressedImage, stamp: int) -> None:
        if isinstance(message, Image):
            kind = f'{message.width} x {message.height} {message.encoding[:LONGEST_WORD]}'
        else:
            kind = message.format[:LONGEST_WORD]
        if self._kind and kind != self._kind:
            self._node.get_logger().info(
                f'the images changed from {self._kind} to {kind}', throttle_duration_sec=2.0
            )
        if stamp < self._stamp:
            self._node.get_logger().warning(
                f'time jumped back by {(self._stamp - stamp) / 1e9:.3f} s; older frames are '
                'forgotten, targets are kept',
                throttle_duration_sec=2.0,
            )
        self._kind, self._stamp = kind, stamp

    def _note_publishers(self, infos: list[TopicEndpointInfo]) -> None:
        publishers = {bytes(info.endpoint_gid): name_of(info) for info in infos}
        if publishers.keys() == self._publishers.keys():
            return
        log = self._node.get_logger()
        names = ', '.join(sorted(publishers.values()))
        if not publishers:
            gone = ', '.join(sorted(self._publishers.values()))
            log.info(f'{gone} has stopped publishing {self.topic}; targets are kept')
        elif len(publishers) == 1:
            log.info(f'{names} publishes {self.topic}')
        else:
            log.warning(f'{names} all publish {self.topic}: the images of all of them would mix')
        if self._publishers:
            self._arrivals.clear()
            self._looks = 0
        self._publishers = publishers

    def _adopt(self, infos: list[TopicEndpointInfo]) -> bool:
        old = self.qos
        new = self._adoptable(infos, old)
        if (new.reliability, new.durability) == (old.reliability, old.durability):
            return False
        self._node.get_logger().info(
            f'the images are published {new.reliability.name}, {new.durability.name}; '
            'subscribing likewise'
        )
        self._old = self._subscription
        self._subscription = self._subscribe(new)
        return True

    def _note_incompatible(self, infos: list[TopicEndpointInfo]) -> None:
        for info in infos:
            gid, reason = bytes(info.endpoint_gid), self._incompatibility(info)
            if not reason or gid in self._told:
                continue
            self._told.add(gid)
            if not is_of_type(info, self._message):
                cure = (
                    'compressed images need image_transport: compressed, and image without '
                    "'/compressed'"
                )
            elif self._overrides:
                policies = ', '.join(kind.name.lower() for kind in self._overrides)
                cure = (
                    f'take the override of {policies} away '
                    f'(qos_overrides.{self.topic}.subscription)'
                )
            else:
                cure = 'let the publishers of this topic agree on their quality of service'
            self._node.get_logger().warning(
                f'no image of {name_of(info)} arrives on {self.topic}: {reason}; {cure}'
            )

    def _incompatibility(self, info: TopicEndpointInfo) -> str:
        return incompatibility(info, self._message, self.qos)

    def _note_losses(self) -> None:
        is_losing = self._arrivals.lost_share >= LOSS_WORTH_TELLING
        self._looks = self._looks + 1 if is_losing else 0
        if self._looks < LOOKS or time.monotonic() - self._loss_told < TELL_AGAIN:
            return
        self._loss_told = time.monotonic()
        self._node.get_logger().warning(
            f'{self._loss()}. On one machine: Fast DDS needs config/dds/fastdds_shm.xml for the '
            f"camera's process too ({' or '.join(profile_variables())}), Cyclone DDS larger "
            'receive buffers; between machines compressed images help. See "Frames that arrive" '
            'in docs/first_hour.md'
        )

    def _loss(self) -> str:
        share = 100 * self._arrivals.lost_share
        return f'about {share:.0f} % of the images on {self.topic} are lost before they reach here'


def image_topic(node: Node, is_compressed: bool) -> str:
    """The full name of the topic of images."""
    return node.resolve_topic_name('image') + ('/compressed' if is_compressed else '')

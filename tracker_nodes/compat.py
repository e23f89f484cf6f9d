# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""What differs between the distributions of ROS 2, from Humble on; nothing else asks for one.

* Events of a subscription: rclpy.event_handler; in Humble rclpy.qos_event.
* This machine only: ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST; in Humble ROS_LOCALHOST_ONLY=1.
"""

from __future__ import annotations

from collections.abc import MutableMapping

try:
    from rclpy.event_handler import SubscriptionEventCallbacks, UnsupportedEventTypeError
except ImportError:  # Humble
    from rclpy.qos_event import SubscriptionEventCallbacks, UnsupportedEventTypeError

__all__ = ['SubscriptionEventCallbacks', 'UnsupportedEventTypeError', 'stay_on_this_machine']


def stay_on_this_machine(environment: MutableMapping[str, str]) -> None:
    """Keep the DDS of whatever starts with this environment from the network; what is set already
    stays."""
    environment.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    if environment.get('ROS_DISTRO') == 'humble':  # it does not know that one
        environment.setdefault('ROS_LOCALHOST_ONLY', '1')

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Each difference between distributions of ROS 2 that tracker_nodes.compat knows."""

from __future__ import annotations

from pathlib import Path
import re
import subprocess
import sys

import pytest

from tracker_nodes import compat

NODES = Path(compat.__file__).parent


def test_events_have_another_module_in_humble():
    """With rclpy laid out as in Humble, which has no rclpy.event_handler."""
    code = """
import sys, types
import rclpy.node  # asks for the module itself
import rclpy.event_handler as handler
humble = types.ModuleType('rclpy.qos_event')
humble.SubscriptionEventCallbacks = handler.SubscriptionEventCallbacks
humble.UnsupportedEventTypeError = handler.UnsupportedEventTypeError
sys.modules['rclpy.qos_event'] = humble
sys.modules['rclpy.event_handler'] = None  # importing it raises ImportError
from tracker_nodes import compat, qos
assert compat.SubscriptionEventCallbacks is humble.SubscriptionEventCallbacks
assert qos.NO_EVENTS.use_default_callbacks is False
"""
    subprocess.run([sys.executable, '-c', code], check=True)


@pytest.mark.parametrize(
    ('distro', 'expected'),
    [
        ('humble', {'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST', 'ROS_LOCALHOST_ONLY': '1'}),
        ('jazzy', {'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST'}),
        ('kilted', {'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST'}),
    ],
)
def test_staying_on_this_machine_has_another_variable_in_humble(distro: str, expected: dict):
    environment = {'ROS_DISTRO': distro}
    compat.stay_on_this_machine(environment)
    assert environment == {'ROS_DISTRO': distro, **expected}
    chosen = {'ROS_DISTRO': distro, **dict.fromkeys(expected, 'mine')}
    compat.stay_on_this_machine(chosen)
    assert set(chosen.values()) == {distro, 'mine'}


def test_nobody_else_asks_for_a_distribution():
    elsewhere = [
        path.name
        for path in NODES.glob('*.py')
        if path.name != 'compat.py'
        and re.search(r"qos_event|event_handler|== 'humble'|LOCALHOST_ONLY", path.read_text())
    ]
    assert not elsewhere

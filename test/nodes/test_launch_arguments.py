# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""What the launch files decide by themselves; launch itself need not be there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tracker_core import list_trackers, ParameterError, tracker_declaration
from tracker_nodes.follow_config import FollowConfig
from tracker_nodes.launch_arguments import (
    camera_info_topic,
    described,
    described_of,
    follow_parameters,
    logger_name,
    parameter_file,
    reason_to_refuse,
)


def test_arguments_are_described_where_the_parameters_are():
    for tracker in list_trackers():
        assert parameter_file(tracker).is_file()
        ((_, _, choices),) = described(['preset'], tracker)
        assert choices == ['', *tracker_declaration(tracker).presets]
    (device, preset) = described(['device', 'preset'], None)
    assert device[2] is None
    assert preset[2] is None
    assert 'compact_online' in preset[1]


def test_what_is_said_of_the_target_becomes_parameters():
    given = {'object_height': '1.7', 'depth_transport': '', 'fixed_frame': 'map'}
    assert follow_parameters(given, '/depth') == {'object_height': 1.7, 'fixed_frame': 'map'}
    assert follow_parameters({}, '') == {'depth_transport': 'none'}
    with pytest.raises(ParameterError, match='object_height must be a number'):
        follow_parameters({'object_height': 'tall'}, '')
    (transport, height) = described_of(FollowConfig, ['depth_transport', 'object_height'])
    assert transport[2] == ['', 'raw', 'compressedDepth', 'none']
    assert height[2] is None


@pytest.mark.parametrize(
    ('image', 'info'),
    [
        ('/camera/color/image_raw', '/camera/color/camera_info'),
        ('image', 'camera_info'),
        ('/image', '/camera_info'),
    ],
)
def test_the_calibration_is_beside_the_images(image: str, info: str):
    assert camera_info_topic(image) == info


@pytest.mark.parametrize(
    ('tracker', 'path', 'preset', 'reason'),
    [
        ('tadt', '', '', ''),
        ('ocean', __file__, 'compact_online', ''),
        ('tadt', '/no/such.yaml', '', 'params_file: /no/such.yaml does not exist'),
        ('tadt', str(Path(__file__).parent), '', 'is a folder'),
        ('tadt', '', 'compact_online', "tadt has no preset 'compact_online'; choose one of comp"),
    ],
)
def test_what_cannot_work_is_refused(tracker: str, path: str, preset: str, reason: str):
    told = reason_to_refuse(tracker, {'params_file': path, 'preset': preset})
    assert reason in told
    assert bool(told) == bool(reason)


@pytest.mark.parametrize(
    ('namespaces', 'name'),
    [
        (('', ''), 'eye'),
        (('', 'robot'), 'robot.eye'),
        (('', '/robot/'), 'robot.eye'),
        (('/fleet', 'robot/arm'), 'fleet.robot.arm.eye'),
        (('/fleet', ''), 'fleet.eye'),
        (('/fleet', '/robot'), 'robot.eye'),
    ],
)
def test_a_logger_has_the_name_of_its_node(namespaces: tuple[str, ...], name: str):
    assert logger_name('eye', *namespaces) == name

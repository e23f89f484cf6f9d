# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""What launch files start is looked for before anything is started."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tracker_nodes.executables import executable, MissingError, what_is_missing

SCREEN = {'DISPLAY': ':0'}


@pytest.mark.parametrize(
    'name', ['tracker_node', 'target_pose', 'video_source', 'select_target', 'demo']
)
def test_the_own_executables_are_found(name: str):
    path = executable('tracker_nodes', name)
    assert path.read_text().startswith('#!/usr/bin/env ')
    assert what_is_missing([('tracker_nodes', name, '')]) == ''


def test_what_is_missing_is_named_with_the_cure(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv('ROS_DISTRO', 'jazzy')
    wanted = [('tracker_nodes', 'tracker_node', ''), ('no_rviz', 'rviz2', 'rviz:=true')]
    problem = what_is_missing(wanted, ['rviz:=true'], SCREEN)
    assert problem.startswith('rviz:=true: the package no_rviz is not installed')
    assert 'sudo apt install ros-jazzy-no-rviz' in problem
    assert problem.endswith('or leave rviz:=true away')


def test_an_executable_that_is_not_one_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A package without its program, and one whose program lost its permission."""
    index = tmp_path / 'share/ament_index/resource_index/packages'
    index.mkdir(parents=True)
    (index / 'half').touch()
    monkeypatch.setenv('AMENT_PREFIX_PATH', f'{tmp_path}:{os.environ["AMENT_PREFIX_PATH"]}')
    with pytest.raises(MissingError, match='lib/half/half is not there'):
        executable('half', 'half')
    path = tmp_path / 'lib/half/half'
    path.parent.mkdir(parents=True)
    path.touch(0o644)
    with pytest.raises(MissingError, match='cannot be executed'):
        executable('half', 'half')
    path.chmod(0o755)
    assert executable('half', 'half') == path


@pytest.mark.parametrize(
    ('environment', 'is_refused'),
    [
        ({}, True),
        ({'DISPLAY': ''}, True),
        (SCREEN, False),
        ({'WAYLAND_DISPLAY': 'wayland-0'}, False),
        ({'QT_QPA_PLATFORM': 'offscreen'}, False),
    ],
)
def test_windows_need_a_display(environment: dict[str, str], is_refused: bool):
    wanted = [('tracker_nodes', 'select_target', 'select:=true')]
    problem = what_is_missing(wanted, ['select:=true'], environment)
    assert ('there is no display' in problem) == is_refused
    assert what_is_missing(wanted, (), environment) == ''

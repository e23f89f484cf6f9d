# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The files in config/ against the dataclasses that they come from."""

from __future__ import annotations

from pathlib import Path
import re

import pytest
import yaml

from tracker_core import list_trackers, tracker_declaration
from tracker_core.parameters import describe
from tracker_nodes.follow_config import FollowConfig
from tracker_nodes.parameters import follow_file, NodeConfig, parameter_file

CONFIG = Path(__file__).parents[2] / 'config'


def test_every_tracker_has_a_parameter_file():
    """And target_pose has one."""
    files = {path.stem for path in CONFIG.glob('*.yaml')}
    assert files == {*list_trackers(), 'follow'}


@pytest.mark.parametrize('tracker', list_trackers())
def test_parameter_files_are_up_to_date(tracker: str):
    written = (CONFIG / f'{tracker}.yaml').read_text()
    cure = f'python3 -m tracker_nodes.parameters {tracker} > config/{tracker}.yaml'
    assert written == parameter_file(tracker), f'write it again: {cure}'


def test_the_parameter_file_of_target_pose_is_up_to_date_and_gives_the_defaults():
    cure = 'python3 -m tracker_nodes.parameters follow > config/follow.yaml'
    written = (CONFIG / 'follow.yaml').read_text()
    assert written == follow_file(), f'write it again: {cure}'
    values = re.sub(r'^    #(?! )', '    ', written, flags=re.MULTILINE)
    assert FollowConfig(**yaml.safe_load(values)['/**']['ros__parameters']) == FollowConfig()


@pytest.mark.parametrize('tracker', list_trackers())
def test_a_parameter_file_with_all_values_set_gives_the_preset(tracker: str, start_node, tmp_path):
    values = re.sub(r'^    #(?! )', '    ', parameter_file(tracker), flags=re.MULTILINE)
    content = yaml.safe_load(values)['/**']['ros__parameters']
    config = tracker_declaration(tracker).preset('compact').config
    assert {name for name in content if '.' in name} == {
        f'{tracker}.{info.name}' for info in describe(config)
    }
    assert {name for name in content if '.' not in name} == {i.name for i in describe(NodeConfig)}
    content.update(weights='random', autostart=False)
    path = tmp_path / 'parameters.yaml'
    path.write_text(yaml.safe_dump({'/**': {'ros__parameters': content}}))
    node = start_node(cli_args=['--ros-args', '--params-file', str(path)])
    assert node._options.problem == ''
    assert node._options.tracker_config() == config

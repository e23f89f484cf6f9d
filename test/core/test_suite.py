# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The suite itself starts beside what a sourced ROS 2 brings."""

from __future__ import annotations

import os
from pathlib import Path
import subprocess
import sys

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize('name', ['launch_testing', 'launch_ros', 'launch_pytest'])
def test_plugins_of_a_sourced_ros_are_kept_out(name: str, tmp_path: Path):
    """Stand-ins under the names of ROS' entry points, with a hook that pytest refuses from 9 on:
    the same error as that of Jazzy's launch_testing."""
    site = tmp_path / 'site'
    metadata = site / f'{name}_stand_in-1.0.dist-info'
    metadata.mkdir(parents=True)
    (metadata / 'METADATA').write_text(
        f'Metadata-Version: 2.1\nName: {name}-stand-in\nVersion: 1.0\n'
    )
    (metadata / 'entry_points.txt').write_text(f'[pytest11]\n{name} = {name}_stand_in\n')
    (site / f'{name}_stand_in.py').write_text(
        'def pytest_pycollect_makemodule(path, parent, gone):\n    pass\n'
    )
    environment = {
        **os.environ,
        'PYTHONPATH': os.pathsep.join([str(site), os.environ.get('PYTHONPATH', '')]),
    }
    environment.pop('PYTEST_DISABLE_PLUGIN_AUTOLOAD', None)
    command = [sys.executable, '-m', 'pytest', '-p', 'no:cacheprovider']

    (tmp_path / 'test_one.py').write_text('def test_one():\n    pass\n')
    refused = subprocess.run(
        [*command, '-c', os.devnull, '--rootdir', str(tmp_path), str(tmp_path / 'test_one.py')],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert 'gone' in refused.stderr  # the stand-in is one

    mine = [*command, '-c', str(ROOT / 'pyproject.toml'), str(tmp_path / 'test_one.py')]
    started = subprocess.run(mine, env=environment, capture_output=True, text=True)
    assert started.returncode == 0, started.stdout + started.stderr
    assert '1 passed' in started.stdout

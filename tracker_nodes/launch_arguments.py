# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""What the launch files decide by themselves: what can be chosen, and what is refused before
anything starts.

Nothing here needs launch, torch or a running ROS.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
import re

from ament_index_python.packages import get_package_share_directory


def trackers() -> list[str]:
    """The trackers that have a parameter file."""
    files = parameter_file('tadt').parent.glob('*.yaml')
    return sorted(file.stem for file in files if not file.stem.startswith('train_'))


def parameter_file(tracker: str) -> Path:
    """The file of a tracker's parameters that comes with the package."""
    return Path(get_package_share_directory('tracker_nodes'), 'config', f'{tracker}.yaml')


def presets(tracker: str) -> list[str]:
    """A tracker's presets, as its parameter file names them."""
    (names,) = re.findall(r'^# Presets: (.*)$', parameter_file(tracker).read_text(), re.MULTILINE)
    return names.split(', ')


def reason_to_refuse(tracker: str, arguments: Mapping[str, str]) -> str:
    """Why nothing can be launched with these arguments, in a sentence; empty if it can.

    Args:
        tracker: Its name.
        arguments: The values of `params_file` and `preset`; empty where none is given.
    """
    path, preset = arguments['params_file'], arguments['preset']
    if path and not Path(path).is_file():
        what = 'is a folder' if Path(path).is_dir() else 'does not exist'
        return f'params_file: {path} {what} (seen from {Path.cwd()})'
    if preset and preset not in presets(tracker):
        return f'{tracker} has no preset {preset!r}; choose one of {", ".join(presets(tracker))}'
    return ''


def logger_name(node: str, *namespaces: str) -> str:
    """The full name of a node's logger.

    Args:
        node: Name of the node.
        *namespaces: Around it, the outermost first; one that begins with a slash counts alone.
    """
    whole = ''
    for namespace in namespaces:
        whole = namespace if namespace.startswith('/') else f'{whole}/{namespace}'
    return '.'.join([*filter(None, whole.split('/')), node])

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""What the launch files decide by themselves: what can be chosen, and what is refused before
anything starts.

Nothing here needs launch, torch or a running ROS.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from ament_index_python.packages import get_package_share_directory

from tracker_core import list_trackers, tracker_declaration, UnknownTrackerError
from tracker_core.parameters import describe, Parameters, Value
from tracker_nodes.follow_config import FollowConfig
from tracker_nodes.node_config import NodeConfig
from tracker_nodes.operator_config import OperatorConfig


def parameter_file(tracker: str) -> Path:
    """The file of a tracker's parameters that comes with the package."""
    return Path(get_package_share_directory('tracker_nodes'), 'config', f'{tracker}.yaml')


def described(
    names: Iterable[str], tracker: str | None
) -> list[tuple[str, str, list[str] | None]]:
    """Launch arguments that are parameters of the node: name, description, and what can be chosen
    beside nothing; None for anything.

    Args:
        names: Of the parameters.
        tracker: Whose presets can be chosen; None: the tracker is chosen, too.
    """
    infos = {info.name: info for info in describe(NodeConfig)}
    arguments: list[tuple[str, str, list[str] | None]] = []
    for name in names:
        text = infos[name].help.rstrip('.')
        choices = infos[name].choices
        if name == 'preset' and tracker is not None:
            choices = tuple(tracker_declaration(tracker).presets)
        elif name == 'preset':
            each = (f'{n}: {", ".join(tracker_declaration(n).presets)}' for n in list_trackers())
            text = f'{text} ({"; ".join(each)})'
        arguments.append((name, text, ['', *map(str, choices)] if choices else None))
    return arguments


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
    try:
        declaration = tracker_declaration(tracker)
        if preset:
            declaration.preset(preset)
    except UnknownTrackerError as error:
        return str(error)
    return ''


def described_of(
    config: type[Parameters], names: Iterable[str]
) -> list[tuple[str, str, list[str] | None]]:
    """The same as `described` for parameters of another node, which are fields of `config`."""
    infos = {info.name: info for info in describe(config)}
    return [
        (
            name,
            infos[name].help.rstrip('.'),
            ['', *map(str, infos[name].choices or ())] if infos[name].choices else None,
        )
        for name in names
    ]


def parsed(config: type[Parameters], given: Mapping[str, str]) -> dict[str, Value]:
    """Parameters of a node from launch arguments.

    Args:
        config: Whose fields they are.
        given: Values by the names of the parameters; empty where none is given.

    Raises:
        ParameterError: A value that does not fit.
    """
    infos = {info.name: info for info in describe(config)}
    return {name: infos[name].parse(text) for name, text in given.items() if text}


def follow_parameters(given: Mapping[str, str], depth: str) -> dict[str, Value]:
    """The same as `parsed` for `target_pose`.

    Args:
        given: See there.
        depth: Topic of the depth images; empty: there are none.

    Raises:
        ParameterError: See there.
    """
    values = parsed(FollowConfig, given)
    return values if depth else {**values, 'depth_transport': 'none'}


def operator_parameters(given: Mapping[str, str], transport: str) -> dict[str, Value]:
    """The same as `parsed` for `operator`, whose arguments have that in front of the name.

    Args:
        given: See there.
        transport: Of the images, as the tracker's; empty: as it is by default.

    Raises:
        ParameterError: See there.
    """
    given = {name.removeprefix('operator_'): text for name, text in given.items()}
    return parsed(OperatorConfig, {**given, 'image_transport': transport})


def camera_info_topic(image: str) -> str:
    """Where a camera publishes its calibration: beside its images."""
    folder, slash, _ = image.rpartition('/')
    return f'{folder}{slash}camera_info'


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

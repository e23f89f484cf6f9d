# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The launch description that all launch files share.

Nothing here needs torch: `ros2 launch` runs with the system's Python, the nodes with that of an
activated virtual environment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
import os
from pathlib import Path
from typing import Any

from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.launch_context import LaunchContext
from launch.launch_description import LaunchDescription
from launch.launch_description_entity import LaunchDescriptionEntity
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from tracker_core import list_trackers, ParameterError
from tracker_core.parameters import Parameters, Value
from tracker_nodes.executables import what_is_missing
from tracker_nodes.fast_dds import profile_path, profile_variables
from tracker_nodes.follow_config import FollowConfig
from tracker_nodes.launch_arguments import (
    camera_info_topic,
    described,
    described_of,
    follow_parameters,
    logger_name,
    operator_parameters,
    parameter_file,
    reason_to_refuse,
)
from tracker_nodes.operator_config import OperatorConfig

# Handed on to the node if they are given; otherwise the parameter file decides, then the defaults.
NODE_PARAMETERS = ('preset', 'device', 'precision', 'runtime', 'image_transport')
FOLLOW_PARAMETERS = (
    'depth_transport',
    'object_height',
    'object_width',
    'fixed_frame',
    'target_frame',
)
OPERATOR_PARAMETERS = ('operator_address', 'operator_port')
# Of tracker_node, unless its parameter file says otherwise: who draws a box takes his time
FOR_DRAWING = {'history_seconds': 10.0}


def tracker_launch(
    tracker: str | None = None, preset: str = '', follow: bool = False
) -> LaunchDescription:
    """One tracker_node and what belongs to it.

    Args:
        tracker: Name of the tracker; None makes it a launch argument.
        preset: Default of the launch argument; empty: the parameter file's.
        follow: Start target_pose, too.
    """
    arguments = []
    if tracker is None:
        arguments.append(
            DeclareLaunchArgument(
                'tracker',
                default_value='tadt',
                choices=list_trackers(),
                description='Which tracker',
            )
        )
    if follow:
        arguments += _follow_arguments()
    arguments += [
        DeclareLaunchArgument(
            'image', default_value='image', description='Topic of the camera images'
        ),
        DeclareLaunchArgument(
            'namespace', default_value='', description='Namespace of the nodes and their topics'
        ),
        DeclareLaunchArgument(
            'params_file',
            default_value='',
            description='Parameter file, for all that has no argument here (max_targets, max_age, '
            '...); empty: config/<tracker>.yaml of this package',
        ),
        *(
            DeclareLaunchArgument(
                name,
                default_value=preset if name == 'preset' else '',
                description=f'{text}; empty: as in params_file',
                choices=choices,
            )
            for name, text, choices in described(NODE_PARAMETERS, tracker)
        ),
        DeclareLaunchArgument(
            'video',
            default_value='',
            description='Play this as the camera: a video file, a folder of images, the number of '
            "a camera, a stream (rtsp://...), or 'scene'; empty: none",
        ),
        DeclareLaunchArgument(
            'rviz',
            default_value='false',
            choices=['true', 'false'],
            description='Open rviz on the annotated image (needs the package rviz2 and a display)',
        ),
        DeclareLaunchArgument(
            'select',
            default_value='false',
            choices=['true', 'false'],
            description='Open a window in which a box is drawn around what is to be followed '
            '(needs a display and an OpenCV with windows)',
        ),
        DeclareLaunchArgument(
            'operator',
            default_value='false',
            choices=['true', 'false'],
            description='Serve a page on which a box is drawn in any browser (needs aiohttp)',
        ),
        *_arguments_of(
            'operator', OperatorConfig, OPERATOR_PARAMETERS, 'operator_params_file', 'operator_'
        ),
        DeclareLaunchArgument(
            'dds_profile',
            default_value='shm',
            choices=['shm', 'none'],
            description="Transport of Fast DDS: 'shm' has shared memory for whole frames (set "
            f"{' or '.join(profile_variables())} for the camera's process too), 'none' its "
            'defaults; a profile that is set already stays',
        ),
        DeclareLaunchArgument(
            'log_level',
            default_value='info',
            choices=['debug', 'info', 'warn', 'error', 'fatal'],
            description='Least severity that the nodes log',
        ),
        DeclareLaunchArgument(
            'use_sim_time',
            default_value='',
            choices=['', 'true', 'false'],
            description="Whether the nodes' clock is /clock (ros2 bag play --clock); empty: as in "
            'params_file',
        ),
    ]
    function = OpaqueFunction(function=_nodes, args=[tracker, follow])
    return LaunchDescription([*arguments, function])


def _follow_arguments() -> list[DeclareLaunchArgument]:
    return [
        DeclareLaunchArgument(
            'depth',
            default_value='',
            description='Topic of the depth images, aligned with the camera images; empty: none',
        ),
        DeclareLaunchArgument(
            'camera_info',
            default_value='',
            description="Topic of the camera's calibration; empty: camera_info beside image",
        ),
        *_arguments_of('target_pose', FollowConfig, FOLLOW_PARAMETERS, 'follow_params_file'),
    ]


def _arguments_of(
    node: str, config: type[Parameters], names: Iterable[str], file: str, prefix: str = ''
) -> list[DeclareLaunchArgument]:
    """Arguments for another node: its parameter file, and some of its parameters.

    Args:
        node: Its name.
        config: Whose fields its parameters are.
        names: Of the arguments.
        file: Name of the argument for the file.
        prefix: In front of the parameters' names, as arguments.
    """
    parameters = [name.removeprefix(prefix) for name in names]
    return [
        DeclareLaunchArgument(
            file,
            default_value='',
            description=f'Parameter file of {node}; empty: the values of this package',
        ),
        *(
            DeclareLaunchArgument(
                f'{prefix}{name}',
                default_value='',
                description=f'{text}. Of {node}; empty: as in {file}',
                choices=choices,
            )
            for name, text, choices in described_of(config, parameters)
        ),
    ]


def _nodes(
    context: LaunchContext, tracker: str | None, follow: bool
) -> list[LaunchDescriptionEntity]:
    def value(name: str) -> str:
        return LaunchConfiguration(name).perform(context)

    def text(word: str) -> ParameterValue:
        return ParameterValue(word, value_type=str)  # not a number, even where it looks like one

    clock = {'use_sim_time': value('use_sim_time') == 'true'} if value('use_sim_time') else {}
    around = context.launch_configurations.get('ros_namespace', '')  # of PushRosNamespace

    def node(
        name: str, *parameters: str | dict[str, Any], topics: Mapping[str, str] | None = None
    ) -> Node:
        # By the full name: a level without one would be that of rcl and the middleware, too.
        logger = logger_name(name, around, value('namespace'))
        return Node(
            package='tracker_nodes',
            executable=name,
            name=name,
            namespace=value('namespace'),
            parameters=[each for each in (*parameters, clock) if each],
            remappings=list((topics or {'image': value('image')}).items()),
            ros_arguments=['--log-level', f'{logger}:={value("log_level")}'],
            output='screen',
        )

    _check_executables(value, follow)
    tracker = tracker or value('tracker')
    given = {name: value(name) for name in NODE_PARAMETERS if value(name)}
    refusal = reason_to_refuse(tracker, {name: value(name) for name in ('params_file', 'preset')})
    if refusal:
        raise RuntimeError(refusal)
    share = Path(get_package_share_directory('tracker_nodes'))
    entities: list[LaunchDescriptionEntity] = []
    variables = profile_variables()
    if value('dds_profile') == 'shm' and not any(name in os.environ for name in variables):
        profile = str(profile_path(share))
        entities += [SetEnvironmentVariable(name, profile) for name in variables]
    entities.append(
        node(
            'tracker_node',
            *([FOR_DRAWING] if value('operator') == 'true' else []),
            value('params_file') or str(parameter_file(tracker)),
            {name: text(word) for name, word in {'tracker': tracker, **given}.items()},
        )
    )
    if follow:
        entities.append(_target_pose(value, node, share))
    if value('video'):
        played = {'video': text(value('video')), 'loop': True, 'wait_for_subscriber': True}
        entities.append(node('video_source', played))
    if value('select') == 'true':
        transport = value('image_transport')
        entities.append(node('select_target', {'image_transport': transport} if transport else {}))
    if value('operator') == 'true':
        entities.append(_operator(value, node))
    if value('rviz') == 'true':
        entities.append(
            Node(
                package='rviz2',
                executable='rviz2',
                name='rviz',
                namespace=value('namespace'),
                arguments=[
                    '-d',
                    str(share / 'rviz' / f'{"follow" if follow else "tracker"}.rviz'),
                ],
                parameters=[clock] if clock else [],
                output='screen',
            )
        )
    return entities


def _target_pose(value: Callable[[str], str], node: Callable[..., Node], share: Path) -> Node:
    """The node target_pose, by the launch arguments.

    Raises:
        RuntimeError: One of them does not fit.
    """
    path = _given_file(value, 'follow_params_file')
    given = {name: value(name) for name in FOLLOW_PARAMETERS}
    try:
        parameters = follow_parameters(given, value('depth'))
    except ParameterError as error:
        raise RuntimeError(str(error)) from error
    words = _typed(parameters)
    info = value('camera_info') or camera_info_topic(value('image'))
    topics = {'camera_info': info}
    if value('depth'):
        topics['depth'] = value('depth')
    return node('target_pose', path or str(share / 'config' / 'follow.yaml'), words, topics=topics)


def _operator(value: Callable[[str], str], node: Callable[..., Node]) -> Node:
    """The node operator, by the launch arguments.

    Raises:
        RuntimeError: One of them does not fit.
    """
    path = _given_file(value, 'operator_params_file')
    given = {name: value(name) for name in OPERATOR_PARAMETERS}
    try:
        parameters = operator_parameters(given, value('image_transport'))
    except ParameterError as error:
        raise RuntimeError(f'operator_{error}') from error
    return node('operator', path, _typed(parameters))


def _given_file(value: Callable[[str], str], argument: str) -> str:
    """The parameter file that a launch argument names; empty if it names none.

    Raises:
        RuntimeError: There is no such file.
    """
    path = value(argument)
    if path and not Path(path).is_file():
        raise RuntimeError(f'{argument}: {path} is no file (seen from {Path.cwd()})')
    return path


def _typed(parameters: Mapping[str, Value]) -> dict[str, ParameterValue]:
    """Values that stay of their types, even where a text looks like a number."""
    return {name: ParameterValue(each, value_type=type(each)) for name, each in parameters.items()}


def _check_executables(value: Callable[[str], str], follow: bool) -> None:
    """Refuse before anything runs: launch would leave behind what it has started already.

    Args:
        value: Gives the value of a launch argument.
        follow: Whether target_pose is started.

    Raises:
        RuntimeError: Something that is asked for cannot be started; the message says what to do.
    """
    wanted = [('tracker_nodes', 'tracker_node', '')]
    if follow:
        wanted.append(('tracker_nodes', 'target_pose', ''))
    windows = []
    if value('video'):
        wanted.append(('tracker_nodes', 'video_source', 'video:=...'))
    if value('select') == 'true':
        wanted.append(('tracker_nodes', 'select_target', 'select:=true'))
        windows.append('select:=true')
    if value('operator') == 'true':
        wanted.append(('tracker_nodes', 'operator', 'operator:=true'))
    if value('rviz') == 'true':
        wanted.append(('rviz2', 'rviz2', 'rviz:=true'))
        windows.append('rviz:=true')
    if problem := what_is_missing(wanted, windows):
        raise RuntimeError(problem)

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""What the launch files offer and start; only where launch is installed."""

from __future__ import annotations

import os
from pathlib import Path
import threading

import pytest
import yaml

pytest.importorskip('launch_ros')

from ament_index_python.packages import get_package_prefix
from launch.actions import (
    DeclareLaunchArgument,
    IncludeLaunchDescription,
    OpaqueFunction,
    SetEnvironmentVariable,
    Shutdown,
    TimerAction,
)
from launch.launch_description_sources import (
    get_launch_description_from_python_launch_file,
    PythonLaunchDescriptionSource,
)
from launch_ros.actions import Node
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image
from tracker_nodes.msg import TrackStatusArray

from launch import LaunchContext, LaunchDescription, LaunchService
from tracker_core import list_trackers, tracker_declaration
from tracker_nodes.executables import what_is_missing
from tracker_nodes.fast_dds import profile_variables
from tracker_nodes.isolation import isolate

LAUNCH_FILES = sorted((Path(__file__).parents[2] / 'launch').glob('*.launch.py'))


def load(path: Path) -> LaunchDescription:
    return get_launch_description_from_python_launch_file(str(path))


def nodes(path: Path, **arguments: str) -> dict[str, Node]:
    """The nodes that a launch file starts, by name."""
    context = LaunchContext()
    description = load(path)
    context.launch_configurations.update(arguments)
    found = []
    for entity in description.entities:
        if isinstance(entity, DeclareLaunchArgument):
            entity.execute(context)
        elif isinstance(entity, OpaqueFunction):
            found += [e for e in entity.execute(context) if isinstance(e, Node)]
    for node in found:
        node._perform_substitutions(context)
    return {node.node_name.rpartition('/')[2]: node for node in found}


@pytest.mark.parametrize('path', LAUNCH_FILES, ids=lambda path: path.name)
def test_arguments_are_described(path: Path):
    arguments = load(path).get_launch_arguments()
    names = {argument.name for argument in arguments}
    assert {'image', 'namespace', 'params_file', 'device', 'video', 'rviz', 'dds_profile'} <= names
    chooses = {'tracker.launch.py', 'follow.launch.py'}
    assert ('tracker' in names) == (path.name in chooses)
    assert ('depth' in names) == (path.name == 'follow.launch.py')
    assert all(len(argument.description) > 10 for argument in arguments)


@pytest.mark.parametrize('path', LAUNCH_FILES, ids=lambda path: path.name)
def test_nodes_are_started(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv('DISPLAY', ':0')
    always = {'tracker_node'} | ({'target_pose'} if path.name == 'follow.launch.py' else set())
    assert nodes(path).keys() == always
    wanted = {'video_source': ('video', 'scene'), 'select_target': ('select', 'true')}
    wanted['operator'] = ('operator', 'true')
    if not what_is_missing([('rviz2', 'rviz2', '')]):
        wanted['rviz'] = ('rviz', 'true')
    started = nodes(path, namespace='robot', **dict(wanted.values()))
    assert started.keys() == {*always, *wanted}
    assert started['tracker_node'].node_name == '/robot/tracker_node'


def test_nothing_is_started_unless_everything_can_be(monkeypatch: pytest.MonkeyPatch):
    for name in ('DISPLAY', 'WAYLAND_DISPLAY', 'QT_QPA_PLATFORM'):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(RuntimeError, match='select:=true: there is no display'):
        nodes(LAUNCH_FILES[0], select='true')
    monkeypatch.setenv('DISPLAY', ':0')
    monkeypatch.setenv('AMENT_PREFIX_PATH', get_package_prefix('tracker_nodes'))
    if what_is_missing([('rviz2', 'rviz2', '')]):  # else everything is in one folder
        with pytest.raises(RuntimeError, match='rviz:=true: the package rviz2 is not installed'):
            nodes(LAUNCH_FILES[0], rviz='true')


@pytest.mark.parametrize(
    'name',
    [
        'tracker',
        'rviz',
        'select',
        'operator',
        'operator_port',
        'operator_params_file',
        'dds_profile',
        'log_level',
        'precision',
        'runtime',
        'image_transport',
        'use_sim_time',
        'params_file',
        'preset',
    ],
)
def test_choices_are_enforced(name: str):
    path = next(path for path in LAUNCH_FILES if path.name == 'tracker.launch.py')
    with pytest.raises(RuntimeError, match=name):
        nodes(path, **{name: 'nonsense'})


def presets(tracker: str) -> list[str]:
    return list(tracker_declaration(tracker).presets)


def test_presets_are_those_of_the_tracker():
    for path in LAUNCH_FILES:
        arguments = {argument.name: argument for argument in load(path).get_launch_arguments()}
        preset = arguments['preset']
        if 'tracker' in arguments:
            for tracker in list_trackers():
                assert ', '.join(presets(tracker)) in preset.description
        else:
            assert preset.choices == ['', *presets(path.name.partition('.')[0].partition('_')[0])]


@pytest.mark.parametrize(('given', 'expected'), [('', None), ('true', True), ('false', False)])
def test_simulated_time_is_handed_on(given: str, expected: bool | None):
    started = nodes(LAUNCH_FILES[0], use_sim_time=given, video='scene', select='true')
    for node in started.values():
        found = [v for k, v in parameters_of(node).items() if k == 'use_sim_time']
        assert found == ([] if expected is None else [expected])


def parameters_of(node: Node) -> dict[str, object]:
    """Those that the launch file gives by value."""
    values = {}
    for argument, is_file in node._Node__expanded_parameter_arguments or []:
        if is_file and '/launch_params_' in argument:
            content = yaml.safe_load(Path(argument).read_text())
            values.update(next(iter(content.values()))['ros__parameters'])
    return values


@pytest.mark.parametrize(
    ('dds_profile', 'already', 'expected'),
    [('shm', None, 'fastdds_shm.xml'), ('none', None, None), ('shm', 'mine.xml', 'mine.xml')],
)
def test_the_profile_of_fast_dds(
    dds_profile: str, already: str | None, expected: str | None, monkeypatch: pytest.MonkeyPatch
):
    names = profile_variables()
    for name in names:
        monkeypatch.setenv(name, already or '')  # put back afterwards
        if already is None:
            monkeypatch.delenv(name)
    context = LaunchContext()
    context.launch_configurations['dds_profile'] = dds_profile
    for entity in load(LAUNCH_FILES[0]).entities:
        for inner in entity.execute(context) or []:
            if isinstance(inner, SetEnvironmentVariable):
                inner.execute(context)
    for name in names:
        assert Path(os.environ.get(name, 'None')).name == str(expected)


def test_a_launched_tracker_follows_a_scene():
    """The whole way: launch file, processes, DDS."""
    isolate()
    path = next(path for path in LAUNCH_FILES if path.name == 'tracker.launch.py')
    arguments = {'video': 'scene', 'namespace': 'robot', 'image': 'camera/image'}
    service = LaunchService(noninteractive=True)
    service.include_launch_description(
        LaunchDescription(
            [
                IncludeLaunchDescription(
                    PythonLaunchDescriptionSource(str(path)), launch_arguments=arguments.items()
                ),
                TimerAction(period=120.0, actions=[Shutdown()]),
            ]
        )
    )
    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node('listener', namespace='robot', context=context)
    statuses: list[TrackStatusArray] = []
    images: list[Image] = []
    node.create_subscription(TrackStatusArray, 'status', statuses.append, 10)
    node.create_subscription(Image, 'camera/image', images.append, qos_profile_sensor_data)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)

    def listen() -> None:
        while not (statuses and images) and context.ok():
            executor.spin_once(timeout_sec=0.2)
        service.shutdown()

    listener = threading.Thread(target=listen)
    listener.start()
    service.run()
    context.try_shutdown()
    listener.join()
    assert images
    assert statuses
    assert statuses[0].tracker == 'tadt'

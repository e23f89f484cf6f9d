# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Nodes to which no image comes say so, once, and say where images come instead."""

from __future__ import annotations

from collections.abc import Callable
import time
from typing import Any

import pytest
from rcl_interfaces.msg import Log
from sensor_msgs.msg import CompressedImage, Image

from tracker_nodes import silence
from tracker_nodes.fast_dds import profile_variables
from tracker_nodes.silence import elsewhere, nearest_topics

pytestmark = pytest.mark.usefixtures('alone')


def test_the_nearest_topic_comes_first():
    topics = ['/lidar/intensity', '/robot/camera/image_raw', '/cam/depth', '/camera/image_raw']
    assert nearest_topics('/camera/image', topics)[0] == '/camera/image_raw'
    assert nearest_topics('/camera/image', topics)[-1] == '/lidar/intensity'
    assert nearest_topics('/camera/image', reversed(topics)) == nearest_topics(
        '/camera/image', topics
    )


@pytest.mark.parametrize(
    ('topic', 'images', 'others', 'words'),
    [
        ('/a', ['/b'], ['/a/compressed'], ', but /a/compressed comes: set image_transport to'),
        ('/a/compressed', [], ['/a'], ', but /a comes: set image_transport to raw'),
        ('/a', ['/b', '/c'], ['/b/compressed'], '; topics of this type: /b, /c'),
        ('/a', [f'/{x}' for x in 'bcdefg'], [], '; topics of this type: /b, /c, /d, /e, ...'),
        ('/a', [], ['/b'], ', nor any other topic of this type; is the camera running'),
    ],
)
def test_where_images_come_instead(topic: str, images: list[str], others: list[str], words: str):
    assert elsewhere(topic, images, others).startswith(words)


@pytest.fixture
def warnings(operator: Any) -> Callable[[], list[str]]:
    """What was said of absent images."""
    logs = operator.listen(Log, '/rosout')
    operator.wait_until(lambda: operator.hears('/rosout'), 'the log')
    return lambda: [log.msg for log in logs if log.msg.startswith('no image on')]


def test_a_topic_that_nobody_publishes_is_told_once(start_node: Any, operator: Any, warnings: Any):
    for kind, topic in ((Image, 'cam/image_raw'), (CompressedImage, 'other/compressed')):
        operator.node.create_publisher(kind, topic, 1)
    start_node()
    started = time.monotonic()
    operator.wait_until(warnings, 'the warning')
    assert time.monotonic() - started > 4, 'not before the camera has had time to start'
    time.sleep(2.5)  # two more looks
    assert warnings() == [
        'no image on /image for 5 s: nobody publishes it; topics of this type: /cam/image_raw'
    ], 'its own annotated image is none, and a compressed one is of another type'


def test_publishers_that_go_or_stay_silent_are_told(
    start_node: Any, operator: Any, warnings: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(silence, 'PATIENCE', 1.5)
    operator.node.create_publisher(CompressedImage, 'image/compressed', 1)
    assert operator.camera
    start_node()
    operator.wait_until(lambda: len(warnings()) == 1, 'a word on the silent publisher')
    assert '/rest_of_the_robot is there to publish it, but nothing comes' in warnings()[0]
    operator.node.destroy_publisher(operator.camera)
    operator.wait_until(lambda: len(warnings()) == 2, 'a word on its end')
    assert 'nobody publishes it, but /image/compressed comes: set image_tr' in warnings()[1]


def test_video_source_has_compressed_images_too(
    start_node: Any, start_process: Any, operator: Any, still: Any
):
    start_node(image_transport='compressed')
    start_process('video_source', video=still[0], loop=True, wait_for_subscriber=True)
    operator.wait_until(lambda: operator.statuses, 'the status of a frame')


@pytest.mark.parametrize('name', ['tracker_node', 'video_source', 'select_target'])
def test_a_parameter_file_that_does_not_exist_is_named(start_process: Any, name: str):
    process = start_process(name, '--params-file', '/no/such/file.yaml')
    assert process.process.wait(60) == 1
    process._reader.join(10)
    (line,) = process.logged('error: ')
    assert '/no/such/file.yaml' in line
    assert process.logged('Traceback') == []


def test_the_profile_of_fast_dds_has_another_name_from_kilted_on(monkeypatch: pytest.MonkeyPatch):
    old, new = 'FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE'
    for distro in ('humble', 'jazzy'):
        assert profile_variables(distro) == (old,)
    for distro in ('kilted', 'lyrical', 'rolling'):
        assert profile_variables(distro) == (new,)
    monkeypatch.setenv('ROS_DISTRO', 'jazzy')
    assert profile_variables() == (old,)
    monkeypatch.delenv('ROS_DISTRO')
    assert set(profile_variables()) == {old, new}

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The nodes as processes, the way a robot runs them, and the demo."""

from __future__ import annotations

from collections.abc import Callable, Iterator
import contextlib
from dataclasses import dataclass
import io
from itertools import islice
from pathlib import Path
import re
import signal
import subprocess
import sys
from typing import Any

import cv2
import pytest
from rclpy.parameter import Parameter
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image

from tracker_core import create_tracker, TrackerError, TrackStatus
from tracker_core.evaluation.video import open_frames
from tracker_nodes import demo
from tracker_nodes.conversions import nanoseconds
from tracker_nodes.encodings import to_rgb
from tracker_nodes.video_source import VideoSource

FRAMES = 25


@dataclass
class Demo:
    """What a run of the demo left."""

    code: int
    output: str
    folder: Path
    recording: demo.Recording


@pytest.fixture(scope='module')
def finished(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """The demo on the rendered scene, in lockstep."""
    folder = tmp_path_factory.mktemp('demo')
    output = io.StringIO()
    recordings = []
    arguments = ['--lockstep', '--frames', str(FRAMES), '--device', 'cpu', '--out', str(folder)]
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(output):
        follow = demo.follow
        patch.setattr(
            demo, 'follow', lambda *a, **k: recordings.append(follow(*a, **k)) or recordings[0]
        )
        code = demo.main(arguments)
    return Demo(code, output.getvalue(), folder, recordings[0])


def test_every_frame_is_answered_in_lockstep(finished: Demo):
    assert finished.recording.sent == list(range(1, FRAMES))
    assert list(finished.recording.answers) == finished.recording.sent


def test_boxes_over_dds_equal_those_of_the_library(finished: Demo):
    """What video_source sends as bgr8 and tracker_node answers is what `tracker track` gives."""
    tracker = create_tracker('tadt', device='cpu')
    video = open_frames('scene')
    frames = iter(video)
    target = tracker.start(next(frames), video.boxes[0])
    for number in range(1, FRAMES):
        track = tracker.track(next(frames), target)
        answer = finished.recording.answers[number]
        assert answer.track.box.as_xywh() == pytest.approx(track.box.as_xywh(), abs=0.01)
        assert answer.track.score == pytest.approx(track.score, abs=1e-4)
        assert answer.track.status == track.status
        assert answer.is_detected == (track.status != TrackStatus.LOST)


def test_the_object_is_followed(finished: Demo):
    assert finished.recording.mean_iou(open_frames('scene').boxes) > 0.5
    assert all(answer.latency > 0 for answer in finished.recording.answers.values())


def test_the_demo_ends_with_table_and_pictures(finished: Demo):
    assert finished.code == 0
    for row in ('frames sent', 'frames answered', 'mean IoU', 'rate', 'latency, p99'):
        assert row in finished.output
    sheet = cv2.imread(str(finished.folder / 'demo_tadt.png'))
    assert sheet.shape[1] == 1600
    assert len(list(open_frames(next(finished.folder.glob('demo_tadt.[ma]*'))))) == FRAMES


@pytest.mark.parametrize(
    ('arguments', 'reason'),
    [
        (['--video', '/no/such/video'], '/no/such/video does not exist'),
        (['--weights', '/no/such/weights'], 'init_target refused: .*/no/such/weights'),
    ],
)
def test_the_demo_says_what_is_wrong(arguments: list[str], reason: str, tmp_path: Path, capfd):
    assert demo.main([*arguments, '--frames', '3', '--out', str(tmp_path)]) == 1
    assert re.search(reason, capfd.readouterr().err)


@pytest.fixture
def run() -> Iterator[Callable[..., subprocess.Popen]]:
    """Starts a node of this package as a process."""
    running = []

    def start(name: str, *parameters: str) -> subprocess.Popen:
        command = [sys.executable, '-m', f'tracker_nodes.{name}', '--ros-args']
        for parameter in parameters:
            command += ['-p', parameter]
        running.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.communicate()


def test_nodes_end_in_the_middle_of_work_without_a_traceback(run: Any, operator: Any):
    player = run('video_source', 'loop:=true', 'lockstep:=true')
    tracker = run('tracker_node', 'device:=cpu')
    operator.wait_until(lambda: operator.statuses, 'the first images')
    assert operator.init(open_frames('scene').boxes[0]).success
    operator.wait_until(lambda: operator.statuses[-1].targets, 'the target')
    tracker.send_signal(signal.SIGINT)
    player.send_signal(signal.SIGTERM)
    for process in (player, tracker):
        _, errors = process.communicate(timeout=60)
        assert 'Traceback' not in errors, errors
        assert 'going on' not in errors, errors  # each frame was answered
        assert process.returncode == 0, errors


def test_video_source_without_a_video_ends_with_a_sentence(ros: None, run: Any):
    player = run('video_source', 'video:=98')
    _, errors = player.communicate(timeout=120)
    assert player.returncode == 1
    assert 'error: camera 98 gives no frames' in errors
    assert 'Traceback' not in errors


def test_video_source_does_without_torch():
    code = 'import tracker_nodes.video_source, sys; sys.exit("torch" in sys.modules)'
    assert subprocess.run([sys.executable, '-c', code]).returncode == 0


def overrides(**parameters: Any) -> list[Parameter]:
    return [Parameter(name, value=value) for name, value in parameters.items()]


def test_video_source_plays_a_folder(tmp_path: Path, operator: Any, spin: Any):
    frames = list(islice(open_frames('scene'), 3))
    for number, frame in enumerate(frames):
        cv2.imwrite(str(tmp_path / f'{number}.png'), cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    images = operator.listen(Image, 'image', qos=qos_profile_sensor_data)
    parameters = overrides(
        video=str(tmp_path),
        wait_for_subscriber=True,
        frame_id='eye',
        encoding='rgb8',
        rate=20,
    )
    node = VideoSource(parameter_overrides=parameters)
    spin(node)
    operator.wait_until(lambda: node.is_over, 'the end of the video')
    operator.wait_until(lambda: len(images) == 3, 'the images')
    assert all(image.header.frame_id == 'eye' and image.encoding == 'rgb8' for image in images)
    for image, frame in zip(images, frames, strict=True):
        assert (to_rgb(image) == frame).all()
    stamps = [nanoseconds(image.header.stamp) for image in images]
    assert stamps == sorted(set(stamps))
    (result,) = node.set_parameters(overrides(rate=5.0))
    assert not result.successful
    assert 'started' in result.reason


@pytest.mark.parametrize(
    ('parameters', 'reason'),
    [
        ({'video': '/no/such/film.mp4'}, '/no/such/film.mp4 does not exist'),
        ({'video': 'scene:nowhere'}, "no scene 'nowhere'"),
        ({'encoding': 'nv12'}, 'encoding must be one of'),
        ({'rate': -1.0}, 'rate'),
    ],
)
def test_video_source_refuses_with_the_reason(ros: None, parameters: dict, reason: str):
    with pytest.raises(TrackerError, match=reason):
        VideoSource(parameter_overrides=overrides(**parameters))

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The nodes as processes, the way a robot runs them, and the demo."""

from __future__ import annotations

from collections.abc import Callable, Iterator
import contextlib
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
import io
from itertools import islice
import os
from pathlib import Path
import re
import signal
import subprocess
import sys
import threading
from typing import Any

import cv2
import numpy as np
import pytest
from rclpy.parameter import Parameter
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image

from tracker_core import create_tracker, TrackerError, TrackStatus
from tracker_core.media import sources
from tracker_core.media.encodings import to_rgb
from tracker_core.media.sources import open_frames
from tracker_core.media.writer import VideoWriter
from tracker_nodes import demo
from tracker_nodes.conversions import nanoseconds
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
    tracker = create_tracker('ocean', device='cpu')
    scene = open_frames('scene')
    frames = iter(scene)
    target = tracker.start(next(frames), scene.boxes[0])
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
    sheet = cv2.imread(str(finished.folder / 'demo_ocean.png'))
    assert sheet.shape[1] == 1600
    assert len(list(open_frames(next(finished.folder.glob('demo_ocean.[ma]*'))))) == FRAMES


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


class Camera:
    """A network camera on this machine: motion JPEG over HTTP, all frames of one shade.

    Args:
        shade: Of gray.
        port: To serve on; 0 for any.
        frames: Sent to whoever connects, after which the connection is kept and nothing more comes
            (it stalls).
    """

    def __init__(self, shade: int, port: int = 0, frames: int = 10**6) -> None:
        data = cv2.imencode('.jpg', np.full((48, 64, 3), shade, np.uint8))[1].tobytes()
        head = f'--f\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n'
        self.has_died = has_died = threading.Event()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header('Content-Type', 'multipart/x-mixed-replace; boundary=f')
                self.end_headers()
                with contextlib.suppress(OSError):
                    for _ in range(frames):
                        self.wfile.write(head.encode() + data + b'\r\n')
                        if has_died.wait(0.03):
                            return
                has_died.wait()

            def log_message(self, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

        self._server = Server(('127.0.0.1', port), Handler)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def die(self) -> None:
        self.has_died.set()
        self._server.shutdown()
        self._server.server_close()


def shades(images: list[Image]) -> list[int]:
    return [round(to_rgb(image).mean()) for image in images]


def test_video_source_opens_a_stream_again_that_has_died(start_process: Any, operator: Any):
    images = operator.listen(Image, 'image', qos=qos_profile_sensor_data)
    camera = Camera(50)
    url = f'http://me:hidden@127.0.0.1:{camera.port}/cam.mjpg'
    node = start_process('video_source', video=url, reconnect=0.3)
    operator.wait_until(lambda: shades(images[-3:]) == [50] * 3, 'the images')
    camera.die()
    operator.wait_until(lambda: node.logged('has ended or stalled'), 'word of the loss')
    camera = Camera(150, camera.port, frames=20)
    operator.wait_until(lambda: shades(images[-3:]) == [150] * 3, 'the images after the loss')
    assert node.logged('is back after')
    assert node.is_alive
    camera.has_died.wait(1.0)  # it stalls now, and the node waits for it
    node.end(signal.SIGTERM)
    camera.die()
    assert node.process.returncode == 0
    assert node.logged(f'http://***@127.0.0.1:{camera.port}/cam.mjpg')
    assert not node.logged('hidden')
    assert not node.logged('Traceback')


def test_video_source_opens_a_stream_again_that_stalls(
    monkeypatch: pytest.MonkeyPatch, operator: Any, spin: Any
):
    monkeypatch.setattr(sources, 'STALLED_MS', 1000)
    images = operator.listen(Image, 'image', qos=qos_profile_sensor_data)
    camera = Camera(100, frames=3)
    url = f'http://127.0.0.1:{camera.port}/cam.mjpg'
    node = VideoSource(parameter_overrides=overrides(video=url, reconnect=0.1))
    spin(node)
    operator.wait_until(lambda: len(images) > 6, 'images of three connections')
    assert not node.is_over
    camera.die()


def test_video_source_ends_with_a_recording_and_a_pipe(tmp_path: Path, operator: Any, spin: Any):
    images = operator.listen(Image, 'image', qos=qos_profile_sensor_data)
    with VideoWriter(tmp_path / 'film.avi') as writer:
        for shade in (50, 100, 150, 200):
            writer.write(np.full((48, 64, 3), shade, np.uint8))
    data = (tmp_path / 'film.avi').read_bytes()

    def pipe_of_the_film(name: str) -> str:
        """A pipe with a writer at its other end."""
        path = tmp_path / name
        os.mkfifo(path)

        def write() -> None:
            with contextlib.suppress(BrokenPipeError):
                path.write_bytes(data)

        threading.Thread(target=write, daemon=True).start()
        return str(path)

    with pytest.raises(TrackerError, match='fifo is a pipe: it cannot start over'):
        VideoSource(parameter_overrides=overrides(video=pipe_of_the_film('fifo'), loop=True))
    settings = {'video': pipe_of_the_film('pipe'), 'rate': 20.0, 'wait_for_subscriber': True}
    pipe = VideoSource(parameter_overrides=overrides(**settings))
    spin(pipe)
    operator.wait_until(lambda: pipe.is_over, 'the end of the pipe')
    assert np.allclose(shades(images), (50, 100, 150, 200), atol=10)

    handler = partial(SimpleHTTPRequestHandler, directory=tmp_path)
    with ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f'http://127.0.0.1:{server.server_port}/film.avi'
        recording = VideoSource(parameter_overrides=overrides(video=url, reconnect=0.1))
        spin(recording)
        operator.wait_until(lambda: recording.is_over, 'the end of the recording')
        server.shutdown()


def test_video_source_names_the_images_that_it_cannot_read(
    tmp_path: Path, operator: Any, start_process: Any
):
    images = operator.listen(Image, 'image', qos=qos_profile_sensor_data)
    for number in range(4):
        noise = np.random.default_rng(number).integers(0, 255, (48, 64, 3), np.uint8)
        cv2.imwrite(str(tmp_path / f'{number}.png'), noise)
    (tmp_path / '2.png').write_bytes((tmp_path / '2.png').read_bytes()[:2000])
    node = start_process('video_source', video=tmp_path, rate=20.0, wait_for_subscriber=True)
    assert node.process.wait(60) == 0
    operator.wait_until(lambda: node.logged('the end after'), 'the last line')
    assert node.logged('2.png could not be read; going on')
    assert node.logged('the end after 3 frames, 1 more could not be read')
    operator.wait_until(lambda: len(images) == 3, 'the images')


def test_the_demo_needs_what_can_be_played_twice(tmp_path: Path, capfd: Any):
    camera = Camera(50)
    url = f'http://me:hidden@127.0.0.1:{camera.port}/cam.mjpg'
    assert demo.main(['--video', url, '--box', '1,1,20,20', '--out', str(tmp_path)]) == 1
    camera.die()
    assert re.search(r'http://\*\*\*@.* cannot be played twice', capfd.readouterr().err)


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

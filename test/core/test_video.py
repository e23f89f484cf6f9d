# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Video in and out, and what is drawn on it."""

from __future__ import annotations

import contextlib
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
import os
import random
import signal
import struct
import subprocess
import sys
import threading

import cv2
import numpy as np
import pytest

from tracker_core import Box, ImageError, ParameterError, Track, TrackStatus
from tracker_core.evaluation.overlay import COLOURS, contact_sheet, draw_box, draw_track
from tracker_core.evaluation.scene import render_scene
from tracker_core.evaluation.video import (
    in_order,
    list_images,
    open_frames,
    read_image,
    VideoError,
    VideoWriter,
    without_secrets,
)

COLOURED = [(200, 30, 40), (40, 190, 50), (30, 60, 210), (220, 210, 40)]  # RGB


def flat(colour, height=48, width=64):
    return np.full((height, width, 3), colour, np.uint8)


@pytest.mark.parametrize('name', ['a.mp4', 'a.avi', 'deeper/a'])
def test_video_round_trip(tmp_path, name):
    with VideoWriter(tmp_path / name, fps=12.5) as writer:
        for colour in COLOURED:
            writer.write(flat(colour))
    assert writer.path.is_file()
    with open_frames(str(writer.path)) as source:
        assert (source.size, source.length, source.fps) == ((64, 48), 4, 12.5)
        assert source.boxes is None
        for _ in range(2):  # every iter() starts anew
            frames = list(source)
            assert len(frames) == 4
            for frame, colour in zip(frames, COLOURED, strict=True):
                assert frame.shape == (48, 64, 3)
                assert frame.dtype == np.uint8
                np.testing.assert_allclose(frame.mean(axis=(0, 1)), colour, atol=8)  # RGB order
    assert not list(open_frames(writer.path))[4:]


@pytest.mark.parametrize('codec', [('mp4v', '.mp4'), ('MJPG', '.avi')])
@pytest.mark.parametrize('size', [(65, 49), (64, 49), (65, 48)])
def test_odd_frames_are_written_whole(tmp_path, monkeypatch, codec, size):
    monkeypatch.setattr(VideoWriter, 'CODECS', (codec,))
    frame = flat((0, 0, 0), size[1], size[0])
    frame[-1], frame[:, -1] = 255, 255
    with VideoWriter(tmp_path / 'a') as writer:
        writer.write(frame)
    (found,) = open_frames(writer.path)
    assert found.shape == (size[1] + size[1] % 2, size[0] + size[0] % 2, 3)
    assert found[size[1] - 1].mean() > 200
    assert found[:, size[0] - 1].mean() > 200
    assert found[: size[1] - 8, : size[0] - 8].mean() < 20


def test_writer_keeps_the_shape_of_frames_of_another_size(tmp_path):
    with VideoWriter(tmp_path / 'a.mp4') as writer:
        writer.write(flat((0, 0, 0)))
        writer.write(flat((255, 255, 255), 96, 64))  # half as large, in the middle
    _, found = open_frames(writer.path)
    assert found.shape == (48, 64, 3)
    assert found[:, 20:44].mean() > 230
    assert max(found[:, :12].mean(), found[:, 52:].mean()) < 20


def test_writer_keeps_the_first_size(tmp_path):
    with VideoWriter(tmp_path / 'a.mp4') as writer:
        writer.write(flat(COLOURED[0]))
        writer.write(flat(COLOURED[1], 96, 128))
    assert [frame.shape for frame in open_frames(writer.path)] == [(48, 64, 3)] * 2


def test_writer_falls_back_to_motion_jpeg(tmp_path, monkeypatch):
    monkeypatch.setattr(VideoWriter, 'CODECS', (('????', None), ('MJPG', '.avi')))
    with VideoWriter(tmp_path / 'a.mp4') as writer:
        writer.write(flat(COLOURED[0]))
    assert writer.path.name == 'a.avi'
    assert len(list(open_frames(writer.path))) == 1


def test_folder_in_natural_order(tmp_path):
    for name, colour in zip(('2.png', '10.png', '1.png', 'b1.PNG'), COLOURED, strict=True):
        cv2.imwrite(str(tmp_path / name), flat(colour)[..., ::-1])
    (tmp_path / 'notes.txt').write_text('no image')
    assert [path.name for path in list_images(tmp_path)] == ['1.png', '2.png', '10.png', 'b1.PNG']
    source = open_frames(tmp_path)
    assert (source.size, source.length) == ((64, 48), 4)
    order = [COLOURED[2], COLOURED[0], COLOURED[1], COLOURED[3]]
    assert [tuple(frame[0, 0]) for frame in source] == order
    assert len(list(source)) == 4


@pytest.mark.parametrize(
    'stems',
    [
        ['1', '2', '10'],
        ['0001', '0002', '0010'],
        ['0009', '10', '0011'],
        ['frame-9', 'frame-10', 'frame-100'],
        ['a_9', 'A_10', 'b_1'],
        ['cam1_30', 'cam2_4', 'cam10_2'],
        ['1', '1b', '1b2', '2'],
        ['1403636579763555584', '1403636579813555456', '1403636580013555456'],  # nanoseconds
        ['1700000000_5000000', '1700000000_100000000'],  # seconds and nanoseconds
        ['0.0', '5e-05', '0.0001', '0.05', '0.1', '0.15', '0.9', '1.0', '1.05', '10.0'],
        [f'{1700000000 + i * 0.05}' for i in range(30)],
        ['1305031102.175304', '1305031102.211214', '1305031103.011215'],
        ['cam0_1700000000.05', 'cam0_1700000000.1', 'cam1_1700000000.0'],
        ['t5', 't5.25', 't5.5', 't6'],
        ['frame-1.9', 'frame-1.10', 'frame-1.11', 'frame-2.1'],  # two counters
        ['1700000000.5000000', '1700000000.99999999', '1700000000.123456789'],
        ['v1.2.9', 'v1.2.10', 'v1.10.1'],
        ['2024-01-02T10-20-30.5', '2024-01-02T10-20-30.75', '2024-01-02T10-20-31'],
        ['02.01.2024_9', '02.01.2024_10'],
        ['IMG (9)', 'IMG (10)'],
        ['0001.rgb', '0002.rgb', '0010.rgb'],
    ],
)
def test_order_of_names(stems):
    shuffled = stems[:]
    random.Random(1).shuffle(shuffled)
    for suffix in ('.png', '.JPG'):
        ordered = in_order(stem + suffix for stem in shuffled)
        assert [name.removesuffix(suffix) for name in ordered] == stems


def test_digits_of_a_suffix_do_not_count():
    assert in_order(['1.5.jp2', '1.jp2', '1.25.jp2']) == ['1.jp2', '1.25.jp2', '1.5.jp2']


def test_hidden_files_and_folders_are_no_frames(tmp_path):
    cv2.imwrite(str(tmp_path / '1.png'), flat(COLOURED[0]))
    for name in ('._1.png', '.hidden.png', '.DS_Store', 'Thumbs.db'):
        (tmp_path / name).write_bytes(b'no image')
    (tmp_path / 'preview.png').mkdir()
    assert list_images(tmp_path) == [tmp_path / '1.png']
    assert len(list(open_frames(tmp_path))) == 1


@pytest.mark.parametrize('content', [b'', b'\0\5\26\7\0\2\0\0Mac OS X', None])
def test_files_that_are_no_images_are_refused_before_the_run(tmp_path, content):
    for number in range(4):
        cv2.imwrite(str(tmp_path / f'{number}.png'), flat(COLOURED[0]))
    (tmp_path / '2.png').unlink()
    if content is None:
        (tmp_path / '2.png').symlink_to('gone.png')
    else:
        (tmp_path / '2.png').write_bytes(content)
    with pytest.raises(ImageError, match=r'1 of 4 images .*: 2\.png; remove or replace'):
        open_frames(tmp_path)


def test_names_that_are_not_utf8_are_refused(tmp_path):
    """OpenCV crashes on them."""
    (tmp_path / '1.png').write_bytes(cv2.imencode('.png', flat(COLOURED[0]))[1].tobytes())
    name = os.fsdecode(b'\xff.png')
    try:
        (tmp_path / '1.png').rename(tmp_path / name)
    except OSError:
        pytest.skip('this file system has no such names')
    with pytest.raises(ImageError, match='a name not in UTF-8'):
        open_frames(tmp_path)
    with pytest.raises(ImageError, match='not an image'):
        read_image(tmp_path / name)
    with pytest.raises(VideoError, match='not UTF-8; rename it'):
        open_frames(tmp_path / name)
    with VideoWriter(tmp_path / name) as writer, pytest.raises(VideoError, match='in UTF-8 works'):
        writer.write(flat(COLOURED[0]))


def test_an_image_that_breaks_off_is_left_out_and_named(tmp_path):
    for number in range(4):
        noise = np.random.default_rng(number).integers(0, 255, (48, 64, 3), np.uint8)
        cv2.imwrite(str(tmp_path / f'{number}.png'), noise)
    whole = (tmp_path / '1.png').read_bytes()
    (tmp_path / '1.png').write_bytes(whole[: len(whole) // 2])
    source = open_frames(tmp_path)
    for _ in range(2):
        assert [source.number for _ in source] == [0, 2, 3]
        assert source.unreadable == [tmp_path / '1.png']


def test_frames_are_upright(tmp_path):
    """As viewers show them: what a JPEG or a video says of its orientation is applied."""
    frame = flat((0, 0, 0))
    frame[:, :32] = 255  # the left half, which becomes the upper one
    data = cv2.imencode('.jpg', frame)[1].tobytes()
    entry = struct.pack('>HHIHH', 0x0112, 3, 1, 6, 0)  # turned clockwise
    exif = b'Exif\0\0MM\0*' + struct.pack('>IH', 8, 1) + entry + bytes(4)
    (tmp_path / 'folder').mkdir()
    (tmp_path / 'folder/1.jpg').write_bytes(
        data[:2] + b'\xff\xe1' + struct.pack('>H', len(exif) + 2) + exif + data[2:]
    )
    with VideoWriter(tmp_path / 'a.mp4') as writer:
        writer.write(frame)
    movie = bytearray((tmp_path / 'a.mp4').read_bytes())
    matrix = struct.pack('>9i', 0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30)
    place = movie.index(b'tkhd') + 44
    movie[place : place + 36] = matrix
    (tmp_path / 'a.mp4').write_bytes(movie)
    for name in ('folder', 'a.mp4'):
        source = open_frames(tmp_path / name)
        (upright,) = source
        assert source.size == (48, 64)
        assert upright.shape == (64, 48, 3)
        assert upright[:28].mean() > 240
        assert upright[36:].mean() < 15


@pytest.fixture
def film(tmp_path):
    """A video that can be read without seeking: four colours."""
    with VideoWriter(tmp_path / 'film.avi') as writer:
        for colour in COLOURED:
            writer.write(flat(colour))
    return writer.path


def check_colours(frames):
    for frame, colour in zip(frames, COLOURED, strict=True):
        np.testing.assert_allclose(frame.mean(axis=(0, 1)), colour, atol=8)


def test_a_pipe_is_read_once_from_its_first_frame(film, tmp_path):
    fifo = tmp_path / 'fifo'
    os.mkfifo(fifo)
    writer = threading.Thread(target=lambda: fifo.write_bytes(film.read_bytes()), daemon=True)
    writer.start()
    with open_frames(fifo) as source:
        assert (source.size, source.is_live, source.is_repeatable) == ((64, 48), False, False)
        check_colours(list(source))
        with pytest.raises(VideoError, match='fifo has been read and cannot start over'):
            iter(source)
    writer.join()


@pytest.mark.parametrize('content', [b'', b'this is no video' * 1000])
def test_a_pipe_without_a_video_is_refused(tmp_path, content):
    fifo = tmp_path / 'fifo'
    os.mkfifo(fifo)

    def write():
        with open(fifo, 'wb', buffering=0) as file, contextlib.suppress(BrokenPipeError):
            file.write(content)

    threading.Thread(target=write, daemon=True).start()
    with pytest.raises(VideoError, match='fifo gives no frames; what is written to a pipe'):
        open_frames(fifo)


def test_standard_input(film):
    code = (
        'from tracker_core.evaluation.video import open_frames;'
        'print(len(list(open_frames("/dev/stdin"))))'
    )
    command = [sys.executable, '-c', code]
    piped = subprocess.run(command, input=film.read_bytes(), stdout=subprocess.PIPE)
    assert piped.stdout.strip() == b'4'
    with film.open('rb') as file:
        assert subprocess.run(command, stdin=file, stdout=subprocess.PIPE).stdout == piped.stdout


def test_waiting_for_a_pipe_can_be_interrupted(tmp_path):
    os.mkfifo(tmp_path / 'fifo')
    code = (
        'import signal, sys; from tracker_core.evaluation.video import open_frames\n'
        'signal.signal(signal.SIGINT, signal.default_int_handler)\n'
        'try:\n    print("ready", flush=True); open_frames(sys.argv[1])\n'
        'except KeyboardInterrupt:\n    sys.exit(130)'
    )
    command = [sys.executable, '-c', code, str(tmp_path / 'fifo')]
    waiting = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert waiting.stdout.readline() == 'ready\n'
    try:
        waiting.wait(1)  # it waits
    except subprocess.TimeoutExpired:
        waiting.send_signal(signal.SIGINT)
    try:
        assert waiting.wait(60) == 130
    finally:
        waiting.kill()
        waiting.communicate()


def test_a_stream_begins_with_its_first_frame(film):
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    handler = partial(Quiet, directory=film.parent)
    with ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        place = f'127.0.0.1:{server.server_port}/film.avi'
        with open_frames(f'http://me:hidden@{place}') as source:
            assert source.name == f'http://***@{place}'
            assert (source.size, source.length, source.is_live) == ((64, 48), 4, True)
            check_colours(list(source))
            with pytest.raises(VideoError, match='cannot start over'):
                iter(source)
        server.shutdown()
    with pytest.raises(VideoError, match=r'/gone\.avi gives no frames; is it reachable') as end:
        open_frames(f'rtsp://me:hidden@127.0.0.1:{server.server_port}/gone.avi')
    assert 'hidden' not in str(end.value)


def test_a_local_address_is_a_file(film):
    assert open_frames(f'file://{film}').is_repeatable


@pytest.mark.parametrize(
    ('source', 'shown'),
    [
        ('rtsp://cam/1', 'rtsp://cam/1'),
        ('rtsp://me:p@ss@cam:554/1?a=b', 'rtsp://***@cam:554/1?a=b'),
        ('rtsp://me:pa/ss@cam/1', 'rtsp://***@cam/1'),
        ('http://cam:80/video?user=me&pwd=x&size=2', 'http://cam:80/video?user=me&pwd=***&size=2'),
        ('rtspsrc user-pw="a b" ! appsink', 'rtspsrc user-pw=*** ! appsink'),
        ('/data/a@b/film.mp4', '/data/a@b/film.mp4'),
    ],
)
def test_passwords_are_not_shown(source, shown):
    assert without_secrets(source) == shown


@pytest.mark.skipif(
    cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER), reason='this OpenCV has GStreamer'
)
def test_pipelines_need_gstreamer():
    with pytest.raises(VideoError, match='is for GStreamer, which this OpenCV lacks'):
        open_frames('videotestsrc ! videoconvert ! appsink drop=true')


def test_gray_images_become_rgb(tmp_path):
    cv2.imwrite(str(tmp_path / 'g.png'), np.full((20, 30), 77, np.uint8))
    np.testing.assert_array_equal(read_image(tmp_path / 'g.png'), flat((77, 77, 77), 20, 30))


@pytest.mark.parametrize(('text', 'name'), [('scene', 'default'), ('scene:leave', 'leave')])
def test_scene_as_video(text, name):
    source, scene = open_frames(text), render_scene(name)
    assert (source.length, source.size) == (len(scene), scene.size)
    assert source.boxes == scene.boxes
    np.testing.assert_array_equal(next(iter(source)), scene[0])


def test_errors(tmp_path):
    with pytest.raises(VideoError, match='does not exist; a video is a file, a folder'):
        open_frames(tmp_path / 'no.mp4')
    with pytest.raises(VideoError, match='holds no images'):
        open_frames(tmp_path)
    with pytest.raises(VideoError, match='/dev/null is no video'):
        open_frames('/dev/null')
    with pytest.raises(ParameterError, match=r'no scene .moon.'):
        open_frames('scene:moon')
    (tmp_path / 'text.mp4').write_text('this is not a video')
    with pytest.raises(VideoError, match=r'text\.mp4 gives no frames; is it a video'):
        open_frames(tmp_path / 'text.mp4')
    with pytest.raises(VideoError, match='camera 97 gives no frames; is it plugged in'):
        open_frames('97')
    with pytest.raises(ImageError, match='does not exist'):
        read_image(tmp_path / 'no.png')
    (tmp_path / 'text.png').write_text('this is not an image')
    with pytest.raises(ImageError, match=r'text\.png is not an image'):
        read_image(tmp_path / 'text.png')


def test_video_that_cannot_be_written(tmp_path, monkeypatch):
    monkeypatch.setattr(VideoWriter, 'CODECS', (('????', None),))
    with (
        VideoWriter(tmp_path / 'a.mp4') as writer,
        pytest.raises(VideoError, match=r'cannot be written; a name ending in .mp4'),
    ):
        writer.write(flat(COLOURED[0]))


@pytest.mark.parametrize('size', [(120, 90), (640, 480), (1920, 1080)])
@pytest.mark.parametrize('status', TrackStatus)
def test_draw_track_marks_edge_and_label(size, status):
    frame = np.full((size[1], size[0], 3), 128, np.uint8)
    w, h = size[0] / 2, size[1] / 2
    box = Box(size[0] / 4, size[1] / 4, w, h)
    draw_track(frame, Track(box, 0.87, status, 1.0), 'cup')
    touched = (frame != 128).any(axis=2)
    is_colour = np.abs(frame.astype(int) - COLOURS[status]).max(axis=2) < 40
    column = slice(round(box.x) - 2, round(box.x) + 2)
    middle = slice(round(box.y + h / 3), round(box.y2 - h / 3))
    assert is_colour[middle, column].any()
    assert not touched[round(box.cy), round(box.cx)]  # the object stays in sight
    assert is_colour[: round(box.y)].any()  # the label


@pytest.mark.parametrize(
    'box',
    [
        Box(-50, -50, 20, 20),
        Box(-1e9, 5, 2e9, 10),
        Box(60, 40, 500, 500),
        Box(10, 10, 0.01, 0.01),
        Box(1e12, 0, 1, 1),
    ],
)
def test_any_box_can_be_drawn(box):
    frame = np.zeros((48, 64, 3), np.uint8)
    draw_box(frame, box, text='far', dashed=True)
    assert (frame == 255).all(axis=2).any()  # at least the text is inside


def test_contact_sheet():
    frames = [flat(colour) for colour in COLOURED] + [flat(COLOURED[0])]
    sheet = contact_sheet(frames, columns=2, width=212)
    assert sheet.shape == (3 * (75 + 4) + 4, 212, 3)
    assert tuple(sheet[40, 50]) == COLOURED[0]
    assert tuple(sheet[40, 150]) == COLOURED[1]
    assert tuple(sheet[40 + 79, 50]) == COLOURED[2]
    assert tuple(sheet[40 + 2 * 79, 150]) == (255, 255, 255)
    assert contact_sheet(frames[:1], columns=4, width=100).shape[1] == 100
    with pytest.raises(ImageError, match='at least one frame'):
        contact_sheet([])

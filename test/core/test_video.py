# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Video in and out, and what is drawn on it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from tracker_core import Box, ImageError, ParameterError, Track, TrackStatus
from tracker_core.evaluation.overlay import COLOURS, contact_sheet, draw_box, draw_track
from tracker_core.evaluation.scene import render_scene
from tracker_core.evaluation.video import (
    list_images,
    open_frames,
    read_image,
    VideoError,
    VideoWriter,
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

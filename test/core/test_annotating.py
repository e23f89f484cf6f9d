# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Boxes between those given by hand, and the files that they go to."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from tracker_core import Box, create_tracker
from tracker_core.annotating import both_ways
from tracker_core.annotating.both_ways import annotate, Guess, merged, reversed_frames
from tracker_core.annotating.files import FORMATS
from tracker_core.commands import main
from tracker_core.commands.annotate import FORMATS as OFFERED
from tracker_core.data import load_pool
from tracker_core.data.datasets import load_dataset, read_dataset
from tracker_core.errors import BoxError, VideoError
from tracker_core.media.frame_source import FrameSource
from tracker_core.media.moments import Moment, Part, Shot
from tracker_core.media.scene import render_scene
from tracker_core.media.sources import open_frames

SCENE = render_scene('calm', frames=12, size=(160, 120))
BOXES = [Box(-2, 3, 10, 20), None, Box(150.5, 100, 30, 15.25)]


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('frames')
    for number, frame in enumerate(SCENE):
        cv2.imwrite(str(folder / f'{number}.png'), frame[..., ::-1])
    return folder


@pytest.fixture(scope='module')
def tracker():
    return create_tracker('tadt', device='cpu')


def test_the_nearer_and_the_surer_way_counts_more():
    left, right = Box(10, 10, 20, 20), Box(14, 10, 20, 20)
    for place, x in ((0, 10), (0.25, 11), (0.5, 12), (1, 14)):
        assert merged(Guess(left, 0.8), Guess(right, 0.8), place).x == pytest.approx(x)
    assert merged(Guess(left, 0.9), Guess(right, 0.3), 0.5).x == pytest.approx(11)
    far = Box(100, 10, 20, 20)  # no mean of two places
    assert merged(Guess(left, 0.5), Guess(far, 0.9), 0.5) == far
    assert merged(Guess(left, 0.5), Guess(far, 0.9), 0.3) == left


def test_a_way_that_lost_it_says_nothing():
    box = Box(10, 10, 20, 20)
    assert merged(None, None, 0.5) is None
    assert merged(Guess(box, 0.0), None, 1.0) == box
    assert merged(None, Guess(box, 0.1), 0.0) == box
    assert merged(Guess(box, 0.0), Guess(Box(12, 10, 20, 20), 0.0), 0.5) == box


@pytest.mark.parametrize('held', [1, 4, 5, 100])
def test_frames_backwards_in_chunks(folder, monkeypatch, held):
    monkeypatch.setattr(both_ways, 'CHUNK_BYTES', held * 160 * 120 * 3 + 1)
    asked, alive = [], []
    with open_frames(folder) as source:
        between = source.between

        def counted(first, last):
            asked.append((first, last))
            return between(first, last)

        monkeypatch.setattr(source, 'between', counted)
        for number, frame in reversed_frames(source, 1, 10):
            np.testing.assert_array_equal(frame, SCENE[number])
            alive.append(number)
    assert alive == list(range(10, 0, -1))
    assert all(last - first < held for first, last in asked)
    assert len(asked) == -(-10 // held)


def test_both_ways_from_boxes_given_by_hand(folder, tracker, monkeypatch):
    hand = {2: SCENE.boxes[2], 8: SCENE.boxes[8]}
    with open_frames(folder) as source:
        source.part = Part(Moment.parse('0.1'))  # of no account
        found = annotate(source, tracker, hand)
        assert found.numbers == list(range(12))
        assert found.forwards[:2] == [None, None]
        assert [found.boxes[n] for n in hand] == list(hand.values())
        overlaps = [box.iou(exact) for box, exact in zip(found.boxes, SCENE.boxes, strict=True)]
        assert min(overlaps) > 0.7

        images = list(SCENE)  # backwards only before the first box, forwards only after the last
        target = tracker.start(images[2], hand[2])
        assert found.boxes[1] == tracker.track(images[1], target).box
        assert found.boxes[0] == tracker.track(images[0], target).box
        target = tracker.start(images[8], hand[8])
        assert found.boxes[9:] == [tracker.track(image, target).box for image in images[9:]]
        target = tracker.start(images[8], hand[8])
        backwards = [tracker.track(image, target).box for image in images[7:2:-1]]
        for number, back in zip((7, 6, 5, 4, 3), backwards, strict=True):
            x = sorted((found.forwards[number].x, back.x))
            assert x[0] - 1e-9 <= found.boxes[number].x <= x[1] + 1e-9

        monkeypatch.setattr(both_ways, 'CHUNK_BYTES', 2 * 160 * 120 * 3)
        assert annotate(source, tracker, hand) == found


def test_what_cannot_be_annotated(folder, tracker):
    with open_frames(folder) as source:
        with pytest.raises(BoxError, match='Give its box in at least one frame'):
            annotate(source, tracker, {})
        with pytest.raises(BoxError, match=r'frame 12, which .* lacks .* frames 0 to 11'):
            annotate(source, tracker, {0: SCENE.boxes[0], 12: SCENE.boxes[0]})
        source.length = None  # as of a stream: known at its end only
        with pytest.raises(BoxError, match=r'frame 12, which .* lacks .* frames 0 to 11'):
            annotate(source, tracker, {0: SCENE.boxes[0], 12: SCENE.boxes[0]})
    shots = [Shot(lambda: SCENE[0])]
    once = FrameSource('pipe', 30.0, (160, 120), None, lambda: iter(shots), is_repeatable=False)
    with pytest.raises(VideoError, match='pipe can be read only once'):
        annotate(once, tracker, {0: SCENE.boxes[0]})


def frames():
    return (frame for frame in list(SCENE)[: len(BOXES)])


def test_otb_is_read_back(tmp_path):
    FORMATS['otb'](tmp_path / 'mug', frames(), BOXES)
    (sequence,) = load_dataset(f'otb:{tmp_path / "mug"}')
    assert [path.name for path in sequence.frames] == ['0001.jpg', '0002.jpg', '0003.jpg']
    np.testing.assert_allclose(sequence.boxes[[0, 2]], [b.as_xywh() for b in BOXES if b])
    assert not sequence.boxes[1, 2:].any()
    for path, frame in zip(sequence.frames, frames(), strict=True):
        difference = cv2.imread(str(path))[..., ::-1].astype(float) - frame
        assert abs(difference).mean() < 6


def test_got10k_is_read_back(tmp_path):
    FORMATS['got10k'](tmp_path / 'mug', frames(), BOXES)
    (sequence,) = read_dataset(f'got10k:{tmp_path / "mug"}').sequences
    assert [path.name for path in sequence.frames] == [f'{n:08}.jpg' for n in (1, 2, 3)]
    np.testing.assert_allclose(sequence.boxes[[0, 2]], [b.as_xywh() for b in BOXES if b])
    assert list(sequence.absent) == [False, True, False]
    (own,) = read_dataset(f'own:{tmp_path / "mug"}').sequences
    np.testing.assert_array_equal(own.boxes[[0, 2]], sequence.boxes[[0, 2]])
    assert not own.has_box[1]
    photos = load_pool(tmp_path / 'mug', 'all').sequences
    np.testing.assert_allclose([region.box for region in photos[0]], sequence.boxes[[0, 2]])


@pytest.mark.parametrize(('name', 'image'), [('otb', 'img/0001.jpg'), ('got10k', '00000001.jpg')])
def test_a_sequence_begins_with_a_box(tmp_path, name, image):
    """So `tracker evaluate` asks."""
    FORMATS[name](tmp_path / 'mug', frames(), BOXES[1:] + BOXES[:1])
    (sequence,) = load_dataset(f'{name}:{tmp_path / "mug"}')
    assert len(sequence.frames) == 2
    np.testing.assert_allclose(sequence.boxes[0], BOXES[2].as_xywh())
    difference = cv2.imread(str(tmp_path / 'mug' / image))[..., ::-1].astype(float) - SCENE[1]
    assert abs(difference).mean() < 6


def test_yolo_and_coco_have_what_lies_in_the_image(tmp_path):
    FORMATS['yolo'](tmp_path / 'yolo', frames(), BOXES)
    labels = [path.read_text() for path in sorted((tmp_path / 'yolo/labels').iterdir())]
    assert labels[1] == ''
    first = [0, 4 / 160, 13 / 120, 8 / 160, 20 / 120]
    np.testing.assert_allclose([float(word) for word in labels[0].split()], first, atol=1e-6)

    FORMATS['coco'](tmp_path / 'coco', frames(), BOXES)
    content = json.loads((tmp_path / 'coco/annotations/instances_train.json').read_text())
    assert [(each['image_id'], each['bbox']) for each in content['annotations']] == [
        (0, [0, 3, 8, 20]),
        (2, [150.5, 100, 9.5, 15.25]),
    ]
    for image in content['images']:
        assert (image['width'], image['height']) == (160, 120)
        assert (tmp_path / 'coco/train' / image['file_name']).is_file()
    (images,) = read_dataset(f'coco:{tmp_path / "coco"}', 'train').images
    assert images.boxes.tolist() == [[0, 3, 8, 20], [150.5, 100, 9.5, 15.25]]


def test_the_command(folder, tmp_path, capsys):
    tadt = ['--tracker', 'tadt', '--device', 'cpu', '--weights', 'random']
    box = ','.join(map(str, SCENE.boxes[3].as_xywh()))
    command = ['annotate', str(folder), *tadt, '--box', f'3:{box}', '--format', 'otb', '--out']
    assert main([*command, str(tmp_path / 'a')]) == 0
    assert '1 of them given by hand; wrote' in capsys.readouterr().out
    assert len(list((tmp_path / 'a/img').iterdir())) == 12
    lines = (tmp_path / 'a/groundtruth_rect.txt').read_text().splitlines()
    np.testing.assert_allclose(
        [float(word) for word in lines[3].split(',')],
        np.add(SCENE.boxes[3].as_xywh(), (1, 1, 0, 0)),
        atol=0.006,
    )
    assert main([*command, str(tmp_path / 'a')]) == 2
    assert 'is there already and not empty' in capsys.readouterr().err
    assert main([*command, str(tmp_path / 'b'), '--box', '5']) == 2
    assert 'Give --box 5:X,Y,W,H' in capsys.readouterr().err
    assert main([*command, str(tmp_path / 'b'), '--box', f'3:{box}']) == 2
    assert 'two boxes are given for frame 3' in capsys.readouterr().err
    assert not (tmp_path / 'b').exists()
    with pytest.raises(SystemExit):
        main([*command, str(tmp_path / 'b'), '--box', '1,2,3,4'])
    assert 'is not FRAME:X,Y,W,H' in capsys.readouterr().err


def test_a_scene_knows_its_boxes(tmp_path, capsys):
    command = ['annotate', 'scene:calm:6', '--tracker', 'tadt', '--device', 'cpu']
    files = ['--format', 'coco', '--out', str(tmp_path / 'a')]
    assert main([*command, '--box', '0', '--box', '5', *files]) == 0
    line = capsys.readouterr().out
    assert line.startswith('6 frames, 6 with a box, 2 of them given by hand, mean IoU with the')
    forwards, both = (float(line.split(word)[0].split()[-1]) for word in (' forwards', ' both'))
    assert min(forwards, both) > 0.7


def test_every_format_is_offered():
    assert tuple(FORMATS) == OFFERED

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Metrics, data sets, runs, plots and calibration."""

from __future__ import annotations

import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest

from tracker_core import Box, Track, TrackerError, TrackStatus
from tracker_core.data.datasets import load_dataset, with_later_starts
from tracker_core.data.layouts.otb import annotated_images
from tracker_core.data.sequences import DatasetError, VideoSequence
from tracker_core.data.text import read_boxes
from tracker_core.evaluation.calibration import (
    calibrate,
    calibration_table,
    collect,
    fit_logistic,
    Kept,
    logistic,
    scenes_for_calibration,
)
from tracker_core.evaluation.metrics import (
    centre_error,
    measure,
    overlap,
    precision_curve,
    success_curve,
)
from tracker_core.evaluation.peers import OpenCvTracker, PEERS
from tracker_core.evaluation.plots import write_plots
from tracker_core.evaluation.report import (
    make_report,
    result_table,
    summarize_runs,
    summary_table,
    write_json,
)
from tracker_core.evaluation.results import write_files
from tracker_core.evaluation.run import run_sequence, SequenceRun
from tracker_core.evaluation.run_all import run_all
from tracker_core.media.scene import render_scene
from tracker_core.tables import format_table

NAN = math.nan
SQUARE = (0, 0, 10, 10)


class StandStill:
    """A tracker that says the object stays where it was, and keeps the frames it was shown."""

    name, preset = 'stand_still', 'test'

    def __init__(self):
        self.seen = []

    def start(self, image, box):
        self.seen.append(image)
        return box

    def track(self, image, target):
        self.seen.append(image)
        return Track(target, 0.5, TrackStatus.UNCERTAIN, -3.0)


def write_sequence(folder, boxes, separator=',', suffix='', images=None):
    """An OTB sequence of flat frames whose red grows by ten a frame."""
    (folder / 'img').mkdir(parents=True, exist_ok=True)
    for i in range(len(boxes) if images is None else images):
        image = np.full((48, 64, 3), (0, 0, 10 * i), np.uint8)  # BGR
        cv2.imwrite(str(folder / 'img' / f'{i + 1:04d}.png'), image)
    lines = [separator.join(f'{v:g}' for v in box) for box in boxes]
    (folder / f'groundtruth_rect{suffix}.txt').write_text('\n'.join(lines) + '\n')


@pytest.mark.parametrize(
    ('box', 'truth', 'iou', 'error'),
    [
        (SQUARE, SQUARE, 1, 0),
        ((5, 0, 10, 10), SQUARE, 1 / 3, 5),
        ((3, 4, 10, 10), SQUARE, 42 / 158, 5),
        ((2, 2, 5, 5), SQUARE, 0.25, math.sqrt(0.5)),
        ((10, 0, 10, 10), SQUARE, 0, 10),
        ((100, 0, 20, 10), SQUARE, 0, 105),
        ((NAN, 0, 10, 10), SQUARE, 0, math.inf),
        ((0, 0, 0, 10), SQUARE, 0, math.inf),
        (SQUARE, (NAN, NAN, NAN, NAN), NAN, NAN),
        (SQUARE, (0, 0, 0, 0), NAN, NAN),
        ((NAN, 0, 1, 1), (5, 5, -1, 4), NAN, NAN),
    ],
)
def test_overlap_and_centre_error(box, truth, iou, error):
    boxes, truths = np.array([box, SQUARE], float), np.array([truth, SQUARE], float)
    np.testing.assert_allclose(overlap(boxes, truths), [iou, 1])
    np.testing.assert_allclose(centre_error(boxes, truths), [error, 0])


def test_overlap_agrees_with_box():
    rng = np.random.default_rng(0)
    boxes, truths = rng.uniform(1, 40, (2, 50, 4))
    one_by_one = [Box(*a).iou(Box(*b)) for a, b in zip(boxes, truths, strict=True)]
    np.testing.assert_allclose(overlap(boxes, truths), one_by_one)


def test_success_curve():
    curve = success_curve(np.array([1, 0.5, 0, NAN]))
    np.testing.assert_allclose(curve, [2 / 3] * 10 + [1 / 3] * 10 + [0])  # strictly above
    assert np.isnan(success_curve(np.array([NAN]))).all()


def test_precision_curve():
    curve = precision_curve(np.array([0, 20, 50.5, math.inf, NAN]))
    np.testing.assert_allclose(curve, [1 / 4] * 20 + [2 / 4] * 31)  # up to and including


def test_measure():
    truth = np.array([SQUARE, SQUARE, SQUARE, (0, 0, 0, 0)], float)
    boxes = np.array([SQUARE, (2, 2, 5, 10), (40, 0, 10, 10), SQUARE], float)
    overlaps = [1, 40 / (100 + 50 - 40), 0]  # 4/11
    result = measure(boxes, truth)
    assert result['frames'] == 3
    assert result['overlap'] == pytest.approx(np.mean(overlaps))
    assert result['success'] == pytest.approx(1 / 3)
    assert result['precision'] == pytest.approx(2 / 3)
    # above 0, 0.05 ... 0.35: two of three; up to 0.95: one of three; above 1: none
    assert result['auc'] == pytest.approx((8 * 2 / 3 + 12 / 3) / 21)
    with pytest.raises(ValueError, match=r'\(2, 4\)'):
        measure(boxes, truth[:2])


@pytest.mark.parametrize('separator', [',', '\t', ' ', ', '])
def test_load_dataset(tmp_path, separator):
    write_sequence(tmp_path / 'B', [(1, 1, 8, 6), (2.5, 3, 8, 6)], separator, images=3)
    write_sequence(tmp_path / 'A', [(5, 5, 5, 5)])
    (tmp_path / 'notes').mkdir()
    first, second = load_dataset(f'otb:{tmp_path}')
    assert (first.name, second.name) == ('A', 'B')
    assert second.first_box == Box(0, 0, 8, 6)  # OTB counts pixels from one
    np.testing.assert_array_equal(second.boxes, [(0, 0, 8, 6), (1.5, 2, 8, 6)])
    assert [path.name for path in second.frames] == ['0001.png', '0002.png']  # the third is spare
    assert [s.name for s in load_dataset(f'otb:{tmp_path}', ['B'])] == ['B']
    assert [s.name for s in load_dataset(f'otb:{tmp_path / "B"}')] == ['B']


def test_several_objects_in_one_sequence(tmp_path):
    write_sequence(tmp_path / 'Jogging', [(1, 1, 8, 6)], suffix='.1')
    write_sequence(tmp_path / 'Jogging', [(9, 9, 8, 6)], suffix='.2')
    sequences = load_dataset(f'otb:{tmp_path}')
    assert [(s.name, s.first_box.x) for s in sequences] == [('Jogging-1', 0), ('Jogging-2', 8)]


def numbered(first, last):
    return [Path(f'{number:04d}.jpg') for number in range(first, last + 1)]


@pytest.mark.parametrize('name', ['David', 'david', 'DAVID', 'David_0', 'otb-david'])
def test_david_begins_at_image_300(tmp_path, name):
    write_sequence(tmp_path / name, [(1, 1, 8, 6)] * 2, images=0)
    for i in (298, 299, 300, 301, 302):
        cv2.imwrite(str(tmp_path / f'{name}/img/{i:04d}.png'), np.zeros((48, 64, 3), np.uint8))
    (david,) = load_dataset(f'otb:{tmp_path}')
    assert [path.name for path in david.frames] == ['0300.png', '0301.png']
    assert 'from 0300.png to 0301.png, as published, and 3 are left out: 0298.png' in david.note


@pytest.mark.parametrize(
    ('name', 'images', 'lines', 'expected'),
    [
        ('whatever', numbered(1, 770), 471, numbered(300, 770)),  # the published counts
        ('david', numbered(1, 770), 471, numbered(300, 770)),
        ('david', numbered(300, 770), 471, numbered(300, 770)),
        ('david', numbered(1, 471), 471, numbered(1, 471)),
        ('david', numbered(1, 400), 350, numbered(1, 350)),  # 300 and 349 more are not there
        ('David2', numbered(1, 537), 530, numbered(1, 530)),
        ('freeman4', numbered(1, 297), 283, numbered(1, 283)),
        ('Football1', numbered(1, 81), 74, numbered(1, 74)),
        ('BlurCar1', numbered(247, 988), 742, numbered(247, 988)),
    ],
)
def test_images_of_an_annotation(name, images, lines, expected):
    chosen, note = annotated_images(Path(name, 'groundtruth_rect.txt'), images, lines)
    assert chosen == expected
    assert bool(note) == (len(images) > lines)


def test_a_data_set_in_the_working_directory_has_a_name(tmp_path, monkeypatch):
    write_sequence(tmp_path / 'Bee', [(1, 1, 8, 6)])
    monkeypatch.chdir(tmp_path / 'Bee')
    for text in ('otb:.', 'otb:./', 'otb:../Bee/'):
        assert [sequence.name for sequence in load_dataset(text)] == ['Bee']


def test_an_empty_annotation_beside_another_is_left_out(tmp_path):
    write_sequence(tmp_path / 'Human4', [(1, 1, 8, 6)], suffix='.2')
    (tmp_path / 'Human4/groundtruth_rect1.txt').touch()
    assert [sequence.name for sequence in load_dataset(f'otb:{tmp_path}')] == ['Human4-2']
    write_sequence(tmp_path / 'Human4-2', [(1, 1, 8, 6)])
    with pytest.raises(DatasetError, match='are both called Human4-2'):
        load_dataset(f'otb:{tmp_path}')


def test_a_frame_that_cannot_be_read_keeps_its_place(tmp_path):
    write_sequence(tmp_path / 'A', [(1, 1, 10, 10)] * 4)
    bad = tmp_path / 'A/img/0002.png'
    bad.write_bytes(bad.read_bytes()[:40])
    (sequence,) = load_dataset(f'otb:{tmp_path}')
    tracker = StandStill()
    run = run_sequence(tracker, sequence)
    assert len(tracker.seen) == 3
    assert run.boxes.shape == (4, 4)
    assert list(run.scores) == [1, 0, 0.5, 0.5]
    assert run.unreadable == (1,)
    assert run.times[1] == 0
    entry = summarize_runs(tracker, [sequence], [run])['sequences'][0]
    assert entry['unreadable'] == [str(bad)]


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('1,2,3,4\n5,6,7\n', 'line 2: expected four numbers x, y, w, h, found .5,6,7.'),
        ('1,2,3,x\n', 'line 1: expected four numbers'),
        ('', 'is empty'),
        ('1,1,0,0\n1,1,4,4\n', 'line 1: a sequence must begin with a box'),
        ('NaN,NaN,NaN,NaN\n', 'line 1: a sequence must begin with a box'),
        ('1,1,4,4\n' * 3, '3 lines but .* only 2 images'),
    ],
)
def test_damaged_sequence(tmp_path, text, message):
    write_sequence(tmp_path / 'Bad', [(1, 1, 4, 4)] * 2)
    (tmp_path / 'Bad/groundtruth_rect.txt').write_text(text)
    with pytest.raises(DatasetError, match=message) as error:
        load_dataset(f'otb:{tmp_path}')
    assert 'Bad' in str(error.value)


def test_missing_dataset(tmp_path):
    with pytest.raises(DatasetError, match="did you mean 'otb'"):
        load_dataset('tob:somewhere')
    with pytest.raises(DatasetError, match='does not exist'):
        load_dataset(f'otb:{tmp_path / "nowhere"}')
    with pytest.raises(DatasetError, match='holds no OTB sequences'):
        load_dataset(f'otb:{tmp_path}')
    write_sequence(tmp_path / 'A', [(1, 1, 4, 4)])
    with pytest.raises(DatasetError, match=r"no sequence 'Z', only A"):
        load_dataset(f'otb:{tmp_path}', ['A', 'Z'])


def test_boxes_survive_a_file(tmp_path):
    boxes = np.array([(0, 0, 10, 10), (1.25, -3, 8.5, 7)])
    sequence = VideoSequence('a', [Path('1.png'), Path('2.png')], boxes, offset=1)
    statuses, times = np.array([1, 2]), np.array([0.5, 0.25])
    run = SequenceRun(boxes, times, times, statuses, times, 0.0)
    write_files(tmp_path, 'otb', [sequence], [run])
    assert (tmp_path / 'a.txt').read_text().startswith('1.00,1.00,10.00,10.00\n')
    np.testing.assert_allclose(read_boxes(tmp_path / 'a.txt', offset=1), boxes)


def test_run_sequence(tmp_path):
    truth = [(1, 1, 10, 10), (6, 1, 10, 10), (31, 1, 10, 10)]
    write_sequence(tmp_path / 'A', truth)
    (sequence,) = load_dataset(f'otb:{tmp_path}')
    tracker, shown = StandStill(), []
    run = run_sequence(tracker, sequence, lambda: shown.append(1))
    assert len(shown) == 3
    np.testing.assert_array_equal(run.boxes, [(0, 0, 10, 10)] * 3)
    np.testing.assert_array_equal(run.scores, [1, 0.5, 0.5])
    np.testing.assert_array_equal(run.raw_scores, [1, -3, -3])
    assert [tuple(image[0, 0]) for image in tracker.seen] == [(0, 0, 0), (10, 0, 0), (20, 0, 0)]
    assert run.fps > 0


def test_evaluation_report(tmp_path):
    write_sequence(tmp_path / 'A', [(1, 1, 10, 10), (6, 1, 10, 10), (31, 1, 10, 10)])
    write_sequence(tmp_path / 'B', [(1, 1, 10, 10), (1, 1, 10, 10)])
    sequences = load_dataset(f'otb:{tmp_path}')
    runs = run_all(StandStill(), sequences, progress=False)
    write_files(tmp_path / 'boxes', 'otb', sequences, runs)
    result = summarize_runs(StandStill(), sequences, runs)
    auc_a = (7 * 2 / 3 + 13 / 3) / 21  # overlaps 1, 1/3, 0
    auc_b = 20 / 21
    assert [each['auc'] for each in result['sequences']] == pytest.approx([auc_a, auc_b])
    assert result['mean']['auc'] == pytest.approx((auc_a + auc_b) / 2)
    assert np.mean(result['success_curve']) == pytest.approx(result['mean']['auc'])
    assert result['mean']['precision'] == pytest.approx((2 / 3 + 1) / 2)
    assert result['mean']['frames'] == 5
    written = read_boxes(tmp_path / 'boxes/B.txt', offset=1)
    np.testing.assert_array_equal(written, [(0, 0, 10, 10)] * 2)

    table = result_table(result)
    assert [line.split()[0] for line in table.splitlines()[2:4]] == ['A', 'B']
    assert len({len(line) for line in table.splitlines()}) == 1
    better = {**result, 'name': 'better', 'mean': {**result['mean'], 'auc': 0.99}}
    assert 'better' in summary_table([result, better]).splitlines()[2]

    result['mean']['fps'] = NAN
    report = make_report('otb:x', [result, better])
    write_json(tmp_path / 'out/report.json', report)
    read = json.loads((tmp_path / 'out/report.json').read_text(), parse_constant=pytest.fail)
    assert read['trackers'][0]['mean']['fps'] is None
    assert read['machine'].keys() >= {'cpu', 'cores', 'threads', 'gpu', 'python', 'torch'}
    for path in write_plots(report, tmp_path / 'plots'):
        assert cv2.imread(str(path)).shape == (720, 960, 3)


def test_format_table():
    table = format_table(['name', 'value', 'note'], [['a', '1.5', 'x'], ['bb', '-', ''], None])
    assert table.splitlines() == [
        'name  value  note',
        '----  -----  ----',
        'a       1.5  x',
        'bb        -',
        '----  -----  ----',
    ]


def test_peer_follows_a_calm_scene():
    scene = render_scene('calm', frames=8, size=(320, 240), seed=2)
    name = next(name for name in reversed(PEERS) if hasattr(cv2, f'Tracker{name.upper()}_create'))
    tracker = OpenCvTracker(name)
    target = tracker.start(scene[0], scene.boxes[0])
    tracks = [tracker.track(frame, target) for frame in list(scene)[1:]]
    assert np.mean([t.box.iou(b) for t, b in zip(tracks, scene.boxes[1:], strict=True)]) > 0.5
    assert all(track.status is TrackStatus.TRACKING for track in tracks)


def test_missing_peer(monkeypatch):
    monkeypatch.delattr(cv2, 'TrackerCSRT_create', raising=False)
    monkeypatch.delattr(cv2, 'legacy', raising=False)
    with pytest.raises(TrackerError, match='opencv-contrib-python-headless'):
        OpenCvTracker('csrt')


@pytest.mark.parametrize(
    ('name', 'files', 'message'),
    [
        ('nano', ['backbone.onnx'], '2 model file'),
        ('vit', ['nowhere.onnx'], 'nowhere.onnx of OpenCV.*does not exist'),
        ('vit', ['text.onnx'], 'cannot read'),
    ],
)
def test_model_files_of_peers_are_checked(name, files, message, tmp_path):
    (tmp_path / 'text.onnx').write_text('no network')
    with pytest.raises(TrackerError, match=message):
        OpenCvTracker(name, [tmp_path / file for file in files])


def test_later_starts_begin_where_a_box_is():
    boxes = np.tile([5.0, 6, 20, 10], (10, 1))
    boxes[:, 0] += np.arange(10)
    boxes[5:7] = NAN
    frames = [Path(f'{index}.png') for index in range(10)]
    parts = with_later_starts([VideoSequence('Bee', frames, boxes)], 4)
    assert [part.name for part in parts] == ['Bee', 'Bee@2', 'Bee@7']  # of 0, 2, 5 and 7
    for part, first in zip(parts, (0, 2, 7), strict=True):
        assert part.first_box == Box(5.0 + first, 6, 20, 10)
        assert part.frames == frames[first:]
        assert len(part.boxes) == len(part)


class NumberedScene(list):
    """A scene whose images are the numbers of its frames; the object stands still in sight."""

    def __init__(self, frames):
        super().__init__(range(frames))
        self.boxes = [Box(20, 20, 10, 10)] * frames
        self.visible = np.ones(frames)


class HalfRight:
    """A tracker that is right with a known probability of its raw score."""

    midpoint, slope = 0.3, 6.0

    def __init__(self):
        self.rng = np.random.default_rng(0)

    def start(self, image, box):
        return box

    def track(self, image, target):
        raw = self.rng.uniform(-1, 1.5)
        is_right = self.rng.uniform() < 1 / (1 + math.exp(-self.slope * (raw - self.midpoint)))
        box = target if is_right else Box(target.x + target.w, target.y, target.w, target.h)
        return Track(box, 0.5, TrackStatus.TRACKING, raw)


def evidence_of(raw):
    """Raw scores with similarities that say nothing."""
    return np.column_stack([np.array(raw, float), np.zeros(len(raw))])


def test_fit_logistic_finds_what_made_the_data():
    rng = np.random.default_rng(1)
    for midpoint, slope in ((0.4, 12.0), (-20.0, 0.3), (1e3, 0.01)):
        raw = rng.normal(midpoint + 1 / slope, 2 / slope, 40_000)
        hits = rng.uniform(size=len(raw)) < 1 / (1 + np.exp(-slope * (raw - midpoint)))
        found = fit_logistic(evidence_of(raw), hits)
        assert found[0] == pytest.approx(midpoint, abs=0.06 / slope)
        assert found[1] == pytest.approx(slope, rel=0.05)
        assert found[2] == 0.0


def test_fit_logistic_uses_the_similarity():
    rng = np.random.default_rng(2)
    raw, alike = rng.normal(0.5, 0.2, 40_000), rng.uniform(-0.2, 0.9, 40_000)
    exponent = 6.0 * (raw - 0.8) + 5.0 * alike
    hits = rng.uniform(size=len(raw)) < 1 / (1 + np.exp(-exponent))
    evidence = np.column_stack([raw, alike])
    midpoint, slope, similarity_slope = fit_logistic(evidence, hits)
    assert (midpoint, slope, similarity_slope) == pytest.approx((0.8, 6.0, 5.0), rel=0.08)
    scores = logistic(evidence, midpoint, slope, similarity_slope)
    assert Kept.of(scores, hits).error < 0.01
    # a similarity that speaks against the box is left out
    assert fit_logistic(np.column_stack([raw, -alike]), hits)[2] == 0.0


def test_calibration_error():
    scores, hits = np.array([0.95, 0.95, 0.15, 0.15]), np.array([True, False, False, False])
    assert Kept.of(scores, hits).error == pytest.approx((0.45 + 0.15) / 2)


def test_fit_logistic_of_separable_data_is_finite():
    raw = np.linspace(0, 1, 100)
    midpoint, slope, _ = fit_logistic(evidence_of(raw), raw > 0.495)
    assert midpoint == pytest.approx(0.495, abs=0.02)
    assert 10 < slope < 1e4


@pytest.mark.parametrize(
    ('raw', 'hits', 'message'),
    [
        ([], [], '0 frames'),
        ([1, 2, 3], [True] * 3, '3 frames with 3 right'),
        ([1, 2, 3], [False] * 3, '3 frames with 0 right'),
        ([2, 2, 2], [True, False, True], 'do not determine'),
        ([1, 2, 3, 4], [True, True, False, False], 'does not rise'),
    ],
)
def test_fit_logistic_refuses(raw, hits, message):
    with pytest.raises(TrackerError, match=message):
        fit_logistic(evidence_of(raw), np.array(hits, bool))


def test_collect_restarts_and_counts_what_is_out_of_sight_as_wrong():
    scene = render_scene('leave', frames=60, size=(96, 96), seed=1)
    *_, hits = collect(StandStill(), scene)
    assert not hits[30:36].any()  # out of sight
    tracker = StandStill()
    tracker.track = lambda image, target: Track(
        Box(0, 0, 2, 2), 0.5, TrackStatus.UNCERTAIN, NAN if len(tracker.seen) % 2 else 0.1
    )
    starts = []
    tracker.start = lambda image, box: starts.append(box) or box
    evidence, scores, hits = collect(tracker, scene)
    assert len(starts) >= 2
    assert not hits.any()
    assert evidence.shape == (len(hits), 2)
    assert scores.tolist() == [0.5] * len(hits)


def test_calibrate():
    tracker = HalfRight()
    result = calibrate(tracker, [NumberedScene(400) for _ in range(12)], progress=False)
    assert (result.frames, result.held_out) == (8 * 399, 4 * 399)
    assert result.midpoint == pytest.approx(tracker.midpoint, abs=0.05)
    assert result.slope == pytest.approx(tracker.slope, rel=0.15)
    assert result.fitted.brier < 0.7 * result.brier_base
    assert result.present.brier > result.brier_base  # whose scores are all the same
    for kept in (result.fitted, result.present):
        assert sum(n for n, _, _ in kept.reliability) == result.held_out
    assert result.fitted.reliability[0][2] < 0.2
    assert result.fitted.reliability[-1][2] > 0.8
    assert f'score_midpoint = {result.midpoint:.4f}' in calibration_table(result)


def test_scenes_for_calibration_use_photos():
    photo = np.zeros((200, 300, 3), np.uint8)
    photo[..., 2] = 180
    made_up, cut = scenes_for_calibration(2, 3, [photo])
    assert made_up.name != cut.name
    assert cut[0][..., :2].mean() < 20 < made_up[0][..., 0].mean()

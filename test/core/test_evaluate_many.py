# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Evaluation on the field's data sets: measures, runs that go on, files that are handed in."""

from __future__ import annotations

import json
import multiprocessing
import os
from pathlib import Path
import pickle
import zipfile

import cv2
import miniatures
from miniatures import boxes, COUNT, Drifting
import numpy as np
import pytest

from tracker_core.commands import build_parser, main
from tracker_core.commands.evaluate import tracker_makers
from tracker_core.data.datasets import load_dataset
from tracker_core.data.text import read_boxes
from tracker_core.errors import ImageError, ParameterError, TrackerError
from tracker_core.evaluation.metrics import measure, normalised_error
from tracker_core.evaluation.report import result_table, summarize_runs
from tracker_core.evaluation.results import Results, write_submission
from tracker_core.evaluation.run import run_sequence
from tracker_core.evaluation.run_all import run_all

NAN = float('nan')
RANDOM = ['--tracker', 'tadt', '--weights', 'random', '--device', 'cpu']


def test_normalised_error() -> None:
    truth = np.array([(0, 0, 10, 40), (0, 0, 10, 40), (0, 0, 0, 0)], float)
    found = np.array([(3, 16, 10, 40), (NAN, 0, 1, 1), (0, 0, 1, 1)])
    np.testing.assert_allclose(normalised_error(found, truth), [0.5, np.inf, NAN])


def test_measures_of_got10k_leave_the_first_frame_out() -> None:
    truth = np.array([(0, 0, 10, 10)] * 5, float)
    truth[4] = NAN
    found = np.array([(0, 0, 10, 10), (0, 0, 10, 8), (0, 0, 10, 6), (50, 0, 10, 10), (0, 0, 1, 1)])
    result = measure(found, truth)
    assert result['ao'] == pytest.approx((0.8 + 0.6 + 0) / 3)
    assert result['sr_50'] == pytest.approx(2 / 3)
    assert result['sr_75'] == pytest.approx(1 / 3)
    assert result['norm_precision'] == pytest.approx(3 / 4)
    assert result['overlap'] == pytest.approx(2.4 / 4)


def test_nothing_is_measured_without_a_ground_truth() -> None:
    truth = np.full((4, 4), NAN)
    truth[0] = (0, 0, 10, 10)
    result = measure(np.array([(0, 0, 10, 10)] * 4, float), truth)
    assert np.isnan([result[key] for key in ('auc', 'precision', 'ao', 'sr_50')]).all()
    assert result['frames'] == 1


def test_absent_frames_count_in_long_term_measures_only(tmp_path: Path) -> None:
    miniatures.lasot(tmp_path)
    sequences = load_dataset(f'lasot:{tmp_path}')
    tracker = Drifting()
    result = summarize_runs(
        tracker, sequences, run_all(tracker, sequences, progress=False), 'lasot'
    )
    assert result['sequences'][0]['frames'] == 4  # of six, two are absent
    header, _, row = result_table(result).splitlines()[:3]
    assert header.split()[:4] == ['sequence', 'frames', 'AUC', 'P@20px']
    assert 'Pnorm@0.2' in header
    assert row.startswith('airplane-1')
    # of frames 1, 2 (absent), 3 (absent), 4, 5 it is sure in the first two
    iou = 9 / 11
    assert result['long_term']['precision'] == pytest.approx(iou / 2)
    assert result['long_term']['recall'] == pytest.approx(iou / 3)


def test_runs_go_on_from_what_is_there(tmp_path: Path) -> None:
    miniatures.got10k(tmp_path / 'set')
    sequences = load_dataset(f'got10k:{tmp_path}/set', split='val')
    first = Drifting()
    kept = Results(tmp_path / 'kept', first)
    one = run_all(first, sequences[:1], kept, progress=False)
    second = Drifting()
    both = run_all(second, sequences, Results(tmp_path / 'kept', second), progress=False)
    assert second.frames == COUNT - 1  # of the other sequence
    np.testing.assert_array_equal(both[0].boxes, one[0].boxes)
    np.testing.assert_array_equal(both[0].times, one[0].times)
    assert both[0].statuses.tolist() == [1, 1, 1, 3, 3, 3]
    alike = run_sequence(Drifting(), sequences[1])
    np.testing.assert_array_equal(both[1].boxes, alike.boxes)

    other = Drifting()
    other.preset = 'other'
    with pytest.raises(ParameterError, match='holds results with other preset'):
        Results(tmp_path / 'kept', other)
    with pytest.raises(ParameterError, match=r'is of another sequence .* of 6 frames, not 5'):
        kept.load(sequences[0].part(0, 5))
    path = kept.path(sequences[0])
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ParameterError, match=r'GOT-10k_Val_000001\.npz is damaged; remove it'):
        kept.load(sequences[0])


def test_several_processes_find_the_same(tmp_path: Path) -> None:
    miniatures.got10k(tmp_path / 'set')
    sequences = load_dataset(f'got10k:{tmp_path}/set', split='val')
    tracker = Drifting()
    kept = Results(tmp_path / 'kept', tracker)
    runs = run_all(tracker, sequences, kept, Drifting, jobs=2, progress=False)
    assert tracker.frames == 0  # others did it
    assert sorted(path.name for path in (tmp_path / 'kept').iterdir()) == [
        'GOT-10k_Val_000001.npz',
        'GOT-10k_Val_000002.npz',
        'tracker.json',
    ]
    for sequence, run in zip(sequences, runs, strict=True):
        alone = run_sequence(tracker, sequence)
        np.testing.assert_array_equal(run.boxes, alone.boxes)
        np.testing.assert_array_equal(run.statuses, alone.statuses)
        assert (run.times > 0).all()
        np.testing.assert_array_equal(kept.load(sequence).boxes, run.boxes)


def test_another_process_can_make_each_tracker() -> None:
    parsed = build_parser('evaluate').parse_args(
        ['evaluate', '--dataset', 'otb:x', '--tracker', 'tadt,ocean', '--peers']
    )
    makers = tracker_makers(parsed)
    assert [type(pickle.loads(pickle.dumps(make))) for make in makers] == [type(m) for m in makers]
    assert makers[0].__self__.name == 'tadt'


def end() -> Drifting:
    """Instead of making a tracker."""
    os._exit(3)


def test_a_process_that_ends_is_said(tmp_path: Path) -> None:
    miniatures.got10k(tmp_path)
    sequences = load_dataset(f'got10k:{tmp_path}', split='val')
    with pytest.raises(TrackerError, match='a process was ended from outside'):
        run_all(Drifting(), sequences, None, end, jobs=2, progress=False)


def test_a_sequence_that_fails_ends_the_others(tmp_path: Path) -> None:
    miniatures.got10k(tmp_path)
    sequences = load_dataset(f'got10k:{tmp_path}', split='val')
    Path(sequences[1].frames[0]).write_bytes(b'no image')
    with pytest.raises(ImageError, match=r'GOT-10k_Val_000002/00000001\.jpg is not an image'):
        run_all(Drifting(), sequences, None, Drifting, jobs=2, progress=False)
    for child in multiprocessing.active_children():
        child.join(20)
        assert not child.is_alive()


def test_files_for_the_server_of_got10k(tmp_path: Path) -> None:
    miniatures.got10k(tmp_path / 'set')
    sequences = load_dataset(f'got10k:{tmp_path}/set')
    runs = run_all(Drifting(), sequences, progress=False)
    write_submission(tmp_path / 'a.zip', 'got10k', sequences, runs)
    with zipfile.ZipFile(tmp_path / 'a.zip') as archive:
        assert archive.namelist() == [
            f'{name}/{name}_{what}.txt'
            for name in ('GOT-10k_Test_000001', 'GOT-10k_Test_000002')
            for what in ('001', 'time')
        ]
        archive.extractall(tmp_path)
    found = read_boxes(tmp_path / 'GOT-10k_Test_000002/GOT-10k_Test_000002_001.txt')
    np.testing.assert_allclose(found[1], boxes()[0] + (3, 1, 0, 0))
    times = (tmp_path / 'GOT-10k_Test_000001/GOT-10k_Test_000001_time.txt').read_text().split()
    assert len(times) == COUNT


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    miniatures.trackingnet(tmp_path / 'set')
    arguments = ['evaluate', *RANDOM, '--dataset', f'trackingnet:{tmp_path}/set']
    assert main([*arguments, '--submit', str(tmp_path), '--results', str(tmp_path / 'kept')]) == 0
    out = capsys.readouterr().out
    assert '0-6LB4FqxoE_0' in out
    with zipfile.ZipFile(tmp_path / 'tadt_compact.zip') as archive:
        (name,) = archive.namelist()
        assert name == '0-6LB4FqxoE_0.txt'
        lines = archive.read(name).decode().split()
    assert lines[0] == '4.00,12.00,10.00,10.00'
    assert len(lines) == COUNT
    train = [*arguments, '--split', 'train', '--json', str(tmp_path / 'r.json')]
    assert main([*train, '--sequences', 'B4_x_1', '--boxes', str(tmp_path / 'boxes')]) == 0
    out = capsys.readouterr().out
    assert 'Pnorm@0.2' in out
    (result,) = json.loads((tmp_path / 'r.json').read_text())['trackers']
    assert result['sequences'][0]['frames'] == COUNT
    assert (tmp_path / 'boxes/tadt_compact/B4_x_1.txt').is_file()
    arguments[-1] = f'longterm:{tmp_path}/set'
    assert main([*arguments, '--jobs', '2']) == 2
    assert 'goes alone' in capsys.readouterr().err


def test_what_a_folder_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    miniatures.got10k(tmp_path / 'got')
    assert main(['data', 'got']) == 0
    out = capsys.readouterr().out
    assert f'got10k:{tmp_path}/got: GOT-10k' in out
    rows = [line.split() for line in out.splitlines()]
    assert ['val', '2', '12', '10', '2', '0', '0'] in rows
    sheet = cv2.imread('got10k_sheet.jpg')
    assert sheet.shape[1] == 1440
    red = (sheet[..., 2] > 150) & (sheet[..., 0] < 90) & (sheet[..., 1] < 110)
    assert red.sum() > 1000  # the squares
    (tmp_path / 'got/val/GOT-10k_Val_000002/groundtruth.txt').write_text('1,2,3\n')
    assert main(['data', 'got10k:got', '--split', 'val', '--sheet', 'x/y.png']) == 1
    out = capsys.readouterr().out
    assert 'refused: GOT-10k_Val_000002: ' in out
    assert 'groundtruth.txt, line 1: expected four numbers' in out
    assert cv2.imread('x/y.png') is not None
    assert main(['data', 'got', '--sheet', 'sheet.unknown']) == 2
    assert 'cannot be written as an image' in capsys.readouterr().err
    miniatures.coco(tmp_path / 'coco')
    assert main(['data', 'coco']) == 0
    assert ['train', '0', '0', '0', '0', '3', '3'] in [
        line.split() for line in capsys.readouterr().out.splitlines()
    ]
    assert main(['data']) == 0
    assert 'youtubebb' in capsys.readouterr().out

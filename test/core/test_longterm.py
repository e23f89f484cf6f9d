# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Long sequences and what is measured on them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from tracker_core import Box, TrackStatus
from tracker_core.commands import main
from tracker_core.data import longterm
from tracker_core.data.datasets import load_dataset
from tracker_core.data.longterm import (
    ABSENCES,
    load_longterm,
    long_scene,
    LongSequence,
    made_long,
    part_without,
    pingpong,
    SHOWN,
)
from tracker_core.data.sequences import DatasetError
from tracker_core.evaluation.longterm import (
    LongRun,
    measure_long,
    returns_of,
    summarize,
    THRESHOLDS,
)
from tracker_core.media.scene import render_scene
from tracker_core.media.scripts import LONG_SCENES

T, U, L = TrackStatus.TRACKING, TrackStatus.UNCERTAIN, TrackStatus.LOST
RED = (255, 0, 0)


@pytest.fixture
def short(tmp_path: Path) -> Path:
    """A data set: a red square that crosses a green picture."""
    images = tmp_path / 'Square' / 'img'
    images.mkdir(parents=True)
    lines = []
    for k in range(9):
        frame = np.full((96, 128, 3), (0, 150, 40), np.uint8)
        frame[::8] = (0, 90, 60)
        x, y = 10 + 10 * k, 40
        frame[y : y + 20, x : x + 20] = RED
        cv2.imwrite(str(images / f'{k + 1:04d}.png'), frame[..., ::-1])
        lines.append(f'{x + 1},{y + 1},20,20\n')
    (images.parent / 'groundtruth_rect.txt').write_text(''.join(lines))
    return tmp_path


def sequence(present: list[bool]) -> LongSequence:
    there = np.array(present)
    boxes = np.where(there[:, None], (10.0, 10.0, 20.0, 20.0), np.nan)
    return LongSequence('made up', [], boxes, there.astype(float))


def run(overlaps: list[float], scores: list[float], statuses: list[TrackStatus]) -> LongRun:
    return LongRun(np.array(overlaps), np.array(scores), np.array(statuses), 1.0, 1.0)


def test_what_is_taken_out_is_not_to_be_seen(short: Path) -> None:
    (long,) = load_longterm(f'longterm:{short}')
    assert len(long) == len(long.images) == 5 * SHOWN + sum(ABSENCES)
    is_there = ~np.isnan(long.boxes[:, 0])
    assert is_there.sum() == 5 * SHOWN
    assert (long.visible == is_there).all()
    for index in range(0, len(long), 7):
        image = long.images[index].astype(int)
        assert image.shape == (96, 128, 3)
        red = (image[..., 0] > 200) & (image[..., 1] < 60)
        if is_there[index]:
            x, y, w, h = long.boxes[index].astype(int)
            assert red[y : y + h, x : x + w].all()
        assert red.sum() == (400 if is_there[index] else 0)
    # after an absence it is elsewhere
    back = returns_of(long)
    assert back == [int(i) + 1 for i in np.flatnonzero(~is_there[:-1] & is_there[1:])]
    for index in back:
        before = np.flatnonzero(is_there[:index])[-1]
        assert abs(long.boxes[index, 0] - long.boxes[before, 0]) > 10


@pytest.mark.parametrize(
    'box', [Box(10, 40, 20, 20), Box(100, 0, 28, 30), Box(50, 70, 30, 26), Box(-5, -5, 30, 30)]
)
def test_a_part_without_the_target(box: Box) -> None:
    x, y, w, h = part_without(box, (128, 96))
    part = Box(x, y, w, h)
    assert part.intersection(box) == 0
    assert Box(0, 0, 128, 96).intersection(part) == part.area
    assert w / h == pytest.approx(128 / 96, rel=0.05)
    assert w >= 0.3 * 128


def test_a_target_that_fills_the_picture_cannot_be_taken_out(short: Path) -> None:
    (plain,) = load_dataset(f'otb:{short}')
    plain.boxes[3] = (5, 5, 110, 80)
    assert made_long(plain) is None
    (short / 'Square' / 'groundtruth_rect.txt').write_text('6,6,110,80\n' * 9)
    with pytest.raises(DatasetError, match='holds no sequence out of which'):
        load_longterm(f'longterm:{short}')


def test_forwards_and_backwards() -> None:
    assert [pingpong(k, 4) for k in range(9)] == [0, 1, 2, 3, 2, 1, 0, 1, 2]
    assert [pingpong(k, 1) for k in range(3)] == [0, 0, 0]


@pytest.mark.parametrize('name', LONG_SCENES)
def test_long_scenes_go_by_their_script(name: str) -> None:
    frames = 600
    scene = render_scene(name, frames, (160, 120), seed=3)
    script = LONG_SCENES[name]
    out = [(each.begin, each.end) for each in script.absences] + list(script.screens)
    assert len(returns_of(long_scene(scene))) == len(out)
    for begin, end in out:
        first, last = int(begin * frames) + 1, int(end * frames) - 1
        assert scene.visible[first:last].max() < 0.05
    assert (scene.visible > 0.9).mean() > 0.3
    long = long_scene(scene)
    assert long.first_box == scene.boxes[0]
    assert np.abs(long.images[5].astype(int) - scene[5]).mean() < 4
    areas = [box.area for box in scene.boxes]
    grown = np.prod([each.growth for each in script.absences])
    assert areas[-1] / areas[0] == pytest.approx(grown**2, rel=1.2)


def test_measures() -> None:
    """Ten frames there, ten away, ten there: found late, and once astray."""
    truth = sequence([True] * 10 + [False] * 10 + [True] * 10)
    overlaps = [1.0] * 10 + [0.0] * 10 + [0.0] * 4 + [0.6] * 6
    scores = [1.0] * 10 + [0.4] * 3 + [-1.0] * 5 + [0.9] * 2 + [-1.0] * 4 + [0.8] * 6
    statuses = [T] * 10 + [U] * 3 + [L] * 5 + [T] * 2 + [L] * 4 + [T] * 6
    measures = measure_long(run(overlaps, scores, statuses), truth)
    assert measures.returns == 1
    assert measures.found == (1, 1)  # after 4 frames
    assert measures.astray == 1
    assert (measures.absent, measures.fooled) == (10, 2)
    at = {float(t): i for i, t in enumerate(THRESHOLDS.round(2))}
    # the first frame counts in nothing: 9 + 6 right answers, 3 + 2 wrong ones
    assert measures.precision[at[0.0]] == pytest.approx((9 + 6 * 0.6) / 20)
    assert measures.precision[at[0.5]] == pytest.approx((9 + 6 * 0.6) / 17)
    assert measures.recall[at[0.5]] == pytest.approx((9 + 6 * 0.6) / 19)
    assert measures.recall[at[0.95]] == pytest.approx(9 / 19)
    made = run(overlaps, scores, statuses)
    figures = summarize([made], [measures])
    p, r = 12.6 / 17, 12.6 / 19
    assert figures['f_score'] == pytest.approx(2 * p * r / (p + r))
    assert figures['found_1s'] == figures['found_3s'] == 1.0
    assert figures['astray_per_minute'] == pytest.approx(180)
    assert figures['fooled'] == pytest.approx(0.2)


def test_an_uncertain_or_wrong_box_is_not_found() -> None:
    truth = sequence([True] * 5 + [False] * 20 + [True] * 100)
    right = [1.0] * 5 + [0.0] * 20 + [0.9] * 100
    for statuses, overlaps, found in (
        ([T] * 5 + [L] * 20 + [U] * 100, right, (0, 0)),
        ([T] * 5 + [L] * 20 + [U] * 40 + [T] * 60, right, (0, 1)),
        ([T] * 125, [1.0] * 5 + [0.0] * 20 + [0.4] * 100, (0, 0)),
    ):
        assert measure_long(run(overlaps, [1.0] * 125, statuses), truth).found == found


def test_short_absences_are_no_returns() -> None:
    assert returns_of(sequence([True] * 3 + [False] * 9 + [True] * 3)) == []
    assert returns_of(sequence([True] * 3 + [False] * 10 + [True] * 3)) == [13]
    assert returns_of(sequence([True] * 3 + [False] * 40)) == []


def test_the_command(
    short: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(longterm, 'SHOWN', 15)
    monkeypatch.setattr(longterm, 'ABSENCES', (12, 20))
    report = tmp_path / 'long.json'
    arguments = ['evaluate', '--dataset', f'longterm:{short}', '--tracker', 'tadt']
    assert main([*arguments, '--device', 'cpu', '--json', str(report)]) == 0
    out = capsys.readouterr().out
    assert 'Square-long' in out
    assert 'back in 1 s' in out
    assert report.is_file()
    assert main([*arguments, '--plots', str(tmp_path)]) != 0
    assert 'goes alone' in capsys.readouterr().err
    assert main([*arguments, '--sequences', 'Circle-long']) != 0
    assert "no sequence 'Circle-long'" in capsys.readouterr().err

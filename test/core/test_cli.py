# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The command `tracker`, from its arguments to the files it writes."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch

from tracker_core import __version__, create_tracker
from tracker_core.commands import main
from tracker_core.data.datasets import load_dataset
from tracker_core.data.text import read_boxes
from tracker_core.evaluation.metrics import box_rows, measure
from tracker_core.evaluation.results import lines_of
from tracker_core.media.scene import render_scene
from tracker_core.media.sources import open_frames

RANDOM = ['--tracker', 'tadt', '--weights', 'random', '--device', 'cpu']


@pytest.fixture(scope='module')
def dataset(tmp_path_factory):
    """Two short rendered sequences in OTB's format."""
    folder = tmp_path_factory.mktemp('otb')
    for seed, name in enumerate(('Ape', 'Bee')):
        scene = render_scene('calm', frames=5, size=(160, 120), seed=seed)
        (folder / name / 'img').mkdir(parents=True)
        for i, frame in enumerate(scene):
            cv2.imwrite(str(folder / name / 'img' / f'{i + 1:04d}.png'), frame[..., ::-1])
        rows = np.add(box_rows(scene.boxes), (1, 1, 0, 0))
        (folder / name / 'groundtruth_rect.txt').write_text(lines_of(rows, '%.2f'))
    return folder


def refusal(arguments, capsys):
    """What `tracker` says when it refuses its arguments: one line."""
    try:
        status = main(arguments)
    except SystemExit as end:  # how argparse ends
        status = end.code
    complaint = capsys.readouterr().err
    assert status == 2
    assert complaint.startswith('tracker: error: ')
    assert complaint.count('\n') == 1
    return complaint


def test_help_of_the_installed_module():
    result = subprocess.run(
        [sys.executable, '-m', 'tracker_core.commands', '--help'], capture_output=True, text=True
    )
    assert result.returncode == 0
    for command in ('track', 'evaluate', 'benchmark', 'calibrate', 'list', 'weights', 'train'):
        assert f'\n    {command} ' in result.stdout or f'\n    {command}\n' in result.stdout


@pytest.mark.parametrize(
    'arguments',
    [
        ['--help'],
        ['track', '--help'],
        ['list'],
        ['list', 'tadt'],
        ['weights'],
        ['track', 'scene', '--tracker', 'tadt', '--frames', '0'],
    ],
    ids=' '.join,
)
def test_what_needs_no_network_loads_none(arguments):
    """So that it comes at once: neither torch nor OpenCV is imported."""
    script = (
        'import sys\n'
        'from tracker_core.commands import main\n'
        'try:\n'
        f'    main({arguments})\n'
        'except SystemExit:\n'
        '    pass\n'
        "sys.exit(', '.join({'torch', 'cv2'} & {*sys.modules}) or 0)\n"
    )
    result = subprocess.run([sys.executable, '-c', script], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    'arguments', [['track'], ['evaluate'], ['weights', 'convert'], ['train', 'backbone']]
)
def test_help_of_commands(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        main([*arguments, '--help'])
    assert end.value.code == 0
    assert f'usage: tracker {" ".join(arguments)}' in capsys.readouterr().out


def test_track_writes_what_the_library_finds(dataset, tmp_path, capsys):
    sequence = load_dataset(f'otb:{dataset}')[0]
    box = sequence.first_box
    text = ','.join(map(str, box.as_xywh()))
    arguments = ['track', str(dataset / 'Ape/img'), *RANDOM, '--box', text, '--box', '10,10,30,20']
    files = ['--csv', str(tmp_path / 'sub/b.csv'), '--out', str(tmp_path / 'b.mp4')]
    assert main([*arguments, *files]) == 0
    line = capsys.readouterr().out.strip()
    assert line.startswith('5 frames, ')
    assert '% tracked' in line
    assert line.endswith(f'wrote {tmp_path / "b.mp4"}; wrote {tmp_path / "sub/b.csv"}')

    frames = list(open_frames(dataset / 'Ape/img'))
    tracker = create_tracker('tadt', weights='random', device='cpu')
    target = tracker.start(frames[0], box)
    tracks = [tracker.track(frame, target) for frame in frames[1:]]
    with open(tmp_path / 'sub/b.csv', newline='') as file:
        rows = list(csv.DictReader(file))
    assert [(row['frame'], row['id']) for row in rows] == [
        (str(i), name) for i in range(5) for name in '12'
    ]
    first = [row for row in rows if row['id'] == '1']
    assert [row['status'] for row in first[1:]] == [track.status.name for track in tracks]
    found = np.array([[float(row[key]) for key in 'xywh'] for row in first])
    np.testing.assert_allclose(found[0], box.as_xywh(), atol=1e-3)
    np.testing.assert_allclose(found[1:], box_rows([track.box for track in tracks]), atol=1e-2)
    video = open_frames(tmp_path / 'b.mp4')
    assert (video.length, video.size) == (5, (160, 120))


def test_track_scene_needs_no_box(capsys):
    assert main(['track', 'scene:calm', *RANDOM, '--frames', '3']) == 0
    line = capsys.readouterr().out
    assert line.startswith('3 frames, ')
    assert 'mean IoU' in line


def test_evaluate(dataset, tmp_path, capsys):
    arguments = ['evaluate', *RANDOM, '--dataset', f'otb:{dataset}', '--set', 'scale_step=1.02']
    out = [f'--{key}={tmp_path / key}' for key in ('json', 'plots', 'boxes')]
    assert main([*arguments, *out]) == 0
    text = capsys.readouterr().out
    assert 'torch' in text.splitlines()[1]
    assert [line.split()[0] for line in text.splitlines() if line.startswith(('Ape', 'Bee'))]
    report = json.loads((tmp_path / 'json').read_text())
    (result,) = report['trackers']
    assert result['parameters']['scale_step'] == 1.02
    assert (result['name'], result['preset'], result['weights']) == ('tadt', 'compact', 'random')
    assert result['weights_checksum'] == 'random'
    aucs = []
    for entry, sequence in zip(result['sequences'], load_dataset(f'otb:{dataset}'), strict=True):
        boxes = read_boxes(tmp_path / 'boxes/tadt_compact' / f'{sequence.name}.txt', offset=1)
        aucs.append(measure(boxes, sequence.boxes)['auc'])
        assert entry['auc'] == pytest.approx(aucs[-1], abs=0.02)
        assert entry['fps'] > 0
    assert result['mean']['auc'] == pytest.approx(np.mean(aucs), abs=0.02)
    for name in ('success.png', 'precision.png'):
        assert (tmp_path / 'plots' / name).stat().st_size > 10_000


def test_frames_that_cannot_be_read_are_named_at_the_end(dataset, tmp_path, capsys):
    shutil.copytree(dataset, tmp_path, dirs_exist_ok=True)
    bad = tmp_path / 'Ape/img/0003.png'
    bad.write_bytes(bad.read_bytes()[:2000])
    arguments = ['track', str(bad.parent), *RANDOM, '--box', '40,40,40,30']
    assert main([*arguments, '--csv', str(tmp_path / 'a.csv'), '--out', str(tmp_path / 'a')]) == 1
    output = capsys.readouterr()
    assert output.out.startswith('4 frames, ')
    assert output.err.endswith('1 of 5 frames could not be read: 0003.png\n')
    with open(tmp_path / 'a.csv', newline='') as file:
        assert [row['frame'] for row in csv.DictReader(file)] == ['0', '1', '3', '4']

    with (tmp_path / 'Bee/groundtruth_rect.txt').open() as file:
        lines = file.readlines()
    (tmp_path / 'Bee/groundtruth_rect.txt').write_text(''.join(lines[:3]))
    assert main(['evaluate', *RANDOM, '--dataset', f'otb:{tmp_path}']) == 1
    complaints = capsys.readouterr().err
    assert 'warning: ' in complaints
    assert 'has 3 lines for 5 images' in complaints
    assert '2 are left out: 0004.png, 0005.png\n' in complaints
    assert complaints.endswith('1 frames could not be read: 0003.png\n')

    bad.write_bytes(b'')
    for command in (['evaluate', *RANDOM, '--dataset', f'otb:{tmp_path}'], arguments):
        assert '1 of 5 images in' in refusal(command, capsys)


def test_evaluate_all_with_peers_and_chosen_sequences(dataset, capsys):
    options = ['--weights', 'random', '--sequences', 'Bee', '--starts', '2', '--peers']
    assert main(['evaluate', '--tracker', 'all', '--dataset', f'otb:{dataset}', *options]) == 0
    text = capsys.readouterr().out
    assert 'Ape' not in text
    assert '\nBee ' in text
    assert '\nBee@' in text
    assert '\nmil opencv' in text


def test_benchmark(tmp_path, capsys):
    file = tmp_path / 'speed.json'
    arguments = ['--frames', '3', '--size', '160x120', '--json', str(file)]
    assert main(['benchmark', *RANDOM, *arguments]) == 0
    result = json.loads(file.read_text())
    assert (result['frames'], result['size']) == (3, [160, 120])
    for key in ('start_ms', 'track_ms', 'learn_ms'):
        assert 0 < result[key]['median'] <= result[key]['p99']
    assert result['machine']['torch']
    assert 'milliseconds' in capsys.readouterr().out


def test_calibrate(tmp_path, capsys):
    file = tmp_path / 'c.json'
    # sizes that run away make for boxes of both kinds
    wild = ['--set', 'scale_step=1.3', '--set', 'scale_penalty=1', '--set', 'scale_rate=1']
    wild += ['--set', 'refiner=false']
    plot = tmp_path / 'c.png'
    arguments = ['--scenes', '3', '--frames', '10', '--json', str(file), '--plot', str(plot)]
    assert main(['calibrate', *RANDOM, *wild, *arguments]) == 0
    result = json.loads(file.read_text())
    assert result['slope'] > 0
    assert cv2.imread(str(plot)).std() > 5, 'something is drawn'
    assert f'score_midpoint = {result["midpoint"]:.4f}' in capsys.readouterr().out


def test_versions_for_a_report(capsys):
    with pytest.raises(SystemExit, match=r'^0$'):
        main(['--version'])
    out = capsys.readouterr().out
    for words in (f'tracker_nodes {__version__}\n', 'Python 3.', f'torch {torch.__version__}'):
        assert words in out


def test_list(capsys):
    assert main(['list']) == 0
    assert '\ntadt ' in capsys.readouterr().out
    assert main(['list', 'tadt']) == 0
    both = capsys.readouterr().out
    assert main(['list', 'tadt', '--preset', 'paper']) == 0
    paper = capsys.readouterr().out
    assert both.split()[:4] == ['parameter', 'type', 'compact', 'paper']
    assert paper.split()[:4] == ['parameter', 'type', 'paper', 'values']
    line = next(line for line in paper.splitlines() if line.startswith('scale_step'))
    assert line.split()[:3] == ['scale_step', 'float', '1.045']
    assert '>= 1, <= 1.5' in line


def test_weights(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv('TRACKER_WEIGHTS', str(tmp_path))
    assert main(['weights']) == 0
    text = capsys.readouterr().out
    assert 'missing: https://www.vlfeat.org' in text
    (tmp_path / 'imagenet-vgg-verydeep-16.mat').touch()
    assert main(['weights']) == 0
    assert str(tmp_path / 'imagenet-vgg-verydeep-16.mat') in capsys.readouterr().out


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ([], 'COMMAND'),
        (['fly'], 'invalid choice'),
        (['track', 'no.mp4', *RANDOM, '--box', '1,2,3,4'], 'no.mp4 does not exist'),
        (['track', '.', *RANDOM, '--box', '1,2,3,4'], 'holds no images'),
        (['track', 'scene:moon', *RANDOM], "no scene 'moon'"),
        (['track', 'scene', *RANDOM, '--box', '1,2,3'], 'not four numbers'),
        (['track', 'scene', *RANDOM, '--box', '1,2,a,4'], 'not four numbers'),
        (['track', 'scene', *RANDOM, '--box', '1,2,0,4'], 'box is empty'),
        (['track', 'scene', *RANDOM, '--box', '.4,.4,.2,.3'], 'shares of its width and height'),
        (['track', 'scene', *RANDOM, '--box', '9999,2,5,4'], 'outside the image'),
        (['track', 'scene', *RANDOM, '--frames', '0'], 'not a number from 1'),
        (['track', 'scene', *RANDOM, '--set', 'speed=1'], "no parameter 'speed'"),
        (['track', 'scene', *RANDOM, '--set', 'speed'], 'NAME=VALUE'),
        (['track', 'scene', *RANDOM, '--set', 'scale_step=9'], 'at most 1.5'),
        (['track', 'scene', *RANDOM, '--preset', 'huge'], "no preset 'huge'"),
        (['track', 'scene', '--tracker', 'no'], "no tracker 'no'"),
        (['track', 'scene', '--tracker', 'tadt', '--weights', 'no.safetensors'], 'does not exist'),
        (['evaluate', *RANDOM, '--dataset', 'vott:x'], "did you mean 'vot'"),
        (['evaluate', *RANDOM, '--dataset', 'otb:nowhere'], 'nowhere does not exist'),
        (['benchmark', *RANDOM, '--size', '640'], 'not a number from 1'),
        (['benchmark', *RANDOM, '--size', '8x8'], '64 pixels'),
        (['calibrate', *RANDOM, '--scenes', '2'], 'at least 3'),
        (['track', 'scene', *RANDOM, '--set', 'scale_stepp=1'], "did you mean 'scale_step'"),
        (['list', 'no'], "no tracker 'no'"),
        (['list', 'tadt', '--preset', 'no'], "no preset 'no'; choose one of compact, paper"),
        (['list', '--preset', 'paper'], 'of which tracker?'),
        (['weights', 'convert', 'a.mat', 'b.txt', '--tracker', 'tadt'], 'must end in'),
        (['weights', 'convert', 'a.mat', 'b.safetensors', '--tracker', 'tadt'], 'does not exist'),
    ],
)
def test_refusals_are_one_line(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert message in refusal(arguments, capsys)


def test_box_is_asked_for(dataset, capsys):
    assert 'Give --box' in refusal(['track', str(dataset / 'Ape/img'), *RANDOM], capsys)

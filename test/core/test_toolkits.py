# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Our trackers in the real toolkits got10k and VOT: requirements/toolkits.txt brings them."""

from __future__ import annotations

from collections.abc import Callable
import json
import os
from pathlib import Path
import re
import runpy
import sys
import zipfile

import miniatures
from miniatures import COUNT, Drifting
import numpy as np
import pytest

from tracker_core.commands import main
from tracker_core.data.datasets import load_dataset, read_dataset
from tracker_core.data.layouts.vot import region_box
from tracker_core.errors import ParameterError
from tracker_core.evaluation.report import summarize_runs
from tracker_core.evaluation.results import result_files, write_submission
from tracker_core.evaluation.run import run_sequence
from tracker_core.evaluation.run_all import run_all
from tracker_core.extras import need
from tracker_core.factory import create_tracker
from tracker_core.toolkits import as_got10k

RANDOM = ['--tracker', 'tadt', '--weights', 'random', '--device', 'cpu']
ROOT = Path(__file__).parents[2]


@pytest.fixture
def got10k():
    pytest.importorskip('got10k.experiments', reason='needs requirements/toolkits.txt')
    return pytest.importorskip('got10k')


@pytest.fixture
def vot():
    pytest.importorskip('trax', reason='needs requirements/toolkits.txt')
    return pytest.importorskip('vot', reason='needs requirements/toolkits.txt')


def shorten(folder: Path, count: int) -> None:
    """Leave the first frames of a GOT-10k sequence."""
    for path in list(folder.iterdir()):
        if path.suffix == '.jpg' and int(path.stem) > count:
            path.unlink()
        elif path.suffix in ('.label', '.txt'):
            path.write_text(''.join(path.read_text().splitlines(keepends=True)[:count]))


def test_a_package_that_is_not_there() -> None:
    with pytest.raises(ParameterError, match=r'no-x, .* pip install "tracker_nodes\[vot\]"'):
        need('no_x', 'this', 'vot', 'no-x')


def test_figures_are_those_of_the_toolkit_got10k(got10k, tmp_path: Path) -> None:
    from got10k.experiments import ExperimentGOT10k

    root = tmp_path / 'set'
    miniatures.got10k(root)
    shorten(root / 'val' / 'GOT-10k_Val_000002', 4)
    folders = {'result_dir': str(tmp_path / 'r'), 'report_dir': str(tmp_path / 'p')}
    experiment = ExperimentGOT10k(str(root), subset='val', **folders)
    tracker = as_got10k(Drifting())
    experiment.run(tracker)
    theirs = experiment.report([tracker.name])[tracker.name]

    sequences = load_dataset(f'got10k:{root}', split='val')
    runs = run_all(Drifting(), sequences, progress=False)
    ours = summarize_runs(Drifting(), sequences, runs, 'got10k')
    assert theirs['overall']['ao'] == pytest.approx(ours['mean']['ao'])
    assert theirs['overall']['sr'] == pytest.approx(ours['mean']['sr_50'])
    for each in ours['sequences']:
        assert theirs['seq_wise'][each['name']]['ao'] == pytest.approx(each['ao'])
    # and it reads our files as its own
    for sequence, run in zip(sequences, runs, strict=True):
        for name, text in result_files('got10k', run, sequence).items():
            written = tmp_path / 'r' / 'GOT-10k' / tracker.name / name
            if 'time' not in name:
                assert written.read_text() == text
            written.write_text(text)
    again = experiment.report([tracker.name])[tracker.name]['overall']
    assert again['ao'] == pytest.approx(ours['mean']['ao'])
    assert again['speed_fps'] > 0


def test_the_zip_file_is_that_of_the_toolkit_got10k(got10k, tmp_path: Path) -> None:
    from got10k.experiments import ExperimentGOT10k

    miniatures.got10k(tmp_path / 'set')
    experiment = ExperimentGOT10k(
        str(tmp_path / 'set'), 'test', str(tmp_path / 'r'), str(tmp_path)
    )
    tracker = as_got10k(Drifting(), name='ours')
    experiment.run(tracker)
    experiment.report([tracker.name])
    with zipfile.ZipFile(tmp_path / 'r' / 'GOT-10k' / 'ours.zip') as archive:
        theirs = {name: archive.read(name) for name in archive.namelist() if name[-1] != '/'}

    sequences = load_dataset(f'got10k:{tmp_path}/set')
    runs = run_all(Drifting(), sequences, progress=False)
    write_submission(tmp_path / 'a.zip', 'got10k', sequences, runs)
    with zipfile.ZipFile(tmp_path / 'a.zip') as archive:
        ours = {name: archive.read(name) for name in archive.namelist()}
    assert theirs.keys() == ours.keys()
    assert all(theirs[name] == ours[name] for name in ours if name.endswith('001.txt'))


def test_a_real_tracker_in_the_toolkit_got10k(got10k, tmp_path: Path) -> None:
    """Images come from Pillow, boxes may count from one."""
    miniatures.otb(tmp_path)
    (sequence, _) = load_dataset(f'otb:{tmp_path}')
    tracker = create_tracker('tadt', weights='random', device='cpu')
    box = sequence.boxes[0] + (1, 1, 0, 0)
    found, times = as_got10k(tracker).track([str(p) for p in sequence.frames], box)
    alone = run_sequence(tracker, sequence)
    np.testing.assert_allclose(found, np.add(alone.boxes, (1, 1, 0, 0)), atol=1e-3)
    assert len(times) == COUNT


def test_the_example(got10k, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    miniatures.got10k(tmp_path / 'set')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, 'argv', ['got10k_toolkit.py', str(tmp_path / 'set'), 'tadt'])
    runpy.run_path(str(ROOT / 'examples' / 'got10k_toolkit.py'), run_name='__main__')
    (report,) = tmp_path.rglob('performance.json')
    assert 0 < json.loads(report.read_text())['tadt_compact']['overall']['ao'] <= 1


def test_the_lines_of_the_page(got10k, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Python of docs/toolkits.md."""
    miniatures.got10k(tmp_path / 'set')
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(
        r'```python\n(.*?)```', (ROOT / 'docs' / 'toolkits.md').read_text(), re.DOTALL
    )
    exec(code.replace('/data/GOT-10k', f'{tmp_path}/set'), {})
    (report,) = tmp_path.rglob('performance.json')
    assert json.loads(report.read_text()).keys() == {'ocean_compact'}


@pytest.mark.parametrize('rate', [30, 240])
def test_the_toolkit_got10k_reads_the_same_of_nfs(got10k, rate: int, tmp_path: Path) -> None:
    """Its sequences of 30 Hz, too, take every eighth box of 240 Hz."""
    from got10k.datasets import NfS

    miniatures.nfs(tmp_path)
    theirs = NfS(str(tmp_path), fps=rate)
    ours = {s.name: s for s in load_dataset(f'nfs:{tmp_path}') if s.name.endswith(f'_{rate}')}
    assert len(ours) == len(theirs)
    for name, (files, boxes) in zip(theirs.seq_names, theirs, strict=True):
        sequence = ours[f'{name}_{rate}']
        assert list(map(Path, files)) == list(sequence.frames)
        np.testing.assert_array_equal(boxes[~sequence.absent], sequence.boxes[~sequence.absent])


def test_the_toolkit_got10k_reads_the_same_of_vid(
    got10k, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from got10k.datasets import ImageNetVID

    monkeypatch.chdir(tmp_path)  # where it keeps a cache
    miniatures.vid(tmp_path)
    theirs = ImageNetVID(str(tmp_path), subset='train')
    ours = read_dataset(f'vid:{tmp_path}', 'train').sequences
    assert len(theirs) == len(ours)
    for (files, boxes), sequence in zip(theirs, ours, strict=True):
        assert list(map(Path, files)) == [
            path for path, there in zip(sequence.frames, sequence.has_box, strict=True) if there
        ]
        kept = sequence.boxes[sequence.has_box]
        np.testing.assert_array_equal(boxes[:, :2], kept[:, :2])
        np.testing.assert_array_equal(boxes[:, 2:], kept[:, 2:] + 1)  # it counts the last pixel


@pytest.fixture
def run_vot(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> Callable[..., str]:
    """The toolkit's command, in this process; the trackers that it starts have theirs."""
    from vot.utilities.cli import main as vot_main

    path = os.pathsep.join([str(ROOT), *filter(None, sys.path)])
    for name, value in {'PYTHONPATH': path, 'OMP_NUM_THREADS': '1', 'VOT_REGISTRY': ''}.items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str) -> str:
        monkeypatch.setattr(sys, 'argv', ['vot', *arguments])
        with pytest.raises(SystemExit) as ended:
            vot_main()
        assert ended.value.code == 0, caplog.text
        return caplog.text

    return run


def register_tracker(workspace: Path) -> None:
    command = f'{sys.executable} -m tracker_core.commands vot {" ".join(RANDOM)}'
    registry = f'[Ours]\nlabel = Ours\nprotocol = trax\ncommand = {command}\n'
    (workspace / 'trackers.ini').write_text(registry)


def trajectory(path: Path) -> list[tuple[float, ...]]:
    """The rectangles of a result of the toolkit, but for the first, which is a mark."""
    from vot.region.io import read_trajectory

    return [(r.x, r.y, r.width, r.height) for r in read_trajectory(str(path))[1:]]


def test_several_targets_under_the_vot_toolkit(vot, run_vot, tmp_path: Path) -> None:
    miniatures.vots(tmp_path)
    register_tracker(tmp_path)
    said = run_vot('evaluate', '--workspace', str(tmp_path), 'Ours')
    assert 'Evaluation concluded successfuly' in said, said
    tracker = create_tracker('tadt', weights='random', device='cpu')
    sequences = load_dataset(f'vot:{tmp_path}')
    assert [sequence.name for sequence in sequences] == ['agility-1', 'agility-2']
    for number, sequence in enumerate(sequences, start=1):
        path = tmp_path / f'results/Ours/baseline/agility/agility_{number}_001.bin'
        alone = run_sequence(tracker, sequence).boxes
        np.testing.assert_allclose(trajectory(path), alone[1:], atol=1e-3)


def test_figures_are_those_of_the_vot_toolkit(vot, run_vot, tmp_path: Path) -> None:
    workspace = tmp_path / 'workspace'
    miniatures.vot2022(workspace)
    register_tracker(workspace)
    chosen = ['--workspace', str(workspace), '--experiments', 'unsupervised', 'Ours']
    said = run_vot('evaluate', *chosen)
    assert 'Evaluation concluded successfuly' in said, said
    run_vot('analysis', '--format', 'json', '--name', 'a', *chosen)

    (sequence,) = load_dataset(f'vot:{workspace}')
    tracker = create_tracker('tadt', weights='random', device='cpu')
    run = run_sequence(tracker, sequence)
    folder = workspace / 'results/Ours/unsupervised/agility'
    found = trajectory(folder / 'agility_001.bin')
    np.testing.assert_allclose(found, run.boxes[1:], atol=1e-3)
    confidences = (folder / 'agility_001_confidence.value').read_text().split()
    np.testing.assert_allclose([float(c) for c in confidences], run.scores, atol=1e-4)

    report = json.loads((workspace / 'analysis/a.json').read_text())
    accuracy = np.array(report['results']['unsupervised']['results']).item()
    ours = summarize_runs(tracker, [sequence], [run], 'vot')
    # the toolkit paints boxes in whole pixels before it compares them
    assert accuracy == pytest.approx(ours['mean']['ao'], abs=0.03)


@pytest.mark.parametrize(
    'text',
    ['m10,20,4,3,5,2,2,1', 'm3,4,6,2,1,2,3,4', '3,1,5,2,4,6,2,5'],
)
def test_the_vot_toolkit_reads_the_same_regions(vot, text: str) -> None:
    from vot.region.io import parse_region

    bounds = parse_region(text).bounds()  # of masks: with the last pixel
    x, y, w, h = region_box(text)
    last = 1 if text.startswith('m') else 0
    np.testing.assert_allclose(bounds, (x, y, x + w - last, y + h - last))


def test_without_the_toolkit(monkeypatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, 'trax', None)
    assert main(['vot', *RANDOM]) == 2
    assert 'needs the Python package vot-trax' in capsys.readouterr().err

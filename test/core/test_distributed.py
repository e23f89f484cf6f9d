# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Trainings of several processes: the same as of one, also when one of them is killed."""

from __future__ import annotations

import json
import os
from pathlib import Path
import signal
import subprocess
import sys
import time

import cv2
from noise import noise_image
import pytest
from safetensors.torch import load_file
import torch
from torch import distributed, nn

from tracker_core.commands import main
from tracker_core.errors import ParameterError
from tracker_core.training.batches import Share
from tracker_core.training.draws import Draws
from tracker_core.training.parts import mean_of

STEPS = 4
LAUNCHER = [sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc-per-node', '2']
WEIGHTS = 'compact_refiner.safetensors'


def arguments(folder: Path, out: str) -> list[str]:
    """Of a training that computes in float32 and writes its checkpoint at every step."""
    given = {
        '--data': folder / 'photos',
        '--config': folder / 'config.yaml',
        '--out': folder / out,
    }
    options = ['--steps', STEPS, '--checkpoint-steps', 1, '--workers', 0, '--precision', 'fp32']
    named = [part for pair in given.items() for part in pair]
    return list(map(str, ['train', 'refiner', '--device', 'cpu', *named, *options]))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four photos with a box each, and a config."""
    (tmp_path / 'photos').mkdir()
    rows = ['file,x,y,w,h']
    for index in range(4):
        cv2.imwrite(str(tmp_path / 'photos' / f'{index}.png'), noise_image(index))
        rows.append(f'{index}.png,80,60,70,50')
    (tmp_path / 'photos' / 'boxes.csv').write_text('\n'.join(rows))
    pairs = {'template_size': 97, 'search_size': 97, 'shift': 20.0}
    # half of the pairs, unevenly among the processes, teach nothing of boxes
    pairs['sources'] = [0.5, 0.5, 0, 0]
    config = {'batch': 4, 'optimizer': 'sgd', 'learning_rate': 0.01, 'pairs': pairs}
    (tmp_path / 'config.yaml').write_text(json.dumps(config))
    return tmp_path


def workers_of(process: int) -> list[int]:
    """The processes that a process has started."""
    text = Path(f'/proc/{process}/task/{process}/children').read_text()
    return [int(word) for word in text.split()]


@pytest.mark.skipif(not distributed.is_available(), reason='this PyTorch has no distributed')
@pytest.mark.skipif(not Path('/proc/self/task').is_dir(), reason='looks for processes in /proc')
def test_two_processes_of_which_one_is_killed_equal_one(folder: Path) -> None:
    """Each has half of every batch. torchrun starts them once more, and they go on from the
    checkpoint with the pairs that come next."""
    assert main(arguments(folder, 'one')) == 0
    assert main(arguments(folder, 'one')) == 2  # which would overwrite it
    environment = {**os.environ, 'OMP_NUM_THREADS': '1', 'GLOO_SOCKET_IFNAME': 'lo'}
    command = [*LAUNCHER, '--max-restarts', '1', '-m', 'tracker_core.commands']
    launcher = subprocess.Popen(
        [*command, *arguments(folder, 'two')],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    checkpoint = folder / 'two' / 'checkpoint.pt'
    while launcher.poll() is None and not checkpoint.is_file():
        time.sleep(0.005)
    if launcher.poll() is None:
        os.kill(workers_of(launcher.pid)[-1], signal.SIGKILL)
    output, _ = launcher.communicate()
    assert launcher.returncode == 0, output
    assert 'exitcode: -9' in output, output
    one, two = (json.loads((folder / out / 'card.json').read_text()) for out in ('one', 'two'))
    assert [card['processes'] for card in (one, two)] == [1, 2]
    assert [card['pairs'] for card in (one, two)] == [4 * STEPS] * 2
    expected, found = (load_file(folder / out / WEIGHTS) for out in ('one', 'two'))
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-6)


def test_shares_make_up_the_batches() -> None:
    """Whatever the number of processes and parts, in every step and without overlap."""
    for processes, accumulate in ((1, 1), (2, 1), (2, 2), (1, 4)):
        parts = processes * accumulate
        shares = [
            Share(parts, processes, rank).numbers(start=16, batch=8) for rank in range(processes)
        ]
        for step in range(3):
            runs = [next(share) for share in shares for _ in range(accumulate)]
            assert all(len(run) == 8 // parts for run in runs)
            expected = list(range(16 + 8 * step, 24 + 8 * step))
            assert sorted(number for run in runs for number in run) == expected
    with pytest.raises(ParameterError, match='3 equal parts'):
        next(Share(3).numbers(0, 8))


def test_chance_belongs_to_the_pair() -> None:
    """A pair's numbers are the same in any batch, on, and unlike those of any other."""
    whole, half = Draws(torch.arange(40, 60)), Draws(torch.arange(50, 60))
    for shape in ((3,), (5, 2)):
        torch.testing.assert_close(whole.uniform(*shape)[10:], half.uniform(*shape))
        torch.testing.assert_close(whole.normal(*shape)[10:], half.normal(*shape))
    draws = Draws(torch.arange(2000))
    even, bell = draws.uniform(50), draws.normal(50)
    assert even.unique().numel() > 0.99 * even.numel()
    assert 0 < float(even.min()) < 1e-4
    assert 1 - 1e-4 < float(even.max()) < 1
    assert float(even.mean()) == pytest.approx(0.5, abs=0.005)
    assert float(bell.mean()) == pytest.approx(0, abs=0.01)
    assert float(bell.std()) == pytest.approx(1, abs=0.01)
    for table in (even, bell):
        near = torch.corrcoef(table[:, :4].T)[0, 1:], torch.corrcoef(table[:4])[0, 1:]
        assert float(near[0].abs().max()) < 0.1
        assert float(near[1].abs().max()) < 0.6


def test_a_mean_without_counts_is_zero() -> None:
    """And has gradients, so that a process whose pairs teach nothing keeps in step."""
    losses = nn.Parameter(torch.ones(3, 2))
    mean = mean_of(losses, torch.zeros(3))
    mean.backward()
    assert float(mean.detach()) == 0
    assert losses.grad is not None
    assert not losses.grad.any()

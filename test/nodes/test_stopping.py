# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Nodes end at any moment of their start: exit status 0, no traceback, nothing left behind.

TRACKER_NODES_MOMENTS=20 in the environment tries so many moments for each node.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
import os
from pathlib import Path
import signal
import subprocess
import sys
import time
from typing import Any

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
import pytest

from tracker_nodes.executables import executable

MOMENTS = int(os.environ.get('TRACKER_NODES_MOMENTS', '0'))
AT_A_TIME = 2
BOUND = 10.0  # seconds; 2 on a computer that has nothing else to do
NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
NODES = {  # arguments, what is printed when the start is over, and how many moments are tried
    'video_source': (['--ros-args', '-p', 'loop:=true'], 'frames per second', 5),
    'tracker_node': (['--ros-args', '-p', 'device:=cpu'], 'is ready', 4),
    'select_target': ([], 'the window is open', 3),
    'demo': (['--device', 'cpu', '--out', 'out'], ' frames [', 2),
}


@dataclass
class Ended:
    """A process that was started and signalled."""

    moment: float  # seconds from its start to the (first) signal
    signals: str
    status: int
    seconds: float  # from the first signal to its end
    output: str

    def __str__(self) -> str:
        return f'{self.moment:6.2f} s  {self.signals:<15} {self.status:3} {self.seconds:7.2f} s'


BLANK = """
from tracker_nodes.process import run
from tracker_nodes.select_target import SelectTarget

class Blank:
    def __init__(self, on_mouse):
        print('the window is open', flush=True)

    def show(self, rgb):
        pass

    def key(self):
        return ''

    def close(self):
        pass

execute(lambda: run(lambda: SelectTarget(Blank)))
"""


def installed(name: str, folder: Path) -> Path:
    """The executable; that of select_target gets a window that needs no display."""
    path = executable('tracker_nodes', name)
    if name != 'select_target':
        return path
    script = folder / name
    script.write_text(path.read_text().replace('execute(main)', BLANK))
    script.chmod(0o755)
    return script


class Trial:
    """A node in a process group of its own, as a launch or a service manager starts it."""

    def __init__(self, name: str, folder: Path) -> None:
        folder.mkdir()
        self._log = folder / 'log.txt'
        with self._log.open('w') as log:
            self._start = time.monotonic()
            self.process = subprocess.Popen(
                [installed(name, folder), *NODES[name][0]],
                cwd=folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def age(self) -> float:
        return time.monotonic() - self._start

    @property
    def output(self) -> str:
        return self._log.read_text(errors='replace')

    def wait_for(self, condition: Callable[[], object]) -> None:
        while not condition():
            assert self.process.poll() is None, self.output
            assert self.age < 120, self.output
            time.sleep(0.001)

    def holds_signals(self) -> bool:
        """Whether SIGINT and SIGTERM no longer end it the way that the system does by default."""
        status = Path(f'/proc/{self.process.pid}/status').read_text()
        fields = dict(line.split(':', 1) for line in status.splitlines() if ':' in line)
        held = int(fields['SigBlk'], 16) | int(fields['SigCgt'], 16)
        return all(held >> (number - 1) & 1 for number in (signal.SIGINT, signal.SIGTERM))

    def end(self, numbers: tuple[int, ...]) -> Ended:
        """Signal the whole group, a second time after 0.15 s."""
        moment, begin = self.age, time.monotonic()
        os.killpg(self.process.pid, numbers[0])
        for number in numbers[1:]:
            time.sleep(0.15)
            if self.process.poll() is None:
                os.killpg(self.process.pid, number)
        try:
            status = self.process.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            status = self.process.wait()
        names = ' '.join(signal.Signals(number).name for number in numbers)
        return Ended(moment, names, status, time.monotonic() - begin, self.output)


@pytest.fixture(autouse=True)
def _hang_up(ros: None) -> Iterator[None]:
    """SIGHUP as a terminal has it: where nohup started the tests, nodes would ignore it, too."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize('name', NODES)
def test_a_node_ends_at_any_moment(name: str, tmp_path: Path):
    _, ready, few = NODES[name]
    count = MOMENTS or few
    whole = Trial(name, tmp_path / 'whole')
    whole.wait_for(whole.holds_signals)
    whole.wait_for(lambda: ready in whole.output)
    start = whole.age
    ended = [whole.end((signal.SIGINT,))]

    def end_at(number: int) -> Ended:
        trial = Trial(name, tmp_path / str(number))
        # No program can help what comes before its first instruction.
        trial.wait_for(trial.holds_signals)
        time.sleep(max(0.0, start * number / (count - 1) - trial.age))
        first, second = NUMBERS[number % 3], NUMBERS[number // 2 % 2]
        return trial.end((first, second) if number % 2 else (first,))

    with ThreadPoolExecutor(AT_A_TIME) as pool:
        ended += pool.map(end_at, range(count))
    print(f'\n{name}, start {start:.2f} s: moment, signals, status, time', *ended, sep='\n')
    for each in ended:
        assert each.status == 0, f'{each}\n{each.output}'
        assert each.seconds < BOUND, f'{each}\n{each.output}'
        for words in ('Traceback', 'terminate called', 'Error'):
            assert words not in each.output, f'{each}\n{each.output}'


def test_a_node_that_was_shut_down_ends(start_process: Callable, operator: Any):
    """By the transition of its lifecycle, which leaves the process to be ended by a signal."""
    node = start_process('tracker_node', device='cpu', weights='random')
    operator.wait_until(lambda: node.logged('is ready'), 'the tracker')
    transition = Transition(id=Transition.TRANSITION_ACTIVE_SHUTDOWN)
    answer = operator.call(ChangeState, 'tracker_node/change_state', transition=transition)
    assert answer.success
    node.end(signal.SIGTERM)
    assert node.process.returncode == 0
    assert not node.logged('Traceback')


def run(code: str, *numbers: int) -> tuple[int, str]:
    """Run Python with `stopping` imported, and signal it once it says that it is 'ready'."""
    process = subprocess.Popen(
        [sys.executable, '-c', f'from tracker_nodes.stopping import *\nimport time\n{code}'],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    if numbers:
        assert process.stdout.readline() == 'ready\n'
    for number in numbers:
        process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    return process.returncode, errors


@pytest.mark.parametrize(
    ('program', 'status', 'words'),
    [
        ('lambda: 0', 0, ''),
        ('lambda: 3', 3, ''),
        ('lambda: sys.exit(2)', 2, ''),
        ('lambda: sys.exit()', 0, ''),
        ('lambda: 1 / 0', 1, 'ZeroDivisionError'),
    ],
)
def test_without_a_signal_the_program_has_its_own_status(program: str, status: int, words: str):
    code, errors = run(f'execute({program})')
    assert code == status
    assert words in errors
    assert bool(errors) == bool(words)


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize(
    'program',
    [
        'print("ready", flush=True); time.sleep(600)',  # nothing to close
        'end_orderly(); print("ready", flush=True); time.sleep(600)',  # hangs in a library
        'end_orderly(); print("ready", flush=True)\nwhile True: check()',
    ],
    ids=['at once', 'after the grace', 'orderly'],
)
def test_a_signal_ends_any_program(program: str, number: int):
    lines = program.replace('; ', '\n').replace('\n', '\n    ')
    code, errors = run(f'def main():\n    {lines}\nexecute(main)', number, number)
    assert (code, errors) == (0, '')


def test_a_signal_that_was_held_back_is_not_lost():
    code = 'signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)\nos.kill(os.getpid(), 15)\n'
    assert run(code + 'watch()\ntime.sleep(600)') == (0, '')


def test_what_nohup_ignores_stays_ignored():
    code = 'signal.signal(signal.SIGHUP, signal.SIG_IGN)\nwatch()\nos.kill(os.getpid(), 1)\n'
    assert run(code + 'execute(lambda: time.sleep(0.5) or 7)') == (7, '')

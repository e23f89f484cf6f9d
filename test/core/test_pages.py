# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The code in the documents runs, and the commands in them are those that there are."""

from __future__ import annotations

from configparser import ConfigParser
import dataclasses
import json
from pathlib import Path
import re
import shlex
import subprocess
import sys

import miniatures
import numpy as np
import pytest

from tracker_core import (
    Box,
    create_tracker,
    list_trackers,
    tracker_declaration,
    TrackStatus,
)
from tracker_core.commands import build_parser, COMMANDS
from tracker_core.media.scene import render_scene

ROOT = Path(__file__).parents[2]
PAGES = [
    path
    for folder in ('.', 'docs', 'docs/trackers', 'benchmarks', '.github')
    for path in sorted((ROOT / folder).glob('*.md'))
]
# Where the Python of a page is run, each block of it
RUN = {
    'README.md': 'test/core/test_pages.py',
    'docs/datasets.md': 'test/core/test_pages.py',
    'docs/first_hour.md': 'test/nodes/test_docs.py',
    'docs/follow_me.md': 'test/nodes/test_docs.py',
    'docs/speed.md': 'test/core/test_runtime.py',
    'docs/toolkits.md': 'test/core/test_toolkits.py',
}
INDENTED = re.compile(r'^ {4,}(tracker [^\n]*)', re.MULTILINE)


def blocks(page: str, language: str = 'python') -> list[str]:
    """What stands between the fences of a language."""
    text = (ROOT / page).read_text()
    return re.findall(rf'```{language}\n(.*?)```', text, re.DOTALL)


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def test_every_block_of_code_has_its_test() -> None:
    with_code = {name_of(page) for page in PAGES if blocks(name_of(page))}
    assert with_code == RUN.keys()
    for page, test in RUN.items():
        assert Path(page).name in (ROOT / test).read_text(), f'{test} does not read {page}'


def test_every_example_has_its_test() -> None:
    texts = [
        path.read_text()
        for suite in ('core', 'nodes')
        for path in (ROOT / 'test' / suite).glob('test_*.py')
    ]
    for example in (ROOT / 'examples').glob('*.py'):
        quoted = re.compile(rf"'{example.stem}(\.py)?'")
        assert any(quoted.search(text) for text in texts), example.name


def test_the_lines_of_the_readme_track() -> None:
    """Given the images that they take for granted, and another box."""
    (code,) = (code for code in blocks('README.md') if 'create_tracker' in code)
    scene = render_scene('calm', frames=4)
    first_image, *images = scene
    code, count = re.subn(r'\bBox\(x=.*?\)', 'box', code)
    assert count == 1
    names = {'first_image': first_image, 'images': images, 'box': scene.boxes[0]}
    exec(code, names)
    assert names['track'].status is TrackStatus.TRACKING
    assert names['track'].box.iou(scene.boxes[-1]) > 0.5


def test_the_lines_on_data_sets_read_them(tmp_path: Path) -> None:
    miniatures.lasot(tmp_path / 'data' / 'LaSOT')
    miniatures.got10k(tmp_path / 'data' / 'GOT-10k')
    (code,) = blocks('docs/datasets.md')
    # of the official test split of LaSOT there is airplane-1
    names = {}
    exec(code.replace('/data/', f'{tmp_path}/data/'), names)
    assert [each.name for each in names['sequences']] == ['airplane-1']
    assert names['sequence'].name == 'GOT-10k_Train_000001'
    assert not names['sequence'].absent[0]
    np.testing.assert_allclose(names['sequence'].boxes[:2], miniatures.boxes()[:2])


def commands(text: str) -> list[str]:
    """The command lines of a page, without remarks and with all that is optional in them."""
    lines = INDENTED.findall(text.replace('\\\n', ' '))
    lines = [re.split(r'\s{2,}#|\s#\s', line)[0] for line in lines]
    return [
        re.sub(r'\s(\.\.\.|>.*)$', '', line.replace('[', '').replace(']', '')) for line in lines
    ]


@pytest.mark.parametrize(
    ('page', 'line'),
    [
        pytest.param(name_of(page), line, id=f'{page.stem}:{line[8:40]}')
        for page in PAGES
        for line in commands(page.read_text())
    ],
)
def test_a_command_is_one_that_there_is(page: str, line: str) -> None:
    """Its options are parsed, not more. Words in capitals stand for what the reader has."""
    for word, instead in (('TRACKER', 'tadt'), (' P', ' float32'), (' R', ' eager')):
        line = re.sub(rf'{word}(?=\s|$)', instead, line)
    arguments = shlex.split(line)[1:]
    build_parser(arguments[0]).parse_args(arguments)


@pytest.mark.parametrize('page', PAGES, ids=name_of)
def test_subcommands_within_a_sentence_are_there(page: Path) -> None:
    names = {command.NAME for command in COMMANDS}
    found = set(re.findall(r'`tracker ([a-z]+)', page.read_text()))
    assert found <= names


def test_the_command_for_the_toolkit_vot_is_one() -> None:
    (block,) = blocks('docs/toolkits.md', 'ini')
    settings = ConfigParser()
    settings.read_string(block)
    program, *arguments = shlex.split(settings['Ocean']['command'])
    assert program == 'tracker'
    build_parser(arguments[0]).parse_args(arguments)


def test_the_line_on_trained_weights() -> None:
    """Of docs/training.md: its arguments are those that create_tracker has."""
    text = (ROOT / 'docs' / 'training.md').read_text()
    (line,) = re.findall(r'^ {4}(create_tracker\(.*\))$', text, re.MULTILINE)
    line = re.sub(r"weights='[^']*'", "weights='random', device='cpu'", line)
    tracker = eval(line, {'create_tracker': create_tracker})
    target = tracker.start(np.zeros((120, 160, 3), np.uint8), Box(50, 40, 30, 30))
    assert target.box == Box(50, 40, 30, 30)


def test_coverage_is_shown_as_it_was_measured() -> None:
    script = ROOT / 'scripts' / 'coverage_table.py'
    done = subprocess.run([sys.executable, script, '--check'], check=False)
    assert done.returncode == 0


@pytest.mark.parametrize('name', list_trackers())
def test_the_page_of_a_tracker_names_its_presets(name: str) -> None:
    text = (ROOT / 'docs' / 'trackers' / f'{name}.md').read_text()
    table = text.partition('## Presets')[2].partition('## ')[0]
    named = set(re.findall(r'`(compact\w*|paper\w*)`', table))
    assert named == {*tracker_declaration(name).presets}


@pytest.mark.parametrize('name', list_trackers())
def test_the_page_of_a_tracker_names_files_and_what_is_in_them(name: str) -> None:
    text = (ROOT / 'docs' / 'trackers' / f'{name}.md').read_text()
    table = text.partition('## Paper and code')[2].partition('## ')[0]
    rows = re.findall(r'^\| [^|]+ \| (`[^|]+) \| ([^|]*) ?\|$', table, re.MULTILINE)
    assert len(rows) > 4
    for files, words in rows:
        code = ''
        for file in re.findall(r'`([^`]+)`', files):
            path = ROOT / 'tracker_core' / file
            paths = path.glob('*.py') if path.is_dir() else [path]
            code += ''.join(each.read_text() for each in paths)
        for word in re.findall(r'`([A-Za-z_.]+)`', words):
            if word not in tracker_declaration(name).presets:
                assert re.search(rf'\b(def|class) {word.split(".")[-1]}\b', code), word


def test_the_tables_are_those_of_the_results():
    script = ROOT / 'benchmarks' / 'results.py'
    done = subprocess.run([sys.executable, script, '--check'], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize('file', ['accuracy', 'longterm'])
def test_the_results_are_of_what_is_bundled(file: str):
    """Weights and parameters as they are; with others measure again, see benchmarks/README.md."""
    report = json.loads((ROOT / 'benchmarks' / 'results' / f'{file}.json').read_text())
    measured = {each['name']: each for each in report['trackers']}
    for name in list_trackers():
        tracker = create_tracker(name, device='cpu')
        assert measured[name]['weights_checksum'] == tracker.weights.checksum, name
        kept = measured[name]['parameters']
        for key, value in dataclasses.asdict(tracker.config).items():
            if key != 'search_windows':  # 0, which stands for another number on each machine
                is_same = kept[key] == (float(f'{value:.6g}') if type(value) is float else value)
                assert is_same, f'{name}: {key} was {kept[key]} and is {value}'

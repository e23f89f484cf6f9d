# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""What the documents say against the code."""

from __future__ import annotations

import os
from pathlib import Path
import re
import signal
import subprocess
import sys
import threading
from typing import Any
import xml.etree.ElementTree as ElementTree

import pytest

from tracker_core import Box, list_trackers, tracker_declaration
from tracker_core.parameters import describe
from tracker_nodes.follow_config import FollowConfig
from tracker_nodes.operator_config import OperatorConfig
from tracker_nodes.parameters import NodeConfig
from tracker_nodes.video_source import SourceConfig

ROOT = Path(__file__).parents[2]
CONFIGS = (FollowConfig, NodeConfig, OperatorConfig, SourceConfig)
PAGES = [
    path
    for folder in ('.', 'docs', 'docs/trackers', 'benchmarks', '.github')
    for path in sorted((ROOT / folder).glob('*.md'))
]


def test_the_interface_reference_is_up_to_date():
    script = ROOT / 'scripts' / 'interface_reference.py'
    done = subprocess.run([sys.executable, script, '--check'], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def slug(heading: str) -> str:
    """The anchor that a heading gets on a code host."""
    return re.sub(r'[^\w\- ]', '', heading.strip().lower()).replace(' ', '-')


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path):
    for target, anchor in re.findall(r'\]\((?!https?:)([^)#\s]*)#?([^)\s]*)\)', page.read_text()):
        path = (page.parent / target) if target else page
        assert path.exists(), f'{page.name} links to {target}'
        if anchor:
            headings = re.findall(r'^#+ (.*)$', path.read_text(), re.MULTILINE)
            assert anchor in {slug(heading) for heading in headings}, f'{page.name}: #{anchor}'


def test_every_page_is_in_the_contents():
    """Of what `make docs` builds."""
    docs = ROOT / 'docs'
    contents = (docs / 'index.md').read_text().splitlines()
    pages = {page.relative_to(docs).with_suffix('') for page in PAGES if docs in page.parents}
    assert {page.as_posix() for page in pages} - {*contents} == {'index'}


def parameters() -> set[str]:
    names = {info.name for config in CONFIGS for info in describe(config)}
    for tracker in list_trackers():
        infos = describe(tracker_declaration(tracker).preset('compact').config)
        names |= {f'{tracker}.{info.name}' for info in infos}
    return names | {'use_sim_time'}


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_commands_name_what_there_is(page: Path):
    text = page.read_text().replace('\\\n', ' ')
    launching = (ROOT / 'tracker_nodes' / 'launch_common.py').read_text()
    for name, rest in re.findall(r'ros2 launch tracker_nodes (\S+)\.launch\.py([^`\n]*)', text):
        if name != 'FILE':
            assert (ROOT / 'launch' / f'{name}.launch.py').exists(), name
        for argument in re.findall(r'(\w+):=', rest):
            assert f"'{argument}'" in launching, f'{page.name}: {argument}:='
    commands = re.findall(r'-p ([\w.]+):=|ros2 param \w+ /\w+ ([\w.]+)', text)
    assert {first or second for first, second in commands} <= parameters()
    for name in re.findall(r'\bconfig/([\w/]+\.(?:xml|yaml))', text):
        if name != 'NAME.yaml':
            assert (ROOT / 'config' / name).exists(), f'{page.name}: config/{name}'


@pytest.mark.parametrize('name', ['fastdds_shm.xml', 'cyclonedds.xml'])
def test_profiles_are_well_formed(name: str):
    assert len(ElementTree.parse(ROOT / 'config' / 'dds' / name).getroot()) > 0


def test_the_example_follows_a_target(start_process: Any, operator: Any, still: tuple[Path, Box]):
    """The Python of docs/first_hour.md, as a user would run it."""
    page = (ROOT / 'docs' / 'first_hour.md').read_text()
    (code,) = re.findall(r'```python\n(.*?)```', page, re.DOTALL)
    folder, box = still
    environment = {**os.environ, 'PYTHONUNBUFFERED': '1'}
    example = subprocess.Popen(
        [sys.executable, '-c', code], stdout=subprocess.PIPE, text=True, env=environment
    )
    lines: list[str] = []
    reader = threading.Thread(target=lambda: lines.extend(example.stdout), daemon=True)
    reader.start()
    try:
        start_process('video_source', video=folder, rate=10.0, loop=True)
        start_process('tracker_node', tracker='tadt', device='cpu')
        operator.wait_until(lambda: operator.statuses, 'the first frame')
        operator.wait_until(lambda: 'nothing in sight\n' in lines, 'a word of the example')
        assert operator.init(box, id='mug').success
        operator.wait_until(lambda: lines[-1].startswith('mug'), 'a word on the target')
    finally:
        example.kill()
        example.communicate()
    (last,) = re.findall(r'mug at (\d+), (\d+): ([\d.]+)\n', lines[-1])
    x, y, score = map(float, last)
    assert abs(x - box.cx) < box.w / 4
    assert abs(y - box.cy) < box.h / 4
    assert 0 <= score <= 1


def test_both_nodes_share_a_process(ros: None, make_operator: Any):
    """The Python of docs/follow_me.md, as a user would run it."""
    (code,) = re.findall(
        r'```python\n(.*?)```', (ROOT / 'docs' / 'follow_me.md').read_text(), re.DOTALL
    )
    operator = make_operator('together')
    options = ['--ros-args', '-r', '__ns:=/together', '-p', 'device:=cpu', '-p', 'weights:=random']
    both = subprocess.Popen([sys.executable, '-c', code, *options])
    try:

        def names() -> set[str]:
            found = operator.node.get_node_names_and_namespaces()
            return {name for name, space in found if space == '/together'}

        operator.wait_until(lambda: names() >= {'tracker_node', 'target_pose'}, 'both nodes')
    finally:
        both.send_signal(signal.SIGINT)
        both.wait(60)

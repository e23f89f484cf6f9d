# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""package.xml is the one place of version, licence and maintainer; everything else agrees."""

from __future__ import annotations

import ast
from importlib.util import find_spec
import os
from pathlib import Path
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import pytest

from tracker_core import __version__, list_trackers

ROOT = Path(__file__).parents[2]
CORE = ROOT / 'tracker_core'
PACKAGE = ElementTree.parse(ROOT / 'package.xml').getroot()
# Modules whose name differs from that of the package that pip installs
MODULES = {'opencv-python-headless': 'cv2', 'PyYAML': 'yaml'}
OPTIONAL = {'aiohttp', 'onnx', 'rosbags', 'tensorrt'}  # imported where used; extras of setup.py
OPTIONAL |= {'cv_bridge'}  # of a ROS that may be there


def requirements() -> set[str]:
    lines = (ROOT / 'requirements.txt').read_text().splitlines()
    return {re.match(r'[\w-]+', line)[0] for line in lines if line and line[0] != '#'}


@pytest.mark.skipif(find_spec('setuptools') is None, reason='needs setuptools')
def test_pip_sees_what_package_xml_says() -> None:
    options = ['--name', '--version', '--license', '--maintainer', '--maintainer-email']
    command = [sys.executable, 'setup.py', '-q', *options]
    out = subprocess.check_output(command, cwd=ROOT, text=True)
    assert out.split('\n')[:5] == [
        PACKAGE.findtext('name'),
        PACKAGE.findtext('version'),
        PACKAGE.findtext('license'),
        PACKAGE.findtext('maintainer'),
        PACKAGE.find('maintainer').get('email'),
    ]


def test_the_library_says_the_version_of_package_xml() -> None:
    assert __version__ == PACKAGE.findtext('version')


def test_a_type_checker_knows_the_library(tmp_path: Path) -> None:
    pytest.importorskip('mypy')
    (tmp_path / 'mypy.ini').write_text(
        '[mypy]\nignore_missing_imports = true\n'
        '[mypy-cv2.*,numpy.*,torch.*]\nfollow_imports = skip\n'
    )
    (tmp_path / 'program.py').write_text(
        'from tracker_core import Box, create_tracker\n'
        'from tracker_core.images import as_frame\n'
        "tracker = create_tracker('tadt')\n"
        'image = as_frame([])\n'
        'target = tracker.start(image, Box(1, 2, 30, 40))\n'
        'print(tracker.track(image, target).status.name)\n'
        'tracker.start(image, (1, 2, 30, 40))\n'
        'print(tracker.track(image, target).confidence)\n'
    )
    command = [sys.executable, '-m', 'mypy', '--config-file', 'mypy.ini', 'program.py']
    environment = {**os.environ, 'MYPYPATH': str(ROOT)}
    found = subprocess.run(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True, check=False
    ).stdout
    lines = [int(line.split(':')[1]) for line in found.splitlines() if ': error:' in line]
    assert lines == [7, 8], found


def test_changelog_begins_with_this_version() -> None:
    newest = re.search(
        r'^(\d+\.\d+\.\d+) \((unreleased|\d{4}-\d\d-\d\d)\)$',
        (ROOT / 'CHANGELOG.rst').read_text(),
        re.MULTILINE,
    )
    assert newest[1] == PACKAGE.findtext('version')


def test_licence() -> None:
    assert PACKAGE.findtext('license') == 'Apache-2.0'
    text = (ROOT / PACKAGE.find('license').get('file')).read_text()
    assert 'Apache License' in text
    assert 'Version 2.0, January 2004' in text
    folders = ['benchmarks', 'examples', 'launch', 'scripts', 'test']
    folders += ['tracker_core', 'tracker_nodes']
    files = [
        path
        for folder in folders
        for path in (ROOT / folder).rglob('*.py')
        if 'golden' not in path.parts
    ]
    unmarked = [
        str(path.relative_to(ROOT))
        for path in files
        if path.read_text().strip()
        and '# SPDX-License-Identifier: Apache-2.0\n' not in path.read_text()[:200]
    ]
    assert files
    assert not unmarked


def test_vision_msgs_is_ours_to_maintain() -> None:
    ours = ElementTree.parse(ROOT / 'third_party/vision_msgs/package.xml').getroot()
    assert ours.findtext('license') == PACKAGE.findtext('license')
    assert ours.find('maintainer').get('email') == PACKAGE.find('maintainer').get('email')
    assert ours.findtext('version').startswith('4.')


def imported(path: Path) -> set[str]:
    """The packages that a file imports, without the standard library's."""
    names: list[str] = []
    for statement in ast.walk(ast.parse(path.read_text())):
        if isinstance(statement, ast.Import):
            names += [alias.name for alias in statement.names]
        elif isinstance(statement, ast.ImportFrom) and statement.level == 0:
            names.append(statement.module)
    return {name.split('.')[0] for name in names} - sys.stdlib_module_names


def test_the_library_imports_only_what_it_requires() -> None:
    allowed = {MODULES.get(name, name) for name in requirements()} | {'tracker_core'} | OPTIONAL
    foreign = {
        f'{path.relative_to(ROOT)}: {root}'
        for path in CORE.rglob('*.py')
        for root in imported(path) - allowed
    }
    assert not foreign


def test_package_xml_names_what_the_nodes_and_launch_files_need() -> None:
    needed = {'rosidl_default_runtime'}
    for folder in ('launch', 'tracker_nodes'):
        for path in (ROOT / folder).glob('*.py'):
            needed |= imported(path)
    needed -= {MODULES.get(name, name) for name in requirements()}
    needed -= {'tracker_core', 'tracker_nodes'}
    started = (ROOT / 'tracker_nodes/launch_common.py').read_text()
    needed |= set(re.findall(r"package='(\w+)'", started)) - {'tracker_nodes'}
    needed |= set(
        re.findall(r'Class: (rviz_default_plugins)/', (ROOT / 'rviz/tracker.rviz').read_text())
    )
    named = {tag.text for kind in ('depend', 'exec_depend') for tag in PACKAGE.iter(kind)}
    assert {'rviz2', 'launch_ros', 'rclpy'} <= needed
    assert not needed - named


@pytest.mark.skipif(find_spec('setuptools') is None, reason='needs setuptools')
def test_pip_installs_every_file(tmp_path: Path) -> None:
    command = [sys.executable, 'setup.py', '-q', 'build', '--build-base', str(tmp_path)]
    command += ['build_py', '--build-lib', str(tmp_path / 'lib')]
    command = [*command[:3], 'egg_info', '--egg-base', str(tmp_path), *command[3:]]
    subprocess.run(command, cwd=ROOT, check=True, stderr=subprocess.DEVNULL)
    wanted = {
        path.relative_to(ROOT)
        for path in CORE.rglob('*')
        if path.is_file() and path.suffix != '.pyc'
    }
    installed = {path.relative_to(tmp_path / 'lib') for path in (tmp_path / 'lib').rglob('*.*')}
    assert installed == wanted
    assert Path('tracker_core/training/configs/train_ocean.yaml') in installed


def test_every_tracker_has_its_launch_file() -> None:
    for name in list_trackers():
        assert f"tracker_launch('{name}')" in (ROOT / f'launch/{name}.launch.py').read_text()


def test_the_debian_package_is_of_this_version_and_needs_the_same() -> None:
    folder = ROOT / 'packaging' / 'debian'
    version = PACKAGE.findtext('version')
    assert (folder / 'changelog').read_text().startswith(f'ros-jazzy-tracker-nodes ({version}-0')
    build, package = (folder / 'control').read_text().split('\n\n')
    for text, kinds in (
        (build, ('buildtool_depend', 'depend')),
        (package, ('depend', 'exec_depend')),
    ):
        names = {tag.text for kind in kinds for tag in PACKAGE.iter(kind)}
        for name in names:
            debian = name if name.startswith('python3-') else f'ros-jazzy-{name}'
            assert f' {debian.replace("_", "-")},\n' in text, name


def test_the_service_is_one(tmp_path: Path) -> None:
    """As systemd reads it, where there is one; and its settings are those that are documented."""
    folder = ROOT / 'packaging' / 'systemd'
    settings = re.findall(r'^(\w+)=', (folder / 'tracker_nodes.default').read_text(), re.MULTILINE)
    page = (ROOT / 'docs' / 'autostart.md').read_text()
    assert all(f'`{name}`' in page for name in settings)
    used = re.findall(r'\$\$(\w+)', (folder / 'tracker_nodes.service').read_text())
    assert {*used} <= {*settings}
    program = shutil.which('systemd-analyze')
    if program is None:
        pytest.skip('there is no systemd-analyze')
    command = [program, 'verify', '--man=no', str(folder / 'tracker_nodes.service')]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, '')


def test_what_was_not_tried_says_so() -> None:
    for name in ('Dockerfile', 'Dockerfile.jetpack'):
        assert '# Not tried' in (ROOT / name).read_text()[:80], name

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""What pip makes of the sources, installed where the sources are not, tracks."""

from __future__ import annotations

from importlib.util import find_spec
import os
from pathlib import Path
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile

import pytest

from tracker_core.media.sources import open_frames

ROOT = Path(__file__).parents[2]
FOLDERS = ('requirements', 'tracker_core')

pytestmark = pytest.mark.skipif(
    find_spec('setuptools') is None or find_spec('pip') is None, reason='needs setuptools and pip'
)


def run(*command: str | Path, cwd: Path) -> str:
    """What it prints; it sees neither these sources nor the package that is installed here."""
    hidden = ('PYTHONPATH', 'COVERAGE_PROCESS_START', 'COVERAGE_PROCESS_CONFIG')
    environment = {key: value for key, value in os.environ.items() if key not in hidden}
    done = subprocess.run(
        [*map(str, command)], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope='module')
def archives(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The sources' archive, and the wheel that is built from what is in it."""
    folder = tmp_path_factory.mktemp('archives')
    sources = folder / 'sources'
    sources.mkdir()
    for path in ROOT.iterdir():  # not what builds and tests leave there
        if path.is_file() and path.name != '.git':
            shutil.copy(path, sources)
    for name in FOLDERS:
        shutil.copytree(ROOT / name, sources / name, ignore=shutil.ignore_patterns('__pycache__'))
    run(sys.executable, 'setup.py', '-q', 'sdist', '-d', folder, cwd=sources)
    (archive,) = folder.glob('*.tar.gz')
    pip = (sys.executable, '-m', 'pip', 'wheel', '-q', '--no-index', '--no-build-isolation')
    run(*pip, '--no-deps', '-w', folder, archive, cwd=folder)
    (wheel,) = folder.glob('*.whl')
    return archive, wheel


def test_both_hold_every_file(archives: tuple[Path, Path]) -> None:
    wanted = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / 'tracker_core').rglob('*')
        if path.is_file() and path.suffix != '.pyc'
    }
    archive, wheel = archives
    with zipfile.ZipFile(wheel) as packed:
        names = {name for name in packed.namelist() if '.dist-info/' not in name}
    assert names == wanted
    with tarfile.open(archive) as packed:
        names = {each.name.partition('/')[2] for each in packed.getmembers() if each.isfile()}
    assert wanted <= names
    assert {'LICENSE', 'CHANGELOG.rst', 'package.xml', 'requirements.txt'} <= names


def test_it_tracks_in_an_empty_environment(archives: tuple[Path, Path], tmp_path: Path) -> None:
    """With the requirements that are here, and none of the sources."""
    environment = tmp_path / 'venv'
    venv.create(environment, symlinks=True)
    python = environment / 'bin' / 'python'
    where = 'import sysconfig; print(sysconfig.get_path("purelib"))'
    packages = Path(run(python, '-c', where, cwd=tmp_path).strip())
    requirements = [
        path
        for path in sys.path
        if Path(path).name in ('site-packages', 'dist-packages')
        and not (Path(path) / 'tracker_core').exists()
    ]
    (packages / 'requirements.pth').write_text('\n'.join(requirements))
    pip = (sys.executable, '-m', 'pip', '--python', python, 'install', '-q', '--no-index')
    run(*pip, '--no-deps', archives[1], cwd=tmp_path)

    place = 'import tracker_core; print(tracker_core.__file__)'
    assert Path(run(python, '-c', place, cwd=tmp_path).strip()).is_relative_to(packages)
    tracker = environment / 'bin' / 'tracker'
    options = ('--tracker', 'tadt', '--device', 'cpu', '--frames', '5', '--out', 'out.mp4')
    run(tracker, 'track', 'scene', *options, cwd=tmp_path)
    assert len(list(open_frames(tmp_path / 'out.mp4'))) == 5

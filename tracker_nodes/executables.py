# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""What a launch file is going to start, and what is missing for it; nothing here needs launch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
import os
from pathlib import Path

from ament_index_python.packages import get_package_prefix, PackageNotFoundError

DISPLAYS = ('DISPLAY', 'WAYLAND_DISPLAY')


class MissingError(Exception):
    """Something that is to be started is not there; the message says what to do."""


def executable(package: str, name: str) -> Path:
    """Where a package has an executable.

    Raises:
        MissingError: It has none of that name, or the package is not installed.
    """
    try:
        prefix = get_package_prefix(package)
    except PackageNotFoundError:
        distro = os.environ.get('ROS_DISTRO') or '$ROS_DISTRO'
        debian = f'ros-{distro}-{package.replace("_", "-")}'
        raise MissingError(
            f'the package {package} is not installed: sudo apt install {debian}, or build it in '
            'this workspace'
        ) from None
    path = Path(prefix, 'lib', package, name)
    if not (path.is_file() and os.access(path, os.X_OK)):
        raise MissingError(
            f'{path} is not there or cannot be executed: build {package} again, and source the '
            'workspace'
        )
    return path


def what_is_missing(
    wanted: Iterable[tuple[str, str, str]],
    windows: Iterable[str] = (),
    environment: Mapping[str, str] = os.environ,
) -> str:
    """Look for everything that is to be started before any of it is.

    Args:
        wanted: Package and executable, with the launch argument that asks for it, such as
            'rviz:=true'; empty if it is always started.
        windows: Launch arguments that open a window.
        environment: Of the processes.

    Returns:
        What is missing and what to do, in a sentence each; empty if nothing is.
    """
    problems = []
    for package, name, argument in wanted:
        try:
            executable(package, name)
        except MissingError as error:
            hint = f'; or leave {argument} away' if argument else ''
            problems.append(f'{argument or name}: {error}{hint}')
    windows = list(windows)
    # With QT_QPA_PLATFORM somebody has said where the windows are to go.
    if windows and not any(environment.get(name) for name in (*DISPLAYS, 'QT_QPA_PLATFORM')):
        problems.append(
            f'{" and ".join(windows)}: there is no display ({" and ".join(DISPLAYS)} are not '
            'set): launch it on a machine with a screen, in the same ROS domain'
        )
    return '. '.join(problems)

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""A corner of DDS that nobody else on this machine uses, for demos and tests."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path
import random
import tempfile
from typing import TextIO

from ament_index_python.packages import get_package_share_directory, PackageNotFoundError

from tracker_nodes.compat import stay_on_this_machine
from tracker_nodes.fast_dds import profile_path, profile_variables

_held: list[TextIO] = []  # locks, until the process ends


def isolate(domain: bool = True) -> None:
    """Set the environment of this process and its children; call it before rclpy is initialised.

    This machine only, and the transport that holds whole images; what is set already stays.

    Args:
        domain: Take a domain id that no other process has taken by this function, even if one is
            set already.
    """
    if domain or 'ROS_DOMAIN_ID' not in os.environ:
        os.environ['ROS_DOMAIN_ID'] = str(_free_domain())
    stay_on_this_machine(os.environ)
    with contextlib.suppress(PackageNotFoundError):
        profile = profile_path(get_package_share_directory('tracker_nodes'))
        for name in profile_variables():
            os.environ.setdefault(name, str(profile))


def _free_domain() -> int:
    for number in random.SystemRandom().sample(range(1, 101), 100):
        path = Path(tempfile.gettempdir(), f'tracker_nodes_domain_{number}.lock')
        try:
            lock = path.open('w')
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # taken, or another user's
            continue
        _held.append(lock)
        return number
    return 0

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The profile of Fast DDS that has shared memory for whole images, and which environment variable
names it: it was renamed with version 3."""

from __future__ import annotations

import os
from pathlib import Path

OLD, NEW = 'FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE'
WITH_OLD = ('humble', 'iron', 'jazzy')


def profile_path(share: str | Path) -> Path:
    """The profile's file in the share folder of this package."""
    return Path(share, 'config', 'dds', 'fastdds_shm.xml')


def profile_variables(distro: str | None = None) -> tuple[str, ...]:
    """The variable that Fast DDS reads in a distribution of ROS 2; both if it is not known.

    Args:
        distro: Its name; None for the one that is sourced (ROS_DISTRO).
    """
    distro = distro or os.environ.get('ROS_DISTRO')
    if not distro:
        return OLD, NEW
    return (OLD,) if distro in WITH_OLD else (NEW,)

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Which environment variable names the profile of Fast DDS: it was renamed with its version 3."""

from __future__ import annotations

import os

OLD, NEW = 'FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE'
WITH_OLD = ('humble', 'iron', 'jazzy')


def profile_variables(distro: str | None = None) -> tuple[str, ...]:
    """The variable that Fast DDS reads in a distribution of ROS 2; both if it is not known.

    Args:
        distro: Its name; None for the one that is sourced (ROS_DISTRO).
    """
    distro = distro or os.environ.get('ROS_DISTRO')
    if not distro:
        return OLD, NEW
    return (OLD,) if distro in WITH_OLD else (NEW,)

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Deep single-object trackers as a Python library, without ROS."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from tracker_core.boxes import Box
from tracker_core.declaration import Declaration, Preset, WeightFile
from tracker_core.errors import (
    BoxError,
    ImageError,
    ParameterError,
    TrackerError,
    UnknownTrackerError,
    WeightsError,
)
from tracker_core.registry import list_trackers, register, tracker_declaration
from tracker_core.target import Target, Track, TrackStatus

if TYPE_CHECKING:
    from tracker_core.factory import create_tracker
    from tracker_core.tracker import Tracker

__all__ = [
    'Box',
    'BoxError',
    'Declaration',
    'ImageError',
    'ParameterError',
    'Preset',
    'Target',
    'Track',
    'TrackStatus',
    'Tracker',
    'TrackerError',
    'UnknownTrackerError',
    'WeightFile',
    'WeightsError',
    'create_tracker',
    'list_trackers',
    'register',
    'tracker_declaration',
]
__version__ = '0.1.0'  # that of package.xml
NEED_TORCH = {'Tracker': 'tracker_core.tracker', 'create_tracker': 'tracker_core.factory'}


def __getattr__(name: str) -> object:
    """Import what needs torch when it is first asked for; `--help` can do without."""
    if name in NEED_TORCH:
        return getattr(importlib.import_module(NEED_TORCH[name]), name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Deep single-object trackers as a Python library, without ROS."""

from __future__ import annotations

from typing import Any, TYPE_CHECKING

from tracker_core.boxes import Box
from tracker_core.errors import (
    BoxError,
    ImageError,
    ParameterError,
    TrackerError,
    UnknownTrackerError,
    WeightsError,
)

if TYPE_CHECKING:
    from tracker_core.tracker import (
        create_tracker,
        list_trackers,
        Target,
        Track,
        Tracker,
        tracker_class,
        TrackStatus,
    )

__all__ = [
    'Box',
    'BoxError',
    'ImageError',
    'ParameterError',
    'Target',
    'Track',
    'TrackStatus',
    'Tracker',
    'TrackerError',
    'UnknownTrackerError',
    'WeightsError',
    'create_tracker',
    'list_trackers',
    'tracker_class',
]


def __getattr__(name: str) -> Any:
    """Import what needs torch when it is first asked for; `--help` can do without."""
    if name in __all__:
        from tracker_core import tracker

        return getattr(tracker, name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')

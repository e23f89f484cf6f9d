# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Five deep single-object trackers as a Python library, without ROS."""

from tracker_core.boxes import Box
from tracker_core.errors import (
    BoxError,
    ImageError,
    ParameterError,
    TrackerError,
    UnknownTrackerError,
    WeightsError,
)
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

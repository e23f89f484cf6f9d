# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Everything that tracker_core refuses, it refuses with one of these, naming the input and the
cure."""

from __future__ import annotations

from collections.abc import Iterable
import difflib


class TrackerError(Exception):
    """Base of all errors raised on purpose by tracker_core."""


class BoxError(TrackerError, ValueError):
    """A box that is not finite, is empty, or lies wholly outside the image."""


class ImageError(TrackerError, ValueError):
    """An image of the wrong kind (shape, dtype, number of channels) or too small."""


class CameraError(TrackerError, ValueError):
    """A calibration of a camera that is missing or cannot be."""


class ParameterError(TrackerError, ValueError):
    """A parameter that does not exist, has the wrong type or is out of its range."""


class UnknownTrackerError(ParameterError):
    """A tracker or preset that is not in `list_trackers()`."""


class VideoError(TrackerError, ValueError):
    """A video that is missing, cannot be decoded, holds no frames, or cannot be written."""


class WeightsError(TrackerError, ValueError):
    """A weight file that is missing, damaged, or does not fit the network."""


def suggestion(name: str, known: Iterable[str]) -> str:
    """To be put behind the complaint that there is no such name: the nearest one that there is,
    or nothing."""
    nearest = difflib.get_close_matches(name, known, 1)
    return f'; did you mean {nearest[0]!r}?' if nearest else ''

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""What arriving images and their stamps tell: how many were lost on the way, and whether their
clock is the node's. Nothing here imports ROS."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np

WINDOW = 90  # gaps that an estimate looks at
FEWEST = 30  # gaps below which nothing is said
LONGEST_GAP = 2.0  # seconds; a longer one is a pause of the camera
OTHER_CLOCK = 3600.0  # seconds of difference that no transport explains


def lost_share(gaps: Sequence[float]) -> float:
    """Estimate the share of frames that are missing between those that arrived, by their stamps.

    Where frames of a steady camera are lost, the gaps are multiples of one interval, and single
    ones and multiples follow each other at random. So a slow or irregular camera, one that has
    changed its rate (long runs of one gap), and one that leaves out every n-th frame (a pattern
    that repeats) are not mistaken for losses. A loss that always takes the same number of frames
    cannot be told from a slower camera.

    Args:
        gaps: Seconds between successive stamps, oldest first.

    Returns:
        From 0 to below 1; 0 where nothing can be said.
    """
    values = np.asarray(gaps, float)
    if len(values) < FEWEST or values.min() <= 0:
        return 0.0
    shortest = np.percentile(values, 2)  # one stray gap is not the interval
    interval = float(np.median(values[values < 1.5 * shortest]))
    for _ in range(3):  # the long gaps tell the interval more exactly
        counts = np.maximum(np.rint(values / interval), 1)
        interval = float(values.sum() / counts.sum())
    counts = np.maximum(np.rint(values / interval), 1)
    misfit = np.sqrt(np.mean((values / interval - counts) ** 2))
    if misfit > 0.15:  # 0.29 for gaps of any length
        return 0.0
    for period in range(1, 9):  # 1: long runs of the same gap
        if np.mean(counts[period:] == counts[:-period]) > 0.95:
            return 0.0
    return float(1 - len(counts) / counts.sum())


class Arrivals:
    """The last images as they arrive, and those that the middleware says are lost."""

    def __init__(self) -> None:
        self.is_told = False  # whether the middleware tells of losses
        self._missing: deque[int] = deque(maxlen=WINDOW)  # told before each image
        self._told = 0  # since the last image
        self._gaps: deque[float] = deque(maxlen=WINDOW)
        self._ages: deque[float] = deque(maxlen=FEWEST)
        self._last = 0

    def lose(self, count: int) -> None:
        """Note that so many images are lost."""
        self._told += count

    def add(self, stamp: int, now: int) -> None:
        """Note an image.

        Args:
            stamp: Of the image, nanoseconds; 0 if it has none.
            now: By the node's clock, nanoseconds.
        """
        self._missing.append(self._told)
        self._told = 0
        gap = (stamp - self._last) / 1e9
        if not 0 < gap <= LONGEST_GAP:
            self._gaps.clear()
        elif self._last:
            self._gaps.append(gap)
        self._last = stamp
        self._ages.append((now - stamp) / 1e9 if stamp else float('nan'))

    def clear(self) -> None:
        """Forget all; what comes is of another camera."""
        self._missing.clear()
        self._told = 0
        self._gaps.clear()
        self._ages.clear()
        self._last = 0

    @property
    def lost_share(self) -> float:
        """Of the last images; from 0 to below 1, and 0 where nothing can be said.

        Exact where the middleware tells of losses, else see `lost_share`.
        """
        if not self.is_told:
            return lost_share(self._gaps)
        arrived, missing = len(self._missing), sum(self._missing)
        return missing / (arrived + missing) if arrived >= FEWEST else 0.0

    def clock_problem(self, max_age: float) -> str:
        """What is wrong with the clock of the last images, in a sentence; empty if nothing.

        Args:
            max_age: Seconds after which an image is dropped; 0 for never.
        """
        return clock_problem(self._ages, max_age)


def clock_problem(ages: Sequence[float], max_age: float) -> str:
    """See `Arrivals.clock_problem`.

    Args:
        ages: Seconds from stamp to arrival of the last images; not a number for a stamp of zero.
        max_age: Seconds after which an image is dropped; 0 for never.
    """
    values = np.asarray(ages, float)
    if not len(values):
        return ''
    if np.isnan(values).all():
        return 'the images have no stamps: their latency is not known' + (
            ', and max_age does not apply to them' if max_age else ''
        )
    values = values[~np.isnan(values)]
    oldest, newest = float(values.max()), float(values.min())
    drops = f', so every one is dropped by max_age ({max_age:g} s)' if 0 < max_age < newest else ''
    if newest > OTHER_CLOCK or oldest < -OTHER_CLOCK:
        where = 'behind' if newest > 0 else 'ahead of'
        return (
            f"the images' stamps are {abs(newest):.0f} s {where} this node's clock{drops}: is a "
            'bag or a simulation running, and use_sim_time (with a /clock) set on one side only?'
        )
    if drops:
        return (
            f"the images arrive {newest:.2f} s or more after their stamps{drops}: the camera's "
            "clock differs from this machine's (synchronise them), or max_age is too short"
        )
    if oldest < -0.1:
        return (
            f"the images' stamps are {-oldest:.2f} s or more ahead of this node's clock: the "
            "camera's clock differs from this machine's, and their latency means nothing"
        )
    return ''

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""How fast a box moves."""

from __future__ import annotations

from tracker_core.boxes import Box
from tracker_core.target import TrackStatus


class Motion:
    """Velocity of a box by the stamps of its frames, smoothed over two of them.

    Of a target that is lost it is not known, nor after a pause or a jump back of the time. Of
    several images of one stamp the first counts: how it moves between them cannot be told.
    """

    LONGEST_GAP = 1_000_000_000  # nanoseconds

    def __init__(self, box: Box, stamp: int) -> None:
        self.velocity: tuple[float, float] | None = None  # pixels per second; None: not known
        self._last = box.cx, box.cy, stamp

    def add(self, box: Box, status: TrackStatus, stamp: int) -> None:
        """Note where the box was in the next frame."""
        x, y, before = self._last
        is_lost = status is TrackStatus.LOST
        if stamp == before and not is_lost:
            return
        self._last = box.cx, box.cy, stamp
        if is_lost or not 0 < stamp - before <= self.LONGEST_GAP:
            self.velocity = None
            return
        seconds = (stamp - before) / 1e9
        new = (box.cx - x) / seconds, (box.cy - y) / seconds
        old = self.velocity or new
        self.velocity = (old[0] + new[0]) / 2, (old[1] + new[1]) / 2

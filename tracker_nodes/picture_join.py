# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Which image is shown with which boxes, by their stamps; nothing here imports ROS."""

from __future__ import annotations

from collections.abc import Sequence

from tracker_core.page.state import Picture, TargetView
from tracker_nodes.frames import Frame, FrameHistory

PATIENCE = 0.5  # seconds without a match after which images are shown as they come
MEMORY = 64.0  # megabytes of images that wait for their boxes
REMEMBERED = 32  # stamps whose boxes wait for their image


class PictureJoin:
    """Shows images once their boxes are known, and others where no boxes come: the tracker is
    paused, gone, or slower than the images that can be kept.

    Times are those of `time.monotonic()`.
    """

    def __init__(self) -> None:
        self._frames = FrameHistory(seconds=5.0, megabytes=MEMORY)
        self._targets: dict[int, Sequence[TargetView]] = {}
        self._told = self._matched = -PATIENCE  # times of the last boxes, and of the last match
        self._newest: Sequence[TargetView] = ()

    def put_frame(self, frame: Frame, now: float) -> Picture | None:
        """Note an image; returns what is to be shown, if that changes."""
        self._frames.append(frame)
        targets = self._targets.get(frame.stamp)
        if targets is not None:
            return self._match(frame, targets, now)
        if now - self._matched < PATIENCE:
            return None
        newest = self._newest if now - self._told < PATIENCE else ()
        return Picture(frame.stamp, frame.decode, newest)

    def put_targets(self, stamp: int, targets: Sequence[TargetView], now: float) -> Picture | None:
        """Note what is followed in the image of a stamp; returns what is to be shown, if that
        changes."""
        self._told, self._newest = now, targets
        self._targets[stamp] = targets
        while len(self._targets) > REMEMBERED:
            del self._targets[next(iter(self._targets))]
        found = self._frames.since(stamp)
        return self._match(found[0], targets, now) if found else None

    def clear(self) -> None:
        """Forget all images."""
        self._frames.clear()
        self._targets.clear()

    def _match(self, frame: Frame, targets: Sequence[TargetView], now: float) -> Picture:
        self._matched = now
        return Picture(frame.stamp, frame.decode, targets)

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""How much a viewer's link carries: when the next picture goes to it, and how large; and how much
it may ask for."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

AHEAD = 2  # pictures that may be on their way
# seconds on the way, without the link's own delay, above and below which pictures shrink and grow
SLOW, FAST = 0.3, 0.12
PATIENCE = 1.0  # seconds between two steps downwards
HOPE, LONGEST_HOPE = 4.0, 64.0  # seconds of a fast link before a step upwards; after vain ones
RISE = 0.02  # seconds a picture by which the link's own delay is thought to grow


@dataclass(frozen=True)
class Level:
    """Of detail.

    Attributes:
        share: Of the viewer's width.
        quality: Of the JPEG, 1 to 100.
    """

    share: float
    quality: int


LEVELS = (Level(1.0, 80), Level(0.75, 75), Level(0.5, 70), Level(0.35, 60), Level(0.25, 50))


class Link:
    """What has been sent to one viewer and what it has seen. Times are seconds of any clock.

    Args:
        max_rate: Pictures a second at most.
    """

    def __init__(self, max_rate: float) -> None:
        self.sent = 0  # number of the last picture
        self._interval = 1 / max_rate
        self._next = 0.0  # time of the next picture, by the rate
        self._unseen: deque[tuple[int, float]] = deque()  # numbers and times
        self._level = 0
        self._changed = 0.0  # time of the last step, or of the last slow picture
        self._delay = 0.0  # seconds that any picture takes, however small
        self._hope = HOPE
        self._has_grown = False  # by the last step

    @property
    def level(self) -> Level:
        """Of detail that the link carries now."""
        return LEVELS[self._level]

    def wait(self, now: float) -> float | None:
        """Seconds until the next picture may be sent; None: not before one has been seen."""
        if len(self._unseen) >= AHEAD:
            return None
        return max(self._next - now, 0.0)

    def send(self, number: int, now: float) -> None:
        """Note that a picture is on its way."""
        self.sent = number
        self._unseen.append((number, now))
        self._next = max(self._next + self._interval, now)

    def skip(self, number: int) -> None:
        """Note that a picture will not be sent."""
        self.sent = number

    def see(self, number: int, now: float) -> None:
        """Note that the viewer has drawn a picture, and take it that those before it are gone."""
        while self._unseen and self._unseen[0][0] <= number:
            _, time = self._unseen.popleft()
            self._judge(now - time, now)

    def _judge(self, seconds: float, now: float) -> None:
        smallest = len(LEVELS) - 1
        if self._level == smallest:  # what it takes now is hardly the picture's size
            self._delay += RISE
        self._delay = min(self._delay, seconds)
        seconds -= self._delay
        if seconds > SLOW:
            if self._level < smallest and now - self._changed > PATIENCE:
                self._level += 1
                self._changed = now
                if self._has_grown:
                    self._hope = min(2 * self._hope, LONGEST_HOPE)
                self._has_grown = False
        elif seconds > FAST:  # no reason to grow for a while, and none to wait before shrinking
            self._changed = max(self._changed, now - PATIENCE)
        elif self._level and now - self._changed > self._hope:
            self._level -= 1
            self._changed = now
            if self._has_grown:  # and rightly
                self._hope = HOPE
            self._has_grown = True


class Allowance:
    """So many messages a second, with bursts.

    Args:
        rate: A second, in the long run.
        burst: At once.
    """

    def __init__(self, rate: float, burst: int) -> None:
        self._rate, self._burst = rate, float(burst)
        self._left = self._burst
        self._time = 0.0

    def take(self, now: float) -> bool:
        """Whether one more is allowed."""
        self._left = min(self._burst, self._left + self._rate * (now - self._time))
        self._time = now
        if self._left < 1:
            return False
        self._left -= 1
        return True

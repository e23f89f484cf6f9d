# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Where in a video: stamps, moments that people type, and the part between two of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

import numpy as np

from tracker_core.errors import ParameterError

SECOND = 1_000_000_000  # nanoseconds
FIRST_STAMP = 1e9  # seconds; a number from here on is a stamp and no time from the beginning
FIRST_NANOSECONDS = 1e15  # a stamp from here on is in nanoseconds


@dataclass(frozen=True)
class Header:
    """What a recording says of an image.

    Attributes:
        stamp: When it was taken, nanoseconds; when it was recorded, if its message has none.
        frame_id: Of the camera.
        recorded: When it was recorded, nanoseconds.
    """

    stamp: int
    frame_id: str
    recorded: int


@dataclass(frozen=True)
class Shot:
    """A frame that has not been decoded.

    Attributes:
        decode: Gives it, (H, W, 3) uint8 RGB; None where it cannot be read. To be called before
            the next shot is asked for, or not at all.
        header: Of a recorded image.
    """

    decode: Callable[[], np.ndarray | None]
    header: Header | None = None


@dataclass(frozen=True)
class Moment:
    """A time in a video.

    Attributes:
        nanoseconds: Since its first frame, or as the stamps of its frames count.
        is_stamp: Whether it is one of these.
    """

    nanoseconds: int
    is_stamp: bool = False

    @classmethod
    def parse(cls, text: str) -> Moment:
        """Seconds from the beginning (12.5); from 1e9 on a stamp in seconds
        (1700000000.033333333), and from 1e15 on in nanoseconds, as headers have it.

        Raises:
            ParameterError: It is no number, or below zero.
        """
        try:
            number = Decimal(text)
        except InvalidOperation:
            number = Decimal('NaN')
        if not number.is_finite() or not 0 <= number < 2**63:
            raise ParameterError(
                f'{text!r} is no time: seconds from the beginning, such as 12.5, or a stamp, '
                'such as 1700000000.033'
            )
        if number >= Decimal(FIRST_NANOSECONDS):
            return cls(int(number), True)
        return cls(round(number * SECOND), number >= Decimal(FIRST_STAMP))

    def since(self, first: Header | None) -> int:
        """Nanoseconds since the first frame.

        Args:
            first: Header of that frame; None if it has none.

        Raises:
            ParameterError: It is a stamp, and the frames have none.
        """
        if not self.is_stamp:
            return self.nanoseconds
        if first is None:
            raise ParameterError(
                f'{self.nanoseconds / SECOND:.3f} is a stamp, which only frames of a recording '
                'have; give seconds from the beginning'
            )
        return self.nanoseconds - first.stamp


@dataclass(frozen=True)
class Part:
    """Which frames of a video are wanted.

    Attributes:
        begin: The first is the one nearest to this; None: the first of all.
        end: The last is the one nearest to this; None: the last of all.
        every: Every how many frames, from the first on.
    """

    begin: Moment | None = None
    end: Moment | None = None
    every: int = 1

    @property
    def is_all(self) -> bool:
        return self == Part()

    def limits(self, fps: float, first: Header | None) -> tuple[float, float]:
        """Nanoseconds since the first frame from and to which frames are wanted.

        A frame is nearest to what lies at most half a frame from it.

        Raises:
            ParameterError: See `Moment.since`.
        """
        half = SECOND / fps / 2
        begin = self.begin.since(first) - half if self.begin else float('-inf')
        end = self.end.since(first) + half if self.end else float('inf')
        return begin, end

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""16-bit values brought to 8 bits by what a camera's stream holds.

A 10-bit camera uses the lowest 1024 values of 65536, and a thermal camera a few hundred somewhere
in the middle: without knowing which, an image becomes nearly black or one gray.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
import math

import cv2
import numpy as np

from tracker_core.errors import ParameterError

AUTO = 0  # the bit depth that is found from the images
BIT_DEPTHS = (AUTO, *range(8, 17))
NO_VALUE = (0, 2**16 - 1)  # pixels of which a sensor knows nothing; they say nothing of its range
OUTLIERS = 0.2  # percent of the pixels at either end that may saturate
MARGIN = 1 / 8  # of the span of the others, kept free at either end
SMALLEST_SPAN = 255  # a step of the camera is one of 256 grays at most, so noise stays noise
SAMPLES = 2**14  # pixels of an image that are looked at
WINDOW = 0.6  # seconds; what was there for less than half of it does not move the range
FEWEST = 3  # images of the window, of a slow camera too
SETTLING = 1.0  # seconds, time constant with which the range follows
STILL = 1 / 20  # of the span: images that differ by less do not move it
FAR = 1 / 2  # of the span: to a range that is farther away it jumps
INTERVAL = 1 / 30  # seconds between images without stamps
LONGEST_INTERVAL = 1.0  # seconds; a longer one is a pause
REMEMBERED = 256  # ranges of past images

Scale = Callable[[np.ndarray], np.ndarray]
"""Takes uint16 pixels of any shape to uint8 of that shape."""


@dataclass(frozen=True)
class Span:
    """The 16-bit values that become black and white."""

    low: int
    high: int

    def sentence(self, option: str) -> str:
        """For the log; `option` is what the bit depth can be given with."""
        return (
            f'16-bit images: values from {self.low} to {self.high} become black to white, by what '
            f'the images hold; {option} can say otherwise'
        )

    def to_bytes(self, pixels: np.ndarray) -> np.ndarray:
        """(H, W) or (H, W, C) uint16 to uint8 of that shape, evenly from `low` to `high`."""
        factor = 255 / (self.high - self.low)
        flat = np.maximum(pixels, np.uint16(self.low)).reshape(len(pixels), -1)
        return cv2.convertScaleAbs(flat, alpha=factor, beta=-self.low * factor).reshape(
            pixels.shape
        )


class GrayRange:
    """The range of one stream of 16-bit images, and how each of them is brought to 8 bits.

    With a `bit_depth` of 8 to 16 that is `value >> (bit_depth - 8)`, and what lies above is white.
    With 0 the range is found: from the 0.2nd to the 99.8th percentile of the pixels without single
    hot or dead ones, and an eighth more at either end. The middle one of the images of the last
    0.6 s counts, so a flash moves nothing; the range follows it with a time constant of a second,
    and jumps where it is far from it (a cut, another gain). It never spans fewer than 255 values,
    so a constant image stays constant.

    The calls of `at` may come from another thread than those of what it returns.

    Args:
        bit_depth: One of `BIT_DEPTHS`; may be changed at any time.
        tell: Called with the range when it is first found, and after a jump.

    Raises:
        ParameterError: There is no such bit depth.
    """

    def __init__(self, bit_depth: int = AUTO, tell: Callable[[Span], None] | None = None) -> None:
        if bit_depth not in BIT_DEPTHS:
            raise ParameterError(f'bit_depth must be 0 (found) or 8 to 16, not {bit_depth!r}')
        self.bit_depth = bit_depth
        self._tell = tell
        self._stamp = 0  # of the last image that arrived
        self._arrived = 0.0  # seconds; its time on a clock that never goes back
        self._window: deque[tuple[float, int, int]] = deque()  # time, low and high of images
        self._low = self._high = 0.0
        self._used: deque[tuple[float, Span]] = deque(maxlen=REMEMBERED)

    def fresh(self) -> GrayRange:
        """The same for a stream that begins."""
        return GrayRange(self.bit_depth, self._tell)

    def at(self, stamp: int = 0) -> Scale:
        """How the image that arrives next is brought to 8 bits.

        The range is settled when the image is first looked at, and is the same every time after
        that. An image that is looked at only after a newer one moves nothing, and has the range of
        the one nearest to it in time.

        Args:
            stamp: Of the image, nanoseconds; 0 if it has none.
        """
        seconds = (stamp - self._stamp) / 1e9 if stamp and self._stamp else INTERVAL
        self._arrived += seconds if 0 < seconds <= LONGEST_INTERVAL else INTERVAL
        self._stamp = stamp
        time, span = self._arrived, None

        def scale(pixels: np.ndarray) -> np.ndarray:
            nonlocal span
            if self.bit_depth != AUTO:
                shifted = np.right_shift(pixels, self.bit_depth - 8)
                return np.minimum(shifted, 255).astype(np.uint8)
            if span is None:
                span = self._span(time, pixels)
            return span.to_bytes(pixels)

        return scale

    def _span(self, time: float, pixels: np.ndarray) -> Span:
        if self._used and time <= self._used[-1][0]:
            return min(self._used, key=lambda used: abs(used[0] - time))[1]
        passed = time - self._used[-1][0] if self._used else 0.0
        self._window.append((time, *limits(pixels)))
        while len(self._window) > FEWEST and time - self._window[0][0] > WINDOW:
            self._window.popleft()
        seen = sorted((low + high, low, high) for _, low, high in self._window)
        _, low, high = seen[(len(seen) - 1) // 2]
        if self._follow(low, high, passed) and self._tell is not None:
            self._tell(Span(round(self._low), round(self._high)))
        span = Span(round(self._low), round(self._high))
        self._used.append((time, span))
        return span

    def _follow(self, low: int, high: int, seconds: float) -> bool:
        """Move towards a range; whether that was a jump."""
        old, new = self._high - self._low, high - low
        moves = low - self._low, high - self._high
        if not self._used or max(map(abs, moves)) > FAR * min(old, new):
            self._low, self._high = low, high
            return True
        share = 1 - math.exp(-seconds / SETTLING)
        down, up = (math.copysign(max(abs(move) - STILL * old, 0), move) for move in moves)
        self._low += share * down
        self._high += share * up
        return False


def limits(pixels: np.ndarray) -> tuple[int, int]:
    """The range of one image of uint16, of any shape, see `GrayRange`: low and high, at least
    `SMALLEST_SPAN` apart and both from 0 to 65535."""
    height, width = pixels.shape[:2]
    step = 1 | math.ceil(math.sqrt(height * width / SAMPLES))  # odd: all colours of a mosaic
    # Of three neighbours of one colour the middle one: that of a hot or dead pixel is not it.
    far = 2 if width > 4 else 0
    left, middle, right = (
        pixels[::step, start : width - 2 * far + start : step] for start in (0, far, 2 * far)
    )
    sample = np.maximum(np.minimum(left, middle), np.minimum(np.maximum(left, middle), right))
    sample = sample.ravel()
    known = sample[(sample != NO_VALUE[0]) & (sample != NO_VALUE[1])]
    sample = known if len(known) else sample
    first = int(len(sample) * OUTLIERS / 100)
    last = len(sample) - 1 - first
    ordered = np.partition(sample, (first, last))
    low, high = int(ordered[first]), int(ordered[last])
    spare = max((high - low) * MARGIN, (SMALLEST_SPAN - high + low) / 2)
    low, high = math.floor(low - spare), math.ceil(high + spare)
    # What does not fit at one end is added at the other, so that it stays wide enough.
    low, high = max(low, 0), max(high, SMALLEST_SPAN)
    return min(low, NO_VALUE[1] - SMALLEST_SPAN), min(high, NO_VALUE[1])

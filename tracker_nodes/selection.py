# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""A box drawn with the mouse: what `select_target` does apart from its window and from ROS."""

from __future__ import annotations

from dataclasses import dataclass, replace
import enum

import cv2
import numpy as np

from tracker_core import Box

WINDOW_SIZE = (1280, 960)  # larger images are shown smaller
FONT = cv2.FONT_HERSHEY_DUPLEX
SMALLEST = 4  # pixels of the window; a shorter drag is a click by mistake
HELP = (
    'drag: new target',
    'space: hold, go on',
    'u: remove the newest',
    'r: remove all',
    'q: quit',
)
DRAWN, KNOWN, INK, SHADE = (255, 220, 0), (0, 200, 120), (255, 255, 255), (0, 0, 0)  # RGB


class Mouse(enum.Enum):
    """What the left button does."""

    DOWN = 'down'
    MOVE = 'move'
    UP = 'up'


@dataclass(frozen=True, eq=False)
class View:
    """A frame to draw on.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        stamp: Of the frame, nanoseconds.
        known: Boxes that are followed, with their names.
    """

    image: np.ndarray
    stamp: int
    known: tuple[tuple[str, Box], ...] = ()


@dataclass(frozen=True)
class Request:
    """A box that was drawn on the frame of a stamp (nanoseconds)."""

    box: Box
    stamp: int


@dataclass(frozen=True)
class Drag:
    """From one corner to the other, in pixels of the image."""

    begin: tuple[float, float]
    end: tuple[float, float]

    def box(self, smallest: float) -> Box | None:
        """The box between them; None if a side is shorter than that."""
        (x, y), (x2, y2) = self.begin, self.end
        if min(abs(x2 - x), abs(y2 - y)) < smallest:
            return None
        return Box(min(x, x2), min(y, y2), abs(x2 - x), abs(y2 - y))


class Selection:
    """Holds the frame that is shown, and turns mouse events into requests.

    The newest frame is shown, unless the stream is held; while a box is being drawn the frame
    under it stands still, and the box is for that frame.
    """

    def __init__(self) -> None:
        self.is_held = False
        self.message = 'draw a box around what is to be followed'
        self._newest: View | None = None
        self._shown: View | None = None
        self._drag: Drag | None = None  # while a box is being drawn

    def put(self, view: View) -> None:
        """Take the newest frame."""
        self._newest = view
        if self._shown is None or not (self.is_held or self._drag is not None):
            self._shown = view

    def toggle_hold(self) -> None:
        """Hold the frame that is shown, or go on with the newest."""
        self.is_held = not self.is_held
        if not self.is_held and self._drag is None:
            self._shown = self._newest

    def mouse(self, event: Mouse, x: int, y: int) -> Request | None:
        """Take an event of the mouse at a pixel of the window; returns a box when it is done."""
        view = self._shown
        if view is None:
            return None
        point = in_image(view.image, x, y)
        if event is Mouse.DOWN:
            self._drag = Drag(point, point)
        elif self._drag is not None:
            self._drag = Drag(self._drag.begin, point)
            if event is Mouse.UP:
                return self._finish(self._drag, view)
        return None

    def _finish(self, drag: Drag, view: View) -> Request | None:
        box = drag.box(SMALLEST / shown_scale(view.image))
        self._drag = None
        if not self.is_held:
            self._shown = self._newest
        if box is None:
            self.message = 'that box is too small: drag from one corner to the other'
            return None
        if self.is_held:  # what was drawn stays in sight
            self._shown = replace(view, known=(*view.known, ('', box)))
        return Request(box, view.stamp)

    def render(self) -> np.ndarray:
        """What the window shows, (H, W, 3) uint8 RGB."""
        if self._shown is None:
            empty = np.zeros((480, 640, 3), np.uint8)
            write(empty, ('no image has arrived yet',), bottom=False)
            return empty
        image = self._shown.image
        scale = shown_scale(image)
        size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
        canvas = (
            image.copy() if scale == 1 else cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        )
        for name, box in self._shown.known:
            outline(canvas, box, scale, KNOWN, name)
        if self._drag is not None and (drawn := self._drag.box(SMALLEST / scale)):
            outline(canvas, drawn, scale, DRAWN)
        write(canvas, (self.message, *(('held',) if self.is_held else ())), bottom=False)
        write(canvas, HELP, bottom=True)
        return canvas


def shown_scale(image: np.ndarray) -> float:
    """Pixels of the window for one of the image."""
    height, width = image.shape[:2]
    return min(1.0, WINDOW_SIZE[0] / width, WINDOW_SIZE[1] / height)


def in_image(image: np.ndarray, x: int, y: int) -> tuple[float, float]:
    """The middle of a pixel of the window, in the image's continuous coordinates."""
    height, width = image.shape[:2]
    scale = shown_scale(image)
    return (
        min(max((x + 0.5) / scale, 0.0), float(width)),
        min(max((y + 0.5) / scale, 0.0), float(height)),
    )


def outline(
    canvas: np.ndarray, box: Box, scale: float, ink: tuple[int, int, int], name: str = ''
) -> None:
    """Draw a box of the image, in place, through the pixels that its edges lie in."""
    limit = 2 * max(WINDOW_SIZE)
    edges = np.clip(np.array([box.x, box.y, box.x2, box.y2]) * scale - 0.5, -limit, limit)
    x, y, x2, y2 = np.rint(edges).astype(int).tolist()
    for colour, thickness in ((SHADE, 3), (ink, 1)):
        cv2.rectangle(canvas, (x, y), (x2, y2), colour, thickness)
        cv2.putText(canvas, name, (x, y - 5), FONT, 0.45, colour, thickness, cv2.LINE_AA)


def write(canvas: np.ndarray, lines: tuple[str, ...], bottom: bool) -> None:
    """Write lines along the upper or lower edge, in place, readable on any ground."""
    step = 18
    first = canvas.shape[0] - step * (len(lines) - 1) - 8 if bottom else step
    for number, line in enumerate(lines):
        for ink, thickness in ((SHADE, 3), (INK, 1)):
            place = (8, first + step * number)
            cv2.putText(canvas, line, place, FONT, 0.45, ink, thickness, cv2.LINE_AA)

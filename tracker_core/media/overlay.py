# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Boxes and labels drawn on frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import cv2
import numpy as np

from tracker_core.boxes import Box
from tracker_core.errors import ImageError
from tracker_core.target import TrackStatus

COLOURS = {  # RGB; told apart by people with any colour vision
    TrackStatus.TRACKING: (0, 200, 120),
    TrackStatus.UNCERTAIN: (255, 176, 0),
    TrackStatus.LOST: (220, 40, 90),
}
TRUTH_COLOUR = (255, 255, 255)
FONT = cv2.FONT_HERSHEY_DUPLEX
_SHIFT = 4  # binary digits after the point in OpenCV's coordinates


class Followed(Protocol):
    """What can be drawn: a `Track` or a `Target`."""

    @property
    def box(self) -> Box: ...
    @property
    def score(self) -> float: ...
    @property
    def status(self) -> TrackStatus: ...


def draw_track(frame: np.ndarray, track: Followed, label: str = '') -> None:
    """Draw a box in the colour of its status, with label, score and, unless sure, the status.

    Args:
        frame: (H, W, 3) uint8 RGB, drawn on in place.
        track: A `Track` or a `Target`; a lost one is drawn dashed, where it was last seen.
        label: Name of the target.
    """
    is_lost = track.status is TrackStatus.LOST
    text = label_text(track, label)
    draw_box(frame, track.box, COLOURS[track.status], text, dashed=is_lost)


def label_text(track: Followed, label: str = '') -> str:
    """What stands beside a box: label, score and, unless sure, the status."""
    words = [label] if label else []
    words.append(f'{track.score:.2f}')
    if track.status is not TrackStatus.TRACKING:
        words.append(track.status.name.lower())
    return ' '.join(words)


def draw_box(
    frame: np.ndarray,
    box: Box,
    colour: tuple[int, int, int] = TRUTH_COLOUR,
    text: str = '',
    dashed: bool = False,
) -> None:
    """Draw a box with a dark edge, readable on any ground, and a text above it; in place.

    Args:
        frame: (H, W, 3) uint8 RGB.
        box: It may reach over the border.
        colour: RGB.
        text: Shown inside the image even where the box leaves it.
        dashed: Break the lines.
    """
    unit = max(min(frame.shape[:2]) / 240, 0.6)
    width = max(round(unit), 1)
    limit = 4 * max(frame.shape[:2])  # far outside lines need not be exact
    # Continuous coordinates put a pixel's centre at one half, OpenCV puts it at zero.
    edges = np.clip(np.array([box.x, box.y, box.x2, box.y2]) - 0.5, -limit, limit)
    x, y, x2, y2 = (np.rint(edges) if width == 1 else edges).tolist()  # thin lines stay sharp
    corners = np.array([[x, y], [x2, y], [x2, y2], [x, y2]])
    for ink, thickness in (((0, 0, 0), width + 2), (colour, width)):
        for begin, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
            for first, last in _dashes(begin, end, 7 * unit if dashed else 0):
                cv2.line(frame, first, last, ink, thickness, cv2.LINE_AA, _SHIFT)
    if text:
        _draw_text(frame, text, (x, y), colour, unit)


def _dashes(begin: np.ndarray, end: np.ndarray, dash: float) -> list[tuple[list[int], list[int]]]:
    length = float(np.hypot(*(end - begin)))
    pieces = 1
    if dash:
        pieces = min(max(2 * round(length / (2 * dash)) + 1, 3), 99)  # odd: corners are drawn
    points = begin + np.linspace(0, 1, pieces + 1)[:, None] * (end - begin)
    points = np.rint(points * 2**_SHIFT).astype(int).tolist()
    return list(zip(points[:-1:2], points[1::2], strict=True))


def _draw_text(
    frame: np.ndarray,
    text: str,
    corner: tuple[float, float],
    colour: tuple[int, int, int],
    unit: float,
) -> None:
    height, width = frame.shape[:2]
    scale, thickness = 0.42 * unit, max(round(unit / 2), 1)
    (text_width, text_height), below = cv2.getTextSize(text, FONT, scale, thickness)
    pad = round(2 * unit)
    x = int(np.clip(corner[0], 0, max(width - text_width - 2 * pad, 0)))
    y = int(np.clip(corner[1] - below - pad, text_height + pad, height - below - pad))
    upper, lower = (x, y - text_height - pad), (x + text_width + 2 * pad, y + below)
    cv2.rectangle(frame, upper, lower, colour, -1)
    dark = np.dot(colour, (0.3, 0.6, 0.1)) < 110
    ink = (255, 255, 255) if dark else (0, 0, 0)
    cv2.putText(frame, text, (x + pad, y), FONT, scale, ink, thickness, cv2.LINE_AA)


def contact_sheet(frames: Sequence[np.ndarray], columns: int = 4, width: int = 1600) -> np.ndarray:
    """Frames side by side, row by row, as one picture.

    Args:
        frames: (H, W, 3) uint8 RGB, at least one; the first decides the shape of all.
        columns: Frames in a row.
        width: Of the picture in pixels.

    Returns:
        (rows * height, width, 3) uint8 RGB; what is left of the last row is white.

    Raises:
        ImageError: There are no frames.
    """
    if not frames:
        raise ImageError('a contact sheet needs at least one frame')
    columns = max(min(columns, len(frames)), 1)
    gap = 4
    w = (width - gap * (columns + 1)) // columns
    h = round(w * frames[0].shape[0] / frames[0].shape[1])
    rows = -(-len(frames) // columns)
    sheet = np.full((rows * (h + gap) + gap, width, 3), 255, np.uint8)
    for i, frame in enumerate(frames):
        y, x = gap + i // columns * (h + gap), gap + i % columns * (w + gap)
        sheet[y : y + h, x : x + w] = cv2.resize(frame, (w, h), interpolation=cv2.INTER_AREA)
    return sheet

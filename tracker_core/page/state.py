# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""What a viewer of the page is told: the pictures with what is followed in them, and how all is
doing."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
import json

import numpy as np

from tracker_core.boxes import Box
from tracker_core.target import TrackStatus

MINUTE = 60.0  # seconds that the line of a target's score covers
Json = dict[str, object]


@dataclass(frozen=True)
class TargetView:
    """A target as the page shows it.

    Attributes:
        id: Its name.
        label: What it is.
        status: How it is doing.
        score: Estimated probability that the box is right, 0 to 1.
        box: In pixels of the image; where it was last, while LOST.
    """

    id: str
    label: str
    status: TrackStatus
    score: float
    box: Box

    def as_json(self) -> Json:
        return {
            'id': self.id,
            'label': self.label,
            'status': self.status.name,
            'score': round(self.score, 4),
            'box': [round(value, 2) for value in self.box.as_xywh()],
        }


@dataclass(frozen=True, eq=False)
class Picture:
    """An image and what is followed in it.

    Attributes:
        stamp: Nanoseconds; of a recording, the frame's number.
        decode: Gives it, (H, W, 3) uint8 RGB; called in another thread, if somebody looks.
        targets: In this very image.
    """

    stamp: int
    decode: Callable[[], np.ndarray]
    targets: Sequence[TargetView] = ()


@dataclass(frozen=True)
class Notice:
    """Something to be read.

    Attributes:
        time: Seconds since 1970.
        is_error: Whether something is wrong.
        text: A sentence.
    """

    time: float
    is_error: bool
    text: str


@dataclass(frozen=True)
class Recording:
    """Of what is annotated.

    Attributes:
        length: Frames.
        frame: Number of the one that is shown.
        given: Numbers of those in which somebody has drawn the box.
        progress: Share of the work that is done, 0 to 1; None: none goes on.
    """

    length: int
    frame: int
    given: Sequence[int]
    progress: float | None = None


@dataclass(frozen=True)
class PageState:
    """All that a viewer is told beside the pictures.

    Attributes:
        tracker, preset: That track; empty: not known.
        choices: Presets that can be chosen by tracker; empty: nothing can be.
        targets: As they were last.
        rate: Processed images a second.
        latency: Seconds from an image's stamp to its boxes.
        dropped: Images that arrived and were not processed.
        is_paused: Whether no image is processed.
        problem: What is wrong, in a sentence; empty: nothing.
        notices: The last ones, the newest last.
        recording: What is annotated; None: the pictures are live.
    """

    tracker: str = ''
    preset: str = ''
    choices: Mapping[str, Sequence[str]] = field(default_factory=dict)
    targets: Sequence[TargetView] = ()
    rate: float = 0.0
    latency: float = 0.0
    dropped: int = 0
    is_paused: bool = False
    problem: str = ''
    notices: Sequence[Notice] = ()
    recording: Recording | None = None

    def as_json(self) -> Json:
        recording = self.recording
        return {
            'tracker': self.tracker,
            'preset': self.preset,
            'choices': {name: list(presets) for name, presets in self.choices.items()},
            'targets': [target.as_json() for target in self.targets],
            'rate': round(self.rate, 1),
            'latency': round(self.latency, 4),
            'dropped': self.dropped,
            'paused': self.is_paused,
            'problem': self.problem,
            'notices': [[each.time, each.is_error, each.text] for each in self.notices],
            'recording': recording
            and {
                'length': recording.length,
                'frame': recording.frame,
                'given': list(recording.given),
                'progress': recording.progress,
            },
        }


class ScoreHistory:
    """The scores of the last minute, for those who come later."""

    def __init__(self) -> None:
        self._scores: dict[str, deque[tuple[float, float, str]]] = {}

    def add(self, now: float, targets: Sequence[TargetView]) -> None:
        """Note how the targets are doing; those that are gone are forgotten after a minute.

        Args:
            now: Seconds, of any clock.
            targets: They.
        """
        for target in targets:
            line = self._scores.setdefault(target.id, deque())
            line.append((now, round(target.score, 3), target.status.name))
        for line in self._scores.values():
            while line and line[0][0] < now - MINUTE:
                line.popleft()
        self._scores = {name: line for name, line in self._scores.items() if line}

    def as_json(self, now: float) -> dict[str, list[list[object]]]:
        """For each target its [age in seconds, score, status], the oldest first."""
        return {
            name: [[round(now - time, 2), score, status] for time, score, status in line]
            for name, line in self._scores.items()
        }


def message(kind: str, content: Json) -> str:
    """A text for the page."""
    return json.dumps({'kind': kind, **content}, separators=(',', ':'))

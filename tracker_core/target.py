# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""What is followed and what is said of it: the values that trackers take and return."""

from __future__ import annotations

from dataclasses import dataclass, field
import enum
from typing import Any, Generic, TYPE_CHECKING, TypeVar

from tracker_core.boxes import Box

if TYPE_CHECKING:
    from tracker_core.tracker import Tracker

ModelT = TypeVar('ModelT')  # what a tracker learnt of a target's appearance
StateT = TypeVar('StateT')  # a tracker's own position and size of a target


class TrackStatus(enum.IntEnum):
    """How sure a tracker is of its target."""

    TRACKING = 1
    UNCERTAIN = 2
    LOST = 3


@dataclass(frozen=True)
class Track:
    """What a tracker says of one target in one frame.

    Attributes:
        box: Where the target is; while LOST, where it was last seen for sure.
        score: Estimated probability, 0 to 1, that `box` overlaps the object by at least half. It
            means the same for all trackers.
        status: TRACKING, UNCERTAIN or LOST, with hysteresis.
        raw_score: The tracker's own measure, see its documentation.
    """

    box: Box
    score: float
    status: TrackStatus
    raw_score: float


@dataclass(frozen=True)
class Proposal(Generic[StateT]):
    """What a tracker found in one frame; if it is accepted, `state` becomes the target's.

    Attributes:
        box: Where; None: nothing usable was found.
        raw_score: The tracker's own measure of it.
        state: The state that goes with it.
        is_verified: Whether the target was seen there in this frame; otherwise the box is only
            where it was before.
    """

    box: Box | None
    raw_score: float
    state: StateT
    is_verified: bool = True


@dataclass
class Target(Generic[ModelT, StateT]):
    """One followed object. Made by `Tracker.start`, advanced by `Tracker.track`; its fields are
    for reading.

    Attributes:
        first_box: The box it was started with.
        box: The latest box (see `Track.box`), like `score`, `raw_score` and `status`.
        age: Frames tracked since the start.
        frames_low: Frames in a row whose score was below `lost_score`.
        frames_lost: Frames since the target became LOST; 0 while it is not.
        velocity: Smoothed movement of the box centre, pixels per frame (x, y).
        search_offset: Shift (x, y) of where the next frame is searched, from `state`.
        squeeze: So many columns, and rows, of an image are averaged to one before the tracker sees
            it (see `squeezing`); more than one for a long target only. Model, state and search
            offset are in pixels of squeezed images.
        model: What the tracker learnt of the target's appearance; belongs to the tracker.
        state: The tracker's own position and size; replaced as a whole on every accepted frame.
        owner: The tracker that started it.
    """

    first_box: Box
    box: Box
    model: ModelT
    state: StateT
    owner: Tracker[Any, ModelT, StateT] = field(repr=False)
    score: float = 1.0
    raw_score: float = 1.0
    status: TrackStatus = TrackStatus.TRACKING
    age: int = 0
    frames_low: int = 0
    frames_lost: int = 0
    velocity: tuple[float, float] = (0.0, 0.0)
    search_offset: tuple[float, float] = (0.0, 0.0)
    squeeze: tuple[int, int] = (1, 1)

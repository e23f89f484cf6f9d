# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""What is followed and what is said of it: the values that trackers take and return."""

from __future__ import annotations

from dataclasses import dataclass, field
import enum
from typing import Any, Generic, TYPE_CHECKING, TypeVar

from tracker_core.boxes import Box
from tracker_core.tint import Hue, Tint

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
        box: Where the target is; while LOST, where it was last TRACKING.
        score: Estimated probability, 0 to 1, that `box` overlaps the object by at least half. It
            means the same for all trackers.
        status: TRACKING, UNCERTAIN or LOST, see `tracker_core.status`.
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
        similarity: How much it looks there like the target in the first frame, -1 to 1; None
            where the tracker does not compare.
        tint: Of what is there, see `tracker_core.tint`; None where it was not looked at.
    """

    box: Box | None
    raw_score: float
    state: StateT
    is_verified: bool = True
    similarity: float | None = None
    tint: Hue | None = None


@dataclass(frozen=True)
class Candidate(Generic[StateT]):
    """A place where a lost target may be, which is to be seen once more.

    Attributes:
        box, state: Where it was seen last.
        seen: In how many frames.
        missed: In how many frames it was not, since it was first seen.
    """

    box: Box
    state: StateT
    seen: int = 1
    missed: int = 0


@dataclass
class Target(Generic[ModelT, StateT]):
    """One followed object. Made by `Tracker.start`, advanced by `Tracker.track`; its fields are
    for reading.

    Attributes:
        first_box: The box it was started with.
        box: The latest box (see `Track.box`), like `score`, `raw_score` and `status`.
        age: Frames tracked since the start.
        similarity: Of the latest box, see `Proposal.similarity`.
        usual_similarity: Smoothed over the frames in which it was TRACKING.
        tint: Its usual one, in such frames.
        sure: Box and state of the last frame in which it was TRACKING.
        frames_low: Frames in a row in which it was as good as not seen.
        frames_lost: Frames since the target became LOST; 0 while it is not.
        velocity: Smoothed movement of the box centre, pixels per frame (x, y).
        search_offset: Shift (x, y) of where the next frame is searched, from `state`.
        searched: How many places were looked at since the target became LOST.
        candidate: Where it may be, while it is LOST.
        suggestions: Where somebody else thinks that it is, see `Tracker.suggest`.
        may_learn: Whether the last frame may be learnt from.
        snapshots: Age and model at some earlier updates, the latest last.
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
    tint: Tint
    score: float = 1.0
    raw_score: float = 1.0
    status: TrackStatus = TrackStatus.TRACKING
    similarity: float | None = None
    usual_similarity: float = 0.5
    sure: tuple[Box, StateT] = field(init=False, repr=False)
    age: int = 0
    frames_low: int = 0
    frames_lost: int = 0
    velocity: tuple[float, float] = (0.0, 0.0)
    search_offset: tuple[float, float] = (0.0, 0.0)
    squeeze: tuple[int, int] = (1, 1)
    searched: int = 0
    candidate: Candidate[StateT] | None = None
    suggestions: list[Box] = field(default_factory=list)
    may_learn: bool = True
    snapshots: list[tuple[int, ModelT]] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        self.sure = (self.box, self.state)

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""From what a tracker found to a score and a state, and back from LOST: one policy for all.

TRACKING: the score of this frame is at least `tracking_score`. Only such frames are learnt from,
and of them only those in which the target looks like in the first frame.
UNCERTAIN: there is a box, but it may be wrong; nothing is learnt.
LOST: there is no box. State and size are those of the last frame that was TRACKING, and the model
is from shortly before it. Each frame looks at some places of the image; what is found at one is
taken for the target when it was seen in two frames of three, looks like it, has its tint, and
nothing else in the frame looks nearly as much like it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
import copy
from dataclasses import dataclass, replace
from functools import lru_cache
import math
from typing import Generic

from tracker_core.boxes import Box
from tracker_core.parameters import TrackerConfig
from tracker_core.target import (
    Candidate,
    ModelT,
    Proposal,
    StateT,
    Target,
    Track,
    TrackStatus,
)

LARGEST_BOX = 4  # sides of a box in sides of the image; beyond that it says nothing
STEP = 2.0  # distance of two places that are looked at, in sizes of the target there
SIZES = (1.0, 1.6, 0.65)  # of a lost target, relative to what it was, in the order of search
MOST_PLACES = 40  # along the image
HOME_EVERY = 4  # of so many looks one is where the target was last, or where it went
AHEAD = 15  # frames by which its last movement is thought to go on
AGREE = 0.3  # IoU of two sightings of one thing
CONFIRMED = 2  # sightings that make a candidate the target
GIVEN_UP = 2  # frames without it that make it none
SAME_SHARE = 0.6  # of its usual similarity that what is followed must have
RETURN_SHARE = 0.7  # and a lost target that is to be taken up
USUAL_RATE = 0.05  # at which the usual similarity follows
MOST_SUGGESTIONS = 16  # that wait to be looked at
MARGIN = 0.05  # by how much more than anything else it looks like the target
SNAPSHOT_EVERY = 15  # frames
SNAPSHOTS = 3
DOUBTFUL = 5  # frames before a target was LOST whose updates are taken back


def judge(
    target: Target[ModelT, StateT],
    proposal: Proposal[StateT],
    config: TrackerConfig,
    image_size: tuple[int, int],
) -> Track:
    """Turn what was found where the target was expected into a score and a status, and advance
    the target.

    Args:
        target: Is changed.
        proposal: What was found in the frame.
        config: Says how sure is sure, and what happens when the target is lost.
        image_size: Width and height of the frame in pixels.
    """
    box = usable_box(proposal, image_size)
    score = score_of(proposal, config) if box is not None else 0.0
    # else it is what hides the target, or a part of it that comes into sight
    is_same = not config.recover or looks_alike(proposal, SAME_SHARE * target.usual_similarity)
    is_seen = proposal.is_verified and is_same
    is_sure = score >= config.tracking_score and is_seen
    is_low = score < config.lost_score or not is_seen
    target.frames_low = target.frames_low + 1 if is_low else 0
    was_lost = target.status is TrackStatus.LOST
    if is_sure:
        target.status = TrackStatus.TRACKING
    elif target.frames_low >= config.lost_after:
        target.status = TrackStatus.LOST
    elif target.status is TrackStatus.TRACKING:
        target.status = TrackStatus.UNCERTAIN
    target.age += 1
    target.score, target.raw_score = score, proposal.raw_score
    target.similarity = proposal.similarity
    is_careful = config.recover and proposal.similarity is not None
    target.may_learn = not is_careful or (
        is_sure and looks_alike(proposal, config.same_similarity)
    )
    is_lost = target.status is TrackStatus.LOST
    target.frames_lost = target.frames_lost + 1 if is_lost else 0
    if is_lost and config.recover:
        if not was_lost:
            hold(target)
    elif box is not None:
        if is_sure:
            follow_velocity(target, box)
            follow_similarity(target, proposal.similarity)
            if proposal.tint is not None:
                target.tint = target.tint.followed_by(proposal.tint)
        target.box, target.state = box, proposal.state
        if is_sure:
            target.sure = (box, proposal.state)
    return Track(target.box, score, target.status, proposal.raw_score)


def judge_looks(
    target: Target[ModelT, StateT],
    proposals: Sequence[Proposal[StateT]],
    config: TrackerConfig,
    image_size: tuple[int, int],
) -> Track:
    """The same for a target that is LOST: what was found at the places that were looked at.

    Args:
        target: Is changed.
        proposals: Of the looks, see `looks`.
        config, image_size: See `judge`.
    """
    sighting = best_sighting(target, proposals, config, image_size)
    candidate = target.candidate
    if sighting is None:
        if candidate is not None:
            is_given_up = candidate.missed + 1 >= GIVEN_UP
            target.candidate = (
                None if is_given_up else replace(candidate, missed=candidate.missed + 1)
            )
    elif candidate is not None and candidate.box.iou(sighting.box) >= AGREE:
        target.candidate = replace(
            candidate, box=sighting.box, state=sighting.state, seen=candidate.seen + 1
        )
    else:
        target.candidate = Candidate(sighting.box, sighting.state)
    target.age += 1
    target.may_learn = False
    found = target.candidate
    if sighting is not None and found is not None and found.seen >= CONFIRMED:
        target.status = TrackStatus.TRACKING
        target.box, target.state = target.sure = found.box, found.state
        target.score, target.raw_score = sighting.score, sighting.raw_score
        target.similarity = sighting.similarity
        target.frames_low = target.frames_lost = target.searched = 0
        target.suggestions = []
        target.velocity = (0.0, 0.0)
        target.candidate = None
        return Track(target.box, target.score, target.status, target.raw_score)
    target.frames_lost += 1
    target.frames_low += 1
    scores = [score_of(proposal, config) for proposal in proposals]
    best = max(range(len(proposals)), key=scores.__getitem__)
    target.score = min(scores[best], config.lost_score)
    target.raw_score, target.similarity = proposals[best].raw_score, proposals[best].similarity
    return Track(target.box, target.score, target.status, target.raw_score)


@dataclass(frozen=True)
class Sighting(Generic[StateT]):
    """Something that may be a lost target; see `Proposal` for what its fields mean."""

    box: Box
    state: StateT
    score: float
    raw_score: float
    similarity: float | None

    @property
    def likeness(self) -> float:
        """What candidates are compared by."""
        return self.score if self.similarity is None else self.similarity


def best_sighting(
    target: Target[ModelT, StateT],
    proposals: Sequence[Proposal[StateT]],
    config: TrackerConfig,
    image_size: tuple[int, int],
) -> Sighting[StateT] | None:
    """What looks most like the target, if it looks enough like it, and nothing else nearly as
    much.

    Args:
        target, proposals, config, image_size: See `judge_looks`.
    """
    least = max(config.same_similarity, RETURN_SHARE * target.usual_similarity)
    sightings = []
    for proposal in proposals:
        box, score = usable_box(proposal, image_size), score_of(proposal, config)
        if box is None or not proposal.is_verified or score < config.tracking_score:
            continue
        tint = proposal.tint
        if tint is not None and not target.tint.fits(tint, target.frames_lost):
            continue
        if looks_alike(proposal, least):
            state, raw, likeness = proposal.state, proposal.raw_score, proposal.similarity
            sightings.append(Sighting(box, state, score, raw, likeness))
    if not sightings:
        return None
    best = max(sightings, key=lambda sighting: sighting.likeness)
    others = (each.likeness for each in sightings if each.box.iou(best.box) < AGREE)
    return best if best.likeness - max(others, default=-math.inf) >= MARGIN else None


def looks(
    target: Target[ModelT, StateT],
    config: TrackerConfig,
    image_size: tuple[int, int],
    resized: Callable[[StateT, float], StateT],
    count: int = 1,
) -> list[Target[ModelT, StateT]]:
    """Where to look for a target in the next frame: itself, or while it is LOST copies of it that
    are searched for elsewhere and at other sizes; the first at a candidate, if there is one.

    Args:
        target: Is changed only in how many places were looked at.
        config: Says whether it is searched for.
        image_size: Width and height of the frame in pixels.
        resized: Gives a state of another size.
        count: Of the places that are looked at.
    """
    if not is_searched_for(target, config):
        return [target]
    chosen: list[Target[ModelT, StateT]] = []
    if target.candidate is not None:
        chosen.append(replaced(target, target.candidate.state, (0.0, 0.0)))
    while target.suggestions and len(chosen) < count:
        there, here = target.suggestions.pop(0), target.box
        if not is_plausible(there, image_size):
            continue
        shift = there.cx - here.cx, there.cy - here.cy
        state = resized(target.state, math.sqrt(there.area / here.area))
        chosen.append(replaced(target, state, unsqueezed(shift, target)))
    places = search_places(rounded(target.box), rounded(ahead(target, image_size)), image_size)
    while len(chosen) < count:
        look, target.searched = target.searched, target.searched + 1
        turn, rest = divmod(look, HOME_EVERY)
        if rest == 0:
            shift, size = places[0], 1.0
        else:
            index = (turn * (HOME_EVERY - 1) + rest - 1) % (len(SIZES) * len(places))
            # sizes one after the other, each over the whole image
            size = SIZES[index // len(places)]
            shift = places[index % len(places)]
        chosen.append(replaced(target, resized(target.state, size), unsqueezed(shift, target)))
    return chosen


def unsqueezed(shift: tuple[float, float], target: Target[ModelT, StateT]) -> tuple[float, float]:
    """A shift in pixels of the image, in those of the images that the target is searched in."""
    return shift[0] / target.squeeze[0], shift[1] / target.squeeze[1]


def suggest(target: Target[ModelT, StateT], boxes: Sequence[Box]) -> None:
    """Let a lost target be looked for in some places first; those that are suggested later come
    first."""
    if target.status is TrackStatus.LOST:
        target.suggestions = [*boxes, *target.suggestions][:MOST_SUGGESTIONS]


def is_searched_for(target: Target[ModelT, StateT], config: TrackerConfig) -> bool:
    """Whether a target is looked for elsewhere than where it was."""
    return target.status is TrackStatus.LOST and config.recover


def replaced(
    target: Target[ModelT, StateT], state: StateT, offset: tuple[float, float]
) -> Target[ModelT, StateT]:
    """A copy of a target, to be searched for somewhere else."""
    return replace(target, state=state, search_offset=offset)


def ahead(target: Target[ModelT, StateT], image_size: tuple[int, int]) -> tuple[float, float]:
    """Where a lost target has gone, if it went on as it did: x and y in the image."""
    return tuple(
        min(max(place + AHEAD * speed, 0.0), float(side))
        for place, speed, side in zip(
            (target.box.cx, target.box.cy), target.velocity, image_size, strict=True
        )
    )  # type: ignore[return-value]  # there are two


def rounded(numbers: Box | tuple[float, float]) -> tuple[int, ...]:
    """Whole pixels, so that places are made once for a lost target."""
    values = numbers.as_xywh() if isinstance(numbers, Box) else numbers
    return tuple(round(value) for value in values)


@lru_cache(maxsize=64)
def search_places(
    box: tuple[int, ...], start: tuple[int, ...], image_size: tuple[int, int]
) -> list[tuple[float, float]]:
    """Where to look for a lost target: shifts of its centre that cover the image, the nearest to
    a start first.

    Args:
        box: Where it was last seen, x, y, w, h.
        start: x and y.
        image_size: Width and height of the image in pixels.
    """
    x, y, w, h = box
    cx, cy = x + w / 2, y + h / 2
    stride = max(STEP * math.sqrt(max(w * h, 1)), max(image_size) / MOST_PLACES)
    axes = []
    for middle, side in ((start[0], image_size[0]), (start[1], image_size[1])):
        before, after = int(middle // stride), int((side - middle) // stride)
        axes.append([middle + k * stride for k in range(-before - 1, after + 2)])
    places = [
        (min(max(px, 0.0), image_size[0]), min(max(py, 0.0), image_size[1]))
        for px in axes[0]
        for py in axes[1]
    ]
    places = sorted(set(places), key=lambda at: math.hypot(at[0] - start[0], at[1] - start[1]))
    return [(px - cx, py - cy) for px, py in places]


def hold(target: Target[ModelT, StateT]) -> None:
    """What becomes of a target that is LOST: what it was when it was TRACKING, and what it had
    learnt shortly before."""
    target.box, target.state = target.sure
    target.searched, target.candidate = 0, None
    last_sure = target.age - target.frames_low
    for age, model in reversed(target.snapshots):
        if age <= last_sure - DOUBTFUL:
            target.model = model
            break


def declare_lost(target: Target[ModelT, StateT], config: TrackerConfig) -> None:
    """Make a target LOST, as if it had not been found for long."""
    if target.status is TrackStatus.LOST:
        return
    target.status = TrackStatus.LOST
    target.may_learn = False
    if config.recover:
        hold(target)
    target.frames_low = max(target.frames_low, config.lost_after)


def follow_velocity(target: Target[ModelT, StateT], box: Box) -> None:
    """Smooth the movement of the centre of sure boxes."""
    x, y = target.velocity
    moved_x, moved_y = box.cx - target.box.cx, box.cy - target.box.cy
    target.velocity = 0.5 * x + 0.5 * moved_x, 0.5 * y + 0.5 * moved_y


def follow_similarity(target: Target[ModelT, StateT], found: float | None) -> None:
    """Learn how much the target usually looks like in the first frame."""
    if found is not None:
        target.usual_similarity += USUAL_RATE * (found - target.usual_similarity)


def keep_snapshot(target: Target[ModelT, StateT]) -> None:
    """Remember what a target has learnt before an update, every now and then."""
    if not target.snapshots or target.age - target.snapshots[-1][0] >= SNAPSHOT_EVERY:
        target.snapshots.append((target.age, copy.copy(target.model)))
        del target.snapshots[:-SNAPSHOTS]


def looks_alike(proposal: Proposal[StateT], least: float) -> bool:
    """Whether what was found is at least that similar to the target in the first frame; trackers
    that do not compare are trusted."""
    return proposal.similarity is None or proposal.similarity >= least


def score_of(proposal: Proposal[StateT], config: TrackerConfig) -> float:
    """The score of what was found; of a place that was not seen at most `lost_score`."""
    score = calibrated(proposal.raw_score, config, proposal.similarity)
    return score if proposal.is_verified else min(score, config.lost_score)


def calibrated(raw_score: float, config: TrackerConfig, similarity: float | None = None) -> float:
    """The score in [0, 1]: a logistic function of the raw score and the similarity to the first
    frame; 0 for numbers that are not finite."""
    alike = 0.0 if similarity is None else similarity
    if not (math.isfinite(raw_score) and math.isfinite(alike)):
        return 0.0
    exponent = config.score_slope * (raw_score - config.score_midpoint)
    exponent += config.similarity_slope * alike
    return 1.0 / (1.0 + math.exp(-min(max(exponent, -60.0), 60.0)))


def usable_box(proposal: Proposal[StateT], image_size: tuple[int, int]) -> Box | None:
    """The box of a proposal, if there is one from which a search can go on."""
    box = proposal.box
    return box if box is not None and is_plausible(box, image_size) else None


def is_plausible(box: Box, image_size: tuple[int, int]) -> bool:
    """A box that a next search can start from: neither microscopic nor far larger than or away
    from the image."""
    width, height = image_size
    reach = Box(-width, -height, 3 * width, 3 * height)
    return (
        min(box.w, box.h) >= 0.5
        and max(box.w / width, box.h / height) <= LARGEST_BOX
        and box.intersection(reach) > 0
    )

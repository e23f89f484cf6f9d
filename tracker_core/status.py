# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""From what a tracker found to a score and a state: one policy for all trackers."""

from __future__ import annotations

import math

from tracker_core.boxes import Box
from tracker_core.parameters import TrackerConfig
from tracker_core.target import ModelT, Proposal, StateT, Target, Track, TrackStatus

LARGEST_BOX = 4  # sides of a box in sides of the image; beyond that it says nothing


def judge(
    target: Target[ModelT, StateT],
    proposal: Proposal[StateT],
    config: TrackerConfig,
    image_size: tuple[int, int],
) -> Track:
    """Turn a proposal into a score and a status, accept or refuse it, and advance the target.

    Args:
        target: Is changed.
        proposal: What was found in the frame.
        config: Says how sure is sure, and what happens when the target is lost.
        image_size: Width and height of the frame in pixels.
    """
    box = proposal.box
    if box is not None and not is_plausible(box, image_size):
        box = None
    score = calibrated(proposal.raw_score, config) if box is not None else 0.0

    if not proposal.is_verified:
        score = min(score, config.lost_score)
    is_doubtful = score < config.lost_score or not proposal.is_verified

    was_lost = target.status is TrackStatus.LOST
    target.frames_low = target.frames_low + 1 if score < config.lost_score else 0
    if score >= config.tracking_score and proposal.is_verified:
        target.status = TrackStatus.TRACKING
    elif target.frames_low >= config.lost_after:
        target.status = TrackStatus.LOST
    elif is_doubtful and not was_lost:
        target.status = TrackStatus.UNCERTAIN
    is_lost = target.status is TrackStatus.LOST

    if box is not None and not (is_lost and config.recover):
        if not was_lost:
            x, y = target.velocity
            moved_x, moved_y = box.cx - target.box.cx, box.cy - target.box.cy
            target.velocity = 0.5 * x + 0.5 * moved_x, 0.5 * y + 0.5 * moved_y
        target.box, target.state = box, proposal.state
    if is_lost:
        target.velocity = (0.0, 0.0)
    target.frames_lost = target.frames_lost + 1 if is_lost else 0
    target.search_offset = (0.0, 0.0)
    if is_lost and config.recover:
        x, y = sweep_offset(target.frames_lost, target.box, image_size)
        target.search_offset = x / target.squeeze[0], y / target.squeeze[1]
    target.age += 1
    target.score, target.raw_score = score, proposal.raw_score
    return Track(target.box, score, target.status, proposal.raw_score)


def declare_lost(target: Target[ModelT, StateT], config: TrackerConfig) -> None:
    """Make a target LOST, as if it had not been found for long."""
    target.status = TrackStatus.LOST
    target.frames_low = max(target.frames_low, config.lost_after)
    target.velocity = (0.0, 0.0)


def calibrated(raw_score: float, config: TrackerConfig) -> float:
    """The score in [0, 1]: a logistic function of the raw score; 0 for a raw score that is not
    finite."""
    if not math.isfinite(raw_score):
        return 0.0
    exponent = config.score_slope * (raw_score - config.score_midpoint)
    return 1.0 / (1.0 + math.exp(-min(max(exponent, -60.0), 60.0)))


def sweep_offset(
    frames_lost: int, box: Box, image_size: tuple[int, int], step: float = 2.0
) -> tuple[float, float]:
    """Where to search for a lost target, relative to where it was last seen.

    Every other frame searches the old place. The frames between walk the rings of a square spiral
    around it, `step` target sizes apart, over the places that lie inside the image, and start over
    when the image is covered.

    Args:
        frames_lost: Frames since the target was lost, 1 or more.
        box: Where it was last seen.
        image_size: Width and height of the image in pixels.
        step: Distance of two places in units of sqrt(w * h).

    Returns:
        Shift of the search centre in pixels (x, y).
    """
    if frames_lost % 2 == 1:
        return 0.0, 0.0
    stride = step * math.sqrt(box.area)
    rings = min(math.ceil(max(image_size) / stride), 8)
    places = [
        (i * stride, j * stride)
        for ring in range(1, rings + 1)
        for i in range(-ring, ring + 1)
        for j in range(-ring, ring + 1)
        if max(abs(i), abs(j)) == ring
        and 0 <= box.cx + i * stride <= image_size[0]
        and 0 <= box.cy + j * stride <= image_size[1]
    ]
    return places[(frames_lost // 2 - 1) % len(places)] if places else (0.0, 0.0)


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

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Boxes and tracks to messages and back; the one place that knows how the messages count pixels.

A `Box` is given by its top-left corner, a `BoundingBox2D` by its centre; both are in continuous
coordinates in which the top-left pixel of the image covers [0, 1] x [0, 1]. So the box of exactly
that pixel is Box(0, 0, 1, 1), and as a message its centre is (0.5, 0.5) and its size 1 x 1.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from builtin_interfaces.msg import Time
from std_msgs.msg import Header
from tracker_nodes.msg import TrackStatus
from vision_msgs.msg import (
    BoundingBox2D,
    Detection2D,
    Detection2DArray,
    ObjectHypothesisWithPose,
)

from tracker_core.boxes import Box, startable
from tracker_core.errors import BoxError

if TYPE_CHECKING:
    from tracker_core.target import Target

MOST_PLACES = 64  # of a message


def box_to_message(box: Box) -> BoundingBox2D:
    """The same box given by its centre; theta is 0."""
    message = BoundingBox2D()
    message.center.position.x = box.cx
    message.center.position.y = box.cy
    message.size_x = box.w
    message.size_y = box.h
    return message


def box_from_message(message: BoundingBox2D) -> Box:
    """The same box given by its corner; theta is ignored.

    Raises:
        BoxError: A number is not finite, or a size is not above zero.
    """
    center = message.center.position
    return Box.from_center(center.x, center.y, message.size_x, message.size_y)


def places_from_message(message: Detection2DArray) -> tuple[list[tuple[str, Box]], str]:
    """Label and box of the detections whose box is one, the likeliest first; and what is wrong
    with the others, as a sentence, empty if nothing is."""
    places: list[tuple[float, str, Box]] = []
    problem = ''
    for number, detection in enumerate(message.detections):
        best = max(
            (result.hypothesis for result in detection.results),
            key=lambda hypothesis: hypothesis.score,
            default=None,
        )
        try:
            box = startable(box_from_message(detection.bbox))
        except BoxError as error:
            problem = problem or f'candidates: detection {number} is left out: {error}'
            continue
        label, score = ('', 0.0) if best is None else (best.class_id, best.score)
        places.append((score, label, box))
    places.sort(key=lambda place: -place[0] if math.isfinite(place[0]) else 0.0)
    return [(label, box) for _, label, box in places[:MOST_PLACES]], problem


def detection_message(header: Header, id: str, label: str, target: Target) -> Detection2D:  # noqa: A002
    """A target's latest box and score.

    The pose of the hypothesis is 3D and stays at its default: a box in an image has none.
    """
    hypothesis = ObjectHypothesisWithPose()
    hypothesis.hypothesis.class_id = label
    hypothesis.hypothesis.score = target.score
    return Detection2D(header=header, results=[hypothesis], bbox=box_to_message(target.box), id=id)


def status_message(
    id: str,  # noqa: A002
    label: str,
    target: Target,
    velocity: tuple[float, float] | None,
) -> TrackStatus:
    """A target's state.

    Args:
        id: Name of the target.
        label: What it is.
        target: Its state in tracker_core.
        velocity: Of its box, pixels per second (x, y); None where it is not known.
    """
    velocity = velocity or (0.0, 0.0)
    return TrackStatus(
        id=id,
        label=label,
        state=int(target.status),
        score=target.score,
        raw_score=target.raw_score,
        age=target.age,
        frames_lost=target.frames_lost,
        bbox=box_to_message(target.box),
        velocity_x=velocity[0],
        velocity_y=velocity[1],
    )


def nanoseconds(stamp: Time) -> int:
    """A stamp as one number, nanoseconds since its clock's zero."""
    return stamp.sec * 1_000_000_000 + stamp.nanosec

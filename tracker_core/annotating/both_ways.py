# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Boxes between those given by hand: tracked forwards and backwards, and merged.

Between two boxes given by hand a tracker that starts at the first is best near it and worst before
the second, and one that runs backwards from the second the other way round. So each way counts by
its score (the estimated probability that its box is right), times how near its own start is: from
1 there down to 0 at the other end. Where both ways agree, which is an overlap of half or more, the
box is their mean by these weights; elsewhere it is the box that weighs more. A way that is LOST
says nothing; where both are, there is no box. Before the first and after the last box given by
hand there is one way only. The boxes given by hand stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
import itertools
from typing import Any

import numpy as np

from tracker_core.boxes import Box
from tracker_core.errors import BoxError, VideoError
from tracker_core.media.frame_source import FrameSource
from tracker_core.progress import progress_bar
from tracker_core.target import Target, TrackStatus
from tracker_core.tracker import Tracker

AGREEMENT = 0.5  # overlap from which on both ways mean the same
CHUNK_BYTES = 2**28  # of decoded frames that are held, to be tracked backwards


@dataclass(frozen=True)
class Guess:
    """What one way says of a frame.

    Attributes:
        box: Where the object is.
        score: Estimated probability of that, 0 to 1.
    """

    box: Box
    score: float


@dataclass(frozen=True)
class Annotation:
    """Boxes of a video's frames.

    Attributes:
        numbers: Of the frames that could be read, in order, from 0.
        forwards: For each of these, what the way forwards says alone; None: out of sight, or
            before the first box given by hand.
        boxes: Of both ways; None: out of sight.
    """

    numbers: Sequence[int]
    forwards: Sequence[Box | None]
    boxes: Sequence[Box | None]


def annotate(
    source: FrameSource,
    tracker: Tracker[Any, Any, Any],
    hand: Mapping[int, Box],
    tell: Callable[[float], None] = lambda share: None,
) -> Annotation:
    """Find the boxes of all frames.

    The frames are read once forwards, and backwards in chunks of `CHUNK_BYTES`: for each the video
    is read again up to there, and what is not wanted is not decoded where it need not be.

    Args:
        source: The video; its `part` is left alone and does not count.
        tracker: That follows the object.
        hand: The boxes given by hand, by the numbers of their frames.
        tell: Called with the share of the work that is done, 0 to 1, after each frame.

    Raises:
        BoxError: There is none, one has no frame, or the tracker cannot start with it.
        VideoError: The video can be read only once.
    """
    if not hand:
        raise BoxError('where is the object? Give its box in at least one frame')
    if not source.is_repeatable:
        raise VideoError(f'{source.name} can be read only once; write it to a file first')
    if source.length is not None:
        _check(hand, range(source.length), source.name)
    to_do = (source.length or 0) + max(hand) + 1
    done = itertools.count(1)

    def tell_frame() -> None:
        tell(min(next(done) / to_do, 1.0))

    forwards = _forwards(source, tracker, hand, tell_frame)
    _check(hand, forwards, source.name)
    backwards = _backwards(source, tracker, hand, tell_frame)
    given = sorted(hand)
    boxes: list[Box | None] = []
    for number, forward in forwards.items():
        before = max((n for n in given if n <= number), default=number)
        after = min((n for n in given if n >= number), default=number)
        place = (number - before) / (after - before) if after > before else 0.5
        boxes.append(hand.get(number) or merged(forward, backwards.get(number), place))
    alone = [guess.box if guess else None for guess in forwards.values()]
    return Annotation(list(forwards), alone, boxes)


def merged(forward: Guess | None, backward: Guess | None, place: float) -> Box | None:
    """The box of both ways.

    Args:
        forward, backward: What they say; None: nothing.
        place: How far the frame is from the box given by hand before it (0) to the next one (1).
    """
    if forward is None or backward is None:
        only = forward or backward
        return only.box if only else None
    weights = np.array([forward.score * (1 - place), backward.score * place])
    boxes = np.array([forward.box.as_xywh(), backward.box.as_xywh()])
    if forward.box.iou(backward.box) < AGREEMENT or not weights.any():
        return Box(*boxes[weights.argmax()].tolist())
    return Box(*(weights @ boxes / weights.sum()).tolist())


def _check(hand: Mapping[int, Box], numbers: Any, name: str) -> None:
    for number in hand:
        if number not in numbers:
            raise BoxError(
                f'a box is given for frame {number}, which {name} lacks or which cannot be read; '
                f'there are frames {min(numbers)} to {max(numbers)}'
            )


def _forwards(
    source: FrameSource,
    tracker: Tracker[Any, Any, Any],
    hand: Mapping[int, Box],
    tell: Callable[[], None],
) -> dict[int, Guess | None]:
    found: dict[int, Guess | None] = {}
    target: Target[Any, Any] | None = None
    frames = source.between(0)
    for number, frame in progress_bar(frames, 'forwards', source.length):
        if number in hand:
            target = tracker.start(frame, hand[number])
            found[number] = Guess(hand[number], 1.0)
        else:
            found[number] = _followed(tracker, frame, target)
        tell()
    return found


def _backwards(
    source: FrameSource,
    tracker: Tracker[Any, Any, Any],
    hand: Mapping[int, Box],
    tell: Callable[[], None],
) -> dict[int, Guess | None]:
    found: dict[int, Guess | None] = {}
    with progress_bar(None, 'backwards', max(hand)) as bar:
        first = 0
        for last in sorted(hand):
            target: Target[Any, Any] | None = None
            for number, frame in reversed_frames(source, first, last):
                if number == last:
                    target = tracker.start(frame, hand[number])
                else:
                    found[number] = _followed(tracker, frame, target)
                bar.update()
                tell()
            first = last + 1
    return found


def _followed(
    tracker: Tracker[Any, Any, Any], frame: np.ndarray, target: Target[Any, Any] | None
) -> Guess | None:
    if target is None:
        return None
    track = tracker.track(frame, target)
    return None if track.status is TrackStatus.LOST else Guess(track.box, track.score)


def reversed_frames(
    source: FrameSource, first: int, last: int
) -> Iterator[tuple[int, np.ndarray]]:
    """Frames of a video and their numbers from the last one to the first, both included; those
    that cannot be read are left out."""
    width, height = source.size
    most = max(CHUNK_BYTES // (width * height * 3), 1)
    while last >= first:
        begin = max(first, last - most + 1)
        frames = list(source.between(begin, last))
        while frames:
            yield frames.pop()
        last = begin - 1

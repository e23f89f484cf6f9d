# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The operator's page, opened on a recording: boxes are drawn in a few frames, all others tracked,
looked at, and written."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
import time
from typing import Any, TYPE_CHECKING

import numpy as np

from tracker_core.annotating.both_ways import annotate, Annotation
from tracker_core.boxes import Box
from tracker_core.errors import TrackerError, VideoError
from tracker_core.media.frame_source import FrameSource
from tracker_core.page.requests import Answer, Finish, Remove, Request, Reset, Seek, Start
from tracker_core.page.state import Notice, PageState, Picture, Recording, TargetView
from tracker_core.target import TrackStatus
from tracker_core.tracker import Tracker

if TYPE_CHECKING:
    from tracker_core.page.server import PageServer

FOUND = 'found'  # name of a box that was tracked
TELLINGS = 5.0  # times a second that the page is told how far the work is


class RecordingDesk:
    """Takes the requests of the page for one recording.

    One thread reads and tracks; requests that come while it tracks are refused.

    Args:
        source: The recording.
        tracker: That follows the object.
        hand: Boxes that are given already, by the numbers of their frames.
        write: Called with what was found from how many boxes; returns what it did, in words.

    Raises:
        VideoError: It can be read only once, or its length is not known.
    """

    def __init__(
        self,
        source: FrameSource,
        tracker: Tracker[Any, Any, Any],
        hand: Mapping[int, Box],
        write: Callable[[Annotation, int], str],
    ) -> None:
        if source.length is None or not source.is_repeatable:
            raise VideoError(f'{source.name} cannot be wound back; write it to a file first')
        self.page: PageServer | None = None  # to be set before the first request
        self._source, self._tracker, self._write = source, tracker, write
        self._length = source.length
        self._hand = dict(hand)
        self._found: dict[int, Box | None] = {}
        self._frame, self._image = 0, np.zeros((1, 1, 3), np.uint8)
        self._frames: Iterator[tuple[int, np.ndarray]] = iter(())  # that follow the one shown
        self._next: int | None = None  # number of the first of them
        self._progress: float | None = None
        self._told = 0.0  # time.monotonic()
        self._notices: list[Notice] = []
        self._thread = ThreadPoolExecutor(1, 'recording')

    def open(self) -> None:
        """Show the first frame."""
        self._thread.submit(self._seek, 0).result()

    def close(self) -> None:
        """End, after what is being done."""
        self._thread.shutdown(cancel_futures=True)

    async def ask(self, request: Request) -> Answer:
        """See `Desk`."""
        if self._progress is not None:
            return Answer(False, 'wait until all frames have been tracked')
        loop = asyncio.get_running_loop()
        if isinstance(request, Finish):
            if not self._hand:
                return Answer(False, 'draw the box in at least one frame')
            self._progress = 0.0
            loop.run_in_executor(self._thread, self._finish)
            return Answer(True, 'tracking forwards and backwards ...')
        return await loop.run_in_executor(self._thread, self._do, request)

    # In the thread

    def _do(self, request: Request) -> Answer:
        sentence = ''
        if isinstance(request, Seek):
            self._seek(min(request.frame, self._length - 1))
        elif isinstance(request, Start):
            if request.stamp >= self._length:
                return Answer(False, f'there is no frame {request.stamp}')
            self._hand[request.stamp] = request.box
            sentence = f'box in {_name(request.stamp)}'
        elif isinstance(request, Remove):
            number = next((each for each in self._hand if _name(each) == request.id), None)
            if number is None:
                return Answer(False, f'{request.id!r} was not drawn here')
            del self._hand[number]
            sentence = f'removed the box in {request.id}'
        elif isinstance(request, Reset):
            self._hand.clear()
            self._found.clear()
            sentence = 'removed all boxes'
        else:
            return Answer(False, 'this is a recording')
        self._show()
        return Answer(True, sentence)

    def _seek(self, number: int) -> None:
        if number != self._next:  # winding a video back means to read it from its start
            self._frames = self._source.between(number)
        self._next = None
        try:
            self._frame, self._image = next(self._frames)
        except StopIteration:
            raise VideoError(f'frame {number} cannot be read') from None
        self._next = self._frame + 1
        self._show()

    def _finish(self) -> None:
        try:
            found = annotate(self._source, self._tracker, self._hand, self._note)
            self._found = dict(zip(found.numbers, found.boxes, strict=True))
            self._say(False, self._write(found, len(self._hand)))
        except (TrackerError, OSError) as error:
            self._say(True, str(error))
        self._progress = None
        self._next = None  # tracking has read on
        try:
            self._seek(self._frame)
        except VideoError as error:
            self._say(True, str(error))
            self._tell()

    def _note(self, share: float) -> None:
        self._progress = share
        if time.monotonic() - self._told > 1 / TELLINGS:
            self._tell()

    def _say(self, is_error: bool, sentence: str) -> None:
        self._notices = [*self._notices[-9:], Notice(time.time(), is_error, sentence)]

    def _show(self) -> None:
        """Show the frame, with the boxes that are known there."""
        assert self.page is not None
        number, image = self._frame, self._image
        targets = []
        if number in self._hand:
            targets = [_given(number, self._hand[number])]
        elif (box := self._found.get(number)) is not None:
            targets = [TargetView(FOUND, '', TrackStatus.UNCERTAIN, 1.0, box)]
        self.page.show(Picture(number, lambda: image, targets))
        self._tell()

    def _tell(self) -> None:
        assert self.page is not None
        self._told = time.monotonic()
        given = dict(sorted(self._hand.items()))
        self.page.tell(
            PageState(
                tracker=self._tracker.name,
                preset=self._tracker.preset,
                targets=[_given(number, box) for number, box in given.items()],
                notices=tuple(self._notices),
                recording=Recording(self._length, self._frame, list(given), self._progress),
            )
        )


def _given(number: int, box: Box) -> TargetView:
    """A box that was drawn, in the frame of this number."""
    return TargetView(_name(number), '', TrackStatus.TRACKING, 1.0, box)


def _name(number: int) -> str:
    return f'frame {number}'

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""A tracker under the VOT toolkit, which talks to it in TraX (Čehovin, TraX, 2017)."""

from __future__ import annotations

from typing import Any

from tracker_core.boxes import Box
from tracker_core.extras import need
from tracker_core.media.folders import read_image
from tracker_core.target import Track, TrackStatus


def serve_vot(tracker: Any) -> int:
    """Answer the VOT toolkit until it says that it is done.

    Frames come as paths of images, targets as rectangles, one or several. A target's score goes
    back with its rectangle as the property `confidence`, which long-term measures need; 0 while it
    is LOST.

    Args:
        tracker: A `Tracker`, or anything with its `start` and `track`.

    Returns:
        How many frames were answered.

    Raises:
        ParameterError: The package vot-trax is not installed.
        ImageError: An image cannot be read.
    """
    trax = need('trax', 'the VOT toolkit', 'vot', 'vot-trax')
    answered = 0
    targets: list[Any] = []
    with trax.Server(
        [trax.Region.RECTANGLE],
        [trax.Image.PATH],
        tracker_name=f'{tracker.name}_{tracker.preset}',
        tracker_description='tracker_nodes',
        multiobject=True,
    ) as server:
        while True:
            request = server.wait()
            if request.type not in ('initialize', 'frame'):
                return answered
            image = read_image(request.image['color'].path())
            if request.type == 'initialize':
                targets = []
            tracks = [tracker.track(image, target) for target in targets]
            for region, _ in request.objects or ():  # new ones, also later on
                box = Box(*region_xywh(region))
                targets.append(tracker.start(image, box))
                tracks.append(Track(box, 1.0, TrackStatus.TRACKING, 1.0))
            server.status([answer(trax, track) for track in tracks])
            answered += 1


def region_xywh(region: Any) -> tuple[float, ...]:
    """x, y, w, h of a rectangle of TraX."""
    x, y, width, height = region.bounds()
    return x, y, width, height


def answer(trax: Any, track: Track) -> tuple[Any, dict[str, float]]:
    """A track as TraX sends it: a rectangle and its properties."""
    confidence = 0.0 if track.status is TrackStatus.LOST else track.score
    return trax.Rectangle.create(*track.box.as_xywh()), {'confidence': confidence}

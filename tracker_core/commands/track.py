# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""`tracker track`: follow objects in a video."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import ExitStack
import csv
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
import sys
import time
from typing import TextIO, TYPE_CHECKING

from tracker_core.boxes import Box
from tracker_core.commands import options
from tracker_core.errors import BoxError, VideoError
from tracker_core.target import Track, TrackStatus

if TYPE_CHECKING:
    from tracker_core.media.gray import Span
    from tracker_core.media.sources import FrameSource

NAME = 'track'
ABOUT = 'follow objects in a video, a folder or a camera'
COLUMNS = ('frame', 'id', 'x', 'y', 'w', 'h', 'score', 'raw_score', 'status')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        'video',
        metavar='VIDEO',
        help='video file, folder of images, number of a camera, stream (rtsp://, http://, a '
        "GStreamer pipeline ending in appsink), pipe, or 'scene[:NAME]' (rendered)",
    )
    options.add_tracker_options(parser)
    parser.add_argument(
        '--box',
        type=options.box,
        action='append',
        metavar='X,Y,W,H',
        help='the object in the first frame: left, top, width, height in pixels, the top-left '
        'corner of the image being 0,0; give it again for further objects (a rendered scene '
        'knows its object)',
    )
    parser.add_argument('--out', metavar='FILE', help='write the video with its boxes, .mp4')
    parser.add_argument('--csv', metavar='FILE', help='write a line per object and frame')
    parser.add_argument(
        '--frames', type=options.count, metavar='N', help='stop after so many frames'
    )
    parser.add_argument(
        '--bit-depth',
        type=_bit_depth,
        default=0,
        metavar='auto|8..16',
        help='of a folder of 16-bit images; default: auto (what the images hold)',
    )


def run(args: argparse.Namespace) -> int:
    from tracker_core.media.gray import GrayRange
    from tracker_core.media.sources import open_frames

    wanted = options.TrackerOptions.read(args, args.tracker)
    with open_frames(args.video, GrayRange(args.bit_depth, _tell_span)) as source:
        followed = follow(source, wanted, args.box or (), args.frames, args.out, args.csv)
    print(_summary(followed, None if args.box else source.boxes))
    return _tell_unreadable(source)


@dataclass
class Followed:
    """What became of the objects of a video.

    Attributes:
        tracks: For every frame, those of the objects.
        seconds: Time that the tracker took, for all frames but the first.
        files: What was written.
    """

    tracks: list[list[Track]] = field(default_factory=list)
    seconds: float = 0.0
    files: list[Path] = field(default_factory=list)


def follow(
    source: FrameSource,
    wanted: options.TrackerOptions,
    boxes: Sequence[Box] = (),
    limit: int | None = None,
    video_file: str | None = None,
    table_file: str | None = None,
) -> Followed:
    """Follow objects to the end of a video, or until Ctrl-C.

    Args:
        source: The video.
        wanted: The tracker.
        boxes: The objects in the first frame; none: the one that a rendered scene knows.
        limit: Stop after so many frames.
        video_file: Gets the frames with the boxes.
        table_file: Gets a line per object and frame.

    Raises:
        BoxError: There is no box, or none that the tracker can start with.
        VideoError: There is no frame, or the video cannot be written.
    """
    from tracker_core.media.overlay import draw_track
    from tracker_core.media.writer import VideoWriter
    from tracker_core.progress import progress_bar

    boxes = boxes or (source.boxes or [])[:1]
    if not boxes:
        raise BoxError('where is the object in the first frame? Give --box X,Y,W,H')
    tracker = wanted.create()
    frames = islice(source, limit)
    first = next(frames, None)
    if first is None:
        raise VideoError(f'{source.name} gives no frames')
    targets = [tracker.start(first, box) for box in boxes]
    total = min((n for n in (source.length, limit) if n), default=None)
    followed = Followed()
    video: VideoWriter | None = None
    with ExitStack() as outputs:
        if video_file:
            video = outputs.enter_context(VideoWriter(video_file, source.fps))
        table = outputs.enter_context(_open_table(table_file)) if table_file else None
        rows = csv.writer(table) if table else None
        if rows:
            rows.writerow(COLUMNS)
        try:
            for frame in progress_bar(chain([first], frames), 'tracking', total):
                if frame is first:
                    tracks = [Track(t.box, t.score, t.status, t.raw_score) for t in targets]
                else:
                    begin = time.perf_counter()
                    tracks = tracker.track_many(frame, targets)
                    followed.seconds += time.perf_counter() - begin
                if rows:
                    rows.writerows(_rows(source.number, tracks))
                if video:
                    for i, track in enumerate(tracks, start=1):
                        draw_track(frame, track, str(i) if len(tracks) > 1 else '')
                    video.write(frame)
                followed.tracks.append(tracks)
        except KeyboardInterrupt:
            pass  # how a camera's video ends
    followed.files += [video.path] if video else []
    followed.files += [Path(table_file)] if table_file else []
    return followed


def _open_table(path: str) -> TextIO:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    return open(path, 'w', newline='')


def _rows(frame: int, tracks: Sequence[Track]) -> list[list[str]]:
    return [
        [
            str(frame),
            str(i),
            *(f'{v:.4f}' for v in (*track.box.as_xywh(), track.score)),
            f'{track.raw_score:.6g}',
            track.status.name,
        ]
        for i, track in enumerate(tracks, start=1)
    ]


def _tell_span(span: Span) -> None:
    print(span.sentence('--bit-depth'), file=sys.stderr)


def _summary(followed: Followed, exact_boxes: Sequence[Box] | None) -> str:
    """A line; with exact boxes, of the first object, also how well they were met."""
    from tracker_core.evaluation.metrics import box_rows, overlap

    every = [track for tracks in followed.tracks for track in tracks]
    sure = sum(track.status is TrackStatus.TRACKING for track in every) / max(len(every), 1)
    count = len(followed.tracks)
    speed = f'{(count - 1) / followed.seconds:.1f}' if followed.seconds else '-'
    line = f'{count} frames, {speed} frames/s in the tracker, {sure:.0%} tracked'
    if exact_boxes:
        found = box_rows([tracks[0].box for tracks in followed.tracks])
        ious = overlap(found, box_rows(exact_boxes[: len(found)]))
        line += f', mean IoU {ious.mean():.3f} with the exact boxes'
    return line + ''.join(f'; wrote {path}' for path in followed.files)


def _tell_unreadable(source: FrameSource) -> int:
    """Name the frames that could not be read; returns the exit status."""
    from tracker_core.media.folders import some_names

    bad = source.unreadable
    if bad:
        read = source.number + 1
        print(f'{len(bad)} of {read} frames could not be read: {some_names(bad)}', file=sys.stderr)
    return 1 if bad else 0


def _bit_depth(text: str) -> int:
    from tracker_core.media.gray import AUTO, BIT_DEPTHS

    depth = AUTO if text == 'auto' else int(text) if text.isdecimal() else -1
    if depth not in BIT_DEPTHS:
        raise argparse.ArgumentTypeError(f'{text!r} is neither auto nor 8 to 16')
    return depth

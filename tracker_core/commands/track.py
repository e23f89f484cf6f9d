# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""`tracker track`: follow objects in a video."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
import sys
import time
from typing import TYPE_CHECKING

from tracker_core.boxes import Box
from tracker_core.commands import options
from tracker_core.commands.outputs import FrameResult, open_output, Output
from tracker_core.errors import BoxError, VideoError
from tracker_core.target import Track, TrackStatus

if TYPE_CHECKING:
    from tracker_core.media.frame_source import FrameSource
    from tracker_core.media.gray import Span

NAME = 'track'
ABOUT = 'follow objects in a video, a folder, a recording or a camera'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        'video',
        metavar='VIDEO',
        help='video file, folder of images, recording of ROS (.mcap, .db3, .bag or the folder of '
        'one), number of a camera, stream (rtsp://, http://, a '
        "GStreamer pipeline ending in appsink), pipe, or 'scene[:NAME[:FRAMES]]' (rendered)",
    )
    options.add_tracker_options(parser)
    parser.add_argument(
        '--box',
        type=options.box,
        action='append',
        metavar='X,Y,W,H',
        help='the object in the first frame (see --at): left, top, width, height in pixels, the '
        'top-left corner of the image being 0,0; give it again for further objects (a rendered '
        'scene knows its object)',
    )
    parser.add_argument(
        '--out',
        action='append',
        metavar='FILE',
        help='write the video with its boxes (.mp4), a line per object and frame (.csv), the same '
        'as .json, or the messages of the node as a recording (.mcap); may be repeated',
    )
    parser.add_argument('--csv', metavar='FILE', help='the same as --out, a table')
    parser.add_argument(
        '--frames', type=options.count, metavar='N', help='stop after so many frames'
    )
    options.add_part(parser)
    parser.add_argument(
        '--bit-depth',
        type=_bit_depth,
        default=0,
        metavar='auto|8..16',
        help='of 16-bit images of a folder or a recording; default: auto (what the images hold)',
    )


def run(args: argparse.Namespace) -> int:
    from tracker_core.media.gray import GrayRange
    from tracker_core.media.moments import Part
    from tracker_core.media.sources import open_frames

    wanted = options.TrackerOptions.read(args, args.tracker)
    files = [(name, Path(name).suffix.lower()) for name in args.out or ()]
    files += [(args.csv, '.csv')] if args.csv else []
    for name, _ in files:
        if Path(name).resolve() == Path(args.video).resolve():
            raise VideoError(f'{name} is what is read; write to another file')
    gray = GrayRange(args.bit_depth, _tell_span)
    with open_frames(args.video, gray, args.topic) as source:
        source.part = Part(args.begin, args.end, args.every)
        followed = follow(source, wanted, args.box or (), args.frames, files)
    print(_summary(followed, None if args.box else source.boxes))
    return tell_unreadable(source)


@dataclass
class Followed:
    """What became of the objects of a video.

    Attributes:
        numbers: Of the frames in the video.
        tracks: For each of these, those of the objects.
        seconds: Time that the tracker took, for all frames but the first.
        files: What was written.
    """

    numbers: list[int] = field(default_factory=list)
    tracks: list[list[Track]] = field(default_factory=list)
    seconds: float = 0.0
    files: list[Path] = field(default_factory=list)


def follow(
    source: FrameSource,
    wanted: options.TrackerOptions,
    boxes: Sequence[Box] = (),
    limit: int | None = None,
    files: Sequence[tuple[str, str]] = (),
) -> Followed:
    """Follow objects to the end of a video, or until Ctrl-C.

    Args:
        source: The video.
        wanted: The tracker.
        boxes: The objects in the first frame; none: the one that a rendered scene knows.
        limit: Stop after so many frames.
        files: To be written: name and kind of each, see `open_output`.

    Raises:
        BoxError: There is no box, or none that the tracker can start with.
        ParameterError: What writes one of the files is not installed.
        VideoError: There is no frame, or a file cannot be written.
    """
    from tracker_core.media.moments import Header, SECOND
    from tracker_core.progress import progress_bar

    if not boxes and not source.boxes:
        raise BoxError('where is the object in the first frame? Give --box X,Y,W,H')
    tracker = wanted.create()
    frames = islice(source, limit)
    first = next(frames, None)
    if first is None:
        where = '' if source.part.is_all else ' between --from (--at) and --to'
        raise VideoError(f'{source.name} gives no frames{where}')
    boxes = boxes or (source.boxes or [])[source.number : source.number + 1]
    targets = {str(i): tracker.start(first, box) for i, box in enumerate(boxes, start=1)}
    followed = Followed()
    outputs: list[Output] = []
    is_complete = False
    try:
        for name, kind in files:
            outputs.append(open_output(name, kind, source, tracker.name, tracker.preset))
        for frame in progress_bar(chain([first], frames), 'tracking', _expected(source, limit)):
            seconds = 0.0
            if frame is first:
                tracks = [Track(t.box, t.score, t.status, t.raw_score) for t in targets.values()]
            else:
                begin = time.perf_counter()
                tracks = tracker.track_many(frame, list(targets.values()))
                seconds = time.perf_counter() - begin
            followed.seconds += seconds
            stamp = round(source.number * SECOND / source.fps)
            header = source.header or Header(stamp, '', stamp)
            result = FrameResult(source.number, header, frame, targets, tracks, seconds)
            for output in outputs:
                output.write(result)
            followed.numbers.append(source.number)
            followed.tracks.append(tracks)
        is_complete = True
    except KeyboardInterrupt:
        is_complete = True  # how a camera's video ends
    finally:
        for output in outputs:
            output.close(is_complete)
    followed.files += [output.path for output in outputs]
    return followed


def _expected(source: FrameSource, limit: int | None) -> int | None:
    """How many frames there will be, where that is known."""
    length = source.length
    if length is not None and not source.part.is_all:
        part = source.part
        length = None if part.begin or part.end else -(-length // part.every)
    return min((n for n in (length, limit) if n), default=None)


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
        ious = overlap(found, box_rows([exact_boxes[number] for number in followed.numbers]))
        line += f', mean IoU {ious.mean():.3f} with the exact boxes'
    return line + ''.join(f'; wrote {path}' for path in followed.files)


def tell_unreadable(source: FrameSource) -> int:
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

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""`tracker annotate`: ground truth of a video from a few boxes given by hand."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
import shutil
import threading
from typing import Any, TYPE_CHECKING

from tracker_core.boxes import Box
from tracker_core.commands import options
from tracker_core.errors import BoxError

if TYPE_CHECKING:
    from tracker_core.annotating.both_ways import Annotation
    from tracker_core.media.frame_source import FrameSource
    from tracker_core.tracker import Tracker

NAME = 'annotate'
ABOUT = 'make ground truth: track both ways between boxes given by hand'
FORMATS = ('otb', 'got10k', 'yolo', 'coco')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        'video',
        metavar='VIDEO',
        help='video file, folder of images, recording of ROS, or scene[:NAME[:FRAMES]] (rendered)',
    )
    options.add_tracker_options(parser)
    options.add_topic(parser)
    parser.add_argument(
        '--box',
        type=numbered_box,
        action='append',
        default=[],
        metavar='FRAME:X,Y,W,H',
        help='the object in the frame of this number, from 0; give it again for further frames, '
        'best where the object looks otherwise or was lost (of a rendered scene, which knows its '
        'object, FRAME is enough)',
    )
    parser.add_argument(
        '--page',
        action='store_true',
        help='draw the boxes in the browser, on a page that is served on this machine alone '
        '(needs aiohttp)',
    )
    parser.add_argument(
        '--port', type=int, default=8080, help='of that page; 0: any that is free (default: 8080)'
    )
    parser.add_argument(
        '--out', required=True, metavar='DIR', help='folder for images and boxes, new or empty'
    )
    parser.add_argument('--format', required=True, choices=FORMATS, help='of the files')


def run(args: argparse.Namespace) -> int:
    from tracker_core.annotating.both_ways import annotate
    from tracker_core.commands.track import tell_unreadable
    from tracker_core.media.sources import open_frames

    if not args.box and not args.page:
        raise BoxError('where is the object? Give --box FRAME:X,Y,W,H, or draw it with --page')
    folder = Path(args.out)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f'{folder} is there already and not empty; name another folder')
    wanted = options.TrackerOptions.read(args, args.tracker)
    with open_frames(args.video, topic=args.topic) as source:
        hand = _hand(args.box, source)
        if args.page:
            return _serve(args, folder, source, wanted.create(), hand)
        found = annotate(source, wanted.create(), hand)
        _write(args.format, folder, source, found)
        print(_summary(found, len(hand), source.boxes), f'wrote {folder}', sep='; ')
        return tell_unreadable(source)


def _serve(
    args: argparse.Namespace,
    folder: Path,
    source: FrameSource,
    tracker: Tracker[Any, Any, Any],
    hand: Mapping[int, Box],
) -> int:
    """Serve the page until it is interrupted."""
    from tracker_core.extras import need

    need('aiohttp', '--page', 'operator')
    from tracker_core.annotating.desk import RecordingDesk
    from tracker_core.page.config import PageConfig
    from tracker_core.page.server import PageServer

    def write(found: Annotation, given: int) -> str:
        if folder.exists():  # of the time before; when the command began, nothing was in it
            shutil.rmtree(folder)
        _write(args.format, folder, source, found)
        return f'{_summary(found, given, source.boxes)}; wrote {folder}'

    desk = RecordingDesk(source, tracker, hand, write)
    page = PageServer(PageConfig(port=args.port), desk)
    desk.page = page
    page.open()
    try:
        desk.open()
        print(f'open {page.url} in a browser; Ctrl-C ends it', flush=True)
        threading.Event().wait()
    except KeyboardInterrupt:
        pass
    finally:
        page.close()
        desk.close()
    return 0


def _write(kind: str, folder: Path, source: FrameSource, found: Annotation) -> None:
    from tracker_core.annotating.files import FORMATS as WRITERS

    frames = (frame for _, frame in source.between(0))
    WRITERS[kind](folder, frames, found.boxes)


def _hand(given: Sequence[tuple[int, Box | None]], source: FrameSource) -> dict[int, Box]:
    hand = {}
    for number, box in given:
        if number in hand:
            raise BoxError(f'two boxes are given for frame {number}')
        if box is None and (source.boxes is None or number >= len(source.boxes)):
            raise BoxError(f'where is the object in frame {number}? Give --box {number}:X,Y,W,H')
        hand[number] = box or (source.boxes or [])[number]
    return hand


def _summary(found: Annotation, given: int, exact: Sequence[Box] | None) -> str:
    """A line; with exact boxes also how well they were met, no box counting as 0."""
    import numpy as np

    from tracker_core.evaluation.metrics import box_rows, overlap

    count = sum(box is not None for box in found.boxes)
    line = f'{len(found.boxes)} frames, {count} with a box, {given} of them given by hand'
    if exact:
        truth = box_rows([exact[number] for number in found.numbers])
        nothing = (np.nan,) * 4
        forwards, both = (
            np.nanmean(overlap(np.array([b.as_xywh() if b else nothing for b in boxes]), truth))
            for boxes in (found.forwards, found.boxes)
        )
        line += f', mean IoU with the exact boxes: {forwards:.3f} forwards, {both:.3f} both ways'
    return line


def numbered_box(text: str) -> tuple[int, Box | None]:
    """FRAME:X,Y,W,H, or FRAME."""
    number, separator, rest = text.partition(':')
    if not number.isdecimal():
        raise argparse.ArgumentTypeError(f'{text!r} is not FRAME:X,Y,W,H')
    return int(number), options.box(rest) if separator else None

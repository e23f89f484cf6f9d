# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""`tracker calibrate`: fit a tracker's score to be a probability."""

from __future__ import annotations

import argparse
import dataclasses
import itertools
from typing import TYPE_CHECKING

from tracker_core.commands import options
from tracker_core.commands.evaluate import read_sequences
from tracker_core.errors import ParameterError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

    from tracker_core.media.scene import Scene

NAME = 'calibrate'
ABOUT = "fit a tracker's score to be a probability"
FEWEST_SCENES = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    options.add_tracker_options(parser)
    parser.add_argument(
        '--scenes', type=options.count, default=30, metavar='N', help=options.DEFAULT
    )
    parser.add_argument(
        '--frames',
        type=options.count,
        default=120,
        metavar='N',
        help='of each scene; ' + options.DEFAULT,
    )
    parser.add_argument(
        '--photos', metavar='DIR', help='cut every other scene from the photos in this folder'
    )
    parser.add_argument(
        '--dataset',
        nargs='+',
        default=[],
        metavar='KIND:DIR',
        help='data sets whose sequences are used, too; see `tracker data`',
    )
    parser.add_argument('--sequences', type=options.names, metavar='A,B', help='only these')
    parser.add_argument('--json', metavar='FILE', help='write the result')
    parser.add_argument(
        '--plot', metavar='FILE', help='write a reliability diagram: what the score keeps'
    )


def run(args: argparse.Namespace) -> int:
    from tracker_core.evaluation.calibration import (
        calibrate,
        calibration_table,
        Footage,
        scenes_for_calibration,
    )
    from tracker_core.evaluation.plots import write_reliability
    from tracker_core.evaluation.report import write_json

    if args.scenes < FEWEST_SCENES:
        raise ParameterError(f'--scenes must be at least {FEWEST_SCENES}: every third is held out')
    tracker = options.TrackerOptions.read(args, args.tracker).create(recover=False)
    photos = read_photos(args.photos) if args.photos else []
    sequences = read_sequences(args.dataset, args.sequences) if args.dataset else []
    rendered = scenes_for_calibration(args.scenes, args.frames, photos)
    scenes: Iterator[Scene | Footage] = itertools.chain(rendered, map(Footage, sequences))
    result = calibrate(tracker, scenes, args.scenes + len(sequences))
    print(f'{tracker.name} {tracker.preset}\n{calibration_table(result)}')
    if args.json:
        which = {'name': tracker.name, 'preset': tracker.preset}
        write_json(args.json, {**which, **dataclasses.asdict(result)})
        print(f'wrote {args.json}')
    if args.plot:
        lines = {
            f'{tracker.name} {tracker.preset}, fitted': result.fitted.reliability,
            'as it is': result.present.reliability,
        }
        write_reliability(lines, args.plot)
        print(f'wrote {args.plot}')
    return 0


def read_photos(folder: str) -> list[np.ndarray]:
    """The images in a folder, (H, W, 3) uint8 RGB each.

    Raises:
        ParameterError: There are none.
        ImageError: One cannot be read.
    """
    from tracker_core.media.folders import list_images, read_image

    photos = [read_image(path) for path in list_images(folder)]
    if not photos:
        raise ParameterError(f'{folder} holds no images')
    return photos

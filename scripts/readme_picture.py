# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Write the README's moving picture: targets in a real video, followed, with score and state.

python scripts/readme_picture.py FOLDER --box 15:61,4,68,106 --box 20:154,84,88,130 --out cars.webp

FOLDER holds the frames. Each box starts a target in the frame of its number. The frames from the
first of them on are played to the last one and back.
"""

from __future__ import annotations

import argparse

import cv2
import numpy as np
from PIL import Image

from tracker_core import create_tracker
from tracker_core.commands.annotate import numbered_box
from tracker_core.media.overlay import draw_track
from tracker_core.media.sources import open_frames

NAMES = ('white', 'red', 'third', 'fourth')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('folder')
    parser.add_argument('--box', action='append', required=True, type=numbered_box)
    parser.add_argument('--tracker', default='ocean')
    parser.add_argument('--rate', type=float, default=12.5, help='frames per second')
    parser.add_argument('--zoom', type=float, default=1.5)
    parser.add_argument('--out', required=True)
    options = parser.parse_args()
    tracker = create_tracker(options.tracker, device='cpu')
    first = min(number for number, _ in options.box)
    frames = dict(open_frames(options.folder).between(first))
    order = [*frames, *reversed([*frames][1:-1])]
    targets: list = []
    waiting = [
        (number, box, name) for (number, box), name in zip(options.box, NAMES, strict=False)
    ]
    pictures = []
    for number in order:
        frame = frames[number]
        tracks = [(tracker.track(frame, target), name) for target, name in targets]
        for begin, box, name in tuple(waiting):
            if begin == number:
                targets.append((tracker.start(frame, box), name))
                tracks.append((targets[-1][0], name))
                waiting.remove((begin, box, name))
        size = tuple(round(options.zoom * side) for side in frame.shape[1::-1])
        shown = np.ascontiguousarray(cv2.resize(frame, size, interpolation=cv2.INTER_CUBIC))
        for track, name in tracks:
            draw_track(shown, Scaled(track, options.zoom), name)
        pictures.append(Image.fromarray(shown))
    pictures[0].save(
        options.out,
        save_all=True,
        append_images=pictures[1:],
        duration=round(1000 / options.rate),
        loop=0,
        quality=60,
        method=6,
    )
    print(f'{options.out}: {len(pictures)} pictures')


class Scaled:
    """A track in an enlarged image."""

    def __init__(self, track, zoom: float) -> None:
        self.box = type(track.box)(*(zoom * value for value in track.box.as_xywh()))
        self.score, self.status = track.score, track.status


if __name__ == '__main__':
    main()

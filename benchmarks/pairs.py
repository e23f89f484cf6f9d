# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""What pairs for the training of a published architecture cost: how many a process makes in a
second, and the memory of all processes, which does not depend on how many frames are listed.

python benchmarks/pairs.py --data got10k:DIR [--workers 1] [--pairs 320]
python benchmarks/pairs.py --listed 10000 200000 [--workers 2] [--pairs 320]

The second line lists so many frames of a folder in the layout of GOT-10k: links to one rendered
frame of 1280 x 720.
"""

from __future__ import annotations

import argparse
from multiprocessing import active_children
import os
from pathlib import Path
import sys
from tempfile import TemporaryDirectory
import time

import cv2

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tracker_core.media.scene import render_scene  # noqa: E402
from tracker_core.tables import format_table  # noqa: E402
from tracker_core.training.batches import batches, make_sampler  # noqa: E402
from tracker_core.training.footage import open_libraries  # noqa: E402
from tracker_core.training.published import PUBLISHED  # noqa: E402

BATCH = 16  # pairs
SEQUENCE = 1000  # frames of a listed sequence
SIZE = (1280, 720)


def list_frames(folder: Path, count: int) -> None:
    """So many frames in the layout of GOT-10k, all links to one."""
    scene = render_scene('calm', frames=1, size=SIZE, seed=1)
    picture = folder / 'frame.jpg'
    cv2.imwrite(str(picture), scene[0][..., ::-1])
    box = scene.boxes[0]
    line = f'{box.x + 1:.2f},{box.y + 1:.2f},{box.w:.2f},{box.h:.2f}\n'
    for number in range(count // SEQUENCE):
        place = folder / 'train' / f'GOT-10k_Train_{number + 1:06d}'
        place.mkdir(parents=True)
        for frame in range(SEQUENCE):
            (place / f'{frame + 1:08d}.jpg').symlink_to(picture)
        (place / 'groundtruth.txt').write_text(line * SEQUENCE)


def memory() -> float:
    """MB of this process and its workers; what they share counts once."""
    total = 0
    for process in (os.getpid(), *(child.pid for child in active_children())):
        for line in Path(f'/proc/{process}/smaps_rollup').read_text().splitlines():
            if line.startswith('Pss:'):
                total += int(line.split()[1])
    return total * 1024 / 1e6


def measure(tracker: str, spec: str, workers: int, pairs: int) -> list[str]:
    """A row of the table."""
    library, _ = open_libraries([spec])
    frames = sum(shelf.frames for shelf in library.shelves)
    source = batches(make_sampler(library, PUBLISHED[tracker].config().pairs), BATCH, 0, workers)
    next(source)  # starts the processes
    begin, used = time.monotonic(), []
    for number in range(pairs // BATCH):
        next(source)
        if number in (pairs // BATCH // 4, pairs // BATCH - 1):
            used.append(memory())
    rate = pairs // BATCH * BATCH / (time.monotonic() - begin)
    each = rate / max(workers, 1)
    return [tracker, spec.split(':')[0], str(frames), f'{each:.1f}', *(f'{u:.0f}' for u in used)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('--data', default='', help='KIND:DIR')
    parser.add_argument(
        '--listed', type=int, nargs='*', default=[], help='frames, multiples of 1000'
    )
    parser.add_argument('--tracker', choices=list(PUBLISHED), nargs='*', default=list(PUBLISHED))
    parser.add_argument('--workers', type=int, default=1, help='processes that make pairs')
    parser.add_argument('--pairs', type=int, default=320, help='pairs to make')
    args = parser.parse_args()
    rows = []
    for tracker in args.tracker:
        if args.data:
            rows.append(measure(tracker, args.data, args.workers, args.pairs))
        for count in args.listed:
            with TemporaryDirectory() as folder:
                list_frames(Path(folder), count)
                spec = f'got10k:{folder}'
                rows.append(measure(tracker, spec, args.workers, args.pairs))
    titles = ['pairs of', 'data', 'frames', 'pairs/s a process', 'MB early', 'MB at the end']
    print(format_table(titles, rows))


if __name__ == '__main__':
    main()

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""How well a target is located: errors of range and bearing by what told the range, in rendered
scenes whose geometry is exact; and what it costs.

python benchmarks/pose.py [--tracker tadt] [--scenes 5] [--json benchmarks/results/pose.json]
python benchmarks/pose.py --cost [--json benchmarks/results/pose_cost.json]
python benchmarks/pose.py --minutes 10 [--json benchmarks/results/pose_memory.json]

The last two run the node, so they need the built package: source .venv/activate-ros.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
import json
from pathlib import Path
import sys
from typing import Any

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tracker_core import Box, create_tracker, list_trackers, TrackStatus  # noqa: E402
from tracker_core.evaluation.machine import describe_machine, machine_line  # noqa: E402
from tracker_core.media.scene import render_scene  # noqa: E402
from tracker_core.media.space import Space  # noqa: E402
from tracker_core.pose.config import PoseConfig  # noqa: E402
from tracker_core.pose.depth import DepthImage  # noqa: E402
from tracker_core.pose.locate import (  # noqa: E402
    angles,
    Observation,
    TargetLocator,
    View,
)
from tracker_core.tables import format_table  # noqa: E402

FRAMES = 300
SIZE = (640, 480)
STEP = 33_333_333  # nanoseconds between frames
HIDDEN = 0.5  # visible share below which made-up boxes are UNCERTAIN
OCCLUSION = 30  # frames: a second
BOX_NOISE = 0.05  # standard deviation of noisy boxes' centres and sides, in sides
DEPTHS = ('clean', 'noise', 'holes', 'background', 'all of it')
Seen = tuple[TrackStatus, Box]


@dataclass(frozen=True)
class Case:
    """A source of ranges, with the boxes and the depth images that it gets."""

    source: str
    boxes: str
    depth: str = ''


def spoilt(depth: DepthImage, how: str, rng: np.random.Generator) -> DepthImage:
    """Depth as cameras give it: 16 bits of a millimetre; noise that grows with the square of the
    depth, as stereo has it (6 cm at 4 m); holes in patches over a third, and at edges."""
    z = depth.values.astype(np.float64)
    height, width = z.shape
    if how in ('noise', 'all of it'):
        z = z + 0.004 * z**2 * rng.standard_normal(z.shape)
    millimetres = np.clip(np.rint(1000 * z), 0, 65535).astype(np.uint16)
    if how in ('holes', 'all of it'):
        patches = rng.standard_normal((height // 12, width // 12), np.float32)
        patches = cv2.resize(patches, (width, height), interpolation=cv2.INTER_CUBIC)
        millimetres[patches > np.quantile(patches, 2 / 3)] = 0
        edges = np.abs(cv2.Sobel(depth.values, cv2.CV_32F, 1, 0)) > 0.3
        millimetres[cv2.dilate(edges.astype(np.uint8), np.ones((5, 9))) > 0] = 0
    return DepthImage(millimetres, 0.001)


def made_up(space: Space, is_noisy: bool, rng: np.random.Generator) -> list[Seen]:
    """The true boxes, or such with noise; UNCERTAIN while hidden."""
    seen = []
    for box, visible in zip(space.scene.boxes, space.scene.visible, strict=True):
        if is_noisy:
            dx, dy, dw, dh = BOX_NOISE * rng.standard_normal(4)
            wide, tall = box.w * (1 + dw), box.h * (1 + dh)
            box = Box.from_center(box.cx + dx * box.w, box.cy + dy * box.h, wide, tall)
        seen.append((TrackStatus.TRACKING if visible >= HIDDEN else TrackStatus.UNCERTAIN, box))
    return seen


def tracked(space: Space, name: str) -> list[Seen]:
    """The boxes and states of a tracker."""
    tracker = create_tracker(name)
    target = tracker.start(space.scene[0], space.scene.boxes[0])
    seen = [(TrackStatus.TRACKING, space.scene.boxes[0])]
    for i in range(1, len(space.scene)):
        track = tracker.track(space.scene[i], target)
        seen.append((track.status, track.box))
    return seen


def located(
    space: Space, seen: list[Seen], case: Case, config: PoseConfig, rng: np.random.Generator
) -> Iterator[tuple[TrackStatus, np.ndarray, np.ndarray | None, np.ndarray]]:
    """Status, true place, estimated place and error of the bearing of every frame that has one."""
    height = space.object_size[1] if case.source == 'size' else 0.0
    locator = TargetLocator(replace(config, object_height=height))
    for i, (status, box) in enumerate(seen):
        depth = None
        if case.source == 'depth':
            depth = spoilt(space.depth(i), case.depth, rng)
        if case.depth in ('background', 'all of it'):
            box = Box.from_center(box.cx, box.cy, 1.5 * box.w, 1.5 * box.h)
        view = View(space.camera, depth, space.ground if case.source == 'ground' else None)
        estimate = locator.observe(Observation(i * STEP, status, box), view)
        if estimate is not None:
            place = space.place(i)
            turned = np.array([estimate.bearing.azimuth, estimate.bearing.elevation])
            yield status, place, estimate.position, turned - angles(place)


def measured(rows: list[Any], errors: list[float], scale: float) -> None:
    rows += [scale * float(np.median(errors)), scale * float(np.percentile(errors, 95))]


def accuracy(case: Case, spaces: list[Space], boxes: Callable[[int], list[Seen]]) -> list[float]:
    """Median and 95th percentile of the range's error in cm and in percent, and of the bearing's
    in degrees, over the frames in which the target is TRACKING."""
    ranges, shares, bearings = [], [], []
    for number, space in enumerate(spaces):
        rng = np.random.default_rng([7, number])
        for status, place, found, turned in located(space, boxes(number), case, PoseConfig(), rng):
            if status is not TrackStatus.TRACKING:
                continue
            bearings.append(float(np.abs(turned).max()))
            if found is not None:
                distance = float(np.linalg.norm(place))
                ranges.append(abs(float(np.linalg.norm(found)) - distance))
                shares.append(ranges[-1] / distance)
    row: list[float] = []
    measured(row, ranges or [np.nan], 100)
    measured(row, shares or [np.nan], 100)
    measured(row, bearings, 180 / np.pi)
    return row


def occlusion(
    case: Case, spaces: list[Space], boxes: Callable[[int], list[Seen]]
) -> tuple[list[float], int]:
    """Median and 95th percentile of the error of the predicted place in cm after a second without
    the target, and of the place where it was last; and how many occlusions there were."""
    config = PoseConfig(coast=2.0)
    predicted, held = [], []
    for number, space in enumerate(spaces):
        rng = np.random.default_rng([8, number])
        last, since = None, 0
        for status, place, found, _ in located(space, boxes(number), case, config, rng):
            if found is None:
                continue
            if status is TrackStatus.TRACKING:
                last, since = found, 0
                continue
            since += 1
            if since == OCCLUSION and last is not None:
                predicted.append(float(np.linalg.norm(found - place)))
                held.append(float(np.linalg.norm(last - place)))
    row: list[float] = []
    measured(row, predicted or [np.nan], 100)
    measured(row, held or [np.nan], 100)
    return row, len(predicted)


def compare(arguments: argparse.Namespace) -> dict[str, Any]:
    """All errors, printed and returned."""
    seeds = range(1, arguments.scenes + 1)
    scenes: dict[str, list[Space]] = {
        name: [Space(render_scene(name, FRAMES, SIZE, seed)) for seed in seeds]
        for name in ('walk', 'walk_hidden')
    }
    kinds: dict[str, dict[str, list[list[Seen]]]] = {
        'exact': {name: [] for name in scenes},
        'noisy': {name: [] for name in scenes},
    }
    if arguments.tracker:
        kinds[arguments.tracker] = {name: [] for name in scenes}
    for name, spaces in scenes.items():
        for number, space in enumerate(spaces):
            for kind, seen in kinds.items():
                rng = np.random.default_rng([9, number])
                is_made_up = kind in ('exact', 'noisy')
                seen[name].append(
                    made_up(space, kind == 'noisy', rng) if is_made_up else tracked(space, kind)
                )
    cases = [Case('depth', 'exact', depth) for depth in DEPTHS]
    cases += [
        Case(source, kind, 'all of it' if source == 'depth' else '')
        for kind in kinds
        for source in ('depth', 'size', 'ground', 'none')
        if (source, kind) != ('depth', 'exact')
    ]
    report: dict[str, Any] = {
        'machine': describe_machine(),
        'scenes': arguments.scenes,
        'frames': FRAMES,
        'size': list(SIZE),
        'errors': [],
        'occlusions': [],
    }
    for case in cases:
        row = accuracy(case, scenes['walk'], kinds[case.boxes]['walk'].__getitem__)
        report['errors'].append({**vars(case), 'values': row})
        if case.source == 'none' or case.depth not in ('', 'all of it', 'clean'):
            continue
        hidden = kinds[case.boxes]['walk_hidden']
        values, count = occlusion(case, scenes['walk_hidden'], hidden.__getitem__)
        if count:
            report['occlusions'].append({**vars(case), 'values': values, 'count': count})
    print(machine_line(report['machine']))
    print(f'\n{arguments.scenes} scenes of {FRAMES} frames, {SIZE[0]} x {SIZE[1]}')
    header = ['range by', 'boxes', 'depth', 'cm', 'p95', '%', 'p95', 'degrees', 'p95']
    print(format_table(header, [cells(each, 2) for each in report['errors']]))
    print('\nAfter a second without the target')
    header = ['range by', 'boxes', 'depth', 'predicted, cm', 'p95', 'held, cm', 'p95']
    print(format_table(header, [cells(each, 0) for each in report['occlusions']]))
    return report


def cells(entry: dict[str, Any], digits: int) -> list[str]:
    values = ['' if np.isnan(value) else f'{value:.{digits}f}' for value in entry['values']]
    return [entry['source'], entry['boxes'], entry['depth'], *values]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition('\n\n')[0])
    parser.add_argument('--tracker', default='', choices=['', *list_trackers()])
    parser.add_argument('--scenes', type=int, default=5, help='so many of each kind')
    parser.add_argument('--cost', action='store_true', help='milliseconds of a frame in the node')
    parser.add_argument('--minutes', type=float, default=0.0, help='memory of the node over time')
    parser.add_argument('--json', type=Path, help='write all of it to this file')
    arguments = parser.parse_args()
    if arguments.cost or arguments.minutes:
        from pose_node import cost, memory  # needs ROS

        report = cost() if arguments.cost else memory(arguments.minutes)
    else:
        report = compare(arguments)
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1) + '\n')


if __name__ == '__main__':
    main()

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
from dataclasses import dataclass, replace
import json
from pathlib import Path
import sys
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

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
# Status, true place, estimated place, error of the bearing
Row = tuple[TrackStatus, np.ndarray, np.ndarray | None, np.ndarray]


@dataclass(frozen=True)
class Case:
    """A source of ranges, with the boxes and the depth images that it gets."""

    source: str
    boxes: str
    depth: str = ''

    @property
    def is_on_ground(self) -> bool:
        return self.source == 'ground'


def spoilt(depth: DepthImage, how: str, rng: np.random.Generator) -> DepthImage:
    """Depth as cameras give it: 16 bits of a millimetre; noise that grows with the square of the
    depth, as stereo has it (6 cm at 4 m); holes in patches over a third, and at edges."""
    z = depth.values
    height, width = z.shape
    if how in ('noise', 'all of it'):
        z = z + 0.004 * z**2 * rng.standard_normal(z.shape, np.float32)
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
    space: Space, seen: dict[str, list[Seen]], cases: list[Case], config: PoseConfig, seed: int
) -> dict[Case, list[Row]]:
    """Every frame of a scene, for every case; a frame's depth is made once.

    Args:
        space: Of the scene.
        seen: States and boxes by their kind.
        cases: What to compare.
        config: How targets are located.
        seed: Of the noise.
    """
    rng = np.random.default_rng(seed)
    sizes = {'size': space.object_size[1]}
    locators = {
        case: TargetLocator(replace(config, object_height=sizes.get(case.source, 0.0)))
        for case in cases
    }
    rows: dict[Case, list[Row]] = {case: [] for case in cases}
    for i in range(len(space.scene)):
        exact = space.depth(i)
        depths = {how: spoilt(exact, how, rng) for how in DEPTHS}
        for case, locator in locators.items():
            status, box = seen[case.boxes][i]
            if case.depth in ('background', 'all of it'):
                box = Box.from_center(box.cx, box.cy, 1.5 * box.w, 1.5 * box.h)
            view = View(
                space.camera, depths.get(case.depth), space.ground if case.is_on_ground else None
            )
            estimate = locator.observe(Observation(i * STEP, status, box), view)
            if estimate is not None:
                place = space.place(i)
                turned = np.array([estimate.bearing.azimuth, estimate.bearing.elevation])
                rows[case].append((status, place, estimate.position, turned - angles(place)))
    return rows


def measured(values: list[float | None], errors: list[float], scale: float) -> None:
    """Add median and 95th percentile; None where there is nothing."""
    values += [scale * float(np.percentile(errors, q)) if errors else None for q in (50, 95)]


def accuracy(rows: list[Row]) -> list[float | None]:
    """Median and 95th percentile of the range's error in cm and in percent, and of the bearing's
    in degrees, over the frames in which the target is TRACKING."""
    ranges, shares, bearings = [], [], []
    for status, place, found, turned in rows:
        if status is not TrackStatus.TRACKING:
            continue
        bearings.append(float(np.abs(turned).max()))
        if found is not None:
            distance = float(np.linalg.norm(place))
            ranges.append(abs(float(np.linalg.norm(found)) - distance))
            shares.append(ranges[-1] / distance)
    values: list[float | None] = []
    measured(values, ranges, 100)
    measured(values, shares, 100)
    measured(values, bearings, 180 / np.pi)
    return values


def occlusions(rows: list[Row]) -> list[tuple[float, float]]:
    """After each second without the target, metres by which its predicted place is off, and the
    place where it was last."""
    found_errors = []
    last, since = None, 0
    for status, place, found, _ in rows:
        if found is None or status is TrackStatus.TRACKING:
            last, since = found, 0
            continue
        since += 1
        if since == OCCLUSION and last is not None:
            errors = (float(np.linalg.norm(each - place)) for each in (found, last))
            found_errors.append((next(errors), next(errors)))
    return found_errors


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
    seen_rows: dict[Case, list[Row]] = {case: [] for case in cases}
    gaps: dict[Case, list[tuple[float, float]]] = {case: [] for case in cases}
    for name, spaces in scenes.items():
        config = PoseConfig(coast=2.0 if name == 'walk_hidden' else PoseConfig().coast)
        for number, space in enumerate(tqdm(spaces, name, unit='scene')):
            seen = {kind: of[name][number] for kind, of in kinds.items()}
            for case, rows in located(space, seen, cases, config, number).items():
                if name == 'walk':
                    seen_rows[case] += rows
                else:
                    gaps[case] += occlusions(rows)
    for case in cases:
        report['errors'].append({**vars(case), 'values': accuracy(seen_rows[case])})
        if gaps[case] and case.depth in ('', 'clean', 'all of it'):
            values: list[float | None] = []
            for errors in zip(*gaps[case], strict=True):
                measured(values, list(errors), 100)
            entry = {**vars(case), 'values': values, 'count': len(gaps[case])}
            report['occlusions'].append(entry)
    print(machine_line(report['machine']))
    print(f'\n{arguments.scenes} scenes of {FRAMES} frames, {SIZE[0]} x {SIZE[1]}')
    header = ['range by', 'boxes', 'depth', 'cm', 'p95', '%', 'p95', 'degrees', 'p95']
    print(format_table(header, [cells(each, 2) for each in report['errors']]))
    print('\nAfter a second without the target')
    header = ['range by', 'boxes', 'depth', 'predicted, cm', 'p95', 'held, cm', 'p95']
    print(format_table(header, [cells(each, 0) for each in report['occlusions']]))
    return report


def cells(entry: dict[str, Any], digits: int) -> list[str]:
    values = ['' if value is None else f'{value:.{digits}f}' for value in entry['values']]
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

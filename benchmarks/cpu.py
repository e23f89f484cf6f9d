# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The published networks on a CPU, beside the authors' code.

    python benchmarks/cpu.py [--out benchmarks/results/cpu_authors] [--trackers spm,tadt]

The authors' code is not run here: its times per frame were taken once, on a machine with two cores
(the speed sections of the notes on each tracker). To compare, they are scaled by how fast this
machine convolves now. Those notes carry no calibration of their own, but two of their figures are
nearly pure convolution: the backbone of Ocean at three sizes, and a frame of TADT, which is VGG-16
at 180 x 180. The same layers are run here in plain torch, float32, before and after each tracker,
and the ratio of the sums is the scale. What TADT's figure holds besides its convolutions makes the
scale too small, so the factors err on the low side.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
import json
from pathlib import Path
import sys
import time
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tracker_core import create_tracker  # noqa: E402
from tracker_core.backbones.vgg import Vgg16  # noqa: E402
from tracker_core.evaluation.machine import describe_machine, machine_line  # noqa: E402
from tracker_core.media.scene import render_scene  # noqa: E402
from tracker_core.ocean.network import OceanNetwork  # noqa: E402
from tracker_core.weights import randomize  # noqa: E402

# of the authors' code with two threads, milliseconds: backbone and neck of Ocean by side of the
# search region, a whole frame of TADT
CONVOLUTIONS = {
    ('ocean', 255): 91.0,
    ('ocean', 271): 84.0,
    ('ocean', 287): 108.0,
    ('tadt', 180): 98.0,
}
# preset -> milliseconds per frame of the authors' code, updates included; the factor to reach
AUTHORS = {
    ('spm', 'paper'): (47.0, 2.0),
    ('ocean', 'paper_otb'): (132.0, 2.0),
    ('ocean', 'paper'): (140.0, 2.0),
    ('tadt', 'paper'): (98.0, 2.0),
    ('atom', 'paper'): (83.0, 3.0),
    ('dat', 'paper'): (10_600.0, 5.0),
}
# random weights decide nothing sensible; these make every frame an ordinary one: the target is
# found, and the classifier is trained every tenth frame. First frames are not compared.
ORDINARY: dict[str, dict[str, Any]] = {
    'atom': {
        'not_found_threshold': -1.0,
        'distractor_threshold': 1e6,
        'hard_negative_threshold': 1e6,
        'step_length': 0.01,
        'newton_steps': 1,
        'first_iterations': 1,
    },
    'dat': {'success_score': -1e6, 'first_iterations': 1},
}
SIZE = (640, 360)
PERIOD = 10  # frames with one update


def milliseconds(run: Callable[[], Any], times: int) -> float:
    """The median of some runs."""
    spans = []
    for _ in range(times):
        begin = time.perf_counter()
        run()
        spans.append(time.perf_counter() - begin)
    return 1e3 * float(np.median(spans))


class Calibration:
    """The convolutions that the authors' figures are known of, as plain torch runs them."""

    def __init__(self) -> None:
        self._ocean, self._vgg = OceanNetwork(align=False), Vgg16()
        for network in (self._ocean, self._vgg):
            randomize(network)
            network.eval().requires_grad_(False)

    @torch.inference_mode()
    def scale(self, times: int) -> float:
        """How many times slower than those figures this machine is at the moment."""
        total = 0.0
        for name, side in CONVOLUTIONS:
            images = torch.rand(1, 3, side, side)

            def run(name: str = name, images: torch.Tensor = images) -> None:
                if name == 'ocean':
                    self._ocean.neck(self._ocean.backbone(images))
                else:
                    self._vgg.features(images)

            total += milliseconds(run, times)
        return total / sum(CONVOLUTIONS.values())


def per_frame(name: str, preset: str, precision: str, periods: int) -> float:
    """Milliseconds per frame, updates included."""
    options = ORDINARY.get(name, {})
    tracker = create_tracker(
        name, preset, 'cpu', precision, 'eager', 'random', recover=False, **options
    )
    frames = periods * PERIOD
    scene = render_scene(frames=13, size=SIZE)
    images = list(scene)
    target = tracker.start(images[0], scene.boxes[0])
    state, box = target.state, target.box
    tracker.track(images[1], target, learn=False)
    spans = []
    for index in range(frames):
        begin = time.perf_counter()
        tracker.track(images[1 + index % 12], target)
        spans.append(time.perf_counter() - begin)
        target.state, target.box = state, box  # the same work in every frame
    # a median over periods: other load must not count, updates must
    return 1e3 * float(np.median(np.reshape(spans, (periods, PERIOD)).sum(1))) / PERIOD


def measure(out: Path, names: Sequence[str], precisions: Sequence[str], periods: int) -> None:
    calibration = Calibration()
    report: dict[str, Any] = {'machine': describe_machine(), 'rows': [], 'convolutions': []}
    times = 2 * periods + 1
    before = calibration.scale(times)
    for (name, preset), (authors, wanted) in AUTHORS.items():
        for precision in precisions:
            if name not in names or (name == 'dat' and precision != 'float32'):
                continue
            own = per_frame(name, preset, precision, 1 if name == 'dat' else periods)
            after = calibration.scale(times)
            scale, before = (before + after) / 2, after
            row = {
                'tracker': f'{name} {preset}',
                'precision': precision,
                'ms': own,
                'authors_ms': authors,
                'scale': scale,
                'authors_scaled_ms': authors * scale,
                'faster': authors * scale / own,
                'wanted': wanted,
            }
            report['rows'].append(row)
            print(', '.join(f'{k} {v:.3g}' if isinstance(v, float) else v for k, v in row.items()))
            write(out, report)


def write(out: Path, report: dict[str, Any]) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    out.with_suffix('.json').write_text(json.dumps(report, indent=1) + '\n')
    header = [
        'tracker',
        'precision',
        'ms/frame',
        "authors' code, scaled",
        'times faster',
        'wanted',
    ]
    lines = [header, ['---', '---', *['---:'] * 4]]
    lines += [
        [
            row['tracker'],
            row['precision'],
            f'{row["ms"]:.1f}',
            f'{row["authors_scaled_ms"]:.1f}',
            f'{row["faster"]:.2f}',
            f'{row["wanted"]:g}',
        ]
        for row in report['rows']
    ]
    table = '\n'.join(f'| {" | ".join(line)} |' for line in lines)
    machine = machine_line(report['machine']).replace('\n', '  \n')
    about = ' '.join(__doc__.split('\n\n', 2)[2].split())
    text = f"# Beside the authors' code\n\n{machine}\n\n{table}\n\n{about}\n"
    out.with_suffix('.md').write_text(text)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = ROOT / 'benchmarks' / 'results' / 'cpu_authors'
    parser.add_argument('--out', type=Path, default=default)
    parser.add_argument('--trackers', default='spm,ocean,tadt,atom,dat')
    parser.add_argument('--precisions', default='float32,bfloat16')
    parser.add_argument('--periods', type=int, default=3, help='of ten frames')
    args = parser.parse_args(arguments)
    print(machine_line(describe_machine()))
    measure(args.out, args.trackers.split(','), args.precisions.split(','), args.periods)
    return 0


if __name__ == '__main__':
    sys.exit(main())

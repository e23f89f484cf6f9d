# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Draw the idea of each tracker: docs/images/idea_NAME.svg.

python scripts/tracker_pictures.py
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl

mpl.use('svg')
from matplotlib.axes import Axes
from matplotlib.patches import Ellipse, Rectangle
import matplotlib.pyplot as plt
from matplotlib.transforms import Affine2D
import numpy as np

IMAGES = Path(__file__).parents[1] / 'docs' / 'images'
BLUE, ORANGE, GREEN, GRAY = '#2463a8', '#e07b1a', '#2c8a4b', '#8a8f98'
TARGET, RIVAL = (0.42, 0.52), (0.83, 0.80)
SIZE = (0.30, 0.40)  # of the target, in shares of the panel
Panel = Callable[[Axes], None]


def thing(axes: Axes, at: tuple[float, float], scale: float = 1.0, turn: float = 0.0) -> None:
    """What is followed: a body with a head."""
    w, h = SIZE[0] * scale, SIZE[1] * scale
    where = Affine2D().rotate_deg_around(*at, turn) + axes.transData
    body = Ellipse((at[0], at[1] - 0.12 * h), w, 0.76 * h, fc='#9db8d9', ec=BLUE, lw=1)
    head = Ellipse((at[0], at[1] + 0.32 * h), 0.5 * w, 0.36 * h, fc='#f0c9a0', ec=BLUE, lw=1)
    for part in (body, head):
        part.set_transform(where)
        axes.add_patch(part)


def frame(
    axes: Axes,
    at: tuple[float, float],
    size: tuple[float, float] = SIZE,
    color: str = ORANGE,
    width: float = 2.0,
    style: str = '-',
) -> None:
    corner = (at[0] - size[0] / 2, at[1] - size[1] / 2)
    axes.add_patch(Rectangle(corner, *size, fill=False, ec=color, lw=width, ls=style))


def view(axes: Axes) -> None:
    """The target and one that looks like it."""
    thing(axes, TARGET)
    thing(axes, RIVAL, 0.6)


def peaks(axes: Axes, *what: tuple[tuple[float, float], float, float]) -> None:
    """A map with peaks at a place, of a width and a height."""
    y, x = np.mgrid[0:1:48j, 0:1:48j]
    values = sum(
        height * np.exp(-((x - at[0]) ** 2 + (y - at[1]) ** 2) / (2 * width**2))
        for at, width, height in what
    )
    axes.imshow(values, cmap='viridis', origin='lower', extent=(0, 1, 0, 1), vmin=0, vmax=1)


def arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], color: str) -> None:
    style = {'arrowstyle': '->', 'color': color, 'lw': 1.3}
    axes.annotate('', xy=end, xytext=start, arrowprops=style)


def atom_views(axes: Axes) -> None:
    turns = (0, 20, -35, 0, 60, -10)
    for number, turn in enumerate(turns):
        middle = (0.18 + 0.32 * (number % 3), 0.74 - 0.46 * (number // 3))
        shift = 0.04 if number == 3 else 0.0
        thing(axes, (middle[0] + shift, middle[1]), 0.55, turn)
        frame(axes, middle, (0.28, 0.38), GRAY, 1)


def atom_answer(axes: Axes) -> None:
    peaks(axes, (TARGET, 0.07, 1.0), (RIVAL, 0.06, 0.5))
    axes.plot(*TARGET, '+', color='white', ms=12, mew=2)
    axes.text(*RIVAL, 'rival', color='white', ha='center', va='center', fontsize=8)


def atom_boxes(axes: Axes) -> None:
    view(axes)
    random = np.random.default_rng(3)
    for _ in range(6):
        at = np.add(TARGET, random.uniform(-0.07, 0.07, 2))
        size = np.multiply(SIZE, random.uniform(0.65, 1.45, 2))
        frame(axes, tuple(at), tuple(size), GRAY, 0.9)
    frame(axes, TARGET)
    for x in (-1, 1):
        edge = TARGET[0] + x * SIZE[0] / 2
        arrow(axes, (edge + x * 0.12, TARGET[1]), (edge, TARGET[1]), ORANGE)


def dat_candidates(axes: Axes) -> None:
    view(axes)
    random = np.random.default_rng(1)
    for _ in range(26):
        at = np.add(TARGET, np.clip(random.normal(0, 0.09, 2), -0.2, 0.2))
        scale = 1.05 ** random.normal(0, 1.5)
        frame(axes, tuple(at), (SIZE[0] * scale, SIZE[1] * scale), GRAY, 0.6)


def dat_attention(axes: Axes) -> None:
    body = (TARGET[0], TARGET[1] - 0.05)
    head = (TARGET[0], TARGET[1] + 0.13)
    peaks(axes, (body, 0.10, 0.8), (head, 0.06, 0.55))
    frame(axes, TARGET, color='white')
    axes.text(0.98, 0.04, 'even over the whole target', color='white', ha='right', fontsize=8)


def dat_best(axes: Axes) -> None:
    view(axes)
    for dx, dy in ((0.02, 0), (-0.02, 0.01), (0, 0.02), (0.01, -0.02), (-0.01, -0.01)):
        frame(axes, (TARGET[0] + dx, TARGET[1] + dy), color=BLUE, width=0.8)
    frame(axes, TARGET)


def ocean_sides(axes: Axes) -> None:
    view(axes)
    frame(axes, TARGET)
    left, bottom = TARGET[0] - SIZE[0] / 2, TARGET[1] - SIZE[1] / 2
    grid = np.mgrid[0.06:1:0.08, 0.06:1:0.08].reshape(2, -1).T
    inside = (abs(grid - TARGET) < np.divide(SIZE, 2)).all(axis=1)
    axes.plot(*grid[~inside].T, '.', color=GRAY, ms=2)
    axes.plot(*grid[inside].T, '.', color=ORANGE, ms=4)
    x, y = TARGET[0] + 0.05, TARGET[1] - 0.08
    for end in ((left, y), (left + SIZE[0], y), (x, bottom), (x, bottom + SIZE[1])):
        arrow(axes, (x, y), end, GREEN)


def ocean_aligned(axes: Axes) -> None:
    view(axes)
    frame(axes, TARGET)
    for dx in (-0.5, 0, 0.5):
        for dy in (-0.5, 0, 0.5):
            axes.plot(TARGET[0] + dx * 0.1, TARGET[1] + dy * 0.1, 's', color=GRAY, ms=4)
            spread = (TARGET[0] + dx * SIZE[0], TARGET[1] + dy * SIZE[1])
            axes.plot(*spread, 'o', color=GREEN, ms=6)


def ocean_score(axes: Axes) -> None:
    peaks(axes, (TARGET, 0.09, 0.95), (RIVAL, 0.06, 0.35))
    axes.plot(*TARGET, '+', color='white', ms=12, mew=2)
    frame(axes, TARGET, color='white')


def spm_coarse(axes: Axes) -> None:
    view(axes)
    for w, h in ((0.42, 0.15), (0.33, 0.18), (0.24, 0.24), (0.18, 0.36), (0.15, 0.45)):
        frame(axes, TARGET, (w, h), GRAY, 0.9)
    frame(axes, (TARGET[0] + 0.03, TARGET[1]), (0.27, 0.43), BLUE, 1.6)
    frame(axes, RIVAL, (0.2, 0.25), BLUE, 1.6)


def spm_fine(axes: Axes) -> None:
    rows = ((0.8, 0, 1.0, 0.95), (0.5, 0, 0.7, 0.35), (0.2, 50, 0.8, 0.2))
    for y, turn, scale, score in rows:
        thing(axes, (0.15, y), 0.6)
        frame(axes, (0.15, y), (0.22, 0.27), GRAY, 1)
        thing(axes, (0.45, y), 0.6 * scale, turn)
        frame(axes, (0.45, y), (0.22, 0.27), BLUE, 1.4)
        axes.barh(y, 0.32 * score, 0.07, left=0.64, color=GREEN)
    axes.text(0.15, 0.96, 'template', ha='center', fontsize=7)
    axes.text(0.45, 0.96, 'candidate', ha='center', fontsize=7)
    axes.text(0.64, 0.96, 'alike', fontsize=7)


def spm_fused(axes: Axes) -> None:
    view(axes)
    frame(axes, (TARGET[0] + 0.03, TARGET[1]), (0.27, 0.43), BLUE, 1.4, '--')
    frame(axes, (TARGET[0] - 0.01, TARGET[1]), (0.31, 0.39), GREEN, 1.4, ':')
    frame(axes, TARGET)


def tadt_channels(axes: Axes) -> None:
    random = np.random.default_rng(5)
    kept = {1, 4, 6, 11, 13}
    for number in range(16):
        x, y = 0.03 + 0.245 * (number % 4), 0.77 - 0.245 * (number // 4)
        values = random.random((6, 6)) * (0.45 if number in kept else 0.9)
        if number in kept:
            values[2:4, 2:4] += 0.55
        axes.imshow(values, cmap='viridis', extent=(x, x + 0.2, y, y + 0.2), vmin=0, vmax=1)
        if number in kept:
            axes.add_patch(Rectangle((x, y), 0.2, 0.2, fill=False, ec=ORANGE, lw=2))


def tadt_sizes(axes: Axes) -> None:
    view(axes)
    for scale, color in ((0.85, BLUE), (1.0, ORANGE), (1.18, GREEN)):
        frame(axes, TARGET, (SIZE[0] * scale, SIZE[1] * scale), color, 1.6)


def tadt_peak(axes: Axes) -> None:
    peaks(axes, (TARGET, 0.06, 1.0), (RIVAL, 0.05, 0.45))
    axes.plot(*TARGET, '+', color='white', ms=12, mew=2)


IDEAS: dict[str, tuple[tuple[str, Panel], ...]] = {
    'atom': (
        ('views of the first frame teach a filter', atom_views),
        ('its highest answer is the place', atom_answer),
        ('boxes climb the predicted overlap', atom_boxes),
    ),
    'dat': (
        ('boxes around the last one are classified', dat_candidates),
        ('training evens out what is looked at', dat_attention),
        ('the best five make the box', dat_best),
    ),
    'ocean': (
        ('each place inside regresses four sides', ocean_sides),
        ('nine samples of that box judge the place', ocean_aligned),
        ('the best place brings its box', ocean_score),
    ),
    'spm': (
        ('coarse: anchors become candidates', spm_coarse),
        ('fine: candidates beside the template', spm_fine),
        ('both scores and boxes count', spm_fused),
    ),
    'tadt': (
        ('channels that answer to the target are kept', tadt_channels),
        ('their template is sought at three sizes', tadt_sizes),
        ('the highest peak is place and size', tadt_peak),
    ),
}


def draw(name: str) -> None:
    figure, row = plt.subplots(1, 3, figsize=(9.6, 3.35))
    for number, (axes, (title, panel)) in enumerate(zip(row, IDEAS[name], strict=True)):
        axes.add_patch(Rectangle((0, 0), 1, 1, fc='#f4f5f7', ec=GRAY, lw=0.8, zorder=-1))
        panel(axes)
        axes.set(xlim=(0, 1), ylim=(0, 1), aspect='equal')
        axes.axis('off')
        axes.set_title(f'{number + 1}. {title}', fontsize=9)
    figure.tight_layout()
    path = IMAGES / f'idea_{name}.svg'
    figure.savefig(path, metadata={'Date': None})
    plt.close(figure)
    path.write_text('\n'.join(line.rstrip() for line in path.read_text().splitlines()) + '\n')


if __name__ == '__main__':
    mpl.rcParams |= {'svg.fonttype': 'none', 'svg.hashsalt': 'idea', 'font.family': 'sans-serif'}
    for tracker in IDEAS:
        draw(tracker)

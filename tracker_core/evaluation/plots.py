# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Plots of success, precision and reliability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

COLOURS = ('#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9', '#000000', '#999999')


def write_plots(report: dict[str, Any], folder: str | Path) -> list[Path]:
    """Write success.png and precision.png for the trackers of a report; see `make_report`."""
    kinds = (
        ('success', 'auc', 'overlap threshold', 'overlap_thresholds'),
        ('precision', 'precision', 'centre error threshold (pixels)', 'error_thresholds'),
    )
    Path(folder).mkdir(parents=True, exist_ok=True)
    return [_write_plot(report, Path(folder) / f'{kind[0]}.png', *kind) for kind in kinds]


def _write_plot(
    report: dict[str, Any], path: Path, kind: str, measure: str, axis: str, thresholds: str
) -> Path:
    figure = Figure(figsize=(6.4, 4.8), layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    ordered = sorted(report['trackers'], key=lambda result: -result['mean'][measure])
    for i, result in enumerate(ordered):
        label = f'{result["name"]} {result["preset"]}  {result["mean"][measure]:.3f}'
        style = '-' if result['preset'] != 'opencv' else '--'
        colour = COLOURS[i % len(COLOURS)]
        axes.plot(report[thresholds], result[f'{kind}_curve'], style, color=colour, label=label)
    if kind == 'precision':
        axes.axvline(20, color='#cccccc', linewidth=1, zorder=0)
    axes.set(xlabel=axis, ylabel=f'{kind} rate', ylim=(0, 1), xlim=(0, report[thresholds][-1]))
    count = len(report['trackers'][0]['sequences'])
    axes.set_title(f'{kind.capitalize()}, one pass over {count} sequences', loc='left')
    axes.grid(color='#eeeeee')
    axes.spines[['top', 'right']].set_visible(False)
    axes.legend(
        frameon=False,
        title='area under the curve' if kind == 'success' else 'rate at 20 pixels',
        alignment='left',
    )
    figure.savefig(path, dpi=150)
    return path


def write_reliability(
    lines: Mapping[str, Sequence[tuple[int, float, float]]], path: str | Path
) -> Path:
    """Write a reliability diagram: the share of right boxes over the score that was given.

    Args:
        lines: By name, what `Kept.reliability` holds.
        path: Of the image.
    """
    figure = Figure(figsize=(5.6, 4.8), layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color='#cccccc', linewidth=1, zorder=0)
    for (name, tenths), colour in zip(lines.items(), COLOURS * len(lines), strict=False):
        frames, scores, shares = zip(*tenths, strict=True)
        total = sum(frames)
        axes.plot(scores, shares, color=colour, linewidth=1, label=name)
        sizes = [600 * count / total for count in frames]  # of the dots: how many frames
        axes.scatter(scores, shares, sizes, color=colour, alpha=0.5, linewidths=0)
    axes.set(xlabel='score', ylabel='share of right boxes', xlim=(0, 1), ylim=(0, 1.02))
    axes.set_title('Held-out frames, tenth by tenth', loc='left')
    axes.grid(color='#eeeeee')
    axes.spines[['top', 'right']].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=120)
    return Path(path)

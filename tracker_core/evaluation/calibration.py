# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Makes a tracker's score mean the same as every other's: the probability of a right box.

A tracker runs over rendered scenes, its raw scores are collected together with whether the box
overlapped the object by at least half, and score = 1 / (1 + exp(-slope * (raw - midpoint))) is
fitted to them (Platt, Probabilistic outputs for support vector machines, 1999).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tracker_core.errors import TrackerError
from tracker_core.media.scene import render_scene, Scene, SCENES
from tracker_core.progress import progress_bar
from tracker_core.tables import format_table

PATIENCE = 15  # missed frames in a row after which the tracker is started anew on the object


@dataclass(frozen=True)
class Calibration:
    """A fit, and how it does on scenes that it was not fitted to.

    Attributes:
        midpoint, slope: Of the logistic; the parameters `score_midpoint` and `score_slope`.
        brier: Mean square of score minus outcome; 0 is perfect, `brier_base` is what the share of
            right boxes alone, as a constant score, would get.
        brier_base: See there.
        frames: How many frames it was fitted to.
        held_out: How many frames it was checked on.
        reliability: For scores in tenths: frames, mean score and share of right boxes; what a
            score promises and what it keeps. Empty tenths are left out.
    """

    midpoint: float
    slope: float
    brier: float
    brier_base: float
    frames: int
    held_out: int
    reliability: list[tuple[int, float, float]]


def scenes_for_calibration(
    count: int, frames: int, photos: Sequence[np.ndarray] = ()
) -> Iterator[Scene]:
    """Scenes of all kinds with seeds of their own; with photos, every other one is cut from
    them."""
    names = list(SCENES)
    for i in range(count):
        cut_from = photos if i % 2 else ()
        yield render_scene(names[i % len(names)], frames, (480, 360), 10_000 + i, cut_from)


def collect(tracker: Any, scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """Raw scores (N,) and whether the box was right (N,) bool, from a run over a scene.

    A box is right if it overlaps the whole object by at least half; it cannot be while the object
    is out of sight.
    """
    raw_scores, hits = [], []
    target, missed = None, 0
    for image, box, visible in zip(scene, scene.boxes, scene.visible, strict=True):
        if target is None:
            if visible > 0.8:
                target, missed = tracker.start(image, box), 0
            continue
        track = tracker.track(image, target)
        is_hit = visible > 0 and track.box.iou(box) >= 0.5
        if np.isfinite(track.raw_score):
            raw_scores.append(track.raw_score)
            hits.append(is_hit)
        missed = 0 if is_hit or visible < 0.5 else missed + 1
        if missed >= PATIENCE:
            target = None
    return np.array(raw_scores), np.array(hits, bool)


def fit_logistic(raw: np.ndarray, hits: np.ndarray) -> tuple[float, float]:
    """Midpoint and slope of the logistic that makes the outcomes most likely, by Newton's method.

    Raises:
        TrackerError: There is nothing to learn from: all boxes are right, or all wrong, or the raw
            score is constant.
    """
    if len(raw) == 0 or hits.all() or not hits.any() or raw.std() < 1e-9:
        raise TrackerError(
            f'{len(raw)} frames with {int(hits.sum())} right boxes do not determine a '
            'calibration; use more scenes'
        )
    mean, scale = raw.mean(), raw.std()
    design = np.column_stack([(raw - mean) / scale, np.ones(len(raw))])
    weights = np.zeros(2)
    ridge = 1e-3 * np.diag([1.0, 0.0])  # keeps the slope finite where the outcomes are separable
    for _ in range(100):
        p = 1 / (1 + np.exp(-np.clip(design @ weights, -30, 30)))
        gradient = design.T @ (p - hits) / len(raw) + ridge @ weights
        curvature = (design * (p * (1 - p))[:, None]).T @ design / len(raw) + ridge
        step = np.linalg.solve(curvature + 1e-12 * np.eye(2), gradient)
        weights -= step / max(np.abs(step).max() / 2, 1)  # a step at most two units long
        if np.abs(step).max() < 1e-10:
            break
    slope = weights[0] / scale
    if slope <= 0:
        raise TrackerError('the raw score does not rise with the quality of the box')
    return float(mean - weights[1] / slope), float(slope)


def logistic(raw: np.ndarray, midpoint: float, slope: float) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(slope * (raw - midpoint), -60, 60)))


def calibrate(
    tracker: Any, scenes: Iterable[Scene], total: int | None = None, progress: bool = True
) -> Calibration:
    """Fit the score of a tracker on two scenes out of three, check it on the third.

    Args:
        tracker: One that was made with `recover=False`, so that its boxes are always those its
            raw scores speak of.
        scenes: At least three.
        total: How many, for the progress bar.
        progress: Show a progress bar.

    Raises:
        TrackerError: See `fit_logistic`.
    """
    pairs = [
        collect(tracker, scene)
        for scene in progress_bar(scenes, 'calibrating', total, 'scene', not progress)
    ]
    raw, hits = (
        np.concatenate(x)
        for x in zip(*(p for i, p in enumerate(pairs) if i % 3 != 2), strict=True)
    )
    midpoint, slope = fit_logistic(raw, hits)
    held_raw, held_hits = (np.concatenate(x) for x in zip(*pairs[2::3], strict=True))
    scores = logistic(held_raw, midpoint, slope)
    tenth = np.minimum((scores * 10).astype(int), 9)
    return Calibration(
        midpoint,
        slope,
        float(np.mean((scores - held_hits) ** 2)),
        float(np.mean((hits.mean() - held_hits) ** 2)),
        len(raw),
        len(held_raw),
        [
            (int(n), float(scores[tenth == i].mean()), float(held_hits[tenth == i].mean()))
            for i in range(10)
            if (n := (tenth == i).sum())
        ],
    )


def calibration_table(calibration: Calibration) -> str:
    """The result for a person."""
    rows = [
        [str(n), f'{score:.2f}', f'{share:.2f}'] for n, score, share in calibration.reliability
    ]
    return (
        format_table(['frames', 'mean score', 'right boxes'], rows)
        + f'\nBrier score {calibration.brier:.4f} on {calibration.held_out} held-out frames '
        f'(a constant score: {calibration.brier_base:.4f}); fitted to {calibration.frames}\n'
        f'score_midpoint = {calibration.midpoint:.4f}\nscore_slope = {calibration.slope:.3f}'
    )

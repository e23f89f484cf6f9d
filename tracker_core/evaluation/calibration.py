# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Makes a tracker's score mean the same as every other's: the probability of a right box.

A tracker runs over rendered scenes, and over annotated sequences. Its raw scores, and where it
compares the target with the first frame the similarities, are collected together with whether the
box overlapped the object by at least half, and

    score = 1 / (1 + exp(-slope * (raw - midpoint) - similarity_slope * similarity))

is fitted to them (Platt, Probabilistic outputs for support vector machines, 1999).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tracker_core.boxes import Box, is_box
from tracker_core.data.sequences import VideoSequence
from tracker_core.errors import TrackerError
from tracker_core.media.folders import read_image
from tracker_core.media.scene import render_scene, Scene
from tracker_core.media.scripts import SCENES
from tracker_core.progress import progress_bar
from tracker_core.tables import format_table

PATIENCE = 15  # missed frames in a row after which the tracker is started anew on the object


@dataclass(frozen=True)
class Calibration:
    """A fit, and how it does on scenes that it was not fitted to.

    Attributes:
        midpoint, slope, similarity_slope: Of the logistic; the parameters `score_midpoint`,
            `score_slope` and `similarity_slope`.
        brier: Mean square of score minus outcome; 0 is perfect, `brier_base` is what the share of
            right boxes alone, as a constant score, would get.
        brier_base: See there.
        error: Expected calibration error: by how much the share of right boxes differs from the
            score, in the mean over frames, tenth by tenth.
        frames: How many frames it was fitted to.
        held_out: How many frames it was checked on.
        reliability: For scores in tenths: frames, mean score and share of right boxes; what a
            score promises and what it keeps. Empty tenths are left out.
    """

    midpoint: float
    slope: float
    similarity_slope: float
    brier: float
    brier_base: float
    error: float
    frames: int
    held_out: int
    reliability: list[tuple[int, float, float]]


def scenes_for_calibration(
    count: int, frames: int, photos: Sequence[np.ndarray] = ()
) -> Iterator[Scene]:
    """Scenes of all kinds with seeds of their own; with photos, every other one is cut from
    them."""
    names = [*SCENES, 'exits', 'confused']
    for i in range(count):
        cut_from = photos if i % 2 else ()
        yield render_scene(names[i % len(names)], frames, (480, 360), 10_000 + i, cut_from)


class Footage:
    """An annotated sequence as a scene; frames that are not annotated are left out."""

    def __init__(self, sequence: VideoSequence) -> None:
        kept = np.flatnonzero(is_box(sequence.boxes))
        self._paths = [sequence.frames[int(i)] for i in kept]
        self.boxes = [Box(*sequence.boxes[i]) for i in kept]
        self.visible = np.ones(len(kept))

    def __iter__(self) -> Iterator[np.ndarray]:
        return map(read_image, self._paths)


def collect(tracker: Any, scene: Scene | Footage) -> tuple[np.ndarray, np.ndarray]:
    """What the score is made of, (N, 2) raw scores and similarities, 0 where there are none, and
    whether the box was right, (N,) bool, from a run over a scene.

    A box is right if it overlaps the whole object by at least half; it cannot be while the object
    is out of sight.
    """
    evidence, hits = [], []
    target, missed = None, 0
    for image, box, visible in zip(scene, scene.boxes, scene.visible, strict=True):
        if target is None:
            if visible > 0.8:
                target, missed = tracker.start(image, box), 0
            continue
        track = tracker.track(image, target)
        is_hit = visible > 0 and track.box.iou(box) >= 0.5
        similarity = getattr(target, 'similarity', None) or 0.0
        if np.isfinite([track.raw_score, similarity]).all():
            evidence.append((track.raw_score, similarity))
            hits.append(is_hit)
        missed = 0 if is_hit or visible < 0.5 else missed + 1
        if missed >= PATIENCE:
            target = None
    return np.array(evidence, float).reshape(-1, 2), np.array(hits, bool)


def fit_logistic(evidence: np.ndarray, hits: np.ndarray) -> tuple[float, float, float]:
    """Midpoint and slopes of the logistic that makes the outcomes most likely, by Newton's method.

    Args:
        evidence: (N, 2) raw scores and similarities. Constant similarities say nothing, and their
            slope is 0; so it is where it would be negative.
        hits: (N,) bool.

    Raises:
        TrackerError: There is nothing to learn from: all boxes are right, or all wrong, or the raw
            score is constant, or falls with the quality of the box.
    """
    if len(hits) == 0 or hits.all() or not hits.any() or evidence[:, 0].std() < 1e-9:
        raise TrackerError(
            f'{len(hits)} frames with {int(hits.sum())} right boxes do not determine a '
            'calibration; use more scenes'
        )
    used = 2 if evidence[:, 1].std() > 1e-9 else 1
    slopes, offset = _newton(evidence[:, :used], hits)
    if used == 2 and slopes[1] < 0:
        slopes, offset = _newton(evidence[:, :1], hits)
    if slopes[0] <= 0:
        raise TrackerError('the raw score does not rise with the quality of the box')
    similarity_slope = float(slopes[1]) if len(slopes) > 1 else 0.0
    return float(-offset / slopes[0]), float(slopes[0]), similarity_slope


def _newton(evidence: np.ndarray, hits: np.ndarray) -> tuple[np.ndarray, float]:
    """Slopes and offset of a logistic."""
    mean, scale = evidence.mean(axis=0), evidence.std(axis=0)
    design = np.column_stack([(evidence - mean) / scale, np.ones(len(hits))])
    weights = np.zeros(design.shape[1])
    # keeps the slopes finite where the outcomes are separable
    ridge = 1e-3 * np.diag([*np.ones(len(weights) - 1), 0.0])
    for _ in range(100):
        p = 1 / (1 + np.exp(-np.clip(design @ weights, -30, 30)))
        gradient = design.T @ (p - hits) / len(hits) + ridge @ weights
        curvature = (design * (p * (1 - p))[:, None]).T @ design / len(hits) + ridge
        step = np.linalg.solve(curvature + 1e-12 * np.eye(len(weights)), gradient)
        weights -= step / max(np.abs(step).max() / 2, 1)  # a step at most two units long
        if np.abs(step).max() < 1e-10:
            break
    slopes = weights[:-1] / scale
    return slopes, float(weights[-1] - slopes @ mean)


def logistic(
    evidence: np.ndarray, midpoint: float, slope: float, similarity_slope: float
) -> np.ndarray:
    """Scores (N,) of `fit_logistic`'s kind."""
    exponent = slope * (evidence[:, 0] - midpoint) + similarity_slope * evidence[:, 1]
    return 1 / (1 + np.exp(-np.clip(exponent, -60, 60)))


def reliability_of(scores: np.ndarray, hits: np.ndarray) -> list[tuple[int, float, float]]:
    """See `Calibration.reliability`."""
    tenth = np.minimum((scores * 10).astype(int), 9)
    return [
        (int(n), float(scores[tenth == i].mean()), float(hits[tenth == i].mean()))
        for i in range(10)
        if (n := (tenth == i).sum())
    ]


def calibration_error(reliability: Sequence[tuple[int, float, float]]) -> float:
    """See `Calibration.error`."""
    frames = sum(n for n, _, _ in reliability)
    return sum(n * abs(score - share) for n, score, share in reliability) / frames


def calibrate(
    tracker: Any,
    scenes: Iterable[Scene | Footage],
    total: int | None = None,
    progress: bool = True,
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
    evidence, hits = (
        np.concatenate(x)
        for x in zip(*(p for i, p in enumerate(pairs) if i % 3 != 2), strict=True)
    )
    midpoint, slope, similarity_slope = fit_logistic(evidence, hits)
    held, held_hits = (np.concatenate(x) for x in zip(*pairs[2::3], strict=True))
    scores = logistic(held, midpoint, slope, similarity_slope)
    reliability = reliability_of(scores, held_hits)
    return Calibration(
        midpoint,
        slope,
        similarity_slope,
        float(np.mean((scores - held_hits) ** 2)),
        float(np.mean((hits.mean() - held_hits) ** 2)),
        calibration_error(reliability),
        len(hits),
        len(held_hits),
        reliability,
    )


def calibration_table(calibration: Calibration) -> str:
    """The result for a person."""
    rows = [
        [str(n), f'{score:.2f}', f'{share:.2f}'] for n, score, share in calibration.reliability
    ]
    return (
        format_table(['frames', 'mean score', 'right boxes'], rows)
        + f'\nBrier score {calibration.brier:.4f} on {calibration.held_out} held-out frames '
        f'(a constant score: {calibration.brier_base:.4f}); calibration error '
        f'{calibration.error:.3f}; fitted to {calibration.frames}\n'
        f'score_midpoint = {calibration.midpoint:.4f}\nscore_slope = {calibration.slope:.3f}\n'
        f'similarity_slope = {calibration.similarity_slope:.3f}'
    )

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
class Kept:
    """What scores keep of what they promise.

    Attributes:
        brier: Mean square of score minus outcome; 0 is perfect.
        error: Expected calibration error: by how much the share of right boxes differs from the
            score, in the mean over frames, tenth by tenth.
        reliability: For scores in tenths: frames, mean score and share of right boxes. Empty
            tenths are left out.
    """

    brier: float
    error: float
    reliability: list[tuple[int, float, float]]

    @classmethod
    def of(cls, scores: np.ndarray, hits: np.ndarray) -> Kept:
        """Of scores (N,) in [0, 1] and whether the boxes were right, (N,) bool."""
        tenth = np.minimum((scores * 10).astype(int), 9)
        reliability = [
            (int(n), float(scores[tenth == i].mean()), float(hits[tenth == i].mean()))
            for i in range(10)
            if (n := (tenth == i).sum())
        ]
        error = sum(n * abs(score - share) for n, score, share in reliability) / len(hits)
        return cls(float(np.mean((scores - hits) ** 2)), error, reliability)


@dataclass(frozen=True)
class Calibration:
    """A fit, and how it does on scenes that it was not fitted to.

    Attributes:
        midpoint, slope, similarity_slope: Of the logistic; the parameters `score_midpoint`,
            `score_slope` and `similarity_slope`.
        frames: How many frames it was fitted to.
        held_out: How many frames it was checked on.
        brier_base: The Brier score there of the share of right boxes alone, as a constant score.
        fitted: What scores by the fit keep there.
        present: What the tracker's scores keep there as they are.
    """

    midpoint: float
    slope: float
    similarity_slope: float
    frames: int
    held_out: int
    brier_base: float
    fitted: Kept
    present: Kept


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


def collect(tracker: Any, scene: Scene | Footage) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What the score is made of, (N, 2) raw scores and similarities, 0 where there are none, the
    scores as they are, (N,), and whether the box was right, (N,) bool, from a run over a scene.

    A box is right if it overlaps the whole object by at least half; it cannot be while the object
    is out of sight.
    """
    evidence, scores, hits = [], [], []
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
            scores.append(track.score)
            hits.append(is_hit)
        missed = 0 if is_hit or visible < 0.5 else missed + 1
        if missed >= PATIENCE:
            target = None
    pairs = np.array(evidence, float).reshape(-1, 2)
    return pairs, np.array(scores, float), np.array(hits, bool)


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
    runs = [
        collect(tracker, scene)
        for scene in progress_bar(scenes, 'calibrating', total, 'scene', not progress)
    ]
    used = [run for number, run in enumerate(runs) if number % 3 != 2]
    evidence, _, hits = (np.concatenate(part) for part in zip(*used, strict=True))
    held, scores, held_hits = (np.concatenate(part) for part in zip(*runs[2::3], strict=True))
    fit = fit_logistic(evidence, hits)
    return Calibration(
        *fit,
        frames=len(hits),
        held_out=len(held_hits),
        brier_base=float(np.mean((hits.mean() - held_hits) ** 2)),
        fitted=Kept.of(logistic(held, *fit), held_hits),
        present=Kept.of(scores, held_hits),
    )


def calibration_table(calibration: Calibration) -> str:
    """The result for a person."""
    fit, now = calibration.fitted, calibration.present
    rows = [[str(n), f'{score:.2f}', f'{share:.2f}'] for n, score, share in fit.reliability]
    return (
        format_table(['frames', 'mean score', 'right boxes'], rows)
        + f'\nfitted to {calibration.frames} frames; on {calibration.held_out} held-out ones '
        f'calibration error {fit.error:.3f} (scores as they are: {now.error:.3f}), Brier score '
        f'{fit.brier:.4f} (as they are: {now.brier:.4f}; a constant: '
        f'{calibration.brier_base:.4f})\n'
        f'score_midpoint = {calibration.midpoint:.4f}\nscore_slope = {calibration.slope:.3f}\n'
        f'similarity_slope = {calibration.similarity_slope:.3f}'
    )

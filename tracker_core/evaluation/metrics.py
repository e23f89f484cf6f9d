# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The measures of one-pass evaluation (Wu et al., Object Tracking Benchmark, TPAMI 2015).

Boxes are (N, 4) arrays of x, y, w, h. A row of the ground truth that is not finite or has no area
says that the object was not annotated in this frame: `overlap` and `centre_error` are NaN there,
and such frames count in no measure. A predicted row of that kind says that the tracker had no box:
it counts as a miss, with overlap 0 and an infinite error.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tracker_core.boxes import Box, is_box

OVERLAP_THRESHOLDS = np.arange(21) / 20  # 0, 0.05, ..., 1
ERROR_THRESHOLDS = np.arange(51)  # 0, 1, ..., 50 pixels
MOST_NORMALISED = 0.2  # widths and heights of the true box


def box_rows(boxes: Sequence[Box]) -> np.ndarray:
    """Boxes as an (N, 4) array."""
    return np.array([box.as_xywh() for box in boxes], float).reshape(-1, 4)


def overlap(boxes: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Intersection over union frame by frame, (N,) in [0, 1]."""
    boxes, truth = _pair(boxes, truth)
    with np.errstate(invalid='ignore', divide='ignore', over='ignore'):
        low = np.maximum(boxes[:, :2], truth[:, :2])
        high = np.minimum(boxes[:, :2] + boxes[:, 2:], truth[:, :2] + truth[:, 2:])
        shared = np.clip(high - low, 0, None).prod(axis=1)
        union = boxes[:, 2:].prod(axis=1) + truth[:, 2:].prod(axis=1) - shared
        iou = np.where(is_box(boxes), shared / union, 0.0)
    return np.where(is_box(truth), iou, np.nan)


def centre_error(boxes: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Distance of the centres frame by frame in pixels, (N,)."""
    boxes, truth = _pair(boxes, truth)
    with np.errstate(invalid='ignore', over='ignore'):
        offset = boxes[:, :2] + boxes[:, 2:] / 2 - truth[:, :2] - truth[:, 2:] / 2
        error = np.where(is_box(boxes), np.hypot(*offset.T), np.inf)
    return np.where(is_box(truth), error, np.nan)


def normalised_error(boxes: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Distance of the centres frame by frame, in widths and heights of the true box, (N,).

    Müller et al., TrackingNet, ECCV 2018, section 5.
    """
    boxes, truth = _pair(boxes, truth)
    with np.errstate(invalid='ignore', divide='ignore', over='ignore'):
        offset = boxes[:, :2] + boxes[:, 2:] / 2 - truth[:, :2] - truth[:, 2:] / 2
        error = np.where(is_box(boxes), np.hypot(*(offset / truth[:, 2:]).T), np.inf)
    return np.where(is_box(truth), error, np.nan)


def success_curve(overlaps: np.ndarray) -> np.ndarray:
    """Share of the annotated frames whose overlap is above each of OVERLAP_THRESHOLDS, (21,)."""
    overlaps = overlaps[~np.isnan(overlaps)]
    return (overlaps[:, None] > OVERLAP_THRESHOLDS).mean(axis=0) if len(overlaps) else _nans(21)


def precision_curve(errors: np.ndarray) -> np.ndarray:
    """Share of the annotated frames with an error up to each of ERROR_THRESHOLDS, (51,)."""
    errors = errors[~np.isnan(errors)]
    return (errors[:, None] <= ERROR_THRESHOLDS).mean(axis=0) if len(errors) else _nans(51)


def measure(boxes: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
    """All measures of one sequence.

    Returns:
        By name

        * auc: Mean of the success curve (the area under it).
        * precision: Share of the frames with a centre error of at most 20 pixels.
        * norm_precision: Share of the frames with a `normalised_error` of at most 0.2 (LaSOT,
          TrackingNet).
        * success: Share of the frames with an overlap above 0.5.
        * overlap: Mean overlap.
        * frames: Annotated frames, which these refer to; the first, given one is among them.
        * ao, sr_50, sr_75: Mean overlap, and share of the frames with an overlap above 0.5 and
          0.75, without the first frame (GOT-10k).
        * success_curve, precision_curve: At OVERLAP_THRESHOLDS and ERROR_THRESHOLDS.

        All but frames are NaN where no frame but the first is annotated, and there are more.
    """
    overlaps, errors = overlap(boxes, truth), centre_error(boxes, truth)
    norm_errors = normalised_error(boxes, truth)
    frames = int((~np.isnan(overlaps)).sum())
    if len(overlaps) > 1 and np.isnan(overlaps[1:]).all():
        overlaps, errors, norm_errors = np.full((3, len(overlaps)), np.nan)
    successes, precisions = success_curve(overlaps), precision_curve(errors)
    later = overlaps[1:]
    return {
        'auc': float(successes.mean()),
        'precision': float(precisions[20]),
        'norm_precision': share(norm_errors, norm_errors <= MOST_NORMALISED),
        'success': float(successes[10]),
        'overlap': share(overlaps, overlaps),
        'frames': frames,
        'ao': share(later, later),
        'sr_50': share(later, later > 0.5),
        'sr_75': share(later, later > 0.75),
        'success_curve': successes.tolist(),
        'precision_curve': precisions.tolist(),
    }


def share(known: np.ndarray, values: np.ndarray) -> float:
    """The mean of the values of the frames that are not NaN in `known`; NaN if there is none."""
    kept = values[~np.isnan(known)]
    return float(kept.mean()) if len(kept) else float('nan')


def _pair(boxes: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    boxes, truth = np.asarray(boxes, float), np.asarray(truth, float)
    if boxes.shape != truth.shape or boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f'boxes {boxes.shape} and truth {truth.shape} must both be (N, 4)')
    return boxes, truth


def _nans(count: int) -> np.ndarray:
    return np.full(count, np.nan)

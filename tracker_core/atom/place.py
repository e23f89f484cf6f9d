# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""From the classifier's scores to a place: labels, interpolation of scores, and the decision."""

from __future__ import annotations

from dataclasses import dataclass
import math

import torch
from torch import Tensor

from tracker_core.atom.config import AtomConfig
from tracker_core.discriminative.verdict import Verdict
from tracker_core.layers.peaks import row_and_column


def gaussian_labels(centers: Tensor, cells: int, deviation: float) -> Tensor:
    """What the classifier is to answer.

    Args:
        centers: (n, 2) row and column of the target in cells from the centre of the map, plus the
            half cell by which an even kernel shifts.
        cells: Side of the map.
        deviation: Of the Gaussian, cells.

    Returns:
        (n, cells, cells), 1 at the peak.
    """
    k = torch.arange(cells, device=centers.device, dtype=centers.dtype) - (cells - 1) / 2
    distance = (k - centers[..., None]).square()  # (n, 2, cells)
    rows, columns = torch.exp(-distance / (2 * deviation**2)).unbind(1)
    return rows[:, :, None] * columns[:, None, :]


def label_deviation(config: AtomConfig, cells: int) -> float:
    """The deviation of the labels in cells: a share of the target's size."""
    return cells / config.search_scale * config.label_width


def fourier_matrix(cells: int, size: int) -> Tensor:
    """The matrix that interpolates scores by their Fourier series, centred.

    A map s becomes `A @ s @ A.T`; no displacement (index cells/2 of the map) lands on index
    size/2. The highest frequency counts twice, as in the released tracker.

    Returns:
        (size, cells) float64.
    """
    y = (torch.arange(size, dtype=torch.float64) - size / 2) / size
    m = torch.arange(cells, dtype=torch.float64) / cells
    k = torch.arange(1, cells // 2 + 1, dtype=torch.float64)
    phase = math.pi * (1 + 2 * (y[:, None] - m))  # (size, cells)
    return (1 + 2 * torch.cos(k[:, None, None] * phase).sum(dim=0)) / cells


def hann_window(size: int) -> Tensor:
    """(size,) Hann window whose peak is at index size/2, float64."""
    k = (torch.arange(size, dtype=torch.float64) - size // 2).abs()
    return 0.5 * (1 + torch.cos(2 * math.pi * k / (size + 2)))


@dataclass(frozen=True)
class Places:
    """Where N targets are.

    Attributes:
        verdict: (N,) `Verdict` as numbers.
        shift: (N, 2) rows and columns from the centre of the map.
        peak: (N,) the highest score.
        score: (N,) the score at the place, which may be the second peak.
        best: (N,) index of the best size.
    """

    verdict: Tensor
    shift: Tensor
    peak: Tensor
    score: Tensor
    best: Tensor


def find_places(maps: Tensor, sizes: Tensor, config: AtomConfig) -> Places:
    """Find the peak, look for a second one, and decide (after section 3.4 of the paper).

    The released tracker distinguishes more than the paper: of two similar peaks, only the one
    within reach of the last place is believed, and if neither or both are, nothing is learnt.

    Args:
        maps: (N, K, S, S) scores of K sizes of the search region, no displacement at S/2.
        sizes: (N, 2) height and width of the target, pixels of the search region.
        config: Thresholds.
    """
    n, _, side, _ = maps.shape
    peak, best = maps.flatten(2).amax(dim=2).max(dim=1)  # (N,)
    chosen = maps[torch.arange(n, device=maps.device), best]  # (N, S, S)
    first = torch.stack(row_and_column(chosen.flatten(1).argmax(dim=1), side), dim=1)  # (N, 2)

    reach = config.neighborhood_scale * sizes / 2
    low, high = torch.round(first - reach), torch.round(first + reach + 1)
    index = torch.arange(side, device=maps.device)
    inside = (index >= low[..., None]) & (index < high[..., None])  # (N, 2, S)
    inside = inside[:, 0, :, None] & inside[:, 1, None, :]
    second_peak, second = chosen.masked_fill(inside, 0).flatten(1).max(dim=1)
    second = torch.stack(row_and_column(second, side), dim=1)

    first, second = first - side // 2, second - side // 2
    limit = config.displacement_scale * side / 2
    distance, second_distance = (x.to(sizes.dtype).norm(dim=1) for x in (first, second))
    rivals = second_peak > config.distractor_threshold * peak
    first_near = (second_distance > limit) & (distance < limit)
    second_near = (second_distance < limit) & (distance > limit)
    distractor = (second_peak > config.hard_negative_threshold * peak) & (
        second_peak > config.not_found_threshold
    )
    verdict = distractor * int(Verdict.HARD_NEGATIVE)
    among = torch.where(
        first_near | second_near, int(Verdict.HARD_NEGATIVE), int(Verdict.UNCERTAIN)
    )
    verdict = torch.where(rivals, among, verdict)
    missing = peak < config.not_found_threshold
    verdict = verdict.masked_fill(missing, int(Verdict.NOT_FOUND))
    switch = rivals & second_near & ~missing
    shift = torch.where(switch[:, None], second, first).to(sizes.dtype)
    return Places(verdict, shift, peak, torch.where(switch, second_peak, peak), best)

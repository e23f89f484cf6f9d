# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""From the maps of the coarse stage to a fixed number of candidates, and from the scores of both
stages to one box.

Everything here is a tensor program of static shapes, batched over targets: what would be a list
of varying length is a full tensor with a mask. Boxes are corners (x1, y1, x2, y2), in pixels of
the image or of the search crop. As in the released code, some places count a box's last pixel as
part of it (width x2 - x1 + 1); each function says so.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from tracker_core.spm.config import SpmConfig

# width x height of the five anchors for a 127-pixel exemplar: area about 64 x 64, ratios of height
# to width 1/3, 1/2, 1, 2 and 3 (section 3.2)
ANCHOR_SIZES = ((112.0, 40.0), (88.0, 48.0), (64.0, 64.0), (48.0, 96.0), (40.0, 120.0))
ROUNDING = 0.01  # pixels by which a side that is held may be off
MOST_SUPPRESSED = 512  # boxes that suppression looks at
LARGEST_GROWTH = math.log(255 / 32)  # of a side, in one decoding step


def make_anchors(
    count: int,
    first: float,
    stride: float,
    sizes: tuple[tuple[float, float], ...] = ANCHOR_SIZES,
) -> Tensor:
    """The anchors of all cells of a response map.

    Args:
        count: Side of the map in cells.
        first: Centre of the first cell in crop pixels, the same in x and y.
        stride: Distance of the cells in crop pixels.
        sizes: Width and height of the five anchors in crop pixels.

    Returns:
        (count * count * 5, 4) float32 centre x, centre y, width, height; rows go by y, then x,
        then anchor.
    """
    centers = first + stride * torch.arange(count, dtype=torch.float32)
    y, x = torch.meshgrid(centers, centers, indexing='ij')
    centers = torch.stack([x, y], dim=-1)[:, :, None].expand(count, count, 5, 2)
    extents = torch.tensor(sizes).expand(count, count, 5, 2)
    return torch.cat([centers, extents], dim=-1).reshape(-1, 4)


def flatten_maps(cls: Tensor, box: Tensor) -> tuple[Tensor, Tensor]:
    """Scores and deltas in the order of `make_anchors`.

    Args:
        cls: (N, 10, h, w) logits: background of the five anchors, then foreground of them.
        box: (N, 20, h, w) deltas, four per anchor.

    Returns:
        Logits (N, A), foreground minus background, whose sigmoid is the softmax over the pair, and
        deltas (N, A, 4).
    """
    n, _, h, w = box.shape
    logits = cls[:, 5:] - cls[:, :5]
    deltas = box.reshape(n, 5, 4, h, w).permute(0, 3, 4, 1, 2)
    return logits.permute(0, 2, 3, 1).reshape(n, -1), deltas.reshape(n, -1, 4)


def decode(anchors: Tensor, deltas: Tensor) -> Tensor:
    """Move and scale boxes.

    Args:
        anchors: (..., 4) centre x, centre y, width, height.
        deltas: (..., 4) shift in widths and heights, logarithm of the growth.

    Returns:
        (..., 4) corners.
    """
    is_finite = deltas.abs() <= torch.finfo(deltas.dtype).max  # not every importer has isfinite
    growth = torch.where(is_finite, deltas, LARGEST_GROWTH)[..., 2:]
    sizes = anchors[..., 2:] * growth.clamp(max=LARGEST_GROWTH).exp()
    centers = anchors[..., :2] + deltas[..., :2] * anchors[..., 2:]
    return torch.cat([centers - sizes / 2, centers + sizes / 2], dim=-1)


def as_anchors(boxes: Tensor) -> Tensor:
    """Corners (..., 4) as centre, width and height, the last pixel counted."""
    sizes = boxes[..., 2:] - boxes[..., :2] + 1
    return torch.cat([boxes[..., :2] + sizes / 2, sizes], dim=-1)


def overlaps(boxes: Tensor, box: Tensor, pixel: float) -> Tensor:
    """IoU of boxes (N, A, 4) with one box each (N, 4): (N, A). `pixel` is added to all sides."""
    box = box[:, None]
    shared = torch.minimum(boxes[..., 2:], box[..., 2:]) - torch.maximum(
        boxes[..., :2], box[..., :2]
    )
    shared = (shared + pixel).clamp(min=0).prod(dim=-1)
    area = (boxes[..., 2:] - boxes[..., :2] + pixel).prod(dim=-1)
    return shared / (area + (box[..., 2:] - box[..., :2] + pixel).prod(dim=-1) - shared)


def select_candidates(
    boxes: Tensor, scores: Tensor, last: Tensor, config: SpmConfig
) -> tuple[Tensor, Tensor]:
    """Choose what the fine stage looks at: the best few after non-maximum suppression, and one
    box near the last one.

    Suppression is a loop of `config.candidates` - 1 rounds over the best boxes. Each takes the
    best score that is left and drops what overlaps it, which is greedy suppression up to there.
    One matrix of all overlaps takes fewer operations, but three times as long on a CPU.

    Args:
        boxes: (N, A, 4) corners in the image.
        scores: (N, A) in [0, 1].
        last: (N, 4) corners of the last box.
        config: Thresholds.

    Returns:
        Indices (N, K) by falling score, the box near the last one in the last column, and which
        of them are valid (N, K); the last one always is.
    """
    overlap = overlaps(boxes, last, pixel=1.0)
    near = overlap > config.near_overlap
    best_near = torch.where(near, scores, -1.0).argmax(dim=1)
    several = near.to(scores.dtype).sum(dim=1) > 1
    kept = torch.where(several, best_near, overlap.argmax(dim=1))[:, None]  # (N, 1)

    pool = scores.scatter(1, kept, -1.0)  # -1: not available
    pool, order = pool.topk(min(MOST_SUPPRESSED, pool.shape[1]), dim=1)  # (N, M), falling
    pool = pool.masked_fill(pool < config.candidate_score * pool[:, :1], -1.0)
    best = boxes.gather(1, order[:, :, None].expand(-1, -1, 4))  # (N, M, 4)
    chosen, score = [], []
    for _ in range(config.candidates - 1):
        highest, index = pool.max(dim=1, keepdim=True)  # (N, 1)
        chosen.append(index)
        score.append(highest)
        box = best.gather(1, index[:, :, None].expand(-1, -1, 4))[:, 0]
        pool = pool.masked_fill(overlaps(best, box, pixel=0.0) >= config.candidate_overlap, -1.0)
        pool = pool.scatter(1, index, -1.0)
    score.append(torch.zeros_like(highest))  # the box near the last one
    chosen = [order.gather(1, torch.cat(chosen, dim=1)), kept]
    return torch.cat(chosen, dim=1), torch.cat(score, dim=1) >= 0


def cosine_window(boxes: Tensor, last_pixel: float) -> Tensor:
    """Product of two Hann windows at the centres of boxes.

    Args:
        boxes: (..., 4) corners in the search crop.
        last_pixel: Position in the crop where the window ends; it begins at 0.

    Returns:
        (...) in [0, 1].
    """
    centers = ((boxes[..., :2] + boxes[..., 2:]) / 2 / last_pixel).clamp(0.0, 1.0)
    return (0.5 - 0.5 * torch.cos(2 * math.pi * centers)).prod(dim=-1)


def fuse(
    coarse_score: Tensor,
    coarse_box: Tensor,
    fine_score: Tensor,
    fine_box: Tensor,
    window: Tensor,
    valid: Tensor,
    config: SpmConfig,
) -> tuple[Tensor, Tensor]:
    """Weigh both stages' scores and boxes, and choose (section 3.4).

    Args:
        coarse_score: (N, K), like `fine_score` and `window`.
        coarse_box: (N, K, 4) corners in the image, like `fine_box`.
        fine_score: See `coarse_score`.
        fine_box: See `coarse_box`.
        window: See `coarse_score`.
        valid: (N, K) bool.
        config: Weights.

    Returns:
        The chosen box (N, 4) and its score without the window (N,).
    """
    total = coarse_score + config.fine_box_influence * fine_score
    weight = (coarse_score / total.clamp(1e-5, 99999.0))[..., None]
    boxes = weight * coarse_box + (1 - weight) * fine_box
    score = torch.lerp(coarse_score, fine_score, config.fine_score_influence)
    ranking = torch.lerp(score, window, config.window_influence)
    best = ranking.masked_fill(~valid, -1.0).argmax(dim=1, keepdim=True)  # (N, 1)
    box = boxes.gather(1, best[:, :, None].expand(-1, -1, 4))[:, 0]
    return box, score.gather(1, best)[:, 0]


def smooth(
    box: Tensor,
    score: Tensor,
    last: Tensor,
    image_size: tuple[int, int],
    config: SpmConfig,
) -> Tensor:
    """Follow the size slowly, the place at once, and stay at the image.

    Args:
        box: (N, 4) corners.
        score: (N,).
        last: (N, 4) corners of the last box.
        image_size: Width and height in pixels.
        config: Rate and smallest side.

    Returns:
        (N, 4) corners.
    """
    center = (box[:, :2] + box[:, 2:]) / 2
    rate = config.size_rate * score[:, None]
    last_size = last[:, 2:] - last[:, :2]
    size = rate * (box[:, 2:] - box[:, :2]) + (1 - rate) * last_size
    is_small = last_size < config.smallest_side - ROUNDING  # it was so at the start
    size = torch.where(is_small, size.clamp(min=1.0), size.clamp(min=config.smallest_side))
    x = torch.minimum(center[:, 0], image_size[0] - size[:, 0] / 2).clamp(min=0)
    y = torch.minimum(center[:, 1], image_size[1] - size[:, 1] / 2).clamp(min=0)
    center = torch.stack([x, y], dim=1)
    return torch.cat([center - size / 2, center + size / 2], dim=1)

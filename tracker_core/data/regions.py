# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Targets where nothing is annotated: textured regions, also found again in later frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from tracker_core.boxes import Box
from tracker_core.data.arrays import Floats, Gray
from tracker_core.data.geometry import bounds, map_points
from tracker_core.data.photos import Photo

SAME_BOX = 0.6  # IoU of a box and a mask of one object
PIXEL = np.float32(0.5)  # OpenCV counts from pixel centres


class Region(NamedTuple):
    """Where something is: a photo, a box (4,) in it, and the object's outline where it is known.

    An outline is polygons (N, 2) in the photo's coordinates; the box is their bounds.
    """

    photo: Photo
    box: Floats
    outline: tuple[Floats, ...] = ()


def outlined(region: Region) -> Region:
    """The region with the outline of its object, where the photo knows one that fits the box."""
    objects = region.photo.objects
    if objects is None:
        return region
    x, y, right, bottom = np.round(
        np.concatenate([region.box[:2], region.box[:2] + region.box[2:]])
    ).astype(int)
    numbers = objects[max(y, 0) : bottom, max(x, 0) : right]
    counts = np.bincount(numbers.ravel(), minlength=2)
    counts[0] = 0
    if not counts.any():
        return region
    found, _ = cv2.findContours(
        (objects == counts.argmax()).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
    )
    outline = tuple(around_pixels(np.asarray(each)[:, 0]) for each in found if len(each) > 2)
    if not outline:
        return region
    points = np.concatenate(outline)
    box = bounds(points)
    if Box(*box).iou(Box(*region.box)) < SAME_BOX:
        return region
    return Region(region.photo, box, outline)


def around_pixels(contour: NDArray[np.int32]) -> Floats:
    """A polygon around the pixels (N, 2) of a contour, which lie on the object's own border."""
    points = contour + 0.5
    away: Floats = points + 0.5 * np.sign(points - points.mean(axis=0))
    return away


def draw_region(rng: Generator, photo: Photo, tries: int = 5) -> Floats:
    """The most textured of a few random boxes."""
    width, height = photo.size
    best, best_score = np.array([0.0, 0.0, width, height]), -1.0
    for _ in range(tries):
        side = np.exp(rng.uniform(np.log(20.0), np.log(max(0.5 * min(width, height), 24.0))))
        aspect = np.exp(rng.normal(0, 0.4))
        w, h = min(side * aspect**0.5, 0.8 * width), min(side / aspect**0.5, 0.8 * height)
        x, y = rng.uniform(0, width - w), rng.uniform(0, height - h)
        x0, y0, x1, y1 = int(x / 4), int(y / 4), int((x + w) / 4) + 1, int((y + h) / 4) + 1
        rows, columns = photo.edges.shape
        x1, y1 = min(x1, columns - 1), min(y1, rows - 1)
        total = (
            photo.edges[y1, x1] - photo.edges[y0, x1] - photo.edges[y1, x0] + photo.edges[y0, x0]
        )
        score = total / max((x1 - x0) * (y1 - y0), 1)
        if score > best_score:
            best, best_score = np.array([x, y, w, h]), score
    return best


def follow_regions(
    frames: Sequence[Photo],
    seed: int,
    gaps: Sequence[int] = (1, 3, 8),
    regions: int = 6,
) -> Iterator[tuple[Region, Region]]:
    """Regions found again in a later frame by optical flow.

    A region counts as found when most of its corners are followed and agree on one similarity. Its
    new box is the old one through that similarity.

    Args:
        frames: In order.
        seed: Of the regions that are tried.
        gaps: How many frames later to look.
        regions: How many regions to try per frame and gap.

    Yields:
        The region in both frames.
    """
    rng = np.random.default_rng(seed)
    grays = [np.asarray(cv2.cvtColor(f.levels[0], cv2.COLOR_RGB2GRAY), np.uint8) for f in frames]
    for gap in gaps:
        for early in range(0, len(frames) - gap, max(gap // 3, 1)):
            flow = follow_corners(grays[early], grays[early + gap])
            if flow is None:
                continue
            for _ in range(regions):
                box = draw_region(rng, frames[early])
                later = follow_box(box, flow)
                if later is None:
                    continue
                travelled = np.linalg.norm(later[:2] - box[:2])
                if travelled < 2.0 and rng.random() < 0.7:
                    continue  # what stands still is there in plenty
                yield Region(frames[early], box), Region(frames[early + gap], later)


@dataclass(frozen=True)
class Flow:
    """Where corners of one frame are in another.

    Attributes:
        start: (N, 2) float32 points of the first frame.
        end: (N, 2) float32 the same ones in the second.
        good: (N,) bool: followed forth and back, they return to where they started.
    """

    start: NDArray[np.float32]
    end: NDArray[np.float32]
    good: NDArray[np.bool_]


def follow_corners(first: Gray, second: Gray) -> Flow | None:
    """Follow the corners of a frame; None where sizes differ or there are too few of them."""
    if first.shape != second.shape:
        return None
    found = cv2.goodFeaturesToTrack(first, 300, 0.01, 4)
    if found is None or len(found) < 8:
        return None
    corners = np.asarray(found, np.float32)
    moved, ok = match_corners(first, second, corners)
    back, ok_back = match_corners(second, first, moved)
    returned = np.linalg.norm(back[:, 0] - corners[:, 0], axis=1) < 1.0
    return Flow(corners[:, 0] + PIXEL, moved[:, 0] + PIXEL, ok & ok_back & returned)


def match_corners(
    first: Gray, second: Gray, corners: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Where corners (N, 1, 2) of the first frame are in the second, and whether that is known."""
    guess = np.empty_like(corners)  # not used without the flag for it
    moved, ok, _ = cv2.calcOpticalFlowPyrLK(
        first, second, corners, guess, winSize=(15, 15), maxLevel=3
    )
    return np.asarray(moved, np.float32), np.asarray(ok)[:, 0] == 1


def follow_box(box: Floats, flow: Flow) -> Floats | None:
    """The box in the later frame, where most corners in it agree on one similarity."""
    inside = ((flow.start >= box[:2]) & (flow.start <= box[:2] + box[2:])).all(axis=1)
    kept = inside & flow.good
    if kept.sum() < 6 or kept.sum() < 0.6 * inside.sum():
        return None
    similarity, agree = cv2.estimateAffinePartial2D(
        flow.start[kept], flow.end[kept], ransacReprojThreshold=2.0
    )
    if similarity is None or np.mean(agree) < 0.7:
        return None
    matrix = np.asarray(similarity, np.float64)
    scale = float(np.sqrt(np.linalg.det(matrix[:, :2])))
    if not 0.6 < scale < 1.6:
        return None
    size = box[2:] * scale
    center = map_points(box[None, :2] + box[None, 2:] / 2, matrix)[0]
    return np.concatenate([center - size / 2, size])

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Box regression: from the features of a box to the box of the object in it.

Ridge regression with an intercept, solved over the samples (there are fewer of them than
features) with a fixed shape.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tracker_core.dat.samples import overlaps


@dataclass(frozen=True)
class BoxRegression:
    """A fitted regression: shifts = features @ weight + bias.

    Attributes:
        weight: (F, 4); in a step of several targets (N, F, 4).
        bias: (4,); in a step of several targets (N, 1, 4).
    """

    weight: Tensor
    bias: Tensor

    @classmethod
    def fit(
        cls, features: Tensor, boxes: Tensor, truth: Tensor, used: Tensor, ridge: float
    ) -> BoxRegression:
        """Fit to samples around a known box.

        Args:
            features: (N, F).
            boxes: (N, 4) x, y, w, h.
            truth: (4,) the object's box.
            used: (N,) bool, samples that count.
            ridge: Strength of the ridge.
        """
        features, boxes, truth = features.double(), boxes.double(), truth.double()
        share = used.double()[:, None]
        count = share.sum().clamp(min=1)
        targets = _shifts(boxes, truth)
        mean = (features * share).sum(dim=0) / count
        middle = (targets * share).sum(dim=0) / count
        x = (features - mean) * share
        gram = x @ x.T
        gram.diagonal().add_(ridge)
        dual = torch.cholesky_solve((targets - middle) * share, torch.linalg.cholesky(gram))
        weight = x.T @ dual  # (F, 4)
        return cls(weight.float(), (middle - mean @ weight).float())

    def shifts(self, features: Tensor) -> Tensor:
        """Relative shift of the centre and logarithm of the change of size, (..., N, 4)."""
        return features @ self.weight + self.bias

    def apply(self, features: Tensor, boxes: Tensor, image: Tensor, grows: bool = False) -> Tensor:
        """Regressed boxes; a box that would change too much is kept.

        Args:
            features: (..., N, F).
            boxes: (..., N, 4).
            image: (2,) or (..., 1, 2) width and height of the image.
            grows: See `is_close`.

        Returns:
            (..., N, 4) inside the image.
        """
        shifts = self.shifts(features).to(boxes.dtype)
        corner, size = boxes[..., :2], boxes[..., 2:]
        centre = corner + size / 2 + shifts[..., :2] * size
        size = size * shifts[..., 2:].clamp(-4, 4).exp()
        found = torch.cat((centre - size / 2, size), dim=-1)
        keep = ~is_close(boxes, found, grows)
        found = torch.where(keep[..., None], boxes, found)
        inside = torch.minimum(found[..., 2:], image - corner)
        return torch.cat((found[..., :2].clamp(min=0), inside), dim=-1)


def is_close(boxes: Tensor, truth: Tensor, grows: bool = False) -> Tensor:
    """Whether boxes (N, 4) overlap the true box enough and are not far larger; nor smaller, unless
    boxes may be made to grow."""
    overlap = overlaps(boxes, truth)
    area = boxes[..., 2:].prod(dim=-1) / truth[..., 2:].prod(dim=-1)
    return (overlap >= 0.6) & (overlap <= 1) & (area <= 2) & (grows | (area >= 1))


def _shifts(boxes: Tensor, truth: Tensor) -> Tensor:
    centre = boxes[:, :2] + boxes[:, 2:] / 2
    shift = (truth[:2] + truth[2:] / 2 - centre) / boxes[:, 2:]
    return torch.cat((shift, (truth[2:] / boxes[:, 2:]).log()), dim=1)

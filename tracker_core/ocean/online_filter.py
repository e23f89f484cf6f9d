# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The filter of Ocean's online branch, and how it is fitted to samples.

Steepest descent on a discriminative loss with learnt label, mask and weight (Bhat, Danelljan, Van
Gool, Timofte: Learning Discriminative Model Prediction for Tracking, ICCV 2019).
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
import torch.nn.functional as F
from torch.nn.grad import conv2d_weight

from tracker_core.ocean.online_network import KERNEL


def score_maps(features: Tensor, filters: Tensor) -> Tensor:
    """Score maps (N, 14, 14) of features (N, C, 13, 13), each with its own filter (N, C, 4, 4)."""
    samples = len(features)
    grouped = features.reshape(1, -1, *features.shape[2:])
    return F.conv2d(grouped, filters, padding=KERNEL // 2, groups=samples)[0]


@dataclass
class Problem:
    """What a filter is fitted to.

    Attributes:
        features: (N, C, 13, 13).
        label: (N, 14, 14) wanted scores.
        mask: (N, 14, 14) how much negative scores count: 0 none, 1 like positive ones.
        weight: (N, 14, 14) factor on the error.
        regularisation: Factor on the squared filter.
        step: Factor on the optimal step length.
    """

    features: Tensor
    label: Tensor
    mask: Tensor
    weight: Tensor
    regularisation: Tensor
    step: Tensor

    def scores(self, kernel: Tensor) -> Tensor:
        return F.conv2d(self.features, kernel, padding=KERNEL // 2)[:, 0]

    def back(self, maps: Tensor) -> Tensor:
        """The transpose of `scores`: (1, C, 4, 4)."""
        shape = (1, self.features.shape[1], KERNEL, KERNEL)
        return conv2d_weight(self.features, shape, maps[:, None], padding=KERNEL // 2)

    def residuals(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Weighted errors of scores and their derivative with respect to the scores."""
        half_sum, half_difference = (1 + self.mask) / 2, (1 - self.mask) / 2
        active = half_difference * scores.abs() + half_sum * scores
        slope = half_difference * scores.sign() + half_sum
        return self.weight * (active - self.label), self.weight * slope

    def loss(self, kernel: Tensor) -> Tensor:
        errors, _ = self.residuals(self.scores(kernel))
        return errors.square().sum() + self.regularisation * kernel.square().sum()

    def descend(self, kernel: Tensor, steps: int) -> Tensor:
        """Steepest descent with the step length of the Gauss-Newton model; no autograd.

        Args:
            kernel: (1, C, 4, 4).
            steps: Number of steps.
        """
        scores = self.scores(kernel)
        for _ in range(steps):
            errors, slope = self.residuals(scores)
            gradient = self.back(slope * errors) + self.regularisation * kernel
            change = self.scores(gradient)
            energy = gradient.square().sum()
            curvature = (slope * change).square().sum() + self.regularisation * energy
            length = self.step * energy / curvature.clamp(min=1e-8)
            kernel = kernel - length * gradient
            scores = scores - length * change
        return kernel


def fit(
    features: Tensor,
    maps: Tensor,
    shares: Tensor,
    kernel: Tensor,
    regularisation: Tensor,
    step: Tensor,
    steps: int,
) -> tuple[Tensor]:
    """Fit a filter to samples from where it is, as an online update.

    Args:
        features: (N, C, 13, 13).
        maps: (N, 3, 14, 14) label, mask and weight, see `Problem`.
        shares: (N,) factors on the errors of each sample.
        kernel: (1, C, 4, 4).
        regularisation: See `Problem`.
        step: Likewise.
        steps: Number of steps.

    Returns:
        The new filter.
    """
    label, mask, weight = maps.unbind(1)
    weight = weight * shares[:, None, None]
    problem = Problem(features, label, mask, weight, regularisation, step)
    return (problem.descend(kernel, steps),)

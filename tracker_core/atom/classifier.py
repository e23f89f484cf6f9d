# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The classifier of ATOM, learnt online: a projection, a filter, and their optimisation.

Section 3.3 of the paper. The score of a place is MLU(filter * (projection x)): both layers are
linear, so together they are one filter on the features x, `compose(filter, projection)`. The
products of Gauss-Newton, J v and J^T u, are therefore one correlation with the samples each, and
small matrix products.

Samples are (n, F, F, C), projected ones (n, F, F, D); filters (C, K, K) with K even; the score at
(y, x) covers the cells y - K/2 to y + K/2 - 1, zero outside.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
import torch.nn.functional as F

from tracker_core.discriminative.memory import SampleMemory
from tracker_core.step import Updates

SMOOTHNESS = 0.05  # alpha of the activation


def mlu(scores: Tensor) -> Tensor:
    """The activation: identity above zero, down to -SMOOTHNESS below it."""
    return torch.where(scores >= 0, scores, SMOOTHNESS * torch.expm1(scores / SMOOTHNESS))


def mlu_slope(scores: Tensor) -> Tensor:
    """Derivative of `mlu`."""
    return (scores.clamp(max=0) / SMOOTHNESS).exp()


def correlate(samples: Tensor, kernel: Tensor) -> Tensor:
    """Scores of samples before the activation.

    Args:
        samples: (n, F, F, C).
        kernel: (C, K, K), or one for each sample (n, C, K, K).

    Returns:
        (n, F, F).
    """
    n, height, width, channels = samples.shape
    size = kernel.shape[-1]
    flat = samples.reshape(n, height * width, channels)
    taps = flat @ kernel.reshape(*kernel.shape[:-2], size * size)  # (n, F F, K K)
    taps = taps.transpose(1, 2).reshape(n, size * size, height, width)
    ones = torch.eye(size * size, device=taps.device, dtype=taps.dtype)
    ones = ones.reshape(1, size * size, size, size)
    return F.conv2d(taps, ones, padding=size // 2)[:, 0, :-1, :-1]


def correlate_adjoint(samples: Tensor, residuals: Tensor, size: int) -> Tensor:
    """The adjoint of `correlate` for one kernel (C, size, size); residuals are (n, F, F)."""
    n, height, width, channels = samples.shape
    low, high = size // 2 - 1, size // 2
    padded = F.pad(residuals[:, None], (low, high, low, high))
    ones = torch.eye(size * size, device=padded.device, dtype=padded.dtype).flip(0)
    shifted = F.conv2d(padded, ones.reshape(size * size, 1, size, size))  # (n, K K, F, F)
    shifted = shifted.permute(1, 0, 2, 3).reshape(size * size, -1)
    kernel = shifted @ samples.reshape(n * height * width, channels)  # (K K, C)
    return kernel.T.reshape(channels, size, size)


def compose(kernel: Tensor, projection: Tensor) -> Tensor:
    """The filter on unprojected features: (C, K, K) from (D, K, K) and (D, C)."""
    return torch.einsum('dc,dij->cij', projection, kernel)


def conjugate_gradient(
    apply: Callable[[Tensor], Tensor],
    right: Tensor,
    iterations: int,
    preconditioner: Tensor | None = None,
    fletcher_reeves: bool = False,
) -> Tensor:
    """Approximate the solution of a symmetric positive system, from zero, without reading back.

    Args:
        apply: The system's product with a vector.
        right: Its right side, a vector.
        iterations: How many.
        preconditioner: Vector to divide residuals by.
        fletcher_reeves: Fletcher-Reeves' choice of directions in the stead of Polak-Ribiere's.
    """
    residual = right
    solution = torch.zeros_like(right)
    direction = previous = rho_previous = right  # unused at first
    for iteration in range(iterations):
        z = residual if preconditioner is None else residual / preconditioner
        rho = residual @ z
        if iteration == 0:
            direction = z
        else:
            change = rho if fletcher_reeves else rho - previous @ z
            direction = z + _ratio(change, rho_previous).clamp(min=0) * direction
        product = apply(direction)
        step = _ratio(rho, direction @ product)
        solution = solution + step * direction
        previous, rho_previous = residual, rho
        residual = residual - step * product
    return solution


def _ratio(above: Tensor, below: Tensor) -> Tensor:
    """Their quotient; zero where `below` is: there is nothing left to solve."""
    empty = below == 0
    return (above / below.masked_fill(empty, 1)).masked_fill(empty, 0)


def fit_first(
    samples: Tensor,
    labels: Tensor,
    weights: Tensor,
    kernel: Tensor,
    projection: Tensor,
    iterations: tuple[int, int],
    kernel_penalty: float,
    projection_penalty: float,
) -> tuple[Tensor, Tensor]:
    """Fit both layers to the first frame by Gauss-Newton with conjugate gradients.

    The preconditioner is the penalties, the directions are Fletcher-Reeves', as in the released
    tracker.

    Args:
        samples: (n, F, F, C) features.
        labels: (n, F, F).
        weights: (n,) of the samples.
        kernel: (D, K, K) to start from.
        projection: (D, C) to start from.
        iterations: Gauss-Newton steps, and conjugate gradient iterations in each.
        kernel_penalty: Weight of the kernel's squared norm.
        projection_penalty: Weight of the projection's.

    Returns:
        The new kernel and projection.
    """
    size = kernel.shape[-1]
    penalty = torch.cat(
        [
            torch.full_like(kernel.flatten(), kernel_penalty),
            torch.full_like(projection.flatten(), projection_penalty),
        ]
    )
    for _ in range(iterations[0]):
        scores = correlate(samples, compose(kernel, projection))
        slope = mlu_slope(scores)
        weight = weights[:, None, None]
        square = weight * slope.square()

        def pull_back(
            gradient: Tensor, kernel: Tensor = kernel, projection: Tensor = projection
        ) -> Tensor:
            """From a gradient of the composed filter to that of kernel and projection."""
            return torch.cat(
                [
                    torch.einsum('dc,cij->dij', projection, gradient).flatten(),
                    torch.einsum('dij,cij->dc', kernel, gradient).flatten(),
                ]
            )

        def apply(
            vector: Tensor,
            kernel: Tensor = kernel,
            projection: Tensor = projection,
            square: Tensor = square,
            pull_back: Callable[[Tensor], Tensor] = pull_back,
        ) -> Tensor:
            d_kernel = vector[: kernel.numel()].reshape(kernel.shape)
            d_projection = vector[kernel.numel() :].reshape(projection.shape)
            change = compose(d_kernel, projection) + compose(kernel, d_projection)
            product = square * correlate(samples, change)
            return pull_back(correlate_adjoint(samples, product, size)) + penalty * vector

        residual = weight * slope * (mlu(scores) - labels)
        at = torch.cat([kernel.flatten(), projection.flatten()])
        right = -pull_back(correlate_adjoint(samples, residual, size)) - penalty * at
        at = at + conjugate_gradient(apply, right, iterations[1], penalty, fletcher_reeves=True)
        kernel = at[: kernel.numel()].reshape(kernel.shape)
        projection = at[kernel.numel() :].reshape(projection.shape)
    return kernel, projection


def refit(
    samples: Tensor,
    labels: Tensor,
    weights: Tensor,
    kernel: Tensor,
    iterations: int,
    penalty: float,
) -> tuple[Tensor]:
    """Improve the filter on projected samples: one Gauss-Newton step, as an online update.

    Args:
        samples: (n, F, F, D) projected features.
        labels: (n, F, F).
        weights: (n,).
        kernel: (D, K, K) to start from.
        iterations: Of conjugate gradients.
        penalty: Weight of the kernel's squared norm.

    Returns:
        The new filter.
    """
    size = kernel.shape[-1]
    scores = correlate(samples, kernel)
    slope = mlu_slope(scores)
    weight = weights[:, None, None]
    square = weight * slope.square()

    def apply(vector: Tensor) -> Tensor:
        product = square * correlate(samples, vector.reshape(kernel.shape))
        return correlate_adjoint(samples, product, size).flatten() + penalty * vector

    residual = weight * slope * (mlu(scores) - labels)
    right = -correlate_adjoint(samples, residual, size) - penalty * kernel
    change = conjugate_gradient(apply, right.flatten(), iterations)
    return (kernel + change.reshape(kernel.shape),)


def refit_on(
    memory: SampleMemory, kernel: Tensor, iterations: int, penalty: float, updates: Updates
) -> Tensor:
    """`refit` on the samples of a memory; the new filter."""
    samples, labels, weights = memory.taken_by(updates)
    tensors = (samples, labels, weights.to(kernel), kernel)
    (kernel,) = updates(refit, tensors, iterations=iterations, penalty=penalty)
    return kernel

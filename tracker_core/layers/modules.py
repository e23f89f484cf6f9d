# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""What is known of a network's modules, where torch's types only say that they are modules."""

from __future__ import annotations

from typing import TypeVar

from torch import nn, Tensor

Kind = TypeVar('Kind', bound=nn.Module)


def members(modules: nn.ModuleList | nn.Sequential, *kinds: type[Kind]) -> list[Kind]:
    """The modules of a list, all of these kinds."""
    found = [module for module in modules if isinstance(module, kinds)]
    assert len(found) == len(modules)
    return found


def bias_of(convolution: nn.Conv2d) -> Tensor:
    """The bias of a convolution that has one, (outputs,)."""
    assert convolution.bias is not None
    return convolution.bias


def statistics(norm: nn.BatchNorm2d | nn.SyncBatchNorm) -> tuple[Tensor, Tensor]:
    """Running mean and variance of a batch norm that keeps them, (channels,) each."""
    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None
    assert variance is not None
    return mean, variance

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The optimiser of a training run, and its learning rate."""

from __future__ import annotations

from collections.abc import Sequence
import math

import torch
from torch import nn

from tracker_core.training.config import TrainConfig

MOMENTUM = 0.9


def learning_rate(config: TrainConfig, progress: float) -> float:
    """Of layers that are new, at a progress in [0, 1]."""
    peak, warmup = config.learning_rate, config.warmup
    if progress < warmup:
        risen = progress / warmup
        if config.first_rate > 0:
            return peak * config.first_rate ** (1 - risen)
        return peak * max(progress, 1e-3) / warmup
    if config.schedule == 'steps':
        return peak * config.drop ** sum(progress >= at for at in config.drops)
    if config.schedule == 'geometric':
        return peak * config.last_rate ** min((progress - warmup) / (1 - warmup), 1.0)
    return peak * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


def make_optimizer(
    learner: nn.Module, config: TrainConfig, pretrained: Sequence[nn.Module] = ()
) -> torch.optim.Optimizer:
    """The optimiser of all that is trained, now or later.

    Args:
        learner: The module.
        config: Which, and how strongly kernels decay.
        pretrained: Layers that learn more slowly.
    """
    slow = {id(p): config.pretrained_rate for module in pretrained for p in module.parameters()}
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for parameter in learner.parameters():
        if not parameter.requires_grad:
            continue
        factor = slow.get(id(parameter), 1.0)
        decay = config.weight_decay if parameter.dim() > 1 else 0.0
        groups.setdefault((factor, decay), []).append(parameter)
    settings = [
        {'params': parameters, 'weight_decay': decay, 'factor': factor}
        for (factor, decay), parameters in groups.items()
    ]
    if config.optimizer == 'sgd':
        return torch.optim.SGD(settings, lr=config.learning_rate, momentum=MOMENTUM)
    if config.optimizer == 'adam':
        return torch.optim.Adam(settings, lr=config.learning_rate)
    return torch.optim.AdamW(settings, lr=config.learning_rate)

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Steps and online updates run by torch as they stand."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
import operator
from typing import Any

import torch
from torch import Tensor

Model = tuple[Tensor, ...]


class Joined:
    """The models of several targets one behind the other, joined anew only when one changes."""

    def __init__(self) -> None:
        self._models: list[Model] = []
        self._joined: Model = ()

    def __call__(self, models: Sequence[Model]) -> Model:
        if len(models) == 1:
            return models[0]
        if not same_tensors(models, self._models):
            self._models = list(models)
            self._joined = tuple(torch.cat(parts) for parts in zip(*models, strict=True))
        return self._joined


def same_tensors(models: Sequence[Model], others: Sequence[Model]) -> bool:
    """Whether two lists of models hold the very same tensors."""
    return len(models) == len(others) and all(
        len(one) == len(other) and all(map(operator.is_, one, other))
        for one, other in zip(models, others, strict=True)
    )


class Eager:
    """Runs steps without preparation."""

    name = 'eager'

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._join = Joined()

    def __call__(
        self,
        tracker: Any,
        shape: Hashable,
        frame: Tensor,
        numbers: Tensor,
        models: Sequence[Model],
    ) -> tuple[list[list[float]], Model]:
        frame = frame.to(self._device, non_blocking=True)
        numbers = numbers.to(self._device, non_blocking=True)
        result, *kept = tracker.step(shape, frame, numbers, *self._join(models))
        return result.tolist(), tuple(kept)


class EagerUpdates:
    """Runs online updates without preparation.

    An update is a function of tensors and hashable constants. It may change its tensors in place
    and returns those that hold the outcome, which whoever calls it takes over; so a runtime may
    also run it on tensors of its own.
    """

    def __call__(
        self, update: Callable[..., Model], tensors: Sequence[Tensor], **constants: Hashable
    ) -> Model:
        """The outcome of `update(*tensors, **constants)`."""
        return update(*tensors, **constants)

    def samples(self, used: int, slots: int) -> int:
        """How many samples of a memory an update takes, of which `used` are filled: just these.

        A runtime that prepares programs for their shapes takes empty ones too; they weigh nothing.
        """
        return used

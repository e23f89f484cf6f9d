# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Steps and online updates run by torch as they stand."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
import operator

import torch
from torch import Tensor

from tracker_core.step import Rows, StepProgram, Tensors


class Joined:
    """The models of several targets one behind the other, joined anew only when one changes."""

    def __init__(self) -> None:
        self._models: list[Tensors] = []
        self._joined: Tensors = ()

    def __call__(self, models: Sequence[Tensors]) -> Tensors:
        if len(models) == 1:
            return models[0]
        if not same_tensors(models, self._models):
            self._models = list(models)
            self._joined = tuple(torch.cat(parts) for parts in zip(*models, strict=True))
        return self._joined


def same_tensors(models: Sequence[Tensors], others: Sequence[Tensors]) -> bool:
    """Whether two lists of models hold the very same tensors."""
    return len(models) == len(others) and all(
        len(one) == len(other) and all(map(operator.is_, one, other))
        for one, other in zip(models, others, strict=True)
    )


class Eager:
    """Runs steps without preparation."""

    name = 'eager'
    prepares_programs = False

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._join = Joined()

    def __call__(
        self, program: StepProgram, frame: Tensor, geometry: Tensor, models: Sequence[Tensors]
    ) -> tuple[Rows, Tensors]:
        frame = frame.to(self._device, non_blocking=True)
        geometry = geometry.to(self._device, non_blocking=True)
        result, *kept = program.run(frame, geometry, *self._join(models))
        return result.tolist(), tuple(kept)


class SessionSteps(Eager):
    """Runs steps whose networks ONNX Runtime runs, see `Tracker.use_sessions`.

    What is left to torch is small: a second thread gains nothing there, and would spin.
    """

    name = 'session'

    def __call__(
        self, program: StepProgram, frame: Tensor, geometry: Tensor, models: Sequence[Tensors]
    ) -> tuple[Rows, Tensors]:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            return super().__call__(program, frame, geometry, models)
        finally:
            torch.set_num_threads(threads)


class EagerUpdates:
    """Runs online updates without preparation."""

    def __call__(
        self, update: Callable[..., Tensors], tensors: Sequence[Tensor], **constants: Hashable
    ) -> Tensors:
        """The outcome of `update(*tensors, **constants)`."""
        return update(*tensors, **constants)

    def samples(self, used: int, slots: int) -> int:
        """Just those that are filled."""
        return used

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The contract between a tracker and what executes its step.

What a tracker does to a frame is cut in three. Before the step, on the host: each target becomes
its *search geometry*, a row of numbers that say where to look, and its *model tensors*, what was
learnt of it; targets with the same *program key* share a step. The step is a tensor program of
static shapes: crop, network, decoding. After it, on the host again: a row of numbers per target
becomes a `Proposal`. `Tracker.program` gives the step as a `StepProgram`, a `Runtime` executes it,
and `Updates` executes what a target learns afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import nn, Tensor

from tracker_core.images import Corners, covering
from tracker_core.parameters import TrackerConfig

Tensors = tuple[Tensor, ...]  # a target's model, (1, ...) each; what an update gives
ProgramKey = tuple[int, ...]  # what decides on the shapes in a step, such as sides of crops
Rows = list[list[float]]  # a step's result as it was read back, one row a target


@dataclass(frozen=True)
class Provenance:
    """Whose step a program is; what was made of it and stored is only good for the same.

    Attributes:
        tracker: Name of the tracker.
        preset: Name of its preset.
        weights: Checksum of its weights.
        precision: Number format of its networks.
        config: Its parameters, whose numbers became part of the program.
    """

    tracker: str
    preset: str
    weights: str
    precision: torch.dtype
    config: TrackerConfig

    def __str__(self) -> str:
        return f'{self.tracker} {self.preset}'


@dataclass(frozen=True)
class StepProgram:
    """The step of a tracker for all targets that share a program key.

    Attributes:
        run: The tensor program, `run(frame, geometry, *model)`: a frame (H, W, 3) uint8, search
            geometry (N, M) float64 (float32 in exported programs) and the model tensors of N
            targets one behind the other; it gives the result (N, R) float and tensors that stay
            on the device. It reads nothing back, moves nothing between devices and makes no
            tensor from numbers of the host.
        reach: The windows of a frame that `run` looks at, given a target's search geometry (M,)
            and the frame's width and height; None where it may look at all of it.
        key: The program key of its targets.
        origin: Whose step it is.
        networks: What `run` computes with, by name; exporters want to know.
    """

    run: Callable[..., Tensors]
    reach: Callable[[list[float], tuple[int, int]], list[Corners] | None]
    key: ProgramKey
    origin: Provenance
    networks: Mapping[str, nn.Module] = field(repr=False)

    def seen(self, frame: Tensor, geometry: Tensor) -> tuple[slice, slice]:
        """Rows and columns of a frame that the step needs; the others may be anything."""
        size = (frame.shape[1], frame.shape[0])
        windows: list[Corners] = []
        for row in geometry.tolist():
            of_target = self.reach(row, size)
            if of_target is None:
                return slice(0, size[1]), slice(0, size[0])
            windows += of_target
        return covering(windows, size)

    @property
    def identity(self) -> Hashable:
        """Programs of one tracker with the same identity do the same."""
        return self.key, self.origin.config


class Runtime(Protocol):
    """Executes steps; made by `tracker_core.runtime.make_runtime`.

    Attributes:
        name: One of `tracker_core.runtime.RUNTIMES`.
        prepares_programs: Whether it prepares a program for its shapes, which takes a while, so
            that a tracker does well to bring few different ones.
    """

    @property
    def name(self) -> str: ...

    @property
    def prepares_programs(self) -> bool: ...

    def __call__(
        self, program: StepProgram, frame: Tensor, geometry: Tensor, models: Sequence[Tensors]
    ) -> tuple[Rows, Tensors]:
        """Run a step.

        Args:
            program: The step.
            frame: (H, W, 3) uint8 RGB, on any device.
            geometry: (N, M) float64, on the host.
            models: The model tensors of each target. A runtime may keep what it made of them as
                long as the very same tensors come again.

        Returns:
            The result's rows, and the tensors that stay on the device.
        """
        ...


class Updates(Protocol):
    """Executes online updates; made by `tracker_core.runtime.make_updates`.

    An update is a function of tensors and hashable constants. It may change its tensors in place
    and returns those that hold the outcome, which whoever calls it takes over; so it may as well
    be run on tensors of the runtime's own.
    """

    def __call__(
        self, update: Callable[..., Tensors], tensors: Sequence[Tensor], **constants: Hashable
    ) -> Tensors:
        """The outcome of `update(*tensors, **constants)`."""
        ...

    def samples(self, used: int, slots: int) -> int:
        """How many samples of a memory of `slots` an update takes, of which `used` are filled;
        empty ones weigh nothing."""
        ...

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Steps and online updates as captured CUDA graphs.

A step is one upload, one launch, one read-back a frame. A frame and its numbers lie one behind the
other in one block of pinned memory, which is copied to the device in one asynchronous copy. The
graph reads static buffers only. It is captured once per program and shapes, after runs that warm
it up; models are copied into its buffers only when the targets or what was learnt of them change.

An update reads static buffers likewise, and nothing is read back of it: whoever calls it goes on
while the device learns. It runs on the stream of the steps, for the next step needs its outcome.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import lru_cache, partial
import logging
from typing import Any

import torch
from torch import Tensor

from tracker_core.runtime.cache import Programs
from tracker_core.runtime.eager import Eager, EagerUpdates, Model, same_tensors

log = logging.getLogger(__name__)

MOST_GRAPHS = 16  # steps captured at the same time, and as many updates
WARM_UPS = 3


def make(tracker: Any) -> CudaGraphs:
    return CudaGraphs(tracker.device)


class Staging:
    """A frame and a few numbers, to be brought to the device in one copy.

    Args:
        frame: (H, W, 3), a frame of the shape that will come.
        numbers: (N, M), likewise.
        device: Where to.
    """

    def __init__(self, frame: Tensor, numbers: Tensor, device: torch.device) -> None:
        head = numbers.nbytes  # a multiple of 8, so the numbers are aligned and the frame follows
        pinned = device.type == 'cuda'
        self._host = torch.empty(head + frame.nbytes, dtype=torch.uint8, pin_memory=pinned)
        self._device = torch.empty(self._host.shape, dtype=torch.uint8, device=device)
        self._parts = [
            (block[:head].view(numbers.dtype).view(numbers.shape), block[head:].view(frame.shape))
            for block in (self._host, self._device)
        ]
        self._head = head

    @property
    def numbers(self) -> Tensor:
        """On the device."""
        return self._parts[1][0]

    @property
    def frame(self) -> Tensor:
        """On the device."""
        return self._parts[1][1]

    def upload(self, frame: Tensor, numbers: Tensor) -> None:
        """Bring new contents; a frame that is on the device already is copied there.

        The host's block may be written only when the copy before is done: whoever has read back a
        result of it knows that.
        """
        host_numbers, host_frame = self._parts[0]
        host_numbers.copy_(numbers)
        if frame.device.type == 'cpu':
            host_frame.copy_(frame)
            self._device.copy_(self._host, non_blocking=True)
        else:
            self.frame.copy_(frame)
            self._device[: self._head].copy_(self._host[: self._head], non_blocking=True)


class Captured:
    """A function of tensors, captured with these as its buffers.

    Args:
        function: What to capture. It may change the buffers.
        buffers: What it reads.
        device: Where it runs.
        pool: Memory that it may share with graphs that never run at the same time.

    Attributes:
        outputs: What it returned; every run writes them anew.

    Raises:
        RuntimeError: It cannot be captured.
    """

    def __init__(
        self,
        function: Callable[..., Model],
        buffers: Sequence[Tensor],
        device: torch.device,
        pool: Any,
    ) -> None:
        stream = torch.cuda.Stream(device)
        stream.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(stream):
            for _ in range(WARM_UPS):
                function(*buffers)
        torch.cuda.current_stream(device).wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        # other threads may go on using the device meanwhile
        with torch.cuda.graph(
            self._graph, pool=pool, stream=stream, capture_error_mode='thread_local'
        ):
            self.outputs = tuple(function(*buffers))

    def run(self) -> None:
        """Launch it."""
        self._graph.replay()


class Program:
    """One captured step.

    Args:
        step: Runs the step on device tensors: `step(frame, numbers, *model)`.
        frame: A frame of the shape that will come.
        numbers: The numbers that go with it.
        models: The targets' models.
        device: Where it runs.
        pool: See `Captured`.
    """

    def __init__(
        self,
        step: Callable[..., Model],
        frame: Tensor,
        numbers: Tensor,
        models: Sequence[Model],
        device: torch.device,
        pool: Any,
    ) -> None:
        self._staging = Staging(frame, numbers, device)
        self._staging.upload(frame, numbers)
        self._models: list[Model] = []
        self._model = tuple(torch.cat(parts) for parts in zip(*models, strict=True))
        self._load(models)
        buffers = (self._staging.frame, self._staging.numbers, *self._model)
        self._step = Captured(step, buffers, device, pool)
        result = self._step.outputs[0]
        self._rows = torch.empty(
            result.shape, dtype=result.dtype, pin_memory=device.type == 'cuda'
        )
        self._done = torch.cuda.Event()

    def __call__(
        self, frame: Tensor, numbers: Tensor, models: Sequence[Model]
    ) -> tuple[list[list[float]], Model]:
        self._staging.upload(frame, numbers)
        self._load(models)
        self._step.run()
        result, *kept = self._step.outputs
        self._rows.copy_(result, non_blocking=True)
        self._done.record()
        kept = tuple(tensor.clone() for tensor in kept)  # the next frame overwrites them
        self._done.synchronize()
        return self._rows.tolist(), kept

    def _load(self, models: Sequence[Model]) -> None:
        """Copy the targets' models into the graph's buffers, where they are not yet."""
        for index, model in enumerate(models):
            known = self._models[index : index + 1]
            if not same_tensors([model], known):
                for buffer, tensor in zip(self._model, model, strict=True):
                    buffer[index : index + 1].copy_(tensor)
        self._models = list(models)


class UpdateProgram:
    """One captured online update.

    Args:
        update: Function of tensors.
        tensors: What it gets, for their shapes.
        device: Where it runs.
        pool: See `Captured`.
    """

    def __init__(
        self,
        update: Callable[..., Model],
        tensors: Sequence[Tensor],
        device: torch.device,
        pool: Any,
    ) -> None:
        self._buffers = [tensor.to(device, copy=True) for tensor in tensors]
        self._update = Captured(update, self._buffers, device, pool)

    def __call__(self, tensors: Sequence[Tensor]) -> Model:
        for buffer, tensor in zip(self._buffers, tensors, strict=True):
            buffer.copy_(tensor, non_blocking=True)
        self._update.run()
        return tuple(tensor.clone() for tensor in self._update.outputs)


class CudaGraphs:
    """Captures steps and replays them. What cannot be captured runs eagerly from then on."""

    name = 'cuda_graph'

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._eager = Eager(device)
        self._programs = Programs(MOST_GRAPHS)
        self._pool = lru_cache(maxsize=1)(torch.cuda.graph_pool_handle)

    def __call__(
        self,
        tracker: Any,
        shape: Hashable,
        frame: Tensor,
        numbers: Tensor,
        models: Sequence[Model],
    ) -> tuple[list[list[float]], Model]:
        signature = tuple((part.shape, part.dtype) for part in models[0])
        # the config's numbers become part of a program; live parameters replace the config
        key = (shape, tracker.config, len(models), frame.shape, numbers.shape, signature)
        with torch.cuda.device(self._device):
            program = self._programs.get(
                key, lambda: self._capture(tracker, shape, frame, numbers, models)
            )
            if program is None:
                return self._eager(tracker, shape, frame, numbers, models)
            return program(frame, numbers, models)

    def _capture(
        self,
        tracker: Any,
        shape: Hashable,
        frame: Tensor,
        numbers: Tensor,
        models: Sequence[Model],
    ) -> Program | None:
        def step(*inputs: Tensor) -> Model:
            return tracker.step(shape, *inputs)

        try:
            return Program(step, frame, numbers, models, self._device, self._pool())
        except RuntimeError as error:
            give_up(f'the step of {tracker.name}', error, self._device)
            self._pool.cache_clear()  # what was begun in it may not be usable again
            return None


class CudaGraphUpdates:
    """Captures online updates and replays them; see `EagerUpdates` and `CudaGraphs`."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._eager = EagerUpdates()
        self._programs = Programs(MOST_GRAPHS)
        self._pool = lru_cache(maxsize=1)(torch.cuda.graph_pool_handle)

    def __call__(
        self, update: Callable[..., Model], tensors: Sequence[Tensor], **constants: Hashable
    ) -> Model:
        signature = tuple((tensor.shape, tensor.dtype) for tensor in tensors)
        key = (update, tuple(sorted(constants.items())), signature)
        with torch.cuda.device(self._device):
            program = self._programs.get(key, lambda: self._capture(update, tensors, constants))
            if program is None:
                return self._eager(update, tensors, **constants)
            return program(tensors)

    def samples(self, used: int, slots: int) -> int:
        """The next power of two, so that a growing memory needs few programs."""
        return min(1 << (used - 1).bit_length(), slots)

    def _capture(
        self,
        update: Callable[..., Model],
        tensors: Sequence[Tensor],
        constants: Mapping[str, Hashable],
    ) -> UpdateProgram | None:
        try:
            return UpdateProgram(partial(update, **constants), tensors, self._device, self._pool())
        except RuntimeError as error:
            give_up(f'the online update {update.__qualname__}', error, self._device)
            self._pool.cache_clear()  # what was begun in it may not be usable again
            return None


def give_up(what: str, error: RuntimeError, device: torch.device) -> None:
    """Say that something cannot be captured, and let the device finish."""
    torch.cuda.synchronize(device)
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    log.warning('%s cannot be captured as a CUDA graph and runs eagerly: %s', what, reason)

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Steps and online updates as captured CUDA graphs.

A step is one upload, one launch, one read-back a frame. A frame and its search geometry lie one
behind the other in one block of pinned memory, which is copied to the device in one asynchronous
copy. The graph reads static buffers only. It is captured once per program and shapes, after runs
that warm it up; models are copied into its buffers only when the targets or what was learnt of
them change.

An update reads static buffers likewise, and nothing is read back of it: whoever calls it goes on
while the device learns. It runs on the stream of the steps, for the next step needs its outcome.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import lru_cache, partial
import logging
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tracker_core.runtime.cache import Programs
from tracker_core.runtime.eager import Eager, EagerUpdates, same_tensors
from tracker_core.step import Rows, StepProgram, Tensors

if TYPE_CHECKING:
    from torch.cuda import _POOL_HANDLE

log = logging.getLogger(__name__)

MOST_GRAPHS = 16  # steps captured at the same time, and as many updates
WARM_UPS = 3


class Staging:
    """A frame and its search geometry, to be brought to the device in one copy.

    Args:
        frame: (H, W, 3), a frame of the shape that will come.
        geometry: (N, M), likewise.
        device: Where to.
    """

    def __init__(self, frame: Tensor, geometry: Tensor, device: torch.device) -> None:
        head = geometry.nbytes  # a multiple of 8, so the geometry is aligned and the frame follows
        pinned = device.type == 'cuda'
        self._host = torch.empty(head + frame.nbytes, dtype=torch.uint8, pin_memory=pinned)
        self._device = torch.empty(self._host.shape, dtype=torch.uint8, device=device)
        dtype, shape = geometry.dtype, geometry.shape
        self._parts = [
            (block[:head].view(dtype).view(shape), block[head:].view(frame.shape))
            for block in (self._host, self._device)
        ]
        self._head = head

    @property
    def geometry(self) -> Tensor:
        """On the device."""
        return self._parts[1][0]

    @property
    def frame(self) -> Tensor:
        """On the device."""
        return self._parts[1][1]

    def upload(self, frame: Tensor, geometry: Tensor) -> None:
        """Bring new contents; a frame that is on the device already is copied there.

        The host's block may be written only when the copy before is done: whoever has read back a
        result of it knows that.
        """
        host_geometry, host_frame = self._parts[0]
        host_geometry.copy_(geometry)
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
        function: Callable[..., Tensors],
        buffers: Sequence[Tensor],
        device: torch.device,
        pool: _POOL_HANDLE,
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


class CapturedStep:
    """One captured step.

    Args:
        step: The tensor program, see `StepProgram.run`.
        frame: A frame of the shape that will come.
        geometry: The search geometry that goes with it.
        models: The targets' models.
        device: Where it runs.
        pool: See `Captured`.
    """

    def __init__(
        self,
        step: Callable[..., Tensors],
        frame: Tensor,
        geometry: Tensor,
        models: Sequence[Tensors],
        device: torch.device,
        pool: _POOL_HANDLE,
    ) -> None:
        self._staging = Staging(frame, geometry, device)
        self._staging.upload(frame, geometry)
        self._models: list[Tensors] = []
        self._model = tuple(torch.cat(parts) for parts in zip(*models, strict=True))
        self._load(models)
        buffers = (self._staging.frame, self._staging.geometry, *self._model)
        self._step = Captured(step, buffers, device, pool)
        result = self._step.outputs[0]
        self._rows = torch.empty(
            result.shape, dtype=result.dtype, pin_memory=device.type == 'cuda'
        )
        self._done = torch.cuda.Event()

    def __call__(
        self, frame: Tensor, geometry: Tensor, models: Sequence[Tensors]
    ) -> tuple[Rows, Tensors]:
        self._staging.upload(frame, geometry)
        self._load(models)
        self._step.run()
        result, *outputs = self._step.outputs
        self._rows.copy_(result, non_blocking=True)
        self._done.record()
        kept = tuple(tensor.clone() for tensor in outputs)  # the next frame overwrites them
        self._done.synchronize()
        return self._rows.tolist(), kept

    def _load(self, models: Sequence[Tensors]) -> None:
        """Copy the targets' models into the graph's buffers, where they are not yet."""
        for index, model in enumerate(models):
            known = self._models[index : index + 1]
            if not same_tensors([model], known):
                for buffer, tensor in zip(self._model, model, strict=True):
                    buffer[index : index + 1].copy_(tensor)
        self._models = list(models)


class CapturedUpdate:
    """One captured online update.

    Args:
        update: Function of tensors.
        tensors: What it gets, for their shapes.
        device: Where it runs.
        pool: See `Captured`.
    """

    def __init__(
        self,
        update: Callable[..., Tensors],
        tensors: Sequence[Tensor],
        device: torch.device,
        pool: _POOL_HANDLE,
    ) -> None:
        self._buffers = [tensor.to(device, copy=True) for tensor in tensors]
        self._update = Captured(update, self._buffers, device, pool)

    def __call__(self, tensors: Sequence[Tensor]) -> Tensors:
        for buffer, tensor in zip(self._buffers, tensors, strict=True):
            buffer.copy_(tensor, non_blocking=True)
        self._update.run()
        return tuple(tensor.clone() for tensor in self._update.outputs)


class CudaGraphs:
    """Captures steps and replays them. What cannot be captured runs eagerly from then on."""

    name = 'cuda_graph'
    prepares_programs = True

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._eager = Eager(device)
        self._captured: Programs[CapturedStep | None] = Programs(MOST_GRAPHS)
        self._pool = lru_cache(maxsize=1)(torch.cuda.graph_pool_handle)

    def __call__(
        self, program: StepProgram, frame: Tensor, geometry: Tensor, models: Sequence[Tensors]
    ) -> tuple[Rows, Tensors]:
        signature = tuple((part.shape, part.dtype) for part in models[0])
        key = (program.identity, len(models), frame.shape, geometry.shape, signature)
        with torch.cuda.device(self._device):
            captured = self._captured.get(
                key, lambda: self._capture(program, frame, geometry, models)
            )
            if captured is None:
                return self._eager(program, frame, geometry, models)
            return captured(frame, geometry, models)

    def _capture(
        self, program: StepProgram, frame: Tensor, geometry: Tensor, models: Sequence[Tensors]
    ) -> CapturedStep | None:
        try:
            return CapturedStep(program.run, frame, geometry, models, self._device, self._pool())
        except RuntimeError as error:
            give_up(f'the step of {program.origin}', error, self._device)
            self._pool.cache_clear()  # what was begun in it may not be usable again
            return None


class CudaGraphUpdates:
    """Captures online updates and replays them; see `EagerUpdates` and `CudaGraphs`."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._eager = EagerUpdates()
        self._captured: Programs[CapturedUpdate | None] = Programs(MOST_GRAPHS)
        self._pool = lru_cache(maxsize=1)(torch.cuda.graph_pool_handle)

    def __call__(
        self, update: Callable[..., Tensors], tensors: Sequence[Tensor], **constants: Hashable
    ) -> Tensors:
        signature = tuple((tensor.shape, tensor.dtype) for tensor in tensors)
        key = (update, tuple(sorted(constants.items())), signature)
        with torch.cuda.device(self._device):
            captured = self._captured.get(key, lambda: self._capture(update, tensors, constants))
            if captured is None:
                return self._eager(update, tensors, **constants)
            return captured(tensors)

    def samples(self, used: int, slots: int) -> int:
        """The next power of two, so that a growing memory needs few programs."""
        return min(1 << (used - 1).bit_length(), slots)

    def _capture(
        self,
        update: Callable[..., Tensors],
        tensors: Sequence[Tensor],
        constants: Mapping[str, Hashable],
    ) -> CapturedUpdate | None:
        try:
            function = partial(update, **constants)
            return CapturedUpdate(function, tensors, self._device, self._pool())
        except RuntimeError as error:
            give_up(f'the online update {update.__qualname__}', error, self._device)
            self._pool.cache_clear()  # what was begun in it may not be usable again
            return None


def give_up(what: str, error: RuntimeError, device: torch.device) -> None:
    """Say that something cannot be captured, and let the device finish."""
    torch.cuda.synchronize(device)
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    log.warning('%s cannot be captured as a CUDA graph and runs eagerly: %s', what, reason)

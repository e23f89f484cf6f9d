# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""A step as a captured CUDA graph: one upload, one launch, one read-back a frame.

A frame and its numbers lie one behind the other in one block of pinned memory, which is copied to
the device in one asynchronous copy. The graph reads static buffers only. It is captured once per
program and shapes, after runs that warm it up; models are copied into its buffers only when the
targets or what was learnt of them change.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
import logging
from typing import Any

import torch
from torch import Tensor

from tracker_core.runtime.cache import Programs
from tracker_core.runtime.eager import Eager, Model, same_tensors

log = logging.getLogger(__name__)

MOST_GRAPHS = 16  # captured at the same time
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


class Program:
    """One captured step.

    Args:
        step: Runs the step on device tensors: `step(frame, numbers, *model)`.
        frame: A frame of the shape that will come.
        numbers: The numbers that go with it.
        models: The targets' models.
        device: Where it runs.
        pool: Memory that it may share with programs that never run at the same time.
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
        inputs = (self._staging.frame, self._staging.numbers, *self._model)
        stream = torch.cuda.Stream(device)
        stream.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(stream):
            for _ in range(WARM_UPS):
                step(*inputs)
        torch.cuda.current_stream(device).wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        # other threads may go on using the device meanwhile
        with torch.cuda.graph(
            self._graph, pool=pool, stream=stream, capture_error_mode='thread_local'
        ):
            self._result, *self._kept = step(*inputs)
        self._rows = torch.empty(self._result.shape, dtype=self._result.dtype, pin_memory=True)
        self._done = torch.cuda.Event()

    def __call__(
        self, frame: Tensor, numbers: Tensor, models: Sequence[Model]
    ) -> tuple[list[list[float]], Model]:
        self._staging.upload(frame, numbers)
        self._load(models)
        self._graph.replay()
        self._rows.copy_(self._result, non_blocking=True)
        self._done.record()
        kept = tuple(tensor.clone() for tensor in self._kept)  # the next frame overwrites them
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


class CudaGraphs:
    """Captures steps and replays them. What cannot be captured runs eagerly from then on."""

    name = 'cuda_graph'

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._eager = Eager(device)
        self._programs = Programs(MOST_GRAPHS)
        self._pool: Any = None

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

        if self._pool is None:
            self._pool = torch.cuda.graph_pool_handle()
        try:
            return Program(step, frame, numbers, models, self._device, self._pool)
        except RuntimeError as error:
            torch.cuda.synchronize(self._device)
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            log.warning(
                'the step of %s cannot be captured as a CUDA graph and runs eagerly: %s',
                tracker.name,
                reason,
            )
            return None

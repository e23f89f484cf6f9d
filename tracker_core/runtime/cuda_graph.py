# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Steps and online updates as captured CUDA graphs.

A step is one upload, one launch, one read-back a frame. Search geometry and those pixels of a
frame that the step looks at lie one behind the other in one block of pinned memory, which is
copied to the device in one asynchronous copy. The graph reads static buffers only. It is captured
once per program and shapes, after runs that warm it up; models are copied into its buffers only
when the targets or what was learnt of them change.

An update reads static buffers likewise, and nothing is read back of it: whoever calls it goes on
while the device learns. It runs on the stream of the steps, for the next step needs its outcome.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
import logging
import os
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tracker_core.errors import ParameterError
from tracker_core.runtime.cache import Programs
from tracker_core.runtime.eager import Eager, EagerUpdates, same_tensors
from tracker_core.step import Rows, StepProgram, Tensors

if TYPE_CHECKING:
    from torch.cuda import _POOL_HANDLE

log = logging.getLogger(__name__)

MOST_GRAPHS = 16  # steps captured at the same time, and as many updates
MOST_STAGINGS = 4  # sizes of images, or numbers of targets
WARM_UPS = 3


class Staging:
    """A frame and its search geometry on the device, brought there in one copy. Of the frame only
    what is needed comes; the rest is of earlier ones.

    Args:
        frame: (H, W, 3), a frame of the shape that will come.
        geometry: (N, M), likewise.
        device: Where to.

    Attributes:
        frame: On the device.
        geometry: On the device.
    """

    def __init__(self, frame: Tensor, geometry: Tensor, device: torch.device) -> None:
        self._head = geometry.nbytes
        length, pinned = self._head + frame.nbytes, device.type == 'cuda'
        self._host = torch.empty(length, dtype=torch.uint8, pin_memory=pinned)
        self._device = torch.empty(length, dtype=torch.uint8, device=device)
        self._host_geometry, self.geometry = (
            block[: self._head].view(geometry.dtype).view(geometry.shape)
            for block in (self._host, self._device)
        )
        self.frame = torch.zeros(frame.shape, dtype=torch.uint8, device=device)

    def upload(self, frame: Tensor, geometry: Tensor, part: tuple[slice, slice]) -> None:
        """Bring new contents; a frame that is on the device already is copied there.

        The host's block may be written only when the copy before is done: whoever has read back a
        result of it knows that.

        Args:
            frame: (H, W, 3) uint8.
            geometry: (N, M), on the host.
            part: Rows and columns of the frame that are needed.
        """
        self._host_geometry.copy_(geometry)
        pixels = frame[part]
        if frame.device.type != 'cpu':
            self._device[: self._head].copy_(self._host[: self._head], non_blocking=True)
            self.frame[part].copy_(pixels)
            return
        end = self._head + pixels.nbytes
        self._host[self._head : end].view(pixels.shape).copy_(pixels)
        self._device[:end].copy_(self._host[:end], non_blocking=True)
        self.frame[part].copy_(self._device[self._head : end].view(pixels.shape))


class ModelBuffers:
    """The models of several targets on the device, one behind the other, at the same place for
    ever.

    Args:
        models: The first ones, whose shapes all others have.
        device: Where.

    Attributes:
        tensors: The buffers.
    """

    def __init__(self, models: Sequence[Tensors], device: torch.device) -> None:
        # joined by hand: one that is a part of another tensor would begin anywhere
        self.tensors = tuple(
            torch.empty((len(models), *part.shape[1:]), dtype=part.dtype, device=device)
            for part in models[0]
        )
        self._models: list[Tensors] = []
        self.load(models)

    def load(self, models: Sequence[Tensors]) -> None:
        """Copy those into the buffers that are not there yet."""
        for index, model in enumerate(models):
            known = self._models[index : index + 1]
            if not same_tensors([model], known):
                for buffer, tensor in zip(self.tensors, model, strict=True):
                    buffer[index : index + 1].copy_(tensor)
        self._models = list(models)


class ReadBack:
    """Brings a step's result to the host, in pinned memory.

    Args:
        result: (N, R) on the device, where it always is.
    """

    def __init__(self, result: Tensor) -> None:
        self._result = result
        pinned = result.device.type == 'cuda'
        self._rows = torch.empty(result.shape, dtype=result.dtype, pin_memory=pinned)
        self._done = torch.cuda.Event(blocking=waits_asleep())

    def __call__(self, outputs: Sequence[Tensor]) -> tuple[Rows, Tensors]:
        """The rows of what the current stream computes, and copies of the other outputs, which the
        next frame overwrites."""
        self._rows.copy_(self._result, non_blocking=True)
        self._done.record()
        kept = tuple(tensor.clone() for tensor in outputs)
        self._done.synchronize()
        return self._rows.tolist(), kept


def waits_asleep() -> bool:
    """Whether the host sleeps while it waits for a result: $TRACKER_WAIT is `sleep`.

    It wakes up some hundredths of a millisecond later, but leaves the core to others until then.
    Otherwise it asks again and again.
    """
    wanted = os.environ.get('TRACKER_WAIT', 'spin')
    if wanted not in ('spin', 'sleep'):
        raise ParameterError(f'TRACKER_WAIT must be spin or sleep, not {wanted!r}')
    return wanted == 'sleep'


class Recorder:
    """Captures what never runs at the same time: on one stream, so that the graphs share their
    memory and the workspaces of the libraries.

    Args:
        device: Where.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream: torch.cuda.Stream | None = None
        self._pool: _POOL_HANDLE | None = None

    def __call__(self, function: Callable[..., Tensors], buffers: Sequence[Tensor]) -> Captured:
        """Capture a function of tensors after runs that warm it up.

        Raises:
            RuntimeError: It cannot be captured.
        """
        device = self._device
        if self._stream is None:
            self._stream = torch.cuda.Stream(device)
        if self._pool is None:
            self._pool = torch.cuda.graph_pool_handle()
        current = torch.cuda.current_stream(device)
        graph = torch.cuda.CUDAGraph()
        tunes, torch.backends.cudnn.benchmark = torch.backends.cudnn.benchmark, True
        try:
            self._stream.wait_stream(current)
            with torch.cuda.stream(self._stream):
                for _ in range(WARM_UPS):
                    function(*buffers)
            current.wait_stream(self._stream)
            # other threads may go on using the device meanwhile
            with torch.cuda.graph(
                graph, pool=self._pool, stream=self._stream, capture_error_mode='thread_local'
            ):
                outputs = tuple(function(*buffers))
        finally:
            torch.backends.cudnn.benchmark = tunes
            torch.cuda.set_stream(current)  # which a capture that fails leaves as it was
        return Captured(graph, outputs)

    def renew(self) -> None:
        """Let the device finish, and begin with memory and a stream of its own: graphs may go, or
        what was begun may not be usable again."""
        torch.cuda.synchronize(self._device)
        self._stream = self._pool = None


@dataclass(frozen=True)
class Captured:
    """A captured function.

    Attributes:
        graph: What was captured.
        outputs: What the function returned; every run writes them anew.
    """

    graph: torch.cuda.CUDAGraph
    outputs: Tensors

    def run(self) -> None:
        """Launch it."""
        self.graph.replay()


class CapturedStep:
    """One captured step.

    Args:
        step: The tensor program, see `StepProgram.run`.
        staging: Where frame and geometry lie, with the first ones in it.
        models: The targets' models.
        device: Where it runs.
        record: Captures it.
    """

    def __init__(
        self,
        step: Callable[..., Tensors],
        staging: Staging,
        models: Sequence[Tensors],
        device: torch.device,
        record: Recorder,
    ) -> None:
        self._staging = staging
        self._models = ModelBuffers(models, device)
        self._step = record(step, (staging.frame, staging.geometry, *self._models.tensors))
        self._read_back = ReadBack(self._step.outputs[0])

    def __call__(
        self,
        frame: Tensor,
        geometry: Tensor,
        part: tuple[slice, slice],
        models: Sequence[Tensors],
    ) -> tuple[Rows, Tensors]:
        """See `Staging.upload`."""
        self._staging.upload(frame, geometry, part)
        self._models.load(models)
        self._step.run()
        return self._read_back(self._step.outputs[1:])


class CapturedUpdate:
    """One captured online update.

    Args:
        update: Function of tensors.
        tensors: What it gets, for their shapes.
        device: Where it runs.
        record: Captures it.
    """

    def __init__(
        self,
        update: Callable[..., Tensors],
        tensors: Sequence[Tensor],
        device: torch.device,
        record: Recorder,
    ) -> None:
        self._buffers = [tensor.to(device, copy=True) for tensor in tensors]
        self._update = record(update, self._buffers)

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
        self._record = Recorder(device)
        # a graph that goes may take workspaces with it that another one still uses
        self._captured: Programs[CapturedStep | None] = Programs(MOST_GRAPHS, self._record.renew)
        self._stagings: Programs[Staging] = Programs(MOST_STAGINGS)

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
            return captured(frame, geometry, program.seen(frame, geometry), models)

    def _capture(
        self, program: StepProgram, frame: Tensor, geometry: Tensor, models: Sequence[Tensors]
    ) -> CapturedStep | None:
        staging = self._stagings.get(
            (frame.shape, geometry.shape), lambda: Staging(frame, geometry, self._device)
        )
        staging.upload(frame, geometry, program.seen(frame, geometry))
        try:
            return CapturedStep(program.run, staging, models, self._device, self._record)
        except RuntimeError as error:
            self._record.renew()
            give_up(f'the step of {program.origin}', error)
            return None


class CudaGraphUpdates:
    """Captures online updates and replays them; see `EagerUpdates` and `CudaGraphs`."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._eager = EagerUpdates()
        self._record = Recorder(device)
        self._captured: Programs[CapturedUpdate | None] = Programs(MOST_GRAPHS, self._record.renew)

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
            return CapturedUpdate(function, tensors, self._device, self._record)
        except RuntimeError as error:
            self._record.renew()
            give_up(f'the online update {update.__qualname__}', error)
            return None


def give_up(what: str, error: RuntimeError) -> None:
    """Say that something cannot be captured."""
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    log.warning('%s cannot be captured as a CUDA graph and runs eagerly: %s', what, reason)

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""A step run by TensorRT, on the engine that was built for it on this GPU.

An engine is built from the exported step when its shapes come for the first time, which takes
minutes, and is kept in the cache folder under a name with the GPU, the version of TensorRT and the
weights.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
import logging
from pathlib import Path
import time
from typing import Any

import torch
from torch import Tensor

from tracker_core.errors import TrackerError
from tracker_core.runtime.cache import cache_folder, program_name, Programs
from tracker_core.runtime.cuda_graph import Staging
from tracker_core.runtime.eager import Joined, Model
from tracker_core.runtime.export import need, need_exportable, write_onnx

log = logging.getLogger(__name__)

MOST_ENGINES = 8


def make(tracker: Any) -> TensorRT:
    """The runtime.

    Raises:
        ParameterError: A package is missing.
    """
    for module in ('tensorrt', 'onnx', 'onnxscript'):
        need(module, 'runtime tensorrt', 'tensorrt')
    need_exportable(tracker, 'cuda_graph')
    return TensorRT(tracker.device)


class TensorRT:
    """Builds engines and runs them."""

    name = 'tensorrt'

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._engines = Programs(MOST_ENGINES)
        self._join = Joined()

    def __call__(
        self,
        tracker: Any,
        shape: Hashable,
        frame: Tensor,
        numbers: Tensor,
        models: Sequence[Model],
    ) -> tuple[list[list[float]], Model]:
        numbers, model = numbers.float(), self._join(models)
        signature = tuple((tuple(part.shape), str(part.dtype)) for part in model)
        key = (shape, tracker.config, signature, frame.shape)

        def make_engine() -> Engine:
            path = engine_path(tracker, shape, signature, tuple(frame.shape))
            if not path.exists():
                inputs = (frame.to(self._device), numbers.to(self._device), model)
                write_engine(tracker, shape, *inputs, path)
            return Engine(path, frame, numbers, self._device)

        with torch.cuda.device(self._device):
            engine = self._engines.get(key, make_engine)
            rows, *kept = engine(frame, numbers, model)
            return rows.tolist(), tuple(kept)


class Engine:
    """An engine with its input buffers."""

    def __init__(self, path: Path, frame: Tensor, numbers: Tensor, device: torch.device) -> None:
        trt = need('tensorrt', 'runtime tensorrt', 'tensorrt')
        self._runtime = trt.Runtime(trt.Logger(trt.Logger.ERROR))
        self._engine = self._runtime.deserialize_cuda_engine(path.read_bytes())
        if self._engine is None:
            raise TrackerError(f'{path} is no engine for this GPU and TensorRT: delete it')
        self._context = self._engine.create_execution_context()
        self._staging = Staging(frame, numbers, device)
        names = [self._engine.get_tensor_name(i) for i in range(self._engine.num_io_tensors)]
        mode = trt.TensorIOMode.INPUT
        self._inputs = [name for name in names if self._engine.get_tensor_mode(name) == mode]
        self._outputs = {
            name: torch.empty(
                tuple(self._engine.get_tensor_shape(name)),
                dtype=getattr(torch, trt.nptype(self._engine.get_tensor_dtype(name)).__name__),
                device=device,
            )
            for name in names
            if name not in self._inputs
        }

    def __call__(self, frame: Tensor, numbers: Tensor, model: Sequence[Tensor]) -> list[Tensor]:
        self._staging.upload(frame, numbers)
        given = {'frame': self._staging.frame, 'numbers': self._staging.numbers}
        given.update((f'model_{i}', part.contiguous()) for i, part in enumerate(model))
        tensors = {name: given[name] for name in self._inputs} | self._outputs
        for name, tensor in tensors.items():
            self._context.set_tensor_address(name, tensor.data_ptr())
        self._context.execute_async_v3(torch.cuda.current_stream().cuda_stream)
        rows, *kept = (self._outputs[name] for name in sorted(self._outputs, reverse=True))
        return [rows.cpu(), *(tensor.clone() for tensor in reversed(kept))]


def engine_path(tracker: Any, shape: Hashable, signature: Any, frame: tuple[int, ...]) -> Path:
    """Where the engine of a step is kept."""
    trt = need('tensorrt', 'runtime tensorrt', 'tensorrt')
    gpu = torch.cuda.get_device_name(tracker.device)
    name = program_name(tracker, shape, signature, frame, gpu, trt.__version__)
    return cache_folder() / 'tensorrt' / f'{name}.engine'


def write_engine(
    tracker: Any,
    shape: Hashable,
    frame: Tensor,
    numbers: Tensor,
    model: Sequence[Tensor],
    path: Path,
) -> None:
    """Build the engine of a step for frames of this size, in the tracker's precision.

    Raises:
        TrackerError: TensorRT refuses the step.
    """
    trt = need('tensorrt', 'an engine', 'tensorrt')
    begin = time.monotonic()
    log.info('building the TensorRT engine of %s %s', tracker.name, tracker.preset)
    source = path.with_suffix('.onnx')
    write_onnx(tracker, shape, frame, numbers, model, source, any_size=False, widen=True)
    builder = trt.Builder(trt.Logger(trt.Logger.ERROR))
    # every tensor keeps the type that the step gave it
    flags = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = builder.create_network(flags)
    parser = trt.OnnxParser(network, builder.logger)
    if not parser.parse(source.read_bytes()):
        reasons = '; '.join(str(parser.get_error(i)) for i in range(parser.num_errors))
        raise TrackerError(
            f'TensorRT {trt.__version__} cannot take the step of {tracker.name}: {reasons}'
        )
    engine = builder.build_serialized_network(network, builder.create_builder_config())
    if engine is None:
        raise TrackerError(f'TensorRT {trt.__version__} built no engine for {tracker.name}')
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f'.{path.name}.{id(engine)}')
    unfinished.write_bytes(bytes(engine))
    unfinished.replace(path)
    log.info('wrote %s in %.0f s', path, time.monotonic() - begin)

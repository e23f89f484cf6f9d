# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""A step run by TensorRT, on the engine that was built for it on this GPU.

An engine is built from the exported step when its shapes come for the first time, which takes
minutes, and is kept in the cache folder under a name with the GPU, the version of TensorRT and the
weights.
"""

from __future__ import annotations

from collections.abc import Sequence
import logging
from pathlib import Path
import time

import torch
from torch import Tensor

from tracker_core.errors import TrackerError
from tracker_core.runtime.cache import cache_folder, program_name, Programs
from tracker_core.runtime.cuda_graph import Staging
from tracker_core.runtime.eager import Joined
from tracker_core.runtime.export import need, StepInputs, write_onnx
from tracker_core.step import Rows, StepProgram, Tensors

log = logging.getLogger(__name__)

MOST_ENGINES = 8


class TensorRT:
    """Builds engines and runs them.

    Raises:
        ParameterError: A package is missing.
    """

    name = 'tensorrt'
    prepares_programs = True

    def __init__(self, device: torch.device) -> None:
        for module in ('tensorrt', 'onnx', 'onnxscript'):
            need(module, 'runtime tensorrt', 'tensorrt')
        self._device = device
        self._engines: Programs[Engine] = Programs(MOST_ENGINES)
        self._join = Joined()

    def __call__(
        self, program: StepProgram, frame: Tensor, geometry: Tensor, models: Sequence[Tensors]
    ) -> tuple[Rows, Tensors]:
        geometry, model = geometry.float(), self._join(models)
        signature = tuple((tuple(part.shape), str(part.dtype)) for part in model)

        def make_engine() -> Engine:
            path = engine_path(program, signature, tuple(frame.shape), self._device)
            if not path.exists():
                there = StepInputs(frame.to(self._device), geometry.to(self._device), model)
                write_engine(program, there, path)
            return Engine(path, frame, geometry, self._device)

        with torch.cuda.device(self._device):
            key = (program.identity, signature, frame.shape)
            engine = self._engines.get(key, make_engine)
            rows, *kept = engine(StepInputs(frame, geometry, model))
            return rows.tolist(), tuple(kept)


class Engine:
    """An engine with its input buffers."""

    def __init__(self, path: Path, frame: Tensor, geometry: Tensor, device: torch.device) -> None:
        trt = need('tensorrt', 'runtime tensorrt', 'tensorrt')
        self._runtime = trt.Runtime(trt.Logger(trt.Logger.ERROR))
        self._engine = self._runtime.deserialize_cuda_engine(path.read_bytes())
        if self._engine is None:
            raise TrackerError(f'{path} is no engine for this GPU and TensorRT: delete it')
        self._context = self._engine.create_execution_context()
        self._staging = Staging(frame, geometry, device)
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

    def __call__(self, inputs: StepInputs) -> list[Tensor]:
        self._staging.upload(inputs.frame, inputs.geometry)
        model = (part.contiguous() for part in inputs.model)
        there = (self._staging.frame, self._staging.geometry, *model)
        given = dict(zip(inputs.names, there, strict=True))
        tensors = {name: given[name] for name in self._inputs} | self._outputs
        for name, tensor in tensors.items():
            self._context.set_tensor_address(name, tensor.data_ptr())
        self._context.execute_async_v3(torch.cuda.current_stream().cuda_stream)
        rows, *kept = (self._outputs[name] for name in sorted(self._outputs, reverse=True))
        return [rows.cpu(), *(tensor.clone() for tensor in reversed(kept))]


def engine_path(
    program: StepProgram, signature: object, frame: tuple[int, ...], device: torch.device
) -> Path:
    """Where the engine of a step is kept."""
    trt = need('tensorrt', 'runtime tensorrt', 'tensorrt')
    gpu = torch.cuda.get_device_name(device)
    name = program_name(program, signature, frame, gpu, trt.__version__)
    return cache_folder() / 'tensorrt' / f'{name}.engine'


def write_engine(program: StepProgram, inputs: StepInputs, path: Path) -> None:
    """Build the engine of a step for frames of this size, in the networks' precision.

    Raises:
        TrackerError: TensorRT refuses the step.
    """
    trt = need('tensorrt', 'an engine', 'tensorrt')
    begin = time.monotonic()
    log.info('building the TensorRT engine of %s', program.origin)
    source = path.with_suffix('.onnx')
    write_onnx(program, inputs, source, any_size=False, widen=True)
    builder = trt.Builder(trt.Logger(trt.Logger.ERROR))
    # every tensor keeps the type that the step gave it
    flags = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = builder.create_network(flags)
    parser = trt.OnnxParser(network, builder.logger)
    if not parser.parse(source.read_bytes()):
        reasons = '; '.join(str(parser.get_error(i)) for i in range(parser.num_errors))
        raise TrackerError(
            f'TensorRT {trt.__version__} cannot take the step of {program.origin}: {reasons}'
        )
    engine = builder.build_serialized_network(network, builder.create_builder_config())
    if engine is None:
        raise TrackerError(f'TensorRT {trt.__version__} built no engine for {program.origin}')
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f'.{path.name}.{id(engine)}')
    unfinished.write_bytes(bytes(engine))
    unfinished.replace(path)
    log.info('wrote %s in %.0f s', path, time.monotonic() - begin)

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""A step run by TensorRT, on the engine that was built for it on this GPU.

An engine is built from the exported step when its shapes come for the first time, which takes
minutes, and is kept in the cache folder under a name with the GPU, the version of TensorRT and the
weights. What its importer takes is written down in `runtime/importer.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
import logging
from pathlib import Path
import time
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from tracker_core.errors import ParameterError, TrackerError
from tracker_core.extras import need
from tracker_core.runtime.cache import cache_folder, program_name, Programs
from tracker_core.runtime.cuda_graph import (
    ModelBuffers,
    MOST_STAGINGS,
    ReadBack,
    Staging,
)
from tracker_core.runtime.eager import Joined
from tracker_core.runtime.export import StepInputs, write_onnx
from tracker_core.step import Rows, StepProgram, Tensors

log = logging.getLogger(__name__)

MOST_ENGINES = 8
ALIGNMENT = 256  # bytes; of all addresses that an engine is given
OLDEST = 10  # major version; 8.6 knows neither strongly typed networks nor int64 and bfloat16
# ours of TensorRT's data types; NumPy, which the module offers to translate to, has no bfloat16
DTYPES = {
    'FLOAT': torch.float32,
    'HALF': torch.float16,
    'BF16': torch.bfloat16,
    'INT8': torch.int8,
    'INT32': torch.int32,
    'INT64': torch.int64,
    'BOOL': torch.bool,
    'UINT8': torch.uint8,
}


def need_tensorrt(purpose: str) -> ModuleType:
    """TensorRT's Python module.

    Raises:
        ParameterError: It is not installed, or too old.
    """
    trt = need('tensorrt', purpose, 'tensorrt')
    version = str(trt.__version__)
    if int(version.partition('.')[0]) < OLDEST:
        raise ParameterError(
            f'{purpose} needs TensorRT {OLDEST} or later, not {version}: on a Jetson that is '
            'JetPack 6.1 or later; otherwise set runtime to cuda_graph'
        )
    return trt


class TensorRT:
    """Builds engines and runs them.

    Raises:
        ParameterError: A package is missing or too old.
    """

    name = 'tensorrt'
    prepares_programs = True

    def __init__(self, device: torch.device) -> None:
        need_tensorrt('runtime tensorrt')
        for module in ('onnx', 'onnxscript'):
            need(module, 'runtime tensorrt', 'tensorrt')
        self._device = device
        self._engines: Programs[Engine] = Programs(MOST_ENGINES)
        self._stagings: Programs[Staging] = Programs(MOST_STAGINGS)
        self._join = Joined()
        self._stream: torch.cuda.Stream | None = None

    def __call__(
        self, program: StepProgram, frame: Tensor, geometry: Tensor, models: Sequence[Tensors]
    ) -> tuple[Rows, Tensors]:
        geometry = geometry.float()
        signature = tuple((tuple(part.shape), str(part.dtype)) for part in models[0])

        def make_engine() -> Engine:
            path = engine_path(program, (len(models), signature), tuple(frame.shape), self._device)
            if not path.exists():
                there = frame.to(self._device), geometry.to(self._device)
                write_engine(program, StepInputs(*there, self._join(models)), path)
            staging = self._stagings.get(
                (frame.shape, geometry.shape), lambda: Staging(frame, geometry, self._device)
            )
            return Engine(path, staging, models, self._device, stream)

        with torch.cuda.device(self._device):
            if self._stream is None:
                self._stream = torch.cuda.Stream(self._device)
            stream = self._stream
            key = (program.identity, len(models), signature, frame.shape)
            engine = self._engines.get(key, make_engine)
            return engine(frame, geometry, program.seen(frame, geometry), models)


class Engine:
    """An engine with all that it reads and writes, always at the same place.

    Args:
        path: Of the engine.
        staging: Where frame and geometry lie, the latter in float32.
        models: The targets' models.
        device: Where it runs.
        stream: On which; not the default one, on which TensorRT would wait for the device.

    Raises:
        TrackerError: It is none for this GPU and TensorRT, or not one of this step.
    """

    def __init__(
        self,
        path: Path,
        staging: Staging,
        models: Sequence[Tensors],
        device: torch.device,
        stream: torch.cuda.Stream,
    ) -> None:
        trt = need_tensorrt('an engine')
        self._path, self._stream = path, stream
        self._runtime = trt.Runtime(trt.Logger(trt.Logger.ERROR))
        self._engine = self._runtime.deserialize_cuda_engine(path.read_bytes())
        context = None if self._engine is None else self._engine.create_execution_context()
        if context is None:
            raise TrackerError(f'{path} is no engine for this GPU and TensorRT: delete it')
        self._context = context
        self._staging = staging
        self._models = ModelBuffers(models, device)
        inputs = StepInputs(staging.frame, staging.geometry, self._models.tensors)
        parts = (inputs.frame, inputs.geometry, *inputs.model)
        given = dict(zip(inputs.names, parts, strict=True))
        outputs = {}
        for index in range(self._engine.num_io_tensors):
            name = self._engine.get_tensor_name(index)
            shape = tuple(self._engine.get_tensor_shape(name))
            dtype = torch_dtype(self._engine.get_tensor_dtype(name), name)
            if self._engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT:
                tensor = given.get(name)
                if tensor is None or (tuple(tensor.shape), tensor.dtype) != (shape, dtype):
                    raise TrackerError(f'{path} is an engine of another step: delete it')
            else:
                tensor = outputs[name] = torch.empty(shape, dtype=dtype, device=device)
            self._bind(name, tensor)
        kept = (f'kept_{number}' for number in range(len(outputs) - 1))
        self._kept = [outputs[name] for name in kept]
        self._read_back = ReadBack(outputs['result'])

    def _bind(self, name: str, tensor: Tensor) -> None:
        """Tell the engine where a tensor lies, once for all."""
        address = tensor.data_ptr()
        if address % ALIGNMENT or not tensor.is_contiguous():
            raise TrackerError(f'{name} of {self._path} does not lie where TensorRT can read it')
        if not self._context.set_tensor_address(name, address):
            raise TrackerError(f'TensorRT refuses the memory of {name} for {self._path}')

    def __call__(
        self,
        frame: Tensor,
        geometry: Tensor,
        part: tuple[slice, slice],
        models: Sequence[Tensors],
    ) -> tuple[Rows, Tensors]:
        """See `Staging.upload`."""
        # what learns and whoever made the frame works on the current stream
        current = torch.cuda.current_stream()
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            self._staging.upload(frame, geometry, part)
            self._models.load(models)
            if not self._context.execute_async_v3(self._stream.cuda_stream):
                raise TrackerError(f'TensorRT could not run {self._path}')
            rows, kept = self._read_back(self._kept)
        current.wait_stream(self._stream)
        for tensor in kept:
            tensor.record_stream(current)
        return rows, kept


def torch_dtype(dtype: Any, name: str) -> torch.dtype:
    """Ours of a TensorRT data type.

    Args:
        dtype: A `tensorrt.DataType`.
        name: Of the tensor that has it.

    Raises:
        TrackerError: Torch has none.
    """
    found = DTYPES.get(dtype.name)
    if found is None:
        raise TrackerError(f'{name} of the engine is of the type {dtype.name}, which torch lacks')
    return found


def engine_path(
    program: StepProgram, signature: object, frame: tuple[int, ...], device: torch.device
) -> Path:
    """Where the engine of a step is kept."""
    trt = need_tensorrt('an engine')
    gpu = torch.cuda.get_device_name(device)
    name = program_name(program, signature, frame, gpu, trt.__version__)
    return cache_folder() / 'tensorrt' / f'{name}.engine'


def write_engine(program: StepProgram, inputs: StepInputs, path: Path) -> None:
    """Build the engine of a step for frames of this size, in the networks' precision.

    Raises:
        ParameterError: A package is missing or too old.
        TrackerError: The step cannot be exported, or TensorRT refuses it.
    """
    need_tensorrt('an engine')
    begin = time.monotonic()
    log.info('building the TensorRT engine of %s', program.origin)
    source = path.with_suffix('.onnx')
    write_onnx(program, inputs, source, any_size=False, widen=True)
    engine = build_engine(source, str(program.origin))
    unfinished = path.with_name(f'.{path.name}.{id(engine)}')
    unfinished.write_bytes(engine)
    unfinished.replace(path)
    log.info('wrote %s in %.0f s', path, time.monotonic() - begin)


def build_engine(source: Path, name: str) -> bytes:
    """The engine of an ONNX file.

    Args:
        source: The file.
        name: What it is of, for messages.

    Raises:
        ParameterError: TensorRT is missing or too old.
        TrackerError: TensorRT refuses it.
    """
    trt = need_tensorrt('an engine')
    builder, network = parse(trt, source, name)
    engine = builder.build_serialized_network(network, builder.create_builder_config())
    if engine is None:
        raise TrackerError(f'TensorRT {trt.__version__} built no engine for {name}')
    return bytes(engine)


def parse(trt: ModuleType, source: Path, name: str) -> tuple[Any, Any]:
    """TensorRT's builder and its network of an ONNX file, each tensor of the type that it has
    there; see `build_engine`."""
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    # 11 has no other kind of networks and ignores the flag
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(source.read_bytes()):
        reasons = '; '.join(str(parser.get_error(i)) for i in range(parser.num_errors))
        raise TrackerError(f'TensorRT {trt.__version__} cannot take the step of {name}: {reasons}')
    return builder, network

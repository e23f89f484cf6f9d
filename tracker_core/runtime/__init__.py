# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""How a step is executed: see `Runtime` and `Updates` in `tracker_core.step`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
import time

import torch
import torch.nn.functional as F

from tracker_core.choices import RUNTIMES
from tracker_core.errors import ParameterError
from tracker_core.runtime.cuda_graph import CudaGraphs, CudaGraphUpdates
from tracker_core.runtime.eager import Eager, EagerUpdates, SessionSteps
from tracker_core.step import Runtime, Updates

EXPORTING = ('onnx', 'tensorrt')  # which need an exportable step
CLEARLY_FASTER = 1.25  # bfloat16 is chosen from this ratio on


def choose_runtime(name: str, device: torch.device, has_sessions: bool) -> str:
    """Check a runtime's name and resolve 'auto'.

    Args:
        name: What is wanted.
        device: Where the networks run.
        has_sessions: Whether ONNX Runtime has graphs of the networks, and is wanted for them on a
            CPU.

    Raises:
        ParameterError: There is none of this name, or it cannot run on this device.
    """
    if name not in RUNTIMES:
        raise ParameterError(f'runtime must be one of {", ".join(RUNTIMES)}, not {name!r}')
    if name == 'auto':
        if device.type == 'cuda':
            return 'cuda_graph'
        return 'session' if device.type == 'cpu' and has_sessions else 'eager'
    if name in ('cuda_graph', 'tensorrt') and device.type != 'cuda':
        raise ParameterError(f'runtime {name} needs a CUDA device, not {device.type!r}')
    if name in ('session', 'onnx') and device.type != 'cpu':
        raise ParameterError(
            f'runtime {name} runs on the CPU, not on {device.type!r}: set device to cpu, or '
            'choose cuda_graph or tensorrt'
        )
    return name


def choose_precision(runtime: str, device: torch.device, fine_formats: Sequence[str]) -> str:
    """What precision 'auto' means.

    Args:
        runtime: The chosen one.
        device: Where the networks run.
        fine_formats: In which the tracker is as accurate as in float32.
    """
    if device.type == 'cuda':
        return 'float16'
    if runtime == 'session' and 'int8' in fine_formats and has_int8_products():
        return 'int8'
    if runtime == 'eager' and 'bfloat16' in fine_formats and bfloat16_speedup() > CLEARLY_FASTER:
        return 'bfloat16'
    return 'float32'


@lru_cache(maxsize=1)
def has_int8_products() -> bool:
    """Whether this CPU has instructions for sums of products in int8 (VNNI), without which int8
    is neither faster nor exact."""
    try:
        return 'vnni' in Path('/proc/cpuinfo').read_text()
    except OSError:
        return False


@lru_cache(maxsize=1)
def bfloat16_speedup() -> float:
    """How many times faster than float32 this CPU convolves in bfloat16.

    Measured once per process, in about a tenth of a second, on a layer like those of the
    backbones; the fastest of several runs counts, so that other load matters little.
    """
    fastest = {}
    with torch.inference_mode():
        for dtype in (torch.float32, torch.bfloat16):
            x = torch.ones(1, 128, 32, 32, dtype=dtype).to(memory_format=torch.channels_last)
            weight = torch.ones(128, 128, 3, 3, dtype=dtype).to(memory_format=torch.channels_last)
            times = []
            for _ in range(6):
                begin = time.perf_counter()
                x = F.conv2d(x, weight, padding=1).clamp(max=1)
                times.append(time.perf_counter() - begin)
            fastest[dtype] = min(times[1:])
    return fastest[torch.float32] / fastest[torch.bfloat16]


def make_runtime(name: str, device: torch.device, precision: torch.dtype) -> Runtime:
    """The runtime of a name, see `choose_runtime`, for networks on a device and of a precision.

    Raises:
        ParameterError: What it needs is not installed, or it does not have this precision.
    """
    if name == 'onnx':
        from tracker_core.runtime.onnx import OnnxRuntime

        return OnnxRuntime(precision)
    if name == 'tensorrt':
        from tracker_core.runtime.tensorrt import TensorRT

        return TensorRT(device)
    if name == 'session':
        return SessionSteps(device)
    return CudaGraphs(device) if name == 'cuda_graph' else Eager(device)


def make_updates(name: str, device: torch.device) -> Updates:
    """What runs the online updates of a tracker on a device beside the runtime of this name."""
    if device.type != 'cuda' or name == 'eager':
        return EagerUpdates()
    return CudaGraphUpdates(device)

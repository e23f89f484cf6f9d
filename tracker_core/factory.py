# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Build a tracker: its declaration, parameters, device, precision, weights and runtime."""

from __future__ import annotations

import importlib
import logging
from typing import Any

import torch

from tracker_core.choices import PRECISIONS, RUNTIMES
from tracker_core.errors import ParameterError
from tracker_core.parameters import Value, with_parameters
from tracker_core.registry import tracker_declaration
from tracker_core.runtime import (
    choose_precision,
    choose_runtime,
    EXPORTING,
    make_runtime,
    make_updates,
)
from tracker_core.tracker import Setup, Tracker
from tracker_core.weights import load_weights

log = logging.getLogger(__name__)


def create_tracker(
    name: str,
    preset: str = 'compact',
    device: str = 'auto',
    precision: str = 'auto',
    runtime: str = 'auto',
    weights: str | None = None,
    **parameters: Value,
) -> Tracker[Any, Any, Any]:
    """Build a tracker, ready for `start`.

    Args:
        name: One of `list_trackers()`.
        preset: 'compact' (small, with bundled weights, for CPUs) or 'paper' (the published
            architecture; its weight files are the authors', see `tracker weights`).
        device: 'auto' (CUDA where there is one), 'cpu', 'cuda', 'cuda:1', ...
        precision: 'auto', 'float32', 'bfloat16', 'float16' or 'int8': of the networks; geometry is
            always float32 or better. 'auto' is float16 on CUDA, int8 or bfloat16 on a CPU that is
            faster with it for those presets that are as accurate with it, else float32. int8 is
            had for preset compact with the bundled weights on a CPU.
        runtime: How a step is executed: 'eager', 'session', 'cuda_graph', 'onnx', 'tensorrt', or
            'auto': 'cuda_graph' on CUDA; on a CPU 'session' for preset compact, else 'eager'. The
            choice is logged and stands in `tracker.runtime` and `tracker.number_format`.
        weights: None for the bundled or installed file, a path, or 'random' for seeded random
            weights (to measure speed, to test).
        **parameters: Fields of the tracker's config, to override the preset's.

    Raises:
        UnknownTrackerError: No such tracker or preset.
        ParameterError: A parameter that does not exist or is out of range; a device that is not
            there.
        WeightsError: The weight file is missing or does not fit.
    """
    declaration = tracker_declaration(name)
    declared = declaration.preset(preset)
    if runtime not in RUNTIMES:
        raise ParameterError(f'runtime must be one of {", ".join(RUNTIMES)}, not {runtime!r}')
    config = with_parameters(declared.config, parameters)
    torch_device = find_device(device)
    if precision not in ('auto', *PRECISIONS):
        raise ParameterError(
            f'precision must be auto or one of {", ".join(PRECISIONS)}, not {precision!r}'
        )
    has_sessions = declared.network == 'compact' and precision in ('auto', 'float32', 'int8')
    runtime_name = choose_runtime(runtime, torch_device, has_sessions)
    if precision == 'auto':
        formats = declared.fine_formats if config.tolerates_rounding else ()
        if weights is not None:
            formats = tuple(each for each in formats if each != 'int8')
        precision = choose_precision(runtime_name, torch_device, formats)
    is_int8 = precision == 'int8'
    if is_int8 and runtime_name != 'session':
        raise ParameterError(
            f'precision int8 is had by runtime session alone, for preset compact on a CPU; '
            f'{name} {preset} on {torch_device} has runtime {runtime_name}'
        )
    dtype = torch.float32 if is_int8 else getattr(torch, precision)
    module, _, class_name = declaration.tracker.partition(':')
    make = getattr(importlib.import_module(module), class_name)
    read = load_weights(f'{name} {preset}', declared.weights, weights)
    setup = Setup(preset, declared.network, config, torch_device, dtype, read)
    tracker: Tracker[Any, Any, Any] = make(setup)
    if runtime_name in EXPORTING and not tracker.exportable:
        raise ParameterError(
            f'{name} {preset} with these parameters cannot be exported: its step is no pure '
            'tensor program for any frame; choose runtime eager or cuda_graph'
        )
    if runtime_name == 'session':
        tracker.use_sessions(is_int8)
    tracker.steps = make_runtime(runtime_name, torch_device, dtype)
    tracker.updates = make_updates(runtime_name, torch_device)
    log.info(
        '%s %s on %s: runtime %s, precision %s',
        name,
        preset,
        torch_device,
        runtime_name,
        precision,
    )
    return tracker


def find_device(device: str) -> torch.device:
    """The device of a name.

    Raises:
        ParameterError: There is none.
    """
    if device == 'auto':
        return torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    try:
        found = torch.device(device)
    except RuntimeError:
        raise ParameterError(
            f"device must be 'auto', 'cpu', 'cuda' or 'cuda:N', not {device!r}"
        ) from None
    if found.type == 'cuda' and (
        not torch.cuda.is_available() or (found.index or 0) >= torch.cuda.device_count()
    ):
        raise ParameterError(
            f'device {device!r} is not there: torch sees {torch.cuda.device_count()} CUDA devices'
        )
    return found

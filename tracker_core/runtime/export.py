# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""A step as an ONNX file, and what a file says of itself.

The file holds the whole step, crop included, with geometry in float32. Its inputs are `frame`
(H, W, 3) uint8 of any size, `numbers` (N, M) float32 (what `Tracker._numbers` says of each
target) and the targets' model `model_0`, `model_1`, ...; its outputs `result` (N, R) (what
`Tracker._sighting` takes) and what learning needs, `kept_0`, ...
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
import json
import logging
from pathlib import Path
from typing import Any
import warnings

import torch
from torch import nn, Tensor

from tracker_core.boxes import Box
from tracker_core.errors import ParameterError, TrackerError
from tracker_core.images import SMALLEST_SIDE

OPSET = 20
LARGEST_SIDE = 16384  # pixels of a frame
Model = tuple[Tensor, ...]


def need(module: str, purpose: str, extra: str) -> Any:
    """Import an optional module.

    Raises:
        ParameterError: It is not installed.
    """
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ParameterError(
            f'{purpose} needs the Python package {module}, which is not installed ({error}): '
            f'pip install "tracker_nodes[{extra}]" or pip install {module}'
        ) from None


def need_exportable(tracker: Any, others: str) -> None:
    """Refuse a tracker whose step has no export; `others` are the runtimes to name in its stead.

    Raises:
        ParameterError: It has none.
    """
    if not tracker.exportable:
        raise ParameterError(
            f'{tracker.name} {tracker.preset} with these parameters cannot be exported: its step '
            f'is no pure tensor program for any frame; choose runtime {others}'
        )


class Step(nn.Module):
    """A tracker's step for one shape as a module, which is what exporters take; see `write_onnx`
    for `widen`."""

    def __init__(self, tracker: Any, shape: Hashable, widen: bool) -> None:
        super().__init__()
        self._tracker, self._shape, self._widen = tracker, shape, widen
        for name, value in vars(tracker).items():
            if isinstance(value, nn.Module):
                self.add_module(name, value)

    def forward(self, frame: Tensor, numbers: Tensor, *model: Tensor) -> Model:
        if self._widen:
            frame = frame.half()  # holds 0 to 255 exactly
        return self._tracker.step(self._shape, frame, numbers, *model)


def trace(
    tracker: Any,
    shape: Hashable,
    frame: Tensor,
    numbers: Tensor,
    model: Sequence[Tensor],
    any_size: bool = True,
    widen: bool = False,
) -> torch.export.ExportedProgram:
    """A step as a graph of tensor operations.

    Args:
        tracker: Whose step.
        shape: Its shape, see `Tracker._shape`.
        frame: A frame, with a size of its own in both axes.
        numbers: (N, M); their dtype is that of the geometry.
        model: The targets' model.
        any_size: Whether frames of any size shall fit.
        widen: See `write_onnx`.

    Raises:
        TrackerError: The step is not a pure tensor program.
    """
    sides = None
    if any_size:
        sides = {
            axis: torch.export.Dim(name, min=SMALLEST_SIDE, max=LARGEST_SIDE)
            for axis, name in enumerate(('height', 'width'))
        }
    try:
        with torch.no_grad():
            return torch.export.export(
                Step(tracker, shape, widen).eval(),
                (frame, numbers, *model),
                dynamic_shapes=(sides, None, tuple(None for _ in model)),
                strict=False,
            )
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise TrackerError(
            f'the step of {tracker.name} {tracker.preset} cannot be exported: {reason}'
        ) from error


def write_onnx(
    tracker: Any,
    shape: Hashable,
    frame: Tensor,
    numbers: Tensor,
    model: Sequence[Tensor],
    path: Path,
    any_size: bool = True,
    widen: bool = False,
) -> None:
    """Write a step as an ONNX file; see `trace` for the other arguments.

    Args:
        path: The file.
        widen: Make float16 of the frame before anything else, for runtimes that have bytes as
            inputs only.

    Raises:
        ParameterError: onnx or onnxscript are not installed.
        TrackerError: The step cannot be exported.
    """
    for module in ('onnx', 'onnxscript'):
        need(module, 'export', 'onnx')
    # tensors that were made in inference mode cannot be traced
    inputs = [x.detach().clone() for x in (frame, numbers.float(), *model)]
    with torch.inference_mode(False), warnings.catch_warnings():
        warnings.simplefilter('ignore')
        for talker in ('torch.onnx', 'onnxscript', 'onnx_ir'):
            logging.getLogger(talker).setLevel(logging.ERROR)
        traced = trace(tracker, shape, inputs[0], inputs[1], inputs[2:], any_size, widen)
        outputs = len(traced.graph_signature.user_outputs)
        program = torch.onnx.export(
            traced,
            dynamo=True,
            opset_version=OPSET,
            verbose=False,
            input_names=['frame', 'numbers', *(f'model_{i}' for i in range(len(model)))],
            output_names=['result', *(f'kept_{i}' for i in range(outputs - 1))],
        )
    about = {
        'tracker': tracker.name,
        'preset': tracker.preset,
        'weights': tracker.weights.checksum,
        'targets': len(numbers),
        'shape': repr(shape),
        'parameters': json.dumps(vars(tracker.config)),
    }
    for key, value in about.items():
        program.model.metadata_props[key] = str(value)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f'.{path.name}.{id(program)}')
    program.save(unfinished, external_data=False)
    unfinished.replace(path)  # whoever finds the file finds all of it


def example(tracker: Any, size: tuple[int, int], target: tuple[int, int], count: int) -> Any:
    """What a step takes for targets of a size in an image of a size, both width and height in
    pixels: shape, frame, numbers and model."""
    generator = torch.Generator().manual_seed(0)
    shape = (size[1], size[0], 3)
    frame = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
    started = tracker.start(frame, Box.from_center(size[0] / 2, size[1] / 2, *target))
    numbers = tracker._numbers(started, size).expand(count, -1)
    model = [part.expand(count, *part.shape[1:]) for part in tracker._tensors(started)]
    frame, numbers = frame.to(tracker.device), numbers.to(tracker.device)
    return tracker._shape(started, size), frame, numbers, model

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""A step as an ONNX file, and what a file says of itself.

The file holds the whole step, crop included, with geometry in float32. Its inputs are `frame`
(H, W, 3) uint8 of any size, `geometry` (N, M) float32 (`Tracker.search_geometry` of each target)
and the targets' model `model_0`, `model_1`, ... (`Tracker.model_tensors`); its outputs `result`
(N, R), of which `Tracker.proposal` makes sense, and what learning needs, `kept_0`, ...
"""

from __future__ import annotations

from collections.abc import Sequence
import dataclasses
from dataclasses import dataclass
import json
import logging
from pathlib import Path
from typing import Any, TYPE_CHECKING
import warnings

import torch
from torch import nn, Tensor

from tracker_core.boxes import Box
from tracker_core.errors import TrackerError
from tracker_core.extras import need
from tracker_core.images import SMALLEST_SIDE
from tracker_core.step import StepProgram, Tensors

if TYPE_CHECKING:
    from tracker_core.tracker import Tracker

OPSET = 20
LARGEST_SIDE = 16384  # pixels of a frame


@dataclass(frozen=True)
class StepInputs:
    """What a step is called with.

    Attributes:
        frame: (H, W, 3) uint8.
        geometry: (N, M) float; its dtype is that of the geometry inside.
        model: The model tensors of N targets one behind the other.
    """

    frame: Tensor
    geometry: Tensor
    model: Sequence[Tensor]

    @property
    def names(self) -> list[str]:
        """Of the inputs in an exported file, in order."""
        return ['frame', 'geometry', *(f'model_{i}' for i in range(len(self.model)))]


class ProgramModule(nn.Module):
    """A step as a module, which is what exporters take; see `write_onnx` for `widen`."""

    def __init__(self, program: StepProgram, widen: bool) -> None:
        super().__init__()
        self._program, self._widen = program, widen
        for name, network in program.networks.items():
            self.add_module(name, network)

    def forward(self, frame: Tensor, geometry: Tensor, *model: Tensor) -> Tensors:
        if self._widen:
            frame = frame.half()  # holds 0 to 255 exactly
        return self._program.run(frame, geometry, *model)


def trace(
    program: StepProgram, inputs: StepInputs, any_size: bool = True, widen: bool = False
) -> torch.export.ExportedProgram:
    """A step as a graph of tensor operations.

    Args:
        program: The step.
        inputs: What it is called with; the frame needs a size of its own in both axes.
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
                ProgramModule(program, widen).eval(),
                (inputs.frame, inputs.geometry, *inputs.model),
                dynamic_shapes=(sides, None, tuple(None for _ in inputs.model)),
                strict=False,
            )
    except Exception as error:
        raise TrackerError(_refusal(program, error)) from error


def _refusal(program: StepProgram, error: Exception) -> str:
    """What to say where an exporter gives up; it wraps the reason in advice of its own."""
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    reason = (str(cause).strip() or type(cause).__name__).splitlines()[0]
    return f'the step of {program.origin} cannot be exported: {reason}'


def write_onnx(
    program: StepProgram,
    inputs: StepInputs,
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
    frame, geometry, *model = (
        x.detach().clone() for x in (inputs.frame, inputs.geometry.float(), *inputs.model)
    )
    with torch.inference_mode(False), warnings.catch_warnings():
        warnings.simplefilter('ignore')
        for talker in ('torch.onnx', 'onnxscript', 'onnx_ir'):
            logging.getLogger(talker).setLevel(logging.ERROR)
        traced = trace(program, StepInputs(frame, geometry, model), any_size, widen)
        outputs = len(traced.graph_signature.user_outputs)
        try:
            exported = torch.onnx.export(
                traced,
                dynamo=True,
                opset_version=OPSET,
                verbose=False,
                input_names=inputs.names,
                output_names=['result', *(f'kept_{i}' for i in range(outputs - 1))],
            )
        except Exception as error:
            raise TrackerError(_refusal(program, error)) from error
    assert exported is not None  # it is, of a traced program
    origin = program.origin
    about = {
        'tracker': origin.tracker,
        'preset': origin.preset,
        'weights': origin.weights,
        'targets': len(inputs.geometry),
        'program_key': repr(program.key),
        'parameters': json.dumps(dataclasses.asdict(origin.config)),
    }
    for key, value in about.items():
        exported.model.metadata_props[key] = str(value)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f'.{path.name}.{id(exported)}')
    exported.save(unfinished, external_data=False)
    unfinished.replace(path)  # whoever finds the file finds all of it


def example(
    tracker: Tracker[Any, Any, Any], size: tuple[int, int], target: tuple[int, int], count: int
) -> tuple[StepProgram, StepInputs]:
    """A tracker's step and what it takes for targets of a size in an image of a size.

    Args:
        tracker: Whose step.
        size: Width and height of the image in pixels.
        target: Width and height of the targets in pixels.
        count: How many targets.
    """
    generator = torch.Generator().manual_seed(0)
    shape = (size[1], size[0], 3)
    frame = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
    started = tracker.start(frame, Box.from_center(size[0] / 2, size[1] / 2, *target))
    geometry = tracker.search_geometry(started, size).expand(count, -1)
    model = [part.expand(count, *part.shape[1:]) for part in tracker.model_tensors(started)]
    frame, geometry = frame.to(tracker.device), geometry.to(tracker.device)
    program = tracker.program(tracker.program_key(started, size))
    return program, StepInputs(frame, geometry, model)

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""TensorRT's importer takes the steps, as far as that can be told without a GPU.

An export takes ten seconds, so that some of all are made: of the networks that differ, those that
test_runtime.py does not make. `TRACKER_ALL_EXPORTS=1 pytest test/core/test_exports.py` makes all.
Where the package `tensorrt-rtx-cu12` is installed, which needs no GPU, NVIDIA's own importer reads
them, too.
"""

from __future__ import annotations

from dataclasses import replace
import importlib
import os
from pathlib import Path

import numpy as np
from presets import PRESETS, REDUCED
import pytest
import torch
from torch import Tensor
import torch.nn.functional as F

from tracker_core import (
    Box,
    create_tracker,
    ParameterError,
    tracker_declaration,
    TrackerError,
)
from tracker_core.runtime import tensorrt
from tracker_core.runtime.cuda_graph import ModelBuffers, Staging
from tracker_core.runtime.eager import Eager
from tracker_core.runtime.export import StepInputs, write_onnx
from tracker_core.runtime.importer import obstacles
from tracker_core.runtime.onnx import open_session, run
from tracker_core.step import StepProgram

for module in ('onnx', 'onnxscript', 'onnxruntime'):
    pytest.importorskip(module)

CPU = torch.device('cpu')
PRECISIONS = ('float32', 'float16', 'bfloat16')
SOME = {
    ('atom', 'paper', 'float16'),
    ('ocean', 'paper_online', 'float16'),
    ('spm', 'paper', 'float32'),
}
EVERY = [(*preset, precision) for preset in PRESETS for precision in PRECISIONS]
CASES = [
    pytest.param(
        *case,
        marks=pytest.mark.skipif(
            case not in SOME and not os.environ.get('TRACKER_ALL_EXPORTS'),
            reason='made where TRACKER_ALL_EXPORTS is set',
        ),
    )
    for case in EVERY
]


class Prepared(Eager):
    """A runtime that prepares programs for their shapes, as far as trackers can tell."""

    prepares_programs = True


def step_of(name: str, preset: str, precision: str) -> tuple[StepProgram, StepInputs]:
    options = REDUCED.get((name, preset), {})
    # boxes of a random refiner may lie anywhere
    weights = None if tracker_declaration(name).preset(preset).is_bundled else 'random'
    tracker = create_tracker(name, preset, 'cpu', precision, 'eager', weights, **options)
    tracker.steps = Prepared(tracker.device)
    picture = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    frame = torch.from_numpy(picture)
    target = tracker.start(frame, Box(50, 40, 40, 40))
    geometry = tracker.search_geometry(target, (160, 120))[None]
    program = tracker.program(tracker.program_key(target, (160, 120)))
    return program, StepInputs(frame, geometry, list(tracker.model_tensors(target)))


@pytest.mark.parametrize(('name', 'preset', 'precision'), CASES)
def test_the_importer_takes_the_step(
    name: str, preset: str, precision: str, tmp_path: Path
) -> None:
    """And it is the same step: in float32 it gives the same numbers in ONNX Runtime."""
    program, inputs = step_of(name, preset, precision)
    path = tmp_path / 'step.onnx'
    write_onnx(program, inputs, path, any_size=False, widen=True)
    assert obstacles(path) == []
    assert readers_of_frame(path) == {'Cast'}  # bytes are inputs only
    read_by_nvidia(path)
    if precision != 'float32':
        return
    with torch.inference_mode():
        wanted, *_ = program.run(inputs.frame, inputs.geometry, *inputs.model)
    there = StepInputs(inputs.frame, inputs.geometry.float(), inputs.model)
    found, *_ = run(open_session(path), there)
    np.testing.assert_allclose(found, wanted, atol=0.05)


def readers_of_frame(path: Path) -> set[str]:
    """The operations that the frame is given to."""
    import onnx

    return {node.op_type for node in onnx.load(str(path)).graph.node if 'frame' in node.input}


def read_by_nvidia(path: Path) -> None:
    """Let the importer of TensorRT for RTX read a file, where it is installed."""
    try:
        rtx = importlib.import_module('tensorrt_rtx')
    except ImportError:
        return
    _, network = tensorrt.parse(rtx, path, 'a test')
    assert network.num_layers > 0


class Refused(torch.nn.Module):
    """Some of what steps once had."""

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return (
            F.fold(x.reshape(1, 1, 16), (4, 4), 1),
            F.interpolate(x[None], (9, 9), mode='bicubic'),
            x.double().cumsum(1),
            x.long().clamp(0, 3),
        )


def test_what_it_does_not_take_is_told(tmp_path: Path) -> None:
    path = tmp_path / 'part.onnx'
    inputs = (torch.rand(1, 4, 4),)
    exported = torch.onnx.export(
        Refused().eval(), inputs, dynamo=True, opset_version=20, verbose=False
    )
    exported.save(path)
    found = obstacles(path)
    for sentence in (
        'there is no operator ONNX Col2Im',
        "Resize has no mode 'cubic'",
        'CumSum does not take DOUBLE',
        'Clip does not take INT64',
    ):
        assert sentence in found


def test_a_step_that_cannot_be_exported(tmp_path: Path) -> None:
    """Is told of in our words, with the reason, whichever part of the exporter gives up."""
    program, inputs = step_of('tadt', 'compact', 'float32')
    for broken, reason in (
        (lambda frame, geometry, *model: (geometry.hypot(geometry),), 'hypot'),
        (lambda frame, geometry, *model: (geometry[: int(frame.sum())],), 'data-dependent'),
    ):
        with pytest.raises(TrackerError, match=f'tadt compact cannot be exported: .*{reason}'):
            write_onnx(replace(program, run=broken), inputs, tmp_path / 'step.onnx')


# --------------------------------------------------------------------------------------- engines


def test_old_versions_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what to do instead."""
    old = type(os)('tensorrt')
    old.__version__ = '8.6.2'
    monkeypatch.setitem(importlib.sys.modules, 'tensorrt', old)
    with pytest.raises(ParameterError, match=r'needs TensorRT 10 .*not 8\.6\.2.*JetPack 6\.1'):
        tensorrt.TensorRT(CPU)


def test_data_types() -> None:
    """All that an engine can have, by NVIDIA's names; torch lacks those of less than a byte."""
    rtx = pytest.importorskip('tensorrt_rtx', reason='pip install tensorrt-rtx-cu12')
    found = {}
    for name, dtype in rtx.DataType.__members__.items():
        if name in tensorrt.DTYPES:
            found[name] = tensorrt.torch_dtype(dtype, 'x')
        else:
            with pytest.raises(TrackerError, match=f'x of the engine is of the type {name}'):
                tensorrt.torch_dtype(dtype, 'x')
    assert found == tensorrt.DTYPES


@pytest.mark.parametrize('columns', [1, 7, 44, 77])
def test_all_that_an_engine_reads_is_aligned(columns: int) -> None:
    """Frame and geometry in their block, and models that are parts of other tensors."""
    frame = torch.zeros(17, 23, 3, dtype=torch.uint8)
    staging = Staging(frame, torch.zeros(3, columns), CPU)
    # each where its own memory begins, which on a GPU is aligned
    assert staging.frame.storage_offset() == staging.geometry.storage_offset() == 0
    assert staging.frame.untyped_storage().nbytes() == frame.nbytes
    table = torch.arange(12.0).reshape(4, 3)
    buffers = ModelBuffers([(table[1:2],), (table[3:],)], CPU)
    assert buffers.tensors[0].tolist() == [[3, 4, 5], [9, 10, 11]]
    assert buffers.tensors[0].storage_offset() == 0
    places = [tensor.data_ptr() for tensor in buffers.tensors]
    buffers.load([(table[1:2],), (table[:1],)])
    assert buffers.tensors[0].tolist() == [[3, 4, 5], [0, 1, 2]]
    assert [tensor.data_ptr() for tensor in buffers.tensors] == places

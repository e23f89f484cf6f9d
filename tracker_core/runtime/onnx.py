# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""A step run by ONNX Runtime on the CPU.

A step is exported when its shapes come for the first time, which takes a while, and is kept in
the cache folder. A changed parameter is another program, too.
"""

from __future__ import annotations

from collections.abc import Sequence
import logging
from pathlib import Path
import time
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tracker_core.errors import ParameterError
from tracker_core.extras import need
from tracker_core.layers.graphs import session_options
from tracker_core.runtime.cache import cache_folder, program_name, Programs
from tracker_core.runtime.eager import Joined
from tracker_core.runtime.export import StepInputs, write_onnx
from tracker_core.step import Rows, StepProgram, Tensors

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

log = logging.getLogger(__name__)

MOST_SESSIONS = 8


class OnnxRuntime:
    """Exports steps and runs them.

    Args:
        precision: Of the networks.

    Raises:
        ParameterError: A package is missing, or the precision is not float32.
    """

    name = 'onnx'
    prepares_programs = True

    def __init__(self, precision: torch.dtype) -> None:
        for module in ('onnxruntime', 'onnx', 'onnxscript'):
            need(module, 'runtime onnx', 'onnx')
        if precision != torch.float32:
            raise ParameterError(
                'runtime onnx computes in float32: set precision to float32 or auto'
            )
        self._sessions: Programs[InferenceSession] = Programs(MOST_SESSIONS)
        self._join = Joined()

    def __call__(
        self, program: StepProgram, frame: Tensor, geometry: Tensor, models: Sequence[Tensors]
    ) -> tuple[Rows, Tensors]:
        inputs = StepInputs(frame.cpu(), geometry.float(), self._join(models))
        signature = tuple((tuple(part.shape), str(part.dtype)) for part in inputs.model)

        def make_session() -> InferenceSession:
            path = cache_folder() / 'onnx' / f'{program_name(program, signature)}.onnx'
            if not path.exists():
                begin = time.monotonic()
                log.info('exporting the step of %s', program.origin)
                write_onnx(program, inputs, path)
                log.info('wrote %s in %.0f s', path, time.monotonic() - begin)
            return open_session(path)

        session = self._sessions.get((program.identity, signature), make_session)
        rows, *kept = run(session, inputs)
        return rows.tolist(), tuple(kept)


def open_session(path: Path) -> InferenceSession:
    """A session on the CPU with as many threads as torch has."""
    ort = need('onnxruntime', 'runtime onnx', 'onnx')
    return ort.InferenceSession(str(path), session_options(), providers=['CPUExecutionProvider'])


def run(session: InferenceSession, inputs: StepInputs) -> list[Tensor]:
    """Run a session that was made of an exported step; inputs without effect may be absent."""
    tensors = (inputs.frame, inputs.geometry, *inputs.model)
    given = dict(zip(inputs.names, tensors, strict=True))
    feed = {x.name: given[x.name].contiguous().numpy() for x in session.get_inputs()}
    return [torch.from_numpy(output) for output in session.run(None, feed)]

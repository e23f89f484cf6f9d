# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""A step run by ONNX Runtime on the CPU.

A step is exported when its shapes come for the first time, which takes a while, and is kept in
the cache folder. A changed parameter is another program, too.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
import logging
from pathlib import Path
import time
from typing import Any

import torch
from torch import Tensor

from tracker_core.errors import ParameterError
from tracker_core.runtime.cache import cache_folder, program_name, Programs
from tracker_core.runtime.eager import Joined, Model
from tracker_core.runtime.export import need, need_exportable, write_onnx

log = logging.getLogger(__name__)

MOST_SESSIONS = 8


def make(tracker: Any) -> OnnxRuntime:
    """The runtime.

    Raises:
        ParameterError: A package is missing, or the precision is not float32.
    """
    for module in ('onnxruntime', 'onnx', 'onnxscript'):
        need(module, 'runtime onnx', 'onnx')
    if tracker.precision != torch.float32:
        raise ParameterError('runtime onnx computes in float32: set precision to float32 or auto')
    need_exportable(tracker, 'eager or cuda_graph')
    return OnnxRuntime()


class OnnxRuntime:
    """Exports steps and runs them."""

    name = 'onnx'

    def __init__(self) -> None:
        self._sessions = Programs(MOST_SESSIONS)
        self._join = Joined()

    def __call__(
        self,
        tracker: Any,
        shape: Hashable,
        frame: Tensor,
        numbers: Tensor,
        models: Sequence[Model],
    ) -> tuple[list[list[float]], Model]:
        frame, numbers, model = frame.cpu(), numbers.float(), self._join(models)
        signature = tuple((tuple(part.shape), str(part.dtype)) for part in model)
        key = (shape, tracker.config, signature)

        def make_session() -> Any:
            path = cache_folder() / 'onnx' / f'{program_name(tracker, shape, signature)}.onnx'
            if not path.exists():
                begin = time.monotonic()
                log.info('exporting the step of %s %s', tracker.name, tracker.preset)
                write_onnx(tracker, shape, frame, numbers, model, path)
                log.info('wrote %s in %.0f s', path, time.monotonic() - begin)
            return open_session(path)

        session = self._sessions.get(key, make_session)
        rows, *kept = run(session, frame, numbers, model)
        return rows.tolist(), tuple(kept)


def open_session(path: Path) -> Any:
    """A session on the CPU with as many threads as torch has."""
    ort = need('onnxruntime', 'runtime onnx', 'onnx')
    options = ort.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # threads that spin while they wait take the cores from everything else
    options.add_session_config_entry('session.intra_op.allow_spinning', '0')
    return ort.InferenceSession(str(path), options, providers=['CPUExecutionProvider'])


def run(session: Any, frame: Tensor, numbers: Tensor, model: Sequence[Tensor]) -> list[Tensor]:
    """Run a session that was made of an exported step; inputs without effect may be absent."""
    names = ['frame', 'numbers', *(f'model_{i}' for i in range(len(model)))]
    given = dict(zip(names, (frame, numbers, *model), strict=True))
    feed = {x.name: given[x.name].contiguous().numpy() for x in session.get_inputs()}
    return [torch.from_numpy(output) for output in session.run(None, feed)]

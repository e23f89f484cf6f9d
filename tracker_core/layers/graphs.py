# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Parts of networks that ONNX Runtime can run on a CPU, with the weights that torch has.

A method with `@graphed(name)` has its graph in `graphs/NAME.onnx`, which holds no weights but
their names (`NAME.txt`): a session takes those of the module, so that there is one copy of them,
and another weight file needs no other graph. Without a session, and while a step is traced, the
method runs as it is written.

Where precision is int8, `graphs/int8/NAME.onnx` is taken instead, if there is one. It holds the
bundled weights, rounded; `norms.json` says which these were. `scripts/write_graphs.py` and
`scripts/write_int8_graphs.py` write the graphs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
import json
from pathlib import Path
from typing import Any, cast, TYPE_CHECKING, TypeVar

import numpy as np
import torch
from torch import nn, Tensor

from tracker_core.errors import ParameterError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession, SessionOptions

FOLDER = Path(__file__).parents[1] / 'graphs'
INT8_FOLDER = FOLDER / 'int8'
NORMS = INT8_FOLDER / 'norms.json'  # of the weights that the graphs in int8 hold, by graph
SAME_NORM = 1e-4  # relative difference of the norms of weights that are the same
Method = TypeVar('Method', bound=Callable[..., tuple[Tensor, ...]])  # tensors to tensors


def graphed(name: str) -> Callable[[Method], Method]:
    """Mark a module's method as one that has a graph of this name."""

    def decorate(method: Method) -> Method:
        def run(module: nn.Module, *tensors: Tensor) -> tuple[Tensor, ...]:
            session = module.__dict__.get('sessions', {}).get(name)
            is_traced = torch.compiler.is_compiling() or tensors[0].device.type != 'cpu'
            if session is None or is_traced:
                return method(module, *tensors)
            return session(*tensors)

        run.__doc__ = method.__doc__
        run.graph = name  # type: ignore[attr-defined]
        return cast(Method, run)

    return decorate


def graphs_of(module: nn.Module) -> dict[str, str]:
    """The names of a module's graphs, and of the methods that they are of."""
    found = {}
    for kind in reversed(type(module).__mro__):
        for method, value in vars(kind).items():
            if hasattr(value, 'graph'):
                found[value.graph] = method
    return found


def session_options() -> SessionOptions:
    """For sessions on the CPU: as many threads as torch has."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # threads that spin while they wait take the cores from everything else
    options.add_session_config_entry('session.intra_op.allow_spinning', '0')
    return options


class Session:
    """One graph with the weights of a module.

    Args:
        name: Of the graph.
        module: Has its weights under the graph's names.
        is_int8: Compute in int8 where there is a graph for it.

    Attributes:
        path: Of the graph.

    Raises:
        ParameterError: The graph in int8 was made for other weights.
    """

    def __init__(self, name: str, module: nn.Module, is_int8: bool = False) -> None:
        import onnxruntime

        options = session_options()
        weights = graph_weights(name, module)
        known = json.loads(NORMS.read_text()) if is_int8 else {}
        self.path = (INT8_FOLDER if name in known else FOLDER) / f'{name}.onnx'
        if name in known:
            if not is_close(known[name], norms(weights)):
                raise ParameterError(
                    'precision int8 is had with the bundled weights only: choose float32'
                )
        else:
            self._weights = weights  # they are used for as long as the session lives
            values = map(onnxruntime.OrtValue.ortvalue_from_numpy, weights.values())
            options.add_external_initializers(list(weights), list(values))
        self._session: InferenceSession = onnxruntime.InferenceSession(
            self.path.read_bytes(), options, providers=['CPUExecutionProvider']
        )
        self._names = [each.name for each in self._session.get_inputs()]

    def __call__(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        arrays = (tensor.contiguous().numpy() for tensor in tensors)
        feed: dict[str, Any] = dict(zip(self._names, arrays, strict=True))
        return tuple(map(torch.from_numpy, self._session.run(None, feed)))


def graph_weights(name: str, module: nn.Module) -> dict[str, np.ndarray]:
    """The weights that a graph takes from its module, by name."""
    state = module.state_dict()
    names = (FOLDER / f'{name}.txt').read_text().split()
    return {each: state[each].detach().contiguous().numpy() for each in names}


def norms(weights: Mapping[str, np.ndarray]) -> list[float]:
    """What weights are known by: their norms. Checksums would differ in the last bit of batch
    norms that another processor folded."""
    return [float(np.linalg.norm(weight.astype(np.float64))) for weight in weights.values()]


def is_close(known: Sequence[float], found: Sequence[float]) -> bool:
    """Whether norms are those of the same weights."""
    return len(known) == len(found) and np.allclose(known, found, rtol=SAME_NORM, atol=0)


def attach_sessions(networks: Mapping[str, nn.Module], is_int8: bool = False) -> int:
    """Give every part that has a graph a session; returns how many there are.

    Args:
        networks: By name.
        is_int8: See `Session`.

    Raises:
        ParameterError: A network is not in float32 on the CPU, or for int8 not the bundled one.
    """
    count = 0
    for network in networks.values():
        for module in network.modules():
            graphs = graphs_of(module)
            if not graphs:
                continue
            first = next(module.parameters())
            if first.dtype != torch.float32 or first.device.type != 'cpu':
                raise ParameterError('runtime session computes in float32 or int8 on the CPU')
            module.__dict__['sessions'] = {name: Session(name, module, is_int8) for name in graphs}
            count += len(graphs)
    return count

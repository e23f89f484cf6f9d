# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Parts of networks that ONNX Runtime can run on a CPU, with the weights that torch has.

A method with `@graphed(name)` has its graph in `graphs/NAME.onnx`, which holds no weights but
their names (`NAME.txt`): a session takes those of the module, so that there is one copy of them,
and another weight file needs no other graph. `scripts/write_graphs.py` writes the graphs. Without
a session, and while a step is traced, the method runs as it is written.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast, TYPE_CHECKING, TypeVar

import torch
from torch import nn, Tensor

from tracker_core.errors import ParameterError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession, SessionOptions

FOLDER = Path(__file__).parents[1] / 'graphs'
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
        path: The graph.
        module: Has its weights under the graph's names.
    """

    def __init__(self, path: Path, module: nn.Module) -> None:
        import onnxruntime

        options = session_options()
        # they are used for as long as the session lives
        state = module.state_dict()
        self._weights = {
            name: state[name].detach().contiguous().numpy()
            for name in path.with_suffix('.txt').read_text().split()
        }
        options.add_external_initializers(
            list(self._weights),
            [onnxruntime.OrtValue.ortvalue_from_numpy(w) for w in self._weights.values()],
        )
        self._session: InferenceSession = onnxruntime.InferenceSession(
            path.read_bytes(), options, providers=['CPUExecutionProvider']
        )
        self._names = [each.name for each in self._session.get_inputs()]

    def __call__(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        arrays = (tensor.contiguous().numpy() for tensor in tensors)
        feed: dict[str, Any] = dict(zip(self._names, arrays, strict=True))
        return tuple(map(torch.from_numpy, self._session.run(None, feed)))


def attach_sessions(networks: dict[str, nn.Module]) -> int:
    """Give every part that has a graph a session; returns how many there are.

    Raises:
        ParameterError: A network is not in float32 on the CPU.
    """
    count = 0
    for network in networks.values():
        for module in network.modules():
            graphs = graphs_of(module)
            if not graphs:
                continue
            first = next(module.parameters())
            if first.dtype != torch.float32 or first.device.type != 'cpu':
                raise ParameterError('runtime session computes in float32 on the CPU')
            module.__dict__['sessions'] = {
                name: Session(FOLDER / f'{name}.onnx', module) for name in graphs
            }
            count += len(graphs)
    return count

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""CUDA graphs on a CPU, as far as what is done with them can go wrong.

A `Tape` is recorded and run again like a graph: the same operations on the same memory. So what
was captured by mistake as a constant stays one, a result that is not taken at once is overwritten,
and whatever waits for the device is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
import contextlib
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

WAITS = ('_local_scalar_dense', 'nonzero', 'masked_select', 'unique', 'lift_fresh', 'equal')


class Tape(TorchDispatchMode):
    """Stands in for `torch.cuda.CUDAGraph`."""

    all: ClassVar[list[Tape]] = []  # of the test that is running

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, Any, Any, list[Any]]] = []
        self.memory: list[Tensor] = []  # made while it was recorded
        self.runs = 0
        Tape.all.append(self)

    def __torch_dispatch__(
        self, op: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        name = str(op).removeprefix('aten.')
        if name.startswith(WAITS):
            raise RuntimeError(f'{name} is not permitted when a stream is capturing')
        kwargs = kwargs or {}
        given = {place(x) for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)}
        result = op(*args, **kwargs)
        results = tree_leaves(result)
        self.calls.append((op, args, kwargs, results))
        made = (x for x in results if isinstance(x, Tensor) and place(x) not in given)
        self.memory += [x for x in made if x.is_floating_point()]
        return result

    def replay(self) -> None:
        for other in Tape.all:  # its memory is shared with all other graphs
            if other is not self:
                for tensor in other.memory:
                    tensor.fill_(torch.nan)
        for op, args, kwargs, results in self.calls:
            for old, new in zip(results, tree_leaves(op(*args, **kwargs)), strict=True):
                if isinstance(old, Tensor) and place(old) != place(new):
                    old.copy_(new)
        self.runs += 1


def place(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


class Stream:
    """One after the other is how a CPU works anyway. Which one is current is told like torch does:
    a capture that fails leaves its own."""

    made: ClassVar[list[Stream]] = []  # of the test that is running
    current: ClassVar[Stream]

    def __init__(self, device: Any = None) -> None:
        Stream.made.append(self)

    def wait_stream(self, other: Stream) -> None:
        pass


@contextlib.contextmanager
def on_stream(stream: Stream) -> Iterator[None]:
    """Stands in for `torch.cuda.stream`."""
    before, Stream.current = Stream.current, stream
    try:
        yield
    finally:
        Stream.current = before


@contextlib.contextmanager
def capture(tape: Tape, stream: Stream, **kwargs: Any) -> Iterator[None]:
    """Stands in for `torch.cuda.graph`."""
    before, Stream.current = Stream.current, stream
    with tape:
        yield
    Stream.current = before


class Event:
    def __init__(self, blocking: bool = False) -> None:
        pass

    def record(self) -> None:
        pass

    def synchronize(self) -> None:
        pass

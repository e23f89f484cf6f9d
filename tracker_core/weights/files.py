# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Weight files: what comes out of one is names and tensors, or an error that names the file.

Nothing in a file is executed, whatever its suffix: its kind is decided by its bytes (`kinds`), and
what could be a program is read as a description (`pickles`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
import json
import os
from pathlib import Path
from typing import TypeVar
import zlib

import numpy as np
from safetensors import SafetensorError
from safetensors.torch import load, save_file
import torch
from torch import nn, Tensor

from tracker_core.errors import WeightsError
from tracker_core.weights import checkpoints
from tracker_core.weights.kinds import Kind, kind_of, REFUSED
from tracker_core.weights.matconvnet import read_matconvnet

LARGEST_FILE = 1 << 32  # bytes; the largest that a tracker reads has 0.5 GB
LARGEST_HEADER = 1 << 23  # bytes, of safetensors
LONGEST_NAME = 300
MOST_SHARED = 4  # the tensors of a file may be so many times its size, where they share numbers
DTYPES = frozenset(checkpoints.DTYPES.values())

T = TypeVar('T')


def read_bytes(path: str | Path) -> bytes:
    """The content of a weight file.

    Raises:
        WeightsError: There is no such file, it cannot be read, or it is too large.
    """
    if not os.path.isfile(path):  # a pipe would wait, a device would never end
        problem = 'is not a file' if os.path.exists(path) else 'does not exist'
        raise WeightsError(f'weight file {path} {problem}')
    try:
        with open(path, 'rb') as file:
            data = file.read(min(os.fstat(file.fileno()).st_size, LARGEST_FILE) + 1)
    except OSError as error:
        raise WeightsError(f'weight file {path} cannot be read: {error.strerror}') from None
    if len(data) > LARGEST_FILE:
        raise WeightsError(f'{path} is larger than any weight file: {LARGEST_FILE >> 30} GiB')
    return data


def read_weight_file(path: str | Path) -> dict[str, Tensor]:
    """Read a weight file, whatever its suffix; nothing in it is executed.

    Returns:
        Names and tensors, on the CPU. Of a checkpoint with other things beside them it is the
        mapping under one of `checkpoints.STATE_NAMES`; what is no tensor in it is left out.

    Raises:
        WeightsError: The file is missing, damaged, of a kind that is not read, or holds something
            else; the message names the file and says what it holds.
    """
    return interpret(read_bytes(path), path)


def interpret(data: bytes, path: str | Path) -> dict[str, Tensor]:
    """The names and tensors in the content of a weight file; see `read_weight_file`."""
    kind = kind_of(data)
    return _refusing(path, kind, lambda: _checked(_READERS[kind](data), len(data)))


def read_checkpoint(path: str | Path) -> checkpoints.Loaded:
    """All that a checkpoint of ours holds, which are plain values, containers and tensors.

    Raises:
        WeightsError: The file is missing or damaged, or holds something else.
    """
    data = read_bytes(path)
    kind = kind_of(data)
    if kind not in _CHECKPOINTS:
        raise WeightsError(f'{path} is no checkpoint that torch.save wrote')
    return _refusing(path, kind, lambda: checkpoints.load(_CHECKPOINTS[kind](data)))


def _refusing(path: str | Path, kind: Kind, read: Callable[[], T]) -> T:
    """What a reader returns; whatever it raises becomes one error that names the file."""
    if kind in REFUSED:
        raise WeightsError(f'{path} {REFUSED[kind]}')
    try:
        return read()
    except WeightsError as error:
        raise WeightsError(f'{path} {error}') from None
    except MemoryError:
        raise WeightsError(f'{path} needs more memory than there is') from None
    except Exception as error:  # whatever a damaged file provokes
        raise WeightsError(f'{path} is a damaged {kind.value}: get it again') from error


def _read_safetensors(data: bytes) -> dict[str, Tensor]:
    length = int.from_bytes(data[:8], 'little')
    if length > min(LARGEST_HEADER, len(data) - 8):
        raise WeightsError('is cut, or is no safetensors file: its header is longer than it')

    def once(pairs: list[tuple[str, object]]) -> dict[str, object]:
        if len(dict(pairs)) < len(pairs):
            raise WeightsError('is a safetensors file in which a name stands twice')
        return dict(pairs)

    json.loads(data[8 : 8 + length], object_pairs_hook=once, parse_int=str)
    return load(data)


_CHECKPOINTS = {Kind.ZIP: checkpoints.read_zip, Kind.LEGACY: checkpoints.read_legacy}
_READERS: dict[Kind, Callable[[bytes], dict[str, Tensor]]] = {
    Kind.ZIP: lambda data: checkpoints.state_of(checkpoints.read_zip(data)),
    Kind.LEGACY: lambda data: checkpoints.state_of(checkpoints.read_legacy(data)),
    Kind.MAT: read_matconvnet,
    Kind.SAFETENSORS: _read_safetensors,
}


def _checked(state: dict[str, Tensor], size: int) -> dict[str, Tensor]:
    """A state as it came out of a file of `size` bytes, if a network can have it."""
    if not state:
        raise WeightsError('holds no tensors')
    for name, value in state.items():
        if len(name) > LONGEST_NAME or not name.isprintable():
            raise WeightsError('has names that are no names of tensors')
        if value.dtype not in DTYPES or value.ndim > checkpoints.MOST_AXES:
            raise WeightsError(f'holds {name} as {value.dtype}: save it as float32')
    if sum(value.nbytes for value in state.values()) > MOST_SHARED * size:
        raise WeightsError('claims more numbers than it holds')
    return state


def save_safetensors(
    state: Mapping[str, Tensor], path: str | Path, metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors to a safetensors file, contiguous and on the CPU.

    Raises:
        WeightsError: The file cannot be written.
    """
    values = {key: value.detach().cpu() for key, value in state.items()}
    values = {  # each has memory of its own, as the format demands
        key: value.clone(memory_format=torch.contiguous_format) for key, value in values.items()
    }
    try:
        save_file(values, str(path), dict(metadata or {}))
    except (SafetensorError, OSError) as error:
        raise WeightsError(f'{path} cannot be written: {error}') from None


def load_into(network: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """Load a state into a network; every difference is an error.

    Raises:
        WeightsError: Lists the missing and surplus keys and the tensors of a wrong shape.
    """
    wanted = network.state_dict()
    counters = {
        key for key in wanted if key.endswith('num_batches_tracked')
    }  # older files lack them; unused here
    missing = [key for key in wanted if key not in state and key not in counters]
    surplus = [
        key for key in state if key not in wanted and not key.endswith('num_batches_tracked')
    ]
    shapes = [
        f'{key} is {tuple(state[key].shape)} instead of {tuple(wanted[key].shape)}'
        for key in wanted
        if key in state and state[key].shape != wanted[key].shape
    ]
    complaints = [
        f'{len(found)} {what}: {", ".join(found[:8])}{", ..." if len(found) > 8 else ""}'
        for what, found in (
            ('missing', missing),
            ('surplus', surplus),
            ('of a wrong shape', shapes),
        )
        if found
    ]
    if complaints:
        raise WeightsError(
            f'{source} does not fit the network that is to read it: {"; ".join(complaints)}'
        )
    network.load_state_dict({key: state[key] for key in wanted if key in state}, strict=False)


def randomize(network: nn.Module) -> None:
    """Fill a network with seeded random weights that keep the signal's size, alike on any machine.

    Every tensor depends on its own name and shape only.
    """
    for key, tensor in network.state_dict().items():
        noise = np.random.default_rng(zlib.crc32(key.encode())).standard_normal(tensor.shape)
        if key.endswith('running_var'):
            noise = 1 + 0.1 * np.abs(noise)
        elif tensor.ndim >= 2:
            noise *= np.sqrt(2 / np.prod(tensor.shape[1:]))
        elif key.endswith('weight'):
            noise = 1 + 0.1 * noise
        else:
            noise *= 0.05
        if tensor.is_floating_point():
            tensor.copy_(torch.from_numpy(np.asarray(noise, np.float32)))

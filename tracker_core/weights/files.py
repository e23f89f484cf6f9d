# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Readers for weight files: safetensors, PyTorch checkpoints (.pth, .pt, .tar) and MatConvNet
networks (.mat).

A pickled checkpoint can name any function and so run any code. Here it cannot: only the
constructors of tensors and plain containers are known, every other class becomes an inert
placeholder.
"""

from __future__ import annotations

import collections
from collections.abc import Mapping
from pathlib import Path
import pickle
import types
from typing import Any
import zlib

import numpy as np
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
import torch
from torch import nn, Tensor

from tracker_core.errors import WeightsError


class Inert:
    """Stands in for any class a checkpoint names and we do not need; takes whatever the pickle
    does to it."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Inert:
        return object.__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.items: list[Any] = []

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def append(self, item: Any) -> None:
        pass

    def extend(self, items: Any) -> None:
        pass


_STORAGES = ('Float', 'Double', 'Half', 'BFloat16', 'Long', 'Int', 'Short', 'Char', 'Byte', 'Bool')
_CONSTRUCTORS = {
    ('collections', 'OrderedDict'): collections.OrderedDict,
    ('torch', 'Size'): torch.Size,
    ('torch._utils', '_rebuild_tensor'): torch._utils._rebuild_tensor,
    ('torch._utils', '_rebuild_tensor_v2'): torch._utils._rebuild_tensor_v2,
    ('torch._utils', '_rebuild_parameter'): torch._utils._rebuild_parameter,
    ('torch.nn.parameter', 'Parameter'): nn.Parameter,
    **{('torch', f'{kind}Storage'): getattr(torch, f'{kind}Storage') for kind in _STORAGES},
}


class _TensorUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        return _CONSTRUCTORS.get((module, name), Inert)


def _load(file: Any, **options: Any) -> Any:
    return _TensorUnpickler(file, **options).load()


_tensor_pickle = types.SimpleNamespace(
    Unpickler=_TensorUnpickler, load=_load, __name__='tensor_pickle'
)


def read_checkpoint(path: Path) -> Any:
    """The content of a PyTorch checkpoint, old or new format, with every foreign class made
    `Inert`.

    Raises:
        WeightsError: Not a PyTorch checkpoint, or a damaged one.
    """
    try:
        return torch.load(
            path, map_location='cpu', pickle_module=_tensor_pickle, weights_only=False
        )
    except Exception as error:  # whatever a damaged file provokes
        raise WeightsError(f'{path} is not a readable PyTorch checkpoint: {error}') from error


def read_matconvnet(path: Path) -> dict[str, Tensor]:
    """Kernels and biases of a MatConvNet network, in the order of the file.

    Returns:
        `<layer>.weight` (out, in, height, width) and `<layer>.bias` (out,) for every convolution,
        float32.

    Raises:
        WeightsError: Not such a file, or SciPy is not installed.
    """
    try:
        from scipy.io import loadmat
    except ImportError:
        raise WeightsError(
            f"reading {path.name} needs SciPy: pip install 'tracker_nodes[mat]'"
        ) from None
    try:
        layers = loadmat(path)['layers'][0]
        state = {}
        for cell in layers:
            layer = cell[0, 0]
            fields = layer.dtype.names
            if str(layer['type'][0] if 'type' in fields else layer[1][0]) != 'conv':
                continue
            name = str(layer['name'][0] if 'name' in fields else layer[0][0])
            kernel, bias = (layer['weights'] if 'weights' in fields else layer[2])[0]
            kernel = kernel.reshape(kernel.shape + (1,) * (4 - kernel.ndim))
            state[f'{name}.weight'] = torch.from_numpy(
                np.ascontiguousarray(kernel.transpose(3, 2, 0, 1), np.float32)
            )
            state[f'{name}.bias'] = torch.from_numpy(
                np.ascontiguousarray(bias.reshape(-1), np.float32)
            )
    except Exception as error:  # whatever a damaged file provokes
        raise WeightsError(f'{path} is not a readable MatConvNet network: {error}') from error
    if not state:
        raise WeightsError(f'{path} has no convolution layers')
    return state


def read_weight_file(path: str | Path) -> Any:
    """Read a weight file by its suffix; nothing in it is executed.

    Returns:
        Names and tensors; for a checkpoint (.pth, .pt, .tar) whatever container was saved.

    Raises:
        WeightsError: The file is missing, damaged or of an unknown kind.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f'weight file {path} does not exist')
    if path.suffix == '.safetensors':
        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise WeightsError(f'{path} is not a readable safetensors file: {error}') from error
    if path.suffix == '.mat':
        return read_matconvnet(path)
    if path.suffix in ('.pth', '.pt', '.tar'):
        return read_checkpoint(path)
    raise WeightsError(
        f'{path}: unknown kind of weight file; known are .safetensors, .pth, .pt, .tar and .mat'
    )


def save_safetensors(
    state: Mapping[str, Tensor], path: str | Path, metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors to a safetensors file, contiguous and on the CPU."""
    save_file(
        {key: value.detach().cpu().contiguous() for key, value in state.items()},
        str(path),
        dict(metadata or {}),
    )


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
            f'{source} does not fit {type(network).__name__}: {"; ".join(complaints)}'
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

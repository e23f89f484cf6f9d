# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Weight files of every kind, sound and hostile, as bytes."""

from __future__ import annotations

import collections
from collections.abc import Mapping, Sequence
import importlib.util
import io
import json
import os
from pathlib import Path
import pickle
import struct
import sys
import tarfile
import warnings
import zipfile
import zlib

import numpy as np
import torch
from torch import nn, Tensor

SOURCE = """
import torch
from typing import Tuple

class Inner(torch.nn.Module):
    t: torch.Tensor

    def __init__(self):
        super().__init__()
        self.t = torch.zeros(1)

    def forward(self, x):
        return x + self.t

    @torch.jit.export
    def __getstate__(self) -> Tuple[bool]:
        return (self.training,)

    @torch.jit.export
    def __setstate__(self, state: Tuple[bool]):
        t = torch.from_file(WITNESS, True, 16, dtype=torch.uint8)
        t.fill_(65)
        self.t = t
        self.training = state[0]

class Outer(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = Inner()

    def forward(self, x):
        return self.inner(x)
"""


class Bomb:
    """Makes a folder when it is unpickled by an unrestricted reader."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.path),)


def saved(content: object, zipped: bool = True, protocol: int = 2) -> bytes:
    """What torch.save writes."""
    file = io.BytesIO()
    torch.save(content, file, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    return file.getvalue()


def torchscript(folder: Path) -> tuple[bytes, Path]:
    """A TorchScript archive, and the file of 16 zeros that it fills when it is loaded."""
    witness, source = folder / 'witness', folder / 'scripted_module.py'
    witness.write_bytes(bytes(16))
    source.write_text(SOURCE.replace('WITNESS', repr(str(witness))))
    spec = importlib.util.spec_from_file_location('scripted_module', source)
    module = importlib.util.module_from_spec(spec)
    sys.modules['scripted_module'] = module
    spec.loader.exec_module(module)
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # torch would have other formats used
        torch.jit.save(torch.jit.script(module.Outer()), file)
    del sys.modules['scripted_module']
    return file.getvalue(), witness


def zipped(members: Sequence[tuple[str, bytes]], compression: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, 'w', compression) as archive, warnings.catch_warnings():
        warnings.simplefilter('ignore')  # of names that stand twice
        for name, data in members:
            archive.writestr(name, data)
    return file.getvalue()


def tarred(name: str, data: bytes) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode='w') as archive:
        entry = tarfile.TarInfo(name)
        entry.size = len(data)
        archive.addfile(entry, io.BytesIO(data))
    return file.getvalue()


def safetensors(header: Mapping[str, object] | bytes, data: bytes) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack('<Q', len(text)) + text + data


# ------------------------------------------------------------------------------ MATLAB, level 5


def element(kind: int, data: bytes) -> bytes:
    return struct.pack('<II', kind, len(data)) + data + bytes(-len(data) % 8)


def array(kind: int, shape: Sequence[int], *parts: bytes, name: str = '') -> bytes:
    content = element(6, struct.pack('<II', kind, 0))
    content += element(5, np.array(shape, '<i4').tobytes()) + element(1, name.encode())
    return element(14, content + b''.join(parts))


def cells(*parts: bytes, name: str = '') -> bytes:
    return array(1, (1, len(parts)), *parts, name=name)


def text(value: str) -> bytes:
    return array(4, (1, len(value)), element(16, value.encode()))


def record(fields: Mapping[str, bytes], name: str = '') -> bytes:
    names = b''.join(field.encode().ljust(32, b'\0') for field in fields)
    head = element(5, struct.pack('<i', 32)) + element(1, names)
    return array(2, (1, 1), head, *fields.values(), name=name)


def numbers(values: np.ndarray) -> bytes:
    return array(7, values.shape, element(7, values.astype('<f4').tobytes(order='F')))


def matlab(*variables: bytes, compressed: bool = False) -> bytes:
    if compressed:
        packed = [zlib.compress(variable) for variable in variables]
        variables = tuple(struct.pack('<II', 15, len(part)) + part for part in packed)
    return b'MATLAB 5.0 MAT-file'.ljust(124) + b'\0\1IM' + b''.join(variables)


def matconvnet(network: Mapping[str, Tensor], compressed: bool = False) -> bytes:
    """A network file of convolutions `<name>.weight` and `<name>.bias`, with ReLUs between."""
    layers = []
    for name in dict.fromkeys(key.rpartition('.')[0] for key in network):
        kernel, bias = (network[f'{name}.{part}'].numpy() for part in ('weight', 'bias'))
        weights = cells(numbers(kernel.transpose(2, 3, 1, 0)), numbers(bias[:, None]))
        layers.append(record({'name': text(name), 'type': text('conv'), 'weights': weights}))
        layers.append(record({'name': text('relu'), 'type': text('relu')}))
    return matlab(record({}, 'meta'), cells(*layers, name='layers'), compressed=compressed)


def matlab_bombs() -> dict[str, bytes]:
    """MATLAB files that would cost an unwary reader its memory, its time or its stack."""
    nested = one = numbers(np.zeros((1, 1), np.float32))
    for _ in range(3000):
        nested = cells(nested)
    layer = {'name': text('a'), 'type': text('conv'), 'weights': nested}
    bomb = zlib.compress(array(7, (1, 10_000_000), element(7, bytes(40_000_000))), 9)
    bomb = struct.pack('<II', 15, len(bomb)) + bomb
    return {
        'bomb': matlab(bomb),
        'bombs': matlab(bomb * 100),
        'nested': matlab(cells(record(layer), name='layers')),
        'nested at the top': matlab(nested),
        'many cells': matlab(cells(*[one] * 110_000, name='layers')),
    }


# ------------------------------------------------------------------------------------- pickles


def in_zip(program: bytes, storage: bytes = bytes(16)) -> bytes:
    """A checkpoint with a pickle of one's own, and four float32 as storage 0."""
    return zipped([('a/data.pkl', b'\x80\x02' + program + b'.'), ('a/data/0', storage)])


def in_old(program: bytes) -> bytes:
    """The same in the old format, without numbers."""
    head = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2) + pickle.dumps({}, 2)
    return head + b'\x80\x02' + program + b'.' + pickle.dumps([], 2)


def tensor(
    shape: object, strides: object, offset: int = 0, count: int = 4, key: str = '0'
) -> bytes:
    """Instructions for a mapping of `w` to a tensor, as torch.save writes them."""

    def pickled(value: object) -> bytes:
        return pickle.dumps(value, 2)[2:-1]

    numbers_at = b'(X\x07\0\0\0storagectorch\nFloatStorage\n' + pickled(key)
    numbers_at += b'X\x03\0\0\0cpu' + pickled(count) + b'tQ'
    sides = pickled(shape) + pickled(strides)
    rebuilt = b'ctorch._utils\n_rebuild_tensor_v2\n(' + numbers_at + pickled(offset)
    return b'}X\x01\0\0\0w' + rebuilt + sides + b'\x89}tRs'


def pickle_bombs() -> dict[str, bytes]:
    """Instructions that would cost an unwary reader its memory or its time."""
    return {
        'memo': b'Nr\xff\xff\xff\xff',
        'nesting': b'N' + b'\x85' * 200_000,
        'nested lists': b']' * 100_000 + b'a' * 99_999,
        'hash of nested tuples': b'}N' + b'\x85' * 100_000 + b'Ns',
        'hash of doubled tuples': b'})' + b'2\x86' * 90 + b'Ns',
        'doubled lists': b']' + b'2a2a' * 90,
        'doubled mappings': b'}' + b''.join(
            b'q\x01}(X\x01\0\0\0ah\x01X\x01\0\0\0bh\x01u' for _ in range(60)
        ),
        'long integer': b'\x8b\xff\xff\xff\x7f' + b'\x01' * 1000,
        'decimal integer': b'L' + b'9' * 1_000_000 + b'L\n',
        'long text': b'X\xff\xff\xff\xff',
        'longer text': b'\x8d' + b'\xff' * 8,
        'bytearray': b'\x96' + b'\0\0\0\0\0\0\0\x7f',
        'colliding integers': b'}(' + b''.join(
            b'\x8a\x14' + (k * ((1 << 61) - 1)).to_bytes(20, 'little') + b'N'
            for k in range(1, 30_000)
        ) + b'u',
        'many instructions': b'N0' * 160_000,
        'many marks': b'(' * 290_000,
        'mapping of itself': b'}q\0X\x01\0\0\0ah\0s',
        'huge call': b'ccollections\nOrderedDict\n(' + b'](NNe' * 100_000 + b'l\x85R',
    }  # fmt: skip


# --------------------------------------------------------------------------------- sound, hostile


def state() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(3)
    return {
        'conv1.weight': torch.randn(4, 3, 3, 3, generator=generator),
        'conv1.bias': torch.randn(4, generator=generator),
    }


def sound_files() -> dict[str, bytes]:
    """Files of all kinds that are read; each holds `state()`."""
    import safetensors.torch

    tensors = state()
    wrapped = {
        'epoch': 3,
        'net': collections.OrderedDict(tensors),
        'optimizer': {'state': {0: {'step': torch.tensor(4.0)}}, 'groups': [{'lr': 0.1}]},
        'settings': pathlike(),
    }
    return {
        'zip': saved(tensors),
        'zip wrapped': saved(wrapped),
        'zip protocol 4': saved(wrapped, protocol=4),
        'old': saved(tensors, zipped=False),
        'old wrapped': saved(wrapped, zipped=False),
        'old protocol 4': saved(wrapped, zipped=False, protocol=4),
        'safetensors': safetensors.torch.save(tensors, {'card': '{"a": 1}'}),
        'mat': matconvnet(tensors),
        'mat compressed': matconvnet(tensors, compressed=True),
    }


def pathlike() -> object:
    """An object of a class that we do not make."""
    return collections.Counter('abc')


def hostile_files(folder: Path) -> dict[str, bytes]:
    """Files that would make the folder `executed` or are of no use; none is to be read."""
    bomb = Bomb(folder / 'executed')
    return {
        'bomb': saved(bomb),
        'old bomb': saved(bomb, zipped=False),
        'plain pickle': pickle.dumps(bomb, 2),
        'plain pickle, protocol 0': pickle.dumps(bomb, 0),
        'whole module': saved(nn.Sequential(nn.Conv2d(3, 4, 3))),
        'old whole module': saved(nn.Sequential(nn.Conv2d(3, 4, 3)), zipped=False),
        'list': saved([torch.ones(2)]),
        'tensor': saved(torch.ones(2)),
        'numbers': saved({'a': 1, 'b': 2}),
        'empty': saved({}),
        'nested': saved({'a': {'b': {'c': {'d': torch.ones(1)}}}, 'e': [bomb]}),
        'HDF5': b'MATLAB 7.3 MAT-file'.ljust(512) + b'\x89HDF\r\n\x1a\n' + bytes(64),
        'tar': tarred('storages', bytes(100)),
        'page': b'<!DOCTYPE html><html>Quota exceeded</html>',
    }

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""MatConvNet networks in MATLAB's file format of level 5 (-v6 and -v7).

Only what such a network consists of is read: one cell array of structs with a name, a type and
weights. That is of a fixed depth, and nothing is taken to be larger than it lies in the file;
general readers follow whatever nesting and sizes a file claims.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
import math
import struct
import zlib

import numpy as np
import torch
from torch import Tensor

from tracker_core.errors import WeightsError

MATRIX, COMPRESSED = 14, 15  # types of elements
CELL, STRUCT, CHAR, FIRST_NUMERIC, LAST_NUMERIC = 1, 2, 4, 6, 15  # classes of arrays
NUMBERS = {
    1: 'i1', 2: 'u1', 3: 'i2', 4: 'u2', 5: 'i4', 6: 'u4', 7: 'f4', 9: 'f8', 12: 'i8', 13: 'u8',
}  # fmt: skip
TEXTS = {1: 'latin-1', 2: 'latin-1', 4: 'utf-16', 16: 'utf-8', 17: 'utf-16', 18: 'utf-32'}
COMPLEX = 0x800
LARGEST_RATIO = 4  # of inflated to compressed bytes, and of float32 to what is stored
SPARE = 1 << 20  # bytes that may be inflated beyond that ratio
MOST_ELEMENTS = 100_000  # that are looked at; VGG-16 has some 2000


@dataclass(frozen=True)
class Array:
    """An array of a file, its content not yet read."""

    name: str
    kind: int
    is_complex: bool
    shape: tuple[int, ...]
    parts: list[tuple[int, memoryview]]

    @property
    def count(self) -> int:
        return math.prod(self.shape)


def read_matconvnet(data: bytes) -> dict[str, Tensor]:
    """Kernels and biases of a MatConvNet network, in the order of the file.

    Returns:
        `<layer>.weight` (out, in, height, width) and `<layer>.bias` (out,) for every convolution,
        float32.

    Raises:
        WeightsError: Not such a file; the message is the end of a sentence that begins with the
            file's name.
    """
    reader = _Reader(data, '<' if data[126:128] == b'IM' else '>')
    found = [array for array in reader.variables() if array.name == 'layers']
    if len(found) != 1 or found[0].kind != CELL:
        raise WeightsError("holds no MatConvNet network: it lacks the cell array 'layers'")
    state: dict[str, Tensor] = {}
    for layer in map(reader.fields, reader.cells(found[0])):
        values = list(layer.values())  # older files call the fields otherwise
        kind, name, weights = (
            layer.get(key) or values[place]
            for key, place in (('type', 1), ('name', 0), ('weights', min(2, len(values) - 1)))
        )
        if reader.text(reader.array(kind)) != 'conv':
            continue
        label = reader.text(reader.array(name))
        kernel, bias = (reader.numbers(cell) for cell in reader.cells(reader.array(weights)))
        if kernel.ndim > 4 or f'{label}.weight' in state:
            raise WeightsError(f'has the layer {label!r} twice, or of an unknown form')
        kernel = kernel.reshape(kernel.shape + (1,) * (4 - kernel.ndim)).transpose(3, 2, 0, 1)
        state[f'{label}.weight'] = torch.from_numpy(np.ascontiguousarray(kernel))
        state[f'{label}.bias'] = torch.from_numpy(bias.reshape(-1).copy())
    if not state:
        raise WeightsError('has no convolution layers')
    return state


class _Reader:
    """Reads the elements of a file; each method expects what it is named after."""

    def __init__(self, data: bytes, order: str) -> None:
        self.data, self.order = data, order
        self._to_inflate = self._to_make = LARGEST_RATIO * len(data) + SPARE  # bytes
        self._to_look_at = MOST_ELEMENTS

    def variables(self) -> Iterator[Array]:
        """The variables of the file."""
        for kind, part in self.elements(memoryview(self.data)[128:]):
            if kind == COMPRESSED:
                inflate = zlib.decompressobj()
                inflated = inflate.decompress(part, self._to_inflate)
                self._to_inflate -= len(inflated)
                if not inflate.eof or self._to_inflate <= 0:
                    raise WeightsError('is cut, or inflates to many times its size')
                ((kind, part),) = self.elements(memoryview(inflated))
            if kind == MATRIX:
                yield self.array(part)

    def elements(self, data: memoryview) -> Iterator[tuple[int, memoryview]]:
        """Type and content of the elements in a stretch of the file."""
        position = 0
        while position < len(data):
            self._to_look_at -= 1
            if self._to_look_at < 0:
                raise WeightsError('has more parts than a network')
            kind, size = struct.unpack_from(f'{self.order}II', data, position)
            start = position + 8
            if kind >> 16:  # a small one: its content stands in the place of the size
                kind, size, start = kind & 0xFFFF, kind >> 16, position + 4
                position += 8
                if size > 4:
                    raise WeightsError('is a damaged MATLAB file')
            else:
                position = start + size + (0 if kind == COMPRESSED else -size % 8)
            if start + size > len(data):
                raise WeightsError('is cut: a part of it is longer than what is left')
            yield kind, data[start : start + size]

    def array(self, data: memoryview) -> Array:
        (_, flags), (_, sides), (_, name), *parts = self.elements(data)
        (word, _) = struct.unpack(f'{self.order}II', flags)
        shape = np.frombuffer(sides, f'{self.order}i4')
        if not 2 <= len(shape) <= 8 or (shape < 0).any():
            raise WeightsError('has an array of an impossible size')
        return Array(
            name.tobytes()[:64].decode('latin-1'),
            word & 0xFF,
            bool(word & COMPLEX),
            tuple(map(int, shape)),
            parts,
        )

    def cells(self, array: Array) -> Iterator[Array]:
        if array.kind != CELL or array.count != len(array.parts):
            raise WeightsError('has something else where a network has a cell array')
        return (self.array(part) for _, part in array.parts)

    def fields(self, array: Array) -> dict[str, memoryview]:
        if array.kind != STRUCT or array.count != 1:
            raise WeightsError('has something else where a network has a layer')
        (_, length), (_, names), *values = array.parts
        (size,) = struct.unpack(f'{self.order}i', length)
        count = len(names) // max(size, 1)
        labels = [
            names[i * size : (i + 1) * size].tobytes().partition(b'\0')[0].decode('latin-1')
            for i in range(min(count, len(values)))
        ]
        if len(values) != count or len(set(labels)) < count:
            raise WeightsError('has a layer of an impossible form')
        return {label: value for label, (_, value) in zip(labels, values, strict=True)}

    def text(self, array: Array) -> str:
        if array.kind != CHAR or len(array.parts) != 1:
            raise WeightsError('has something else where a network has a text')
        ((kind, data),) = array.parts
        codec = TEXTS[kind]
        if codec not in ('latin-1', 'utf-8'):
            codec += '-le' if self.order == '<' else '-be'
        return data[:800].tobytes().decode(codec)

    def numbers(self, array: Array) -> np.ndarray:
        """The numbers of an array, float32, in its shape."""
        if not FIRST_NUMERIC <= array.kind <= LAST_NUMERIC or array.is_complex:
            raise WeightsError('has something else where a network has real numbers')
        ((kind, data),) = array.parts
        values = np.frombuffer(data, f'{self.order}{NUMBERS[kind]}')
        self._to_make -= 4 * len(values)
        if len(values) != array.count or self._to_make < 0:
            raise WeightsError('has an array of an impossible size')
        with np.errstate(all='ignore'):
            return values.astype(np.float32).reshape(array.shape, order='F')

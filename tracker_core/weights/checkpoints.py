# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of torch.save in both its formats, read without torch.load.

torch.load hands whatever looks like TorchScript to a reader that executes it, and what looks like
it is decided by other rules than ours. So the two containers are read here: a zip of a pickle and
of files of numbers, and (before PyTorch 1.6) pickles with the numbers behind them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
import io
import struct
from typing import TypeAlias, Union
import zipfile

import torch
from torch import Tensor

from tracker_core.errors import WeightsError
from tracker_core.weights.pickles import (
    Foreign,
    Global,
    Key,
    PickleReader,
    Scalar,
    Storage,
    Stored,
    Value,
)

DTYPES = {
    'Float': torch.float32,
    'Double': torch.float64,
    'Half': torch.float16,
    'BFloat16': torch.bfloat16,
    'Long': torch.int64,
    'Int': torch.int32,
    'Short': torch.int16,
    'Char': torch.int8,
    'Byte': torch.uint8,
    'Bool': torch.bool,
}
MOST_MEMBERS = 50_000  # of a zip
MOST_AXES = 16
DEEPEST = 20  # nesting of containers in a checkpoint of ours
# where authors keep the state among other things
STATE_NAMES = ('state_dict', 'net', 'shared_layers', 'model', 'model_state_dict')

Loaded: TypeAlias = Union[
    Scalar, Tensor, 'tuple[Loaded, ...]', 'list[Loaded]', 'dict[Key, Loaded]'
]


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint holds.

    Attributes:
        content: What was saved; tensors are only described.
        numbers: The bytes of a storage, by its key.
        size: Of the file, bytes: no more is ever read out of it.
    """

    content: Value
    numbers: Callable[[str], bytes | memoryview]
    size: int


def read_zip(data: bytes) -> Checkpoint:
    """A checkpoint in the zip format.

    Raises:
        WeightsError: The zip is damaged, is TorchScript or something else; the message is the
            end of a sentence that begins with the file's name.
    """
    if data.count(b'PK\x01\x02') > MOST_MEMBERS:
        raise WeightsError('is a zip of too many files')
    archive = zipfile.ZipFile(io.BytesIO(data))
    members = {member.filename: member for member in archive.infolist()}
    if len(members) < len(archive.infolist()):
        raise WeightsError('is a zip in which a name stands twice')
    parts = [name.lower().replace('\\', '/').split('/') for name in members]
    if any('code' in names[:-1] or names[-1] == 'constants.pkl' for names in parts):
        raise WeightsError(
            'is TorchScript, a program: load it where it was made (torch.jit.load) and save its '
            'state_dict() with torch.save'
        )
    pickles = [name for name in members if name.endswith('/data.pkl')]
    folder = pickles[0].removesuffix('data.pkl') if pickles else ''
    if len(pickles) != 1 or folder.count('/') != 1:
        raise WeightsError(
            'is a zip that torch.save did not write: if it holds weight files, unpack it'
        )
    if f'{folder}byteorder' in members and read_member(archive, f'{folder}byteorder') != b'little':
        raise WeightsError('was written on a machine of another byte order')
    return Checkpoint(
        PickleReader(read_member(archive, pickles[0])).read(),
        lambda key: read_member(archive, f'{folder}data/{key}'),
        len(data),
    )


def read_member(archive: zipfile.ZipFile, name: str) -> bytes:
    """The bytes of a file in a zip, which has it as it is."""
    try:
        member = archive.getinfo(name)
    except KeyError:
        raise WeightsError('lacks the numbers of a tensor') from None
    if member.compress_type != zipfile.ZIP_STORED or member.compress_size != member.file_size:
        raise WeightsError('is a compressed zip, which torch.save does not write')
    return archive.read(member)


def read_legacy(data: bytes) -> Checkpoint:
    """A checkpoint in the format before PyTorch 1.6.

    Raises:
        WeightsError: It is damaged; the message is the end of a sentence that begins with the
            file's name.
    """
    reader = PickleReader(data)
    for _ in ('the magic number', 'version of the format', 'about the machine'):
        reader.read()
    content = reader.read()
    keys = reader.read()
    position = reader.position
    places: dict[str, memoryview] = {}
    for key in keys if isinstance(keys, list) else ():
        kind = reader.kinds.get(str(key)) if isinstance(key, (str, int)) else None
        if kind not in DTYPES or str(key) in places:
            raise WeightsError('holds numbers that no tensor names, or of an unknown kind')
        (count,) = struct.unpack_from('<q', data, position)
        start = position + 8
        position = start + count * DTYPES[kind].itemsize
        if count < 0 or position > len(data):
            raise WeightsError('is cut: numbers are missing at its end')
        places[str(key)] = memoryview(data)[start:position]

    def numbers(key: str) -> memoryview:
        if key not in places:
            raise WeightsError('lacks the numbers of a tensor')
        return places[key]

    return Checkpoint(content, numbers, len(data))


class Tensors:
    """Makes tensors of what a checkpoint describes; each storage is read once."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.numbers = checkpoint.numbers
        self._left = checkpoint.size
        self._read: dict[str, bytearray] = {}

    def make(self, stored: Stored) -> Tensor:
        """The tensor, on the CPU.

        Raises:
            WeightsError: It reaches beyond its numbers, or is of an unknown kind.
        """
        storage, axes = stored.storage, list(zip(stored.shape, stored.strides, strict=False))
        dtype = DTYPES.get(storage.kind)
        if dtype is None:
            raise WeightsError('holds a tensor of an unknown kind of numbers')
        if len(stored.shape) != len(stored.strides) or len(axes) > MOST_AXES:
            raise WeightsError('holds a tensor of an impossible size')
        if stored.count == 0:
            if max(stored.shape) > self._left:
                raise WeightsError('holds a tensor of an impossible size')
            return torch.empty(stored.shape, dtype=dtype)
        last = stored.offset + sum((side - 1) * stride for side, stride in axes)
        if last >= storage.count or stored.count > storage.count:
            raise WeightsError('holds a tensor that reaches beyond its numbers')
        numbers = self._storage(storage.key)
        if (storage.offset + storage.count) * dtype.itemsize > len(numbers):
            raise WeightsError('has fewer numbers than its tensors claim')
        flat = torch.frombuffer(
            numbers, dtype=dtype, count=storage.count, offset=storage.offset * dtype.itemsize
        )
        return flat.as_strided(stored.shape, stored.strides, stored.offset)

    def _storage(self, key: str) -> bytearray:
        if key not in self._read:
            numbers = bytearray(self.numbers(key))
            self._left -= len(numbers)
            if self._left < 0:
                raise WeightsError('claims more numbers than it holds')
            self._read[key] = numbers
        return self._read[key]


def state_of(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """The names and tensors of a checkpoint, which has them itself or under one of `STATE_NAMES`.

    Raises:
        WeightsError: It holds something else, and what.
    """
    content = checkpoint.content
    named = _tensors_of(content)
    if isinstance(content, dict):
        inner = (_tensors_of(content.get(key)) for key in STATE_NAMES)
        named = next(filter(None, inner), named)
    if not named:
        raise WeightsError(
            f'holds {described(content)} instead of names and tensors{cure(content)}'
        )
    tensors = Tensors(checkpoint)
    return {name: tensors.make(stored) for name, stored in named.items()}


def _tensors_of(value: Value) -> dict[str, Stored]:
    if not isinstance(value, dict):
        return {}
    return {k: v for k, v in value.items() if isinstance(k, str) and isinstance(v, Stored)}


def described(value: Value) -> str:
    """What a value is, in words."""
    if isinstance(value, dict):
        if not value:
            return 'an empty mapping'
        entries = [f'{_short(key)}: {_kind_in_words(entry)}' for key, entry in value.items()][:4]
        more = ', ...' if len(value) > 4 else ''
        return f'a mapping ({", ".join(entries)}{more})'
    return _kind_in_words(value)


def _kind_in_words(value: Value) -> str:
    if isinstance(value, (list, tuple)):
        return f'a list of {len(value)}'
    if isinstance(value, dict):
        return f'a mapping of {len(value)}'
    if isinstance(value, Stored):
        return 'a tensor'
    if isinstance(value, Storage):
        return 'bare numbers'
    if isinstance(value, (Foreign, Global)):
        return f'a whole pickled object ({value.name})'
    if value is None:
        return 'nothing'
    return 'a text' if isinstance(value, (str, bytes)) else 'a number'


def _short(key: Key) -> str:
    text = repr(key[:40] if isinstance(key, str) else key)
    return text if len(text) < 60 else '...'


def cure(value: Value) -> str:
    """What to do where the state lies in an object that we do not make."""
    entries = value.values() if isinstance(value, dict) else (value,)
    if any(isinstance(entry, (Foreign, Global)) for entry in entries):
        return ': load it where it was made and save its state_dict() with torch.save'
    return ''


def load(checkpoint: Checkpoint) -> Loaded:
    """All that a checkpoint of ours holds, tensors included.

    Raises:
        WeightsError: It holds other objects, or containers that are nested too deep.
    """
    tensors = Tensors(checkpoint)
    made: dict[int, Loaded] = {}  # by identity: what is shared is made once

    def loaded(value: Value, depth: int) -> Loaded:
        if depth > DEEPEST:
            raise WeightsError('is nested too deep')
        if isinstance(value, (Foreign, Global, Storage)):
            raise WeightsError(f'holds {described(value)}')
        if id(value) not in made:
            result: Loaded
            if isinstance(value, Stored):
                result = tensors.make(value)
            elif isinstance(value, dict):
                result = {key: loaded(entry, depth + 1) for key, entry in value.items()}
            elif isinstance(value, list):
                result = [loaded(entry, depth + 1) for entry in value]
            elif isinstance(value, tuple):
                result = tuple(loaded(entry, depth + 1) for entry in value)
            else:
                result = value
            made[id(value)] = result
        return made[id(value)]

    return loaded(checkpoint.content, 0)

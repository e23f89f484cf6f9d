# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""What a pickle of torch.save says, read without being executed.

A pickle is a program for a stack machine that may call any function by its name. The machine here
is our own, and it calls nothing: it knows plain values, containers and how torch.save describes a
tensor; whatever else a pickle names or makes becomes a `Foreign` that only has a name. What a
pickle can cost is bounded by its number of instructions.
"""

from __future__ import annotations

from dataclasses import dataclass
import struct
from typing import TypeAlias, Union

from tracker_core.errors import WeightsError

LARGEST_PICKLE = 1 << 25  # bytes; the values of tensors are not among them
MOST_INSTRUCTIONS = 300_000  # a checkpoint of 300 tensors with its optimizer has 20,000
LONGEST_NAME = 1000

Scalar: TypeAlias = bool | int | float | str | bytes | None
Key: TypeAlias = str | int
Value: TypeAlias = Union[
    Scalar,
    'tuple[Value, ...]',
    'list[Value]',
    'dict[Key, Value]',
    'Global',
    'Foreign',
    'Storage',
    'Stored',
]


@dataclass(frozen=True)
class Global:
    """A class or function that the pickle names."""

    name: str


@dataclass(frozen=True)
class Foreign:
    """An object of a class, or result of a function, that we do not know."""

    name: str


@dataclass(frozen=True)
class Storage:
    """Numbers that lie outside the pickle.

    Attributes:
        kind: Of the numbers: 'Float', 'Half', ...
        key: Name of the numbers in the file.
        offset: Of the first number, where this is a view of others.
        count: How many numbers there are from `offset` on.
    """

    kind: str
    key: str
    offset: int
    count: int


@dataclass(frozen=True)
class Stored:
    """A tensor as a pickle describes it: a view of a storage, in numbers."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def count(self) -> int:
        count = 1
        for side in self.shape:
            count *= side
        return count


_CONSTANTS: dict[int, Scalar] = {ord('N'): None, 0x88: True, 0x89: False}
_NUMBERS = {
    code: struct.Struct(form)
    for code, form in ((ord('J'), '<i'), (ord('K'), '<B'), (ord('M'), '<H'), (ord('G'), '>d'))
}
_TEXTS = {
    code: struct.Struct(form)
    for code, form in (
        (ord('X'), '<I'),
        (0x8C, '<B'),
        (0x8D, '<Q'),
        (ord('T'), '<I'),  # T and U: a str of Python 2
        (ord('U'), '<B'),
    )
}
_BYTES = {
    code: struct.Struct(form) for code, form in ((ord('B'), '<I'), (ord('C'), '<B'), (0x8E, '<Q'))
}
_BYTE, _WORD, _FRAME = struct.Struct('<B'), struct.Struct('<I'), struct.Struct('<Q')


class PickleReader:
    """Reads the pickles of one file, one after the other.

    Attributes:
        position: Behind the last pickle that was read.
        kinds: Of all storages that were named, by their keys.
    """

    def __init__(self, data: bytes | memoryview) -> None:
        self.data = memoryview(data)
        self.position = 0
        self.kinds: dict[str, str] = {}
        self._end = min(len(data), LARGEST_PICKLE)
        self._left = MOST_INSTRUCTIONS
        self._stack: list[Value] = []
        self._marks: list[int] = []
        self._memo: dict[int, Value] = {}

    def read(self) -> Value:
        """The value of the next pickle.

        Raises:
            WeightsError: It is cut, malformed or too large; the message is the end of a sentence
                that begins with the file's name.
        """
        self._stack, self._marks, self._memo = [], [], {}
        try:
            while (code := self._number(_BYTE)) != ord('.'):
                self._left -= 1
                if self._left < 0:
                    raise WeightsError('holds a pickle of too many instructions')
                self._step(code)
            return self._stack.pop()
        except (IndexError, KeyError, struct.error):
            raise WeightsError('holds a damaged pickle') from None

    def _step(self, code: int) -> None:
        """One instruction, in the order in which they are frequent."""
        stack = self._stack
        if code in _TEXTS:
            stack.append(self._take(self._number(_TEXTS[code])).decode('utf-8', 'replace'))
        elif code == ord('q'):
            self._memo[self._number(_BYTE)] = stack[-1]
        elif code == ord('r'):
            self._memo[self._number(_WORD)] = stack[-1]
        elif code == 0x94:
            self._memo[len(self._memo)] = stack[-1]
        elif code == ord('h'):
            stack.append(self._memo[self._number(_BYTE)])
        elif code == ord('j'):
            stack.append(self._memo[self._number(_WORD)])
        elif code in _NUMBERS:
            (number,) = _NUMBERS[code].unpack(self._take(_NUMBERS[code].size))
            stack.append(number)
        elif code in _CONSTANTS:
            stack.append(_CONSTANTS[code])
        elif code == 0x8A:
            stack.append(int.from_bytes(self._take(self._number(_BYTE)), 'little', signed=True))
        elif code in _BYTES:
            stack.append(self._take(self._number(_BYTES[code])))
        elif code == ord('('):
            self._marks.append(len(stack))
        elif code in (ord('t'), 0x91):  # a tuple, a frozen set
            stack.append(tuple(self._to_mark()))
        elif code == ord(')'):
            stack.append(())
        elif code in (0x85, 0x86, 0x87):
            stack.append(tuple([stack.pop() for _ in range(code - 0x84)][::-1]))
        elif code in (ord(']'), 0x8F):  # a list, a set
            stack.append([])
        elif code == ord('l'):
            stack.append(self._to_mark())
        elif code == ord('a'):
            _extend([stack.pop()], stack[-1])
        elif code in (ord('e'), 0x90):
            _extend(self._to_mark(), stack[-1])
        elif code == ord('}'):
            stack.append({})
        elif code == ord('d'):
            items = self._to_mark()
            stack.append({})
            _set(items, stack[-1])
        elif code == ord('s'):
            value, key = stack.pop(), stack.pop()
            _set([key, value], stack[-1])
        elif code == ord('u'):
            _set(self._to_mark(), stack[-1])
        elif code == ord('Q'):
            stack.append(self._persistent(stack.pop()))
        elif code == ord('c'):
            stack.append(Global(_name(f'{self._line()}.{self._line()}')))
        elif code == 0x93:
            name, module = stack.pop(), stack.pop()
            stack.append(Global(_name(f'{_text(module)}.{_text(name)}')))
        elif code in (ord('R'), 0x81):  # a call, a new object
            arguments, callee = stack.pop(), stack.pop()
            stack.append(_made(callee, arguments))
        elif code == 0x92:
            _, arguments, callee = stack.pop(), stack.pop(), stack.pop()
            stack.append(_made(callee, arguments))
        elif code in (ord('b'), ord('0')):  # attributes of an object: nothing that we need
            stack.pop()
        elif code == ord('1'):
            self._to_mark()
        elif code == ord('2'):
            stack.append(stack[-1])
        elif code == 0x80:
            self._take(1)
        elif code == 0x95:
            self._take(_FRAME.size)
        else:
            raise WeightsError('holds a pickle with instructions that torch.save does not write')

    def _take(self, size: int) -> bytes:
        start, end = self.position, self.position + size
        if end > self._end:
            raise WeightsError('holds a pickle that is cut, or too large')
        self.position = end
        return self.data[start:end].tobytes()

    def _number(self, form: struct.Struct) -> int:
        (number,) = form.unpack(self._take(form.size))
        return int(number)

    def _line(self) -> str:
        window = self.data[self.position : min(self.position + LONGEST_NAME, self._end)].tobytes()
        line, end, _ = window.partition(b'\n')
        if not end:
            raise WeightsError('holds a damaged pickle')
        self.position += len(line) + 1
        return line.decode('utf-8', 'replace')

    def _to_mark(self) -> list[Value]:
        mark = self._marks.pop()
        values = self._stack[mark:]
        del self._stack[mark:]
        return values

    def _persistent(self, identity: Value) -> Value:
        """What lies outside the pickle: a storage, or (old format) a module's source code."""
        if not isinstance(identity, tuple) or len(identity) < 2:
            raise WeightsError('holds a damaged pickle')
        if identity[0] == 'module':
            return identity[1]
        _, kind, key, _, count, *views = identity
        if not isinstance(kind, Global) or not isinstance(key, (str, int)):
            raise WeightsError('holds a damaged pickle')
        kind_name = kind.name.removeprefix('torch.').removesuffix('Storage')
        key = str(key)
        if self.kinds.setdefault(key, kind_name) != kind_name:
            raise WeightsError('reads the same numbers as two kinds')
        start: Value = 0
        if views and views[0] is not None:
            _, start, count = _tuple(views[0])
        return Storage(kind_name, key, _size(start), _size(count))


def _extend(values: list[Value], target: Value) -> None:
    if isinstance(target, list):
        target.extend(values)
    elif not isinstance(target, Foreign):
        raise WeightsError('holds a damaged pickle')


def _set(items: list[Value], target: Value) -> None:
    """Put keys and values, in turn, into a mapping; every key stands once."""
    if isinstance(target, Foreign):
        return
    if not isinstance(target, dict) or len(items) % 2:
        raise WeightsError('holds a damaged pickle')
    for key, value in zip(items[::2], items[1::2], strict=True):
        # others are no names: a tuple's hash can take for ever, large integers collide at will
        if isinstance(key, str) or (isinstance(key, int) and abs(key) < 1 << 60):
            if key in target:
                raise WeightsError(f'has the name {_name(str(key))!r} twice')
            target[key] = value


def _made(callee: Value, arguments: Value) -> Value:
    """What a call or a construction stands for."""
    values = _tuple(arguments)
    name = callee.name if isinstance(callee, (Global, Foreign)) else 'an unknown object'
    if name == 'collections.OrderedDict':
        made: dict[Key, Value] = {}
        for pair in values[0] if values and isinstance(values[0], (list, tuple)) else ():
            if not isinstance(pair, (list, tuple)):
                raise WeightsError('holds a damaged pickle')
            _set(list(pair), made)
        return made
    if name in ('torch._utils._rebuild_tensor', 'torch._utils._rebuild_tensor_v2'):
        storage, offset, shape, strides, *_ = values if len(values) > 3 else (None,) * 4
        if not isinstance(storage, Storage):
            raise WeightsError('holds a tensor without numbers')
        shape = tuple(map(_size, _tuple(shape)))
        return Stored(storage, _size(offset), shape, tuple(map(_size, _tuple(strides))))
    if name in (
        'torch.Size',
        'torch._utils._rebuild_parameter',
        'torch._utils._rebuild_parameter_with_state',
        'torch.nn.parameter.Parameter',
    ):
        return values[0]
    return Foreign(name)


def _tuple(value: Value) -> tuple[Value, ...]:
    if not isinstance(value, tuple):
        raise WeightsError('holds a damaged pickle')
    return value


def _text(value: Value) -> str:
    if not isinstance(value, str):
        raise WeightsError('holds a damaged pickle')
    return value


def _size(value: Value) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 62:
        raise WeightsError('holds a tensor of an impossible size')
    return value


def _name(name: str) -> str:
    """A name fit for a sentence."""
    name = ''.join(letter if letter.isprintable() else '?' for letter in name[:200])
    return name if len(name) <= 80 else f'{name[:77]}...'

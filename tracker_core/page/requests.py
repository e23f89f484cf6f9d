# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""What the page asks for: one JSON object a message, each of one kind, with exactly its fields."""

from __future__ import annotations

from collections.abc import Mapping
import dataclasses
from dataclasses import dataclass
import json
import re
from typing import get_args

from tracker_core.boxes import Box, startable
from tracker_core.errors import BoxError, TrackerError

LONGEST_NAME = 100  # characters
DIGITS = re.compile(r'[0-9]{1,19}')
Field = bool | int | float | str


class RequestError(TrackerError, ValueError):
    """A message of the page that is no request; what is wrong with it is in the text."""


@dataclass(frozen=True)
class Start:
    """Follow what is inside a box.

    Attributes:
        box: In pixels of the image as it was taken.
        stamp: Of the image that it was drawn on, nanoseconds; 0: the newest.
        id: Name of the target; one that is being followed starts again. Empty: a free one.
        label: What it is; empty: the default.
    """

    box: Box
    stamp: int = 0
    id: str = ''
    label: str = ''


@dataclass(frozen=True)
class Remove:
    """Stop following a target, by its name."""

    id: str


@dataclass(frozen=True)
class Reset:
    """Stop following all targets."""


@dataclass(frozen=True)
class Pause:
    """Process no image until further notice, or go on."""

    paused: bool


@dataclass(frozen=True)
class Choose:
    """Track with another tracker or preset."""

    tracker: str
    preset: str


@dataclass(frozen=True)
class Seek:
    """Show the frame of this number, of a recording."""

    frame: int


@dataclass(frozen=True)
class Finish:
    """Find the boxes of all frames of a recording, and write them."""


@dataclass(frozen=True)
class Seen:
    """The viewer has drawn the picture of this number, and wants pictures of this width."""

    number: int
    width: int


Request = Start | Remove | Reset | Pause | Choose | Seek | Finish | Seen
KINDS: Mapping[str, type] = {kind.__name__.lower(): kind for kind in get_args(Request)}


@dataclass(frozen=True)
class Answer:
    """What became of a request, in a sentence for whoever made it."""

    success: bool
    message: str


def parse_request(text: str) -> Request:
    """A request from the page's message.

    Raises:
        RequestError: It is none.
    """
    try:
        content = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise RequestError('a request has to be a JSON object') from None
    if not isinstance(content, dict):
        raise RequestError('a request has to be a JSON object')
    kind = content.pop('kind', None)
    if not isinstance(kind, str) or kind not in KINDS:
        raise RequestError(f'kind must be one of {", ".join(KINDS)}')
    fields = {field.name: field for field in dataclasses.fields(KINDS[kind])}
    if unknown := content.keys() - fields.keys():
        raise RequestError(f'{kind} has no field {min(unknown)[:LONGEST_NAME]!r}')
    values = {name: _field(name, str(fields[name].type), each) for name, each in content.items()}
    try:
        return KINDS[kind](**values)
    except TypeError:
        missing = (
            name
            for name, field in fields.items()
            if name not in values and field.default is dataclasses.MISSING
        )
        raise RequestError(f'{kind} lacks {", ".join(missing)}') from None


def _field(name: str, kind: str, value: object) -> Field | Box:
    """A field's value in its type; numbers that JavaScript cannot hold come as digits."""
    if kind == 'Box':
        return _box(value)
    if kind == 'str' and isinstance(value, str) and len(value) <= LONGEST_NAME:
        return value
    if kind == 'bool' and isinstance(value, bool):
        return value
    if kind == 'int':
        if isinstance(value, str) and DIGITS.fullmatch(value):
            return int(value)
        if type(value) is int and 0 <= value < 2**63:
            return value
    expected = {
        'str': f'a text of at most {LONGEST_NAME} characters',
        'bool': 'true or false',
        'int': 'a whole number from 0 on',
    }[kind]
    raise RequestError(f'{name} must be {expected}')


def _box(value: object) -> Box:
    numbers = value if isinstance(value, list) else []
    if len(numbers) != 4 or not all(type(each) in (int, float) for each in numbers):
        raise RequestError('box must be [x, y, w, h] in pixels')
    try:
        return startable(Box(*map(float, numbers)))
    except (BoxError, OverflowError) as error:
        raise RequestError(str(error)) from None


def _refuse_constant(name: str) -> None:
    raise ValueError(name)  # NaN and Infinity, which JSON does not have

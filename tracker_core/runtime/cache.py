# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Where programs that took long to make are kept: in memory, and on disk under which names."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from functools import lru_cache
import hashlib
import os
from pathlib import Path
from typing import Generic, TypeVar

import torch

from tracker_core.step import StepProgram

Prepared = TypeVar('Prepared')


class Programs(Generic[Prepared]):
    """Prepared programs in memory; the one that was not used for longest goes first.

    Args:
        most: How many are kept.
        before_clearing: Where programs must not go one by one: is called before all of them go, as
            soon as there is one too many.
    """

    def __init__(self, most: int, before_clearing: Callable[[], None] | None = None) -> None:
        self._most, self._before_clearing = most, before_clearing
        self._programs: OrderedDict[Hashable, Prepared] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Prepared]) -> Prepared:
        """The program of a key, made where there is none."""
        if key not in self._programs:
            if self._before_clearing is not None and len(self._programs) >= self._most:
                self._before_clearing()
                self._programs.clear()
            self._programs[key] = make()
            while len(self._programs) > self._most:
                self._programs.popitem(last=False)
        self._programs.move_to_end(key)
        return self._programs[key]


def cache_folder() -> Path:
    """$TRACKER_CACHE, or tracker_nodes in the user's cache folder."""
    chosen = os.environ.get('TRACKER_CACHE')
    if chosen:
        return Path(chosen)
    return Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache') / 'tracker_nodes'


def program_name(program: StepProgram, *details: object) -> str:
    """A name that changes with all that a stored program depends on: its key and origin, this
    code, torch, and the details given."""
    origin = program.origin
    parts = (
        origin.weights,
        repr(origin.config),
        str(origin.precision),
        _code_checksum(),
        torch.__version__,
        repr(program.key),
        *map(repr, details),
    )
    digest = hashlib.sha256('\n'.join(parts).encode()).hexdigest()
    return f'{origin.tracker}_{origin.preset}_{digest[:16]}'


@lru_cache(maxsize=1)
def _code_checksum() -> str:
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parents[1].rglob('*.py')):
        digest.update(path.read_bytes())
    return digest.hexdigest()

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Which trackers there are. Nothing here imports torch.

A folder of this package with a `declaration.py` is a tracker; one that lives elsewhere is made
known with `register`.
"""

from __future__ import annotations

from functools import lru_cache
import importlib
from pathlib import Path

from tracker_core.declaration import Declaration
from tracker_core.errors import ParameterError, UnknownTrackerError

_others: dict[str, Declaration] = {}


def register(declaration: Declaration) -> None:
    """Make a tracker known that is not part of this package, in this process.

    Raises:
        ParameterError: There is another tracker of its name.
    """
    if _known().get(declaration.name, declaration) != declaration:
        raise ParameterError(f'there is a tracker {declaration.name!r} already')
    _others[declaration.name] = declaration


def list_trackers() -> list[str]:
    """Names for `create_tracker`."""
    return sorted(_known())


def tracker_declaration(name: str) -> Declaration:
    """What a tracker declares of itself.

    Raises:
        UnknownTrackerError: There is no tracker of this name.
    """
    known = _known()
    if name not in known:
        raise UnknownTrackerError(
            f'there is no tracker {name!r}; choose one of {", ".join(sorted(known))}'
        )
    return known[name]


def _known() -> dict[str, Declaration]:
    return {**_own(), **_others}


@lru_cache(maxsize=1)
def _own() -> dict[str, Declaration]:
    """The trackers of this package."""
    found = {}
    for path in sorted(Path(__file__).parent.glob('*/declaration.py')):
        module = importlib.import_module(f'tracker_core.{path.parent.name}.declaration')
        found[module.DECLARATION.name] = module.DECLARATION
    return found

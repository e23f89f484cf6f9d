# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Packages that a toolkit needs and that the library does not."""

from __future__ import annotations

import importlib
from typing import Any

from tracker_core.errors import TrackerError


def import_optional(name: str, package: str, extra: str) -> Any:
    """A module of another package.

    Args:
        name: Of the module.
        package: What it comes with.
        extra: The extra of this project that brings the package.

    Raises:
        TrackerError: It is not installed, or does not work here.
    """
    try:
        return importlib.import_module(name)
    except Exception as error:  # an old package may fail in any way
        raise TrackerError(
            f"this needs the package {package}: pip install 'tracker_nodes[{extra}]'. Importing "
            f'{name} gave {type(error).__name__}: {error}'
        ) from None

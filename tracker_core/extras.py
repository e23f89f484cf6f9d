# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Packages that need not be there."""

from __future__ import annotations

import importlib
from types import ModuleType

from tracker_core.errors import ParameterError


def need(module: str, purpose: str, extra: str) -> ModuleType:
    """Import an optional module.

    Raises:
        ParameterError: It is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ParameterError(
            f'{purpose} needs the Python package {module}, which is not installed ({error}): '
            f'pip install "tracker_nodes[{extra}]" or pip install {module}'
        ) from None

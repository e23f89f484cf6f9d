# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Packages that need not be there."""

from __future__ import annotations

import importlib
from types import ModuleType

from tracker_core.errors import ParameterError


def need(module: str, purpose: str, extra: str, package: str = '') -> ModuleType:
    """Import an optional module.

    Args:
        module: Its name.
        purpose: What needs it.
        extra: Of this project, which brings it.
        package: Which holds it; default: one of its name.

    Raises:
        ParameterError: It is not installed, or does not work here.
    """
    try:
        return importlib.import_module(module)
    except Exception as error:  # an old package may fail in any way
        raise ParameterError(
            f'{purpose} needs the Python package {package or module}, which is not there '
            f'({error}): pip install "tracker_nodes[{extra}]" or '
            f'pip install {package or module}'
        ) from None

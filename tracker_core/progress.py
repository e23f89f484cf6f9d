# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Progress bars that do not flood a log file."""

from __future__ import annotations

from collections.abc import Iterable
import sys
from typing import Any

from tqdm import tqdm


def progress_bar(
    items: Iterable[Any] | None,
    label: str,
    total: int | None = None,
    unit: str = 'frame',
    hidden: bool = False,
) -> tqdm[Any]:
    """A bar on stderr; where that is no terminal, a line every ten seconds."""
    pause = 0.1 if sys.stderr.isatty() else 10.0
    return tqdm(items, label, total, unit=unit, disable=hidden, mininterval=pause)

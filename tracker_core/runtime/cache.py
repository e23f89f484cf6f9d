# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Where programs that took long to make are kept, and under which names."""

from __future__ import annotations

from functools import lru_cache
import hashlib
import os
from pathlib import Path
from typing import Any

import torch


def cache_folder() -> Path:
    """$TRACKER_CACHE, or tracker_nodes in the user's cache folder."""
    chosen = os.environ.get('TRACKER_CACHE')
    if chosen:
        return Path(chosen)
    return Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache') / 'tracker_nodes'


def program_name(tracker: Any, *details: Any) -> str:
    """A name that changes with all that a program depends on: the tracker with its parameters and
    weights, this code, torch, and the details given."""
    parts = (
        tracker.weights.checksum,
        repr(tracker.config),
        str(tracker.precision),
        _code_checksum(),
        torch.__version__,
        *map(repr, details),
    )
    digest = hashlib.sha256('\n'.join(parts).encode()).hexdigest()
    return f'{tracker.name}_{tracker.preset}_{digest[:16]}'


@lru_cache(maxsize=1)
def _code_checksum() -> str:
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parents[1].rglob('*.py')):
        digest.update(path.read_bytes())
    return digest.hexdigest()

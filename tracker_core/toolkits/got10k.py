# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""A tracker in the toolkit got10k, which runs GOT-10k, OTB, VOT, UAV123, NfS and others."""

from __future__ import annotations

from typing import Any

import numpy as np

from tracker_core.boxes import Box
from tracker_core.extras import need


def as_got10k(tracker: Any, name: str | None = None, offset: float = 1.0) -> Any:
    """A tracker as the experiments of the package got10k take it.

        from got10k.experiments import ExperimentGOT10k
        ExperimentGOT10k('GOT-10k', subset='val').run(as_got10k(create_tracker('ocean')))

    Args:
        tracker: A `Tracker`, or anything with its `start` and `track`.
        name: Under which results are kept; default: name and preset.
        offset: What the boxes of the data set, which the toolkit hands on as they are, say of the
            image's top-left corner: 1 for GOT-10k, OTB, DTB70, TColor128 and UAV123, whose pixels
            are counted from one, 0 for NfS and VOT.

    Returns:
        An object of a subclass of got10k.trackers.Tracker.

    Raises:
        ParameterError: The package is not installed.
    """
    module = need('got10k.trackers', 'the adapter', 'got10k', 'got10k')

    class Adapted(module.Tracker):  # type: ignore[misc, name-defined]  # has no types
        def __init__(self) -> None:
            super().__init__(name or f'{tracker.name}_{tracker.preset}', is_deterministic=True)
            self._target: Any = None

        def init(self, image: Any, box: np.ndarray) -> None:
            x, y, w, h = (float(value) for value in box)
            self._target = tracker.start(rgb(image), Box(x - offset, y - offset, w, h))

        def update(self, image: Any) -> np.ndarray:
            x, y, w, h = tracker.track(rgb(image), self._target).box.as_xywh()
            return np.array([x + offset, y + offset, w, h])

    return Adapted()


def rgb(image: Any) -> np.ndarray:
    """A picture of Pillow as (H, W, 3) uint8."""
    return np.asarray(image.convert('RGB'))

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""A tracker for the experiments of the got10k toolkit (`pip install got10k`).

python examples/got10k_toolkit.py GOT10K_FOLDER TRACKER
"""

import sys

from got10k.trackers import Tracker
import numpy as np
from PIL import Image

from tracker_core import Box, create_tracker


class ToolkitTracker(Tracker):
    """Any of our trackers as the toolkit wants one. Its first pixel is 1, 1, ours 0, 0."""

    def __init__(self, name: str, preset: str = 'compact') -> None:
        super().__init__(f'{name}_{preset}', is_deterministic=True)
        self._tracker = create_tracker(name, preset)

    def init(self, image: Image.Image, box: np.ndarray) -> None:
        x, y, w, h = box
        pixels = np.array(image.convert('RGB'))
        self._target = self._tracker.start(pixels, Box(x - 1, y - 1, w, h))

    def update(self, image: Image.Image) -> np.ndarray:
        track = self._tracker.track(np.array(image.convert('RGB')), self._target)
        return np.array(track.box.as_xywh()) + np.array([1, 1, 0, 0])


if __name__ == '__main__':
    from got10k.experiments import ExperimentGOT10k

    experiment = ExperimentGOT10k(sys.argv[1], subset='val')
    tracker = ToolkitTracker(sys.argv[2])
    experiment.run(tracker)
    experiment.report([tracker.name])

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Photos of noise, to make pairs of."""

from __future__ import annotations

import cv2
import numpy as np

from tracker_core.data import PhotoPool
from tracker_core.data.photos import make_photo
from tracker_core.data.regions import Region

PLAIN = {  # of a config of pairs: nothing is changed
    'angle': 0.0,
    'look': 0.0,
    'paste': 0.0,
    'distractor': 0.0,
    'occluder': 0.0,
    'gray': 0.0,
}


def noise_image(seed: int, height: int = 200, width: int = 260) -> np.ndarray:
    """Coloured noise of several grain sizes: texture everywhere, nothing twice."""
    rng = np.random.default_rng(seed)
    image = np.zeros((height, width, 3))
    for grain in (4, 12, 40):
        coarse = rng.uniform(0, 85, (height // grain + 2, width // grain + 2, 3))
        image += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(image, 0, 255).astype(np.uint8)


def noise_pool(photos: int = 6) -> PhotoPool:
    """Photos with an object each, so that boxes can be learnt."""
    box = np.array([[80.0, 60.0, 70.0, 50.0]])
    found = [make_photo(noise_image(seed), f'group{seed % 2}', box) for seed in range(photos)]
    return PhotoPool(found, [Region(photo, photo.boxes[0]) for photo in found])

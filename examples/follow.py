# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The library in ten lines: follow one object in a video, a folder of images or a camera.

python examples/follow.py VIDEO X,Y,W,H
"""

import sys

from tracker_core import Box, create_tracker
from tracker_core.media.sources import open_frames

tracker = create_tracker('ocean')  # CUDA where there is one, else the CPU
with open_frames(sys.argv[1]) as video:
    images = iter(video)  # (H, W, 3) uint8 RGB
    target = tracker.start(next(images), Box(*map(float, sys.argv[2].split(','))))
    for image in images:
        track = tracker.track(image, target)
        print(track.status.name, f'{track.score:.2f}', track.box.as_xywh())

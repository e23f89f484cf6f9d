# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Several objects at once: one tracker, one batched pass through its network a frame.

python examples/several_targets.py VIDEO X,Y,W,H X,Y,W,H ...
"""

import sys

from tracker_core import Box, create_tracker, TrackStatus
from tracker_core.media.sources import open_frames

tracker = create_tracker('spm')
with open_frames(sys.argv[1]) as video:
    images = iter(video)
    first = next(images)
    boxes = [Box(*map(float, text.split(','))) for text in sys.argv[2:]]
    targets = [tracker.start(first, box) for box in boxes]
    for image in images:
        tracks = tracker.track_many(image, targets, learn=False)
        print(*('lost' if t.status is TrackStatus.LOST else f'{t.score:.2f}' for t in tracks))
        for target in targets:
            tracker.learn(target)  # after the result is out

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Draw docs/images/states.png: a score over time, with the states and when the target is away.

python scripts/states_picture.py [TRACKER]
"""

from __future__ import annotations

from pathlib import Path
import sys

import matplotlib.pyplot as plt
import numpy as np

from tracker_core import create_tracker, TrackStatus
from tracker_core.data.longterm import load_longterm
from tracker_core.evaluation.longterm import RATE

TARGET = Path(__file__).parents[1] / 'docs' / 'images' / 'states.png'
COLOURS = {
    TrackStatus.TRACKING: 'tab:green',
    TrackStatus.UNCERTAIN: 'tab:orange',
    TrackStatus.LOST: 'tab:red',
}


def main() -> None:
    """Track, and draw."""
    tracker = create_tracker(sys.argv[1] if len(sys.argv) > 1 else 'spm', device='cpu')
    (sequence,) = load_longterm('longterm:scenes', ['exits-20000'])
    target = tracker.start(sequence.images[0], sequence.first_box)
    tracks = [tracker.track(sequence.images[i], target) for i in range(1, len(sequence))]
    scores = np.array([track.score for track in tracks])
    states = np.array([track.status for track in tracks])
    is_away = np.isnan(sequence.boxes[1:, 0])
    times = np.arange(1, len(sequence)) / RATE
    figure, axes = plt.subplots(figsize=(9, 2.6), layout='constrained')
    axes.fill_between(times, 0, 1, is_away, color='0.9', step='mid', label='out of sight')
    for state, colour in COLOURS.items():
        chosen = states == state
        axes.scatter(times[chosen], scores[chosen], s=3, color=colour, label=state.name)
    axes.set(xlabel='seconds', ylabel='score', xlim=(0, times[-1]), ylim=(0, 1.02))
    axes.set_title(f'{tracker.name} {tracker.preset}', fontsize='medium')
    axes.legend(loc='center left', bbox_to_anchor=(1, 0.5), markerscale=4, frameon=False)
    figure.savefig(TARGET, dpi=110)
    print(f'wrote {TARGET}')


if __name__ == '__main__':
    main()

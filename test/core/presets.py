# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The trackers and presets that tests of all of them run through."""

from tracker_core import list_trackers, tracker_declaration

# presets named paper_... are the networks of paper with other numbers, but for the online branch
PRESETS = [
    (name, preset)
    for name in list_trackers()
    for preset in tracker_declaration(name).presets
    if not preset.startswith('paper_') or preset == 'paper_online'
]

# DAT's published networks with so few samples that they are affordable on a CPU
SMALL_DAT = {
    'candidates': 12,
    'averaged': 3,
    'first_positives': 8,
    'first_negatives': 16,
    'positives': 4,
    'negatives': 4,
    'regression_samples': 8,
    'first_iterations': 1,
    'iterations': 1,
    'batch': 2,
    'mined_from': 8,
    'hidden': 64,
}
# parameters that make the first frame cheap; the step stays what it is
REDUCED = {
    ('atom', 'compact'): {'newton_steps': 1, 'first_iterations': 1},
    ('atom', 'paper'): {
        'newton_steps': 1,
        'first_iterations': 1,
        'rotations': False,
        'dropouts': 0,
        'step_length': 0.01,
    },
    ('ocean', 'compact_online'): {'online_first_steps': 1},
    ('ocean', 'paper_online'): {'online_first_steps': 1},
    ('dat', 'compact'): {'first_iterations': 1, 'iterations': 1},
    ('dat', 'paper'): SMALL_DAT,
}
# an update after every frame
LEARNING = {
    'atom': {'train_interval': 1},
    'dat': {'update_interval': 1},
    'ocean': {'online_interval': 1},
}

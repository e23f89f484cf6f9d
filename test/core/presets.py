# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The trackers and presets that tests of all of them run through."""

from tracker_core import list_trackers, tracker_class

# presets named paper_... are the networks of paper with other numbers, but for the online branch
PRESETS = [
    (name, preset)
    for name in list_trackers()
    for preset in tracker_class(name).presets
    if not preset.startswith('paper_') or preset == 'paper_online'
]

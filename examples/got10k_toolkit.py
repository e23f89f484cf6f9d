# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""A tracker in an experiment of the toolkit got10k (`pip install got10k`).

python examples/got10k_toolkit.py GOT10K_FOLDER TRACKER
"""

import sys

from got10k.experiments import ExperimentGOT10k

from tracker_core import create_tracker
from tracker_core.toolkits import as_got10k

if __name__ == '__main__':
    experiment = ExperimentGOT10k(sys.argv[1], subset='val')
    tracker = as_got10k(create_tracker(sys.argv[2]))
    experiment.run(tracker)
    experiment.report([tracker.name])

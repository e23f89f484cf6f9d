# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""`python -m tracker_core.commands` is the command `tracker`."""

import sys

from tracker_core.commands import main

sys.exit(main())

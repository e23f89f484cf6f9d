# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""What trackers share that learn, while tracking, to tell the target from all else: ATOM, and
Ocean's online branch."""

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""SPM-Tracker: coarse matching finds every candidate of the target's kind, fine matching tells
the target from them."""

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""From a box in the image to a place in the world: bearing, range, and motion over time."""

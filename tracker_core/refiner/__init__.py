# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""A small head that finds the object's edges near a box, shared by trackers whose papers have none
or a weak one."""

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""How the field's data sets lie on a disk: a module a layout, which ends in its `Layout`."""

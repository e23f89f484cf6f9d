# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Data sets, metrics, plots, rendered scenes and video in and out."""

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""ATOM: a classifier learnt online for the place, a predicted overlap for the box."""

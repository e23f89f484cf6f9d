# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Ground truth for a whole video from the boxes that somebody drew in a few frames."""

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Frames in and out: video, folders, streams, rendered scenes, 16-bit images, drawing."""

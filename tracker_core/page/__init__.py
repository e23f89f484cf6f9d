# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""A page in a browser in which somebody points at what is to be followed, and the small web server
for it; nothing here imports ROS."""

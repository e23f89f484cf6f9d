# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Ocean with its online branch: ros2 launch tracker_nodes ocean_online.launch.py
image:=camera/image_raw; preset:=paper_online for the published networks."""

from tracker_nodes.launch_common import tracker_launch


def generate_launch_description():
    return tracker_launch('ocean', preset='compact_online')

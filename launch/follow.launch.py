# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Any tracker, and where its target is: ros2 launch tracker_nodes follow.launch.py
image:=camera/color/image_raw depth:=camera/aligned_depth_to_color/image_raw"""

from tracker_nodes.launch_common import tracker_launch


def generate_launch_description():
    return tracker_launch(follow=True)

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""DAT: ros2 launch tracker_nodes dat.launch.py image:=camera/image_raw"""

from tracker_nodes.launch_common import tracker_launch


def generate_launch_description():
    return tracker_launch('dat')

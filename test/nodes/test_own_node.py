# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The example of a node of one's own follows an object over real DDS."""

from __future__ import annotations

from pathlib import Path
import signal
import subprocess
import sys
import time

from vision_msgs.msg import Detection2D

from tracker_core.media.scene import render_scene
from tracker_nodes.conversions import box_from_message

SCRIPT = Path(__file__).parents[2] / 'examples' / 'own_node.py'


def test_it_follows_what_is_in_the_box(operator) -> None:
    scene = render_scene('calm', frames=2, size=(160, 120))
    first, second = scene
    found = operator.listen(Detection2D, 'detection')
    box = f'box:={list(scene.boxes[0].as_xywh())}'
    node = subprocess.Popen([sys.executable, str(SCRIPT), '--ros-args', '-p', box])
    try:
        operator.wait_until(
            lambda: operator.camera.get_subscription_count() and operator.hears('detection'),
            'the node',
        )
        operator.camera.publish(operator.image(first))

        def shown() -> bool:
            """Again and again: the first may be lost while they find each other."""
            operator.camera.publish(operator.image(second))
            time.sleep(0.1)
            return bool(found)

        operator.wait_until(shown, 'a detection')
        assert box_from_message(found[0].bbox).iou(scene.boxes[1]) > 0.5
        assert 0 < found[0].results[0].hypothesis.score <= 1
        assert found[0].header.frame_id == 'camera_optical_frame'
    finally:
        node.send_signal(signal.SIGINT)
        assert node.wait(60) == 0

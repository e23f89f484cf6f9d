# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""A camera with fewer bits than its 16-bit images, from its topic to the tracker."""

from __future__ import annotations

import array

import cv2
import numpy as np
from rcl_interfaces.msg import Log
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter

from tracker_core.media.scene import render_scene
from tracker_nodes.conversions import box_from_message, nanoseconds


def set_parameter(operator, name: str, value: object):
    message = Parameter(name, value=value).to_parameter_msg()
    answer = operator.call(SetParameters, 'tracker_node/set_parameters', parameters=[message])
    return answer.results[0]


def show(operator, pixels: np.ndarray) -> None:
    """Publish (H, W) uint16 as mono16 and wait for its status."""
    message = operator.image(np.zeros((*pixels.shape, 3), np.uint8), 'mono8')
    message.encoding, message.step = 'mono16', 2 * message.width
    message.data = array.array('B', pixels.astype('<u2').tobytes())
    operator.publish(message)
    operator.wait_until(lambda: operator.status_of(nanoseconds(message.header.stamp)), 'a status')


def test_a_thermal_camera_is_tracked_and_the_log_says_its_range_once(start_node, operator):
    scene = render_scene('calm', frames=6, size=(320, 240), seed=3)
    frames = [cv2.cvtColor(scene[i], cv2.COLOR_RGB2GRAY).astype(np.uint16) for i in range(6)]
    logs = operator.listen(Log, '/rosout')
    node = start_node(weights='')
    operator.wait_until(lambda: operator.hears('/rosout'), 'the log')
    operator.show(scene[0])
    for gray in frames[:2]:
        show(operator, 29_315 + 6 * gray)
    # The frame before the last one is looked at a second time.
    stamp = nanoseconds(operator.statuses[-2].header.stamp)
    assert operator.init(scene.boxes[0], stamp=stamp).success
    for gray in frames[2:]:
        show(operator, 29_315 + 6 * gray)
    (target,) = operator.statuses[-1].targets
    assert box_from_message(target.bbox).iou(scene.boxes[5]) > 0.6
    operator.wait_until(lambda: any('16-bit' in log.msg for log in logs), 'a word on the range')
    (told,) = [log.msg for log in logs if '16-bit' in log.msg]
    assert 'values from 29' in told
    assert 'bit_depth' in told

    assert not set_parameter(operator, 'bit_depth', 7).successful
    assert set_parameter(operator, 'bit_depth', 12).successful
    seen = []
    decode = node._input._decode
    node._input._decode = lambda *a, **b: seen.append(decode(*a, **b)) or seen[-1]
    show(operator, frames[5] * 16)
    np.testing.assert_array_equal(seen[-1][..., 0], frames[5])

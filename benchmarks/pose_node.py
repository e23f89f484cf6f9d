# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""What target_pose costs in a frame, and its memory over minutes; see pose.py."""

from __future__ import annotations

from collections.abc import Callable
import subprocess
import sys
import time
from typing import Any

import numpy as np
import rclpy
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from tqdm import tqdm
from tracker_nodes.msg import TrackStatus, TrackStatusArray

from tracker_core.evaluation.machine import describe_machine, machine_line
from tracker_core.media.scene import render_scene
from tracker_core.media.space import Space
from tracker_core.pose.depth import DepthImage
from tracker_core.tables import format_table
from tracker_nodes.conversions import box_to_message
from tracker_nodes.depth_encodings import fill_compressed_depth, fill_depth
from tracker_nodes.isolation import isolate
from tracker_nodes.target_pose import TargetPose

SIZES = ((640, 480), (1280, 720))
WARM_UP, FRAMES = 30, 300
SCENE = 30  # frames that are shown over and over
RATE = 30.0
FRAME_ID = 'camera'


class Show:
    """The messages of a scene, ready in memory.

    Args:
        size: Of images and depth.
        encoding: '16UC1', '32FC1' or 'compressedDepth'.
        targets: How many are in every frame, all at the same place.
    """

    def __init__(self, size: tuple[int, int], encoding: str, targets: int) -> None:
        space = Space(render_scene('walk', SCENE, size))
        camera = space.camera
        self.info = CameraInfo(width=size[0], height=size[1], distortion_model='plumb_bob')
        self.info.header.frame_id = FRAME_ID
        self.info.k = camera.k.ravel()
        self.info.d = [-0.2, 0.05, 0.001, 0.001, 0.0]
        self.depths: list[Image | CompressedImage] = []
        self.statuses: list[TrackStatusArray] = []
        for i, box in enumerate(space.scene.boxes):
            exact = space.depth(i)
            millimetres = DepthImage((1000 * exact.values).astype(np.uint16), 0.001)
            if encoding == 'compressedDepth':
                depth = fill_compressed_depth(CompressedImage(), millimetres)
            else:
                depth = fill_depth(Image(), exact if encoding == '32FC1' else millimetres)
            status = TrackStatusArray()
            for number in range(targets):
                status.targets.append(
                    TrackStatus(
                        id=f'target_{number}',
                        state=TrackStatus.TRACKING,
                        bbox=box_to_message(box),
                    )
                )
            for message in (depth, status):
                message.header.frame_id = FRAME_ID
            self.depths.append(depth)
            self.statuses.append(status)

    def messages(self, i: int, stamp: Any) -> tuple[Any, TrackStatusArray]:
        """Depth and status of a frame; the scene goes forwards and backwards."""
        k = i % (2 * SCENE)
        k = min(k, 2 * SCENE - 1 - k)
        self.depths[k].header.stamp = self.statuses[k].header.stamp = stamp
        return self.depths[k], self.statuses[k]


def parameters(encoding: str) -> list[Parameter]:
    transport = encoding if encoding == 'compressedDepth' else 'raw'
    return [
        Parameter('depth_transport', value=transport),
        Parameter('fixed_frame', value=''),
        Parameter('patience', value=0.0),
    ]


def cost() -> dict[str, Any]:
    """Milliseconds from the callback of a depth image to the last message published, in this
    process; printed and returned."""
    isolate()
    rclpy.init()
    rows = []
    for size in SIZES:
        for encoding in ('16UC1', '32FC1', 'compressedDepth'):
            for targets in (1, 8):
                node = TargetPose(parameter_overrides=parameters(encoding))
                node.start()
                show = Show(size, encoding, targets)
                times = _timed(node, show)
                node.close()
                node.destroy_node()
                rows.append(
                    {
                        'size': list(size),
                        'encoding': encoding,
                        'targets': targets,
                        'median': float(np.median(times)),
                        'p99': float(np.percentile(times, 99)),
                    }
                )
    rclpy.try_shutdown()
    report = {'machine': describe_machine(), 'milliseconds': rows}
    print(machine_line(report['machine']))
    cells = [
        [
            f'{row["size"][0]} x {row["size"][1]}',
            row['encoding'],
            str(row['targets']),
            f'{row["median"]:.2f}',
            f'{row["p99"]:.2f}',
        ]
        for row in rows
    ]
    print(format_table(['depth', 'encoding', 'targets', 'ms', 'p99'], cells))
    return report


def _timed(node: TargetPose, show: Show) -> list[float]:
    on_depth, on_status = _callbacks(node)
    times = []
    for i in range(WARM_UP + FRAMES):
        depth, status = show.messages(i, node.get_clock().now().to_msg())
        begin = time.perf_counter()
        if not i:
            _callback(node, 'camera_info')(show.info)
        on_depth(depth)
        on_status(status)
        times.append(1000 * (time.perf_counter() - begin))
    return times[WARM_UP:]


def _callbacks(node: TargetPose) -> tuple[Callable[[Any], None], Callable[[Any], None]]:
    names = [each.topic_name for each in node.subscriptions]
    depth = next(name for name in names if 'depth' in name)
    return _callback(node, depth), _callback(node, 'status')


def _callback(node: TargetPose, topic: str) -> Callable[[Any], None]:
    """What the executor would call."""
    full = node.resolve_topic_name(topic)
    return next(each.callback for each in node.subscriptions if each.topic_name == full)


def memory(minutes: float) -> dict[str, Any]:
    """MiB of the node's process, every ten seconds, while depth of 1280 x 720 and the status of
    one target come 30 times a second; printed and returned."""
    isolate()
    given = [f'-p {each.name}:={each.value!r}' for each in parameters('16UC1')]
    command = [sys.executable, '-m', 'tracker_nodes.target_pose', '--ros-args']
    process = subprocess.Popen([*command, *' '.join(given).replace("''", '""').split()])
    rclpy.init()
    node = Node('camera')
    depths = node.create_publisher(Image, 'depth', qos_profile_sensor_data)
    infos = node.create_publisher(CameraInfo, 'camera_info', qos_profile_sensor_data)
    statuses = node.create_publisher(TrackStatusArray, 'status', 10)
    show = Show(SIZES[1], '16UC1', 1)
    used: list[float] = []
    try:
        while not statuses.get_subscription_count():
            if process.poll() is not None:
                sys.exit('target_pose has ended')
            time.sleep(0.1)
        begin = time.monotonic()
        for i in tqdm(range(int(60 * minutes * RATE)), unit='frame'):
            depth, status = show.messages(i, node.get_clock().now().to_msg())
            depths.publish(depth)
            infos.publish(show.info)
            statuses.publish(status)
            if not i % int(10 * RATE):
                used.append(_resident(process.pid))
            time.sleep(max(begin + (i + 1) / RATE - time.monotonic(), 0))
        used.append(_resident(process.pid))
    finally:
        process.terminate()
        process.wait(10)
        rclpy.try_shutdown()
    report = {'machine': describe_machine(), 'minutes': minutes, 'memory_mb': used}
    print(machine_line(report['machine']))
    settled = used[min(3, len(used) - 1)]  # after half a minute
    print(f'{settled:.1f} MiB after half a minute, {used[-1]:.1f} MiB after {minutes:g} minutes')
    return report


def _resident(pid: int) -> float:
    with open(f'/proc/{pid}/status') as lines:
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith('VmRSS:'))

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Garbage over real DDS to a node in a process of its own, one message at a time.

Each image is answered by a status or skipped with a reason in the log, each request is answered,
the node lives, and its memory stays bounded. A run is reproducible: the messages follow from SEED.
TRACKER_NODES_FUZZ is the number of messages (default 1,000), TRACKER_NODES_FUZZ_SEED another seed.
"""

from __future__ import annotations

import array
from collections import Counter
from collections.abc import Callable
import math
import os
import random
import time
from typing import Any, ClassVar

import cv2
import numpy as np
import pytest
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CompressedImage, Image
from std_srvs.srv import SetBool, Trigger
from tracker_nodes.srv import InitTarget, RemoveTarget
from vision_msgs.msg import BoundingBox2D, Detection2D, ObjectHypothesisWithPose

from tracker_core import ImageError
from tracker_core.media.encodings import (
    compressed_to_rgb,
    ENCODINGS,
    fill_compressed,
    fill_image,
    to_rgb,
)
from tracker_core.media.gray import GrayRange

MESSAGES = int(os.environ.get('TRACKER_NODES_FUZZ', '1000'))
SEED = int(os.environ.get('TRACKER_NODES_FUZZ_SEED', '1'))
MAX_TARGETS = 3
HISTORY_MB = 16
MEMORY_GROWTH = 96  # MiB after the first third of the messages, of which the largest has 17 MB
INT32 = (-(2**31), -1, 0, 1, 2**31 - 1)
UINT32 = (0, 1, 2, 3, 15, 16, 17, 319, 2**16, 2**31, 2**32 - 1)
PIXEL_BYTES = {
    **dict.fromkeys(('mono8', '8UC1', 'bayer_rggb8', 'bayer_bggr8', 'bayer_gbrg8'), 1),
    **dict.fromkeys(('rgb8', 'bgr8', '8UC3'), 3),
    **dict.fromkeys(('rgba8', 'bgra8', '8UC4'), 4),
    **dict.fromkeys(('mono16', '16UC1', 'yuv422', 'uyvy', 'yuv422_yuy2', 'yuyv'), 2),
    **dict.fromkeys(('bayer_rggb16', 'bayer_bggr16', 'bayer_gbrg16', 'bayer_grbg16'), 2),
    **dict.fromkeys(('rgb16', 'bgr16', '16UC3'), 6),
    **dict.fromkeys(('rgba16', 'bgra16', '16UC4'), 8),
}
HALVES = {  # of planes: how many half rows there are to a row of the image
    **dict.fromkeys(('nv12', 'nv21', 'i420', 'yuv420', 'yuv420p', 'yv12'), 3),
    **dict.fromkeys(('nv16', 'nv61'), 4),
    **dict.fromkeys(('nv24', 'nv42'), 6),
}
FORMATS = (
    'jpeg',
    'rgb8; jpeg compressed bgr8',
    'bayer_grbg8; jpeg compressed ',
    'bayer_rggb16; png compressed',
    'mono16; png compressed ',
    '16UC1; compressedDepth png',
)
NUMBERS = (math.nan, math.inf, -math.inf, 0.0, -0.0, -5.0, 1e-300, 1e-3, 1e9, 1e300, 1.7e308)
PARAMETERS = (
    'max_targets',
    'bit_depth',
    'tadt.lost_after',
    'tadt.score_slope',
    'tadt.lost_score',
    'tadt.search_side',
    'tracker',
    'device',
    'history_seconds',
    'use_sim_time',
    'nonsense',
)
TEXTS = (
    '',
    'a',
    'target_1',
    'two words',
    '\n',
    'x' * 64,
    'x' * 65,
    'y' * 100_000,
    '\N{HOT BEVERAGE}' * 40,
    '; rm -rf /',
    '%s%n{}',
    '\x7f',
)


class Fuzzer:
    """Makes messages, valid and not, all from one seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        noise = np.random.default_rng(seed).integers(0, 256, (48, 64, 3), np.uint8)
        self.picture = cv2.resize(noise, (1920, 1080), interpolation=cv2.INTER_CUBIC)
        self.stamp = 1_000_000_000

    def stamp_into(self, header: Any) -> None:
        """A stamp that mostly goes on, and sometimes is zero, far away, the same, or invalid."""
        kind = self.random.random()
        if kind < 0.7:
            self.stamp += 33_333_333
            header.stamp.sec, header.stamp.nanosec = divmod(self.stamp, 10**9)
        elif kind < 0.75:
            header.stamp.sec, header.stamp.nanosec = divmod(self.stamp, 10**9)
        elif kind < 0.9:
            header.stamp.sec = self.random.choice(INT32)
            header.stamp.nanosec = self.random.choice(UINT32)

    def size(self) -> tuple[int, int]:
        kind = self.random.random()
        if kind < 0.03:
            return 1920, 1080
        if kind < 0.1:
            return self.random.choice(((16, 1080), (1920, 16), (1, 1), (2, 2), (1919, 17)))
        if kind < 0.2:
            return self.random.randint(1, 32), self.random.randint(1, 32)
        return self.random.randint(16, 400), self.random.randint(16, 400)

    def image(self) -> Image:
        """An image; in half of them something is wrong."""
        width, height = self.size()
        message = Image(width=width, height=height)
        self.stamp_into(message.header)
        message.encoding = encoding = self.random.choice(ENCODINGS)
        row = width * PIXEL_BYTES.get(encoding, 1) + self.random.choice((0, 0, 0, 1, 7, 64))
        message.step = row
        rows = -(-height * HALVES.get(encoding, 2) // 2) + self.random.choice((0, 1))
        flat = self.picture.reshape(-1)
        message.data = array.array('B', np.resize(flat, row * rows).tobytes())
        message.is_bigendian = self.random.choice((0, 0, 1, 255))
        for wrong in self.random.sample(
            ('width', 'height', 'step', 'encoding', 'data', 'none', 'none', 'none'),
            self.random.choice((0, 0, 1, 2)),
        ):
            if wrong == 'encoding':
                message.encoding = self.random.choice(('32FC1', 'jpeg', 'RGB8', *TEXTS))
            elif wrong == 'data':
                message.data = message.data[: self.random.randint(0, len(message.data))]
            elif wrong != 'none':
                setattr(message, wrong, self.random.choice(UINT32))
        return message

    def compressed(self) -> CompressedImage:
        """A compressed image; in half of them something is wrong."""
        width, height = self.size()
        suffix = self.random.choice(('.jpg', '.jpg', '.png'))
        picture = self.picture[:height, :width]
        if self.random.random() < 0.3:
            picture = picture[..., 0]
        if suffix == '.png' and self.random.random() < 0.5:
            picture = picture * np.uint16(self.random.choice((4, 16, 256)))
        encoded = cv2.imencode(suffix, picture)[1].tobytes()
        kind = self.random.random()
        if kind < 0.15:
            encoded = encoded[: self.random.randint(0, len(encoded))]
        elif kind < 0.35:
            broken = bytearray(encoded)
            for _ in range(self.random.randint(1, 20)):
                end = self.random.choice((200, len(broken)))  # half of them in the header
                broken[self.random.randrange(min(end, len(broken)))] ^= 255
            encoded = bytes(broken)
        elif kind < 0.5:
            encoded = self.random.randbytes(self.random.choice((0, 1, 2, 999, 70_000)))
        message = CompressedImage(data=array.array('B', encoded))
        message.format = self.random.choice((*FORMATS, *TEXTS))
        self.stamp_into(message.header)
        return message

    def number(self, usual: tuple[float, float]) -> float:
        return self.random.choice(NUMBERS) if self.random.random() < 0.04 else self.uniform(usual)

    def uniform(self, usual: tuple[float, float]) -> float:
        return self.random.uniform(*usual)

    def bbox(self) -> BoundingBox2D:
        message = BoundingBox2D(size_x=self.number((2, 150)), size_y=self.number((2, 150)))
        message.center.position.x = self.number((-20, 300))
        message.center.position.y = self.number((-20, 300))
        message.center.theta = self.number((0, 6))
        return message

    def text(self) -> str:
        return self.random.choice(TEXTS) if self.random.random() < 0.3 else ''

    def init_request(self) -> dict[str, Any]:
        request = {'id': self.text(), 'bbox': self.bbox(), 'label': self.text()}
        if self.random.random() < 0.15:
            header = Image().header
            self.stamp_into(header)
            request['stamp'] = header.stamp
        return request

    def detection(self) -> Detection2D:
        message = Detection2D(bbox=self.bbox(), id=self.text())
        if self.random.random() < 0.3:
            self.stamp_into(message.header)
        for _ in range(self.random.choice((0, 1, 3))):
            hypothesis = ObjectHypothesisWithPose()
            hypothesis.hypothesis.class_id = self.text()
            hypothesis.hypothesis.score = self.random.choice(NUMBERS)
            message.results.append(hypothesis)
        return message

    def parameter(self) -> Parameter:
        name = self.random.choice(PARAMETERS)
        value = self.random.choice((1, 3, -1, 2**40, 0.5, -1e9, 'auto', 'cpu', [1, 2]))
        return Parameter(name, value=value)


class Run:
    """Sends the messages of a fuzzer, one after the other, and sees to each being answered."""

    usual: ClassVar = {'max_targets': MAX_TARGETS, 'use_sim_time': False}

    def __init__(self, fuzzer: Fuzzer, operator: Any, process: Any, camera: Any, make: Any):
        self.fuzzer, self.operator, self.process = fuzzer, operator, process
        self.camera, self.make = camera, make
        self.counts: Counter[str] = Counter()
        self.codes: Counter[int] = Counter()
        self.boxes = operator.node.create_publisher(Detection2D, 'init_box', 10)
        operator.wait_until(self.boxes.get_subscription_count, 'the subscription to init_box')
        self._read = 0  # lines of the log
        self.skips = 0  # images for whose skipping there is a reason in the log, at level debug
        self.box_lines: list[str] = []  # what the log says of started and refused targets
        self.read_log()
        self.said = len(self.box_lines)

    def settle(self, image: Any) -> None:
        """Show an image until the node has found everybody and has taken over the QoS."""
        end = time.monotonic() + 5
        while time.monotonic() < end:
            image.header.stamp.nanosec += 1
            self.camera.publish(image)
            time.sleep(0.1)
        self.operator.wait_until(
            lambda: (
                self.camera.get_subscription_count() == 1
                and self.operator.statuses
                and self.operator.statuses[-1].header == image.header
            ),
            'the answer to the last of these',
        )

    def step(self) -> None:
        """Send one message."""
        kind = self.fuzzer.random.random()
        if kind < 0.6:
            self.image()
        elif kind < 0.8:
            self.init_target()
        elif kind < 0.86:
            self.init_box()
        elif kind < 0.91:
            self.remove_target()
        elif kind < 0.93:
            self.answered(self.operator.call(Trigger, 'reset').success, 'reset')
        elif kind < 0.96:
            self.pause()
        else:
            self.set_parameter()

    def answered(self, is_accepted: bool, what: str) -> None:
        self.counts[f'{what}, {"accepted" if is_accepted else "refused"}'] += 1

    def read_log(self) -> None:
        """Take in what the node has logged since the last time."""
        lines = self.process.lines[self._read :]
        self._read += len(lines)
        self.skips += sum('[DEBUG]' in line and 'frame' in line for line in lines)
        self.box_lines += [
            line for line in lines if ' refused: ' in line or ': following ' in line
        ]

    def image(self) -> None:
        self.read_log()
        message = self.make()
        message.header.frame_id = f'image_{sum(self.counts.values())}'
        before = self.skips

        def outcome() -> str:
            self.read_log()
            for status in self.operator.statuses[-3:]:
                if status.header.frame_id == message.header.frame_id:
                    return 'targets answered' if status.targets else 'answered'
            if self.skips > before:
                return 'skipped'
            return '' if self.process.is_alive else 'dead'

        self.camera.publish(message)
        told = self.operator.wait_until(outcome, f'a word on {message!r:.300}')
        assert told != 'dead', f'the node died of {message!r:.300}'
        self.counts[f'image, {told}'] += 1

    def init_target(self) -> None:
        request = self.fuzzer.init_request()
        answer = self.operator.call(InitTarget, 'init_target', **request)
        assert answer.success == (answer.error_code == 0) == bool(answer.id), answer
        assert answer.success or 3 < len(answer.message) < 1000, answer
        self.codes[answer.error_code] += 1
        self.said += 1  # a line in the log
        self.answered(answer.success, 'init_target')

    def init_box(self) -> None:
        self.operator.wait_until(self.all_said, 'the log')
        self.boxes.publish(self.fuzzer.detection())
        self.said += 1
        self.operator.wait_until(self.all_said, 'a word on init_box')
        self.answered('following' in self.box_lines[-1], 'init_box')

    def all_said(self) -> bool:
        self.read_log()
        return len(self.box_lines) >= self.said

    def remove_target(self) -> None:
        name = self.fuzzer.text()
        answer = self.operator.call(RemoveTarget, 'remove_target', id=name)
        assert 3 < len(answer.message) < 1000, answer
        self.answered(answer.success, 'remove_target')

    def pause(self) -> None:
        """While it is disabled it refuses targets."""
        assert self.operator.call(SetBool, 'enable', data=False).success
        answer = self.operator.call(InitTarget, 'init_target', **self.fuzzer.init_request())
        assert answer.error_code == InitTarget.Response.NOT_ACTIVE, answer
        self.said += 1
        assert self.operator.call(SetBool, 'enable', data=True).success
        self.answered(True, 'enable')

    def set_parameter(self) -> None:
        parameter = self.fuzzer.parameter()
        name, parameters = parameter.name, [parameter.to_parameter_msg()]
        answer = self.operator.call(
            SetParameters, 'tracker_node/set_parameters', parameters=parameters
        )
        (result,) = answer.results
        assert result.successful or result.reason, parameters
        self.answered(result.successful, 'set_parameters')
        if name in self.usual:  # so that what follows is tracked as before
            mended = Parameter(name, value=self.usual[name]).to_parameter_msg()
            assert (
                self.operator.call(
                    SetParameters, 'tracker_node/set_parameters', parameters=[mended]
                )
                .results[0]
                .successful
            )


def test_garbage_becomes_an_image_or_an_image_error():
    """Without a node, so many more of each encoding."""
    fuzzer = Fuzzer(SEED)
    gray = GrayRange()
    counts: Counter[bool] = Counter()
    longest = 0
    for number in range(MESSAGES):
        is_raw = number % 3 > 0
        message = fuzzer.image() if is_raw else fuzzer.compressed()
        try:
            rgb = (to_rgb if is_raw else compressed_to_rgb)(message, gray.at(number))
        except ImageError as error:
            longest = max(longest, len(str(error)))
            counts[False] += 1
            continue
        assert rgb.dtype == np.uint8
        assert rgb.shape[2:] == (3,)
        if is_raw and message.encoding not in HALVES:
            assert rgb.shape[:2] == (message.height, message.width)
        counts[True] += 1
    assert min(counts[True], counts[False]) > MESSAGES / 6
    assert longest < 900


@pytest.mark.parametrize('transport', ['raw', 'compressed'])
def test_garbage_is_answered_or_skipped_with_a_reason(
    transport: str, start_process: Callable, operator: Any
):
    fuzzer = Fuzzer(SEED)
    is_raw = transport == 'raw'
    kind, topic = (Image, 'image') if is_raw else (CompressedImage, 'image/compressed')
    # Reliable, and each waits for its outcome: so none is lost on the way.
    camera = operator.node.create_publisher(kind, topic, QoSProfile(depth=1))
    node = start_process(
        'tracker_node',
        '--log-level',
        'tracker_node:=debug',
        tracker='tadt',
        weights='random',
        device='cpu',
        image_transport=transport,
        max_targets=MAX_TARGETS,
        history_megabytes=float(HISTORY_MB),
    )
    operator.wait_until(
        lambda: camera.get_subscription_count() == 1 and operator.hears('status'), 'the node'
    )
    run = Run(fuzzer, operator, node, camera, fuzzer.image if is_raw else fuzzer.compressed)
    picture = fuzzer.picture[:64, :64]
    run.settle(fill_image(Image(), picture) if is_raw else fill_compressed(kind(), picture))

    messages = MESSAGES * (7 if is_raw else 3) // 10
    memory = []
    while (number := sum(run.counts.values())) < messages:
        run.step()
        operator.statuses[:-3] = []
        operator.detections[:-3] = []
        if number % max(messages // 30, 1) == 0:
            memory.append(node.memory())

    print(f'\n{messages} messages, {transport}, seed {SEED}')
    print('\n'.join(f'  {count:6} {what}' for what, count in sorted(run.counts.items())))
    print(f'  error codes {dict(sorted(run.codes.items()))}')
    print(f'  memory, MiB: {" ".join(f"{value:.0f}" for value in memory)}')
    assert node.is_alive
    assert node.logged('Traceback') == []
    assert max(map(len, node.lines)) < 1000, 'nothing is repeated in the log at full length'
    warm = max(memory[: len(memory) // 3 + 1])
    assert memory[-1] - warm < MEMORY_GROWTH, memory
    # It was not all one kind of garbage, and the node still does its work.
    for what in ('answered', 'targets answered', 'skipped'):
        assert run.counts[f'image, {what}'] > messages / 100
    assert len(run.codes) >= 5
    assert run.codes[InitTarget.Response.TRACKER_FAILED] == 0, node.logged('could not start')
    assert node.logged(' failed ') == []
    assert operator.call(Trigger, 'reset').success

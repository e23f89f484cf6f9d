# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Real nodes over real DDS: a node under test, and an operator who plays camera and user."""

from __future__ import annotations

from collections.abc import Callable, Iterator
import contextlib
from functools import cached_property
import gc
import importlib.util
from pathlib import Path
import signal
import subprocess
import sys
import threading
import time
from typing import Any

import cv2
import numpy as np
import pytest

HAS_ROS = importlib.util.find_spec('rclpy') is not None
collect_ignore_glob: list[str] = [] if HAS_ROS else ['test_*.py']

if HAS_ROS:
    from tracker_nodes.isolation import isolate

    isolate()

    from builtin_interfaces.msg import Time
    import rclpy
    from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
    from rclpy.node import Node
    from rclpy.parameter import Parameter
    from rclpy.qos import qos_profile_sensor_data
    from sensor_msgs.msg import Image
    from tracker_nodes.msg import TrackStatusArray
    from tracker_nodes.srv import InitTarget
    from vision_msgs.msg import BoundingBox2D, Detection2DArray

    from tracker_core import Box
    from tracker_core.media.encodings import fill_image
    from tracker_core.media.scene import render_scene
    from tracker_nodes.conversions import box_to_message, nanoseconds

PATIENCE = 120.0  # seconds after which something that should come counts as absent


class Spinning:
    """Nodes on one executor in a thread of their own."""

    def __init__(self, node: Any) -> None:
        self.node = node
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(node)
        self.thread = threading.Thread(target=self._spin, daemon=True)
        self.thread.start()

    def _spin(self) -> None:
        with contextlib.suppress(ExternalShutdownException):
            self.executor.spin()

    def stop(self) -> None:
        self.executor.shutdown()
        self.thread.join(10)
        if hasattr(self.node, 'close'):
            self.node.close()
        self.node.destroy_node()


class Operator:
    """The rest of the robot: publishes images, calls services, collects what the node says."""

    def __init__(self, namespace: str = '') -> None:
        self.node = Node('rest_of_the_robot', namespace=namespace)
        self._subscriptions: dict[str, Any] = {}
        self.detections: list[Detection2DArray] = []
        self.statuses: list[TrackStatusArray] = []
        self.listen(Detection2DArray, 'detections', self.detections)
        self.listen(TrackStatusArray, 'status', self.statuses)
        self.spinning = Spinning(self.node)
        self._clients: dict[str, Any] = {}
        self._stamp = 1_000_000_000
        self._is_heard = False

    @staticmethod
    def wait_until(condition: Callable[[], Any], what: str) -> Any:
        """Wait for something that happens in another thread or process, and return it."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            result = condition()
            if result:
                return result
            time.sleep(0.005)
        raise AssertionError(f'{what} did not come within {PATIENCE:g} s')

    @cached_property
    def camera(self) -> Any:
        """The publisher of image, made when it is first used."""
        return self.node.create_publisher(Image, 'image', qos_profile_sensor_data)

    def listen(self, kind: Any, topic: str, into: list[Any] | None = None, qos: Any = 50) -> list:
        """Collect all messages of a topic."""
        into = [] if into is None else into
        self._subscriptions[topic] = self.node.create_subscription(kind, topic, into.append, qos)
        return into

    def hears(self, topic: str) -> bool:
        """Whether a publisher of a topic has been found."""
        return self._subscriptions[topic].get_publisher_count() > 0

    def mute(self, topic: str) -> None:
        """Stop listening."""
        self.node.destroy_subscription(self._subscriptions.pop(topic))

    def call(self, kind: Any, name: str, **fields: Any) -> Any:
        """Call a service and wait for the answer; a second time if none comes, since DDS drops it
        where the server has not yet found this client's reader.
        """
        if name not in self._clients:
            self._clients[name] = self.node.create_client(kind, name)
        client = self._clients[name]
        assert client.wait_for_service(PATIENCE), f'no service {name}'
        futures = [client.call_async(kind.Request(**fields))]
        again = time.monotonic() + 10

        def is_answered() -> bool:
            if time.monotonic() > again and len(futures) == 1:
                futures.append(client.call_async(kind.Request(**fields)))
            return any(future.done() for future in futures)

        self.wait_until(is_answered, f'the answer of {name}')
        return next(future.result() for future in futures if future.done())

    def init(
        self,
        box: Box | BoundingBox2D,
        id: str = '',  # noqa: A002
        stamp: int = 0,
        label: str = '',
    ) -> InitTarget.Response:
        """Call init_target."""
        bbox = box_to_message(box) if isinstance(box, Box) else box
        time_stamp = Time(sec=stamp // 10**9, nanosec=stamp % 10**9)
        return self.call(
            InitTarget, 'init_target', id=id, bbox=bbox, stamp=time_stamp, label=label
        )

    def image(self, rgb: np.ndarray, encoding: str = 'rgb8') -> Image:
        """A message with a stamp 1/30 s after the one before."""
        self._stamp += 33_333_333
        message = Image()
        message.header.frame_id = 'camera_optical_frame'
        message.header.stamp = Time(sec=self._stamp // 10**9, nanosec=self._stamp % 10**9)
        return fill_image(message, rgb, encoding)

    def is_matched(self) -> bool:
        """Whether image and detections have found their other ends."""
        return (
            self.camera.get_subscription_count() > 0
            and self.hears('detections')
            and self.hears('status')
        )

    def publish(self, message: Image) -> None:
        """Show an image to whoever looks."""
        self.wait_until(self.is_matched, 'the subscription to image')
        self.camera.publish(message)

    def show(self, rgb: np.ndarray, encoding: str = 'rgb8') -> Detection2DArray:
        """Publish an image and wait for its detections and its status."""
        message = self.image(rgb, encoding)
        stamp = nanoseconds(message.header.stamp)
        self.publish(message)
        if not self._is_heard:  # the node may have found this reader later than this reader it
            self.wait_until(lambda: self._answered_in(1.0, message), 'the first answer')
            self._is_heard = True
        self.wait_until(lambda: self.status_of(stamp), f'the status of frame {stamp}')
        return self.wait_until(
            lambda: of_stamp(self.detections, stamp), f'the detections of {stamp}'
        )

    def _answered_in(self, seconds: float, message: Image) -> bool:
        """Wait a moment for the answer to an image; publish it again if there is none."""
        stamp = nanoseconds(message.header.stamp)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.status_of(stamp) and of_stamp(self.detections, stamp):
                return True
            time.sleep(0.005)
        self.publish(message)
        return False

    def status_of(self, stamp: int) -> TrackStatusArray | None:
        return of_stamp(self.statuses, stamp)

    @property
    def newest_stamp(self) -> int:
        """Nanoseconds of the last image made."""
        return self._stamp


class NodeProcess:
    """A node of this package as a process of its own, with what it logs.

    Args:
        name: Of the module, such as tracker_node.
        parameters: As they stand on the command line; true and false for bools.
        options: Further ROS arguments, such as '-r', 'image:=camera/image_raw'.
    """

    def __init__(self, name: str, parameters: dict[str, Any], options: tuple[str, ...]) -> None:
        command = [sys.executable, '-m', f'tracker_nodes.{name}', '--ros-args', *options]
        for key, value in parameters.items():
            text = str(value).lower() if isinstance(value, bool) else str(value)
            command += ['-p', f'{key}:={text}']
        self.lines: list[str] = []
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stderr:
            self.lines.append(line.rstrip())

    @property
    def is_alive(self) -> bool:
        return self.process.poll() is None

    def logged(self, words: str) -> list[str]:
        """The lines that hold these words."""
        return [line for line in list(self.lines) if words in line]

    def memory(self) -> float:
        """Resident memory in MiB."""
        for line in Path(f'/proc/{self.process.pid}/status').read_text().splitlines():
            if line.startswith('VmRSS:'):
                return int(line.split()[1]) / 1024
        raise AssertionError('this system does not tell the memory of a process')

    def end(self, number: int = signal.SIGKILL) -> None:
        """Send it a signal and wait for its end."""
        self.process.send_signal(number)
        self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)

    def leave(self) -> None:
        """End it so that others hear of it: one that is killed stays in their graph for 20 s."""
        self.process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(10)
        self.end()


def of_stamp(messages: list[Any], stamp: int) -> Any:
    """The message with that stamp, or None."""
    return next((m for m in reversed(messages) if nanoseconds(m.header.stamp) == stamp), None)


@pytest.fixture(scope='session')
def ros() -> Iterator[None]:
    rclpy.init()
    yield
    rclpy.try_shutdown()


@pytest.fixture
def make_operator(ros: None) -> Iterator[Callable[[str], Operator]]:
    operators = []

    def make(namespace: str = '') -> Operator:
        operators.append(Operator(namespace))
        return operators[-1]

    yield make
    for operator in operators:
        operator.spinning.stop()


@pytest.fixture
def operator(make_operator: Callable[[str], Operator]) -> Operator:
    return make_operator('')


@pytest.fixture
def alone(operator: Operator) -> None:
    """Waits until nodes of earlier tests have gone, also those that were killed."""

    def others() -> list[str]:
        gc.collect()  # a node in this process is there until it is freed
        names = operator.node.get_node_names()
        return [name for name in names if name != operator.node.get_name()]

    operator.wait_until(lambda: not others(), 'the end of all other nodes')


@pytest.fixture
def spin(ros: None) -> Iterator[Callable[[Any], None]]:
    """Runs a node in a thread until the end of the test."""
    running = []
    yield lambda node: running.append(Spinning(node))
    for spinning in running:
        spinning.stop()


@pytest.fixture
def start_node(spin: Callable[[Any], None]) -> Callable[..., Any]:
    """Starts a tracker_node in this process; parameters as keywords, '.' written as '__'."""
    from tracker_nodes.tracker_node import TrackerNode

    def start(
        namespace: str = '', cli_args: list[str] | None = None, **parameters: Any
    ) -> TrackerNode:
        gc.collect()  # a node that is gone, but not freed yet, would take this one's log with it
        overrides = {'weights': 'random', 'device': 'cpu', **parameters} if not cli_args else {}
        node = TrackerNode(
            namespace=namespace,
            cli_args=cli_args,
            parameter_overrides=[
                Parameter(name.replace('__', '.'), value=value)
                for name, value in overrides.items()
            ],
        )
        node.start()
        spin(node)
        return node

    return start


@pytest.fixture
def start_page(spin: Callable[[Any], None]) -> Callable[..., Any]:
    """Starts the node operator of the namespace robot in this process, on any free port;
    parameters as keywords."""
    from tracker_nodes.operator_node import OperatorNode

    def start(**parameters: Any) -> OperatorNode:
        values = {'port': 0, **parameters}.items()
        overrides = [Parameter(name, value=value) for name, value in values]
        node = OperatorNode(namespace='robot', parameter_overrides=overrides)
        spin(node)
        return node

    return start


@pytest.fixture
def start_process(ros: None) -> Iterator[Callable[..., NodeProcess]]:
    """Starts a node as a process, see `NodeProcess`; parameters as keywords."""
    started: list[NodeProcess] = []

    def start(name: str, *options: str, **parameters: Any) -> NodeProcess:
        started.append(NodeProcess(name, parameters, options))
        return started[-1]

    yield start
    for process in started:
        if process.is_alive:
            process.leave()


@pytest.fixture(scope='session')
def still(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Box]:
    """A folder that a camera can play for ever, and where the object is in it."""
    folder = tmp_path_factory.mktemp('still')
    scene = render_scene('calm', frames=2, size=(320, 240), seed=3)
    picture = cv2.cvtColor(scene[0], cv2.COLOR_RGB2BGR)
    for number in range(2):
        cv2.imwrite(str(folder / f'{number}.png'), picture)
    return folder, scene.boxes[0]

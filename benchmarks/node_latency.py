# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""What the node adds to the tracker: latency and drops over minutes, and its overhead per frame.

python benchmarks/node_latency.py --tracker ocean --minutes 10 [--json FILE]
python benchmarks/node_latency.py --tracker ocean --minutes 3 --away 60 [--json FILE]
python benchmarks/node_latency.py --tracker ocean --overhead --size 1920x1080 [--json FILE]

Needs the built package: source .venv/activate-ros, or a workspace. Camera, node and listener are
three processes with the shared-memory profile. The camera shows a rendered scene forwards and
backwards from memory, so that it takes next to no time of its own; while the target is away it
shows another scene.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
import contextlib
import json
import multiprocessing
import os
from pathlib import Path
import signal
import subprocess
import sys
import threading
import time
from typing import Any

import numpy as np
import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import qos_profile_sensor_data, QoSProfile
from rclpy.utilities import get_rmw_implementation_identifier
from sensor_msgs.msg import Image
from tqdm import tqdm
from tracker_nodes.msg import TrackStatus, TrackStatusArray
from tracker_nodes.srv import InitTarget

from tracker_core import Box, list_trackers
from tracker_core.evaluation.machine import describe_machine, machine_line
from tracker_core.media.encodings import fill_image
from tracker_core.media.scene import render_scene
from tracker_core.tables import format_table
from tracker_nodes.conversions import box_to_message, nanoseconds
from tracker_nodes.isolation import isolate

NAMESPACE = '/benchmark'
CAMERA_MEMORY = 400e6  # bytes of rendered frames at most
PATIENCE = 300.0  # seconds for a tracker to load
ASK_AGAIN = 20.0  # seconds without an answer after which init_target is called once more
WARM_UP = 5.0  # seconds that do not count
PERCENTILES = (50, 99, 100)


# The camera


def rendered(size: tuple[int, int], seed: int = 0) -> tuple[list[np.ndarray], Box]:
    """Frames of a calm scene, as many as memory allows, and the object's box in the first."""
    count = int(min(300, max(30, CAMERA_MEMORY / (3 * size[0] * size[1]))))
    scene = render_scene('calm', frames=count, size=size, seed=seed)
    return list(scene), scene.boxes[0]


def back_and_forth(count: int) -> Iterator[int]:
    """0, 1, ..., count - 1, ..., 1, 0, 1, ... without end."""
    while True:
        yield from range(count)
        yield from range(count - 2, 0, -1)


def images(size: tuple[int, int], encoding: str, seed: int = 0) -> tuple[list[Image], Box]:
    """The frames as messages, ready to be stamped."""
    frames, box = rendered(size, seed)
    messages = []
    for frame in frames:
        messages.append(fill_image(Image(), frame, encoding))
        messages[-1].header.frame_id = 'camera'
    return messages, box


def camera(
    options: argparse.Namespace, box: Any, play: Any, away: Any, stop: Any, count: Any
) -> None:
    """A process that publishes at a steady rate; it holds the first frame until `play` is set.

    Args:
        options: Of the command line.
        box: Where the object's box in the first frame is sent.
        play: Event; from then on it moves, and counts.
        away: Event; while it is set, another scene is shown.
        stop: Event; the end.
        count: Shared number of frames sent since `play`.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    messages, first_box = images(options.size, options.encoding)
    others = images(options.size, options.encoding, seed=1)[0] if options.away else messages
    rclpy.init()
    node = Node('camera', namespace=NAMESPACE)
    publisher = node.create_publisher(Image, 'image', qos_profile_sensor_data)
    box.send(first_box.as_xywh())
    numbers = back_and_forth(len(messages))
    due = time.monotonic()
    while not stop.is_set():
        number = next(numbers) if play.is_set() else 0
        message = (others if away.is_set() else messages)[number]
        count.value += play.is_set()
        message.header.stamp = node.get_clock().now().to_msg()
        publisher.publish(message)
        due = max(due + 1 / options.rate, time.monotonic() - 1)
        time.sleep(max(due - time.monotonic(), 0))
    node.destroy_node()
    rclpy.try_shutdown()


# Latency and drops


class Listener(Node):
    """Collects the status of every frame, and calls init_target."""

    def __init__(self) -> None:
        super().__init__('listener', namespace=NAMESPACE)
        self.rows: list[tuple[float, ...]] = []  # see `keep`
        self.create_subscription(TrackStatusArray, 'status', self.keep, 1000)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self)

    def keep(self, status: TrackStatusArray) -> None:
        """Note when it came, the latencies to publication and to here, and the counts."""
        now = self.get_clock().now().nanoseconds
        state = status.targets[0].state if status.targets else 0
        self.rows.append(
            (
                time.monotonic(),
                status.latency,
                (now - nanoseconds(status.header.stamp)) / 1e9,
                status.processing_time,
                status.frames,
                status.dropped_frames,
                state,
            )
        )

    def spin_for(self, seconds: float, until: Callable[[], Any] = lambda: False) -> bool:
        """Take messages for so long, or until something is so."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not until():
            self._executor.spin_once(timeout_sec=min(0.2, max(end - time.monotonic(), 0)))
        return bool(until())

    def start_target(self, box: Box, children: list[Any]) -> None:
        """Call init_target until there has been an image; exits with the reason if refused."""
        client = self.create_client(InitTarget, 'init_target')
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            for child in children:
                if child.poll() is not None:
                    sys.exit(f'the node ended with exit code {child.returncode}; see above')
            self.spin_for(0.5)
            if not client.service_is_ready():
                continue
            future = client.call_async(InitTarget.Request(bbox=box_to_message(box)))
            self.spin_for(ASK_AGAIN, future.done)  # DDS drops an answer to an unmatched reader
            if future.done() and future.result().success:
                return
            if future.done() and future.result().error_code != InitTarget.Response.NO_IMAGE:
                sys.exit(f'init_target refused: {future.result().message}')
        sys.exit(f'the node could not be started within {PATIENCE:g} s')


def node_parameters(options: argparse.Namespace) -> dict[str, Any]:
    names = ('tracker', 'preset', 'device', 'precision', 'weights')
    return {name: getattr(options, name) for name in names if getattr(options, name)}


@contextlib.contextmanager
def camera_process(target: Callable[..., None], *arguments: Any) -> Iterator[Any]:
    """A process that is ended on the way out."""
    process = multiprocessing.get_context('spawn').Process(
        target=target, args=arguments, daemon=True
    )
    process.start()
    try:
        yield process
    finally:
        process.join(10)
        process.kill()


@contextlib.contextmanager
def node_process(parameters: dict[str, Any]) -> Iterator[subprocess.Popen]:
    """tracker_node, as a launch file starts it."""
    command = [sys.executable, '-m', 'tracker_nodes.tracker_node', '--ros-args']
    command += ['-r', f'__ns:={NAMESPACE}', '--log-level', 'warn']
    for name, value in parameters.items():
        command += ['-p', f'{name}:={value}']
    environment = {'OMP_WAIT_POLICY': 'PASSIVE', **os.environ}  # as the installed executables do
    process = subprocess.Popen(command, start_new_session=True, env=environment)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()


def memory_mb(pid: int) -> float:
    """Resident memory of a process in MiB; 0 where the system does not tell."""
    with contextlib.suppress(OSError):
        for line in Path(f'/proc/{pid}/status').read_text().splitlines():
            if line.startswith('VmRSS:'):
                return int(line.split()[1]) / 1024
    return 0.0


def processor_seconds(pid: int) -> float:
    """Processor time that a process has used; 0 where the system does not tell."""
    with contextlib.suppress(OSError):
        fields = Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')
    return 0.0


def percentiles(seconds: Any) -> dict[str, float]:
    """Median, 99th percentile and maximum in milliseconds."""
    values = np.percentile(1e3 * np.asarray(seconds, float), PERCENTILES)
    return dict(zip(('median', 'p99', 'max'), values.tolist(), strict=True))


def measure_latency(options: argparse.Namespace) -> dict[str, Any]:
    """Run camera and node for some minutes."""
    spawn = multiprocessing.get_context('spawn')
    play, stop, count = spawn.Event(), spawn.Event(), spawn.Value('q', 0, lock=False)
    away = spawn.Event()
    box_end, camera_end = spawn.Pipe(False)
    seconds = 60 * options.minutes
    leaves = (seconds - options.away) / 2
    returns = leaves + options.away
    rclpy.init()
    listener = Listener()
    memory: list[float] = []
    with (
        camera_process(camera, options, camera_end, play, away, stop, count),
        node_process(node_parameters(options)) as node,
    ):
        if not box_end.poll(PATIENCE):
            sys.exit('the camera could not be started')
        listener.start_target(Box(*box_end.recv()), [node])
        play.set()
        listener.spin_for(WARM_UP)
        listener.rows.clear()
        listener.spin_for(10, lambda: listener.rows)
        if not listener.rows:
            sys.exit('no status comes from the node')
        begin, sent, busy = time.monotonic(), count.value, processor_seconds(node.pid)
        with tqdm(total=round(seconds), unit=' s', disable=None) as bar:
            while (passed := time.monotonic() - begin) < seconds:
                if len(memory) <= passed // 60:
                    memory.append(memory_mb(node.pid))
                if options.away and leaves <= passed < returns:
                    away.set()
                else:
                    away.clear()
                listener.spin_for(min(1.0, max(seconds - passed, 0)))
                bar.update(round(time.monotonic() - begin) - bar.n)
        sent = count.value - sent
        busy = processor_seconds(node.pid) - busy
        memory.append(memory_mb(node.pid))
        stop.set()
        duration = time.monotonic() - begin
    listener.destroy_node()
    rclpy.try_shutdown()

    rows = np.array([row for row in listener.rows if row[0] < begin + duration])
    passed = rows[:, 0] - begin
    minute = min(60.0, duration / 2)
    ends = {'first_minute': passed < minute, 'last_minute': passed >= duration - minute}
    dropped = int(rows[-1, 5] - rows[0, 5])
    return {
        **node_parameters(options),
        'size': list(options.size),
        'encoding': options.encoding,
        'rate': options.rate,
        'minutes': duration / 60,
        'frames': {
            'sent': sent,
            'answered': len(rows),
            'dropped_by_node': dropped,
            'lost_before_node': max(sent - len(rows) - dropped, 0),
        },
        'latency_ms': percentiles(rows[:, 1]),
        'latency_at_listener_ms': percentiles(rows[:, 2]),
        'processing_ms': percentiles(rows[:, 3]),
        **{f'latency_{name}_ms': percentiles(rows[chosen, 1]) for name, chosen in ends.items()},
        **({'away': while_away(rows, passed, leaves, returns)} if options.away else {}),
        'memory_mb': memory,
        'processors': busy / duration,
        'tracking': float(np.mean(rows[:, 6] == TrackStatus.TRACKING)),
        'machine': describe_machine(),
        'middleware': middleware(),
    }


def while_away(
    rows: np.ndarray, passed: np.ndarray, leaves: float, returns: float
) -> dict[str, Any]:
    """What the node does while its target is out of sight, and how soon it is TRACKING again.

    Args:
        rows: (N, 7) of `Listener.rows`.
        passed: (N,) seconds since the beginning.
        leaves, returns: When the target is out of sight, to a second.
    """
    state = rows[:, 6]
    is_away = (passed >= leaves + 1) & (passed < returns)
    is_lost = is_away & (state == TrackStatus.LOST)
    again = passed[(passed >= returns) & (state == TrackStatus.TRACKING)]
    return {
        'seconds': returns - leaves,
        'rate': float(is_away.sum() / (returns - leaves - 1)),
        'latency_ms': percentiles(rows[is_lost, 1]) if is_lost.any() else None,
        'lost': float(np.mean(state[is_away] == TrackStatus.LOST)),
        'tracking': float(np.mean(state[is_away] == TrackStatus.TRACKING)),
        'tracking_again_after_s': float(again[0] - returns) if len(again) else None,
    }


def middleware() -> str:
    profile = os.environ.get('FASTDDS_DEFAULT_PROFILES_FILE', '') or os.environ.get(
        'FASTRTPS_DEFAULT_PROFILES_FILE', ''
    )
    distro = os.environ.get('ROS_DISTRO', 'wheels')
    return f'ROS 2 {distro}, {get_rmw_implementation_identifier()}, {Path(profile).name}'


def latency_text(result: dict[str, Any]) -> str:
    """The result for a person."""
    frames, memory = result['frames'], result['memory_mb']
    end = min(60.0, 30 * result['minutes'])  # seconds, see `measure_latency`
    rows = [
        [what, *(f'{result[key][column]:.1f}' for column in ('median', 'p99', 'max'))]
        for what, key in (
            ('stamp to publication', 'latency_ms'),
            (f'  in the first {end:.0f} s', 'latency_first_minute_ms'),
            (f'  in the last {end:.0f} s', 'latency_last_minute_ms'),
            ('stamp to another process', 'latency_at_listener_ms'),
            ('in the node', 'processing_ms'),
        )
    ]
    unanswered = 1 - frames['answered'] / max(frames['sent'], 1)
    away = result.get('away')
    if away and away['latency_ms']:
        values = away['latency_ms']
        rows.append(
            ['  while LOST', *(f'{values[column]:.1f}' for column in ('median', 'p99', 'max'))]
        )
    return (
        f'{heading(result)}, {result["rate"]:g} Hz, {result["minutes"]:.1f} minutes\n'
        f'{format_table(["milliseconds", "median", "p99", "max"], rows)}\n'
        f'{frames["sent"]} frames sent, {frames["answered"]} answered; '
        f'{100 * max(unanswered, 0):.2f} % dropped '
        f'({frames["dropped_by_node"]} by the node, {frames["lost_before_node"]} before it)\n'
        f'memory of the node {memory[0]:.0f} MiB after {WARM_UP:g} s, {memory[-1]:.0f} MiB at the '
        f'end; {result["processors"]:.2f} processors busy; '
        f'tracking in {100 * result["tracking"]:.0f} % of the frames'
        + (away_text(away) if away else '')
    )


def away_text(away: dict[str, Any]) -> str:
    again = away['tracking_again_after_s']
    found = 'not found' if again is None else f'TRACKING {again:.1f} s after the return'
    return (
        f'\naway for {away["seconds"]:.0f} s: {away["rate"]:.1f} frames/s answered, LOST in '
        f'{100 * away["lost"]:.0f} % of them, TRACKING in {100 * away["tracking"]:.0f} %; '
        f'{found}'
    )


def heading(result: dict[str, Any]) -> str:
    width, height = result['size']
    return (
        f'{machine_line(result["machine"])}\n{result["middleware"]}\n\n{result["tracker"]} '
        f'{result.get("preset", "compact")}, {width} x {height} {result["encoding"]}'
    )


# The node's own time per frame


def lockstep_camera(options: argparse.Namespace, box: Any, go: Any, stop: Any) -> None:
    """A process that publishes one frame, reliably, for every time that `go` is released."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    messages, first_box = images(options.size, options.encoding)
    rclpy.init()
    node = Node('camera', namespace=NAMESPACE)
    publisher = node.create_publisher(Image, 'image', QoSProfile(depth=1))
    box.send(first_box.as_xywh())
    numbers = back_and_forth(len(messages))
    while not stop.is_set():
        if go.acquire(timeout=0.2):
            time.sleep(0.005)  # whatever follows the last frame in the node is over
            message = messages[next(numbers)]
            message.header.stamp = node.get_clock().now().to_msg()
            publisher.publish(message)
    node.destroy_node()
    rclpy.try_shutdown()


def measure_overhead(options: argparse.Namespace) -> dict[str, Any]:
    """Time the steps of a node in this process around those of its tracker, frame by frame."""
    from tracker_nodes import tracker_node
    from tracker_nodes.image_input import ImageInput
    from tracker_nodes.tracker_node import TrackerNode

    spans: dict[str, list[float]] = {}
    spent = {'tracker': 0.0}  # in track_many, of the frame at work
    published = threading.Event()

    class TimedInput(ImageInput):
        """With a stop watch around the callback."""

        def _on_image(self, message: Any) -> None:
            begin = time.monotonic()
            now = node.get_clock().now().nanoseconds
            transport = (now - nanoseconds(message.header.stamp)) / 1e9
            super()._on_image(message)
            spent.update(transport=transport, callback=time.monotonic() - begin)

    class TimedNode(TrackerNode):
        """With a stop watch around the publication."""

        def _publish(self, result: Any) -> None:
            begin = time.monotonic()
            super()._publish(result)
            end = time.monotonic()
            tracker = spent['tracker']
            row = {
                'transport': spent.get('transport', 0.0),
                'callback': spent.get('callback', 0.0),
                'hand_over': result.taken_up - result.frame.arrived,
                'decode': begin - result.taken_up - tracker,
                'tracker': tracker,
                'publish': end - begin,
            }
            row['overhead'] = sum(
                row[name] for name in ('callback', 'hand_over', 'decode', 'publish')
            )
            for name, value in row.items():
                spans.setdefault(name, []).append(value)
            spent['tracker'] = 0.0
            published.set()

    spawn = multiprocessing.get_context('spawn')
    stop, go = spawn.Event(), spawn.Semaphore(0)
    box_end, camera_end = spawn.Pipe(False)
    rclpy.init()
    parameters = [Parameter(name, value=v) for name, v in node_parameters(options).items()]
    tracker_node.ImageInput = TimedInput
    node = TimedNode(namespace=NAMESPACE, parameter_overrides=parameters)
    node.start()
    if node._worker is None:
        sys.exit(1)  # the node has said why
    tracker = node._tracker
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    listener = Node('listener', namespace=NAMESPACE)  # so that publishing costs what it costs
    listener.create_subscription(TrackStatusArray, 'status', lambda _: None, 10)

    def spin() -> None:
        with contextlib.suppress(ExternalShutdownException):
            executor.spin()

    thread = threading.Thread(target=spin, daemon=True)
    thread.start()

    def show(times: int, bar: Any = None) -> None:
        for _ in range(times):
            published.clear()
            go.release()
            limit = time.monotonic() + PATIENCE
            while not published.wait(5):  # a node that is not yet found does not hear it
                if time.monotonic() > limit or not rclpy.ok():
                    sys.exit('no frame comes through: the camera or the node has ended')
                go.release()
            if bar is not None:
                bar.update()

    track_many = tracker.track_many

    def timed(*arguments: Any, **options: Any) -> Any:
        begin = time.monotonic()
        try:
            return track_many(*arguments, **options)
        finally:
            spent['tracker'] += time.monotonic() - begin

    with camera_process(lockstep_camera, options, camera_end, go, stop):
        if not box_end.poll(PATIENCE):
            sys.exit('the camera could not be started')
        box = Box(*box_end.recv())
        show(1)
        node._worker.start_target('', '', box, 0).result(PATIENCE)
        tracker.track_many = timed
        show(30)
        time.sleep(2.5)  # the subscription has changed over to the camera's QoS
        show(10)
        spans.clear()
        with tqdm(total=options.frames, unit=' frames', disable=None) as bar:
            show(options.frames, bar)
        stop.set()
    del tracker.track_many
    spans = {name: values[-options.frames :] for name, values in spans.items()}
    executor.shutdown()
    thread.join(10)

    frames, _ = rendered(options.size)
    target = tracker.start(frames[0], box)
    alone = []
    for _, number in zip(range(options.frames + 30), back_and_forth(len(frames)), strict=False):
        time.sleep(0.005)
        begin = time.monotonic()
        tracker.track_many(frames[number], [target], learn=False)
        alone.append(time.monotonic() - begin)
        tracker.learn(target)
    node.close()
    node.destroy_node()
    listener.destroy_node()
    rclpy.try_shutdown()
    return {
        **node_parameters(options),
        'size': list(options.size),
        'encoding': options.encoding,
        'frames': options.frames,
        **{f'{name}_ms': percentiles(values) for name, values in spans.items()},
        'tracker_alone_ms': percentiles(alone[30:]),
        'machine': describe_machine(),
        'middleware': middleware(),
    }


def overhead_text(result: dict[str, Any]) -> str:
    """The result for a person."""
    rows = [
        [what, *(f'{result[f"{key}_ms"][column]:.2f}' for column in ('median', 'p99'))]
        for what, key in (
            ('callback', 'callback'),
            ('hand-over to the worker', 'hand_over'),
            ('image to RGB', 'decode'),
            ('messages and publishing', 'publish'),
            ('node, all of these', 'overhead'),
            ('tracker, in the node', 'tracker'),
            ('tracker, alone', 'tracker_alone'),
            ('stamp to callback (DDS)', 'transport'),
        )
    ]
    return (
        f'{heading(result)}, {result["frames"]} frames, one at a time\n'
        f'{format_table(["milliseconds", "median", "p99"], rows)}'
    )


def parse_size(text: str) -> tuple[int, int]:
    width, _, height = text.partition('x')
    if not (width.isdecimal() and height.isdecimal()):
        raise argparse.ArgumentTypeError(f'{text!r} is not WIDTHxHEIGHT')
    return int(width), int(height)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--tracker', default='ocean', choices=list_trackers())
    parser.add_argument('--preset', default='compact')
    parser.add_argument('--device', default='auto')
    parser.add_argument('--precision', default='auto')
    parser.add_argument('--weights', default='', help="a file, or 'random'; default: bundled")
    parser.add_argument('--size', type=parse_size, help='default: 640x480; overhead: 1920x1080')
    parser.add_argument('--encoding', default='bgr8', help='of the images (default: bgr8)')
    parser.add_argument('--rate', type=float, default=30.0, help='frames per second')
    parser.add_argument('--minutes', type=float, default=10.0)
    parser.add_argument(
        '--away', type=float, default=0.0, help='seconds that the target is out of sight'
    )
    parser.add_argument('--overhead', action='store_true', help="the node's own time per frame")
    parser.add_argument('--frames', type=int, default=300, help='of --overhead')
    parser.add_argument('--json', type=Path, help='write the result to this file')
    options = parser.parse_args()
    options.size = options.size or ((1920, 1080) if options.overhead else (640, 480))
    isolate(domain='ROS_DOMAIN_ID' not in os.environ)
    result = measure_overhead(options) if options.overhead else measure_latency(options)
    print(overhead_text(result) if options.overhead else latency_text(result))
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(result, indent=1) + '\n')


if __name__ == '__main__':
    main()

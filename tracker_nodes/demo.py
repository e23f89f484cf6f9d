# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""A video, the real nodes, a box: follows an object over ROS 2 and shows how well.

Starts `video_source` and `tracker_node` as processes, as a launch file does, calls `init_target`
on the first frame, collects what is published, and writes a table, an annotated video and a
contact sheet.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
import contextlib
from dataclasses import dataclass
import math
from pathlib import Path
import signal
import subprocess
import sys
import time
from typing import Any

import cv2
import numpy as np
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.task import Future
from std_msgs.msg import Header
from std_srvs.srv import Trigger
from tqdm import tqdm
from tracker_nodes.msg import TrackStatusArray
from tracker_nodes.srv import InitTarget
from vision_msgs.msg import Detection2DArray

from tracker_core import Box, list_trackers, Track, TrackerError, TrackStatus
from tracker_core.boxes import startable
from tracker_core.media.frame_source import FrameSource
from tracker_core.media.overlay import contact_sheet, draw_box, draw_track
from tracker_core.media.sources import open_frames
from tracker_core.media.writer import VideoWriter
from tracker_nodes import stopping
from tracker_nodes.conversions import box_from_message, box_to_message, nanoseconds
from tracker_nodes.executables import executable
from tracker_nodes.isolation import isolate

START_TIMEOUT = 180.0  # seconds for a tracker to load and warm up
TIMEOUT = 40.0  # seconds without news after which something is wrong
ASK_AGAIN = 15.0  # seconds without an answer after which a service is called once more
FIRST_FRAME = 5.0  # seconds in which a tracker usually loads and answers
NAMESPACE = '/demo'
SHEET_FRAMES = 12


class DemoError(Exception):
    """What should have come and did not."""


@dataclass(frozen=True)
class Answer:
    """What was published for one frame of the video.

    Attributes:
        track: The target's box, score and status.
        is_detected: Whether the frame's detections held the target (they do unless it is lost).
        latency: Seconds from the image's stamp to the publication of its detections.
        stamp: Of the image, nanoseconds.
    """

    track: Track
    is_detected: bool
    latency: float
    stamp: int


@dataclass(frozen=True)
class Recording:
    """A video that was followed over ROS.

    Attributes:
        first_box: The box that was given on frame 0.
        sent: Numbers of the frames that were published after it.
        answers: Of these, what came back, by number.
    """

    first_box: Box
    sent: list[int]
    answers: dict[int, Answer]

    @property
    def rate(self) -> float:
        """Answered frames per second of the video's time."""
        stamps = [answer.stamp for answer in self.answers.values()]
        return (len(stamps) - 1) / ((max(stamps) - min(stamps)) / 1e9) if len(stamps) > 1 else 0.0

    def mean_iou(self, truth: list[Box]) -> float:
        """Over the answered frames; one without a detection counts as 0."""
        overlaps = [
            answer.track.box.iou(truth[number]) if answer.is_detected else 0.0
            for number, answer in self.answers.items()
        ]
        return float(np.mean(overlaps)) if overlaps else 0.0


class Viewer(Node):
    """The user of the demo: gives the box and collects what is published."""

    def __init__(self, children: dict[str, subprocess.Popen[bytes]], **options: Any) -> None:
        super().__init__('viewer', namespace=NAMESPACE, **options)
        self._children = children
        self._service_clients: dict[str, Any] = {}
        self.numbers: dict[int, int] = {}  # of the frames, by stamp
        self.detections: dict[int, Detection2DArray] = {}
        self.statuses: dict[int, TrackStatusArray] = {}
        self.create_subscription(Header, 'video_source/frame', self._on_number, 1000)
        self.create_subscription(Detection2DArray, 'detections', self._on_detections, 1000)
        self.create_subscription(TrackStatusArray, 'status', self._on_status, 1000)
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self)

    def _on_number(self, header: Header) -> None:
        self.numbers[nanoseconds(header.stamp)] = int(header.frame_id)

    def _on_detections(self, message: Detection2DArray) -> None:
        self.detections[nanoseconds(message.header.stamp)] = message

    def _on_status(self, message: TrackStatusArray) -> None:
        self.statuses[nanoseconds(message.header.stamp)] = message

    def wait_for(
        self, condition: Callable[[], object], what: str, timeout: float = TIMEOUT
    ) -> None:
        """Take messages until something has come.

        Raises:
            DemoError: It did not come in time, or a process ended on the way.
        """
        end = time.monotonic() + timeout
        while not condition():
            stopping.check()
            self._executor.spin_once(timeout_sec=0.1)
            for name, child in self._children.items():
                if child.poll() not in (None, 0):
                    raise DemoError(f'{name} ended with exit code {child.returncode}; see above')
            if time.monotonic() > end:
                raise DemoError(f'waited {timeout:g} s for {what}, which did not come')

    def call(self, kind: Any, name: str, timeout: float = TIMEOUT, **fields: Any) -> Any:
        """Call a service that may be called twice, and return its answer.

        Asked again where no answer comes: DDS drops an answer whose server has not yet found
        the client's reader, although the client sees the service
        (https://github.com/ros2/ros2/issues/1253). See `wait_for` for the error.
        """
        if name not in self._service_clients:
            self._service_clients[name] = self.create_client(kind, name)
        client = self._service_clients[name]
        self.wait_for(client.service_is_ready, f'the service {name}', timeout)
        futures: list[Future] = []
        asked = -math.inf

        def is_answered() -> bool:
            nonlocal asked
            if time.monotonic() > asked + ASK_AGAIN:
                futures.append(client.call_async(kind.Request(**fields)))
                asked = time.monotonic()
            return any(future.done() for future in futures)

        self.wait_for(is_answered, f'the answer of {name}', timeout)
        return next(future.result() for future in futures if future.done())

    def start(self, box: Box) -> None:
        """Call init_target, as soon as the tracker has been loaded and has seen a frame.

        Raises:
            DemoError: The box or the tracker is refused, or no frame came.
        """
        request = {'id': 'target', 'bbox': box_to_message(box)}
        end = time.monotonic() + TIMEOUT + START_TIMEOUT
        while True:
            with contextlib.suppress(DemoError):  # it may have come before anybody listened here
                self.wait_for(lambda: self.statuses, 'the first frame', FIRST_FRAME)
            answer = self.call(InitTarget, 'init_target', START_TIMEOUT, **request)
            if answer.success:
                return
            if answer.error_code != InitTarget.Response.NO_IMAGE or time.monotonic() > end:
                raise DemoError(f'init_target refused: {answer.message}')

    def answers(self) -> dict[int, Answer]:
        """What has come of the frames after the first, by number."""
        result = {}
        for stamp, number in sorted(self.numbers.items()):
            status = self.statuses.get(stamp)
            if number == 0 or status is None or stamp not in self.detections:
                continue
            for target in status.targets:
                track = Track(
                    box_from_message(target.bbox),
                    target.score,
                    TrackStatus(target.state),
                    target.raw_score,
                )
                is_detected = any(d.id == target.id for d in self.detections[stamp].detections)
                result[number] = Answer(track, is_detected, status.latency, stamp)
        return result


@contextlib.contextmanager
def nodes(**parameters: dict[str, Any]) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """Nodes of this package as processes, by name, each with its parameters; ended on the way
    out."""
    children: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for name, values in parameters.items():
            command = [sys.executable, str(executable('tracker_nodes', name)), '--ros-args']
            command += ['-r', f'__ns:={NAMESPACE}', '--log-level', 'warn']
            for key, value in values.items():
                text = str(value).lower() if isinstance(value, bool) else str(value)
                command += ['-p', f'{key}:={text}' if text else f"{key}:=''"]
            # In a session of its own a Ctrl-C reaches it once, from here.
            with stopping.blocked():
                children[name] = subprocess.Popen(command, start_new_session=True)
        yield children
    finally:
        for child in children.values():
            if child.poll() is None:
                child.send_signal(signal.SIGINT)
        # Asked to end itself, this process has not long to live.
        patience = time.monotonic() + (stopping.GRACE - 0.3 if stopping.is_requested() else 15.0)
        for child in children.values():
            try:
                child.wait(max(0.0, patience - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def follow(
    video: str,
    box: Box,
    tracker: dict[str, Any],
    lockstep: bool = False,
    frames: int = 0,
    shows_progress: bool = False,
) -> Recording:
    """Play a video to a tracker_node and record what it publishes.

    Args:
        video: See `open_frames`.
        box: The object in the first frame.
        tracker: Parameters of tracker_node.
        lockstep: Wait for the detections of each frame before the next, instead of real time.
        frames: End after so many frames; 0 for all.
        shows_progress: With a progress bar on stderr.

    Raises:
        DemoError: Something did not come in time; what, is said.
    """
    source = {'video': video, 'start_paused': True, 'lockstep': lockstep, 'frames': frames}
    context = rclpy.Context()
    rclpy.init(context=context)
    with contextlib.ExitStack() as stack:
        stack.callback(rclpy.try_shutdown, context=context)
        children = stack.enter_context(nodes(tracker_node=tracker, video_source=source))
        viewer = Viewer(children, context=context)
        stack.callback(viewer.destroy_node)

        viewer.start(box)
        viewer.call(Trigger, 'video_source/play')

        player = children['video_source']
        known = 0

        def goes_on() -> bool:
            return len(viewer.detections) > known or player.poll() is not None

        with tqdm(unit=' frames', disable=not shows_progress) as bar:
            while player.poll() is None:
                known = len(viewer.detections)
                viewer.wait_for(goes_on, 'detections')
                bar.update(len(viewer.detections) - known)
        with contextlib.suppress(DemoError):  # the last messages, if they are still on the way
            sent = [n for n in viewer.numbers.values() if n > 0]
            viewer.wait_for(lambda: len(viewer.answers()) == len(sent), 'the last frame', 1.0)
        return Recording(
            box, sorted({n for n in viewer.numbers.values() if n > 0}), viewer.answers()
        )


def write_pictures(
    recording: Recording, video: FrameSource, video_path: Path, sheet_path: Path
) -> Path:
    """Draw box and, where it is known, truth (white) on the frames; returns the video's path.

    A frame without an answer shows the box of the last one.
    """
    last = max(recording.sent, default=0)
    chosen = set(np.linspace(0, last, SHEET_FRAMES).round().astype(int).tolist())
    shown = Track(recording.first_box, 1.0, TrackStatus.TRACKING, 1.0)
    sheet = []
    with VideoWriter(video_path, video.fps) as writer:
        for number, frame in enumerate(video):
            stopping.check()
            if number > last:
                break
            if number in recording.answers:
                shown = recording.answers[number].track
            if video.boxes is not None:
                draw_box(frame, video.boxes[number])
            draw_track(frame, shown, f'{number}')
            writer.write(frame)
            if number in chosen:
                sheet.append(frame)
    cv2.imwrite(str(sheet_path), cv2.cvtColor(contact_sheet(sheet), cv2.COLOR_RGB2BGR))
    return writer.path


def table(recording: Recording, truth: list[Box] | None) -> str:
    """The figures of a recording, as text."""
    latencies = [1000 * answer.latency for answer in recording.answers.values()] or [float('nan')]
    median, p99 = np.percentile(latencies, (50, 99))
    rows = {
        'frames sent': f'{len(recording.sent)}',
        'frames answered': f'{len(recording.answers)}',
        **({} if truth is None else {'mean IoU': f'{recording.mean_iou(truth):.3f}'}),
        'rate': f'{recording.rate:.1f} Hz',
        'latency, median': f'{median:.1f} ms',
        'latency, p99': f'{p99:.1f} ms',
    }
    return '\n'.join(f'  {name:<18}{value:>10}' for name, value in rows.items())


def parse_box(text: str) -> Box:
    """'x,y,w,h' in pixels, x and y of the top-left corner."""
    try:
        return startable(Box(*(float(number) for number in text.split(','))))
    except (TypeError, ValueError) as error:
        raise argparse.ArgumentTypeError(f'{text!r} is not x,y,w,h: {error}') from None


def main(arguments: list[str] | None = None) -> int:
    """Run the demo; returns the exit code."""
    parser = argparse.ArgumentParser(prog='python3 -m tracker_nodes.demo', description=__doc__)
    parser.add_argument('--tracker', default='ocean', choices=list_trackers())
    parser.add_argument('--preset', default='compact')
    parser.add_argument('--device', default='auto')
    parser.add_argument('--weights', default='', help="a file, or 'random'; default: bundled")
    parser.add_argument(
        '--video', default='scene', help='file, folder of images, or scene[:NAME] (default)'
    )
    parser.add_argument('--box', type=parse_box, help='x,y,w,h of the object in the first frame')
    parser.add_argument('--frames', type=int, default=0, help='end after so many frames')
    parser.add_argument(
        '--lockstep', action='store_true', help='wait for every answer instead of real time'
    )
    parser.add_argument('--out', type=Path, default=Path('out'), help='folder for the pictures')
    options = parser.parse_args(arguments)
    stopping.end_orderly()  # ended from outside, the nodes are ended too
    try:
        video = open_frames(options.video)
        if not video.is_repeatable:
            video.close()
            raise DemoError(
                f'{video.name} cannot be played twice, to be followed and to be drawn on; give a '
                'file, a folder of images or a scene'
            )
        box = options.box or (video.boxes[0] if video.boxes else None)
        if box is None:
            parser.error('--box x,y,w,h is needed: where is the object in the first frame?')
        isolate(domain=False)
        print(f'{options.tracker} {options.preset} follows {video.name}', flush=True)
        tracker = {
            key: getattr(options, key) for key in ('tracker', 'preset', 'device', 'weights')
        }
        recording = follow(
            options.video, box, tracker, options.lockstep, options.frames, shows_progress=True
        )
        print(table(recording, video.boxes))
        sheet = options.out / f'demo_{options.tracker}.png'
        print(write_pictures(recording, video, sheet.with_suffix('.mp4'), sheet))
        print(sheet)
    except (DemoError, TrackerError) as error:
        print(f'demo: {error}', file=sys.stderr)
        return 1
    except stopping.StoppedError:
        print('demo: interrupted', file=sys.stderr)
    return 0


if __name__ == '__main__':
    stopping.execute(main)

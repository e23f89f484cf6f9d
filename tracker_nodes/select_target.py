# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""A window in which a box is drawn around what is to be followed.

Needs a display and an OpenCV that was built with windows. Nothing here needs torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
import os
import subprocess
import sys
import time
from typing import Any, Protocol

from builtin_interfaces.msg import Time
import cv2
import numpy as np
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.task import Future
from sensor_msgs.msg import CompressedImage, Image
from std_srvs.srv import Trigger
from tracker_nodes.srv import InitTarget, RemoveTarget
from vision_msgs.msg import Detection2DArray

from tracker_core import Box, BoxError, ImageError, TrackerError
from tracker_core.media.encodings import compressed_to_rgb, to_rgb
from tracker_core.media.gray import GrayRange
from tracker_core.parameters import parameter
from tracker_nodes.conversions import box_from_message, box_to_message, nanoseconds
from tracker_nodes.declaring import declare_config
from tracker_nodes.images_config import ImagesConfig
from tracker_nodes.process import run
from tracker_nodes.qos import type_name
from tracker_nodes.selection import Mouse, Request, Selection, View
from tracker_nodes.silence import Silence
from tracker_nodes.stopping import execute

TITLE = 'select_target'
RATE = 30.0  # times a second that the window is drawn
PATIENCE = 20.0  # seconds in which a service answers, or its answer has been lost on the way
MOUSE_EVENTS = {
    cv2.EVENT_LBUTTONDOWN: Mouse.DOWN,
    cv2.EVENT_MOUSEMOVE: Mouse.MOVE,
    cv2.EVENT_LBUTTONUP: Mouse.UP,
}


@dataclass(frozen=True)
class SelectConfig(ImagesConfig):
    """The parameters of `select_target`."""

    label: str = parameter('', "What is followed: the label of the targets; empty for 'target'.")


class Window(Protocol):
    """Where the picture is shown and where keys and mouse come from."""

    def show(self, rgb: np.ndarray) -> None:
        """Show an (H, W, 3) uint8 RGB image, and hand over what the mouse did."""

    def key(self) -> str:
        """The key that was pressed since the last call, or an empty text; 'q' if the window was
        closed."""

    def close(self) -> None:
        """Take the window away."""


class OpenCvWindow:
    """A window of OpenCV's.

    Args:
        on_mouse: Called with each event of the left button and the pixel that it is over.

    Raises:
        TrackerError: There is no display, or this OpenCV has no windows.
    """

    def __init__(self, on_mouse: Callable[[Mouse, int, int], None]) -> None:
        check_display()
        try:
            cv2.namedWindow(TITLE, cv2.WINDOW_AUTOSIZE | cv2.WINDOW_GUI_NORMAL)
            cv2.setMouseCallback(
                TITLE,
                lambda event, x, y, *_: (
                    on_mouse(MOUSE_EVENTS[event], x, y) if event in MOUSE_EVENTS else None
                ),
            )
        except cv2.error as error:
            raise TrackerError(f'OpenCV cannot open a window: {error.err}') from error

    def show(self, rgb: np.ndarray) -> None:
        cv2.imshow(TITLE, cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))

    def key(self) -> str:
        code = cv2.waitKey(1)
        try:
            if cv2.getWindowProperty(TITLE, cv2.WND_PROP_VISIBLE) < 1:
                return 'q'
        except cv2.error:  # some back ends have forgotten a closed window
            return 'q'
        return chr(code & 0xFF) if code >= 0 else ''

    def close(self) -> None:
        cv2.destroyAllWindows()


def check_display() -> None:
    """Tell what is missing for a window; OpenCV would abort the process, so another one tries.

    Raises:
        TrackerError: Something is; the message says what to do.
    """
    line = next((x for x in cv2.getBuildInformation().splitlines() if 'GUI:' in x), 'GUI: NONE')
    if 'NONE' in line:
        raise TrackerError(
            'this OpenCV has no windows (opencv-python-headless): install opencv-python in its '
            'place, or apt python3-opencv; without a window call the service init_target'
        )
    names = ('DISPLAY', 'WAYLAND_DISPLAY')
    given = ', '.join(f'{name}={os.environ[name]}' for name in names if os.environ.get(name))
    trial = [sys.executable, '-c', "import cv2; cv2.namedWindow('trial')"]
    if not given or subprocess.run(trial, capture_output=True).returncode != 0:
        raise TrackerError(
            f'there is no display ({given or " and ".join(names) + " are not set"}): run '
            'select_target on a machine with a screen, in the same ROS domain, or call the '
            'service init_target'
        )


class SelectTarget(Node):
    """Shows `image` with the boxes of `detections`, and calls `init_target` with what is drawn.

    Args:
        make_window: Opens the window.
        **options: Of the ROS node.

    Raises:
        TrackerError: There is no window to be had, or a parameter does not fit.
    """

    is_over = False

    def __init__(
        self,
        make_window: Callable[[Callable[[Mouse, int, int], None]], Window] = OpenCvWindow,
        **options: Any,
    ) -> None:
        super().__init__('select_target', **options)
        self._config = declare_config(self, SelectConfig)
        self._selection = Selection()
        self._window = make_window(self._on_mouse)
        self._asked: list[tuple[float, Any, Future]] = []  # until when which client waits for what
        self._started: list[str] = []  # targets that were started here, the newest last
        self._message: Image | CompressedImage | None = None  # the newest
        self._known: tuple[tuple[str, Box], ...] = ()

        is_compressed = self._config.image_transport == 'compressed'
        self._decode = compressed_to_rgb if is_compressed else to_rgb
        self._gray = GrayRange(self._config.bit_depth)
        # Best effort takes what any publisher offers.
        newest = QoSProfile(
            depth=1, history=HistoryPolicy.KEEP_LAST, reliability=ReliabilityPolicy.BEST_EFFORT
        )
        kind = CompressedImage if is_compressed else Image
        self._topic = self.resolve_topic_name('image') + ('/compressed' if is_compressed else '')
        self._silence = Silence(self, self._topic, type_name(kind))
        self.create_subscription(kind, self._topic, self._on_image, newest)
        self.create_subscription(Detection2DArray, 'detections', self._on_detections, 10)
        self._init = self.create_client(InitTarget, 'init_target')
        self._remove = self.create_client(RemoveTarget, 'remove_target')
        self._reset = self.create_client(Trigger, 'reset')
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(1 / RATE, self._on_timer, clock=steady)
        self.create_timer(1.0, self._on_second, clock=steady)

    def close(self) -> None:
        """Take the window away."""
        self._window.close()

    def _on_image(self, message: Image | CompressedImage) -> None:
        self._message = message
        self._silence.end()

    def _on_second(self) -> None:
        publishers = self.get_publishers_info_by_topic(self._topic)
        if silence := self._silence.sentence(publishers, lambda publisher: True):
            self._say(silence)
        now, asked = time.monotonic(), self._asked
        self._asked = [each for each in asked if now < each[0] and not each[2].done()]
        for end, client, future in asked:
            if now >= end and not future.done():
                client.remove_pending_request(future)
                self._say(
                    f'{client.srv_name} has not answered: if nothing has come of it, try again'
                )

    def _on_detections(self, message: Detection2DArray) -> None:
        boxes = []
        for detection in message.detections:
            try:
                boxes.append((detection.id, box_from_message(detection.bbox)))
            except BoxError:
                continue
        self._known = tuple(boxes)

    def _on_timer(self) -> None:
        if self._message is not None:
            message, self._message = self._message, None
            try:
                stamp = nanoseconds(message.header.stamp)
                image = self._decode(message, self._gray.at(stamp))
                self._selection.put(View(image, stamp, self._known))
            except ImageError as error:
                self._say(str(error))
        self._window.show(self._selection.render())
        self._on_key(self._window.key())

    def _on_key(self, key: str) -> None:
        if key in ('q', '\x1b'):
            self.is_over = True
        elif key == ' ':
            self._selection.toggle_hold()
        elif key == 'r':
            self._started.clear()
            self._call(self._reset, Trigger.Request(), lambda answer: self._say(answer.message))
        elif key == 'u' and self._started:
            request = RemoveTarget.Request(id=self._started.pop())
            self._call(self._remove, request, lambda answer: self._say(answer.message))

    def _on_mouse(self, event: Mouse, x: int, y: int) -> None:
        request = self._selection.mouse(event, x, y)
        if request is not None:
            self._start(request)

    def _start(self, request: Request) -> None:
        stamp = Time(sec=request.stamp // 10**9, nanosec=request.stamp % 10**9)
        message = InitTarget.Request(
            bbox=box_to_message(request.box), stamp=stamp, label=self._config.label
        )
        self._call(self._init, message, self._on_answer)

    def _on_answer(self, answer: InitTarget.Response) -> None:
        if answer.success:
            self._started.append(answer.id)
            self._say(f'following {answer.id}')
        elif answer.error_code == InitTarget.Response.STAMP_NOT_FOUND:
            self._say(
                'tracker_node does not have that frame (any more): draw on a newer one, or raise '
                'history_seconds'
            )
        else:
            self._say(f'refused: {answer.message}')

    def _call(self, client: Any, request: Any, on_answer: Callable[[Any], None]) -> None:
        if not client.service_is_ready():
            self._say(f'there is no service {client.srv_name}: is tracker_node running?')
            return
        self._say(f'{client.srv_name} ...')
        future = client.call_async(request)
        future.add_done_callback(lambda future: on_answer(future.result()))
        self._asked.append((time.monotonic() + PATIENCE, client, future))

    def _say(self, sentence: str) -> None:
        self._selection.message = sentence
        self.get_logger().info(sentence)


def main(arguments: list[str] | None = None) -> int:
    """Run until 'q' is pressed, the window is closed, or it is interrupted."""
    return run(SelectTarget, arguments)


if __name__ == '__main__':
    execute(main)

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Serves a page on which the camera's picture is to be seen in any browser, and a box is drawn
around what is to be followed.

Images are subscribed to only while somebody looks. Nothing here needs torch.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
import numpy as np
from rcl_interfaces.msg import Log
from rclpy.clock import Clock, ClockType
from rclpy.logging import LoggingSeverity
from rclpy.node import Node
from tracker_nodes.msg import TrackStatusArray

from tracker_core import BoxError, TrackerError
from tracker_core.extras import need
from tracker_core.page.state import Notice, PageState, Picture, TargetView
from tracker_core.target import TrackStatus
from tracker_nodes.conversions import box_from_message, nanoseconds
from tracker_nodes.declaring import declare_config
from tracker_nodes.frames import Frame
from tracker_nodes.image_input import image_topic, ImageInput
from tracker_nodes.operator_config import OperatorConfig
from tracker_nodes.picture_join import PictureJoin
from tracker_nodes.process import run
from tracker_nodes.qos import given_overrides, override_names
from tracker_nodes.stopping import execute

STATES = 5.0  # times a second that the page is told how all is doing
SILENCE = 2.0  # seconds after which what was told last does not hold any more
NOTICES = 10  # that are kept
RATE_OVER = 20  # images that the rate is taken over


class OperatorNode(Node):
    """See docs/operator.md.

    Raises:
        ParameterError: A parameter does not fit, the port is taken, or aiohttp is not installed.
    """

    is_over = False  # it runs until it is interrupted

    def __init__(self, **options: Any) -> None:
        super().__init__('operator', **options)
        topics = [image_topic(self, is_compressed) for is_compressed in (False, True)]
        known = [name for t in topics for name in override_names(t, 'subscription').values()]
        self._config = config = declare_config(self, OperatorConfig, known)
        need('aiohttp', 'the page', 'operator')
        from tracker_core.page.server import PageServer
        from tracker_nodes.operator_desk import choices, OperatorDesk

        self._is_compressed = config.image_transport == 'compressed'
        # What is wrong with them is said now, not when somebody looks.
        given_overrides(self, topics[self._is_compressed], 'subscription')
        self._input: ImageInput | None = None
        self._viewers = 0
        self._join = PictureJoin()
        self._state = PageState(choices=choices())
        self._state_told = -SILENCE  # time.monotonic() of the last status
        self._arrivals: deque[float] = deque(maxlen=RATE_OVER)  # time.monotonic() of status
        self._notices: deque[Notice] = deque(maxlen=NOTICES)
        self._health_told = -SILENCE
        self._problem = ''

        tracker = self.resolve_topic_name(config.tracker_node)
        self._diagnosed = f'{tracker.lstrip("/")}: tracker'
        self._logs = {tracker.strip('/').replace('/', '.'), self.get_logger().name}
        self.create_subscription(TrackStatusArray, 'status', self._on_status, 10)
        self.create_subscription(DiagnosticArray, '/diagnostics', self._on_diagnostics, 10)
        self.create_subscription(Log, '/rosout', self._on_log, 50)
        self._changed = self.create_guard_condition(self._on_viewers)
        steady = Clock(clock_type=ClockType.STEADY_TIME)  # simulated time may stand still
        self.create_timer(1 / STATES, self._tell, clock=steady)
        self.create_timer(1.0, self._on_second, clock=steady)
        desk = OperatorDesk(self, config.tracker_node, config.label)
        self._server = PageServer(config, desk, self._set_viewers)
        self._server.open()
        # Not by the logger: its messages go to a topic and to files, and this has the token.
        print(f'operator: open {self.url}', flush=True)

    @property
    def url(self) -> str:
        """Of the page, with the token."""
        return self._server.url

    def close(self) -> None:
        """Send the viewers away."""
        self._server.close()
        self._unsubscribe()

    # Images

    def _set_viewers(self, count: int) -> None:
        """Called in the page's thread."""
        self._viewers = count
        self._changed.trigger()

    def _on_viewers(self) -> None:
        if self._viewers and self._input is None:
            self._input = ImageInput(
                self, self._is_compressed, self._on_frame, self._config.bit_depth
            )
        elif not self._viewers:
            self._unsubscribe()

    def _unsubscribe(self) -> None:
        if self._input is not None:
            self._input.close()
        self._input = None
        self._join.clear()

    def _on_frame(self, frame: Frame) -> None:
        self._show(self._join.put_frame(frame, time.monotonic()))

    def _show(self, picture: Picture | None) -> None:
        if picture is not None:
            self._server.show(replace(picture, decode=lambda: self._decoded(picture)))

    def _decoded(self, picture: Picture) -> np.ndarray:
        """Called in a thread of the page's."""
        try:
            return picture.decode()
        except Exception as error:
            kind = '' if isinstance(error, TrackerError) else f'{type(error).__name__}: '
            self.get_logger().warning(
                f'an image cannot be shown: {kind}{error}', throttle_duration_sec=5.0
            )
            raise

    # What the tracker tells

    def _on_status(self, message: TrackStatusArray) -> None:
        now = time.monotonic()
        targets = []
        for target in message.targets:
            try:
                status, box = TrackStatus(target.state), box_from_message(target.bbox)
            except (BoxError, ValueError):
                continue  # of another node, which has its own idea of a target
            targets.append(TargetView(target.id, target.label, status, target.score, box))
        self._arrivals.append(now)
        self._state_told = now
        self._state = replace(
            self._state,
            tracker=message.tracker,
            preset=message.preset,
            targets=targets,
            latency=message.latency,
            dropped=message.dropped_frames,
        )
        if self._input is not None:
            stamp = nanoseconds(message.header.stamp)
            self._show(self._join.put_targets(stamp, targets, now))

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name != self._diagnosed:
                continue
            self._health_told = time.monotonic()
            is_fine = status.level == DiagnosticStatus.OK
            self._problem = '' if is_fine else status.message
            values = {each.key: each.value for each in status.values}
            tracker, _, preset = values.get('tracker', '').partition(' ')
            self._state = replace(
                self._state,
                tracker=tracker or self._state.tracker,
                preset=preset or self._state.preset,
                is_paused=values.get('enabled') == 'False',
            )

    def _on_log(self, message: Log) -> None:
        if message.name in self._logs and message.level >= LoggingSeverity.WARN:
            self._notices.append(Notice(time.time(), True, message.msg[:500]))

    # What the page is told

    def _on_second(self) -> None:
        if self._input is not None:
            self._input.look_around(0.0)

    def _tell(self) -> None:
        if not self._viewers:
            return
        now = time.monotonic()
        problem = self._problem
        if now - self._health_told > SILENCE:
            problem = f'{self._diagnosed.partition(":")[0]} is not running'
        elif not problem and self._input is not None:
            problem = self._input.problem(0.0)
        is_silent = now - self._state_told > SILENCE
        if is_silent:
            self._arrivals.clear()
        span = self._arrivals[-1] - self._arrivals[0] if len(self._arrivals) > 1 else 0.0
        self._server.tell(
            replace(
                self._state,
                targets=() if is_silent and not self._state.is_paused else self._state.targets,
                rate=(len(self._arrivals) - 1) / span if span > 0 else 0.0,
                problem=problem,
                notices=tuple(self._notices),
            )
        )


def main(arguments: list[str] | None = None) -> int:
    """Run the node until it is interrupted."""
    return run(OperatorNode, arguments)


if __name__ == '__main__':
    execute(main)

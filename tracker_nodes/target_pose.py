# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The node that makes places in the world of boxes in images; a lifecycle node that starts itself.

Nothing here needs torch: a frame costs a look at some pixels of the depth image and small
matrices, so the executor's thread does it all.
"""

from __future__ import annotations

from collections import deque
from functools import partial
import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import PoseStamped, PoseWithCovarianceStamped, Vector3Stamped
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.publisher import Publisher
from std_msgs.msg import Header
from tracker_nodes.msg import TrackStatus as Status
from tracker_nodes.msg import TrackStatusArray
from vision_msgs.msg import Detection2DArray, Detection3DArray
from visualization_msgs.msg import MarkerArray

from tracker_core.errors import BoxError, ParameterError
from tracker_core.pose.locate import Observation, TargetLocator, View
from tracker_core.pose.transform import RigidTransform
from tracker_core.target import TrackStatus
from tracker_nodes.camera_info import CameraInput
from tracker_nodes.conversions import box_from_message, nanoseconds
from tracker_nodes.declaring import declare_live_config, warn_of_unknown
from tracker_nodes.depth_input import depth_topic, DepthInput
from tracker_nodes.diagnostics import diagnostic_status, Timings
from tracker_nodes.fixed_frame import FixedFrame
from tracker_nodes.follow_config import FollowConfig
from tracker_nodes.pose_messages import (
    bearing_messages,
    detection_3d_message,
    Located,
    marker_message,
    plain,
    pose_message,
    stamped,
)
from tracker_nodes.process import configure_and_activate, run, started
from tracker_nodes.qos import given_overrides, override_names, publisher_with_overrides
from tracker_nodes.stopping import execute

MOST_WAITING = 64  # frames
LOOK_AGAIN = 0.02  # seconds, while a frame waits
SILENCE = 2.0  # seconds without targets after which diagnostics say so


class TargetPose(LifecycleNode):
    """See docs/follow_me.md.

    Raises:
        ParameterError: A parameter that was given at start-up does not fit.
    """

    is_over = False  # it runs until it is interrupted

    def __init__(self, **options: Any) -> None:
        super().__init__('target_pose', **options)
        self._is_configured = False
        self._config = declare_live_config(
            self, FollowConfig, lambda: self._is_configured, self._accept
        )
        self._locators: dict[str, TargetLocator] = {}
        self._camera: CameraInput | None = None
        self._depth: DepthInput | None = None
        self._fixed: FixedFrame | None = None
        self._subscriptions_here: list[Any] = []
        self._waiting: deque[tuple[TrackStatusArray, float]] = deque(maxlen=MOST_WAITING)
        self._other_frames: set[tuple[str, str]] = set()  # that have been told
        self._timings = Timings()
        self._frame_seen = 0.0  # time.monotonic() of the last frame with its targets
        self._sources = ''  # of the last frame's ranges

        self._qos_problem = ''
        self._target_pose = self._create(PoseWithCovarianceStamped, 'target_pose')
        self._pose = self._create(PoseStamped, 'pose')
        self._detections = self._create(Detection3DArray, 'detections_3d')
        self._bearing = self._create(Vector3Stamped, 'bearing')
        self._bearing_rate = self._create(Vector3Stamped, 'bearing_rate')
        self._markers = self._create(MarkerArray, 'target_markers')
        self._diagnostics = self._create(DiagnosticArray, '/diagnostics')
        names: list[str] = []
        for transport in ('raw', 'compressedDepth'):
            topic = depth_topic(self, transport)
            names += override_names(topic, 'subscription').values()
            try:
                given_overrides(self, topic, 'subscription')
            except ParameterError as error:
                self._qos_problem = str(error)
        steady = Clock(clock_type=ClockType.STEADY_TIME)  # simulated time may stand still
        self.create_timer(1.0, self._on_second, clock=steady)
        self._retry = self.create_timer(LOOK_AGAIN, self._work, clock=steady)
        self._retry.cancel()
        warn_of_unknown(self, names)

    # Lifecycle

    def start(self) -> None:
        """Configure and activate, unless the parameter autostart says otherwise."""
        configure_and_activate(self, self._config.autostart)

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        if self._qos_problem:
            self.get_logger().error(self._qos_problem)
            return TransitionCallbackReturn.FAILURE
        self._is_configured = True
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._camera = CameraInput(self, self._config)
        if self._config.depth_transport != 'none':
            self._depth = DepthInput(self, self._config, self._work)
        self._subscriptions_here = [
            self.create_subscription(TrackStatusArray, 'status', self._take, 10),
            self.create_subscription(Detection2DArray, 'detections', self._on_detections, 10),
        ]
        self._fixed = FixedFrame(self, self._config)
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._unsubscribe()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._is_configured = False
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        self.close()
        return TransitionCallbackReturn.SUCCESS

    def close(self) -> None:
        """End all subscriptions; the node can then be destroyed."""
        self._unsubscribe()

    def _unsubscribe(self) -> None:
        for subscription in self._subscriptions_here:
            self.destroy_subscription(subscription)
        if self._camera is not None:
            self._camera.close()
        if self._depth is not None:
            self._depth.close()
        if self._fixed is not None:
            self._fixed.close()
        self._subscriptions_here = []
        self._camera = self._depth = self._fixed = None
        self._waiting.clear()
        self._retry.cancel()
        self._locators.clear()

    def _create(self, kind: type, topic: str) -> Publisher:
        publisher, problem = publisher_with_overrides(self, kind, topic, 10)
        self._qos_problem = self._qos_problem or problem
        return publisher

    def _accept(self, config: FollowConfig) -> None:
        self._config = config
        for locator in self._locators.values():
            locator.config = config
        if self._camera is not None:
            self._camera.reconfigure(config)
        if self._depth is not None:
            self._depth.config = config
        if self._fixed is not None:
            self._fixed.reconfigure(config)

    # Frames

    def _on_detections(self, message: Detection2DArray) -> None:
        """Detections of other nodes, which have no states: what is detected is believed."""
        if self.count_publishers(self.resolve_topic_name('status')):
            return
        array = TrackStatusArray(header=message.header)
        for number, detection in enumerate(message.detections):
            best = max(
                (result.hypothesis for result in detection.results),
                key=lambda hypothesis: hypothesis.score,
                default=None,
            )
            label, score = ('', 0.0) if best is None else (best.class_id, best.score)
            name = detection.id or f'{label}_{number}'
            array.targets.append(
                Status(
                    id=name,
                    label=label,
                    score=score,
                    state=Status.TRACKING,
                    bbox=detection.bbox,
                )
            )
        self._take(array)

    def _take(self, message: TrackStatusArray) -> None:
        self._frame_seen = time.monotonic()
        self._waiting.append((message, self._frame_seen))
        self._work()

    def _work(self) -> None:
        """Locate the targets of the frames whose turn has come, in their order."""
        while self._waiting:
            message, since = self._waiting[0]
            waited = time.monotonic() - since
            if waited < self._config.patience and self._has_to_wait(message.header):
                self._retry.reset()
                return
            self._waiting.popleft()
            self._locate(message, since)
        self._retry.cancel()

    def _has_to_wait(self, header: Header) -> bool:
        if self._depth is not None and self._depth.is_coming(nanoseconds(header.stamp)):
            return True
        return self._fixed is not None and self._fixed.is_known and not self._fixed.of(header)

    def _locate(self, message: TrackStatusArray, since: float) -> None:
        assert self._camera is not None  # only what is active takes frames
        assert self._fixed is not None
        camera = self._camera.model
        if camera is None:
            return  # which has been said
        header = message.header
        stamp = nanoseconds(header.stamp)
        self._check_frames(header.frame_id, self._camera.frame_id)
        to_fixed = self._fixed.of(header)
        if to_fixed is None and self._fixed.is_known:
            return  # rather than jump between two frames
        depth = None
        if self._depth is not None and message.targets:
            depth = self._depth.of_frame(stamp, header.frame_id, camera)
        view = View(camera, depth, self._fixed.ground(header), to_fixed)
        located = []
        for target in message.targets:
            try:
                box = box_from_message(target.bbox)
                status = TrackStatus(target.state)
            except (BoxError, ValueError) as error:
                self.get_logger().warning(
                    f'target {target.id!r} is left out: {error}', throttle_duration_sec=5.0
                )
                continue
            locator = self._locators.setdefault(target.id, TargetLocator(self._config))
            seen = Observation(stamp, status, box, target.label)
            estimate = locator.observe(seen, view)
            if estimate is not None:
                located.append(Located(target.id, target.label, target.score, status, estimate))
        names = {target.id for target in message.targets}
        self._locators = {name: each for name, each in self._locators.items() if name in names}
        self._publish(header, located, to_fixed)
        age = (self.get_clock().now().nanoseconds - stamp) / 1e9
        self._timings.add(age, time.monotonic() - since)

    def _publish(
        self, header: Header, located: list[Located], to_fixed: RigidTransform | None
    ) -> None:
        frame = header.frame_id if to_fixed is None else self._config.fixed_frame
        placed = Header(stamp=header.stamp, frame_id=frame)
        wanted = self._config.target
        chosen = [each for each in located if wanted in ('', each.id)]
        if chosen:
            for publisher, message in zip(
                (self._bearing, self._bearing_rate),
                bearing_messages(header, chosen[0].estimate.bearing),
                strict=True,
            ):
                publisher.publish(message)
        detections = []
        is_first = True
        for each in located:
            if each.estimate.position is None:
                continue
            pose = pose_message(each.estimate, to_fixed)
            self._target_pose.publish(stamped(placed, pose))
            detections.append((each, detection_3d_message(placed, each, pose)))
            if is_first and each in chosen:
                is_first = False
                self._pose.publish(plain(placed, pose))
                if self._fixed is not None:
                    self._fixed.publish(placed, pose.pose)
        self._detections.publish(
            Detection3DArray(header=placed, detections=[message for _, message in detections])
        )
        if self._markers.get_subscription_count():
            self._markers.publish(marker_message(placed, detections))
        self._sources = ', '.join(f'{e.id}: {e.estimate.source.name.lower()}' for e in located)

    def _check_frames(self, of_image: str, of_camera: str) -> None:
        if of_image != of_camera and (of_image, of_camera) not in self._other_frames:
            self._other_frames.add((of_image, of_camera))
            self.get_logger().warning(
                f'the images are in the frame {of_image!r} and camera_info is of {of_camera!r}: '
                'are they of one camera?'
            )

    # Diagnostics

    def _on_second(self) -> None:
        if self._camera is not None:
            self._camera.look_around()
        if self._depth is not None:
            self._depth.look_around()
        message = DiagnosticArray(status=[self._health()])
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(message)

    def _health(self) -> DiagnosticStatus:
        level, message = DiagnosticStatus.OK, 'targets arrive'
        if self._qos_problem:
            level, message = DiagnosticStatus.ERROR, self._qos_problem
        elif self._camera is None:
            message = 'not active'
        elif self._camera.problem:
            level, message = DiagnosticStatus.WARN, self._camera.problem
        elif time.monotonic() - self._frame_seen > SILENCE:
            topic = self.resolve_topic_name('status')
            level, message = DiagnosticStatus.WARN, f'nothing on {topic} for {SILENCE:g} s'
        elif self._depth is not None and (problem := self._depth.problem):
            level, message = DiagnosticStatus.WARN, problem
        values: dict[str, object] = dict(self._timings.values())
        values['ranges by'] = self._sources
        name = f'{self.get_fully_qualified_name().lstrip("/")}: poses'
        return diagnostic_status(name, level, message, '', values)


def main(arguments: list[str] | None = None) -> int:
    """Run the node until it is interrupted."""
    return run(partial(started, TargetPose), arguments)


if __name__ == '__main__':
    execute(main)

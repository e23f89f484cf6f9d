# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The node: images in, detections out; a lifecycle node that starts itself.

Two threads. The executor's thread runs the callbacks: it hands each image and each request over to
the worker's thread, which owns the tracker (see `worker`). What the worker finds out it publishes
itself.
"""

from __future__ import annotations

from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from functools import partial
import gc
import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    qos_profile_sensor_data,
    QoSProfile,
    ReliabilityPolicy,
)
from sensor_msgs.msg import CompressedImage, Image
from std_srvs.srv import SetBool, Trigger
from tracker_nodes.msg import TrackStatusArray
from tracker_nodes.srv import InitTarget, RemoveTarget
from vision_msgs.msg import Detection2D, Detection2DArray

from tracker_core import BoxError, create_tracker, Tracker, TrackerError, TrackStatus
from tracker_core.evaluation.overlay import draw_track
from tracker_nodes.conversions import (
    box_from_message,
    detection_message,
    nanoseconds,
    status_message,
)
from tracker_nodes.diagnostics import diagnostic_status, Timings
from tracker_nodes.encodings import (
    compressed_to_rgb,
    fill_compressed,
    fill_image,
    LONGEST_WORD,
    to_rgb,
)
from tracker_nodes.parameters import NodeParameters
from tracker_nodes.process import run
from tracker_nodes.worker import (
    Frame,
    FrameHistory,
    LONGEST_NAME,
    RefusedError,
    Result,
    TrackingWorker,
)

ANSWER_TIMEOUT = 30.0  # seconds that a service waits for the worker
SILENCE = 2.0  # seconds without an image after which diagnostics warn


class TrackerNode(LifecycleNode):
    """See the table of topics, services and parameters in the README."""

    is_over = False  # it runs until it is interrupted

    def __init__(self, **options: Any) -> None:
        super().__init__('tracker_node', **options)
        self._options = NodeParameters(self)
        self._problem = ''  # why there is no tracker, in a sentence
        self._trouble = (0.0, '')  # time.monotonic() and sentence of the last report
        self._worker: TrackingWorker | None = None
        self._tracker: Tracker | None = None
        self._is_active = False
        self._is_enabled = True
        self._image_subscription = None
        self._old_subscription = None  # for a second, beside the one that replaces it
        self._last_image = 0.0  # time.monotonic() of the last arrival
        self._image_kind = ''  # size and encoding of the last image
        self._image_stamp = 0
        self._last_stamp = 0  # of the last processed frame
        self._frame_seconds = 0.0  # time between two processed frames by their stamps, smoothed
        self._timings = Timings()
        self._counts = (0, 0)  # processed and dropped frames

        self._detections = self.create_publisher(Detection2DArray, 'detections', 10)
        self._detection = self.create_publisher(Detection2D, 'detection', 10)
        self._status = self.create_publisher(TrackStatusArray, 'status', 10)
        self._annotated = self.create_publisher(Image, 'image_annotated', 2)
        self._annotated_compressed = self.create_publisher(
            CompressedImage, self.resolve_topic_name('image_annotated') + '/compressed', 2
        )
        self._diagnostics = self.create_publisher(DiagnosticArray, '/diagnostics', 10)
        self.create_service(InitTarget, 'init_target', self._on_init_target)
        self.create_service(RemoveTarget, 'remove_target', self._on_remove_target)
        self.create_service(Trigger, 'reset', self._on_reset)
        self.create_service(SetBool, 'enable', self._on_enable)
        self.create_subscription(Detection2D, 'init_box', self._on_init_box, 10)
        # By the machine's clock: simulated time may stand still.
        self.create_timer(1.0, self._on_second, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self.add_on_set_parameters_callback(self._on_set_parameters)

    # Lifecycle

    def start(self) -> None:
        """Configure and activate, unless the parameter autostart says otherwise."""
        if not self._options['autostart']:
            self.get_logger().info('waiting to be configured and activated (autostart is false)')
        elif self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        options = self._options
        self._problem = options.problem
        if not self._problem:
            self._worker = TrackingWorker(
                self._load,
                self._publish,
                self._report,
                options['max_targets'],
                FrameHistory(options['history_seconds'], options['history_megabytes']),
            )
            try:
                self._tracker = self._worker.loaded.result()
            except TrackerError as error:
                self._problem = str(error)
            except Exception as error:
                self._problem = (
                    f'{options["tracker"]} cannot be loaded: {type(error).__name__}: {error}'
                )
        if self._problem:
            self.get_logger().error(self._problem)
            self._release()
            return TransitionCallbackReturn.FAILURE
        tracker = self._tracker
        self.get_logger().info(
            f'{tracker.name} {tracker.preset} is ready on {tracker.device} '
            f'(weights: {tracker.weights.source})'
        )
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._worker.forget_frames()
        self._worker.reset_counts()
        self._counts = (0, 0)
        self._is_active = True
        self._subscribe()
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._unsubscribe()
        self._is_active = False
        self._worker.forget_frames()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._release()
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        self.close()
        return TransitionCallbackReturn.SUCCESS

    def close(self) -> None:
        """Stop the worker and free the tracker; the node can then be destroyed."""
        self._unsubscribe()
        self._is_active = False
        self._release()

    def _load(self) -> Tracker:
        options = self._options
        return create_tracker(
            options['tracker'],
            preset=options['preset'],
            device=options['device'],
            precision=options['precision'],
            runtime=options['runtime'],
            weights=options['weights'] or None,
            **options.tracker_values(),
        )

    def _release(self) -> None:
        if self._worker is not None and not self._worker.close():
            self.get_logger().error('the tracker does not come to an end')
        was_on_gpu = self._tracker is not None and self._tracker.device.type == 'cuda'
        self._worker = self._tracker = None
        gc.collect()
        if was_on_gpu:
            import torch

            torch.cuda.empty_cache()

    # Images

    def _subscribe(self) -> None:
        compressed = self._options['image_transport'] == 'compressed'
        topic = self.resolve_topic_name('image') + ('/compressed' if compressed else '')
        self._image_subscription = self.create_subscription(
            CompressedImage if compressed else Image,
            topic,
            partial(self._on_image, compressed_to_rgb if compressed else to_rgb),
            image_qos(self.get_publishers_info_by_topic(topic)),
        )

    def _unsubscribe(self) -> None:
        for subscription in (self._image_subscription, self._old_subscription):
            if subscription is not None:
                self.destroy_subscription(subscription)
        self._image_subscription = self._old_subscription = None

    def _on_image(self, decode: Any, message: Any) -> None:
        stamp = nanoseconds(message.header.stamp)
        if self._old_subscription is not None and 0 < stamp <= self._image_stamp:
            return  # the other subscription brought it
        self._last_image = time.monotonic()
        self._note_changes(message, stamp)
        if self._is_enabled and self._worker is not None:
            self._worker.put(Frame(stamp, message, decode))

    def _note_changes(self, message: Any, stamp: int) -> None:
        """Log what a user of the camera would want to know."""
        if isinstance(message, Image):
            kind = f'{message.width} x {message.height} {message.encoding[:LONGEST_WORD]}'
        else:
            kind = message.format[:LONGEST_WORD]
        if self._image_kind and kind != self._image_kind:
            self.get_logger().info(
                f'the images changed from {self._image_kind} to {kind}', throttle_duration_sec=2.0
            )
        if stamp < self._image_stamp:
            self.get_logger().warning(
                f'time jumped back by {(self._image_stamp - stamp) / 1e9:.3f} s; older frames are '
                'forgotten, targets are kept',
                throttle_duration_sec=2.0,
            )
        self._image_kind, self._image_stamp = kind, stamp

    def _adopt_qos(self) -> None:
        """Follow a publisher that appeared, or changed, after the subscription was made.

        The old subscription stays until the next call, so that no frame is lost in between.
        """
        if self._old_subscription is not None:
            self.destroy_subscription(self._old_subscription)
            self._old_subscription = None
        old = self._image_subscription.qos_profile
        new = image_qos(
            self.get_publishers_info_by_topic(self._image_subscription.topic_name), old
        )
        if (new.reliability, new.durability) != (old.reliability, old.durability):
            self.get_logger().info(
                f'the images are published {new.reliability.name}, {new.durability.name}; '
                'subscribing likewise'
            )
            self._old_subscription = self._image_subscription
            self._subscribe()

    # Results; called in the worker's thread

    def _publish(self, result: Result) -> None:
        if not self.context.ok():
            return
        header = result.frame.message.header
        self._measure_interval(result.frame.stamp)
        live = [f for f in result.followed if f.target.status is not TrackStatus.LOST]
        detections = [detection_message(header, f.id, f.label, f.target) for f in live]
        self._detections.publish(Detection2DArray(header=header, detections=detections))
        if detections:
            self._detection.publish(detections[0])

        latency = (self.get_clock().now().nanoseconds - result.frame.stamp) / 1e9
        processing_time = time.monotonic() - result.taken_up
        self._timings.add(latency, processing_time)
        self._counts = (result.frames, result.dropped)
        self._status.publish(
            TrackStatusArray(
                header=header,
                tracker=self._tracker.name,
                preset=self._tracker.preset,
                targets=[
                    status_message(f.id, f.label, f.target, self._frame_seconds)
                    for f in result.followed
                ],
                latency=latency,
                processing_time=processing_time,
                dropped_frames=result.dropped,
                frames=result.frames,
            )
        )
        self._publish_annotated(result)

    def _publish_annotated(self, result: Result) -> None:
        is_wanted = self._annotated.get_subscription_count() > 0
        is_wanted_compressed = self._annotated_compressed.get_subscription_count() > 0
        if not (is_wanted or is_wanted_compressed):
            return
        header = result.frame.message.header
        image = result.image.copy()
        for followed in result.followed:
            draw_track(image, followed.target, followed.id)
        if is_wanted:
            self._annotated.publish(fill_image(Image(header=header), image))
        if is_wanted_compressed:
            message = fill_compressed(CompressedImage(header=header), image)
            self._annotated_compressed.publish(message)

    def _measure_interval(self, stamp: int) -> None:
        seconds = (stamp - self._last_stamp) / 1e9
        if self._last_stamp and 0 < seconds < 10:
            old = self._frame_seconds
            self._frame_seconds = 0.5 * (old + seconds) if old else seconds
        self._last_stamp = stamp

    def _report(self, sentence: str) -> None:
        self._trouble = (time.monotonic(), sentence)
        if self.context.ok():
            self.get_logger().warning(sentence, throttle_duration_sec=2.0)
            self.get_logger().debug(sentence)  # each of them

    # Services

    def _refuse_early(self) -> RefusedError | None:
        if self._problem or self._worker is None:
            return RefusedError(
                'NOT_READY', self._problem or 'the node has not been configured yet'
            )
        if not self._is_active:
            return RefusedError('NOT_ACTIVE', 'the node is not active (lifecycle: activate)')
        if not self._is_enabled:
            return RefusedError('NOT_ACTIVE', 'the node is disabled; call enable with data: true')
        return None

    def _start_target(self, id: str, label: str, bbox: Any, stamp: Any) -> Future[str]:  # noqa: A002
        refused = self._refuse_early()
        if refused is None:
            try:
                return self._worker.start_target(
                    id, label, box_from_message(bbox), nanoseconds(stamp)
                )
            except BoxError as error:
                refused = RefusedError('BAD_BOX', str(error))
        future: Future[str] = Future()
        future.set_exception(refused)
        return future

    def _on_init_target(self, request: Any, response: Any) -> Any:
        future = self._start_target(request.id, request.label, request.bbox, request.stamp)
        try:
            response.id = future.result(ANSWER_TIMEOUT)
            response.success = True
            self.get_logger().info(f'following {response.id!r}')
        except RefusedError as error:
            response.error_code = getattr(InitTarget.Response, error.code)
            response.message = str(error)
        except CancelledError:
            response.error_code = InitTarget.Response.NOT_ACTIVE
            response.message = 'the node was shut down'
        except FutureTimeoutError:
            future.cancel()
            response.error_code = InitTarget.Response.TRACKER_FAILED
            response.message = f'the tracker did not answer within {ANSWER_TIMEOUT:g} s'
        if not response.success:
            self.get_logger().warning(f'init_target refused: {response.message}')
        return response

    def _on_init_box(self, message: Detection2D) -> None:
        label = message.results[0].hypothesis.class_id if message.results else ''
        future = self._start_target(message.id, label, message.bbox, message.header.stamp)
        future.add_done_callback(self._log_init_box)

    def _log_init_box(self, future: Future[str]) -> None:
        if future.cancelled() or not self.context.ok():
            return
        error = future.exception()
        if error is None:
            self.get_logger().info(f'following {future.result()!r}')
        else:
            self.get_logger().warning(f'init_box refused: {error}')

    def _on_remove_target(self, request: Any, response: Any) -> Any:
        removed = self._remove(request.id)
        response.success = bool(removed) or not request.id
        if removed:
            response.message = f'removed {", ".join(removed)}'
        elif request.id:
            response.message = f'there is no target {request.id[:LONGEST_NAME]!r}'
        else:
            response.message = 'there was no target'
        return response

    def _on_reset(self, request: Any, response: Any) -> Any:
        """Drop all targets; each starts again only with a new box."""
        removed = self._remove('')
        response.success = True
        response.message = f'removed {", ".join(removed)}' if removed else 'there was no target'
        return response

    def _remove(self, id: str) -> list[str]:  # noqa: A002
        if self._worker is None:
            return []
        try:
            return self._worker.remove_target(id).result(ANSWER_TIMEOUT)
        except (CancelledError, FutureTimeoutError):
            return []

    def _on_enable(self, request: Any, response: Any) -> Any:
        """Pause without losing the targets: while disabled no image is processed and nothing is
        published."""
        if self._is_enabled and not request.data and self._worker is not None:
            self._worker.forget_frames()
        self._is_enabled = request.data
        response.success = True
        response.message = 'enabled' if request.data else 'disabled'
        return response

    # Parameters and diagnostics

    def _on_set_parameters(self, parameters: list[Parameter]) -> SetParametersResult:
        changes = {parameter.name: parameter.value for parameter in parameters}
        reason = self._options.reason_to_refuse(changes, configured=self._worker is not None)
        if reason:
            return SetParametersResult(successful=False, reason=reason)
        self._options.accept(changes)
        if self._worker is not None:
            if 'max_targets' in changes:
                self._worker.max_targets = changes['max_targets']
            if any(self._options.is_of_tracker(name) for name in changes):
                self._worker.reconfigure(self._options.tracker_config(changes))
        return SetParametersResult(successful=True)

    def _on_second(self) -> None:
        if self._image_subscription is not None:
            self._adopt_qos()
        message = DiagnosticArray(status=[self._health()])
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(message)

    def _health(self) -> DiagnosticStatus:
        silence = time.monotonic() - self._last_image
        if self._problem:
            level, message = DiagnosticStatus.ERROR, self._problem
        elif not self._is_active:
            level, message = DiagnosticStatus.OK, 'not active'
        elif not self._is_enabled:
            level, message = DiagnosticStatus.OK, 'disabled'
        elif silence > SILENCE:
            topic = self._image_subscription.topic_name
            level, message = DiagnosticStatus.WARN, f'no image on {topic} for {SILENCE:g} s'
        elif time.monotonic() - self._trouble[0] < SILENCE:
            level, message = DiagnosticStatus.WARN, self._trouble[1]
        else:
            level, message = DiagnosticStatus.OK, 'images arrive'
        values: dict[str, object] = dict(self._timings.values())
        values['frames'], values['dropped frames'] = self._counts
        if self._tracker is not None:
            values['tracker'] = f'{self._tracker.name} {self._tracker.preset}'
            values['device'] = self._tracker.device
            values['weights'] = self._tracker.weights.source
            values['weights checksum'] = self._tracker.weights.checksum
        name = f'{self.get_fully_qualified_name().lstrip("/")}: tracker'
        return diagnostic_status(name, level, message, values)


def image_qos(publishers: list[Any], fallback: QoSProfile = qos_profile_sensor_data) -> QoSProfile:
    """The quality of service for the image subscription: the newest frame only, otherwise what the
    publishers offer.

    Args:
        publishers: What `get_publishers_info_by_topic` knows of them.
        fallback: Whose reliability and durability to take while there is no publisher.
    """
    offers = [publisher.qos_profile for publisher in publishers] or [fallback]
    is_reliable = all(offer.reliability == ReliabilityPolicy.RELIABLE for offer in offers)
    is_latched = is_reliable and all(
        offer.durability == DurabilityPolicy.TRANSIENT_LOCAL for offer in offers
    )
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=1,
        reliability=ReliabilityPolicy.RELIABLE if is_reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if is_latched else DurabilityPolicy.VOLATILE,
    )


def main(arguments: list[str] | None = None) -> int:
    """Run the node until it is interrupted."""
    return run(started_node, arguments)


def started_node() -> TrackerNode:
    """A node that has configured and activated itself."""
    node = TrackerNode()
    node.start()
    return node


if __name__ == '__main__':
    raise SystemExit(main())

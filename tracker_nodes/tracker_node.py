# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The node: images in, detections out; a lifecycle node that starts itself.

Two threads. The executor's thread runs the callbacks: it hands each image and each request over to
the worker's thread, which owns the tracker (see `worker`). What the worker finds out it publishes
itself.
"""

from __future__ import annotations

from concurrent.futures import CancelledError, Future, wait
from concurrent.futures import TimeoutError as FutureTimeoutError
import gc
import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rcl_interfaces.msg import SetParametersResult
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from sensor_msgs.msg import CompressedImage, Image
from std_srvs.srv import SetBool, Trigger
from tracker_nodes.msg import TrackStatusArray
from tracker_nodes.srv import InitTarget, RemoveTarget
from vision_msgs.msg import Detection2D, Detection2DArray

from tracker_core import (
    BoxError,
    create_tracker,
    ParameterError,
    Tracker,
    TrackerError,
    TrackStatus,
)
from tracker_core.boxes import startable
from tracker_core.media.overlay import draw_track
from tracker_nodes.awaiting import finished
from tracker_nodes.conversions import (
    box_from_message,
    detection_message,
    nanoseconds,
    status_message,
)
from tracker_nodes.diagnostics import diagnostic_status, Timings
from tracker_nodes.encodings import fill_compressed, fill_image
from tracker_nodes.image_input import image_topic, ImageInput
from tracker_nodes.parameters import NodeParameters
from tracker_nodes.process import run
from tracker_nodes.qos import given_overrides, override_names, publisher_with_overrides
from tracker_nodes.stopping import execute, is_requested
from tracker_nodes.worker import (
    Counts,
    Frame,
    FrameHistory,
    quoted,
    RefusedError,
    Result,
    TrackingWorker,
)

ANSWER_TIMEOUT = 30.0  # seconds that a service waits for the worker
NO_ANSWER = (
    f'the tracker did not answer within {ANSWER_TIMEOUT:g} s, or the node was shut down meanwhile'
)
SHUT_DOWN = 'the node has been shut down (lifecycle: finalized); start it anew'
RECENT = 3.0  # seconds for which diagnostics repeat why a frame was skipped


class TrackerNode(LifecycleNode):
    """See the table of topics, services and parameters in the README."""

    is_over = False  # it runs until it is interrupted

    def __init__(self, **options: Any) -> None:
        super().__init__('tracker_node', **options)
        self._options = NodeParameters(self)
        self._problem = ''  # why there is no tracker, in a sentence
        self._worker: TrackingWorker | None = None
        self._tracker: Tracker | None = None
        self._is_active = False
        self._is_enabled = True
        self._is_shut_down = False
        self._input: ImageInput | None = None
        self._image_size = (0, 0)  # of the last processed frame
        self._timings = Timings()
        self._skipped = (-RECENT, '')  # time.monotonic() and the reason of the last skipped frame
        self._counts_before = Counts()  # a second ago

        self._qos_problem = ''  # which of the qos_overrides cannot be used
        annotated = self.resolve_topic_name('image_annotated')
        self._detections = self._create_publisher(Detection2DArray, 'detections')
        self._detection = self._create_publisher(Detection2D, 'detection')
        self._status = self._create_publisher(TrackStatusArray, 'status')
        self._annotated = self._create_publisher(Image, annotated, 2)
        self._annotated_compressed = self._create_publisher(
            CompressedImage, f'{annotated}/compressed', 2
        )
        self._diagnostics = self._create_publisher(DiagnosticArray, '/diagnostics')
        self._check_overrides_of_images()
        # Their callbacks wait for the worker, and let the others run meanwhile.
        waiting = ReentrantCallbackGroup()
        for kind, name, callback in (
            (InitTarget, 'init_target', self._on_init_target),
            (RemoveTarget, 'remove_target', self._on_remove_target),
            (Trigger, 'reset', self._on_reset),
        ):
            self.create_service(kind, name, callback, callback_group=waiting)
        self.create_service(SetBool, 'enable', self._on_enable)
        self.create_subscription(Detection2D, 'init_box', self._on_init_box, 10)
        # By the machine's clock: simulated time may stand still.
        self.create_timer(1.0, self._on_second, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self.add_on_set_parameters_callback(self._on_set_parameters)
        if hasattr(self, 'add_post_set_parameters_callback'):  # Humble: when it is configured
            self.add_post_set_parameters_callback(lambda _: self._options.choose())
        self._options.warn_of_unknown(self._names_of_overrides_of_images())

    # Lifecycle

    def start(self) -> None:
        """Configure and activate, unless the parameter autostart says otherwise."""
        if not self._options['autostart']:
            self.get_logger().info('waiting to be configured and activated (autostart is false)')
        elif self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        options = self._options
        options.choose()
        self._problem = options.problem or self._qos_problem
        if not self._problem:
            self._worker = TrackingWorker(
                self._load,
                self._publish,
                self._report,
                is_stale=self._is_stale,
                max_targets=options['max_targets'],
                history=FrameHistory(options['history_seconds'], options['history_megabytes']),
            )
            while not (self._worker.loaded.done() or is_requested()):
                wait([self._worker.loaded], timeout=0.1)
            if is_requested():
                self._release()
                return TransitionCallbackReturn.FAILURE
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
        self._counts_before = Counts()
        is_compressed = self._options['image_transport'] == 'compressed'
        self._input = ImageInput(self, is_compressed, self._on_frame, self._options['bit_depth'])
        self._is_active = True
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
        self._is_shut_down = True
        self.get_logger().info(SHUT_DOWN)
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
        # A process that ends does not wait for a long step: it leaves the thread behind.
        patience = 0.5 if is_requested() else 10.0
        if self._worker is not None and not self._worker.close(patience) and not is_requested():
            self.get_logger().error('the tracker does not come to an end')
        was_on_gpu = self._tracker is not None and self._tracker.device.type == 'cuda'
        self._worker = self._tracker = None
        gc.collect()
        if was_on_gpu:
            import torch

            torch.cuda.empty_cache()

    # Images

    def _check_overrides_of_images(self) -> None:
        for is_compressed in (False, True):
            try:
                given_overrides(self, image_topic(self, is_compressed), 'subscription')
            except ParameterError as error:
                self._qos_problem = str(error)

    def _names_of_overrides_of_images(self) -> list[str]:
        return [
            name
            for is_compressed in (False, True)
            for name in override_names(image_topic(self, is_compressed), 'subscription').values()
        ]

    def _unsubscribe(self) -> None:
        if self._input is not None:
            self._input.close()
        self._input = None

    def _on_frame(self, frame: Frame) -> None:
        if self._is_enabled and self._worker is not None:
            self._worker.put(frame)

    def _is_stale(self, frame: Frame) -> bool:
        """Called in the worker's thread; the age of a frame without a stamp is not known."""
        limit = self._options['max_age']
        return limit > 0 and frame.stamp > 0 and self._age(frame) > limit

    def _age(self, frame: Frame) -> float:
        """Seconds since the frame's stamp."""
        return (self.get_clock().now().nanoseconds - frame.stamp) / 1e9

    # Results; called in the worker's thread

    def _publish(self, result: Result) -> None:
        if not self.context.ok():
            return
        header = result.frame.message.header
        live = [f for f in result.followed if f.target.status is not TrackStatus.LOST]
        detections = [detection_message(header, f.id, f.label, f.target) for f in live]
        self._detections.publish(Detection2DArray(header=header, detections=detections))
        if detections:
            self._detection.publish(detections[0])

        latency = self._age(result.frame)
        processing_time = time.monotonic() - result.taken_up
        self._timings.add(latency, processing_time)
        self._status.publish(
            TrackStatusArray(
                header=header,
                tracker=self._tracker.name,
                preset=self._tracker.preset,
                targets=[
                    status_message(f.id, f.label, f.target, f.motion.velocity)
                    for f in result.followed
                ],
                latency=latency,
                processing_time=processing_time,
                dropped_frames=result.counts.dropped,
                frames=result.counts.processed,
            )
        )
        self._publish_annotated(result)
        self._note_size(result)

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

    def _note_size(self, result: Result) -> None:
        old, size = self._image_size, (result.image.shape[1], result.image.shape[0])
        self._image_size = size
        if size != old and any(old) and result.followed:
            self.get_logger().warning(
                f'the images are no longer {old[0]} x {old[1]} but {size[0]} x {size[1]} pixels: '
                'targets are LOST until they are found again; init_target starts them anew',
                throttle_duration_sec=2.0,
            )

    def _report(self, sentence: str) -> None:
        self._skipped = (time.monotonic(), sentence)
        if self.context.ok():
            self.get_logger().warning(sentence, throttle_duration_sec=2.0)
            self.get_logger().debug(sentence)  # each of them

    # Services

    def _refuse_early(self) -> RefusedError | None:
        if self._is_shut_down:
            return RefusedError('NOT_ACTIVE', SHUT_DOWN)
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
                box = startable(box_from_message(bbox))
                return self._worker.start_target(id, label, box, nanoseconds(stamp))
            except BoxError as error:
                refused = RefusedError('BAD_BOX', str(error))
        future: Future[str] = Future()
        future.set_exception(refused)
        return future

    async def _on_init_target(self, request: Any, response: Any) -> Any:
        future = self._start_target(request.id, request.label, request.bbox, request.stamp)
        is_answered = await finished(self, future, ANSWER_TIMEOUT)
        if not is_answered:
            future.cancel()
        try:
            response.id = future.result(0)
            response.success = True
            self.get_logger().info(f'following {response.id!r}')
        except RefusedError as error:
            response.error_code = getattr(InitTarget.Response, error.code)
            response.message = str(error)
        except (CancelledError, FutureTimeoutError):
            code = 'NOT_ACTIVE' if is_answered else 'TRACKER_FAILED'
            response.error_code = getattr(InitTarget.Response, code)
            response.message = NO_ANSWER
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

    async def _on_remove_target(self, request: Any, response: Any) -> Any:
        await self._answer_removal('remove_target', request.id, response)
        return response

    async def _on_reset(self, request: Any, response: Any) -> Any:
        """Drop all targets; each starts again only with a new box."""
        await self._answer_removal('reset', '', response)
        return response

    async def _answer_removal(self, service: str, id: str, response: Any) -> None:  # noqa: A002
        removed = await self._remove(id)
        response.success = bool(removed) or (removed is not None and not id)
        if removed is None:
            response.message = NO_ANSWER
        elif removed:
            response.message = f'removed {", ".join(removed)}'
        elif id:
            response.message = f'there is no target {quoted(id)}'
        else:
            response.message = 'there was no target'
        if response.success:
            self.get_logger().info(f'{service}: {response.message}; {self._target_count()}')
        else:
            self.get_logger().warning(f'{service} refused: {response.message}')

    async def _remove(self, id: str) -> list[str] | None:  # noqa: A002
        """The names of the removed targets; None if the worker did not answer."""
        if self._worker is None:
            return []
        future = self._worker.remove_target(id)
        await finished(self, future, ANSWER_TIMEOUT)
        return future.result() if future.done() and not future.cancelled() else None

    def _on_enable(self, request: Any, response: Any) -> Any:
        """Pause without losing the targets: while disabled no image is processed and nothing is
        published."""
        if self._is_shut_down:
            response.message = SHUT_DOWN
            self.get_logger().warning(f'enable refused: {SHUT_DOWN}')
            return response
        if self._is_enabled and not request.data and self._worker is not None:
            self._worker.forget_frames()
        self._is_enabled = request.data
        response.success = True
        response.message = 'enabled' if request.data else 'disabled'
        self.get_logger().info(f'enable: {response.message}; {self._target_count()}')
        return response

    def _target_count(self) -> str:
        count = 0 if self._worker is None else self._worker.target_count
        return f'{count or "no"} target{"" if count == 1 else "s"} now'

    # Parameters and diagnostics

    def _on_set_parameters(self, parameters: list[Parameter]) -> SetParametersResult:
        changes = {parameter.name: parameter.value for parameter in parameters}
        reason = self._options.reason_to_refuse(changes, configured=self._worker is not None)
        if reason:
            return SetParametersResult(successful=False, reason=reason)
        self._options.accept(changes)
        if 'bit_depth' in changes and self._input is not None:
            self._input.gray.bit_depth = changes['bit_depth']
        if self._worker is not None:
            if 'max_targets' in changes:
                self._worker.max_targets = changes['max_targets']
            if any(self._options.is_of_tracker(name) for name in changes):
                config = self._options.tracker_config(changes)
                self._worker.reconfigure(config).add_done_callback(self._on_reconfigured)
        return SetParametersResult(successful=True)

    def _on_reconfigured(self, future: Future[None]) -> None:
        if not future.cancelled() and (error := future.exception()):
            self.get_logger().error(f'the tracker goes on with its old parameters: {error}')

    def _on_second(self) -> None:
        if self._input is not None:
            self._input.look_around(self._options['max_age'])
        message = DiagnosticArray(status=[self._health()])
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(message)

    def _health(self) -> DiagnosticStatus:
        counts = Counts() if self._worker is None else self._worker.counts
        stands_still = counts.processed == self._counts_before.processed
        self._counts_before = counts
        skipped_at, reason = self._skipped
        level, message = DiagnosticStatus.OK, 'images arrive'
        if self._is_shut_down:
            message = SHUT_DOWN
        elif self._problem:
            level, message = DiagnosticStatus.ERROR, self._problem
        elif self._input is None:
            message = 'not active'
        elif not self._is_enabled:
            message = 'disabled'
        elif problem := self._input.problem(self._options['max_age']):
            level, message = DiagnosticStatus.WARN, problem
        elif stands_still and time.monotonic() - skipped_at < RECENT:
            level, message = DiagnosticStatus.WARN, reason
        values: dict[str, object] = dict(self._timings.values())
        values['frames'] = counts.processed
        values['dropped frames'] = counts.dropped
        values['of these older than max_age'] = counts.stale
        if self._input is not None:
            values.update(self._input.values(self._options['max_age']))
        device = ''
        if self._tracker is not None:
            device = str(self._tracker.device)
            values['tracker'] = f'{self._tracker.name} {self._tracker.preset}'
            values['device'] = device
            values['weights'] = self._tracker.weights.source
            values['weights checksum'] = self._tracker.weights.checksum
        name = f'{self.get_fully_qualified_name().lstrip("/")}: tracker'
        return diagnostic_status(name, level, message, device, values)

    def _create_publisher(self, kind: Any, topic: str, depth: int = 10) -> Any:
        publisher, problem = publisher_with_overrides(self, kind, topic, depth)
        self._qos_problem = self._qos_problem or problem
        return publisher


def main(arguments: list[str] | None = None) -> int:
    """Run the node until it is interrupted."""
    return run(started_node, arguments)


def started_node() -> TrackerNode:
    """A node that has configured and activated itself."""
    node = TrackerNode()
    node.start()
    return node


if __name__ == '__main__':
    execute(main)

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The node: images in, detections out; a lifecycle node that starts itself.

Two threads. The executor's thread runs the callbacks: it hands each image and each request over to
the worker's thread, which owns the tracker (see `worker`). What the worker finds out it publishes
itself.
"""

from __future__ import annotations

from concurrent.futures import Future, wait
from functools import partial
import gc
import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from std_srvs.srv import SetBool
from vision_msgs.msg import Detection2DArray

from tracker_core import create_tracker, ParameterError, Tracker, TrackerError
from tracker_nodes.conversions import places_from_message
from tracker_nodes.diagnostics import diagnostic_status
from tracker_nodes.frames import Frame, FrameHistory
from tracker_nodes.image_input import image_topic, ImageInput
from tracker_nodes.parameters import NodeParameters
from tracker_nodes.process import configure_and_activate, run, started
from tracker_nodes.qos import given_overrides, override_names, publisher_with_overrides
from tracker_nodes.results import ResultPublishers
from tracker_nodes.stopping import execute, is_requested
from tracker_nodes.target_services import TargetServices
from tracker_nodes.worker import Counts, RefusedError, Result, TrackingWorker

SHUT_DOWN = 'the node has been shut down (lifecycle: finalized); start it anew'
RECENT = 3.0  # seconds for which diagnostics repeat why a frame was skipped


class TrackerNode(LifecycleNode):
    """See the tables of topics, services and parameters in docs/interface.md."""

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
        self._skipped = (-RECENT, '')  # time.monotonic() and the reason of the last skipped frame
        self._counts_before = Counts()  # a second ago

        self._results = ResultPublishers(self)
        self._diagnostics, problem = publisher_with_overrides(
            self, DiagnosticArray, '/diagnostics', 10
        )
        self._qos_problem = self._results.problem or problem
        self._check_overrides_of_images()
        self._target_services = TargetServices(self, lambda: self._worker, self._ready_worker)
        self.create_service(SetBool, 'enable', self._on_enable)
        self.create_subscription(Detection2DArray, 'candidates', self._on_candidates, 5)
        # By the machine's clock: simulated time may stand still.
        self.create_timer(1.0, self._on_second, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self.add_on_set_parameters_callback(self._on_set_parameters)
        if hasattr(self, 'add_post_set_parameters_callback'):  # Humble: when it is configured
            self.add_post_set_parameters_callback(lambda _: self._options.choose())
        self._options.warn_of_unknown(self._names_of_overrides_of_images())

    # Lifecycle

    def start(self) -> None:
        """Configure and activate, unless the parameter autostart says otherwise."""
        configure_and_activate(self, self._options['autostart'])

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        options = self._options
        options.choose()
        self._problem = options.problem or self._qos_problem
        if not self._problem:
            self._worker = worker = TrackingWorker(
                self._load,
                self._publish,
                self._report,
                is_stale=self._is_stale,
                max_targets=options['max_targets'],
                history=FrameHistory(options['history_seconds'], options['history_megabytes']),
            )
            while not (worker.loaded.done() or is_requested()):
                wait([worker.loaded], timeout=0.1)
            if is_requested():
                self._release()
                return TransitionCallbackReturn.FAILURE
            try:
                self._tracker = worker.loaded.result()
            except TrackerError as error:
                self._problem = str(error)
            except Exception as error:
                self._problem = (
                    f'{options["tracker"]} cannot be loaded: {type(error).__name__}: {error}'
                )
        tracker = self._tracker
        if tracker is None:
            self.get_logger().error(self._problem)
            self._release()
            return TransitionCallbackReturn.FAILURE
        self.get_logger().info(
            f'{tracker.name} {tracker.preset} is ready on {tracker.device} '
            f'(weights: {tracker.weights.source})'
        )
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        assert self._worker is not None  # only what is configured is activated
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
        assert self._worker is not None  # only what is configured has been activated
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
        if self.context.ok() and self._tracker is not None:
            self._results.publish(result, self._tracker, self._age(result.frame))

    def _report(self, sentence: str) -> None:
        self._skipped = (time.monotonic(), sentence)
        if self.context.ok():
            self.get_logger().warning(sentence, throttle_duration_sec=2.0)
            self.get_logger().debug(sentence)  # each of them

    # Services

    def _ready_worker(self) -> TrackingWorker:
        if self._is_shut_down:
            raise RefusedError('NOT_ACTIVE', SHUT_DOWN)
        if self._problem or self._worker is None:
            raise RefusedError(
                'NOT_READY', self._problem or 'the node has not been configured yet'
            )
        if not self._is_active:
            raise RefusedError('NOT_ACTIVE', 'the node is not active (lifecycle: activate)')
        if not self._is_enabled:
            raise RefusedError('NOT_ACTIVE', 'the node is disabled; call enable with data: true')
        return self._worker

    def _on_enable(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
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
        self.get_logger().info(f'enable: {response.message}; {self._target_services.count()}')
        return response

    def _on_candidates(self, message: Detection2DArray) -> None:
        """Places from a detector, where lost targets are looked for first."""
        if self._worker is None or not self._is_active or not self._is_enabled:
            return
        places, problem = places_from_message(message)
        if problem:
            self.get_logger().warning(problem, throttle_duration_sec=2.0)
        self._worker.suggest(places)

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
        values: dict[str, object] = dict(self._results.timings.values())
        values['enabled'] = self._is_enabled
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


def main(arguments: list[str] | None = None) -> int:
    """Run the node until it is interrupted."""
    return run(partial(started, TrackerNode), arguments)


if __name__ == '__main__':
    execute(main)

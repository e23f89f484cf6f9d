# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""What users ask of targets: the services that start, remove and drop them, and the topic
`init_box`."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as FutureTimeoutError

from builtin_interfaces.msg import Time
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.node import Node
from std_srvs.srv import Trigger
from tracker_nodes.srv import InitTarget, RemoveTarget
from vision_msgs.msg import BoundingBox2D, Detection2D

from tracker_core import BoxError
from tracker_core.boxes import startable
from tracker_nodes.awaiting import finished
from tracker_nodes.conversions import box_from_message, nanoseconds
from tracker_nodes.worker import quoted, RefusedError, TrackingWorker

ANSWER_TIMEOUT = 30.0  # seconds that a service waits for the worker
NO_ANSWER = (
    f'the tracker did not answer within {ANSWER_TIMEOUT:g} s, or the node was shut down meanwhile'
)


class TargetServices:
    """Offers `init_target`, `remove_target`, `reset` and `init_box` on a node.

    Args:
        node: That offers them.
        worker: Gives what they are asked of, None while nothing is loaded.
        ready_worker: Gives the same for a target to be started; raises RefusedError if none can
            be now.
    """

    def __init__(
        self,
        node: Node,
        worker: Callable[[], TrackingWorker | None],
        ready_worker: Callable[[], TrackingWorker],
    ) -> None:
        self._node, self._worker, self._ready_worker = node, worker, ready_worker
        # Their callbacks wait for the worker, and let the others run meanwhile.
        waiting = ReentrantCallbackGroup()
        for kind, name, callback in (
            (InitTarget, 'init_target', self._on_init_target),
            (RemoveTarget, 'remove_target', self._on_remove_target),
            (Trigger, 'reset', self._on_reset),
        ):
            node.create_service(kind, name, callback, callback_group=waiting)
        node.create_subscription(Detection2D, 'init_box', self._on_init_box, 10)

    def count(self) -> str:
        """How many targets there are, in words."""
        worker = self._worker()
        count = 0 if worker is None else worker.target_count
        return f'{count or "no"} target{"" if count == 1 else "s"} now'

    def _start(
        self,
        id: str,  # noqa: A002
        label: str,
        bbox: BoundingBox2D,
        stamp: Time,
    ) -> Future[str]:
        try:
            worker = self._ready_worker()
            box = startable(box_from_message(bbox))
            return worker.start_target(id, label, box, nanoseconds(stamp))
        except BoxError as error:
            refused = RefusedError('BAD_BOX', str(error))
        except RefusedError as error:
            refused = error
        future: Future[str] = Future()
        future.set_exception(refused)
        return future

    async def _on_init_target(
        self, request: InitTarget.Request, response: InitTarget.Response
    ) -> InitTarget.Response:
        future = self._start(request.id, request.label, request.bbox, request.stamp)
        is_answered = await finished(self._node, future, ANSWER_TIMEOUT)
        if not is_answered:
            future.cancel()
        try:
            response.id = future.result(0)
            response.success = True
            self._node.get_logger().info(f'following {response.id!r}')
        except RefusedError as error:
            response.error_code = getattr(InitTarget.Response, error.code)
            response.message = str(error)
        except (CancelledError, FutureTimeoutError):
            code = 'NOT_ACTIVE' if is_answered else 'TRACKER_FAILED'
            response.error_code = getattr(InitTarget.Response, code)
            response.message = NO_ANSWER
        if not response.success:
            self._node.get_logger().warning(f'init_target refused: {response.message}')
        return response

    def _on_init_box(self, message: Detection2D) -> None:
        label = message.results[0].hypothesis.class_id if message.results else ''
        future = self._start(message.id, label, message.bbox, message.header.stamp)
        future.add_done_callback(self._log_init_box)

    def _log_init_box(self, future: Future[str]) -> None:
        if future.cancelled() or not self._node.context.ok():
            return
        error = future.exception()
        if error is None:
            self._node.get_logger().info(f'following {future.result()!r}')
        else:
            self._node.get_logger().warning(f'init_box refused: {error}')

    async def _on_remove_target(
        self, request: RemoveTarget.Request, response: RemoveTarget.Response
    ) -> RemoveTarget.Response:
        await self._answer_removal('remove_target', request.id, response)
        return response

    async def _on_reset(
        self, request: Trigger.Request, response: Trigger.Response
    ) -> Trigger.Response:
        """Drop all targets; each starts again only with a new box."""
        await self._answer_removal('reset', '', response)
        return response

    async def _answer_removal(
        self,
        service: str,
        id: str,  # noqa: A002
        response: RemoveTarget.Response | Trigger.Response,
    ) -> None:
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
            self._node.get_logger().info(f'{service}: {response.message}; {self.count()}')
        else:
            self._node.get_logger().warning(f'{service} refused: {response.message}')

    async def _remove(self, id: str) -> list[str] | None:  # noqa: A002
        """The names of the removed targets; None if the worker did not answer."""
        worker = self._worker()
        if worker is None:
            return []
        future = worker.remove_target(id)
        await finished(self._node, future, ANSWER_TIMEOUT)
        return future.result() if future.done() and not future.cancelled() else None

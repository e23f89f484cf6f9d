# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Waiting in a callback for another thread, while the executor goes on with other callbacks."""

from __future__ import annotations

from concurrent.futures import Future
import contextlib
from typing import Any, TypeVar

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
import rclpy.task

Answer = TypeVar('Answer')


async def finished(node: Node, future: Future[Answer], timeout: float) -> bool:
    """Wait until a future of another thread is done; `await` it in an async callback.

    The callback has to be in a reentrant callback group; in another one, the rest of the group
    would wait as well.

    Args:
        node: Whose callback waits.
        future: Of the other thread.
        timeout: Seconds.

    Returns:
        False if it was not done in time.
    """
    wake_up = rclpy.task.Future()

    def end(*_: Any) -> None:  # in the executor's thread
        if not wake_up.done():
            wake_up.set_result(None)

    def tell(_: Future[Answer]) -> None:  # in the other thread
        executor = node.executor
        if executor is not None:
            with contextlib.suppress(Exception):  # at shutdown nobody waits any more
                executor.create_task(end)

    future.add_done_callback(tell)
    timer = node.create_timer(timeout, end, clock=Clock(clock_type=ClockType.STEADY_TIME))
    try:
        await wake_up
    finally:
        node.destroy_timer(timer)
    return future.done()

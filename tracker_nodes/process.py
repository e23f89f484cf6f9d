# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""A node as a process: runs until it is over or interrupted, and ends without a traceback."""

from __future__ import annotations

from collections.abc import Callable
import re
import sys
from typing import cast, Protocol

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from tracker_core import TrackerError
from tracker_nodes import stopping


class EndingNode(Protocol):
    """A node that knows when it is over, and is closed before it is destroyed."""

    @property
    def is_over(self) -> bool: ...

    def close(self) -> None: ...

    def destroy_node(self) -> None: ...


class StartingNode(EndingNode, Protocol):
    """A lifecycle node that configures and activates itself."""

    def start(self) -> None: ...


def configure_and_activate(node: LifecycleNode, autostart: bool) -> None:
    """Configure and activate a node, unless its parameter autostart says otherwise."""
    if not autostart:
        node.get_logger().info('waiting to be configured and activated (autostart is false)')
    elif node.trigger_configure() == TransitionCallbackReturn.SUCCESS:
        node.trigger_activate()


def started(make_node: Callable[[], StartingNode]) -> StartingNode:
    """A node that has started itself."""
    node = make_node()
    node.start()
    return node


def run(make_node: Callable[[], EndingNode], arguments: list[str] | None = None) -> int:
    """Run a node until it is over, or until SIGINT, SIGTERM or SIGHUP (see `stopping`).

    Args:
        make_node: Makes the node; a TrackerError from there is told in one sentence.
        arguments: Of the command line; None for those of this process.

    Returns:
        The exit code.
    """
    try:
        # rclpy's own handlers end the context in the middle of whatever is going on.
        rclpy.init(args=arguments, signal_handler_options=SignalHandlerOptions.NO)
    except Exception as error:  # a parameter file that cannot be read, an option that is none
        sentence = re.sub(r', at \S+:\d+', '', str(error)).partition('\n')[0]
        print(f'error: {sentence}', file=sys.stderr)
        return 1
    stopping.end_orderly()  # until now no other process knows of this one
    node: EndingNode | None = None
    try:
        stopping.check()
        node = make_node()
        executor = SingleThreadedExecutor()
        executor.add_node(cast(Node, node))
        while not node.is_over:
            stopping.check()
            executor.spin_once(timeout_sec=0.2)
    except (KeyboardInterrupt, ExternalShutdownException, stopping.StoppedError):
        pass
    except Exception as error:
        if stopping.is_requested():  # it came of the end
            return 0
        if not isinstance(error, TrackerError):
            raise
        print(f'error: {error}', file=sys.stderr)
        return 1
    finally:
        if node is not None:
            node.close()
            node.destroy_node()
        rclpy.try_shutdown()
    return 0

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""A node as a process: runs until it is over or interrupted, and ends without a traceback."""

from __future__ import annotations

from collections.abc import Callable
import sys
from typing import Any

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor

from tracker_core import TrackerError


def run(make_node: Callable[[], Any], arguments: list[str] | None = None) -> int:
    """Run a node until it is over, or until SIGINT or SIGTERM.

    Args:
        make_node: Makes the node, which has besides `is_over` and `close()`; a TrackerError from
            there is told in one sentence.
        arguments: Of the command line; None for those of this process.

    Returns:
        The exit code.
    """
    rclpy.init(args=arguments)
    node: Any = None
    try:
        node = make_node()
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        while not node.is_over:
            executor.spin_once(timeout_sec=0.2)
    except TrackerError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except Exception:
        if rclpy.ok():  # otherwise the signal came in the middle of a call
            raise
    finally:
        if node is not None:
            node.close()
            node.destroy_node()
        rclpy.try_shutdown()
    return 0

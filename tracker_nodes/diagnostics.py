# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""What the node says of its health: rate and latencies over the last seconds, as a diagnostic
status."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
import threading
import time

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
import numpy as np

WINDOW = 10.0  # seconds that the numbers speak of


class Timings:
    """Latency and processing time of the last frames; written and read by different threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows: deque[tuple[float, float, float]] = deque(maxlen=4096)

    def add(self, latency: float, processing_time: float) -> None:
        """Note a published frame; both in seconds."""
        with self._lock:
            self._rows.append((time.monotonic(), latency, processing_time))

    def values(self) -> dict[str, str]:
        """Rate in frames per second, median and 99th percentile of the times in milliseconds."""
        with self._lock:
            rows = np.array([row for row in self._rows if time.monotonic() - row[0] < WINDOW])
        if len(rows) < 2:
            return {'rate (Hz)': '0.0'}
        milliseconds = 1000 * np.percentile(rows[:, 1:], (50, 99), axis=0)
        return {
            'rate (Hz)': f'{(len(rows) - 1) / (rows[-1, 0] - rows[0, 0]):.1f}',
            'latency p50 (ms)': f'{milliseconds[0, 0]:.1f}',
            'latency p99 (ms)': f'{milliseconds[1, 0]:.1f}',
            'processing p50 (ms)': f'{milliseconds[0, 1]:.1f}',
            'processing p99 (ms)': f'{milliseconds[1, 1]:.1f}',
        }


def diagnostic_status(
    name: str, level: bytes, message: str, hardware: str, values: Mapping[str, object]
) -> DiagnosticStatus:
    """A status as `/diagnostics` carries it; `hardware` is what runs the networks."""
    return DiagnosticStatus(
        level=level,
        name=name,
        message=message,
        hardware_id=hardware,
        values=[KeyValue(key=key, value=str(value)) for key, value in values.items()],
    )

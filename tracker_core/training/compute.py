# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Where a training computes, and with what precision."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch

from tracker_core.training.processes import Processes


@dataclass(frozen=True)
class Compute:
    """Where and how to compute.

    Attributes:
        device: For the network.
        precision: 'bf16', 'fp16', 'fp32' or 'auto'.
        workers: Processes that make pairs; 0 makes them in this one.
        accumulate: Parts that a process computes its share of a batch in, one after the other.
        processes: Of this training.
    """

    device: torch.device = field(default_factory=lambda: torch.device('cpu'))
    precision: str = 'auto'
    workers: int = 0
    accumulate: int = 1
    processes: Processes = field(default_factory=Processes)

    @property
    def format(self) -> str:
        """The precision, decided."""
        if self.precision != 'auto':
            return self.precision
        return 'bf16' if has_fast_bfloat16(self.device) else 'fp32'

    def autocast(self) -> torch.autocast:
        """In which networks compute in this precision."""
        dtype = torch.float16 if self.format == 'fp16' else torch.bfloat16
        return torch.autocast(self.device.type, dtype, enabled=self.format != 'fp32')

    @property
    def is_gpu(self) -> bool:
        """Whether the device is a GPU."""
        return self.device.type == 'cuda'

    def __str__(self) -> str:
        count = self.processes.count
        return f'{f"{count} x " if count > 1 else ""}{self.device_name}, {self.format}'

    @property
    def device_name(self) -> str:
        """A GPU's name, or 'cpu'."""
        return torch.cuda.get_device_name(self.device) if self.is_gpu else self.device.type


def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 makes a device faster."""
    if device.type == 'cuda':
        return torch.cuda.is_bf16_supported()
    flags = Path('/proc/cpuinfo')
    return flags.is_file() and 'avx512_bf16' in flags.read_text()

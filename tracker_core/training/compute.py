# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Where a training computes, and with what precision."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch


@dataclass(frozen=True)
class Compute:
    """Where and how to compute.

    Attributes:
        device: For the network.
        precision: 'bf16', 'fp32' or 'auto'.
        workers: Processes that make pairs; 0 makes them in this one.
    """

    device: torch.device = field(default_factory=lambda: torch.device('cpu'))
    precision: str = 'auto'
    workers: int = 0

    @property
    def is_half(self) -> bool:
        """Whether networks run in bfloat16."""
        return self.precision == 'bf16' or (
            self.precision == 'auto' and has_fast_bfloat16(self.device)
        )

    @property
    def is_gpu(self) -> bool:
        """Whether the device is a GPU."""
        return self.device.type == 'cuda'

    def __str__(self) -> str:
        return f'{self.device_name}, {"bf16" if self.is_half else "fp32"}'

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

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Where a network computes and in which number format."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn

Network = TypeVar('Network', bound=nn.Module)


def place(
    network: Network, device: torch.device | None = None, precision: torch.dtype | None = None
) -> Network:
    """Move a network, its channels last in memory, which convolutions are fastest with.

    Args:
        network: Is changed, and returned.
        device: Where it shall compute; None leaves it where it is.
        precision: Number format of its weights; None leaves them as they are.
    """
    # torch's stubs do not know `memory_format`
    network.to(device, precision, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network

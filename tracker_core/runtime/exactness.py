# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Where float32 must be float32."""

from __future__ import annotations

from collections.abc import Iterator
import contextlib
from typing import Any

import torch


@contextlib.contextmanager
def exact_float32() -> Iterator[None]:
    """Neither convolutions nor matrix products round float32 to TF32 meanwhile.

    Torch lets cuDNN's convolutions do so, which keeps ten bits: enough for a network, not for the
    conjugate gradients and descents that trackers learn with. What is captured here stays exact.
    """
    switches = _switches()
    before = [getattr(holder, name) for holder, name, _ in switches]
    for holder, name, exact in switches:
        setattr(holder, name, exact)
    try:
        yield
    finally:
        for (holder, name, _), value in zip(switches, before, strict=True):
            setattr(holder, name, value)


def _switches() -> list[tuple[Any, str, str | bool]]:
    """Where torch is told, and what: the newer of two ways, where it is there, because the older
    one raises an error where a program has used the newer one."""
    convolutions, products = torch.backends.cudnn, torch.backends.cuda.matmul
    newer = getattr(convolutions, 'conv', None)
    if hasattr(newer, 'fp32_precision') and hasattr(products, 'fp32_precision'):
        return [(newer, 'fp32_precision', 'ieee'), (products, 'fp32_precision', 'ieee')]
    return [(convolutions, 'allow_tf32', False), (products, 'allow_tf32', False)]

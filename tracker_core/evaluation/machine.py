# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""On what a number was measured: hardware and versions, to be printed beside it."""

from __future__ import annotations

import os
from pathlib import Path
import platform

import cv2
import numpy as np
import torch


def describe_machine() -> dict[str, str | int]:
    """Hardware and versions.

    Returns:
        cpu, cores (that this process may use), threads (of torch), gpu ('' if none), system,
        python, torch, opencv, numpy.
    """
    return {
        'cpu': _cpu_model(),
        'cores': len(os.sched_getaffinity(0))
        if hasattr(os, 'sched_getaffinity')
        else os.cpu_count() or 1,
        'threads': torch.get_num_threads(),
        'gpu': torch.cuda.get_device_name() if torch.cuda.is_available() else '',
        'system': f'{platform.system()} {platform.machine()}',
        'python': platform.python_version(),
        'torch': torch.__version__,
        'opencv': cv2.__version__,
        'numpy': np.__version__,
    }


def machine_line(machine: dict[str, str | int]) -> str:
    """The same in a few lines for a person."""
    cores = f'{machine["cores"]} cores' if machine['cores'] != 1 else '1 core'
    threads = f'{machine["threads"]} threads' if machine['threads'] != 1 else '1 thread'
    gpu = f'; {machine["gpu"]}' if machine['gpu'] else ''
    return (
        f'{machine["cpu"]}, {cores}, torch with {threads}{gpu}\n'
        f'{machine["system"]}, Python {machine["python"]}, torch {machine["torch"]}, '
        f'OpenCV {machine["opencv"]}, NumPy {machine["numpy"]}'
    )


def _cpu_model() -> str:
    try:
        for line in Path('/proc/cpuinfo').read_text().splitlines():
            key, _, value = line.partition(':')
            if key.strip() in ('model name', 'Model') and value.strip():
                return value.strip()
    except OSError:
        pass
    return platform.processor() or platform.machine() or 'unknown processor'

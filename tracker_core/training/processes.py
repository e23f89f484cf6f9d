# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The processes of one training, as torchrun starts them: one for each GPU, on any machines.

Each computes on its share of every batch; PyTorch's DistributedDataParallel adds their gradients.
A training that torchrun did not start is one process.
"""

from __future__ import annotations

from dataclasses import dataclass
import os
from typing import Any

import torch
from torch import distributed, Tensor


@dataclass(frozen=True)
class Processes:
    """The processes of a training, and which of them this one is.

    Attributes:
        count: How many.
        rank: The number of this one; number 0 writes what is written.
        restarted: Whether torchrun started them again, after one of them had ended.
    """

    count: int = 1
    rank: int = 0
    restarted: bool = False

    @classmethod
    def join(cls, device: torch.device) -> Processes:
        """Join those that torchrun started, over NCCL on GPUs and gloo on CPUs."""
        if not distributed.is_torchelastic_launched():
            return cls()
        restarts = int(os.environ.get('TORCHELASTIC_RESTART_COUNT', '0'))
        # not in every build of PyTorch
        from torch.distributed.distributed_c10d import PrefixStore
        from torch.distributed.rendezvous import rendezvous

        if not distributed.is_initialized():
            store, rank, count = next(rendezvous('env://'))
            if os.environ['GROUP_WORLD_SIZE'] == '1':
                # torchrun keeps one store through all restarts: a process that is early would read
                # where one that has ended was to be reached. Several machines may differ in the
                # number of restarts; there torchrun has to make the store anew (docs/training.md).
                store = PrefixStore(f'restart {restarts}', store)
            backend = 'nccl' if device.type == 'cuda' else 'gloo'
            distributed.init_process_group(backend, store=store, rank=rank, world_size=count)
        return cls(distributed.get_world_size(), distributed.get_rank(), restarts > 0)

    @property
    def writes(self) -> bool:
        """Whether this one writes."""
        return self.rank == 0

    @staticmethod
    def leave() -> None:
        """End the connection, where there is one."""
        if distributed.is_available() and distributed.is_initialized():
            distributed.destroy_process_group()

    def share(self, value: Any) -> Any:
        """What process 0 has, in all of them; plain values and tensors on the CPU."""
        if self.count == 1:
            return value
        box = [value]
        distributed.broadcast_object_list(box)
        return box[0]


def local_device() -> str:
    """The GPU that torchrun means for this process, or the CPU."""
    if not torch.cuda.is_available():
        return 'cpu'
    return f'cuda:{os.environ["LOCAL_RANK"]}' if distributed.is_torchelastic_launched() else 'cuda'


def mean_over_processes(value: Tensor) -> Tensor:
    """The mean of a value over all processes, without a gradient.

    A loss that is divided by the mean of a count, and whose gradients are averaged, is the loss of
    the whole batch, however unevenly the count lies in it.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        return value
    value = value.detach().float().clone()
    distributed.all_reduce(value)
    return value / distributed.get_world_size()

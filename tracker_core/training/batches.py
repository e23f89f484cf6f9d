# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Batches of pairs as tensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
import dataclasses
from pathlib import Path
import shutil
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from tracker_core.data import PairConfig, PairSampler, Pool
from tracker_core.errors import ParameterError

CHECK_SEED = 987_654_321  # of the pairs from held-out photos
CHECK_BATCH = 16  # pairs
CHECKED_BATCHES = 16
PREFETCHED = 3  # batches that each process has ready


class PairDataset(Dataset[dict[str, Tensor]]):
    """Pairs as tensors: crops (H, W, 3) uint8, boxes (4,) float32, and whether the
    boxes tell edges, () float32 0 or 1."""

    def __init__(self, sampler: PairSampler) -> None:
        self.sampler = sampler

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        pair = self.sampler.pair(index)
        return {
            'template': torch.from_numpy(pair.template),
            'search': torch.from_numpy(pair.search),
            'template_box': torch.from_numpy(pair.template_box).float(),
            'search_box': torch.from_numpy(pair.search_box).float(),
            'has_edges': torch.tensor(float(pair.has_edges)),
        }


class PairNumbers:
    """Batches of pair numbers from `start` on, without end."""

    def __init__(self, start: int, batch: int) -> None:
        self.start, self.batch = start, batch

    def __iter__(self) -> Iterator[list[int]]:
        at = self.start
        while True:
            yield list(range(at, at + self.batch))
            at += self.batch


def batches(
    sampler: PairSampler, batch: int, start: int = 0, workers: int = 0, pinned: bool = False
) -> Iterator[dict[str, Tensor]]:
    """Batches of pairs, numbered from `start`; the same whatever the number of worker
    processes.

    Args:
        sampler: Of the pairs.
        batch: Pairs per batch.
        start: Number of the first pair.
        workers: Processes that make pairs; 0 makes them in this one.
        pinned: Put them into memory that a GPU reads fast.
    """
    options: dict[str, Any] = {}
    if workers:
        check_shared_memory(sampler.config, batch * workers * PREFETCHED)
        # forked processes share the pool instead of copying it
        options = {'multiprocessing_context': 'fork', 'prefetch_factor': PREFETCHED}
    return iter(
        DataLoader(
            PairDataset(sampler),
            batch_sampler=PairNumbers(start, batch),
            num_workers=workers,
            pin_memory=pinned,
            generator=torch.Generator(),  # else it would draw from the one that losses draw from
            **options,
        )
    )


def check_shared_memory(config: PairConfig, pairs: int) -> None:
    """Refuse more pairs on their way between processes than the memory for that holds."""
    folder = Path('/dev/shm')
    needed = pairs * 3 * (config.template_size**2 + config.search_size**2)
    if folder.is_dir() and shutil.disk_usage(folder).free < needed:
        raise ParameterError(
            f'{folder} has no room for {needed >> 20} MiB of pairs: use fewer --workers, or a '
            'smaller batch'
        )


def to_device(batch: Mapping[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """Move a batch; crops become (N, 3, H, W) float, channels last in memory."""
    moved = {name: value.to(device, non_blocking=True) for name, value in batch.items()}
    return {
        name: (value.permute(0, 3, 1, 2) if value.dim() == 4 else value).float()
        for name, value in moved.items()
    }


def held_out_batches(
    pool: Pool, pairs: PairConfig, device: torch.device
) -> Iterator[dict[str, Tensor]]:
    """Batches of 16 pairs to check with, the same for every run."""
    source = batches(PairSampler(pool, dataclasses.replace(pairs, seed=CHECK_SEED)), CHECK_BATCH)
    for _ in range(CHECKED_BATCHES):
        yield to_device(next(source), device)

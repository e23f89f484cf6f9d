# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Batches of pairs as tensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
import dataclasses
from dataclasses import dataclass
from pathlib import Path
import shutil
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from tracker_core.data import (
    Footage,
    Library,
    Pair,
    PairConfig,
    PairSampler,
    PublishedSampler,
)
from tracker_core.errors import ParameterError
from tracker_core.training.config import Pairs

CHECK_SEED = 987_654_321  # of the pairs from held-out photos
CHECK_BATCH = 16  # pairs
CHECKED_BATCHES = 16
MOST_OTHERS = 8  # of a kind, beside the target in a search crop
PREFETCHED = 3  # batches that each process has ready


class Sampler(Protocol):
    """Numbered pairs: a `PairSampler` or a `PublishedSampler`."""

    def pair(self, index: int) -> Pair:
        """Make pair number `index` (any whole number from zero)."""
        ...


def make_sampler(footage: Footage, pairs: Pairs) -> Sampler:
    """The sampler of a config.

    Raises:
        ParameterError: The footage has nothing for it.
    """
    if isinstance(pairs, PairConfig):
        return PairSampler(footage, pairs)
    if not isinstance(footage, Library):
        raise ParameterError('this training takes data sets, KIND:DIR, not folders of photos')
    return PublishedSampler(footage, pairs)


class PairDataset(Dataset[dict[str, Tensor]]):
    """Pairs as tensors: crops (H, W, 3) uint8, boxes (4,) float32; () float32, 0 or 1: whether the
    boxes tell edges, whether both show the same object, or objects alike; boxes of further ones of
    that kind (8, 4) float32, without area where there is none; and the pair's number, () int64."""

    def __init__(self, sampler: Sampler) -> None:
        self.sampler = sampler

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        pair = self.sampler.pair(index)
        others = np.zeros((MOST_OTHERS, 4))
        others[: len(pair.others)] = pair.others[:MOST_OTHERS]
        return {
            'template': torch.from_numpy(pair.template),
            'search': torch.from_numpy(pair.search),
            'template_box': torch.from_numpy(pair.template_box).float(),
            'search_box': torch.from_numpy(pair.search_box).float(),
            'has_edges': torch.tensor(float(pair.has_edges)),
            'same': torch.tensor(float(pair.same)),
            'alike': torch.tensor(float(pair.alike)),
            'others': torch.from_numpy(others).float(),
            'number': torch.tensor(index),
        }


@dataclass(frozen=True)
class Share:
    """Which pairs of every batch are computed at a time, and where.

    A batch is cut into `parts` runs of equal length. Of these a process takes one in `processes`.

    Attributes:
        parts: How many.
        processes: How many there are.
        rank: Number of this one.
    """

    parts: int = 1
    processes: int = 1
    rank: int = 0

    def numbers(self, start: int, batch: int) -> Iterator[list[int]]:
        """The pairs of this process, run by run, of the batches from pair `start` on, without end.

        Raises:
            ParameterError: The batch cannot be shared out.
        """
        if batch % self.parts:
            raise ParameterError(
                f'a batch of {batch} pairs cannot be cut into {self.parts} equal parts'
            )
        length = batch // self.parts
        while True:
            for part in range(self.rank, self.parts, self.processes):
                yield list(range(start + part * length, start + (part + 1) * length))
            start += batch


class PairNumbers:
    """Numbers of pairs, a list at a time, without end; see `Share`."""

    def __init__(self, start: int, batch: int, share: Share) -> None:
        self.start, self.batch, self.share = start, batch, share

    def __iter__(self) -> Iterator[list[int]]:
        return self.share.numbers(self.start, self.batch)


def batches(
    sampler: Sampler,
    batch: int,
    start: int = 0,
    workers: int = 0,
    pinned: bool = False,
    share: Share | None = None,
) -> Iterator[dict[str, Tensor]]:
    """Batches of pairs, numbered from `start`; the same whatever the number of worker
    processes.

    Args:
        sampler: Of the pairs.
        batch: Pairs per batch.
        start: Number of the first pair.
        workers: Processes that make pairs; 0 makes them in this one.
        pinned: Put them into memory that a GPU reads fast.
        share: What of them; None for all.
    """
    share = share or Share()
    options: dict[str, Any] = {}
    if workers:
        bytes_of_one = sum(value.nbytes for value in PairDataset(sampler)[start].values())
        check_shared_memory(bytes_of_one * batch // share.parts * workers * PREFETCHED)
        # forked processes share the footage instead of copying it
        options = {'multiprocessing_context': 'fork', 'prefetch_factor': PREFETCHED}
    return iter(
        DataLoader(
            PairDataset(sampler),
            batch_sampler=PairNumbers(start, batch, share),
            num_workers=workers,
            pin_memory=pinned,
            generator=torch.Generator(),  # else it would draw from the one that weights draw from
            **options,
        )
    )


def check_shared_memory(needed: int) -> None:
    """Refuse more bytes of pairs on their way between processes than the memory for that holds."""
    folder = Path('/dev/shm')
    if folder.is_dir() and shutil.disk_usage(folder).free < needed:
        raise ParameterError(
            f'{folder} has no room for {needed >> 20} MiB of pairs: use fewer --workers, or a '
            'smaller batch'
        )


def to_device(batch: Mapping[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """Move a batch; crops become (N, 3, H, W) float, channels last in memory."""
    moved = {name: value.to(device, non_blocking=True) for name, value in batch.items()}
    return {
        name: (value.permute(0, 3, 1, 2).float() if value.dim() == 4 else value)
        for name, value in moved.items()
    }


def held_out_batches(
    footage: Footage, pairs: Pairs, device: torch.device
) -> Iterator[dict[str, Tensor]]:
    """Batches of 16 pairs to check with, the same for every run."""
    sampler = make_sampler(footage, dataclasses.replace(pairs, seed=CHECK_SEED))
    source = batches(sampler, CHECK_BATCH)
    for _ in range(CHECKED_BATCHES):
        yield to_device(next(source), device)

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The memory of samples that a classifier goes on learning from."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
import torch
from torch import Tensor
import torch.nn.functional as F

from tracker_core.step import Updates


@dataclass
class SampleWeights:
    """The weights of a memory's slots; they forget exponentially.

    Attributes:
        values: (slots,) weights, float64; zero marks an empty slot.
        capacity: So many slots there may be.
        initial: The first so many slots hold samples of the first frame.
        floor: These weigh at least so much together, and are never replaced; with 0 they are
            like all others.
        newest: Slot of the last sample; None as long as there are only those of the first frame.
    """

    values: NDArray[np.float64]
    capacity: int
    initial: int
    floor: float
    newest: int | None = field(default=None, init=False)

    @classmethod
    def start(cls, initial: int, slots: int, capacity: int, floor: float = 0.0) -> SampleWeights:
        """All alike; there are `slots` slots, and further ones are made up to `capacity`."""
        values = np.zeros(slots)
        values[:initial] = 1 / initial
        return cls(values, capacity, initial, floor)

    def add(self, rate: float) -> int:
        """Choose the slot of a new sample, a new one if there may be more, and weight all anew.

        Args:
            rate: Learning rate: the weight of the sample next to the older ones.

        Returns:
            The slot.
        """
        if len(self.values) < self.capacity:
            slot = len(self.values)
            self.values = np.append(self.values, 0.0)
        else:
            first = self.initial if self.floor > 0 else 0
            slot = first + int(self.values[first:].argmin())
        w = self.values
        if self.newest is None:
            w /= 1 - rate
            w[slot] = rate
        else:
            w[slot] = w[self.newest] / (1 - rate)
        w /= w.sum()
        if w[: self.initial].sum() < self.floor:
            w /= self.floor + w[self.initial :].sum()
            w[: self.initial] = self.floor / self.initial
        self.newest = slot
        return slot


@dataclass
class SampleMemory:
    """Samples with labels and weights. Slots fill in order, so that those in use come first.

    Attributes:
        samples: (slots, ...) features.
        labels: (slots, ...) what is wanted of them.
        weights: Of the slots.
        used: So many slots hold a sample.
    """

    samples: Tensor
    labels: Tensor
    weights: SampleWeights
    used: int

    @classmethod
    def start(cls, samples: Tensor, labels: Tensor, capacity: int, floor: float) -> SampleMemory:
        """All slots at once, the first of them with samples of the first frame; see
        `SampleWeights` for the floor."""
        initial = len(samples)
        weights = SampleWeights.start(initial, capacity, capacity, floor)
        room = capacity - initial
        return cls(_with_room(samples, room), _with_room(labels, room), weights, initial)

    @classmethod
    def growing(cls, samples: Tensor, labels: Tensor, capacity: int) -> SampleMemory:
        """Samples of the first frame, to which slots are added in steps as they are needed."""
        initial = len(samples)
        return cls(samples, labels, SampleWeights.start(initial, initial, capacity), initial)

    def add(self, sample: Tensor, label: Tensor, rate: float) -> None:
        """Keep a sample, which weighs `rate` next to the older ones."""
        slot = self.weights.add(rate)
        slots = len(self.samples)
        if slot == slots:
            room = min(slots, self.weights.capacity - slots)
            self.samples = _with_room(self.samples, room)
            self.labels = _with_room(self.labels, room)
        self.samples[slot], self.labels[slot] = sample, label
        self.used = max(self.used, slot + 1)

    def taken_by(self, updates: Updates) -> tuple[Tensor, Tensor, Tensor]:
        """Samples and labels that an update takes, and their weights, float64 on the host; empty
        slots among them weigh nothing."""
        count = updates.samples(self.used, len(self.samples))
        weights = np.zeros(count)
        weights[: self.used] = self.weights.values[: self.used]
        return self.samples[:count], self.labels[:count], torch.from_numpy(weights)


def _with_room(slots: Tensor, room: int) -> Tensor:
    """With so many empty slots more."""
    return F.pad(slots, (0,) * (2 * slots.dim() - 1) + (room,))

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The memory of samples that ATOM and Ocean's online branch share."""

from __future__ import annotations

import numpy as np
import torch

from tracker_core.discriminative.memory import SampleMemory
from tracker_core.runtime.eager import EagerUpdates


def test_a_growing_memory_keeps_what_a_whole_one_keeps() -> None:
    """It starts with as many slots as samples, and ends with no more than its capacity."""
    generator = torch.Generator().manual_seed(0)
    samples = torch.rand(12, 2, 3, 3, generator=generator)
    labels = torch.rand(12, 4, generator=generator)
    whole = SampleMemory.start(samples[:3], labels[:3], 8, 0.0)
    growing = SampleMemory.growing(samples[:3], labels[:3], 8)
    assert (len(whole.samples), len(growing.samples)) == (8, 3)
    for sample, label in zip(samples[3:], labels[3:], strict=True):
        for memory in (whole, growing):
            memory.add(sample, label, 0.1)
        assert whole.weights.newest == growing.weights.newest
        used = whole.used
        assert growing.used == used <= len(growing.samples) <= 8
        for ours, theirs in zip(
            growing.taken_by(EagerUpdates()), whole.taken_by(EagerUpdates()), strict=True
        ):
            torch.testing.assert_close(ours[:used], theirs[:used])
            assert not ours[used:].any()
    assert growing.used == 8, 'older samples were replaced'
    np.testing.assert_allclose(growing.weights.values.sum(), 1)

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""What the stamps of arriving images tell of losses and clocks."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

from tracker_nodes.arrivals import Arrivals, clock_problem, lost_share

RNG = np.random.default_rng(5)
N = 3000  # frames that each camera sends


def steady(interval: float, jitter: float = 0.0, count: int = N) -> np.ndarray:
    """Stamps of a camera."""
    return (
        interval * np.arange(count) + RNG.normal(0, jitter, count)
        if jitter
        else (interval * np.arange(count))
    )


def losing(stamps: np.ndarray, share: float) -> np.ndarray:
    return stamps[RNG.random(len(stamps)) >= share]


def looks(stamps: np.ndarray) -> np.ndarray:
    """What is estimated at every tenth frame."""
    arrivals = Arrivals()
    shares = []
    for number, stamp in enumerate(stamps, 1):
        arrivals.add(round((stamp + 1) * 1e9), round((stamp + 1) * 1e9))
        if number % 10 == 0:
            shares.append(arrivals.lost_share)
    return np.array(shares)


@pytest.mark.parametrize('jitter', [0.0, 0.05])
@pytest.mark.parametrize(
    ('rate', 'share'), [(5, 0.2), (5, 0.5), (30, 0.2), (30, 0.5), (30, 0.9), (90, 0.5), (90, 0.9)]
)
def test_losses_are_seen(rate: float, jitter: float, share: float):
    """From FEWEST images on; `jitter` is a share of the interval."""
    stamps = losing(steady(1 / rate, jitter / rate, 10 * N), share)
    seen = looks(stamps)[10:]
    told = seen[seen > 0]
    assert len(told) > 0.5 * len(seen)
    assert np.median(told) == pytest.approx(share, abs=0.08)


QUIET = {
    'steady': steady(1 / 30),
    'slow': steady(0.7),
    'with jitter': steady(1 / 30, 0.004),
    'with much jitter': np.sort(steady(1 / 30, 0.02)),
    'irregular': np.cumsum(RNG.uniform(0.02, 0.3, N)),
    'at random': np.cumsum(RNG.exponential(0.1, N)),
    'halves its rate': np.cumsum(np.r_[np.full(500, 1 / 30), np.full(500, 1 / 15)]),
    'doubles its rate': np.cumsum(np.r_[np.full(500, 1 / 15), np.full(500, 1 / 30)]),
    'changes its rate in the dark': np.cumsum(np.repeat([1 / 30, 1 / 15, 1 / 30, 1 / 10], 150)),
    'changes its rate every two seconds': np.cumsum(np.tile(np.repeat([1 / 30, 1 / 15], 50), 9)),
    'every third left out': np.delete(steady(1 / 30), np.s_[::3]),
    'every second left out': steady(1 / 30)[::2],
    'throttled to 8 Hz': np.unique(np.ceil(steady(1 / 8, count=900) * 30)) / 30,
    'film on 60 Hz': np.cumsum(np.tile([2 / 60, 3 / 60], 300)),
    'loses one in a hundred': np.delete(steady(1 / 30), np.s_[::100]),
    'pauses now and then': np.cumsum(np.where(np.arange(N) % 200, 1 / 30, 7.0)),
    'runs backwards': steady(1 / 30)[::-1] + 100.0,
    'no stamps': np.full(N, -1.0),
    'stands still': np.full(N, 3.0),
}


@pytest.mark.parametrize('name', QUIET)
def test_no_false_alarm(name: str):
    assert looks(QUIET[name]).max() < 0.1


def test_nothing_is_said_of_few_images():
    assert lost_share([]) == 0
    assert lost_share([0.033, 0.066] * 5) == 0


def test_losses_that_the_middleware_tells_are_exact():
    arrivals = Arrivals()
    arrivals.is_told = True
    for number in range(100):  # irregular stamps, of which nothing could be said
        arrivals.lose(2 * (number % 2))
        arrivals.add(round(1e9 * (1 + number + RNG.random())), 0)
        assert number >= 29 or arrivals.lost_share == 0, 'nothing is said of few images'
    assert arrivals.lost_share == pytest.approx(0.5)
    for stamp in losing(steady(1 / 30), 0.5):  # the camera itself leaves frames out
        arrivals.add(round(stamp * 1e9) + 1, 0)
    assert arrivals.lost_share == 0


def test_what_came_before_is_forgotten():
    arrivals = Arrivals()
    for stamp in losing(steady(1 / 30), 0.5)[:80]:
        arrivals.add(round(stamp * 1e9) + 1, 0)
    assert arrivals.lost_share > 0.3
    arrivals.clear()
    assert arrivals.lost_share == 0


NAN = math.nan


@pytest.mark.parametrize(
    ('ages', 'max_age', 'words'),
    [
        ([], 0.2, ''),
        ([0.01] * 30, 0, ''),
        ([0.01] * 30, 0.2, ''),
        ([0.01, 0.5, 0.6], 0.2, ''),  # some are late, not all
        ([0.5, 0.6], 0, ''),
        ([0.5, 0.6], 0.2, '0.50 s or more after.*max_age'),
        ([-0.02] * 30, 0.2, ''),
        ([-2.0] * 30, 0.2, '2.00 s or more ahead.*differs'),
        ([1.7e9, 1.7e9], 0, 'behind.*use_sim_time'),
        ([1.7e9, 1.7e9], 0.2, 'behind.*every one is dropped.*use_sim_time'),
        ([-1.7e9, -1.7e9], 0.2, 'ahead of.*use_sim_time'),
        ([NAN, NAN], 0, 'no stamps'),
        ([NAN, NAN], 0.2, 'no stamps.*max_age does not apply'),
        ([NAN, 0.01], 0.2, ''),
    ],
)
def test_clocks(ages: list[float], max_age: float, words: str):
    problem = clock_problem(ages, max_age)
    assert bool(problem) == bool(words), problem
    assert re.search(words, problem)

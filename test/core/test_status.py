# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""How scores become TRACKING, UNCERTAIN and LOST, and how a lost target is searched for."""

from __future__ import annotations

from collections.abc import Sequence
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from tracker_core import Box, TrackStatus
from tracker_core.parameters import TrackerConfig, Value
from tracker_core.status import calibrated, sweep_offset
from tracker_core.step import ProgramKey, Tensors
from tracker_core.target import Proposal, Target
from tracker_core.tracker import Setup, Tracker
from tracker_core.weights import load_weights

IMAGE = np.zeros((100, 200, 3), np.uint8)
START = Box(90, 40, 20, 20)


class Scripted(Tracker[TrackerConfig, str, str]):
    """Reports what it is told to: the logic around it is what is tested."""

    name = 'scripted'

    def __init__(self, **parameters: Value) -> None:
        config = TrackerConfig(score_midpoint=0.5, score_slope=20.0, lost_after=3, **parameters)
        weights = load_weights('scripted', (), 'random')
        super().__init__(Setup('', '', config, torch.device('cpu'), torch.float32, weights))
        self.next = Proposal(START, 1.0, 'first')

    def _start(self, frame: Tensor, box: Box) -> tuple[str, str]:
        return 'model', 'first'

    def search_geometry(self, target: Target[str, str], image_size: tuple[int, int]) -> Tensor:
        return torch.zeros(0)

    def model_tensors(self, target: Target[str, str]) -> Tensors:
        return ()

    def step(self, key: ProgramKey, frame: Tensor, geometry: Tensor, *model: Tensor) -> Tensors:
        return (geometry,)

    def proposal(
        self,
        target: Target[str, str],
        row: list[float],
        kept: Tensors,
        index: int,
        image_size: tuple[int, int],
    ) -> Proposal[str]:
        return self.next

    def play(self, raw_scores: Sequence[float], target: Target) -> list[TrackStatus]:
        states = []
        for k, raw in enumerate(raw_scores):
            self.next = Proposal(Box(91 + target.age, 40, 20, 20), raw, f'state {k}')
            states.append(self.track(IMAGE, target).status)
        return states


T, U, L = TrackStatus.TRACKING, TrackStatus.UNCERTAIN, TrackStatus.LOST


@pytest.mark.parametrize(
    ('raw_scores', 'states'),
    [
        ([0.9, 0.9], [T, T]),
        ([0.9, 0.1, 0.9], [T, U, T]),
        ([0.1, 0.1, 0.1, 0.1], [U, U, L, L]),
        ([0.1, 0.1, 0.47, 0.1, 0.1, 0.1], [U, U, U, U, U, L]),  # the count starts anew
        ([0.47, 0.47], [T, T]),  # between the thresholds nothing changes ...
        ([0.1, 0.47, 0.47], [U, U, U]),
        ([0.1, 0.1, 0.1, 0.47, 0.9], [U, U, L, L, T]),  # ... not even when lost
    ],
)
def test_hysteresis(raw_scores: list[float], states: list[TrackStatus]) -> None:
    tracker = Scripted()
    assert tracker.play(raw_scores, tracker.start(IMAGE, START)) == states


def test_a_lost_target_holds_its_place_and_is_found_again() -> None:
    tracker = Scripted()
    target = tracker.start(IMAGE, START)
    tracker.play([0.9, 0.1, 0.1], target)
    held = (target.box, target.state)
    assert target.velocity[0] > 0
    tracker.play([0.1] * 4, target)
    assert (target.box, target.state) == held
    assert (target.status, target.frames_lost, target.velocity) == (L, 4, (0.0, 0.0))
    assert target.search_offset != (0.0, 0.0)  # every other frame looks elsewhere
    tracker.play([0.9], target)
    assert (target.status, target.frames_lost, target.search_offset) == (T, 0, (0.0, 0.0))
    assert target.box != held[0]
    assert target.age == 8


def test_without_recovery_every_sighting_counts() -> None:
    tracker = Scripted(recover=False)
    target = tracker.start(IMAGE, START)
    tracker.play([0.1] * 6, target)
    assert (target.status, target.search_offset) == (L, (0.0, 0.0))
    assert target.box == Box(96, 40, 20, 20)


@pytest.mark.parametrize(
    'box',
    [None, Box(90, 40, 0.1, 20), Box(90, 40, 900, 20), Box(-5000, 40, 20, 20)],
    ids=['none', 'thin', 'huge', 'far away'],
)
def test_unusable_sightings_are_not_followed(box: Box | None) -> None:
    tracker = Scripted()
    target = tracker.start(IMAGE, START)
    tracker.next = Proposal(box, 0.9, 'worthless')
    track = tracker.track(IMAGE, target)
    assert (track.box, track.score, track.status) == (START, 0.0, U)
    assert target.state == 'first'


@pytest.mark.parametrize('raw_score', [0.1, 0.47, 0.9])
def test_a_place_that_was_not_verified_is_never_tracking(raw_score: float) -> None:
    """Whatever its score was, and for how little more a target would be TRACKING."""
    for parameters in ({}, {'tracking_score': 0.25}):
        tracker = Scripted(**parameters)
        target = tracker.start(IMAGE, START)
        tracker.next = Proposal(START, raw_score, 'went on', is_verified=False)
        track = tracker.track(IMAGE, target)
        assert (track.box, track.status) == (START, U)
        assert track.score <= tracker.config.lost_score
        assert target.state == 'went on'
        tracker.lose(target)
        assert tracker.track(IMAGE, target).status is L


def test_score_is_a_probability() -> None:
    config = TrackerConfig(score_midpoint=0.5, score_slope=10.0)
    scores = [calibrated(raw, config) for raw in (-1e9, 0.0, 0.5, 1.0, 1e9)]
    assert scores == sorted(scores)
    assert all(0 <= score <= 1 for score in scores)
    assert scores[2] == 0.5
    assert calibrated(math.nan, config) == 0.0


def test_sweep_covers_the_image_ring_by_ring() -> None:
    offsets = [sweep_offset(k, START, (200, 100)) for k in range(1, 200)]
    assert all(offset == (0.0, 0.0) for offset in offsets[::2])
    places = offsets[1::2]
    distances = [max(abs(dx), abs(dy)) for dx, dy in places]
    count = len(set(places))
    assert distances[:count] == sorted(distances[:count])
    for dx, dy in places:
        assert 0 <= START.cx + dx <= 200
        assert 0 <= START.cy + dy <= 100
    # no point of the image is farther than one step from a searched place
    for x in range(0, 201, 10):
        for y in range(0, 101, 10):
            assert (
                min(
                    max(abs(START.cx + dx - x), abs(START.cy + dy - y))
                    for dx, dy in [*places, (0, 0)]
                )
                <= 40
            )


def test_sweep_in_a_small_image_stays_at_home() -> None:
    assert sweep_offset(2, Box(0, 0, 100, 100), (100, 100)) == (0.0, 0.0)


def test_a_target_that_is_declared_lost_is_found_only_by_a_sure_sighting() -> None:
    tracker = Scripted()
    target = tracker.start(IMAGE, START)
    tracker.play([0.9, 0.9], target)
    sure = target.box
    tracker.lose(target)
    assert (target.status, target.velocity) == (L, (0.0, 0.0))
    assert tracker.play([0.47, 0.1], target) == [L, L]
    assert (target.box, target.frames_lost) == (sure, 2)
    assert tracker.play([0.9], target) == [T]
    assert target.frames_lost == 0

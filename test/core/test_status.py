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
from tracker_core.status import best_sighting, calibrated, looks, search_places
from tracker_core.step import ProgramKey, Tensors
from tracker_core.target import Candidate, Proposal, Target
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
SIZE = (200, 100)


@pytest.mark.parametrize(
    ('raw_scores', 'states'),
    [
        ([0.9, 0.9], [T, T]),
        ([0.9, 0.1, 0.9], [T, U, T]),
        ([0.1, 0.1, 0.1, 0.1], [U, U, L, L]),
        ([0.1, 0.1, 0.47, 0.1, 0.1, 0.1], [U, U, U, U, U, L]),  # the count starts anew
        ([0.47, 0.47], [U, U]),  # TRACKING is what scores 0.5 or more in this very frame
        ([0.47, 0.9, 0.47], [U, T, U]),
        ([0.1, 0.1, 0.1, 0.47, 0.9, 0.9], [U, U, L, L, L, T]),  # seen twice
        ([0.1, 0.1, 0.1, 0.9, 0.1, 0.9], [U, U, L, L, L, T]),  # ... in three frames
        ([0.1, 0.1, 0.1, 0.9, 0.1, 0.1, 0.9], [U, U, L, L, L, L, L]),
    ],
)
def test_states(raw_scores: list[float], states: list[TrackStatus]) -> None:
    tracker = Scripted()
    assert tracker.play(raw_scores, tracker.start(IMAGE, START)) == states


def test_a_lost_target_is_what_it_was_when_it_was_tracking() -> None:
    """What was accepted on the way to LOST is forgotten."""
    tracker = Scripted()
    target = tracker.start(IMAGE, START)
    tracker.play([0.9], target)
    sure = (target.box, target.state)
    velocity = target.velocity
    assert velocity[0] > 0
    assert tracker.play([0.47, 0.1, 0.1], target) == [U, U, U]
    assert target.box != sure[0]  # UNCERTAIN gives a box
    assert target.sure == sure
    assert tracker.play([0.1, 0.1], target) == [L, L]
    assert (target.box, target.state) == sure
    assert (target.velocity, target.frames_lost) == (velocity, 2)
    assert tracker.play([0.9, 0.9], target) == [L, T]
    assert (target.status, target.frames_lost) == (T, 0)
    assert target.box != sure[0]
    assert target.age == 8


def alike(*raw_and_similarity: tuple[float, float], box: Box = START) -> list[Proposal[str]]:
    return [Proposal(box, raw, 'found', similarity=s) for raw, s in raw_and_similarity]


def test_only_frames_that_look_alike_are_learnt_from() -> None:
    tracker = Scripted(same_similarity=0.3)
    target = tracker.start(IMAGE, START)
    for raw, similarity, may_learn in (
        (0.9, 0.8, True),
        (0.9, 0.2, False),  # sure, but it looks different
        (0.47, 0.8, False),  # alike, but not sure
        (0.9, None, True),  # nothing to compare with
    ):
        tracker.next = Proposal(START, raw, 'found', similarity=similarity)
        tracker.track(IMAGE, target)
        assert target.may_learn is may_learn


def test_the_similarity_counts_in_the_score() -> None:
    config = TrackerConfig(score_midpoint=0.8, score_slope=10.0, similarity_slope=6.0)
    scores = [calibrated(0.5, config, similarity) for similarity in (-0.5, 0.0, 0.5, 0.9)]
    assert scores == sorted(scores)
    assert scores[2] == pytest.approx(0.5)
    assert calibrated(0.5, config) == scores[1]
    assert calibrated(0.5, config, math.nan) == 0.0


def test_a_lost_target_is_taken_up_only_where_it_looks_alike_and_nothing_else_does() -> None:
    tracker = Scripted(same_similarity=0.3)
    target, config = tracker.start(IMAGE, START), tracker.config
    found = best_sighting(target, alike((0.9, 0.5), (0.95, 0.2)), config, SIZE)
    assert found is not None
    assert found.similarity == 0.5
    assert best_sighting(target, alike((0.9, 0.2)), config, SIZE) is None
    assert best_sighting(target, alike((0.4, 0.9)), config, SIZE) is None  # not sure
    elsewhere = alike((0.9, 0.47), box=Box(10, 10, 20, 20))
    assert best_sighting(target, [*alike((0.9, 0.5)), *elsewhere], config, SIZE) is None
    far_less = alike((0.9, 0.4), box=Box(10, 10, 20, 20))
    best = best_sighting(target, [*alike((0.9, 0.5)), *far_less], config, SIZE)
    assert best is not None
    assert best.box == START
    unseen = [Proposal(START, 0.9, 'found', is_verified=False, similarity=0.9)]
    assert best_sighting(target, unseen, config, SIZE) is None


def test_what_looks_far_less_like_the_target_than_usual_is_not_it() -> None:
    """What hides it may score as it does, and so may a part of it that comes into sight."""
    tracker = Scripted()
    target = tracker.start(IMAGE, START)

    def states(similarity: float, count: int) -> list[TrackStatus]:
        tracker.next = alike((0.9, similarity))[0]
        return [tracker.track(IMAGE, target).status for _ in range(count)]

    assert states(0.8, 60) == [T] * 60
    usual = target.usual_similarity
    assert usual == pytest.approx(0.8, abs=0.03)
    assert states(0.65 * usual, 1) == [T]  # things change
    assert states(0.5 * usual, 3) == [U, U, L]
    assert states(0.65 * usual, 3) == [L, L, L]
    assert states(0.75 * usual, 2) == [L, T]


def test_a_lost_target_is_not_taken_up_in_another_tint() -> None:
    """Deep features of a thing are alike in any colour."""
    tracker = Scripted()

    def painted(colour: tuple[int, int, int]) -> np.ndarray:
        image = np.full((100, 200, 3), 120, np.uint8)
        image[40:60, 90:110] = colour
        return image

    red, violet = painted((200, 60, 60)), painted((170, 60, 90))
    target = tracker.start(red, START)
    for _ in range(30):
        tracker.track(red, target)
    assert target.tint is not None
    assert target.tint.spread < 0.02
    tracker.lose(target)
    tracker.next = alike((0.9, 0.8))[0]
    assert [tracker.track(violet, target).status for _ in range(10)] == [L] * 10
    assert [tracker.track(red, target).status for _ in range(2)] == [L, T]
    tracker.lose(target)
    assert [tracker.track(red // 2, target).status for _ in range(2)] == [L, T]  # less light
    # when it was away for long the light may be another; a wholly different colour it is not
    tracker.lose(target)
    statuses = [tracker.track(violet, target).status for _ in range(1500)]
    assert T in statuses[300:]
    assert T not in statuses[:100]


def test_a_lost_target_is_searched_for_everywhere_and_at_three_sizes() -> None:
    tracker = Scripted()
    target = tracker.start(IMAGE, START)
    tracker.lose(target)
    sizes: list[float] = []

    def resized(state: str, factor: float) -> str:
        sizes.append(factor)
        return state

    seen = set()
    for _ in range(100):
        found = looks(target, tracker.config, SIZE, resized, 3)
        assert len(found) == 3
        seen |= {each.search_offset for each in found}
        assert all(each.state == target.state for each in found)
    assert set(sizes) >= {1.6, 0.65}
    # no point of the image is farther than one step from a searched place
    for x in range(0, 201, 10):
        for y in range(0, 101, 10):
            assert any(
                max(abs(START.cx + dx - x), abs(START.cy + dy - y)) <= 40 for dx, dy in seen
            )
    target.candidate = Candidate(Box(10, 10, 20, 20), 'there')
    first = looks(target, tracker.config, SIZE, resized, 2)[0]
    assert (first.state, first.search_offset) == ('there', (0.0, 0.0))


def test_suggested_places_are_looked_at_first() -> None:
    tracker = Scripted()
    target = tracker.start(IMAGE, START)
    tracker.suggest(target, [Box(0, 0, 40, 40)])
    assert target.suggestions == []  # it is not lost
    tracker.lose(target)
    tracker.suggest(target, [Box(150, 60, 40, 40), Box(0, 0, 10, 10), Box(5, 5, 20, 20)])
    factors: list[float] = []

    def resized(state: str, factor: float) -> str:
        factors.append(factor)
        return state

    first, second = looks(target, tracker.config, SIZE, resized, 2)
    assert (first.search_offset, second.search_offset) == ((70.0, 30.0), (-95.0, -45.0))
    assert factors == [2.0, 0.5]
    third, fourth = looks(target, tracker.config, SIZE, resized, 2)
    assert third.search_offset == (-85.0, -35.0)
    assert fourth.search_offset == (0.0, 0.0)  # and then the search goes on
    tracker.suggest(target, [START] * 100)
    assert len(target.suggestions) < 100


def test_places_begin_where_the_target_went() -> None:
    places = search_places((90, 40, 20, 20), (180, 50), SIZE)
    distances = [math.hypot(100 + dx - 180, 50 + dy - 50) for dx, dy in places]
    assert distances == sorted(distances)
    assert distances[0] < 1
    assert len(set(places)) == len(places)
    # however small it is, and however large the image
    assert len(search_places((0, 0, 2, 2), (0, 0), (3840, 2160))) < 2000


def test_what_was_learnt_shortly_before_is_taken_back() -> None:
    tracker = Scripted()
    target = tracker.start(IMAGE, START)
    for number in range(40):
        target.model = f'learnt until {number}'
        tracker.play([0.9], target)
    kept = [age for age, _ in target.snapshots]
    assert kept == [1, 16, 31]
    assert tracker.play([0.1] * 3, target) == [U, U, L]
    assert target.model == 'learnt until 30'  # of age 31, which is more than five frames ago
    assert target.age == 43


def test_without_recovery_every_sighting_counts() -> None:
    tracker = Scripted(recover=False)
    target = tracker.start(IMAGE, START)
    tracker.play([0.1] * 6, target)
    assert target.status is L
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


def test_a_target_that_is_declared_lost_is_found_only_by_sure_sightings() -> None:
    tracker = Scripted()
    target = tracker.start(IMAGE, START)
    tracker.play([0.9, 0.9], target)
    sure = target.box
    tracker.lose(target)
    assert target.status is L
    assert tracker.play([0.47, 0.1], target) == [L, L]
    assert (target.box, target.frames_lost) == (sure, 2)
    assert tracker.play([0.9, 0.9], target) == [L, T]
    assert target.frames_lost == 0

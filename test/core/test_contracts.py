# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""What every tracker promises, checked for every registered tracker and preset.

Presets without bundled weights run on seeded random ones: contracts do not depend on accuracy.
"""

from __future__ import annotations

from collections.abc import Callable
import copy
import dataclasses
import math

import numpy as np
from presets import PRESETS, REDUCED
import pytest
import torch

from tracker_core import (
    Box,
    BoxError,
    create_tracker,
    ImageError,
    ParameterError,
    Target,
    Track,
    Tracker,
    tracker_declaration,
    TrackerError,
    TrackStatus,
    UnknownTrackerError,
    WeightsError,
)
from tracker_core.parameters import describe

Begin = Callable[[Tracker], Target]


def make_tracker(name: str, preset: str, finds: bool = False) -> Tracker:
    """With so little learning that it is affordable, unless it has to find something and has
    weights for that."""
    weights = None if has_bundled_weights(name, preset) else 'random'
    reduced = {} if finds and not weights else REDUCED.get((name, preset), {})
    return create_tracker(name, preset, 'cpu', 'float32', weights=weights, **reduced)


def has_bundled_weights(name: str, preset: str) -> bool:
    return tracker_declaration(name).preset(preset).is_bundled


@pytest.fixture(scope='module', params=PRESETS, ids='-'.join)
def which(request: pytest.FixtureRequest) -> tuple[str, str]:
    """Tracker and preset; test_examples.py has another one."""
    return request.param


@pytest.fixture(scope='module')
def tracker(which: tuple[str, str]) -> Tracker:
    """For what does not depend on how much it has learnt."""
    return make_tracker(*which)


@pytest.fixture(scope='module')
def finder(which: tuple[str, str], tracker: Tracker) -> Tracker:
    """For what has to be found, and learnt from."""
    is_reduced = has_bundled_weights(*which) and which in REDUCED
    return make_tracker(*which, finds=True) if is_reduced else tracker


@pytest.fixture(scope='module')
def begin(which: tuple[str, str]) -> Begin:
    """Gives targets that begin in `scene_box(0)` of the first image; copies of one per tracker,
    since `start` gives the same again (`test_deterministic`) and may take seconds."""
    begun: dict[int, Target] = {}

    def copy_of(tracker: Tracker) -> Target:
        if id(tracker) not in begun:
            begun[id(tracker)] = tracker.start(scene(1)[0], scene_box(0))
        return copy.deepcopy(begun[id(tracker)], {id(tracker): tracker})

    return copy_of


def scene(frames: int, size: tuple[int, int] = (120, 160), seed: int = 0) -> list[np.ndarray]:
    """A coloured patch that moves 3 pixels a frame over noise; its box is `scene_box(k)`."""
    rng = np.random.default_rng(seed)
    background = rng.integers(60, 120, (*size, 3), dtype=np.uint8)
    patch = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8).repeat(5, axis=0).repeat(5, axis=1)
    images = []
    for k in range(frames):
        image = background.copy()
        x, y = 50 + 3 * k, 40 + k
        image[y : y + 30, x : x + 30] = patch
        images.append(image)
    return images


def scene_box(k: int) -> Box:
    return Box(50 + 3 * k, 40 + k, 30, 30)


def follow(tracker: Tracker, images: list[np.ndarray], box: Box) -> list[Track]:
    return go_on(tracker, tracker.start(images[0], box), images)


def go_on(tracker: Tracker, target: Target, images: list[np.ndarray]) -> list[Track]:
    """In the second image and its followers."""
    return [tracker.track(image, target) for image in images[1:]]


def assert_well_formed(track: Track) -> None:
    assert isinstance(track.box, Box)
    assert 0.0 <= track.score <= 1.0
    assert isinstance(track.status, TrackStatus)
    assert isinstance(track.raw_score, float)


def test_follows_and_reports(finder: Tracker, begin: Begin) -> None:
    target = begin(finder)
    assert target.box == target.first_box == scene_box(0)
    assert (target.age, target.status) == (0, TrackStatus.TRACKING)
    for age, image in enumerate(scene(3)[1:], start=1):
        track = finder.track(image, target)
        assert_well_formed(track)
        assert (target.age, target.box, target.score) == (age, track.box, track.score)
    if has_bundled_weights(finder.name, finder.preset):
        assert track.box.iou(scene_box(2)) > 0.5


def test_compares_with_the_first_frame(finder: Tracker, begin: Begin) -> None:
    """The compact presets do; what is not the target looks less like it."""
    images = scene(2)
    target = begin(finder)
    finder.track(images[1], target)
    if finder.network_kind != 'compact':
        assert target.similarity is None
        return
    assert target.similarity is not None
    assert 0.6 < target.similarity <= 1.0
    empty = np.random.default_rng(7).integers(60, 120, images[0].shape, dtype=np.uint8)
    finder.track(empty, target)
    assert -1.0 <= target.similarity < 0.4
    assert target.status != TrackStatus.TRACKING
    assert not target.may_learn


def test_a_lost_target_is_found_elsewhere(finder: Tracker) -> None:
    if not has_bundled_weights(finder.name, finder.preset):
        pytest.skip('random weights find nothing')
    small = scene(1)[0]
    image = np.random.default_rng(0).integers(60, 120, (240, 320, 3), dtype=np.uint8)
    first, later = image.copy(), image.copy()
    first[40:70, 50:80] = later[190:220, 250:280] = small[40:70, 50:80]
    target = finder.start(first, scene_box(0))
    finder.lose(target)
    held = target.box
    tracks = []
    for _ in range(80):
        tracks.append(finder.track(later, target))
        if tracks[-1].status is TrackStatus.TRACKING:
            break
    assert tracks[0].status is TrackStatus.LOST
    assert tracks[0].box == held
    assert tracks[-1].status is TrackStatus.TRACKING
    assert tracks[-1].box.iou(Box(250, 190, 30, 30)) > 0.5


@pytest.mark.parametrize('size', [(16, 16), (17, 200), (333, 50), (480, 640)])
def test_image_sizes(tracker: Tracker, size: tuple[int, int]) -> None:
    image = np.random.default_rng(1).integers(0, 256, (*size, 3), dtype=np.uint8)
    box = Box(size[1] / 4, size[0] / 4, size[1] / 2, size[0] / 2)
    for track in follow(tracker, [image, image], box):
        assert_well_formed(track)


def test_image_size_may_change_between_frames(tracker: Tracker, begin: Begin) -> None:
    target = begin(tracker)
    for size in ((90, 130), (240, 320)):
        assert_well_formed(tracker.track(scene(1, size)[0], target))


@pytest.mark.parametrize(
    'box',
    [
        Box(60, 50, 1, 1),
        Box(0, 0, 160, 120),
        Box(-20, -10, 40, 40),
        Box(140, 100, 60, 60),
        Box(-30, -30, 400, 400),
        Box(159.5, 119.5, 5, 5),
        Box(10.25, 20.75, 33.3, 44.4),
        Box(70, 5, 2, 110),
    ],
    ids=[
        'one pixel',
        'whole image',
        'over top-left',
        'over bottom-right',
        'larger than the image',
        'barely inside',
        'fractional',
        'thin',
    ],
)
def test_boxes(tracker: Tracker, box: Box) -> None:
    for track in follow(tracker, scene(3), box):
        assert_well_formed(track)


OTHER_IMAGES: list[object] = [
    np.zeros((120, 160), np.uint8),
    np.zeros((120, 160, 1), np.uint8),
    np.zeros((120, 160, 4), np.uint8),
    np.zeros((3, 120, 160), np.uint8),
    np.zeros((120, 160, 3), np.float32),
    np.zeros((120, 160, 3), np.int64),
    np.zeros((15, 160, 3), np.uint8),
    np.zeros((0, 0, 3), np.uint8),
    torch.zeros(120, 160, 3),
    [[1, 2, 3]],
    None,
]


def test_refuses_other_images(tracker: Tracker, begin: Begin) -> None:
    target = begin(tracker)
    for image in OTHER_IMAGES:
        with pytest.raises(ImageError, match='image'):
            tracker.start(image, scene_box(0))
        with pytest.raises(ImageError, match='image'):
            tracker.track(image, target)
    assert_well_formed(tracker.track(scene(1)[0], target))  # and carries on


@pytest.mark.parametrize('box', [Box(200, 0, 10, 10), Box(-50, 20, 50, 10), Box(0, 120, 10, 10)])
def test_refuses_boxes_outside(tracker: Tracker, box: Box) -> None:
    with pytest.raises(BoxError, match='outside'):
        tracker.start(scene(1)[0], box)


def test_numpy_and_torch_images_give_equal_results(tracker: Tracker, begin: Begin) -> None:
    images = scene(2)
    padded = [np.pad(image, ((0, 0), (0, 8), (0, 0)))[:, :160] for image in images]  # strided
    frozen = [image.copy() for image in images]
    for image in frozen:
        image.flags.writeable = False
    expected = go_on(tracker, begin(tracker), images)
    for variant in ([torch.from_numpy(image) for image in images], padded, frozen):
        assert follow(tracker, variant, scene_box(0)) == expected


def test_deterministic(tracker: Tracker, begin: Begin) -> None:
    """Of one tracker and of another like it, also in going on from a copy of a target."""
    images = scene(3)
    first = go_on(tracker, begin(tracker), images)
    torch.manual_seed(123)
    np.random.seed(5)  # the global generators must not matter
    assert follow(tracker, images, scene_box(0)) == first
    again = make_tracker(tracker.name, tracker.preset)
    assert follow(again, images, scene_box(0)) == first


def test_images_are_left_alone(tracker: Tracker) -> None:
    images = scene(2)
    copies = [image.copy() for image in images]
    follow(tracker, images, scene_box(0))
    assert all(np.array_equal(a, b) for a, b in zip(images, copies, strict=True))


def test_targets_do_not_influence_each_other(finder: Tracker, begin: Begin) -> None:
    """Alone, interleaved and batched, a target's tracks are the same."""
    images = scene(3)
    boxes = [scene_box(0), Box(20, 60, 40, 30), Box(110, 10, 24, 36)]
    if not has_bundled_weights(finder.name, finder.preset):
        boxes = boxes[:2]  # whose first frames take seconds
    alone = [go_on(finder, begin(finder), images)]
    alone += [follow(finder, images, box) for box in boxes[1:]]

    targets = [finder.start(images[0], box) for box in boxes]
    others = [copy.deepcopy(target, {id(finder): finder}) for target in targets]
    interleaved = [[finder.track(image, t) for t in targets] for image in images[1:]]
    assert [list(tracks) for tracks in zip(*interleaved, strict=True)] == alone

    batched = [finder.track_many(image, others) for image in images[1:]]
    for tracks, expected in zip(zip(*batched, strict=True), alone, strict=True):
        for track, reference in zip(tracks, expected, strict=True):
            np.testing.assert_allclose(track.box.as_xywh(), reference.box.as_xywh(), atol=0.01)
            assert track.score == pytest.approx(reference.score, abs=1e-3)
            assert track.status == reference.status


def test_track_many_of_nothing(tracker: Tracker) -> None:
    assert tracker.track_many(scene(1)[0], []) == []


def test_when_it_learns_does_not_matter(tracker: Tracker, begin: Begin) -> None:
    """Learning at once or just before the next frame gives the same tracks."""
    images = scene(3)
    at_once = go_on(tracker, begin(tracker), images)
    target = begin(tracker)
    later = []
    for image in images[1:]:
        later.append(tracker.track(image, target, learn=False))
        tracker.learn(target)
        tracker.learn(target)  # a second call does nothing
    assert later == at_once


def test_a_target_belongs_to_its_tracker(tracker: Tracker, begin: Begin) -> None:
    other = make_tracker(tracker.name, tracker.preset)
    with pytest.raises(TrackerError, match='started it'):
        other.track(scene(1)[0], begin(tracker))


def test_random_images_never_break_it(tracker: Tracker, begin: Begin) -> None:
    """Whatever comes, a frame is answered, and boxes stay finite."""
    rng = np.random.default_rng(3)
    images = [rng.integers(0, 256, (120, 160, 3), dtype=np.uint8) for _ in range(6)]
    images += [np.zeros((120, 160, 3), np.uint8), np.full((120, 160, 3), 255, np.uint8)]
    for track in go_on(tracker, begin(tracker), [scene(1)[0], *images]):
        assert_well_formed(track)


def test_parameters_are_documented_and_checked(tracker: Tracker) -> None:
    for info in describe(tracker.config):
        assert info.help.endswith('.'), info.name
        assert info.check(info.default) == info.default
        wrong = 'text' if info.type is not str else 5
        with pytest.raises(ParameterError, match=info.name):
            dataclasses.replace(tracker.config, **{info.name: wrong})
        if info.type is float:
            with pytest.raises(ParameterError, match=info.name):
                dataclasses.replace(tracker.config, **{info.name: math.nan})
        if info.minimum is not None:
            with pytest.raises(ParameterError, match=info.name):
                dataclasses.replace(tracker.config, **{info.name: info.type(info.minimum - 1)})
        if info.maximum is not None:
            with pytest.raises(ParameterError, match=info.name):
                dataclasses.replace(tracker.config, **{info.name: info.type(info.maximum + 1)})


def test_create_refuses(which: tuple[str, str], tmp_path) -> None:
    name, preset = which
    with pytest.raises(UnknownTrackerError, match=name):
        create_tracker(name + 'x', preset=preset)
    with pytest.raises(UnknownTrackerError, match='compact'):
        create_tracker(name, preset='huge')
    with pytest.raises(ParameterError, match='device'):
        create_tracker(name, preset=preset, device='tpu9', weights='random')
    with pytest.raises(ParameterError, match='device'):
        create_tracker(name, preset=preset, device='cuda:77', weights='random')
    with pytest.raises(ParameterError, match='precision'):
        create_tracker(name, preset=preset, precision='float8', weights='random')
    with pytest.raises(ParameterError, match='runtime'):
        create_tracker(name, preset=preset, runtime='abacus', weights='random')
    with pytest.raises(ParameterError, match='no_such'):
        create_tracker(name, preset=preset, weights='random', no_such=1)
    with pytest.raises(WeightsError, match=r'missing\.pth'):
        create_tracker(name, preset=preset, weights=str(tmp_path / 'missing.pth'))
    garbage = tmp_path / 'garbage.pth'
    garbage.write_bytes(b'not a checkpoint')
    with pytest.raises(WeightsError, match=r'garbage\.pth|folder'):
        create_tracker(name, preset=preset, weights=str(garbage))


def test_missing_weights_say_where_to_get_them(
    which: tuple[str, str], monkeypatch, tmp_path
) -> None:
    name, preset = which
    if has_bundled_weights(name, preset):
        assert create_tracker(name, preset=preset, device='cpu').weights.checksum != 'random'
    else:
        monkeypatch.setenv('TRACKER_WEIGHTS', str(tmp_path))
        with pytest.raises(WeightsError, match='Get it from'):
            create_tracker(name, preset=preset, device='cpu')

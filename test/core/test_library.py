# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Pairs out of data sets on a disk: what is drawn, how it is cut, what is said of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
from noise import noise_image, PLAIN
import numpy as np
import pytest
import torch

from tracker_core.data import (
    Library,
    PairConfig,
    PairSampler,
    PublishedPairConfig,
    PublishedSampler,
)
from tracker_core.data.library import Shelf
from tracker_core.data.sequences import Files, ImageSet, VideoSequence
from tracker_core.errors import ImageError, ParameterError
from tracker_core.training.batches import batches
from tracker_core.training.footage import is_dataset, open_libraries

STILL = PublishedPairConfig(
    template_shift=0.0,
    template_scale=0.0,
    shift=0.0,
    scale=0.0,
    brightness=0.0,
    color=0.0,
    frames_apart={'': 2.0},
)
FRAMES = 8


def write_video(folder: Path, gray: int = 20, frames: int = FRAMES) -> VideoSequence:
    """A white rectangle that moves by ten pixels a frame, in a video of one gray."""
    folder.mkdir(parents=True)
    boxes = np.array([[100.0 + 10 * n, 120, 50, 40] for n in range(frames)])
    for number, (x, y, w, h) in enumerate(boxes.astype(int)):
        image = np.full((300, 400, 3), gray, np.uint8)
        image[y : y + h, x : x + w] = 240
        cv2.imwrite(str(folder / f'{number}.png'), image)
    files = Files(folder, [f'{n}.png' for n in range(frames)])
    return VideoSequence(folder.name, files, boxes, category=folder.name.split('_')[0])


def photos(folder: Path, categories: list[int]) -> ImageSet:
    """A photo of noise for each object."""
    folder.mkdir()
    for number in range(len(categories)):
        cv2.imwrite(str(folder / f'{number}.png'), noise_image(number))
    names = [f'{n}.png' for n in range(len(categories))]
    boxes = np.array([[80.0, 60, 70, 50]] * len(categories))
    ones = np.ones(len(categories), int)
    return ImageSet(Files(folder, names), ones, boxes, np.array(categories), ['cat', 'dog'])


def white(crop: np.ndarray) -> np.ndarray:
    """The box of what is white."""
    ys, xs = np.nonzero(crop[:, :, 0] > 130)
    return np.array([xs.min(), ys.min(), xs.max() + 1 - xs.min(), ys.max() + 1 - ys.min()])


def test_boxes_are_where_the_object_is(tmp_path: Path) -> None:
    """Whatever is done to the view; and the same pair comes again."""
    library = Library([Shelf('otb', [write_video(tmp_path / 'a')])])
    moved = replace(STILL, template_shift=4.0, template_scale=0.05, shift=40.0, scale=0.18)
    for config in (moved, replace(moved, spread=0.5, repeats_border=True)):
        sampler, again = (PublishedSampler(library, config) for _ in range(2))
        for index in range(15):
            pair = sampler.pair(index)
            assert white(pair.template) == pytest.approx(pair.template_box, abs=1.1)
            if pair.search_box[2] < 200:
                assert white(pair.search) == pytest.approx(pair.search_box, abs=1.1)
            np.testing.assert_array_equal(again.pair(index).search, pair.search)
            assert pair.same
            assert pair.alike


def test_sizes_are_those_of_the_papers(tmp_path: Path) -> None:
    """Ocean's and SPM-Tracker's: half its mean side around the target is 127 pixels wide. ATOM's:
    the crop is five times the target."""
    library = Library([Shelf('otb', [write_video(tmp_path / 'a')])])
    w, h = 50, 40
    pair = PublishedSampler(library, STILL).pair(0)
    context = np.sqrt((w + (w + h) / 2) * (h + (w + h) / 2))
    assert pair.search_box[2:] == pytest.approx(np.array([w, h]) * 127 / context)
    atom = replace(STILL, template_size=288, search_size=288, object_size=57.6, context=0.0)
    pair = PublishedSampler(library, atom).pair(0)
    assert np.sqrt(pair.search_box[2:].prod()) == pytest.approx(288 / 5)


def test_frames_are_not_too_far_apart(tmp_path: Path) -> None:
    """And never those in which nothing is seen; the gap is that of the kind of data set."""
    video = write_video(tmp_path / 'a')
    hidden = np.isin(np.arange(FRAMES), (2, 5))
    video = VideoSequence('a', video.frames, video.boxes, absent=hidden)
    shelf = Shelf('vid', [video])
    rng = np.random.default_rng(0)
    for apart in (1, 3):
        gaps = set()
        for _ in range(60):
            early, late = shelf.views(rng, (-1, 0), apart)
            first, second = (int(each.file.stem) for each in (early, late))
            assert not {first, second} & {2, 5}
            gaps.add(abs(first - second))
        assert max(gaps) == apart
    config = PublishedPairConfig(frames_apart={'': 100.0, 'vid': 3.0})
    assert (config.apart('vid'), config.apart('got10k')) == (3, 100)


def test_kin_and_strangers(tmp_path: Path) -> None:
    """Pairs of two objects say so: of one category, of two, and of what has no category."""
    images = photos(tmp_path / 'photos', [0, 0, 1, 1])
    videos = [write_video(tmp_path / name) for name in ('cat_1', 'bird_1')]
    shelf = Shelf('own', videos, [images])
    assert shelf.in_photos == 4
    library = Library([shelf])
    assert set(shelf.kin) == {'cat', 'dog'}  # there is one bird
    sampler = PublishedSampler(library, replace(STILL, kin=1.0))
    relations = {(pair.same, pair.alike) for pair in map(sampler.pair, range(40))}
    assert relations == {(False, True), (True, True)}  # the latter of the bird
    sampler = PublishedSampler(library, replace(STILL, negatives=1.0))
    relations = {(pair.same, pair.alike) for pair in map(sampler.pair, range(60))}
    assert relations == {(False, False), (False, True), (True, True)}
    rng = np.random.default_rng(0)
    for _ in range(30):
        item = shelf.draw_item(rng)
        other = shelf.draw_kin(rng, item)
        if other is not None:
            assert other != item
            assert shelf.category(other) == shelf.category(item) != 'bird'


def test_others_of_the_kind_are_told(tmp_path: Path) -> None:
    """Those on the photo that lie in the crop, where they belong."""
    image = np.full((300, 400, 3), 20, np.uint8)
    boxes = np.array(
        [[100.0, 120, 50, 40], [160, 120, 40, 40], [340, 10, 40, 40], [90, 90, 20, 20]]
    )
    for x, y, w, h in boxes[:2].astype(int):
        image[y : y + h, x : x + w] = 240
    cv2.imwrite(str(tmp_path / '0.png'), image)
    categories = np.array([0, 0, 0, 1])
    files = Files(tmp_path, ['0.png'])
    images = ImageSet(files, np.array([4]), boxes, categories, ['cat', 'dog'])
    shelf = Shelf('coco', [], [images])
    seen, _ = shelf.views(np.random.default_rng(0), (0, 0), 0)
    np.testing.assert_array_equal(seen.others(), boxes[1:3])
    sampler = PublishedSampler(Library([shelf]), replace(STILL, search_size=255, kin=0.5))
    found = [sampler.pair(index) for index in range(20)]
    both = [pair for pair in found if pair.same and len(pair.others) == 1]
    assert both
    for pair in both:
        x, y, w, h = pair.others[0]
        assert pair.search[int(y) + 2 : int(y + h) - 2, int(x) + 2 : int(x + w) - 2].min() > 200
    plain = PublishedSampler(Library([shelf]), STILL)
    assert not any(len(plain.pair(index).others) for index in range(20))


def test_kinds_are_drawn_by_their_weights(tmp_path: Path) -> None:
    shelves = [Shelf(kind, [write_video(tmp_path / kind)]) for kind in ('got10k', 'lasot')]
    library = Library(shelves)
    rng = np.random.default_rng(0)
    kinds = [library.draw_shelf(rng, {'got10k': 3.0}).kind for _ in range(400)]
    assert 0.68 < kinds.count('got10k') / 400 < 0.82
    with pytest.raises(ParameterError, match='no data set has a weight'):
        library.draw_shelf(rng, {'got10k': 0.0, 'lasot': 0.0})


def test_a_broken_image_is_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Another pair is made, and it is said; where none can be read, that is an error."""
    video = write_video(tmp_path / 'a')
    video.frames[3].write_bytes(b'no image')
    sampler = PublishedSampler(Library([Shelf('otb', [video])]), STILL)
    for index in range(20):
        assert sampler.pair(index).search.max() > 200
    assert '3.png is not an image' in caplog.text
    for file in video.frames:
        file.unlink()
    with pytest.raises(ImageError, match='does not exist'):
        sampler.pair(0)


def test_tiny_boxes_are_no_objects(tmp_path: Path) -> None:
    video = write_video(tmp_path / 'a')
    small = VideoSequence('a', video.frames, video.boxes * [1, 1, 0.1, 0.1])
    with pytest.raises(ParameterError, match='no object is seen in two frames'):
        Library([Shelf('otb', [small])])


def test_compact_pairs_from_data_sets(tmp_path: Path) -> None:
    """The augmented pairs of the compact presets are had from videos and photos on a disk, too."""
    shelf = Shelf('own', [write_video(tmp_path / 'a')], [photos(tmp_path / 'photos', [0, 1])])
    sources = set()
    for weights in ((1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 1)):
        config = PairConfig(sources=weights, **{**PLAIN, 'distractor': 1.0, 'alike': 0.5})
        pair = PairSampler(Library([shelf]), config).pair(0)
        sources.add((pair.source, pair.has_edges))
    assert sources == {('photo', False), ('box', True), ('sequence', True)}


def test_processes_make_the_same_pairs(tmp_path: Path) -> None:
    library = Library([Shelf('otb', [write_video(tmp_path / 'a')])])
    sampler = PublishedSampler(library, replace(STILL, shift=30.0, brightness=0.2))
    alone, shared = (batches(sampler, 3, 6, workers) for workers in (0, 2))
    for _ in range(3):
        one, other = next(alone), next(shared)
        assert all(torch.equal(one[name], other[name]) for name in one)


def write_own(folder: Path, count: int) -> None:
    """Videos of two frames, with OTB's ground truth."""
    for number in range(count):
        (folder / f'v{number}' / 'img').mkdir(parents=True)
        for frame in range(2):
            cv2.imwrite(str(folder / f'v{number}' / 'img' / f'{frame}.png'), noise_image(number))
        (folder / f'v{number}' / 'groundtruth_rect.txt').write_text('11,13,40,30\n' * 2)


def test_some_are_held_out(tmp_path: Path) -> None:
    """By their names, none of them learnt from; or others, if such are given."""
    write_own(tmp_path / 'a', 30)
    write_own(tmp_path / 'b', 2)
    specs = [f'otb:{tmp_path / name}' for name in 'ab']
    learned, held_out = open_libraries(specs[:1])
    assert held_out is not None
    names = [{each.name for each in of.shelves[0].sequences} for of in (learned, held_out)]
    assert not names[0] & names[1]
    assert len(names[0] | names[1]) == 30
    learned, held_out = open_libraries(specs[:1], specs[1:])
    assert held_out is not None
    assert [len(of.shelves[0].sequences) for of in (learned, held_out)] == [30, 2]
    assert str(learned) == 'otb: 30 sequences and 0 objects in photos, 60 frames'
    assert is_dataset(specs[0])
    assert not is_dataset(str(tmp_path))


@pytest.mark.parametrize(
    ('entries', 'message'),
    [
        ({'search_size': 8}, 'at least 16'),
        ({'scale': 1.5}, 'between 0 and 1'),
        ({'shift': -1.0}, 'not be negative'),
        ({'kin': 0.7, 'negatives': 0.5}, 'above 1 together'),
        ({'frames_apart': {'vid': -1.0}}, 'frames_apart: vid'),
    ],
)
def test_bad_configs_are_refused(entries: dict, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        replace(STILL, **entries)

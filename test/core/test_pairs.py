# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Training pairs: boxes that are exact, pairs that repeat, folders that are read."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
from noise import noise_image, noise_pool, PLAIN
import numpy as np
import pytest

import tracker_core.data
from tracker_core.data import load_pool, PairConfig, PairSampler, PhotoPool
from tracker_core.data.geometry import Bend, bounds, ellipse, map_box, map_points, view_matrix
from tracker_core.data.photos import make_photo
from tracker_core.data.regions import follow_regions, outlined, Region
from tracker_core.data.sequences import DatasetError
from tracker_core.errors import ParameterError


def marked_pool(box: tuple[float, float, float, float], outlined: bool = False) -> PhotoPool:
    """A dark photo, large enough for every crop, with a white rectangle exactly on the box; what
    is `outlined` of it is an ellipse."""
    image = np.full((1100, 1100, 3), 20, np.uint8)
    x, y, w, h = (int(side) for side in box)
    image[y : y + h, x : x + w] = 240
    photo = make_photo(image, boxes=np.array([box]))
    region = Region(photo, np.array(box, np.float64))
    outline = (ellipse(region.box),) if outlined else ()
    return PhotoPool([photo], [region._replace(outline=outline)])


def visible_box(crop: np.ndarray) -> np.ndarray:
    """The white rectangle's box, from how much white each row and column holds."""
    white = (crop[:, :, 0].astype(np.float64) - 20) / 220
    columns, rows = white.max(axis=0), white.max(axis=1)
    w, h = columns.sum(), rows.sum()
    index = np.arange(len(columns)) + 0.5
    return np.array([(columns * index).sum() / w - w / 2, (rows * index).sum() / h - h / 2, w, h])


@pytest.mark.parametrize(
    'box', [(500, 480, 40, 40), (460, 501, 90, 30), (540, 460, 24, 60), (480, 461, 131, 120)]
)
def test_boxes_are_where_the_object_is(box):
    """Also for strongly reduced objects, mirrored ones and changed aspects."""
    config = PairConfig(shift=50.0, sources=(0, 1, 0, 0), stretch=0.15, **PLAIN)
    sampler = PairSampler(marked_pool(box), config)
    for index in range(20):
        pair = sampler.pair(index)
        middle = pair.template_box[:2] + pair.template_box[2:] / 2
        assert middle == pytest.approx([64.5, 64.5])
        assert visible_box(pair.template) == pytest.approx(pair.template_box, abs=0.6)
        assert np.sqrt(pair.template_box[2] * pair.template_box[3]) == pytest.approx(56.0)
        x, y, w, h = pair.search_box
        if x > 0 and y > 0 and x + w < 193 and y + h < 193:
            assert visible_box(pair.search) == pytest.approx(pair.search_box, abs=0.6)
        assert abs(x + w / 2 - 96.5) <= 50.001
        assert abs(y + h / 2 - 96.5) <= 50.001


def test_a_cut_out_target_fills_its_box():
    """With its surroundings exchanged, the box is that of the outline it was cut along."""
    pool = marked_pool((500, 480, 60, 50), outlined=True)
    black = make_photo(np.full((200, 200, 3), 20, np.uint8))
    config = PairConfig(shift=40.0, sources=(0, 1, 0, 0), **{**PLAIN, 'paste': 1.0})
    sampler = PairSampler(pool, config)
    sampler.draw_photo = lambda rng: black
    for index in range(20):
        pair = sampler.pair(index)
        for crop, box in ((pair.template, pair.template_box), (pair.search, pair.search_box)):
            ys, xs = np.nonzero(crop[:, :, 0] > 130)
            found = np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])
            corners = np.concatenate([box[:2], box[:2] + box[2:]])
            assert found == pytest.approx(corners, abs=5.0)


def test_bent_targets_stay_in_their_boxes():
    """A bent rectangle lies in its box, which was found without looking at pixels."""
    pool = marked_pool((500, 480, 60, 50), outlined=True)
    config = PairConfig(shift=20.0, sources=(0, 1, 0, 0), bend=0.1, **PLAIN)
    bent = PairSampler(pool, config)
    straight = PairSampler(pool, dataclasses.replace(config, bend=0.0))
    black = make_photo(np.full((200, 200, 3), 20, np.uint8))
    pasted = PairSampler(pool, dataclasses.replace(config, paste=1.0))
    pasted.draw_photo = lambda rng: black
    changed = []
    for index in range(15):
        pair = pasted.pair(index)
        ys, xs = np.nonzero(pair.search[:, :, 0] > 130)
        found = np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])
        x, y, w, h = pair.search_box
        assert found == pytest.approx([x, y, x + w, y + h], abs=5.0)
        a, b = (sampler.pair(index) for sampler in (bent, straight))
        np.testing.assert_array_equal(a.template, b.template)
        changed.append(np.abs(a.search.astype(int) - b.search).mean())
    assert np.mean(changed) > 0.5


def test_bending_moves_points_with_the_image():
    """A white dot is found where `points` says."""
    rng = np.random.default_rng(3)
    bend = Bend.draw(rng, 120, 4.0)
    for x, y in ((40, 50), (70, 30), (60, 90)):
        image = np.zeros((120, 120, 3), np.uint8)
        image[y - 2 : y + 3, x - 2 : x + 3] = 255
        moved = bend.image(image)[:, :, 0].astype(float)
        ys, xs = np.mgrid[:120, :120]
        found = [(moved * axis).sum() / moved.sum() for axis in (xs, ys)]
        assert bend.points(np.array([[x, y]], float))[0] == pytest.approx(found, abs=1.0)


def test_some_pairs_are_turned():
    """With `turn`, an unturned long rectangle lies aslant in the search crop."""
    pool = marked_pool((460, 501, 120, 30))
    config = PairConfig(shift=0.0, sources=(0, 1, 0, 0), turn=1.0, **PLAIN)
    sampler = PairSampler(pool, config)
    heights = [sampler.pair(index).search_box[3] for index in range(20)]
    assert max(heights) > 1.8 * min(heights)


def test_look_alikes_come_from_the_targets_group():
    """White photos in one group, dark ones in the other: what is pasted tells where from."""
    target = marked_pool((500, 480, 60, 50)).photos[0]
    white = make_photo(np.full((300, 300, 3), 240, np.uint8), 'mine')
    target.group = 'mine'
    pool = PhotoPool([target, white], [Region(target, np.array([500.0, 480, 60, 50]))])
    config = PairConfig(sources=(0, 1, 0, 0), **{**PLAIN, 'distractor': 1.0})
    dark = make_photo(np.full((200, 200, 3), 20, np.uint8), 'others')
    area = {}
    for alike in (0.0, 1.0):
        sampler = PairSampler(pool, dataclasses.replace(config, alike=alike))
        sampler.draw_photo = lambda rng: dark
        crops = [sampler.pair(index).search for index in range(15)]
        area[alike] = np.mean([(crop > 130).mean() for crop in crops])
    assert area[1.0] > 1.3 * area[0.0]


def test_map_box_is_the_bound_of_the_ellipse():
    box = np.array([10.0, 20.0, 60.0, 30.0])
    matrix = view_matrix((40, 35), (90, 80), 1.3, angle=0.4, stretch=1.2, flip=True)
    angles = np.linspace(0, 2 * np.pi, 20000)
    ellipse = np.column_stack([40 + 30 * np.cos(angles), 35 + 15 * np.sin(angles)])
    assert map_box(box, matrix) == pytest.approx(bounds(map_points(ellipse, matrix)), abs=1e-4)


def test_pairs_depend_on_seed_and_number_alone():
    first = PairSampler(noise_pool(), PairConfig(seed=5))
    second = PairSampler(noise_pool(), PairConfig(seed=5))
    other = PairSampler(noise_pool(), PairConfig(seed=6))
    second.pair(3)  # order of calls is of no consequence
    for index in (0, 7, 1000):
        a, b, c = first.pair(index), second.pair(index), other.pair(index)
        np.testing.assert_array_equal(a.template, b.template)
        np.testing.assert_array_equal(a.search, b.search)
        np.testing.assert_array_equal(a.search_box, b.search_box)
        assert not np.array_equal(a.search_box, c.search_box)


def test_flow_follows_a_moving_region():
    """Frames cut from one picture, moving by (3, 2) pixels each: so must the boxes."""
    scene = noise_image(1, 300, 400)
    frames = [scene[2 * t : 2 * t + 220, 3 * t : 3 * t + 300].copy() for t in range(10)]
    photos = [make_photo(frame) for frame in frames]
    found = list(follow_regions(photos, seed=0, gaps=(1, 3)))
    assert len(found) >= 20
    for early, late in found:
        gap = photos.index(late.photo) - photos.index(early.photo)
        assert late.box == pytest.approx(early.box - [3 * gap, 2 * gap, 0, 0], abs=0.5)


def test_pool_reads_frames_in_their_order(tmp_path):
    for name, numbers in (('david', range(295, 306)), ('other', range(5, 16))):
        (tmp_path / name / 'img').mkdir(parents=True)
        for number in numbers:
            path = tmp_path / name / 'img' / f'{number}.pgm'
            cv2.imwrite(str(path), np.full((60, 80), number % 100, np.uint8))
        (tmp_path / name / 'img' / '._5.pgm').write_bytes(b'no image')
        (tmp_path / name / 'img' / 'preview.png').mkdir()
    (tmp_path / '.thumbnails').mkdir()
    (tmp_path / '.thumbnails' / '1.png').write_bytes(b'no image')
    (tmp_path / 'david/groundtruth_rect.txt').write_text('11,13,20,30\n' * 6)
    (tmp_path / 'other/groundtruth_rect.txt').write_text('11,13,20,30\n' * 11)
    pool = load_pool(tmp_path, 'all')
    shades = [[region.photo.mean[0] for region in each] for each in pool.sequences]
    assert shades == [list(range(6)), list(range(5, 16))]


def test_pool_reads_boxes_sequences_and_parts(tmp_path):
    (tmp_path / 'set' / 'scene' / 'img').mkdir(parents=True)
    for index in range(68):
        cv2.imwrite(str(tmp_path / 'set' / f'{index:02d}.png'), noise_image(index, 60, 80))
    (tmp_path / 'set' / 'boxes.csv').write_text('file,x,y,w,h,label\n00.png,10,12,20,30,thing\n')
    for index in range(3):
        cv2.imwrite(
            str(tmp_path / 'set' / 'scene' / 'img' / f'{index}.png'), noise_image(index, 60, 80)
        )
    (tmp_path / 'set' / 'scene' / 'groundtruth_rect.txt').write_text(
        '11,13,20,30\n12,13,20,30\n13\t13\t20\t30\n'
    )
    pool = load_pool(tmp_path, 'all')
    assert len(pool.photos) == 71
    assert [tuple(region.box) for region in pool.boxes] == [(10, 12, 20, 30)]
    assert [region.box[0] for region in pool.sequences[0]] == [10, 11, 12]
    assert [region.photo.group for region in pool.boxes + pool.sequences[0]] == ['set'] * 4
    train, held_out = load_pool(tmp_path, 'train'), load_pool(tmp_path, 'held_out')
    assert len(train.photos) + len(held_out.photos) == 71
    assert len(held_out.photos) > 0
    (tmp_path / 'set' / 'scene' / 'groundtruth_rect.txt').write_text('11,13,20,30\n')
    with pytest.raises(DatasetError, match='1 boxes for 3 frames'):
        load_pool(tmp_path, 'all')
    with pytest.raises(ParameterError, match='no folder'):
        load_pool(tmp_path / 'nowhere')


def write_masked_clip(folder: Path) -> None:
    """Six frames of a triangle that moves, with tracks, boxes and masks."""
    (folder / 'masks').mkdir(parents=True)
    rows = ['file,track,x,y,w,h,label']
    for index in range(6):
        corners = np.array([[20, 60], [60, 60], [40, 20]]) + np.array([4 * index, 0])
        image, mask = noise_image(index, 100, 140), np.zeros((100, 140), np.uint8)
        cv2.fillPoly(image, [corners], (240, 240, 240))
        cv2.fillPoly(mask, [corners], 3)
        cv2.imwrite(str(folder / f'{index}.png'), image)
        cv2.imwrite(str(folder / 'masks' / f'{index}.png'), mask)
        rows.append(f'{index}.png,7,{20 + 4 * index},20,41,41,triangle')
    (folder / 'tracks.csv').write_text('\n'.join(rows))


def test_pool_reads_tracks_and_outlines(tmp_path):
    write_masked_clip(tmp_path / 'one' / 'clip')
    write_masked_clip(tmp_path / 'two' / 'clip')
    pool = load_pool([tmp_path / 'one', tmp_path / 'two'], 'all')
    assert len(pool.photos) == 12  # masks are no photos
    assert [len(track) for track in pool.sequences] == [6, 6]
    for index, region in enumerate(pool.sequences[0]):
        assert region.box == pytest.approx([20 + 4 * index, 20, 41, 41], abs=0.6)
        assert bounds(np.concatenate(region.outline)) == pytest.approx(region.box)
    (tmp_path / 'one' / 'clip' / 'tracks.csv').write_text('file,x,y,w,h\n0.png,1,2,3,4\n')
    with pytest.raises(DatasetError, match=r'tracks\.csv needs the columns file,track'):
        load_pool(tmp_path / 'one')


def test_masks_of_other_things_give_no_outline():
    """A mask that does not fill the box is not that of its object."""
    objects = np.zeros((100, 140), np.uint8)
    objects[40:50, 40:50] = 1
    photo = make_photo(noise_image(0, 100, 140), objects=objects)
    assert outlined(Region(photo, np.array([40.0, 40, 10, 10]))).outline
    assert not outlined(Region(photo, np.array([20.0, 20, 80, 60]))).outline
    assert not outlined(Region(photo, np.array([90.0, 60, 20, 20]))).outline


def test_turned_targets_keep_tight_boxes(tmp_path):
    """Along an outline at any angle, else by quarters; regions without an object at any."""
    write_masked_clip(tmp_path / 'clip')
    pool = load_pool(tmp_path, 'all')
    config = PairConfig(turn=1.0, sources=(0, 0, 1, 0), scale=1.0, shift=0.0, **PLAIN)
    sampler = PairSampler(pool, config)
    for index in range(12):
        pair = sampler.pair(index)
        bright = (pair.search.min(axis=2) > 225).astype(np.uint8)
        _, _, stats, _ = cv2.connectedComponentsWithStats(bright)
        x, y, w, h, _ = max(stats[1:], key=lambda s: s[4])
        assert pair.search_box == pytest.approx([x, y, w, h], abs=4)
        assert pair.has_edges
    aspects = set()
    sampler = PairSampler(marked_pool((500, 480, 80, 20)), replace_source(config, (0, 1, 0, 0)))
    for index in range(12):
        pair = sampler.pair(index)
        aspects.add(round(float(np.log2(pair.search_box[2] / pair.search_box[3]))))
        assert visible_box(pair.search) == pytest.approx(pair.search_box, abs=0.6)
    assert aspects == {-2, 2}


def replace_source(config: PairConfig, sources: tuple[float, float, float, float]) -> PairConfig:
    return dataclasses.replace(config, sources=sources, stretch=0.0)


def test_only_boxes_of_objects_have_edges(tmp_path):
    """And a cut-out keeps them only along a real outline."""
    write_masked_clip(tmp_path / 'clip')
    pool = load_pool(tmp_path, 'all')
    noise = noise_pool()
    pool.photos += noise.photos
    pool.boxes += noise.boxes
    sampler = PairSampler(pool, PairConfig(paste=1.0, sources=(1, 1, 1, 0)))
    has_edges = {'photo': False, 'box': True, 'sequence': True}
    for index in range(30):
        pair = sampler.pair(index)
        assert pair.has_edges == has_edges[pair.source]


def test_reading_data_needs_no_torch():
    """Processes that make pairs, and tools that read data sets, stay light."""
    for path in Path(tracker_core.data.__file__).parent.glob('*.py'):
        imported = [line for line in path.read_text().splitlines() if 'import' in line]
        assert not any('torch' in line for line in imported), path

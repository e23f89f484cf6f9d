# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Every layout of a data set, read from a miniature in it."""

from __future__ import annotations

from pathlib import Path
import pickle

import cv2
import miniatures
from miniatures import boxes, COUNT, MAKERS
import numpy as np
import pytest

from tracker_core.data.datasets import LAYOUTS, load_dataset, read_dataset, recognise
from tracker_core.data.layouts import lasot, vot
from tracker_core.data.layouts.uav123 import images_of, STARTS
from tracker_core.data.sequences import DatasetError, Files, ImageSet, VideoSequence
from tracker_core.evaluation.metrics import overlap


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / 'set'


def names(sequences: list[VideoSequence]) -> list[str]:
    return [each.name for each in sequences]


def is_red(sequence: VideoSequence, number: int) -> bool:
    """Whether a frame shows the square where its box is, and not beside it."""
    image = cv2.imread(str(sequence.frames[number]))
    x, y, w, h = (int(value) for value in sequence.boxes[number])
    red = (image[..., 2] > 180) & (image[..., 0] < 110)
    inside = red[y : y + h, x : x + w]
    return bool(inside[1].mean() > 0.8 and red.sum() - inside.sum() < 25)


@pytest.mark.parametrize('kind', MAKERS)
def test_a_folder_is_recognised(kind: str, root: Path) -> None:
    MAKERS[kind](root)
    layout = recognise(root)
    assert layout is not None
    assert layout.kind == kind
    named, found = read_dataset(f'{kind}:{root}'), read_dataset(str(root))
    assert found.spec == f'{kind}:{root}'
    assert names(found.sequences) == names(named.sequences)
    for sequence in found.sequences:
        there = np.flatnonzero(sequence.has_box)
        assert there[0] == 0
        assert not sequence.absent[there].any()
        assert (sequence.visible[sequence.absent] == 0).all()
        for number in (0, there[-1]):
            is_square = sequence.boxes[number][2] == miniatures.SIDE
            if is_square and number < COUNT and 'person8' not in sequence.name:
                assert is_red(sequence, int(number)), sequence.name


def test_every_layout_has_a_miniature() -> None:
    assert set(LAYOUTS) - set(MAKERS) == {'uav20l'}  # lies in the folder of uav123


def test_otb(root: Path) -> None:
    miniatures.otb(root)
    for sequence in read_dataset(f'otb:{root}').sequences:
        np.testing.assert_array_equal(sequence.boxes, boxes())
        assert sequence.offset == 1


def test_got10k(root: Path) -> None:
    miniatures.got10k(root)
    everything = read_dataset(f'got10k:{root}')
    assert len(everything.sequences) == 6
    (train, _) = read_dataset(f'got10k:{root}', 'train').sequences
    assert train.name == 'GOT-10k_Train_000001'
    assert train.category == 'lesser panda'
    assert train.absent.tolist() == [False, False, True, False, False, False]
    assert train.visible.tolist() == [1, 0.75, 0, 0.5, 1, 1]
    np.testing.assert_array_equal(train.boxes[~train.absent], boxes()[~train.absent])
    # for evaluation: the test split, of which one box is known
    test, _ = load_dataset(f'got10k:{root}')
    assert test.split == 'test'
    assert test.has_box.tolist() == [True] + [False] * 5
    assert not test.absent.any()
    assert names(load_dataset(f'got10k:{root}', split='val')) == [
        'GOT-10k_Val_000001',
        'GOT-10k_Val_000002',
    ]
    one = load_dataset(f'got10k:{root / "val" / "GOT-10k_Val_000002"}')
    assert names(one) == ['GOT-10k_Val_000002']
    (root / 'val' / 'GOT-10k_Val_000001' / 'absence.label').write_text('0\n0\n1\n')
    with pytest.raises(DatasetError, match=r'absence\.label has 3 numbers for 6 frames'):
        read_dataset(f'got10k:{root}/val')
    lenient = read_dataset(f'got10k:{root}/val', strict=False)
    assert [each.name for each in lenient.refused] == ['GOT-10k_Val_000001']
    assert names(lenient.sequences) == ['GOT-10k_Val_000002']


def test_a_sequence_of_a_list_that_is_not_there(root: Path) -> None:
    miniatures.got10k(root)
    with (root / 'val' / 'list.txt').open('a') as lines:
        lines.write('GOT-10k_Val_000007\n')
    refused = read_dataset(f'got10k:{root}/val', strict=False).refused
    assert [each.name for each in refused] == ['GOT-10k_Val_000007']
    assert 'does not exist' in refused[0].why


def test_lasot(root: Path) -> None:
    miniatures.lasot(root)
    assert names(load_dataset(f'lasot:{root}')) == ['airplane-1']
    assert names(load_dataset(f'lasot:{root}', split='train')) == ['airplane-2', 'zebra-3']
    sequence = load_dataset(f'lasot:{root}/airplane')[0]
    assert sequence.category == 'airplane'
    assert sequence.absent.tolist() == [False, False, True, True, False, False]
    tests = lasot.test_names()
    assert len(tests) == 280
    assert len({name.rpartition('-')[0] for name in tests}) == 70
    assert {'zebra-17', 'person-5', 'licenseplate-6'} <= tests
    assert lasot.split_of_name('misc-4') == 'test'  # of the extension


def test_trackingnet(root: Path) -> None:
    miniatures.trackingnet(root)
    (test,) = load_dataset(f'trackingnet:{root}')
    assert (test.name, test.split, test.has_box.sum()) == ('0-6LB4FqxoE_0', 'test', 1)
    train = load_dataset(f'trackingnet:{root}', split='train')
    assert names(train) == ['-3TIfnTSM6c_0', 'B4_x_1']
    np.testing.assert_array_equal(train[0].boxes, boxes())
    assert [path.name for path in train[0].frames] == [f'{k}.jpg' for k in range(COUNT)]
    assert names(read_dataset(f'trackingnet:{root}/TRAIN_0').sequences) == names(train)
    (root / 'TRAIN_0/anno/B4_x_1.txt').write_text('1,2,3,4\n1,2,3\n')
    with pytest.raises(DatasetError, match=r'B4_x_1\.txt, line 2: expected four numbers'):
        read_dataset(f'trackingnet:{root}')


def test_frames_are_ordered_by_number(root: Path) -> None:
    miniatures.write_frames(root / 'TRAIN_3/frames/a', '%d.jpg', range(12))
    miniatures.write(root / 'TRAIN_3/anno/a.txt', miniatures.lines(boxes(12)))
    (sequence,) = read_dataset(f'trackingnet:{root}').sequences
    assert [path.stem for path in sequence.frames] == [str(k) for k in range(12)]


def test_uav123(root: Path) -> None:
    miniatures.uav123(root)
    bike, first, second = load_dataset(f'uav123:{root}')
    assert names([bike, first, second]) == ['bike1', 'person8_1', 'person8_2']
    assert bike.absent.tolist() == [False] * 4 + [True, False]
    np.testing.assert_array_equal(bike.boxes[:4], boxes()[:4])
    assert [path.stem for path in second.frames] == [f'{k:06d}' for k in range(1075, 1081)]
    (long,) = load_dataset(f'uav20l:{root}')
    assert long.frames[0].stem == '000001'
    with (root / 'anno/UAV123/person8_2.txt').open('a') as lines:
        lines.write('1,2,3,4\n')
    with pytest.raises(DatasetError, match='7 lines, but from image 1075 on there are only 6'):
        load_dataset(f'uav123:{root}')


def test_uav123_at_ten_frames_per_second(root: Path) -> None:
    miniatures.uav123_10fps(root)
    first, second = load_dataset(f'uav123_10fps:{root}')
    assert first.frames[0].stem == '000001'
    assert second.frames[0].stem == '000359'


def test_uav123_has_all_its_parts() -> None:
    assert sum(map(len, STARTS.values())) == 51
    assert images_of('car1_s') == ('car1_s', 1)
    assert images_of('uav1_3') == ('uav1', 2473)
    assert images_of('bird1_4') == ('bird1_4', 1)


def test_nfs(root: Path) -> None:
    miniatures.nfs(root)
    sequences = {each.name: each for each in load_dataset(f'nfs:{root}')}
    assert set(sequences) == {'airboard_1_30', 'airboard_1_240', 'Skiing_red_30'}
    for name in ('airboard_1_30', 'Skiing_red_30'):
        sequence = sequences[name]
        assert sequence.absent.tolist() == [False, False, True, False, False, False]
        np.testing.assert_array_equal(sequence.boxes[[0, 1, 3]], boxes()[[0, 1, 3]])
    assert 'the first 6 of both' in sequences['Skiing_red_30'].note
    assert len(sequences['airboard_1_240']) == 48
    path = root / 'airboard_1/240/airboard_1.txt'
    path.write_text('0 1 2 3 4 0 0 0 1 "ball"\n0 1 2 3\n')
    with pytest.raises(DatasetError, match=r'airboard_1\.txt, line 2: expected object, left'):
        load_dataset(f'nfs:{root}')


@pytest.mark.parametrize('make', [miniatures.vot2018, miniatures.vot2022])
def test_vot(make, root: Path) -> None:
    make(root)
    for sequence in load_dataset(f'vot:{root}'):
        np.testing.assert_allclose(sequence.boxes, boxes())
        assert not sequence.absent.any()


def test_vot_longterm(root: Path) -> None:
    miniatures.vot_longterm(root)
    (sequence,) = load_dataset(f'vot:{root}')
    assert sequence.absent.tolist() == [False, False, True, True, False, False]
    assert [path.parent.name for path in sequence.frames] == ['color'] * COUNT


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('1,2,3.5,4', (1, 2, 3.5, 4)),
        ('3,1, 5,2, 4,6, 2,5', (2, 1, 3, 5)),
        ('0,0,4,0,2,3', (0, 0, 4, 3)),
        ('m10,20,4,3,5,2,2,1', (11, 21, 2, 2)),  # pixels 5, 6 and 9 of 4 x 3
        ('m0,0,0,0,', (np.nan,) * 4),
        ('m3,4,2,2,4', (np.nan,) * 4),
        ('nan,nan,nan,nan,nan,nan', (np.nan,) * 4),
    ],
)
def test_regions(text: str, expected: tuple[float, ...]) -> None:
    np.testing.assert_array_equal(vot.region_box(text), expected)


@pytest.mark.parametrize('text', ['', '1,2,3', '1,2,3,4,5,6,7', 'a,b,c,d', 'm1,2', 'm0,0,2,2,9,9'])
def test_no_regions(text: str, root: Path) -> None:
    miniatures.vot2018(root)
    path = root / 'bag' / 'groundtruth.txt'
    lines = path.read_text().splitlines()
    path.write_text('\n'.join([lines[0], text, *lines[2:]]))
    with pytest.raises(DatasetError, match=r'bag/groundtruth\.txt, line 2: '):
        load_dataset(f'vot:{root}')


def test_names_are_no_paths(root: Path) -> None:
    """Results are written under the names of sequences."""
    miniatures.own(root)
    path = root / 'rover/clip/tracks.csv'
    path.write_text(path.read_text().replace(',a,', ',../../a b,'))
    assert read_dataset(f'own:{root}').sequences[0].name == 'rover_clip-.._.._a_b'
    with pytest.raises(DatasetError, match='that is a path'):
        VideoSequence('../a', [], np.zeros((0, 4)))
    miniatures.got10k(root)
    (root / 'val' / 'list.txt').write_text('../train/GOT-10k_Train_000001\n')
    with pytest.raises(DatasetError, match='is not the name of a folder beside it'):
        load_dataset(f'got10k:{root}/val')


def test_tnl2k(root: Path) -> None:
    miniatures.tnl2k(root)
    (test,) = load_dataset(f'tnl2k:{root}')
    assert test.name == 'advSamp_Baseball_game_002_done'
    assert test.absent.tolist() == [False, False, False, True, False, False]
    (train,) = load_dataset(f'tnl2k:{root}', split='train')
    assert names(load_dataset(f'tnl2k:{root}/TNL2K_train_subset')) == [train.name]


def test_coco(root: Path) -> None:
    miniatures.coco(root)
    train, val = read_dataset(f'coco:{root}').images
    assert (train.split, val.split) == ('train', 'val')
    assert [image.file.name for image in train] == [f'{k:012d}.jpg' for k in (9, 25, 30)]
    assert train[0].boxes.tolist() == [[4.5, 12, 10, 10.25], [1, 2, 3, 4]]
    assert train[0].categories == ('person', 'dog')
    assert len(train[1].boxes) == 0
    assert train[2].boxes.tolist() == [[10, 12, 10, 10]]
    assert train[-1].categories == ('person',)
    (root / 'train2017/000000000025.jpg').unlink()
    train, _ = read_dataset(f'coco:{root}').images
    assert len(train) == 2
    assert '1 of 3 images are not in' in train.note
    with pytest.raises(DatasetError, match='no sequences'):
        load_dataset(f'coco:{root}')
    path = root / 'annotations/instances_val2017.json'
    path.write_text(path.read_text()[:-5])
    with pytest.raises(DatasetError, match=r'instances_val2017\.json is not JSON: .*line 1'):
        read_dataset(f'coco:{root}')
    path.write_text('{"images": []}')
    with pytest.raises(DatasetError, match='is no table of instances'):
        read_dataset(f'coco:{root}')


def test_imagenet_vid(root: Path) -> None:
    miniatures.vid(root)
    plane, dog = read_dataset(f'vid:{root}', 'train').sequences
    assert names([plane, dog]) == ['ILSVRC2015_train_00000000-0', 'ILSVRC2015_train_00000000-1']
    assert (plane.category, dog.category) == ('n02691156', 'n02084071')
    assert plane.absent.tolist() == [False, False, True, False, False, False]
    assert len(dog) == 2
    assert dog.frames[0].name == '000004.JPEG'
    assert len(read_dataset(f'vid:{root}').sequences) == 4
    path = next((root / 'Annotations/VID/val').rglob('000001.xml'))
    path.write_text('<annotation><object></annotation>')
    with pytest.raises(DatasetError, match=r'000001\.xml is not XML: .*line 1'):
        read_dataset(f'vid:{root}')


def test_youtubebb(root: Path) -> None:
    miniatures.youtubebb(root)
    data = read_dataset(f'youtubebb:{root}', 'train')
    (sequence,) = data.sequences
    assert sequence.category == 'potted plant'
    assert sequence.absent.tolist() == [False, False, False, True, False, False]
    np.testing.assert_allclose(sequence.boxes[[0, 5]], boxes()[[0, 5]], atol=1e-3)
    assert '1 of 2 segments have fewer than two frames' in data.refused[0].why
    with (root / 'yt_bb_detection_train.csv').open('a') as lines:
        lines.write('x,1,2,cat\n')
    with pytest.raises(DatasetError, match=r'yt_bb_detection_train\.csv, line 13: expected'):
        read_dataset(f'youtubebb:{root}')


def test_own(root: Path) -> None:
    miniatures.own(root)
    data = read_dataset(f'own:{root}')
    (cards,) = data.images
    assert [len(image.boxes) for image in cards] == [2, 0]
    assert cards[0].categories == ('king', 'ace')
    track, walk = data.sequences
    assert (track.name, track.category) == ('rover_clip-a', 'ball')
    assert [path.name for path in track.frames] == ['001.png', '002.png', '003.png', '004.png']
    assert track.has_box.tolist() == [True, True, False, True]
    assert not track.absent.any()
    np.testing.assert_array_equal(walk.boxes, boxes())
    (root / 'cards/boxes.csv').write_text('file,x,y,w,h\nphoto_1.jpg,1,2,3,4\nphoto_9.jpg,1,2,3,4')
    with pytest.raises(DatasetError, match=r'boxes\.csv speaks of photo_9\.jpg'):
        read_dataset(f'own:{root}')


def test_a_table_that_is_none(root: Path) -> None:
    miniatures.own(root)
    (root / 'cards/boxes.csv').write_bytes(b'file,x,y,w,h\n"\xff' + b'a' * 200_000)
    with pytest.raises(DatasetError, match=r'boxes\.csv, line 2: field larger'):
        read_dataset(f'own:{root}')
    (root / 'cards/boxes.csv').write_text('file,x,y,w,h\nphoto_1.jpg,1,2,3\n')
    with pytest.raises(DatasetError, match=r'boxes\.csv needs the columns .* line 2 reads'):
        read_dataset(f'own:{root}')


def test_what_is_given_wrongly(root: Path) -> None:
    root.mkdir()
    for spec, complaint in (
        ('got10:x', "did you mean 'got10k'"),
        ('otb:', 'is given as'),
        (f'otb:{root}', r'holds no OTB sequences: folders with img/ and groundtruth_rect\.txt'),
        (str(root), 'is of no known layout'),
        (f'otb:{root}/nowhere', 'does not exist'),
    ):
        with pytest.raises(DatasetError, match=complaint):
            read_dataset(spec)
    miniatures.got10k(root)
    with pytest.raises(DatasetError, match="no split 'dev', only test, train, val"):
        load_dataset(f'got10k:{root}', split='dev')


def test_a_sequence_begins_with_a_box(root: Path) -> None:
    miniatures.uav123(root)
    path = root / 'anno/UAV123/bike1.txt'
    path.write_text('NaN,NaN,NaN,NaN\n' + path.read_text().partition('\n')[2])
    with pytest.raises(DatasetError, match=r'bike1\.txt, line 1: a sequence must begin'):
        load_dataset(f'uav123:{root}')


def test_files_are_kept_as_names(tmp_path: Path) -> None:
    count = 20_000
    files = Files(tmp_path, [f'{k:08d}.jpg' for k in range(count)])
    assert len(pickle.dumps(files)) < 13 * count
    assert files[7] == tmp_path / '00000007.jpg'
    assert files[-1] == tmp_path / '00019999.jpg'
    assert [path.stem for path in files[2:5]] == ['00000002', '00000003', '00000004']
    assert list(files.take(np.array([4, 1]))) == [files[4], files[1]]
    strange = Files(tmp_path, ['größe.png', 'bad\udcff.png'])
    assert [path.name for path in strange] == ['größe.png', 'bad\udcff.png']


def test_parts_of_a_sequence() -> None:
    sequence = VideoSequence(
        'a',
        Files(Path('x'), ['1.png', '2.png', '3.png']),
        boxes(3),
        [False, True, False],
        note='n',
    )
    assert sequence.visible.tolist() == [1, 0, 1]
    assert np.isnan(sequence.boxes[1]).all()
    later = sequence.part(1, name='b')
    assert (later.name, len(later), later.absent.tolist()) == ('b', 2, [True, False])
    assert np.isnan(overlap(boxes(3), sequence.boxes)[1])
    with pytest.raises(DatasetError, match='a: 3 frames, but 2 boxes'):
        VideoSequence('a', sequence.frames, boxes(2))


def test_an_image_set_of_wrong_lengths() -> None:
    files = Files(Path('x'), ['1.png'])
    with pytest.raises(DatasetError, match='1 photos with 2 objects, but 1 boxes'):
        ImageSet(files, np.array([2]), boxes(1), np.array([0]), ['a'])

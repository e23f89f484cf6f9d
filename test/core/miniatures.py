# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Miniatures of the field's data sets, file by file as the originals lie on a disk, and a tracker.

A square of ten pixels moves three pixels a frame to the right over a textured picture.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
import json
from pathlib import Path

import cv2
import numpy as np

from tracker_core.target import Track, TrackStatus

SIZE = (64, 48)  # width, height
SIDE = 10
COUNT = 6
Row = tuple[float, float, float, float]


def box(number: int) -> Row:
    """Where the square is in a frame, from its top-left corner on."""
    return (4.0 + 3 * number, 12.0, float(SIDE), float(SIDE))


def boxes(count: int = COUNT) -> np.ndarray:
    return np.array([box(number) for number in range(count)])


def picture(number: int) -> np.ndarray:
    """A frame, BGR."""
    rng = np.random.default_rng(5)
    image = rng.integers(90, 130, (SIZE[1], SIZE[0], 3)).astype(np.uint8)
    x, y, w, h = (int(value) for value in box(number))
    image[y : y + h, x : x + w] = (30, 60, 230)
    image[y + 3 : y + h - 3, x + 3 : x + w - 3] = (220, 220, 40)
    return image


def write_frames(folder: Path, name: str, numbers: Sequence[int]) -> list[Path]:
    """Frames under the names that a pattern makes of numbers."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / (name % number) for number in numbers]
    for place, path in enumerate(paths):
        cv2.imwrite(str(path), picture(place))
    return paths


def lines(rows: Sequence[Sequence[float]], between: str = ',', form: str = '%g') -> str:
    return ''.join(between.join(form % value for value in row) + '\n' for row in rows)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def otb(root: Path) -> None:
    for name in ('Basketball', 'Car4'):
        write_frames(root / name / 'img', '%04d.jpg', range(1, COUNT + 1))
        rows = np.add(boxes(), (1, 1, 0, 0))  # MATLAB counts from one
        write(root / name / 'groundtruth_rect.txt', lines(rows, '\t' if name == 'Car4' else ','))


def got10k(root: Path) -> None:
    for split, title, names in (
        ('train', 'Train', (1, 2)),
        ('val', 'Val', (1, 2)),
        ('test', 'Test', (1, 2)),
    ):
        folders = [f'GOT-10k_{title}_{number:06d}' for number in names]
        write(root / split / 'list.txt', '\n'.join(folders) + '\n')
        for name in folders:
            folder = root / split / name
            write_frames(folder, '%08d.jpg', range(1, COUNT + 1))
            rows = np.add(boxes()[: 1 if split == 'test' else COUNT], (1, 1, 0, 0))
            write(folder / 'groundtruth.txt', lines(rows, form='%.4f'))
            meta = '[METAINFO]\nurl: https://example.org/1\nanno_fps: 10Hz\n'
            meta += f'object_class: lesser panda\nresolution: ({SIZE[0]}, {SIZE[1]})\n'
            write(folder / 'meta_info.ini', meta)
            if split != 'test':
                write(folder / 'absence.label', '0\n0\n1\n0\n0\n0\n')
                write(folder / 'cover.label', '8\n6\n0\n4\n8\n8\n')
                write(folder / 'cut_by_image.label', '0\n0\n0\n0\n1\n0\n')


def lasot(root: Path) -> None:
    for name in ('airplane-1', 'airplane-2', 'zebra-3'):
        folder = root / name.partition('-')[0] / name
        write_frames(folder / 'img', '%08d.jpg', range(1, COUNT + 1))
        rows = boxes()
        rows[3] = 0
        write(folder / 'groundtruth.txt', lines(rows))
        write(folder / 'full_occlusion.txt', '0,0,1,0,0,0')
        write(folder / 'out_of_view.txt', '0,0,0,1,0,0')
        write(folder / 'nlp.txt', 'a square that moves to the right')


def trackingnet(root: Path) -> None:
    for chunk, names in (('TRAIN_0', ('-3TIfnTSM6c_0', 'B4_x_1')), ('TEST', ('0-6LB4FqxoE_0',))):
        for name in names:
            write_frames(root / chunk / 'frames' / name, '%d.jpg', range(COUNT))
            rows = boxes()[:1] if chunk == 'TEST' else boxes()
            write(root / chunk / 'anno' / f'{name}.txt', lines(rows, form='%.2f'))


def uav123(root: Path) -> None:
    rows = np.add(boxes(), (1, 1, 0, 0))
    rows[4] = np.nan
    write_frames(root / 'data_seq/UAV123/bike1', '%06d.jpg', range(1, COUNT + 1))
    write(root / 'anno/UAV123/bike1.txt', lines(rows))
    write_frames(root / 'data_seq/UAV123/person8', '%06d.jpg', range(1, 1081))
    write(root / 'anno/UAV123/person8_1.txt', lines(rows))
    write(root / 'anno/UAV123/person8_2.txt', lines(rows))
    write(root / 'anno/UAV20L/person8.txt', lines(rows))


def uav123_10fps(root: Path) -> None:
    write_frames(root / 'data_seq/UAV123_10fps/person8', '%06d.jpg', range(1, 366))
    for name in ('person8_1', 'person8_2'):
        write(root / f'anno/UAV123_10fps/{name}.txt', lines(np.add(boxes(), (1, 1, 0, 0))))


def nfs(root: Path) -> None:
    def row(number: int, frame: int) -> str:
        x, y, w, h = (int(value) for value in box(number))
        lost = int(number == 2)
        return f'0 {x} {y} {x + w} {y + h} {frame} {lost} 0 1 "ball"\n'

    folder = root / 'airboard_1'
    write_frames(folder / '30/airboard_1', '%05d.jpg', range(1, COUNT + 1))
    dense = [row(k // 8, k) for k in range(8 * COUNT)]
    write(folder / '30/airboard_1.txt', ''.join(dense))
    write_frames(folder / '240/airboard_1', '%05d.jpg', range(1, 8 * COUNT + 1))
    write(folder / '240/airboard_1.txt', ''.join(dense))
    write_frames(root / 'Skiing_red/30/Skiing_red', '%05d.jpg', range(1, COUNT + 2))
    write(root / 'Skiing_red/30/Skiing_red.txt', ''.join(row(k, k) for k in range(COUNT)))


def vot2018(root: Path) -> None:
    """Polygons, images beside the annotation."""
    write(root / 'list.txt', 'ants1\nbag\n')
    for name in ('ants1', 'bag'):
        write_frames(root / name, '%08d.jpg', range(1, COUNT + 1))
        rows = [(x, y, x + w, y, x + w, y + h, x, y + h) for x, y, w, h in boxes()]
        write(root / name / 'groundtruth.txt', lines(rows, form='%.3f'))
        write(root / name / 'occlusion.tag', '0\n' * COUNT)


def vot2022(root: Path) -> None:
    """Masks, a workspace of the toolkit."""
    write(root / 'config.yaml', 'registry: [./trackers.ini]\nstack: vot2022/shorttermbox\n')
    folder = root / 'sequences/agility'
    write(root / 'sequences/list.txt', 'agility\n')
    write_frames(folder / 'color', '%08d.jpg', range(1, COUNT + 1))
    write(folder / 'sequence', SEQUENCE % {'name': 'agility', 'count': COUNT})
    rows = [mask_line(number) for number in range(COUNT)]
    write(folder / 'groundtruth.txt', '\n'.join(rows))
    write(folder / 'anchor.value', '1\n' + '0\n' * (COUNT - 2) + '-1\n')


def vots(root: Path) -> None:
    """Two objects in one sequence, a workspace of the toolkit."""
    vot2022(root)
    folder = root / 'sequences/agility'
    (folder / 'groundtruth.txt').rename(folder / 'groundtruth_1.txt')
    write(folder / 'groundtruth_2.txt', lines([(30, 5, 12, 12)] * COUNT))
    write(root / 'config.yaml', 'registry: [./trackers.ini]\nstack: vots2023\n')


def vot_longterm(root: Path) -> None:
    write(root / 'list.txt', 'ballet\n')
    write_frames(root / 'ballet/color', '%08d.jpg', range(1, COUNT + 1))
    write(root / 'ballet/sequence', SEQUENCE % {'name': 'ballet', 'count': COUNT})
    rows = boxes()
    rows[2:4] = np.nan
    write(root / 'ballet/groundtruth.txt', lines(rows, form='%.2f'))


SEQUENCE = f"""channels.color=color/%%08d.jpg
fps=30
format=default
length=%(count)d
name=%(name)s
width={SIZE[0]}
height={SIZE[1]}
"""


def mask_line(number: int) -> str:
    """The square as a mask in a rectangle that is two pixels larger on each side."""
    x, y, _, _ = (int(value) for value in box(number))
    side = SIDE + 4
    inside = np.zeros((side, side), int)
    inside[2:-2, 2:-2] = 1
    flat = inside.ravel()
    ends = [0, *(np.flatnonzero(np.diff(flat)) + 1), len(flat)]
    return 'm' + ','.join(map(str, (x - 2, y - 2, side, side, *np.diff(ends))))


def tnl2k(root: Path) -> None:
    for subset, name in (
        ('TNL2K_train_subset', 'Arrow_Video_ZZ04_done'),
        ('TNL2K_test_subset', 'advSamp_Baseball_game_002_done'),
    ):
        folder = root / subset / name
        write_frames(folder / 'imgs', '%05d.png', range(1, COUNT + 1))
        rows = boxes()
        rows[3] = 0
        write(folder / 'groundtruth.txt', lines(rows))
        write(folder / 'language.txt', 'the square')


def coco(root: Path) -> None:
    for split, images in (('train2017', (9, 25, 30)), ('val2017', (139,))):
        write_frames(root / split, '%012d.jpg', images)
        person = {'category_id': 1, 'iscrowd': 0, 'segmentation': []}
        first = images[0]
        rows = [
            {'id': 1, 'image_id': first, 'bbox': [4.5, 12, 10, 10.25], **person},
            {'id': 3, 'image_id': images[-1], 'bbox': [10, 12, 10, 10], **person},
            {'id': 4, 'image_id': first, 'bbox': [1, 2, 3, 4], **person, 'category_id': 18},
            {'id': 5, 'image_id': first, 'bbox': [0, 0, 60, 40], **person, 'iscrowd': 1},
            {'id': 6, 'image_id': first, 'bbox': [3, 3, 0, 5], **person},
        ]
        table = {
            'images': [
                {'id': each, 'file_name': f'{each:012d}.jpg', 'width': 64, 'height': 48}
                for each in reversed(images)
            ],
            'annotations': rows,
            'categories': [{'id': 18, 'name': 'dog'}, {'id': 1, 'name': 'person'}],
        }
        write(root / 'annotations' / f'instances_{split}.json', json.dumps(table))


def vid(root: Path) -> None:
    for folder in (
        'train/ILSVRC2015_VID_train_0000/ILSVRC2015_train_00000000',
        'val/ILSVRC2015_val_00000000',
    ):
        write_frames(root / 'Data/VID' / folder, '%06d.JPEG', range(COUNT))
        for number in range(COUNT):
            objects = ''
            if number != 2:
                objects += vid_object(0, 'n02691156', box(number))
            if number >= 4:
                objects += vid_object(1, 'n02084071', (1, 1, 20, 30))
            write(
                root / 'Annotations/VID' / folder / f'{number:06d}.xml',
                f'<annotation>\n\t<filename>{number:06d}</filename>\n{objects}</annotation>\n',
            )


def vid_object(track: int, word: str, where: Row) -> str:
    x, y, w, h = (int(value) for value in where)
    return (
        f'<object><trackid>{track}</trackid><name>{word}</name><bndbox><xmax>{x + w}</xmax>'
        f'<xmin>{x}</xmin><ymax>{y + h}</ymax><ymin>{y}</ymin></bndbox>'
        '<occluded>0</occluded><generated>1</generated></object>\n'
    )


def youtubebb(root: Path) -> None:
    rows = []
    for video in ('AAB6lO-XiKE', 'gone_gone_x'):
        for number in range(COUNT):
            x, y, w, h = box(number)
            edges = [x / SIZE[0], (x + w) / SIZE[0], y / SIZE[1], (y + h) / SIZE[1]]
            presence = 'absent' if number == 3 else 'present'
            edges = [-1.0] * 4 if number == 3 else edges
            texts = ','.join(f'{edge:.6f}' for edge in edges)
            rows.append(f'{video},{1000 * (number + 238)},0,potted plant,1,{presence},{texts}\n')
    write(root / 'yt_bb_detection_train.csv', ''.join(rows))
    times = range(238_000, 238_000 + 1000 * COUNT, 1000)
    write_frames(root / 'yt_bb_detection_train/AAB6lO-XiKE', '%d.jpg', times)


def own(root: Path) -> None:
    write_frames(root / 'cards', 'photo_%d.jpg', (1, 2))
    table = 'file,x,y,w,h,label\nphoto_1.jpg,4,12,10,10,king\nphoto_1.jpg,1,1,5.5,5,ace\n\n'
    write(root / 'cards/boxes.csv', table)
    write_frames(root / 'rover/clip', '%03d.png', range(COUNT))
    rows = ''.join(f'{k:03d}.png,a,{lines([box(k)])[:-1]},ball\n' for k in (1, 2, 4))
    write(root / 'rover/clip/tracks.csv', 'file,track,x,y,w,h,label\n' + rows)
    write(root / 'rover/clip/masks/000.png', 'no image')
    write_frames(root / 'walk', '%03d.png', range(COUNT))
    write(root / 'walk/groundtruth.txt', lines(np.add(boxes(), (1, 1, 0, 0))))


class Drifting:
    """A tracker that moves two pixels a frame to the right, and is sure for three frames."""

    name, preset = 'drifting', 'test'

    def __init__(self) -> None:
        self.frames = 0

    def start(self, image, box):
        return [box, 0]

    def track(self, image, target, learn=True):
        box, count = target
        target[1] = count + 1
        self.frames += 1
        moved = type(box)(box.x + 2 * target[1], box.y, box.w, box.h)
        status = TrackStatus.TRACKING if target[1] < 3 else TrackStatus.LOST
        return Track(moved, 0.9, status, 0.9)


MAKERS: dict[str, Callable[[Path], None]] = {
    'otb': otb,
    'got10k': got10k,
    'lasot': lasot,
    'trackingnet': trackingnet,
    'uav123': uav123,
    'uav123_10fps': uav123_10fps,
    'nfs': nfs,
    'vot': vot2018,
    'tnl2k': tnl2k,
    'coco': coco,
    'vid': vid,
    'youtubebb': youtubebb,
    'own': own,
}

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Annotations on disk, in the forms that other tools read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
import json
from pathlib import Path

import cv2
import numpy as np

from tracker_core.boxes import Box

QUALITY = 95  # of the JPEG images


def write_images(
    frames: Iterable[np.ndarray], folder: Path, digits: int, first: int
) -> list[tuple[Path, tuple[int, int]]]:
    """Write frames, (H, W, 3) uint8 RGB, as JPEG.

    Args:
        frames: They.
        folder: That they go to.
        digits: Of their numbers, at least.
        first: Number of the first.

    Returns:
        File, and width and height, of each.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for number, frame in enumerate(frames, start=first):
        path = folder / f'{number:0{digits}d}.jpg'
        bgr = cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)
        _, encoded = cv2.imencode('.jpg', bgr, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        path.write_bytes(encoded.tobytes())
        written.append((path, (frame.shape[1], frame.shape[0])))
    return written


def write_otb(folder: Path, frames: Iterable[np.ndarray], boxes: Sequence[Box | None]) -> None:
    """img/0001.jpg and groundtruth_rect.txt with a line x,y,w,h per image, whose first pixel is
    (1, 1); 0,0,0,0 where there is no box. It begins with the first frame that has one."""
    frames, boxes = _from_the_first_box(frames, boxes)
    write_images(frames, folder / 'img', 4, 1)
    (folder / 'groundtruth_rect.txt').write_text(''.join(map(_line, boxes)))


def write_got10k(folder: Path, frames: Iterable[np.ndarray], boxes: Sequence[Box | None]) -> None:
    """00000001.jpg, groundtruth.txt with lines as in `write_otb`, and absence.label with a 1 where
    there is no box. It begins with the first frame that has one."""
    frames, boxes = _from_the_first_box(frames, boxes)
    write_images(frames, folder, 8, 1)
    (folder / 'groundtruth.txt').write_text(''.join(map(_line, boxes)))
    (folder / 'absence.label').write_text(''.join(f'{int(box is None)}\n' for box in boxes))


def write_yolo(folder: Path, frames: Iterable[np.ndarray], boxes: Sequence[Box | None]) -> None:
    """images/000000.jpg, labels/000000.txt with a line `0 cx cy w h` in shares of the image, empty
    where there is no box, and data.yaml."""
    labels = folder / 'labels'
    labels.mkdir(parents=True, exist_ok=True)
    images = write_images(frames, folder / 'images', 6, 0)
    for (path, size), box in zip(images, boxes, strict=True):
        seen = _within(box, size)
        text = ''
        if seen is not None:
            shares = np.divide((seen.cx, seen.cy, seen.w, seen.h), (*size, *size))
            text = f'0 {" ".join(f"{share:.6f}" for share in shares)}\n'
        (labels / f'{path.stem}.txt').write_text(text)
    (folder / 'data.yaml').write_text('train: images\nval: images\nnames:\n  0: object\n')


def write_coco(folder: Path, frames: Iterable[np.ndarray], boxes: Sequence[Box | None]) -> None:
    """train/000000.jpg and annotations/instances_train.json; an image where there is no box has
    none there."""
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    written = write_images(frames, folder / 'train', 6, 0)
    for number, ((path, size), box) in enumerate(zip(written, boxes, strict=True)):
        width, height = size
        images.append({'id': number, 'file_name': path.name, 'width': width, 'height': height})
        seen = _within(box, size)
        if seen is not None:
            annotations.append(
                {
                    'id': len(annotations) + 1,
                    'image_id': number,
                    'category_id': 1,
                    'bbox': [round(value, 2) for value in seen.as_xywh()],
                    'area': round(seen.area, 2),
                    'iscrowd': 0,
                }
            )
    content = {
        'images': images,
        'annotations': annotations,
        'categories': [{'id': 1, 'name': 'object'}],
    }
    (folder / 'annotations').mkdir(parents=True, exist_ok=True)
    (folder / 'annotations/instances_train.json').write_text(json.dumps(content) + '\n')


Write = Callable[[Path, Iterable[np.ndarray], Sequence[Box | None]], None]
FORMATS: dict[str, Write] = {
    'otb': write_otb,
    'got10k': write_got10k,
    'yolo': write_yolo,
    'coco': write_coco,
}


def _from_the_first_box(
    frames: Iterable[np.ndarray], boxes: Sequence[Box | None]
) -> tuple[Iterable[np.ndarray], Sequence[Box | None]]:
    """What begins with a box, as those ask for who read sequences."""
    first = next((i for i, box in enumerate(boxes) if box is not None), 0)
    return islice(frames, first, None), boxes[first:]


def _line(box: Box | None) -> str:
    if box is None:
        return '0,0,0,0\n'
    return f'{box.x + 1:.2f},{box.y + 1:.2f},{box.w:.2f},{box.h:.2f}\n'


def _within(box: Box | None, size: tuple[int, int]) -> Box | None:
    """What of a box lies in an image of this width and height; None: nothing."""
    if box is None:
        return None
    left, top = max(box.x, 0.0), max(box.y, 0.0)
    width, height = min(box.x2, size[0]) - left, min(box.y2, size[1]) - top
    return Box(left, top, width, height) if min(width, height) > 0 else None

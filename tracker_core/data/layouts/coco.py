# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""COCO instances (Lin et al., ECCV 2014).

DIR/annotations/instances_train2017.json
DIR/train2017/000000000009.jpg              or DIR/images/train2017/...
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from tracker_core.boxes import is_box
from tracker_core.data.layouts.layout import Found, Layout, Part, SPLITS
from tracker_core.data.sequences import DatasetError, Files, ImageSet


def find(folder: Path) -> list[Part]:
    """The tables of instances."""
    return [
        Part(name, path, next((split for split in SPLITS if name.startswith(split)), ''))
        for path in sorted((folder / 'annotations').glob('instances_*.json'))
        for name in [path.stem.removeprefix('instances_')]
    ]


def read(part: Part) -> list[Found]:
    """The photos of a table that are there; crowds, and boxes without area, are left out."""
    table = read_json(part.path)
    folder = image_folder(part)
    there = set(os.listdir(folder))
    try:
        names = {int(each['id']): str(each['file_name']) for each in table['images']}
        words = {int(each['id']): str(each['name']) for each in table['categories']}
        objects = [each for each in table['annotations'] if not each.get('iscrowd', 0)]
        images = [int(each['image_id']) for each in objects]
        categories = [int(each['category_id']) for each in objects]
        boxes = np.array([each['bbox'] for each in objects], np.float64).reshape(-1, 4)
    except (KeyError, TypeError, ValueError) as error:
        raise DatasetError(f'{part.path} is no table of instances: {error!r}') from None
    kept = sorted((image for image, name in names.items() if name in there), key=names.__getitem__)
    place = {image: number for number, image in enumerate(kept)}
    places = np.array([place.get(image, -1) for image in images], np.int64)
    order = np.argsort(places, kind='stable')
    order = order[(places[order] >= 0) & is_box(boxes[order])]
    number_of = {category: number for number, category in enumerate(words)}
    unknown = set(categories) - set(number_of)
    if unknown:
        raise DatasetError(
            f'{part.path} has objects of categories {unknown}, which it does not name'
        )
    missing = len(names) - len(kept)
    if not kept:
        raise DatasetError(f'none of the {len(names)} images of {part.path} is in {folder}')
    return [
        ImageSet(
            Files(folder, [names[image] for image in kept]),
            np.bincount(places[order], minlength=len(kept)),
            boxes[order],
            np.array([number_of[categories[i]] for i in order], np.int32),
            list(words.values()),
            part.split,
            f'{missing} of {len(names)} images are not in {folder}' if missing else '',
        )
    ]


def read_json(path: Path) -> dict[str, Any]:
    """A table.

    Raises:
        DatasetError: It is no JSON, or no table.
    """
    try:
        table = json.loads(path.read_bytes())
    except ValueError as error:  # says line and column
        raise DatasetError(f'{path} is not JSON: {error}') from None
    if not isinstance(table, dict):
        raise DatasetError(f'{path} is no table of instances')
    return table


def image_folder(part: Part) -> Path:
    """Where the images of a table are.

    Raises:
        DatasetError: Nowhere.
    """
    root = part.path.parents[1]
    places = [root / part.name, root / 'images' / part.name]
    for place in places:
        if place.is_dir():
            return place
    raise DatasetError(f'{part.path}: there is neither a folder {places[0]} nor {places[1]}')


COCO = Layout('coco', 'COCO', 'annotations/instances_*.json and folders of images', find, read)

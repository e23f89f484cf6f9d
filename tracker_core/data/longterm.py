# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Long sequences, in which the target is out of sight several times.

`longterm:scenes` is rendered (`LONG_SCENES`). `longterm:DIR`, or `longterm:KIND:DIR`, makes each
annotated sequence of a data set long: it is played forwards and backwards, and in between the
target is taken out, by showing a part of the picture where it is not, magnified to the whole; then
there is a cut, and the target is back, as far from where it was as it ever is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from tracker_core.boxes import Box, is_box
from tracker_core.data.datasets import load_dataset
from tracker_core.data.sequences import DatasetError, Flags, VideoSequence
from tracker_core.media.folders import read_image
from tracker_core.media.scene import render_scene, Scene
from tracker_core.media.scripts import LONG_SCENES

KIND = 'longterm'
SCENE_FRAMES = 1500
SCENE_SIZE = (480, 360)
SCENE_SEEDS = (20_000, 20_001)  # of each kind of scene
HIDDEN = 0.05  # an object of which less is seen is absent
SHOWN = 60  # frames between two absences
ABSENCES = (30, 150, 60, 240)  # frames
QUALITY = 95  # of JPEG
SMALLEST_SHARE = 0.3  # of the picture's sides, that are magnified to the whole


@dataclass(frozen=True)
class LongSequence:
    """A sequence in which the target is absent at times; it is played at 30 Hz.

    Attributes:
        name: Its name.
        images: (H, W, 3) uint8 RGB each.
        boxes: (N, 4) x, y, w, h; NaN while the target is absent. The first row is no such.
        visible: (N,) share of the target that is seen, 0 to 1.
    """

    name: str
    images: Sequence[np.ndarray]
    boxes: np.ndarray
    visible: np.ndarray

    @property
    def first_box(self) -> Box:
        return Box(*self.boxes[0])

    @property
    def absent(self) -> Flags:
        """(N,) bool: in which frames the target is out of sight."""
        return ~is_box(self.boxes)

    def __len__(self) -> int:
        return len(self.boxes)


class Outtakes(Sequence[np.ndarray]):
    """The images of a sequence made long.

    Args:
        sequence: With boxes.
        order: (N,) which of its frames is shown.
        is_absent: (N,) whether a part of it without the target is shown instead.
    """

    def __init__(self, sequence: VideoSequence, order: np.ndarray, is_absent: np.ndarray) -> None:
        self._sequence, self._order, self._is_absent = sequence, order, is_absent

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, index: int) -> np.ndarray:  # type: ignore[override]  # no slices
        number = self._order[index]
        image = read_image(self._sequence.frames[number])
        if not self._is_absent[index]:
            return image
        size = (image.shape[1], image.shape[0])
        x, y, w, h = part_without(Box(*self._sequence.boxes[number]), size)
        return cv2.resize(image[y : y + h, x : x + w], size, interpolation=cv2.INTER_LINEAR)


class Compressed(Sequence[np.ndarray]):
    """Images that are drawn once and kept as JPEG, for several trackers to see.

    Args:
        images: To be drawn.
    """

    def __init__(self, images: Sequence[np.ndarray]) -> None:
        self._images = images
        self._kept: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> np.ndarray:  # type: ignore[override]  # no slices
        if index not in self._kept:
            _, self._kept[index] = cv2.imencode(
                '.jpg', self._images[index], (cv2.IMWRITE_JPEG_QUALITY, QUALITY)
            )
        return np.asarray(cv2.imdecode(self._kept[index], cv2.IMREAD_COLOR))


def part_without(box: Box, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The largest part x, y, w, h of an image, of the same aspect, that does not touch a box."""
    width, height = size
    best = (0, 0, 0, 0)
    for x, y, w, h in (
        (0.0, 0.0, box.x, float(height)),
        (box.x2, 0.0, width - box.x2, float(height)),
        (0.0, 0.0, float(width), box.y),
        (0.0, box.y2, float(width), height - box.y2),
    ):
        share = min(w / width, h / height)
        if share * width > best[2]:
            # towards the box: what lies around the target is shown, too
            left = x + (w - share * width) * (x == 0)
            top = y + (h - share * height) * (y == 0)
            best = (round(left), round(top), int(share * width), int(share * height))
    x, y, w, h = best
    return max(min(x, width - w), 0), max(min(y, height - h), 0), w, h


def made_long(sequence: VideoSequence) -> LongSequence | None:
    """A sequence made long, or None where some picture has no part without the target."""
    count = len(sequence)
    centers = sequence.boxes[:, :2] + sequence.boxes[:, 2:] / 2
    order: list[int] = []
    absences: list[bool] = []
    position = 0
    for absence in (*ABSENCES, 0):
        for length, is_out in ((SHOWN, False), (absence, True)):
            order += [pingpong(position + k, count) for k in range(length)]
            absences += [is_out] * length
            position += length
        last = order[-absence - 1]  # where it was seen
        position = int(np.nan_to_num(np.hypot(*(centers - centers[last]).T)).argmax())  # a cut
    numbers, is_absent = np.array(order), np.array(absences)
    if not is_box(sequence.boxes[numbers]).all():
        return None
    height, width = read_image(sequence.frames[0]).shape[:2]
    for number in np.unique(numbers[is_absent]):
        part = part_without(Box(*sequence.boxes[number]), (width, height))
        if part[2] < SMALLEST_SHARE * width:
            return None
    boxes = np.where(is_absent[:, None], np.nan, sequence.boxes[numbers])
    images = Outtakes(sequence, numbers, is_absent)
    return LongSequence(f'{sequence.name}-long', images, boxes, 1.0 - is_absent)


def pingpong(position: int, count: int) -> int:
    """Which of `count` frames comes at a position, played forwards and backwards."""
    place = position % max(2 * count - 2, 1)
    return min(place, 2 * count - 2 - place)


def long_scene(scene: Scene) -> LongSequence:
    """A rendered scene as a long sequence."""
    boxes = np.array([box.as_xywh() for box in scene.boxes])
    boxes[scene.visible < HIDDEN] = np.nan
    return LongSequence(f'{scene.name}-{scene.seed}', Compressed(scene), boxes, scene.visible)


def load_longterm(spec: str, names: Sequence[str] | None = None) -> list[LongSequence]:
    """The sequences of `longterm:scenes` or `longterm:DIR`.

    Args:
        spec: See there.
        names: Which to take; None for all.

    Raises:
        DatasetError: There are none.
    """
    folder = spec.removeprefix(f'{KIND}:')
    if folder == 'scenes':
        sequences = [
            long_scene(render_scene(name, SCENE_FRAMES, SCENE_SIZE, seed))
            for name in LONG_SCENES
            for seed in SCENE_SEEDS
        ]
    else:
        made = map(made_long, load_dataset(folder))
        sequences = [sequence for sequence in made if sequence is not None]
    if names is not None:
        known = {sequence.name: sequence for sequence in sequences}
        for name in names:
            if name not in known:
                raise DatasetError(f'there is no sequence {name!r}, only {", ".join(known)}')
        sequences = [known[name] for name in names]
    if not sequences:
        raise DatasetError(f'{folder} holds no sequence out of which the target can be taken')
    return sequences

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Training pairs: a template crop, a search crop, and exactly where the target is in both.

    pool = load_pool('photos/')                       # every image is decoded once, into memory
    sampler = PairSampler(pool, PairConfig(seed=7))
    pair = sampler.pair(12345)                        # the same one on every call

A folder of photos is read with its subfolders. Pairs come from four sources:

* *photo*: a textured region of any photo, seen twice;
* *box*: an annotated object, seen twice; boxes stand in a `boxes.csv` (file,x,y,w,h,...) beside
  the images;
* *sequence*: one object in two frames of a folder that has a `groundtruth_rect.txt` or
  `groundtruth.txt`;
* *followed*: a region that optical flow follows from one frame to a later one, in folders of video
  frames and of overlapping views, which are named by patterns because nothing in them tells that
  they are in order.

Any of these can have its surroundings exchanged (the target is cut out along a random outline and
put on other photos), its view shifted, scaled, turned, stretched, mirrored, relit and blurred, and
other objects put beside or in front of it. Boxes are (4,) arrays x, y, w, h in continuous crop
coordinates: the crop's top-left pixel covers [0, 1] x [0, 1].
"""

from __future__ import annotations

from collections.abc import Sequence
import csv
from dataclasses import dataclass, field
from pathlib import Path
import re
import zlib

import cv2
import numpy as np
from numpy.random import Generator
from tqdm import tqdm

from tracker_core.errors import ParameterError
from tracker_core.evaluation.datasets import published_images
from tracker_core.evaluation.video import (
    IMAGE_SUFFIXES,
    is_image_name,
    list_images,
    read_image,
)
from tracker_core.training.augment import (
    Bend,
    blend,
    blob,
    bounds,
    change_look,
    ellipse,
    Floats,
    Image,
    map_box,
    map_points,
    outline_mask,
    pyramid,
    view_matrix,
    warp,
)

SMALLEST_BOX = 12.0  # pixels, the geometric mean of the sides; smaller ones are left out
HELD_OUT_SHARE = 16  # one photo in so many is kept for checking
HELD_OUT_FOLDERS = 9  # and one folder of frames in so many


@dataclass
class Photo:
    """One image in memory.

    Attributes:
        levels: (H, W, 3) uint8 RGB and its halvings.
        group: The photo's top folder; groups are sampled alike, however large.
        boxes: (N, 4) float annotated boxes.
        edges: Integral image of the gradient strength at a quarter of the resolution.
        mean: (3,) mean colour.
    """

    levels: list[Image]
    group: str
    boxes: Floats
    edges: Floats
    mean: Floats

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.levels[0].shape[1], self.levels[0].shape[0]


@dataclass
class Pool:
    """All photos, and what pairs can be made of them.

    Attributes:
        photos: The images.
        boxes: (photo, box) for every annotated object.
        sequences: Per sequence, the (photo, box) of every frame in order.
        followed: (photo, box, photo, box) of regions seen in two frames.
    """

    photos: list[Photo] = field(default_factory=list)
    boxes: list[tuple[int, Floats]] = field(default_factory=list)
    sequences: list[list[tuple[int, Floats]]] = field(default_factory=list)
    followed: list[tuple[int, Floats, int, Floats]] = field(default_factory=list)


@dataclass(frozen=True)
class PairConfig:
    """How pairs are cut and changed.

    Attributes:
        template_size: Side of the template crop in pixels; its middle is the target's centre.
        search_size: Side of the search crop in pixels.
        object_size: Geometric mean of the target's sides in the template, in pixels; with
            `context` that of a square target.
        context: Crops are cut as by trackers that see a target with this share of its width plus
            height added to both sides, so that a long target gets a little smaller; 0 for none.
        shift: The target's centre lies at most so many pixels from the search crop's centre, per
            axis, uniformly.
        size_jitter: object_size is multiplied by up to this factor or its inverse, in both crops
            alike.
        scale: The target's size in the search crop is at most this many times larger or smaller
            than object_size; small changes are more frequent.
        angle: Standard deviation of the rotation in radians.
        turn: Share of the pairs that are turned by any angle up to 60 degrees instead.
        stretch: Standard deviation of the logarithm of the change of aspect.
        bend: Standard deviation of a smooth displacement within the search crop, as of a body
            that moves its limbs, in target sizes.
        look: Strength of the changes of colour, light and sharpness, 0 for none.
        paste: Share of pairs whose target is cut out and put on other photos.
        distractor: Chance of each of two other objects in the search crop.
        alike: Share of these that come from the same group of photos as the target, where they are
            often of its kind.
        occluder: Chance of an object in front of the target.
        gray: Share of pairs without colour.
        sources: Weights of photo, box, sequence and followed pairs; sources that the pool lacks
            drop out.
        seed: Pair number i depends on this, on i and on nothing else.
    """

    template_size: int = 129
    search_size: int = 193
    object_size: float = 56.0
    context: float = 0.0
    size_jitter: float = 1.0
    shift: float = 64.0
    scale: float = 1.25
    angle: float = 0.15
    turn: float = 0.0
    stretch: float = 0.1
    bend: float = 0.0
    look: float = 1.0
    paste: float = 0.4
    distractor: float = 0.35
    alike: float = 0.0
    occluder: float = 0.2
    gray: float = 0.12
    sources: tuple[float, float, float, float] = (0.4, 0.3, 0.3, 0.3)
    seed: int = 1

    def __post_init__(self) -> None:
        for name in ('template_size', 'search_size', 'object_size'):
            if getattr(self, name) < 16:
                raise ParameterError(
                    f'pairs.{name} must be at least 16 pixels, not {getattr(self, name)}'
                )
        if self.context < 0:
            raise ParameterError(f'pairs.context must not be negative, but {self.context} is')
        if not 0 <= self.bend <= 0.2:
            raise ParameterError(f'pairs.bend must lie between 0 and 0.2, not {self.bend}')
        for name in ('turn', 'paste', 'distractor', 'alike', 'occluder', 'gray'):
            if not 0 <= getattr(self, name) <= 1:
                raise ParameterError(
                    f'pairs.{name} must lie between 0 and 1, not {getattr(self, name)}'
                )
        for name in ('scale', 'size_jitter'):
            if getattr(self, name) < 1:
                raise ParameterError(f'pairs.{name} must be at least 1, not {getattr(self, name)}')
        if not 0 <= self.shift <= self.search_size / 2:
            raise ParameterError(
                f'pairs.shift must lie between 0 and half the search size, not {self.shift}'
            )
        if len(self.sources) != 4 or min(self.sources) < 0 or sum(self.sources) <= 0:
            raise ParameterError(f'pairs.sources must be four weights, not {self.sources}')


@dataclass(frozen=True)
class Pair:
    """One training example.

    Attributes:
        template: (template_size, template_size, 3) uint8 RGB, the target's centre in the middle.
        search: (search_size, search_size, 3) uint8 RGB.
        template_box: (4,) float64 x, y, w, h of the target in the template.
        search_box: (4,) float64 x, y, w, h of the target in the search crop.
        source: Where it came from: photo, box, sequence or followed.
    """

    template: Image
    search: Image
    template_box: Floats
    search_box: Floats
    source: str


def make_photo(image: Image, group: str = '', boxes: Floats | None = None) -> Photo:
    """Prepare one (H, W, 3) uint8 RGB image for sampling."""
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(gray, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    strength = np.abs(cv2.Sobel(small, cv2.CV_32F, 1, 0)) + np.abs(
        cv2.Sobel(small, cv2.CV_32F, 0, 1)
    )
    return Photo(
        pyramid(image),
        group,
        np.zeros((0, 4)) if boxes is None else np.asarray(boxes, np.float64).reshape(-1, 4),
        cv2.integral(np.minimum(strength, 200.0)),
        image.reshape(-1, 3).mean(axis=0),
    )


def load_pool(
    folder: str | Path,
    part: str = 'train',
    video_folders: Sequence[str] = (),
    longest_side: int = 384,
    progress: bool = False,
) -> Pool:
    """Decode a folder of photos into memory.

    Args:
        folder: Read with its subfolders.
        part: 'train', 'held_out' (about one photo in sixteen, chosen by name; a video's frames
            stay together) or 'all'.
        video_folders: Patterns, relative to `folder`, of folders whose images are frames or views
            in order.
        longest_side: Larger images are reduced to this many pixels.
        progress: Show a progress bar.

    Raises:
        ParameterError: The folder is missing, holds no images, or an annotation cannot be read.
        ImageError: An image cannot be read.
    """
    root = Path(folder)
    if not root.is_dir():
        raise ParameterError(f'training data: there is no folder {root}')
    if part not in ('train', 'held_out', 'all'):
        raise ParameterError(f"part must be 'train', 'held_out' or 'all', not {part!r}")
    ordered = {path for pattern in video_folders for path in root.glob(pattern) if path.is_dir()}
    parents = [path.parent for path in sorted(root.rglob('*')) if is_image_name(path.name)]
    folders = {
        parent: list_images(parent)
        for parent in dict.fromkeys(parents)
        if not any(part.startswith('.') for part in parent.relative_to(root).parts)
    }

    pool = Pool()
    bar = tqdm(
        total=sum(map(len, folders.values())),
        desc=f'reading photos ({part})',
        unit='image',
        disable=not progress,
        leave=False,
    )
    for directory, paths in folders.items():
        truth, paths = read_ground_truth(directory, paths)
        boxes = read_boxes(directory / 'boxes.csv')
        is_ordered = directory in ordered or truth is not None
        indices: list[int] = []
        frames: list[tuple[int, Floats]] = []
        for path in paths:
            bar.update()
            name = (directory if is_ordered else path).relative_to(root).as_posix()
            share = HELD_OUT_FOLDERS if is_ordered else HELD_OUT_SHARE
            if part != 'all' and is_held_out(name, share) != (part == 'held_out'):
                continue
            image = read_image(path)
            factor = min(longest_side / max(image.shape[:2]), 1.0)
            if factor < 1:
                image = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
            found = np.array(boxes.get(path.name, []), np.float64).reshape(-1, 4) * factor
            group = path.relative_to(root).parts[0]
            indices.append(len(pool.photos))
            pool.photos.append(make_photo(image, group, found))
            pool.boxes.extend((indices[-1], box) for box in found if is_large_enough(box))
            if truth is not None:
                box = np.array(truth[len(indices) - 1]) * factor
                if is_large_enough(box):
                    frames.append((indices[-1], box))
        if len(frames) > 1:
            pool.sequences.append(frames)
        elif truth is None and is_ordered:
            pool.followed.extend(follow_regions(pool.photos, indices))
    bar.close()
    if not pool.photos:
        raise ParameterError(
            f'training data: no images ({", ".join(sorted(IMAGE_SUFFIXES))}) below {root} '
            f'for part {part!r}'
        )
    return pool


def is_held_out(name: str, share: int) -> bool:
    return zlib.crc32(name.encode()) % share == 0


def is_large_enough(box: Floats) -> bool:
    return bool(
        np.isfinite(box).all()
        and min(box[2:]) >= SMALLEST_BOX / 2
        and box[2] * box[3] >= SMALLEST_BOX**2
    )


def read_boxes(path: Path) -> dict[str, list[list[float]]]:
    """Boxes by file name; empty if there is no such csv file.

    Raises:
        ParameterError: The columns file, x, y, w, h are not there, or hold no numbers.
    """
    boxes: dict[str, list[list[float]]] = {}
    if path.is_file():
        with path.open(newline='') as lines:
            for row in csv.DictReader(lines):
                try:
                    box = [float(row[key]) for key in 'xywh']
                    boxes.setdefault(row['file'], []).append(box)
                except (KeyError, TypeError, ValueError):
                    raise ParameterError(
                        f'{path} needs the columns file,x,y,w,h with numbers; one row reads {row}'
                    ) from None
    return boxes


def read_ground_truth(
    directory: Path, images: list[Path]
) -> tuple[list[list[float]] | None, list[Path]]:
    """One box per frame from an annotation file of the OTB or GOT-10k form, or None.

    OTB folders have their frames in `img`, beside which the file stands and counts pixels from
    one; GOT-10k folders have file and frames together.

    Args:
        directory: Where the frames are.
        images: All of them, in order.

    Returns:
        The boxes, and the frames that they belong to; without an annotation all.

    Raises:
        ParameterError: A line is not x, y, w, h, or there are not as many lines as frames, which
            is not known of this sequence (see `published_images`).
    """
    beside, within = directory.parent / 'groundtruth_rect.txt', directory / 'groundtruth.txt'
    if directory.name == 'img' and beside.is_file():
        path, offset = beside, 1.0
    elif within.is_file():
        path, offset = within, 0.0
    else:
        return None, images
    boxes = []
    for number, line in enumerate(path.read_text().rstrip().splitlines(), 1):
        try:
            x, y, w, h = (float(word) for word in re.split(r'[,\s]+', line.strip()))
        except ValueError:
            raise ParameterError(f'{path}, line {number}: {line!r} is not x,y,w,h') from None
        boxes.append([x - offset, y - offset, w, h])
    if len(boxes) == len(images):
        return boxes, images
    frames = published_images(directory.parent.name, images, len(boxes)) if offset else None
    if frames is None:
        raise ParameterError(f'{path} has {len(boxes)} boxes for {len(images)} frames')
    return boxes, frames


def draw_region(rng: Generator, photo: Photo, tries: int = 5) -> Floats:
    """The most textured of a few random boxes."""
    width, height = photo.size
    best, best_score = np.array([0.0, 0.0, width, height]), -1.0
    for _ in range(tries):
        side = np.exp(rng.uniform(np.log(20.0), np.log(max(0.5 * min(width, height), 24.0))))
        aspect = np.exp(rng.normal(0, 0.4))
        w, h = min(side * aspect**0.5, 0.8 * width), min(side / aspect**0.5, 0.8 * height)
        x, y = rng.uniform(0, width - w), rng.uniform(0, height - h)
        x0, y0, x1, y1 = int(x / 4), int(y / 4), int((x + w) / 4) + 1, int((y + h) / 4) + 1
        rows, columns = photo.edges.shape
        x1, y1 = min(x1, columns - 1), min(y1, rows - 1)
        total = (
            photo.edges[y1, x1] - photo.edges[y0, x1] - photo.edges[y1, x0] + photo.edges[y0, x0]
        )
        score = total / max((x1 - x0) * (y1 - y0), 1)
        if score > best_score:
            best, best_score = np.array([x, y, w, h]), score
    return best


def follow_regions(
    photos: Sequence[Photo],
    indices: Sequence[int],
    gaps: Sequence[int] = (1, 3, 8),
    regions: int = 6,
) -> list[tuple[int, Floats, int, Floats]]:
    """Regions found again in a later frame by optical flow.

    Corners in a region are followed forth and back; the region counts as found when most come back
    to where they started and agree on one similarity. A region's new box is the old one through
    that similarity.

    Args:
        photos: All photos.
        indices: The frames, in order.
        gaps: How many frames later to look.
        regions: How many regions to try per frame and gap.

    Returns:
        (photo, box, later photo, box) for each region found.
    """
    rng = np.random.default_rng(zlib.crc32(repr((len(photos), len(indices))).encode()))
    grays = [cv2.cvtColor(photos[index].levels[0], cv2.COLOR_RGB2GRAY) for index in indices]
    found: list[tuple[int, Floats, int, Floats]] = []
    for gap in gaps:
        for early in range(0, len(indices) - gap, max(gap // 3, 1)):
            first, second = grays[early], grays[early + gap]
            if first.shape != second.shape:
                continue
            corners = cv2.goodFeaturesToTrack(first, 300, 0.01, 4)
            if corners is None or len(corners) < 8:
                continue
            corners = corners.astype(np.float32)
            options = {'winSize': (15, 15), 'maxLevel': 3}
            moved, ok, _ = cv2.calcOpticalFlowPyrLK(first, second, corners, None, **options)
            back, ok_back, _ = cv2.calcOpticalFlowPyrLK(second, first, moved, None, **options)
            start, end = corners[:, 0] + 0.5, moved[:, 0] + 0.5  # continuous coordinates
            good = (ok[:, 0] & ok_back[:, 0] == 1) & (
                np.linalg.norm(back[:, 0] - corners[:, 0], axis=1) < 1.0
            )
            for _ in range(regions):
                box = draw_region(rng, photos[indices[early]])
                inside = ((start >= box[:2]) & (start <= box[:2] + box[2:])).all(axis=1)
                kept = inside & good
                if kept.sum() < 6 or kept.sum() < 0.6 * inside.sum():
                    continue
                matrix, agree = cv2.estimateAffinePartial2D(
                    start[kept], end[kept], ransacReprojThreshold=2.0
                )
                if matrix is None or agree.mean() < 0.7:
                    continue
                scale = float(np.sqrt(np.linalg.det(matrix[:, :2])))
                later = box.copy()
                later[2:] *= scale
                later[:2] = (
                    map_points(box[None, :2] + box[None, 2:] / 2, matrix)[0] - later[2:] / 2
                )
                travelled = np.linalg.norm(later[:2] - box[:2])
                if not 0.6 < scale < 1.6 or (travelled < 2.0 and rng.random() < 0.7):
                    continue  # what stands still is there in plenty
                found.append((indices[early], box, indices[early + gap], later))
    return found


class PairSampler:
    """Numbered training pairs.

    Args:
        pool: Where photos and boxes come from.
        config: How pairs are cut and changed.
    """

    SOURCES = ('photo', 'box', 'sequence', 'followed')

    def __init__(self, pool: Pool, config: PairConfig) -> None:
        self.pool, self.config = pool, config
        sizes = (len(pool.photos), len(pool.boxes), len(pool.sequences), len(pool.followed))
        weights = np.array([w if n else 0.0 for w, n in zip(config.sources, sizes, strict=True)])
        if weights.sum() <= 0:
            raise ParameterError('no source of pairs with a weight above zero has any data')
        self.source_weights = weights / weights.sum()
        self.photo_weights = balanced([photo.group for photo in pool.photos])
        self.groups: dict[str, list[Photo]] = {}
        for photo in pool.photos:
            self.groups.setdefault(photo.group, []).append(photo)
        self.box_weights = balanced([pool.photos[index].group for index, _ in pool.boxes])
        self.followed_weights = balanced([pool.photos[index].group for index, *_ in pool.followed])

    def draw_photo(self, rng: Generator) -> Photo:
        return self.pool.photos[draw(rng, self.photo_weights)]

    def draw_target(self, rng: Generator) -> tuple[str, Photo, Floats, Photo, Floats]:
        """A source, and the photo and the box of the target's first and second view."""
        pool = self.pool
        source = self.SOURCES[rng.choice(4, p=self.source_weights)]
        if source == 'photo':
            photo = self.draw_photo(rng)
            box = draw_region(rng, photo)
            return source, photo, box, photo, box
        if source == 'box':
            index, box = pool.boxes[draw(rng, self.box_weights)]
            return source, pool.photos[index], box, pool.photos[index], box
        if source == 'sequence':
            frames = pool.sequences[rng.integers(len(pool.sequences))]
            first = int(rng.integers(len(frames)))
            second = int(np.clip(first + rng.integers(-50, 51), 0, len(frames) - 1))
            (a, box_a), (b, box_b) = frames[first], frames[second]
        else:
            a, box_a, b, box_b = pool.followed[draw(rng, self.followed_weights)]
            if rng.random() < 0.5:
                a, box_a, b, box_b = b, box_b, a, box_a
        return source, pool.photos[a], box_a, pool.photos[b], box_b

    def pair(self, index: int) -> Pair:
        """Make pair number `index` (any whole number from zero)."""
        config = self.config
        rng = np.random.default_rng((config.seed, index))
        source, photo_t, box_t, photo_s, box_s = self.draw_target(rng)
        flip = rng.random() < 0.5
        gray = rng.random() < config.gray
        pasted = rng.random() < config.paste

        # geometry
        jitter, limit = np.log(config.size_jitter), np.log(config.scale)
        size = config.object_size * np.exp(rng.uniform(-jitter, jitter))
        change = np.exp(rng.triangular(-limit, 0.0, limit)) if limit > 0 else 1.0
        angle = config.angle * float(np.clip(rng.normal(), -2.5, 2.5))
        if config.turn > 0 and rng.random() < config.turn:
            angle = rng.uniform(-1.0, 1.0) * np.pi / 3
        stretch = float(np.exp(config.stretch * rng.normal()))
        middle = config.template_size / 2
        place = config.search_size / 2 + rng.uniform(-config.shift, config.shift, 2)
        scale_t = size / mean_side(box_t, config.context)
        scale_s = size / mean_side(box_s, config.context) * change
        matrix_t = view_matrix(center_of(box_t), (middle, middle), scale_t, flip=flip)
        matrix_s = view_matrix(center_of(box_s), tuple(place), scale_s, angle, stretch, flip)
        fill = None if rng.random() < 0.5 else photo_s.mean
        template = warp(photo_t.levels, matrix_t, config.template_size, fill)
        search = warp(photo_s.levels, matrix_s, config.search_size, fill)
        template_box, search_box = map_box(box_t, matrix_t), map_box(box_s, matrix_s)
        bend = None
        if config.bend > 0:
            strength = config.bend * size * change * rng.random()
            bend = Bend.draw(rng, config.search_size, strength)
            search = bend.image(search)
            search_box = bounds(bend.points(map_points(ellipse(box_s), matrix_s)))

        if pasted:
            outline = blob(rng)
            outline_t = map_points(box_t[:2] + outline * box_t[2:], matrix_t)
            outline_s = map_points(box_s[:2] + outline * box_s[2:], matrix_s)
            if bend is not None:
                outline_s = bend.points(outline_s)
            template_box, search_box = bounds(outline_t), bounds(outline_s)
            behind = self.draw_photo(rng)
            template = blend(
                self.background(
                    rng,
                    self.draw_photo(rng) if rng.random() < 0.5 else behind,
                    config.template_size,
                ),
                template,
                outline_mask(outline_t, config.template_size),
            )
            below = self.background(rng, behind, config.search_size)
            below = self.add_distractors(rng, below, search_box, photo_s.group)
            search = blend(below, search, outline_mask(outline_s, config.search_size))
        else:
            search = self.add_distractors(rng, search, search_box, photo_s.group)
        if rng.random() < config.occluder:
            search = self.add_occluder(rng, search, search_box)

        template = change_look(rng, template, 0.6 * config.look, gray)
        search = change_look(rng, search, config.look, gray)
        return Pair(template, search, template_box, search_box, source)

    def background(self, rng: Generator, photo: Photo, size: int) -> Image:
        """A random view of a photo."""
        width, height = photo.size
        scale = size / min(width, height) * np.exp(rng.uniform(0, np.log(2.0)))
        half = size / 2 / scale
        center = (
            rng.uniform(min(half, width / 2), max(width - half, width / 2)),
            rng.uniform(min(half, height / 2), max(height - half, height / 2)),
        )
        return warp(
            photo.levels,
            view_matrix(center, (size / 2, size / 2), scale, flip=rng.random() < 0.5),
            size,
        )

    def put(
        self, rng: Generator, image: Image, center: Floats, side: float, photo: Photo
    ) -> Image:
        """Put a cut-out of a photo at a place."""
        annotated = len(photo.boxes) > 0 and rng.random() < 0.7
        box = (
            photo.boxes[rng.integers(len(photo.boxes))]
            if annotated
            else draw_region(rng, photo, 2)
        )
        matrix = view_matrix(
            center_of(box),
            tuple(center),
            side / np.sqrt(box[2] * box[3]),
            angle=rng.normal(0, 0.3),
            flip=rng.random() < 0.5,
        )
        outline = map_points(box[:2] + blob(rng) * box[2:], matrix)
        size = image.shape[0]
        return blend(image, warp(photo.levels, matrix, size), outline_mask(outline, size))

    def add_distractors(self, rng: Generator, search: Image, box: Floats, group: str) -> Image:
        """Up to two other objects that leave the target free; `group` is the target's."""
        side = np.sqrt(box[2] * box[3])
        for _ in range(2):
            if rng.random() < self.config.distractor:
                center = rng.uniform(0, self.config.search_size, 2)
                size = side * np.exp(rng.uniform(np.log(0.5), np.log(1.4)))
                gap = np.abs(center - (box[:2] + box[2:] / 2)) - (box[2:] + size) / 2
                if gap.max() > 0:
                    alike = self.config.alike > 0 and rng.random() < self.config.alike
                    among = self.groups[group]
                    photo = among[rng.integers(len(among))] if alike else self.draw_photo(rng)
                    search = self.put(rng, search, center, size, photo)
        return search

    def add_occluder(self, rng: Generator, search: Image, box: Floats) -> Image:
        """An object that hides up to about 40 % of the target."""
        side = np.sqrt(box[2] * box[3])
        size = side * rng.uniform(0.5, 1.2)
        direction = rng.uniform(0, 2 * np.pi)
        reach = rng.uniform(0.65, 1.0) * (side + size) / 2
        center = box[:2] + box[2:] / 2 + reach * np.array([np.cos(direction), np.sin(direction)])
        if rng.random() < 0.3:  # nothing but a flat colour
            matrix = view_matrix((0.5, 0.5), tuple(center), size)
            color = np.full_like(search, 0) + rng.integers(0, 256, 3).astype(np.uint8)
            return blend(
                search, color, outline_mask(map_points(blob(rng), matrix), search.shape[0])
            )
        return self.put(rng, search, center, size, self.draw_photo(rng))


def center_of(box: Floats) -> tuple[float, float]:
    return float(box[0] + box[2] / 2), float(box[1] + box[3] / 2)


def mean_side(box: Floats, context: float) -> float:
    """Geometric mean of a box's sides; with context, of the sides that a square with the same
    surroundings would have."""
    margin = context * (box[2] + box[3])
    return float(np.sqrt((box[2] + margin) * (box[3] + margin))) / (1 + 2 * context)


def balanced(groups: Sequence[str]) -> Floats:
    """Cumulative weights with which a group's share grows with the square root of its size."""
    names, inverse, counts = np.unique(
        np.array(groups, dtype=str), return_inverse=True, return_counts=True
    )
    if len(names) == 0:
        return np.zeros(0)
    weights = (1.0 / np.sqrt(counts))[inverse]
    return np.cumsum(weights / weights.sum())


def draw(rng: Generator, cumulative: Floats) -> int:
    return min(int(np.searchsorted(cumulative, rng.random(), side='right')), len(cumulative) - 1)

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""All photos of some folders in memory, and what pairs can be made of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
import zlib

import numpy as np
from numpy.random import Generator
from tqdm import tqdm

from tracker_core.data.annotations import read_box_table, read_ground_truth, read_tracks
from tracker_core.data.arrays import Floats
from tracker_core.data.photos import list_photos, make_photo, Photo, read_objects, read_photo
from tracker_core.data.regions import follow_regions, outlined, Region
from tracker_core.data.sources import (
    Balanced,
    balanced_photos,
    BoxSource,
    FollowedSource,
    PhotoSource,
    SequenceSource,
    Source,
)
from tracker_core.errors import ParameterError
from tracker_core.media.folders import IMAGE_SUFFIXES

SMALLEST_BOX = 12.0  # pixels, the geometric mean of the sides; smaller ones are left out
HELD_OUT_SHARE = 16  # one photo in so many is kept for checking
HELD_OUT_FOLDERS = 9  # and one folder of frames in so many
PARTS = ('train', 'held_out', 'all')


@dataclass
class PhotoPool:
    """All photos, and what pairs can be made of them.

    Attributes:
        photos: The images.
        boxes: Every annotated object.
        sequences: Per sequence or track, its object in every frame that shows it, in order.
        followed: Regions seen in two frames.
    """

    photos: list[Photo] = field(default_factory=list)
    boxes: list[Region] = field(default_factory=list)
    sequences: list[list[Region]] = field(default_factory=list)
    followed: list[tuple[Region, Region]] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f'{len(self.photos)} photos, {len(self.boxes)} boxes, {len(self.sequences)} tracks, '
            f'{len(self.followed)} followed regions'
        )

    def sources(self) -> dict[str, Source]:
        """See `Footage`."""
        return {
            'photo': PhotoSource(self.photos),
            'box': BoxSource(self.boxes),
            'sequence': SequenceSource(self.sequences),
            'followed': FollowedSource(self.followed),
        }

    def draw_photo(self, rng: Generator, group: str | None = None) -> Photo:
        """See `Footage`."""
        if group is None:
            return self._balanced.draw(rng)
        among = self._groups[group]
        return among[rng.integers(len(among))]

    @cached_property
    def _balanced(self) -> Balanced[Photo]:
        return balanced_photos(self.photos)

    @cached_property
    def _groups(self) -> dict[str, list[Photo]]:
        groups: dict[str, list[Photo]] = {}
        for photo in self.photos:
            groups.setdefault(photo.group, []).append(photo)
        return groups


def load_pool(
    folders: str | Path | Sequence[str | Path],
    part: str = 'train',
    video_folders: Sequence[str] = (),
    longest_side: int = 384,
    progress: bool = False,
) -> PhotoPool:
    """Decode folders of photos into memory.

    Boxes stand in a `boxes.csv` (file,x,y,w,h,...) beside the images, objects that are followed
    through them in a `tracks.csv` (file,track,x,y,w,h,...), and outlines in `masks/NAME.png`,
    where pixels have the number of their object. A folder that has a `groundtruth_rect.txt` or
    `groundtruth.txt` is a sequence. Folders with tracks or a ground truth hold frames in order.

    Args:
        folders: One or more, read with their subfolders.
        part: 'train', 'held_out' (about one photo in sixteen, chosen by name; a video's frames
            stay together) or 'all'.
        video_folders: Patterns, relative to these, of folders whose images are frames or
            overlapping views in order, which nothing in them tells.
        longest_side: Larger images are reduced to this many pixels.
        progress: Show a progress bar.

    Raises:
        ParameterError: The folder is missing, holds no images, or an annotation cannot be read.
        ImageError: An image cannot be read.
    """
    roots = [Path(each) for each in ([folders] if isinstance(folders, (str, Path)) else folders)]
    for root in roots:
        if not root.is_dir():
            raise ParameterError(f'training data: there is no folder {root}')
    if part not in PARTS:
        raise ParameterError(f"part must be 'train', 'held_out' or 'all', not {part!r}")
    pool = PhotoPool()
    for root in roots:
        read_folder(pool, root, part, video_folders, longest_side, progress)
    if not pool.photos:
        raise ParameterError(
            f'training data: no images ({", ".join(sorted(IMAGE_SUFFIXES))}) below '
            f'{", ".join(map(str, roots))} for part {part!r}'
        )
    return pool


def read_folder(
    pool: PhotoPool,
    root: Path,
    part: str,
    video_folders: Sequence[str],
    longest_side: int,
    progress: bool,
) -> None:
    """Add a folder to a pool; see `load_pool`."""
    videos = {path for pattern in video_folders for path in root.glob(pattern) if path.is_dir()}
    folders = list_photos(root)
    bar = tqdm(
        total=sum(map(len, folders.values())),
        desc=f'reading {root.name} ({part})',
        unit='image',
        disable=not progress,
        leave=False,
    )
    for directory, paths in folders.items():
        truth, paths = read_ground_truth(directory, paths)
        tracks = read_tracks(directory / 'tracks.csv')
        is_ordered = directory in videos or truth is not None or bool(tracks)
        kept = paths if part == 'all' else choose(paths, root, is_ordered, part)
        photos: list[Photo] = []
        factors: list[float] = []
        boxes = read_box_table(directory / 'boxes.csv')
        for path in kept:
            image, factor = read_photo(path, longest_side)
            found = np.array(boxes.get(path.name, []), np.float64).reshape(-1, 4) * factor
            objects = read_objects(path, (image.shape[1], image.shape[0]))
            group = path.relative_to(root).parts[0]
            photos.append(make_photo(image, group, found, objects))
            factors.append(factor)
            bar.update()
        bar.update(len(paths) - len(kept))
        pool.photos += photos
        pool.boxes += large_enough(
            outlined(Region(photo, box)) for photo in photos for box in photo.boxes
        )
        if truth is not None:
            frames = zip(photos, truth, factors, strict=False)
            sequence = large_enough(Region(p, np.array(box) * f) for p, box, f in frames)
            if len(sequence) > 1:
                pool.sequences.append(sequence)
        elif tracks:
            of_name = {path.name: at for at, path in enumerate(kept)}
            pool.sequences += track_regions(tracks, of_name, photos, factors)
        elif is_ordered:
            seed = zlib.crc32(repr((len(pool.photos), len(photos))).encode())
            pool.followed += follow_regions(photos, seed)
    bar.close()


def track_regions(
    tracks: Mapping[str, Sequence[tuple[str, list[float]]]],
    of_name: Mapping[str, int],
    photos: Sequence[Photo],
    factors: Sequence[float],
) -> Iterator[list[Region]]:
    """Each track's object in the photos that show it, where there are two or more.

    Args:
        tracks: As `read_tracks` gives them.
        of_name: The place of each file's photo.
        photos, factors: Photos and how much they were reduced.
    """
    for track in tracks.values():
        places = [(of_name[name], box) for name, box in track if name in of_name]
        regions = large_enough(
            outlined(Region(photos[at], np.array(box) * factors[at])) for at, box in places
        )
        if len(regions) > 1:
            yield regions


def choose(paths: Sequence[Path], root: Path, is_ordered: bool, part: str) -> list[Path]:
    """The images of a folder that belong to a part: frames all or none of them."""
    wanted = part == 'held_out'
    if is_ordered:
        folder = paths[0].parent.relative_to(root).as_posix()
        return list(paths) if is_held_out(folder, HELD_OUT_FOLDERS) == wanted else []
    return [
        path
        for path in paths
        if is_held_out(path.relative_to(root).as_posix(), HELD_OUT_SHARE) == wanted
    ]


def is_held_out(name: str, share: int) -> bool:
    """Whether a photo or a folder of frames is kept for checking: one name in `share` is."""
    return zlib.crc32(name.encode()) % share == 0


def large_enough(regions: Iterable[Region]) -> list[Region]:
    """Those that are large enough to learn from."""
    return [region for region in regions if is_large_enough(region.box)]


def is_large_enough(box: Floats) -> bool:
    """Whether a box is neither tiny nor a sliver, and its numbers are finite."""
    return bool(
        np.isfinite(box).all()
        and min(box[2:]) >= SMALLEST_BOX / 2
        and box[2] * box[3] >= SMALLEST_BOX**2
    )

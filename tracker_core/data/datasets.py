# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The field's data sets, read by their layouts: KIND:DIR, or what a folder is recognised as."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
import os
from pathlib import Path

import numpy as np

from tracker_core.boxes import is_box
from tracker_core.data.layouts.coco import COCO
from tracker_core.data.layouts.got10k import GOT10K
from tracker_core.data.layouts.imagenet_vid import IMAGENET_VID
from tracker_core.data.layouts.lasot import LASOT
from tracker_core.data.layouts.layout import by_name, Found, Layout, Part, SPLITS
from tracker_core.data.layouts.nfs import NFS
from tracker_core.data.layouts.otb import OTB
from tracker_core.data.layouts.own import OWN
from tracker_core.data.layouts.tnl2k import TNL2K
from tracker_core.data.layouts.trackingnet import TRACKINGNET
from tracker_core.data.layouts.uav123 import UAV20L, UAV123, UAV123_10FPS
from tracker_core.data.layouts.vot import VOT
from tracker_core.data.layouts.youtubebb import YOUTUBE_BB
from tracker_core.data.sequences import DataSet, DatasetError, ImageSet, Refusal, VideoSequence
from tracker_core.errors import ImageError, suggestion
from tracker_core.progress import progress_bar

# In the order in which a folder is tried
LAYOUTS: dict[str, Layout] = {
    layout.kind: layout
    for layout in (
        OTB,
        LASOT,
        TNL2K,
        GOT10K,
        TRACKINGNET,
        UAV123,
        UAV123_10FPS,
        UAV20L,
        NFS,
        COCO,
        IMAGENET_VID,
        YOUTUBE_BB,
        VOT,
        OWN,
    )
}


def read_dataset(
    spec: str, split: str | None = None, strict: bool = True, progress: bool = False
) -> DataSet:
    """Read names and boxes of a data set; no image is opened.

    Args:
        spec: 'KIND:DIR', KIND being one of `LAYOUTS`, or DIR alone, whose layout is recognised.
        split: 'train', 'val' or 'test'; None for all. What has no splits is always taken.
        strict: Whether the first part that cannot be read is an error; else it is listed in
            `refused`.
        progress: Show a progress bar.

    Raises:
        DatasetError: What is wrong with which folder, file or line.
    """
    layout, folder, parts = find_parts(spec)
    parts = [part for part in parts if split is None or part.split in ('', split)]
    result = DataSet(layout.kind, folder)
    for part in progress_bar(parts, f'reading {layout.title}', unit='part', hidden=not progress):
        try:
            found = read_part(layout, part)
        except (DatasetError, ImageError, OSError) as error:
            if strict:
                raise
            result.refused.append(Refusal(part.name, str(error)))
            continue
        result.sequences.extend(each for each in found if isinstance(each, VideoSequence))
        result.images.extend(each for each in found if isinstance(each, ImageSet))
        result.refused.extend(each for each in found if isinstance(each, Refusal))
    return result


def find_parts(spec: str) -> tuple[Layout, Path, list[Part]]:
    """The layout of a data set, its folder, and what there is to be read; see `read_dataset`.

    Raises:
        DatasetError: There is no such kind or folder, or the folder is of another layout.
    """
    kind, separator, text = spec.partition(':')
    if separator and kind not in LAYOUTS:
        raise DatasetError(
            f"a data set is given as 'KIND:DIR' with a kind of {', '.join(LAYOUTS)}, not "
            f'{spec!r}{suggestion(kind, LAYOUTS)}'
        )
    if not (text or not separator) or not spec:
        raise DatasetError(f"a data set is given as 'KIND:DIR', not {spec!r}")
    name = text if separator else spec
    folder = Path(os.path.abspath(Path(name).expanduser()))  # '.' has a name, too
    if not folder.is_dir():
        raise DatasetError(f'data set folder {folder} does not exist')
    layout = LAYOUTS[kind] if separator else recognise(folder)
    if layout is None:
        known = '; '.join(f'{each.kind}: {each.expects}' for each in LAYOUTS.values())
        raise DatasetError(f'{folder} is of no known layout. {known}')
    parts = layout.find(folder)
    if not parts:
        raise DatasetError(
            f'{folder} holds no {layout.title} sequences: {layout.expects} are expected'
        )
    return layout, folder, parts


def recognise(folder: Path) -> Layout | None:
    """The layout of a folder, by what lies where; None if it is none that is known."""
    for layout in LAYOUTS.values():
        parts = layout.find(folder)
        if parts and layout.is_certain(parts[0]):
            return layout
    return None


def read_part(layout: Layout, part: Part) -> list[Found]:
    """What a part of a data set holds.

    Raises:
        DatasetError: What is wrong, of which file and line.
    """
    found = layout.read(part)
    for each in found:
        if isinstance(each, VideoSequence) and not is_box(each.boxes[:1]).all():
            raise DatasetError(
                f'{part.path}, line 1: a sequence must begin with a box of some size, which '
                f'{each.name} does not'
            )
    return found


def load_dataset(
    specs: str | Sequence[str], names: Sequence[str] | None = None, split: str | None = None
) -> list[VideoSequence]:
    """The sequences of one or more data sets, for evaluation.

    Args:
        specs: 'KIND:DIR', or several of these; DIR may also be the folder of a single sequence
            where a layout has such.
        names: Which sequences to take, in this order; None for all.
        split: As of `read_dataset`; None: the test split of those that have splits, where there
            is none the validation split, else the training split.

    Raises:
        DatasetError: What is wrong with which folder, file or line.
    """
    known: dict[str, tuple[Layout, Part]] = {}
    for spec in [specs] if isinstance(specs, str) else specs:
        layout, _, parts = find_parts(spec)
        for name, part in by_name(of_split(parts, split)).items():
            if name in known:
                raise DatasetError(f'{known[name][1].path} and {part.path} are both called {name}')
            known[name] = layout, part
    are_parts = names is not None and all(name in known for name in names)
    chosen = names if names is not None and are_parts else list(known)
    sequences: dict[str, VideoSequence] = {}
    for name in chosen:
        for each in read_part(*known[name]):
            if isinstance(each, VideoSequence):
                sequences[each.name] = each
    if names is None:
        if not sequences:
            raise DatasetError(f'there are no sequences in {specs}')
        return list(sequences.values())
    return choose_sequences(sequences, names)


def choose_sequences(
    sequences: dict[str, VideoSequence], names: Iterable[str]
) -> list[VideoSequence]:
    """Those of these names.

    Raises:
        DatasetError: There is none of a name.
    """
    for name in names:
        if name not in sequences:
            raise DatasetError(f'there is no sequence {name!r}, only {", ".join(sequences)}')
    return [sequences[name] for name in names]


def of_split(parts: Sequence[Part], split: str | None) -> list[Part]:
    """The parts of a split; see `load_dataset`.

    Raises:
        DatasetError: There are none.
    """
    there = {part.split for part in parts}
    if split is None:
        split = next((each for each in reversed(SPLITS) if each in there), '')
    kept = [part for part in parts if part.split in ('', split)]
    if not kept:
        raise DatasetError(f'there is no split {split!r}, only {", ".join(sorted(there))}')
    return kept


def with_later_starts(sequences: Sequence[VideoSequence], starts: int) -> list[VideoSequence]:
    """Sequences, and their remainders from later frames on.

    This is the temporal robustness evaluation of the Object Tracking Benchmark: a single run hangs
    on chance, so a difference between trackers is clearer over several.

    Args:
        sequences: To begin with.
        starts: How many per sequence, evenly spaced: at the first frame that is annotated from
            k / starts of its length on, for k from 0.

    Returns:
        The parts of each sequence in order, named NAME@FRAME but for those from the first frame.
    """
    parts = []
    for sequence in sequences:
        annotated = np.flatnonzero(sequence.has_box)
        wanted = [k * len(sequence) // starts for k in range(starts)]
        firsts = {
            int(annotated[annotated >= first][0]) for first in wanted if first <= annotated[-1]
        }
        for first in sorted(firsts):
            name = f'{sequence.name}@{first}' if first else sequence.name
            parts.append(sequence.part(first, name=name))
    return parts

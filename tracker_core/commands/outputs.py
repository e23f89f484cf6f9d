# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The files that `tracker track` writes, by the endings of their names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import csv
from dataclasses import dataclass
import json
from pathlib import Path
from typing import Any, Protocol, TextIO, TYPE_CHECKING

from tracker_core.target import Target, Track

if TYPE_CHECKING:
    import numpy as np

    from tracker_core.media.frame_source import FrameSource
    from tracker_core.media.moments import Header

COLUMNS = ('frame', 'id', 'x', 'y', 'w', 'h', 'score', 'raw_score', 'status')


@dataclass(frozen=True)
class FrameResult:
    """What one frame brought.

    Attributes:
        number: Of the frame in the video, from 0.
        header: Of its image, with the stamps of the frame rate where the video has none.
        image: (H, W, 3) uint8 RGB; may be drawn on.
        targets: By their ids, with what they are now.
        tracks: Of these, in order.
        seconds: That the tracker took.
    """

    number: int
    header: Header
    image: np.ndarray
    targets: Mapping[str, Target[Any, Any]]
    tracks: Sequence[Track]
    seconds: float


class Output(Protocol):
    """A file to be written."""

    @property
    def path(self) -> Path:
        """Of the file, as it is in the end."""
        ...

    def write(self, result: FrameResult) -> None:
        """Add a frame."""
        ...

    def close(self, is_complete: bool) -> None:
        """Finish; `is_complete` is whether nothing went wrong."""
        ...


def open_output(path: str, kind: str, source: FrameSource, tracker: str, preset: str) -> Output:
    """A file to be written.

    Args:
        path: Its name.
        kind: '.csv', '.json' or '.mcap'; anything else is a video's.
        source: What is followed.
        tracker, preset: By which.

    Raises:
        ParameterError: The package that writes it is not installed.
        VideoError: It cannot be written.
    """
    if kind == '.csv':
        return Table(path, source.header is not None)
    if kind == '.json':
        return Document(path, source.name, tracker, preset)
    if kind == '.mcap':
        return Recording(path, tracker, preset)
    return Film(path, source.fps / source.part.every)


class Table:
    """A line per object and frame, with the image's stamp in nanoseconds where it has one."""

    def __init__(self, path: str, has_stamps: bool) -> None:
        self.path = Path(path)
        self._has_stamps = has_stamps
        self._file = _created(self.path)
        self._rows = csv.writer(self._file)
        self._rows.writerow((*COLUMNS, 'stamp') if has_stamps else COLUMNS)

    def write(self, result: FrameResult) -> None:
        for name, track in zip(result.targets, result.tracks, strict=True):
            row = [str(result.number), name]
            row += [f'{v:.4f}' for v in (*track.box.as_xywh(), track.score)]
            row += [f'{track.raw_score:.6g}', track.status.name]
            self._rows.writerow([*row, result.header.stamp] if self._has_stamps else row)

    def close(self, is_complete: bool) -> None:
        self._file.close()


class Document:
    """JSON: the video, the tracker and its preset, and a list of frames, one a line."""

    def __init__(self, path: str, video: str, tracker: str, preset: str) -> None:
        self.path = Path(path)
        self._file = _created(self.path)
        head = json.dumps({'video': video, 'tracker': tracker, 'preset': preset})
        self._file.write(f'{head[:-1]}, "frames": [')
        self._separator = '\n'

    def write(self, result: FrameResult) -> None:
        targets = [
            {
                'id': name,
                'box': [round(v, 4) for v in track.box.as_xywh()],
                'score': round(track.score, 4),
                'raw_score': float(f'{track.raw_score:.6g}'),
                'status': track.status.name,
            }
            for name, track in zip(result.targets, result.tracks, strict=True)
        ]
        frame = {'frame': result.number, 'stamp': result.header.stamp, 'targets': targets}
        self._file.write(self._separator + json.dumps(frame))
        self._separator = ',\n'

    def close(self, is_complete: bool) -> None:
        self._file.write('\n]}\n')
        self._file.close()


class Recording:
    """The node's messages, see `TrackRecorder`."""

    def __init__(self, path: str, tracker: str, preset: str) -> None:
        from tracker_core.media.recorder import TrackRecorder

        self.path = Path(path)
        self._recorder = TrackRecorder(path, tracker, preset)

    def write(self, result: FrameResult) -> None:
        self._recorder.write(result.header, result.targets, result.seconds)

    def close(self, is_complete: bool) -> None:
        if is_complete:
            self._recorder.close()
        else:
            self._recorder.abort()


class Film:
    """The video with the boxes drawn in."""

    def __init__(self, path: str, fps: float) -> None:
        from tracker_core.media.writer import VideoWriter

        self._video = VideoWriter(path, fps)

    @property
    def path(self) -> Path:
        return self._video.path

    def write(self, result: FrameResult) -> None:
        from tracker_core.media.overlay import draw_track

        for name, track in zip(result.targets, result.tracks, strict=True):
            draw_track(result.image, track, name if len(result.tracks) > 1 else '')
        self._video.write(result.image)

    def close(self, is_complete: bool) -> None:
        self._video.close()


def _created(path: Path) -> TextIO:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open('w', newline='')

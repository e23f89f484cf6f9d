# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Recordings of ROS as video, without ROS: rosbag2 (MCAP and SQLite) and the bags of ROS 1.

The package rosbags reads them; it is optional (extra `bag`). Messages are read one after the
other, so memory does not grow with a recording's length.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from tracker_core.errors import ImageError, suggestion, VideoError
from tracker_core.extras import need
from tracker_core.media.encodings import compressed_to_rgb, to_rgb
from tracker_core.media.frame_source import DEFAULT_FPS, FrameSource
from tracker_core.media.gray import GrayRange, Scale
from tracker_core.media.moments import Header, SECOND, Shot

STORAGES = ('.mcap', '.db3')
SUFFIXES = ('.bag', *STORAGES, *(f'{suffix}.zstd' for suffix in STORAGES))
METADATA = 'metadata.yaml'
RAW, COMPRESSED = 'sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage'
PROBED = 30  # images at the beginning from which size and rate are taken
LONGEST_REASON = 200  # characters of what rosbags says that are repeated
CURES = {
    '.bag': 'rosbag reindex FILE',
    '.mcap': 'mcap recover FILE -o MENDED.mcap',
    '.db3': 'sqlite3 FILE .recover | sqlite3 MENDED.db3',
    '': 'ros2 bag reindex FOLDER',
}


@dataclass(frozen=True)
class ImageTopic:
    """A topic with images.

    Attributes:
        name: With its slash.
        kind: `RAW` or `COMPRESSED`.
        count: How many there are.
        connections: Of rosbags, for reading.
    """

    name: str
    kind: str
    count: int
    connections: Sequence[Any]

    def __str__(self) -> str:
        return f'{self.name} ({self.kind.rpartition("/")[2]}, {self.count})'


def is_recording(source: str) -> bool:
    """Whether there is a file or a folder of this name that looks like a recording."""
    path = Path(source).expanduser()
    try:
        if path.is_dir():
            return any(each.name == METADATA or _is_storage(each) for each in path.iterdir())
        return path.name.endswith(SUFFIXES) and path.is_file()
    except (OSError, ValueError):
        return False


def _is_storage(path: Path) -> bool:
    return path.name.endswith(SUFFIXES[1:]) and not path.name.startswith('.')


def open_recording(path: Path, gray: GrayRange, topic: str | None = None) -> FrameSource:
    """The images of a topic as video. Only one iteration at a time may be under way.

    Args:
        path: A rosbag2 folder, a single file of one (.mcap, .db3), or a .bag of ROS 1. A file that
            is the only one of its folder is read with what the folder's metadata say.
        gray: How 16-bit images are brought to 8 bits.
        topic: Of `sensor_msgs/Image` or `sensor_msgs/CompressedImage`; None: the only one.

    Raises:
        ParameterError: The package rosbags is not installed.
        VideoError: The recording is damaged, has no such topic or several, or none of its first
            images can be decoded.
    """
    need('rosbags', 'reading a recording', 'bag')
    path = _whole(path)
    reader = _opened(path)
    try:
        return _as_video(path, reader, _chosen(path, _image_topics(reader), reader, topic), gray)
    except BaseException:
        reader.close()
        raise


def _whole(path: Path) -> Path:
    """The folder of a file that is all of a recording: its compression is told there only."""
    if path.is_dir():
        if not (path / METADATA).is_file():
            raise VideoError(
                f'{path} is a recording without {METADATA}, as one is that was cut off: '
                'ros2 bag reindex FOLDER writes it; or name one of the files in it'
            )
        return path
    if path.suffix == '.bag':
        return path
    beside = [each for each in path.parent.iterdir() if _is_storage(each)]
    if len(beside) == 1 and (path.parent / METADATA).is_file():
        return path.parent
    if path.suffix == '.zstd':
        raise VideoError(
            f'{path} is compressed, and no folder of a recording is around it that says how: '
            'zstd -d FILE unpacks it; or name the folder'
        )
    return path


def _opened(path: Path) -> Any:
    """A reader of rosbags."""
    from rosbags.rosbag1 import Reader as Reader1
    from rosbags.rosbag2 import Reader as Reader2

    try:
        reader = Reader1(path) if path.suffix == '.bag' and path.is_file() else Reader2(path)
        reader.open()
    except PermissionError:
        raise
    except Exception as error:  # its own, SQLite's, zstd's, and what damaged bytes lead to
        raise VideoError(f'{path} cannot be read ({_brief(error)}); {_cure(path)}') from error
    return reader


def _cure(path: Path) -> str:
    suffix = path.suffix if path.is_file() else ''
    return f'if it was cut off or damaged, this may mend it: {CURES.get(suffix, CURES[""])}'


def _brief(error: Exception) -> str:
    text = ' '.join(str(error).split()) or type(error).__name__
    return text[:LONGEST_REASON].rstrip('.')


def _image_topics(reader: Any) -> list[ImageTopic]:
    return [
        ImageTopic(name, info.msgtype, info.msgcount, info.connections)
        for name, info in sorted(reader.topics.items())
        if info.msgtype in (RAW, COMPRESSED)
    ]


def _chosen(path: Path, topics: list[ImageTopic], reader: Any, name: str | None) -> ImageTopic:
    listed = ', '.join(map(str, topics)) or 'none'
    if name is None:
        full = [topic for topic in topics if topic.count]
        if len(full) == 1:
            return full[0]
        if full:
            raise VideoError(f'{path} has images on several topics; choose one, --topic: {listed}')
        raise VideoError(f'{path} holds no images; topics of images: {listed}')
    wanted = f'/{name.strip("/")}'
    for topic in topics:
        if f'/{topic.name.strip("/")}' == wanted:
            if topic.count == 0:
                raise VideoError(f'{path}: the topic {topic.name} is empty; there are: {listed}')
            return topic
    for other, info in reader.topics.items():
        if f'/{other.strip("/")}' == wanted:
            raise VideoError(
                f'{path}: the topic {other} has messages of {info.msgtype or "several types"}; '
                f'{RAW} and {COMPRESSED} are read; there are: {listed}'
            )
    near = suggestion(wanted, [topic.name for topic in topics])
    raise VideoError(f'{path} has no topic {wanted}{near}; topics of images: {listed}')


def _as_video(path: Path, reader: Any, topic: ImageTopic, gray: GrayRange) -> FrameSource:
    from rosbags.typesys import get_typestore, Stores

    # These two types are the same in all distributions, so what a recording says of them, often
    # nothing, and of others, sometimes nonsense, need not be read.
    is_first = path.suffix == '.bag' and path.is_file()
    types = get_typestore(Stores.ROS1_NOETIC if is_first else Stores.ROS2_HUMBLE)
    parse = types.deserialize_ros1 if is_first else types.deserialize_cdr
    name = f'{path}, topic {topic.name}'

    def read() -> Iterator[Shot]:
        return shots(gray.fresh())

    def shots(range_of_all: GrayRange) -> Iterator[Shot]:
        messages = reader.messages(topic.connections)
        number = 0
        while True:
            try:
                _, recorded, raw = next(messages, (None, 0, None))
            except Exception as error:
                raise VideoError(
                    f'{name}: it cannot be read after {number} images ({_brief(error)}); '
                    f'{_cure(path)}'
                ) from error
            if raw is None:
                return
            message, header = None, Header(recorded, '', recorded)
            try:
                message = parse(raw, topic.kind)
                stamp = message.header.stamp.sec * SECOND + message.header.stamp.nanosec
                header = Header(stamp or recorded, message.header.frame_id, recorded)
                problem = ''
            except Exception as error:
                problem = f'no message of {topic.kind}: {_brief(error)}'
            scale = range_of_all.at(header.stamp)
            yield Shot(partial(decode, number, message, scale, problem), header)
            number += 1

    def decode(number: int, message: Any, scale: Scale, problem: str) -> np.ndarray | None:
        try:
            if message is None:
                raise ImageError(problem)
            return decoded(message, scale)
        except ImageError as error:
            told = f'image {number}' if source.unreadable else f'image {number} ({error})'
            if number not in unreadable:
                unreadable.add(number)
                source.unreadable.append(told)
            return None

    unreadable: set[int] = set()
    source = FrameSource(name, DEFAULT_FPS, (0, 0), topic.count, read, close=lambda: close(reader))
    stamps = []
    frame = None
    for shot in islice(shots(GrayRange(gray.bit_depth)), PROBED):
        stamps.append(shot.header.stamp if shot.header else 0)
        frame = shot.decode() if frame is None else frame
    if frame is None:
        why = f': {source.unreadable[0]}' if source.unreadable else ''
        raise VideoError(f'{name}: none of the first images can be read{why}')
    source.unreadable.clear()
    unreadable.clear()
    source.size = (frame.shape[1], frame.shape[0])
    source.fps = _rate(stamps)
    return source


def decoded(message: Any, scale: Scale | None = None) -> np.ndarray:
    """The pixels of a message of either kind as rosbags has it, (H, W, 3) uint8 RGB, to be
    written to.

    Raises:
        ImageError: It cannot be decoded.
    """
    if hasattr(message, 'format'):
        return compressed_to_rgb(message, scale)
    return np.require(to_rgb(message, scale), requirements='W')  # rgb8 is a view of the message


def close(reader: Any) -> None:
    """Let go of a reader, which may be so already."""
    try:
        reader.close()
    except Exception:  # it is closed
        return


def _rate(stamps: Sequence[int]) -> float:
    """Frames per second by the middle one of the times between frames."""
    gaps = np.diff(stamps)
    gaps = gaps[gaps > 0]
    fps = SECOND / float(np.median(gaps)) if len(gaps) else DEFAULT_FPS
    return fps if 0 < fps <= 1000 else DEFAULT_FPS

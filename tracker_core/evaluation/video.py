# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Frames in and video out: files, folders of images, cameras and rendered scenes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
import re
from types import TracebackType

import cv2
import numpy as np

from tracker_core.boxes import Box
from tracker_core.errors import ImageError, TrackerError
from tracker_core.evaluation.scene import render_scene
from tracker_core.gray import GrayRange

IMAGE_SUFFIXES = {'.bmp', '.jpeg', '.jpg', '.pgm', '.png', '.ppm', '.tif', '.tiff', '.webp'}
DEFAULT_FPS = 30.0


class VideoError(TrackerError, ValueError):
    """A video that is missing, cannot be decoded, holds no frames, or cannot be written."""


def read_image(path: str | Path, gray: GrayRange | None = None) -> np.ndarray:
    """An image file as (H, W, 3) uint8 RGB.

    Args:
        path: The file.
        gray: The range of the images that it is one of, if they have 16 bits; None: its own.

    Raises:
        ImageError: The file is missing or is not an image that OpenCV reads.
    """
    image = cv2.imread(str(path), cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    if image is None:
        state = (
            'is not an image that OpenCV can read' if Path(path).is_file() else 'does not exist'
        )
        raise ImageError(f'{path} {state}')
    if image.dtype == np.uint16:
        image = (gray or GrayRange()).at()(image)
    if image.dtype != np.uint8:
        raise ImageError(f'{path} holds {image.dtype} values; images of 8 or 16 bits are read')
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def list_images(folder: str | Path) -> list[Path]:
    """The image files of a folder in natural order (2.jpg before 10.jpg)."""
    files = [path for path in Path(folder).iterdir() if path.suffix.lower() in IMAGE_SUFFIXES]
    return sorted(
        files,
        key=lambda path: [
            (1, int(part), '') if part.isdecimal() else (0, 0, part)
            for part in re.split(r'(\d+)', path.name)
        ],
    )


class FrameSource:
    """Frames of a video, (H, W, 3) uint8 RGB; made by `open_frames`.

    Every `iter()` starts with the first frame again; a camera goes on instead.

    Attributes:
        name: What was opened.
        fps: Frames per second at which it was taken.
        size: Width and height of the first frame in pixels.
        length: Number of frames; None where it is not known.
        boxes: Exact boxes of the object, one per frame, of a rendered scene; None elsewhere.
    """

    def __init__(
        self,
        name: str,
        fps: float,
        size: tuple[int, int],
        length: int | None,
        read: Callable[[], Iterator[np.ndarray]],
        boxes: list[Box] | None = None,
        close: Callable[[], None] = lambda: None,
    ) -> None:
        self.name, self.fps, self.size, self.length, self.boxes = name, fps, size, length, boxes
        self._read, self._close = read, close

    def __iter__(self) -> Iterator[np.ndarray]:
        return self._read()

    def close(self) -> None:
        """Let go of the file or camera."""
        self._close()

    def __enter__(self) -> FrameSource:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def open_frames(source: str | int | Path, gray: GrayRange | None = None) -> FrameSource:
    """Open a video.

    Args:
        source: A video file, a folder of images, the number of a camera (0 or '0'), or a rendered
            scene: 'scene' or 'scene:NAME'.
        gray: How a folder of 16-bit images is brought to 8 bits; None: by what they hold.

    Raises:
        VideoError: There is no such thing, it cannot be decoded, or it holds no frames.
        ParameterError: There is no such scene.
    """
    text = str(source)
    if text == 'scene' or text.startswith('scene:'):
        scene = render_scene(text.partition(':')[2] or 'default')
        return FrameSource(
            text, scene.fps, scene.size, len(scene), lambda: iter(scene), scene.boxes
        )
    if text.isdecimal() and not Path(text).exists():
        return _open_capture(int(text), f'camera {text}')
    path = Path(text).expanduser()
    if path.is_dir():
        return _open_folder(path, gray or GrayRange())
    if not path.exists():
        raise VideoError(
            f'{path} does not exist; a video is a file, a folder of images, the number of a '
            "camera, or 'scene'"
        )
    return _open_capture(path, text)


def _open_folder(folder: Path, gray: GrayRange) -> FrameSource:
    files = list_images(folder)
    if not files:
        raise VideoError(
            f'{folder} holds no images; files ending in {", ".join(sorted(IMAGE_SUFFIXES))} count'
        )
    height, width = read_image(files[0]).shape[:2]

    def read() -> Iterator[np.ndarray]:
        return map(partial(read_image, gray=gray.fresh()), files)

    return FrameSource(str(folder), DEFAULT_FPS, (width, height), len(files), read)


def _open_capture(source: Path | int, name: str) -> FrameSource:
    """A video file or a camera, through OpenCV."""
    is_camera = isinstance(source, int)

    def connect() -> cv2.VideoCapture:
        return cv2.VideoCapture(source if is_camera else str(source))

    capture = connect()
    _, first = capture.read() if capture.isOpened() else (False, None)
    if first is None:
        capture.release()
        cure = (
            'is it plugged in, and free?'
            if is_camera
            else 'is it a video? If so, convert it: ffmpeg -i FILE -c:v libx264 out.mp4'
        )
        raise VideoError(f'{name} gives no frames; {cure}')

    def read() -> Iterator[np.ndarray]:
        stream = capture if is_camera else connect()  # seeking in files is not to be relied on
        while True:
            is_read, frame = stream.read()
            if not is_read:
                return
            yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)

    fps = capture.get(cv2.CAP_PROP_FPS)
    count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    if not is_camera:
        capture.release()
    return FrameSource(
        name,
        fps if 0 < fps <= 1000 else DEFAULT_FPS,
        (first.shape[1], first.shape[0]),
        None if is_camera or count <= 0 else count,
        read,
        close=capture.release,
    )


class VideoWriter:
    """Writes RGB frames to a video file; use it in a `with` statement.

    Attributes:
        path: The file that is written. Where this OpenCV cannot write MPEG-4 it is an .avi with
            motion JPEG, whatever was asked for.
    """

    CODECS = (('mp4v', None), ('MJPG', '.avi'))

    def __init__(self, path: str | Path, fps: float = DEFAULT_FPS) -> None:
        self.path = Path(path)
        self._fps = fps
        self._size = (0, 0)
        self._writer: cv2.VideoWriter | None = None

    def write(self, frame: np.ndarray) -> None:
        """Append a frame, (H, W, 3) uint8 RGB; the first decides the video's size.

        Raises:
            VideoError: The file cannot be written.
        """
        if self._writer is None:
            self._size = frame.shape[1::-1]
            self._writer = self._open()
        if frame.shape[1::-1] != self._size:
            frame = cv2.resize(frame, self._size, interpolation=cv2.INTER_AREA)
        self._writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))

    def close(self) -> None:
        if self._writer is not None:
            self._writer.release()

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _open(self) -> cv2.VideoWriter:
        if not self.path.suffix:
            self.path = self.path.with_suffix('.mp4')
        self.path.parent.mkdir(parents=True, exist_ok=True)
        for code, suffix in self.CODECS:
            path = self.path.with_suffix(suffix) if suffix else self.path
            writer = cv2.VideoWriter(
                str(path), cv2.VideoWriter.fourcc(*code), self._fps, self._size
            )
            if writer.isOpened():
                self.path = path
                return writer
        raise VideoError(f'{self.path} cannot be written; a name ending in .mp4 or .avi works')

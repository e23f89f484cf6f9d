# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Frames in and video out: files, folders of images, cameras, streams and rendered scenes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
import contextlib
from decimal import Decimal
import os
from pathlib import Path
import queue
import re
import stat
import threading
from types import TracebackType
from urllib.parse import unquote

import cv2
import numpy as np

from tracker_core.boxes import Box
from tracker_core.errors import ImageError, TrackerError
from tracker_core.evaluation.scene import render_scene
from tracker_core.gray import GrayRange

IMAGE_SUFFIXES = {'.bmp', '.jpeg', '.jpg', '.pgm', '.png', '.ppm', '.tif', '.tiff', '.webp'}
DEFAULT_FPS = 30.0
HEADERS_CHECKED = 10_000  # images of a folder that are looked into before the first is used
STALLED_MS = 10_000  # a stream that sends nothing for so long has ended
CAMERA_MAJOR = 81  # device number of cameras in Linux
KINDS_OF_VIDEO = (
    'a video is a file, a folder of images, the number of a camera, a stream such as '
    "rtsp://HOST/PATH, or 'scene'"
)

URL = re.compile(r'[a-z][a-z0-9+.-]+://', re.IGNORECASE)
PIPELINE = re.compile(r'!\s*appsink\b')  # of GStreamer
NUMBER = re.compile(r'(\d(?:\.\d+)?e-\d\d(?!\d)|\d+(?:\.\d+)*)')
LOGIN = re.compile(r'(?<=://)(?:[^\s/?#]*|[^\s/:@]*:\S*)@')
SECRET = re.compile(
    r'(\b[\w-]*(?:pass|pwd|-pw|token|secret|api_?key|auth)[\w-]*\s*=\s*)("[^"]*"|[^\s&#!]+)',
    re.IGNORECASE,
)


class VideoError(TrackerError, ValueError):
    """A video that is missing, cannot be decoded, holds no frames, or cannot be written."""


def read_image(path: str | Path, gray: GrayRange | None = None) -> np.ndarray:
    """An image file as (H, W, 3) uint8 RGB, turned upright as its EXIF orientation says.

    Args:
        path: The file.
        gray: The range of the images that it is one of, if they have 16 bits; None: its own.

    Raises:
        ImageError: The file is missing or is not an image that OpenCV reads.
    """
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH
    image = cv2.imread(str(path), flags) if _is_utf8(path) else None
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


def _is_utf8(path: str | Path) -> bool:
    """Whether a name can be given to OpenCV, which crashes on others."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def is_image_name(name: str) -> bool:
    """Whether a file of this name counts as an image; a hidden one, as macOS leaves, does not."""
    return not name.startswith('.') and os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES


def list_images(folder: str | Path) -> list[Path]:
    """The images of a folder, without hidden files and sub-folders, in the order of `in_order`."""
    with os.scandir(folder) as entries:
        names = [each.name for each in entries if is_image_name(each.name) and not each.is_dir()]
    return [Path(folder) / name for name in in_order(names)]


def in_order(names: Iterable[str]) -> list[str]:
    """File names in the order of the numbers in them.

    Names are compared piece by piece, text (of any case) with text and numbers with numbers, the
    suffix left aside: 2.jpg comes before 10.jpg and cam1_30.jpg before cam2_4.jpg. Digits, a point
    and digits are a number with decimals, as in names made of seconds (0.0, 0.05, 0.1), and so is
    what Python writes for small ones (5e-05). They are two whole numbers (1.9, 1.10) where

    * the digits after the point differ in number and one of them ends in a zero, which nobody
      writes after decimals of no fixed number; or
    * they are the nine and sometimes fewer of nanoseconds without leading zeros, after the seconds
      since 1970 (1700000000.99999999, 1700000000.123456789).

    This is decided for all names together. Digits with several points between them (1.2.10,
    dates) are whole numbers. A minus is text.
    """
    names = list(names)
    pieces = [NUMBER.split(os.path.splitext(name)[0].casefold()) for name in names]
    decimals: dict[int, list[list[str]]] = {}  # by the number's place in the name
    keys = []
    for parts in pieces:
        key: list[str | list[str] | list[int]] = list(parts)
        for place in range(1, len(parts), 2):
            number = parts[place]
            digits = (f'{Decimal(number):f}' if 'e' in number else number).split('.')
            key[place] = digits
            if len(digits) == 2:
                decimals.setdefault(place, []).append(digits)
        keys.append(key)
    for numbers in decimals.values():
        if not _are_counters(numbers):
            longest = max(len(after) for _, after in numbers)
            for digits in numbers:
                digits[1] = digits[1].ljust(longest, '0')
    for key in keys:
        key[1::2] = [[int(digit) for digit in digits] for digits in key[1::2]]
    return [name for _, name in sorted(zip(keys, names, strict=True))]


def _are_counters(numbers: list[list[str]]) -> bool:
    """Whether the digits before and after a point are two whole numbers: see `in_order`."""
    lengths = {len(after) for _, after in numbers}
    return len(lengths) > 1 and (
        any(len(after) > 1 and after.endswith('0') for _, after in numbers)
        or (max(lengths) == 9 and all(len(before) >= 10 for before, _ in numbers))
    )


def check_images(files: Sequence[Path]) -> None:
    """Look into the first `HEADERS_CHECKED` files, without decoding them.

    Raises:
        ImageError: Some are empty, or begin as no image that OpenCV reads does.
    """
    bad = [path for path in files[:HEADERS_CHECKED] if not _begins_as_image(path)]
    if bad:
        raise ImageError(
            f'{len(bad)} of {len(files)} images in {files[0].parent} are none that OpenCV can '
            f'read (empty, another format, a name not in UTF-8?): {some_names(bad)}; remove or '
            'replace them'
        )


def _begins_as_image(path: Path) -> bool:
    return path.is_file() and _is_utf8(path) and cv2.haveImageReader(str(path))


def some_names(paths: Sequence[Path], most: int = 5) -> str:
    """The names of files, the first few, for a sentence."""
    rest = f' and {len(paths) - most} more' if len(paths) > most else ''
    return ', '.join(path.name for path in paths[:most]) + rest


def without_secrets(source: str) -> str:
    """The address of a stream for people to read: passwords and the like become ***."""
    return SECRET.sub(r'\1***', LOGIN.sub('***@', source))


class FrameSource:
    """Frames of a video, (H, W, 3) uint8 RGB; made by `open_frames`. There is at least one.

    Every `iter()` starts with the first frame again. A camera or a stream goes on instead, and at
    its end there is nothing more to iterate over; a pipe can be read only once.

    Attributes:
        name: What was opened, without passwords.
        fps: Frames per second at which it was taken.
        size: Width and height of the first frame in pixels.
        length: Number of frames; None where it is not known.
        boxes: Exact boxes of the object, one per frame, of a rendered scene; None elsewhere.
        is_live: Whether it is a camera or a stream, which may end or stall and come back.
        is_repeatable: Whether it can be read again.
        number: Of the frame that was given last, from 0; a frame that cannot be read counts.
        unreadable: Files of a folder that could not be decoded when their turn came; they are
            left out.
    """

    def __init__(
        self,
        name: str,
        fps: float,
        size: tuple[int, int],
        length: int | None,
        read: Callable[[], Iterator[np.ndarray | None]],
        boxes: list[Box] | None = None,
        close: Callable[[], None] = lambda: None,
        is_live: bool = False,
        is_repeatable: bool = True,
    ) -> None:
        self.name, self.fps, self.size, self.length, self.boxes = name, fps, size, length, boxes
        self.is_live, self.is_repeatable = is_live, is_repeatable
        self.number = 0
        self.unreadable: list[Path] = []
        self._read, self._close = read, close

    def __iter__(self) -> Iterator[np.ndarray]:
        return self._numbered(self._read())

    def _numbered(self, frames: Iterator[np.ndarray | None]) -> Iterator[np.ndarray]:
        for number, frame in enumerate(frames):
            if frame is not None:
                self.number = number
                yield frame

    def close(self) -> None:
        """Let go of the file, camera or stream."""
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

    Frames are upright: the orientation that a video or a JPEG states is applied, as viewers do.

    Args:
        source: A video file, a folder of images (see `list_images`), the number of a camera (0 or
            '0') or its device, a stream (rtsp://, http:// and what else OpenCV's FFMPEG knows, or
            a GStreamer pipeline that ends in appsink), a pipe such as /dev/stdin, or a rendered
            scene: 'scene' or 'scene:NAME'.
        gray: How a folder of 16-bit images is brought to 8 bits; None: by what they hold.

    Raises:
        VideoError: There is no such thing, it cannot be decoded, or it holds no frames.
        ImageError: A file of the folder is no image.
        ParameterError: There is no such scene.
    """
    text = str(source)
    if not _is_utf8(text):
        raise VideoError(f'OpenCV cannot open {text!r}, whose name is not UTF-8; rename it')
    if text == 'scene' or text.startswith('scene:'):
        scene = render_scene(text.partition(':')[2] or 'default')
        return FrameSource(
            text, scene.fps, scene.size, len(scene), lambda: iter(scene), scene.boxes
        )
    if text.lower().startswith('file://'):
        text = unquote(text[len('file://') :].removeprefix('localhost'))
    if URL.match(text):
        return _open_live(
            text, cv2.CAP_FFMPEG, 'is it reachable, and are name, password and path right?'
        )
    path = Path(text).expanduser()
    if PIPELINE.search(text) and not path.exists():
        if not cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER):
            raise VideoError(
                f"{without_secrets(text)!r} is for GStreamer, which this OpenCV lacks, as pip's "
                "do; install the system's python3-opencv instead, or name a file, a camera or a "
                'URL'
            )
        return _open_live(text, cv2.CAP_GSTREAMER, 'gst-launch-1.0 says more')
    if text.isdecimal() and not path.exists():
        return _open_live(int(text), cv2.CAP_ANY, 'is it plugged in, and free?')
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            return _open_folder(path, gray or GrayRange())
    except (FileNotFoundError, NotADirectoryError):
        raise VideoError(f'{path} does not exist; {KINDS_OF_VIDEO}') from None
    except OSError as error:
        raise VideoError(f'{path} cannot be opened: {error.strerror}') from None
    if stat.S_ISFIFO(status.st_mode) or stat.S_ISSOCK(status.st_mode):
        return _open_live(
            str(path),
            cv2.CAP_FFMPEG,
            'what is written to a pipe must be a video that can be read without seeking, such as '
            '.avi, .mkv or .ts',
            is_pipe=True,
        )
    if stat.S_ISCHR(status.st_mode) and os.major(status.st_rdev) == CAMERA_MAJOR:
        return _open_live(str(path), cv2.CAP_ANY, 'is it plugged in, and free?')
    if not stat.S_ISREG(status.st_mode):
        raise VideoError(f'{path} is no video; {KINDS_OF_VIDEO}')
    return _open_file(path, text)


def _open_folder(folder: Path, gray: GrayRange) -> FrameSource:
    files = list_images(folder)
    if not files:
        raise VideoError(
            f'{folder} holds no images; files ending in {", ".join(sorted(IMAGE_SUFFIXES))} count'
        )
    check_images(files)
    height, width = read_image(files[0]).shape[:2]

    def read() -> Iterator[np.ndarray | None]:
        range_of_all = gray.fresh()
        for path in files:
            try:
                yield read_image(path, range_of_all)
            except ImageError:
                if path not in source.unreadable:
                    source.unreadable.append(path)
                yield None

    source = FrameSource(str(folder), DEFAULT_FPS, (width, height), len(files), read)
    return source


def _open_file(path: Path, name: str) -> FrameSource:
    """A video file, through OpenCV."""

    def connect() -> cv2.VideoCapture:
        capture = cv2.VideoCapture(str(path))
        capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)
        return capture

    capture = connect()
    _, first = capture.read() if capture.isOpened() else (False, None)
    fps, length = _rate_and_length(capture)
    capture.release()
    if first is None:
        raise VideoError(
            f'{name} gives no frames; is it a video? If so, convert it: '
            'ffmpeg -i FILE -c:v libx264 out.mp4'
        )

    def read() -> Iterator[np.ndarray]:
        stream = connect()  # seeking in files is not to be relied on
        while True:
            is_read, frame = stream.read()
            if not is_read:
                return
            yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)

    return FrameSource(name, fps, (first.shape[1], first.shape[0]), length, read)


def _rate_and_length(capture: cv2.VideoCapture) -> tuple[float, int | None]:
    fps = capture.get(cv2.CAP_PROP_FPS)
    count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    return fps if 0 < fps <= 1000 else DEFAULT_FPS, count if count > 0 else None


def _open_live(source: str | int, backend: int, cure: str, is_pipe: bool = False) -> FrameSource:
    """What comes once: a camera, a stream or a pipe. It is opened once, by one backend."""
    name = f'camera {source}' if isinstance(source, int) else without_secrets(source)
    if backend != cv2.CAP_ANY and not cv2.videoio_registry.hasBackend(backend):
        if is_pipe:
            raise VideoError(f'{name} is a pipe, and this OpenCV lacks FFMPEG: name a file')
        backend = cv2.CAP_ANY
    live = _Live(source, backend)
    try:
        first = live.read()
    except BaseException:
        live.close()
        raise
    if first is None:
        live.close()
        raise VideoError(f'{name} gives no frames; {cure}')
    waiting = [first]
    is_begun = False

    def read() -> Iterator[np.ndarray]:
        nonlocal is_begun
        if is_begun and (is_pipe or live.is_over):
            raise VideoError(
                f'{name} has been read and cannot start over; write it to a file first'
            )
        is_begun = True
        return frames()

    def frames() -> Iterator[np.ndarray]:
        while (frame := waiting.pop() if waiting else live.read()) is not None:
            yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)

    return FrameSource(
        name,
        live.fps,
        (first.shape[1], first.shape[0]),
        live.length,
        read,
        close=live.close,
        is_live=not is_pipe,
        is_repeatable=False,
    )


class _Live:
    """A capture that may block for long, opened and read in a thread of its own.

    Whoever waits for it can be interrupted: OpenCV itself does not return on Ctrl-C.

    Attributes:
        fps: Frames per second; known when the first frame has come.
        length: Number of frames, where the stream states it.
        is_over: Whether the last frame has been read.
    """

    def __init__(self, source: str | int, backend: int) -> None:
        self.fps: float = DEFAULT_FPS
        self.length: int | None = None
        self.is_over = False
        self._source, self._backend = source, backend
        self._frames: queue.Queue[np.ndarray | None] = queue.Queue(1)
        self._is_closed = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def read(self) -> np.ndarray | None:
        """Wait for the next frame, (H, W, 3) uint8 BGR; None at the end."""
        if self.is_over:
            return None
        frame = self._frames.get()
        self.is_over = frame is None
        return frame

    def close(self) -> None:
        """Let go of the capture, and of whoever waits for it."""
        self._is_closed.set()
        with contextlib.suppress(queue.Empty):
            self._frames.get_nowait()
        with contextlib.suppress(queue.Full):
            self._frames.put_nowait(None)
        self._thread.join(1.0)  # longer only if it stalls; the process need not wait for that

    def _run(self) -> None:
        capture = self._connect()
        if capture.isOpened():
            capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)
            self.fps, self.length = _rate_and_length(capture)
        while not self._is_closed.is_set():
            _, frame = capture.read() if capture.isOpened() else (False, None)
            self._offer(frame)
            if frame is None:
                break
        capture.release()

    def _connect(self) -> cv2.VideoCapture:
        if self._backend != cv2.CAP_FFMPEG:
            return cv2.VideoCapture(self._source, self._backend)
        limits = (cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, cv2.CAP_PROP_READ_TIMEOUT_MSEC)
        options = [value for limit in limits for value in (limit, STALLED_MS)]
        return cv2.VideoCapture(self._source, self._backend, options)

    def _offer(self, frame: np.ndarray | None) -> None:
        while not self._is_closed.is_set():
            with contextlib.suppress(queue.Full):
                self._frames.put(frame, timeout=0.2)
                return


class VideoWriter:
    """Writes RGB frames to a video file; use it in a `with` statement.

    Codecs need even sides: a frame of odd width or height gets its last column or row twice.

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
        """Append a frame, (H, W, 3) uint8 RGB.

        The first decides the video's size; one of another size is scaled to fit, with black beside
        it where its shape differs.

        Raises:
            VideoError: The file cannot be written.
        """
        if self._writer is None:
            self._size = frame.shape[1::-1]
            self._writer = self._open()
        if frame.shape[1::-1] != self._size:
            frame = _fitted(frame, self._size)
        frame = cv2.copyMakeBorder(
            frame, 0, frame.shape[0] % 2, 0, frame.shape[1] % 2, cv2.BORDER_REPLICATE
        )
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
        if not _is_utf8(self.path):
            raise VideoError(f'{str(self.path)!r} cannot be written; a name in UTF-8 works')
        if not self.path.suffix:
            self.path = self.path.with_suffix('.mp4')
        self.path.parent.mkdir(parents=True, exist_ok=True)
        width, height = self._size
        for code, suffix in self.CODECS:
            path = self.path.with_suffix(suffix) if suffix else self.path
            writer = cv2.VideoWriter(
                str(path),
                cv2.VideoWriter.fourcc(*code),
                self._fps,
                (width + width % 2, height + height % 2),
            )
            if writer.isOpened():
                self.path = path
                return writer
        raise VideoError(f'{self.path} cannot be written; a name ending in .mp4 or .avi works')


def _fitted(frame: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A frame scaled to width and height with its shape kept, in the middle of black."""
    height, width = frame.shape[:2]
    scale = min(size[0] / width, size[1] / height)
    inner = (max(round(width * scale), 1), max(round(height * scale), 1))
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    left, top = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    return cv2.copyMakeBorder(
        cv2.resize(frame, inner, interpolation=interpolation),
        top,
        size[1] - inner[1] - top,
        left,
        size[0] - inner[0] - left,
        cv2.BORDER_CONSTANT,
    )

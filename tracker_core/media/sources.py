# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Frames of a video: files, folders of images, recordings, cameras, streams, pipes and rendered
scenes."""

from __future__ import annotations

from collections.abc import Iterator
import contextlib
from functools import partial
import os
from pathlib import Path
import queue
import re
import stat
import threading
from urllib.parse import unquote

import cv2
import numpy as np

from tracker_core.errors import ImageError, ParameterError, VideoError
from tracker_core.media.folders import (
    check_images,
    IMAGE_SUFFIXES,
    is_utf8,
    list_images,
    read_image,
)
from tracker_core.media.frame_source import DEFAULT_FPS, FrameSource
from tracker_core.media.gray import GrayRange
from tracker_core.media.moments import Shot
from tracker_core.media.recordings import is_recording, open_recording
from tracker_core.media.scene import render_scene

STALLED_MS = 10_000  # a stream that sends nothing for so long has ended
CAMERA_MAJOR = 81  # device number of cameras in Linux
KINDS_OF_VIDEO = (
    'a video is a file, a folder of images, the number of a camera, a stream such as '
    "rtsp://HOST/PATH, a recording of ROS (.mcap, .db3, .bag, or the folder of one), or 'scene'"
)

URL = re.compile(r'[a-z][a-z0-9+.-]+://', re.IGNORECASE)
PIPELINE = re.compile(r'!\s*appsink\b')  # of GStreamer
LOGIN = re.compile(r'(?<=://)(?:[^\s/?#]*|[^\s/:@]*:\S*)@')
SECRET = re.compile(
    r'(\b[\w-]*(?:pass|pwd|-pw|token|secret|api_?key|auth)[\w-]*\s*=\s*)("[^"]*"|[^\s&#!]+)',
    re.IGNORECASE,
)


def without_secrets(source: str) -> str:
    """The address of a stream for people to read: passwords and the like become `***`."""
    return SECRET.sub(r'\1***', LOGIN.sub('***@', source))


def open_frames(
    source: str | int | Path, gray: GrayRange | None = None, topic: str | None = None
) -> FrameSource:
    """Open a video.

    Frames are upright: the orientation that a video or a JPEG states is applied, as viewers do.

    Args:
        source: A video file, a folder of images (see `list_images`), the number of a camera (0 or
            '0') or its device, a stream (rtsp://, http:// and what else OpenCV's FFMPEG knows, or
            a GStreamer pipeline that ends in appsink), a pipe such as /dev/stdin, a recording of
            ROS (see `recordings`), or a rendered scene: 'scene', 'scene:NAME' or
            'scene:NAME:FRAMES'.
        gray: How 16-bit images of a folder or a recording are brought to 8 bits; None: by what
            they hold.
        topic: Of the recording; None: the only one with images.

    Raises:
        VideoError: There is no such thing, it cannot be decoded, or it holds no frames.
        ImageError: A file of the folder is no image.
        ParameterError: There is no such scene, or what reads recordings is not installed.
    """
    text = str(source)
    if text.lower().startswith('file://'):
        text = unquote(text[len('file://') :].removeprefix('localhost'))
    if is_recording(text):
        return open_recording(Path(text).expanduser(), gray or GrayRange(), topic)
    if topic is not None:
        raise VideoError(f'{without_secrets(text)} is no recording, and only these have topics')
    if not is_utf8(text):
        raise VideoError(f'OpenCV cannot open {text!r}, whose name is not UTF-8; rename it')
    if text == 'scene' or text.startswith('scene:'):
        return _open_scene(text)
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


def _open_scene(text: str) -> FrameSource:
    _, _, rest = text.partition(':')
    name, _, frames = rest.partition(':')
    if frames and not frames.isdecimal():
        raise ParameterError(f'{text!r} is not scene:NAME:FRAMES')
    name = name or 'default'
    scene = render_scene(name, int(frames)) if frames else render_scene(name)

    def read() -> Iterator[Shot]:
        for number in range(len(scene)):
            yield Shot(partial(scene.__getitem__, number))

    return FrameSource(text, scene.fps, scene.size, len(scene), read, scene.boxes)


def _open_folder(folder: Path, gray: GrayRange) -> FrameSource:
    files = list_images(folder)
    if not files:
        raise VideoError(
            f'{folder} holds no images; files ending in {", ".join(sorted(IMAGE_SUFFIXES))} count'
        )
    check_images(files)
    height, width = read_image(files[0]).shape[:2]

    def read() -> Iterator[Shot]:
        range_of_all = gray.fresh()
        for path in files:
            yield Shot(partial(decode, path, range_of_all))

    def decode(path: Path, range_of_all: GrayRange) -> np.ndarray | None:
        try:
            return read_image(path, range_of_all)
        except ImageError:
            if path not in source.unreadable:
                source.unreadable.append(path)
            return None

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

    def read() -> Iterator[Shot]:
        stream = connect()  # seeking in files is not to be relied on
        while stream.grab():
            yield Shot(partial(decode, stream))

    def decode(stream: cv2.VideoCapture) -> np.ndarray | None:
        is_read, frame = stream.retrieve()
        return cv2.cvtColor(frame, cv2.COLOR_BGR2RGB) if is_read else None

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

    def read() -> Iterator[Shot]:
        nonlocal is_begun
        if is_begun and (is_pipe or live.is_over):
            raise VideoError(
                f'{name} has been read and cannot start over; write it to a file first'
            )
        is_begun = True
        return frames()

    def frames() -> Iterator[Shot]:
        while (frame := waiting.pop() if waiting else live.read()) is not None:
            yield Shot(partial(cv2.cvtColor, frame, cv2.COLOR_BGR2RGB))

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

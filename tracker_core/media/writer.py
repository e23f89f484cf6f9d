# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Video out."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

import cv2
import numpy as np

from tracker_core.errors import VideoError
from tracker_core.media.folders import is_utf8
from tracker_core.media.frame_source import DEFAULT_FPS


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
        if not is_utf8(self.path):
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

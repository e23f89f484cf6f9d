# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The newest picture as JPEG, in the widths that are asked for."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial
import json

import cv2
import numpy as np

from tracker_core.errors import TrackerError
from tracker_core.page.state import Picture


class PictureBoard:
    """Holds the newest picture; one thread decodes and encodes it, once for each width.

    Everything is to be called in the event loop's thread.
    """

    def __init__(self) -> None:
        self.number = 0  # of the newest picture, counted from 1
        self._picture: Picture | None = None
        self._rgb: asyncio.Future[np.ndarray] | None = None
        self._encoded: dict[tuple[int, int], asyncio.Future[bytes]] = {}
        self._thread = ThreadPoolExecutor(1, 'page-jpeg')

    def put(self, picture: Picture) -> None:
        """Have a newer picture."""
        self.number += 1
        self._picture, self._rgb, self._encoded = picture, None, {}

    async def packed(self, width: int, quality: int) -> tuple[int, bytes]:
        """Number and message of the newest picture, see `pack`.

        Args:
            width: Pixels; less, if the image has less.
            quality: Of the JPEG, 1 to 100.

        Raises:
            TrackerError: There is no picture, or it cannot be read.
        """
        picture, number = self._picture, self.number
        if picture is None:
            raise TrackerError('there is no picture yet')
        loop = asyncio.get_running_loop()
        if self._rgb is None:
            self._rgb = loop.run_in_executor(self._thread, picture.decode)
        rgb_coming = self._rgb
        encoded = self._encoded
        if (width, quality) not in encoded:
            rgb = await asyncio.shield(rgb_coming)
            # Another viewer may have asked for the same meanwhile.
            if (width, quality) not in encoded:
                work = partial(pack, picture, number, rgb, width, quality)
                encoded[width, quality] = loop.run_in_executor(self._thread, work)
        return number, await asyncio.shield(encoded[width, quality])

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown(wait=False, cancel_futures=True)


def pack(picture: Picture, number: int, rgb: np.ndarray, width: int, quality: int) -> bytes:
    """A picture as one message: the length of the header (4 bytes, the highest first), the header
    (JSON: number, stamp as digits, size of the image, targets in it), and the JPEG.

    Args:
        picture: It.
        number: Of it.
        rgb: It, decoded: (H, W, 3) uint8 RGB.
        width: Pixels that it is shrunk to, if it is wider.
        quality: Of the JPEG, 1 to 100.
    """
    rows, columns = rgb.shape[:2]
    if columns > width:
        height = max(round(rows * width / columns), 1)
        rgb = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA)
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    _, jpeg = cv2.imencode('.jpg', bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    header = json.dumps(
        {
            'number': number,
            'stamp': str(picture.stamp),  # more digits than JavaScript's numbers have
            'width': columns,
            'height': rows,
            'targets': [target.as_json() for target in picture.targets],
        },
        separators=(',', ':'),
    ).encode()
    return len(header).to_bytes(4, 'big') + header + jpeg.tobytes()

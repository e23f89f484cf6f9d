# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""ROS images to RGB arrays and back, without cv_bridge.

Only attributes of `sensor_msgs/Image` are used, so nothing here imports ROS. `rgb8` is a view of
the message's memory; every other encoding costs one pass of OpenCV over the frame.
"""

from __future__ import annotations

import array
from dataclasses import dataclass
import struct
from typing import Any

import cv2
import numpy as np

from tracker_core.errors import ImageError


@dataclass(frozen=True)
class _Layout:
    """How one pixel lies in memory, and the OpenCV conversion to RGB (None: it is RGB)."""

    channels: int
    to_rgb: int | None
    bytes_per_channel: int = 1
    width_multiple: int = 1
    height_multiple: int = 1


# OpenCV names a Bayer pattern by the second and third pixel of the second row, ROS by the top-left
# two by two.
_LAYOUTS = {
    'rgb8': _Layout(3, None),
    'bgr8': _Layout(3, cv2.COLOR_BGR2RGB),
    'rgba8': _Layout(4, cv2.COLOR_RGBA2RGB),
    'bgra8': _Layout(4, cv2.COLOR_BGRA2RGB),
    'mono8': _Layout(1, cv2.COLOR_GRAY2RGB),
    '8UC1': _Layout(1, cv2.COLOR_GRAY2RGB),
    '8UC3': _Layout(3, cv2.COLOR_BGR2RGB),
    '8UC4': _Layout(4, cv2.COLOR_BGRA2RGB),
    'mono16': _Layout(1, cv2.COLOR_GRAY2RGB, bytes_per_channel=2),
    '16UC1': _Layout(1, cv2.COLOR_GRAY2RGB, bytes_per_channel=2),
    'yuv422': _Layout(2, cv2.COLOR_YUV2RGB_UYVY, width_multiple=2),
    'uyvy': _Layout(2, cv2.COLOR_YUV2RGB_UYVY, width_multiple=2),
    'yuv422_yuy2': _Layout(2, cv2.COLOR_YUV2RGB_YUY2, width_multiple=2),
    'yuyv': _Layout(2, cv2.COLOR_YUV2RGB_YUY2, width_multiple=2),
    'bayer_rggb8': _Layout(1, cv2.COLOR_BayerBG2RGB, width_multiple=2, height_multiple=2),
    'bayer_bggr8': _Layout(1, cv2.COLOR_BayerRG2RGB, width_multiple=2, height_multiple=2),
    'bayer_gbrg8': _Layout(1, cv2.COLOR_BayerGR2RGB, width_multiple=2, height_multiple=2),
    'bayer_grbg8': _Layout(1, cv2.COLOR_BayerGB2RGB, width_multiple=2, height_multiple=2),
}
ENCODINGS = tuple(_LAYOUTS)
LARGEST_COMPRESSED = 2**26  # pixels of a compressed image
HEADER_BYTES = (
    2**17
)  # of a compressed image in which its size is looked for; cameras add a preview
LONGEST_WORD = 64  # characters of an encoding that are repeated in an error

_FROM_RGB = {
    'rgb8': None,
    'bgr8': cv2.COLOR_RGB2BGR,
    'rgba8': cv2.COLOR_RGB2RGBA,
    'bgra8': cv2.COLOR_RGB2BGRA,
    'mono8': cv2.COLOR_RGB2GRAY,
}
OUTPUT_ENCODINGS = tuple(_FROM_RGB)


def to_rgb(message: Any) -> np.ndarray:
    """The pixels of a `sensor_msgs/Image` as RGB.

    Rows may be padded (`step`). `8UC3` and `8UC4` are read as BGR and BGRA, the order of OpenCV.
    Of 16-bit images the upper byte is kept (value >> 8), in either byte order. `yuv422` is U Y V
    Y, `yuv422_yuy2` is Y U Y V. Gray becomes three equal channels.

    Args:
        message: Anything with the attributes height, width, encoding, is_bigendian, step and data.

    Returns:
        (height, width, 3) uint8 RGB. For `rgb8` a view of the message's memory: do not write to
        it.

    Raises:
        ImageError: Unknown encoding, zero size, a step shorter than a row, or less data than
            height and step promise. The message names all of them.
    """
    width, height, step, data = message.width, message.height, message.step, message.data
    what = (
        f'image {width} x {height}, encoding {message.encoding[:LONGEST_WORD]!r}, step {step}, '
        f'{len(data)} bytes'
    )
    layout = _LAYOUTS.get(message.encoding)
    if layout is None:
        raise ImageError(
            f'{what}: this encoding is not supported; supported are {", ".join(ENCODINGS)}'
        )
    if width <= 0 or height <= 0:
        raise ImageError(f'{what}: the image is empty')
    if width % layout.width_multiple or height % layout.height_multiple:
        raise ImageError(
            f'{what}: this encoding needs an even width'
            + (' and height' if layout.height_multiple > 1 else '')
        )
    pixel = layout.channels * layout.bytes_per_channel
    if step < width * pixel:
        raise ImageError(
            f'{what}: a row of this width takes {width * pixel} bytes, so step is too small'
        )
    needed = step * (height - 1) + width * pixel  # the padding of the last row may be absent
    if len(data) < needed:
        raise ImageError(f'{what}: at least {needed} bytes are needed, so the data is truncated')

    # Of two bytes only the upper one is looked at: that is value >> 8 without touching the lower
    # one.
    offset = 1 if layout.bytes_per_channel == 2 and not message.is_bigendian else 0
    pixels = np.ndarray(
        (height, width, layout.channels),
        np.uint8,
        data,
        offset,
        (step, pixel, layout.bytes_per_channel),
    )
    if layout.to_rgb is None:
        return pixels
    try:
        return cv2.cvtColor(pixels, layout.to_rgb)
    except cv2.error as error:
        raise ImageError(f'{what}: OpenCV could not convert it ({error.err})') from error


def compressed_to_rgb(message: Any) -> np.ndarray:
    """Decode a `sensor_msgs/CompressedImage` (JPEG, PNG and whatever else OpenCV reads).

    Args:
        message: Anything with the attributes format and data.

    Returns:
        (height, width, 3) uint8 RGB.

    Raises:
        ImageError: The data is no image that OpenCV can decode.
    """
    what = f'compressed image, format {message.format[:LONGEST_WORD]!r}, {len(message.data)} bytes'
    encoded = np.frombuffer(message.data, np.uint8)
    width, height = announced_size(bytes(encoded[:HEADER_BYTES]))
    if width * height > LARGEST_COMPRESSED:
        raise ImageError(
            f'{what}: it claims {width} x {height} pixels, which is no camera image; at most '
            f'{LARGEST_COMPRESSED} pixels are decoded'
        )
    try:
        pixels = (
            cv2.imdecode(encoded, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
            if encoded.size
            else None
        )
    except cv2.error as error:
        raise ImageError(f'{what}: OpenCV could not decode it ({error.err})') from error
    if pixels is None:
        raise ImageError(f'{what}: the data cannot be decoded; JPEG and PNG are expected')
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB, dst=pixels)


def announced_size(encoded: bytes) -> tuple[int, int]:
    """Width and height as the header of a JPEG or PNG has them; 0 x 0 where it is neither.

    A damaged header can claim gigabytes, and the decoder would fill them.
    """
    if encoded[:8] == b'\x89PNG\r\n\x1a\n':
        return struct.unpack_from('>II', encoded, 16) if len(encoded) >= 24 else (0, 0)
    position = 2 if encoded[:2] == b'\xff\xd8' else len(encoded)
    while position + 9 <= len(encoded):
        mark, kind = encoded[position : position + 2]
        if mark != 0xFF or kind == 0xFF:  # bytes that fill up before a segment
            position += 1
        elif kind == 0xDA:  # the pixels begin
            break
        elif 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):  # start of frame
            height, width = struct.unpack_from('>HH', encoded, position + 5)
            return width, height
        else:
            position += 2 + struct.unpack_from('>H', encoded, position + 2)[0]
    return 0, 0


def fill_image(message: Any, rgb: np.ndarray, encoding: str = 'rgb8') -> Any:
    """Write an RGB array into a `sensor_msgs/Image`; its header is left alone.

    Args:
        message: The message to fill.
        rgb: (height, width, 3) uint8 RGB.
        encoding: One of `OUTPUT_ENCODINGS`.

    Returns:
        `message`.

    Raises:
        ImageError: The encoding is not among `OUTPUT_ENCODINGS`.
    """
    if encoding not in _FROM_RGB:
        raise ImageError(
            f'images cannot be written as {encoding!r}; choose from {", ".join(OUTPUT_ENCODINGS)}'
        )
    code = _FROM_RGB[encoding]
    pixels = np.ascontiguousarray(rgb if code is None else cv2.cvtColor(rgb, code))
    message.height, message.width = pixels.shape[:2]
    message.encoding = encoding
    message.is_bigendian = 0
    message.step = pixels.strides[0]
    message.data = _as_array(pixels)
    return message


def fill_compressed(message: Any, rgb: np.ndarray, quality: int = 90) -> Any:
    """Write an RGB array into a `sensor_msgs/CompressedImage` as JPEG; its header is left
    alone."""
    _, encoded = cv2.imencode(
        '.jpg', cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality]
    )
    message.format = 'rgb8; jpeg compressed bgr8'
    message.data = _as_array(encoded)
    return message


def _as_array(pixels: np.ndarray) -> array.array:
    """The one form that a message takes over without looking at every byte."""
    data = array.array('B')
    data.frombytes(memoryview(pixels).cast('B'))
    return data

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""ROS images to RGB arrays and back.

Only attributes of `sensor_msgs/Image` are used, so nothing here imports ROS. `rgb8` is a view of
the message's memory; every other encoding costs a pass or two of OpenCV over the frame. cv_bridge
is asked only for what is not read here, see `bridged`.
"""

from __future__ import annotations

import array
from dataclasses import dataclass
import re
import struct
from typing import Protocol, TypeVar, Union

import cv2
import numpy as np

from tracker_core.errors import ImageError
from tracker_core.media.bridge import to_rgb_by_cv_bridge
from tracker_core.media.gray import GrayRange, Scale

Bytes = Union[bytes, bytearray, memoryview, 'array.array[int]']  # rclpy gives an array


class ImageMessage(Protocol):
    """What is used of a `sensor_msgs/Image`."""

    height: int
    width: int
    encoding: str
    is_bigendian: int
    step: int
    data: Bytes


class CompressedMessage(Protocol):
    """What is used of a `sensor_msgs/CompressedImage`."""

    format: str
    data: Bytes


ImageT = TypeVar('ImageT', bound=ImageMessage)
CompressedT = TypeVar('CompressedT', bound=CompressedMessage)


@dataclass(frozen=True)
class _Layout:
    """How one pixel lies in memory, and the OpenCV conversion to RGB (None: it is RGB).

    `columns` and `rows` are the size of the cell of pixels that a colour needs.
    """

    channels: int
    to_rgb: int | None
    columns: int = 1
    rows: int = 1
    bytes_per_channel: int = 1


@dataclass(frozen=True)
class _Planes:
    """Luma in a plane of its own, then the chroma: in pairs, or in two planes.

    `columns` and `rows` are the pixels that share a chroma value.
    """

    columns: int
    rows: int
    is_vu: bool = False
    is_paired: bool = True


_UYVY = _Layout(2, cv2.COLOR_YUV2RGB_UYVY, columns=2)
_YUYV = _Layout(2, cv2.COLOR_YUV2RGB_YUY2, columns=2)
# OpenCV names a Bayer pattern by the second and third pixel of the second row, ROS by the top-left
# two by two.
_BAYER = {
    'rggb': cv2.COLOR_BayerBG2RGB,
    'bggr': cv2.COLOR_BayerRG2RGB,
    'gbrg': cv2.COLOR_BayerGR2RGB,
    'grbg': cv2.COLOR_BayerGB2RGB,
}
_LAYOUTS = {
    'rgb8': _Layout(3, None),
    'bgr8': _Layout(3, cv2.COLOR_BGR2RGB),
    'rgba8': _Layout(4, cv2.COLOR_RGBA2RGB),
    'bgra8': _Layout(4, cv2.COLOR_BGRA2RGB),
    'mono8': _Layout(1, cv2.COLOR_GRAY2RGB),
    '8UC1': _Layout(1, cv2.COLOR_GRAY2RGB),
    '8UC3': _Layout(3, cv2.COLOR_BGR2RGB),
    '8UC4': _Layout(4, cv2.COLOR_BGRA2RGB),
    'rgb16': _Layout(3, None, bytes_per_channel=2),
    'bgr16': _Layout(3, cv2.COLOR_BGR2RGB, bytes_per_channel=2),
    'rgba16': _Layout(4, None, bytes_per_channel=2),
    'bgra16': _Layout(4, cv2.COLOR_BGR2RGB, bytes_per_channel=2),
    'mono16': _Layout(1, cv2.COLOR_GRAY2RGB, bytes_per_channel=2),
    '16UC1': _Layout(1, cv2.COLOR_GRAY2RGB, bytes_per_channel=2),
    '16UC3': _Layout(3, cv2.COLOR_BGR2RGB, bytes_per_channel=2),
    '16UC4': _Layout(4, cv2.COLOR_BGR2RGB, bytes_per_channel=2),
    'yuv422': _UYVY,
    'uyvy': _UYVY,
    'yuv422_yuy2': _YUYV,
    'yuyv': _YUYV,
    **{
        f'bayer_{pattern}{8 * size}': _Layout(1, code, 2, 2, size)
        for size in (1, 2)
        for pattern, code in _BAYER.items()
    },
}
_PLANES = {
    'nv12': _Planes(2, 2),
    'nv21': _Planes(2, 2, is_vu=True),
    'nv16': _Planes(2, 1),
    'nv61': _Planes(2, 1, is_vu=True),
    'nv24': _Planes(1, 1),
    'nv42': _Planes(1, 1, is_vu=True),
    'i420': _Planes(2, 2, is_paired=False),
    'yuv420': _Planes(2, 2, is_paired=False),
    'yuv420p': _Planes(2, 2, is_paired=False),
    'yv12': _Planes(2, 2, is_vu=True, is_paired=False),
}
ENCODINGS = (*_LAYOUTS, *_PLANES)
# Of signed, wide and floating numbers nothing says which are black and white: mostly they are
# depth, and never a picture that cv_bridge would have.
_NUMBERS = re.compile(r'(8S|16S|32S|32F|64F)C\d*')
LARGEST_COMPRESSED = 2**26  # pixels of a compressed image
HEADER_BYTES = (
    2**17
)  # of a compressed image in which its size is looked for; cameras add a preview
LONGEST_WORD = 64  # characters of an encoding that are repeated in an error
END_OF_JPEG = b'\xff\xd9'
LARGEST_LOSS = 0.1  # share of the rows that a JPEG may lack at its end

# BT.601 with limited range: Y, U, V and 1 to R, G, B.
_YUV_TO_RGB = np.array(
    [
        [1.164383, 0.0, 1.596027, -222.9216],
        [1.164383, -0.391762, -0.812968, 135.5753],
        [1.164383, 2.017232, 0.0, -276.8358],
    ]
)

_FROM_RGB = {
    'rgb8': None,
    'bgr8': cv2.COLOR_RGB2BGR,
    'rgba8': cv2.COLOR_RGB2RGBA,
    'bgra8': cv2.COLOR_RGB2BGRA,
    'mono8': cv2.COLOR_RGB2GRAY,
}
OUTPUT_ENCODINGS = tuple(_FROM_RGB)


def to_rgb(message: ImageMessage, scale: Scale | None = None) -> np.ndarray:
    """The pixels of a `sensor_msgs/Image` as RGB.

    Rows may be padded (`step`), and sizes may be odd. `8UC3` and `8UC4` are read as BGR and BGRA,
    the order of OpenCV, `16UC3` and `16UC4` likewise. `yuv422` is U Y V Y, `yuv422_yuy2` is Y U Y
    V; all YUV is BT.601 with limited range. Gray becomes three equal channels, alpha is left out.
    What else there is goes through cv_bridge where that is installed.

    In the encodings with planes (`nv12`, `i420` and so on) `height` is that of the image and
    `step` that of the luma; rows of chroma in pairs have as many bytes (`nv24` and `nv42`: twice
    as many), rows of planes of chroma half as many. Read as well: data without any padding,
    whatever `step` says, and where two rows share their chroma a `height` that counts its rows
    too, so that the data has step x height bytes.

    Args:
        message: Anything with the attributes height, width, encoding, is_bigendian, step and data.
        scale: How 16-bit values become bytes; None: by the range of this image alone.

    Returns:
        (height, width, 3) uint8 RGB. For `rgb8` a view of the message's memory: do not write to
        it.

    Raises:
        ImageError: Unknown encoding, zero size, a step shorter than a row, or less data than
            height and step promise. The message names all of them.
    """
    width, height = message.width, message.height
    what = (
        f'image {width} x {height}, encoding {message.encoding[:LONGEST_WORD]!r}, '
        f'step {message.step}, {len(message.data)} bytes'
    )
    layout, planes = _LAYOUTS.get(message.encoding), _PLANES.get(message.encoding)
    if layout is None and planes is None and _NUMBERS.fullmatch(message.encoding):
        raise ImageError(
            f'{what}: this encoding is not supported, since it holds numbers such as depth and no '
            'picture; take the colour or gray image of the camera'
        )
    if width <= 0 or height <= 0:
        raise ImageError(f'{what}: the image is empty')
    try:
        if layout is not None:
            pixels = _packed(message, layout, what)
            if layout.bytes_per_channel == 2:
                pixels = (scale or GrayRange().at())(pixels[..., :3])
            return _converted(pixels, layout)
        if planes is not None:
            return _from_planes(message, planes, what)
    except cv2.error as error:
        raise ImageError(f'{what}: OpenCV could not convert it ({error.err})') from error
    try:
        return to_rgb_by_cv_bridge(message)
    except ImageError as error:
        raise ImageError(
            f'{what}: this encoding is not supported, and {error}; supported are '
            f'{", ".join(ENCODINGS)}'
        ) from error


def _packed(message: ImageMessage, layout: _Layout, what: str) -> np.ndarray:
    """(height, width, channels) uint8 or uint16: a view of the message's memory."""
    width, height, step, data = message.width, message.height, message.step, message.data
    pixel = layout.channels * layout.bytes_per_channel
    if step < width * pixel:
        raise ImageError(
            f'{what}: a row of this width takes {width * pixel} bytes, so step is too small'
        )
    needed = step * (height - 1) + width * pixel  # the padding of the last row may be absent
    if len(data) < needed:
        raise ImageError(f'{what}: at least {needed} bytes are needed, so the data is truncated')
    kind: np.dtype = np.dtype(np.uint8)
    if layout.bytes_per_channel == 2:
        kind = np.dtype('>u2' if message.is_bigendian else '<u2')
    strides = (step, pixel, layout.bytes_per_channel)
    return np.ndarray((height, width, layout.channels), kind, data, 0, strides)


def _converted(pixels: np.ndarray, layout: _Layout) -> np.ndarray:
    """(height, width, channels) uint8 as RGB; an odd size is rounded up for the conversion."""
    if layout.to_rgb is None:
        return pixels
    height, width = pixels.shape[:2]
    below, right = height % layout.rows, width % layout.columns
    if below or right:  # what is one cell away is of the same colour
        pixels = cv2.copyMakeBorder(pixels, 0, below, 0, right, cv2.BORDER_REFLECT_101)
    return cv2.cvtColor(pixels, layout.to_rgb)[:height, :width]


def _from_planes(message: ImageMessage, planes: _Planes, what: str) -> np.ndarray:
    width, height, step, data = message.width, message.height, message.step, message.data
    columns = -(-width // planes.columns)  # of the chroma
    row = 2 * columns if planes.is_paired else columns  # bytes

    def arrangement(height: int, step: int) -> tuple[int, int, int]:
        """Rows and step of the chroma's planes, and the bytes that the whole takes at least."""
        rows = -(-height // planes.rows) * (1 if planes.is_paired else 2)
        wide = step if planes.is_paired else -(-step // 2)
        chroma_step = max(wide * 2 // planes.columns if planes.is_paired else wide, row)
        return rows, chroma_step, step * height + chroma_step * (rows - 1) + row

    needed, unpadded = arrangement(height, step)[2], arrangement(height, width)[2]
    if step < width or len(data) < needed:
        counted = height * 2 // 3  # rows of luma, if `height` counts those of the chroma too
        if len(data) == unpadded:
            step = width
        elif (
            planes.rows == 2
            and height % 3 == 0
            and len(data) == step * height
            and step >= width
            and len(data) >= arrangement(counted, step)[2]
        ):
            height = counted
        elif step < width:
            raise ImageError(
                f'{what}: a row of this width takes {width} bytes, so step is too small'
            )
        else:
            raise ImageError(
                f'{what}: at least {needed} bytes are needed ({unpadded} without padding), so the '
                'data is truncated'
            )
    rows, chroma_step, _ = arrangement(height, step)
    luma = np.ndarray((height, width), np.uint8, data, 0, (step, 1))
    chroma = np.ndarray((rows, row), np.uint8, data, step * height, (chroma_step, 1))
    if planes.is_paired:
        pairs = np.ascontiguousarray(chroma).reshape(rows, columns, 2)
    else:
        pairs = np.dstack([chroma[: rows // 2], chroma[rows // 2 :]])
    if planes.is_vu:
        pairs = cv2.merge(cv2.split(pairs)[::-1])
    padded = cv2.copyMakeBorder(
        luma, 0, height % planes.rows, 0, width % planes.columns, cv2.BORDER_REPLICATE
    )
    if planes.rows == 2:
        rgb = cv2.cvtColorTwoPlane(padded, pairs, cv2.COLOR_YUV2RGB_NV12)
    elif planes.columns == 2:
        packed = np.dstack([pairs.reshape(padded.shape), padded])
        rgb = cv2.cvtColor(packed, cv2.COLOR_YUV2RGB_UYVY)
    else:
        rgb = cv2.transform(np.dstack([np.maximum(padded, 16), pairs]), _YUV_TO_RGB)
    return rgb[:height, :width]


def compressed_to_rgb(message: CompressedMessage, scale: Scale | None = None) -> np.ndarray:
    """Decode a `sensor_msgs/CompressedImage` (JPEG, PNG and whatever else OpenCV reads).

    The colours are those that the file itself says. Of `format` two things count: an image of one
    channel whose first word is a Bayer pattern (`bayer_rggb8; jpeg compressed`) is a mosaic, and
    `compressedDepth` is refused. A JPEG without its end is decoded as far as it goes if at least
    nine tenths of its rows are there; the rest is gray.

    Args:
        message: Anything with the attributes format and data.
        scale: How 16-bit values become bytes; None: by the range of this image alone.

    Returns:
        (height, width, 3) uint8 RGB.

    Raises:
        ImageError: The data is no image that OpenCV can decode, or of neither 8 nor 16 bits.
    """
    what = f'compressed image, format {message.format[:LONGEST_WORD]!r}, {len(message.data)} bytes'
    encoded = np.frombuffer(message.data, np.uint8)
    if 'compressedDepth' in message.format:
        raise ImageError(
            f'{what}: this is a depth image, no picture; take the compressed topic of the colour '
            'or gray image'
        )
    width, height = announced_size(bytes(encoded[:HEADER_BYTES]))
    if width * height > LARGEST_COMPRESSED:
        raise ImageError(
            f'{what}: it claims {width} x {height} pixels, which is no camera image; at most '
            f'{LARGEST_COMPRESSED} pixels are decoded'
        )
    try:
        pixels = _decoded(encoded, what)
        if pixels.dtype == np.uint16:
            pixels = (scale or GrayRange().at())(pixels)
        if pixels.dtype != np.uint8:
            raise ImageError(
                f'{what}: it holds {pixels.dtype} values, such as depth; images of 8 or 16 bits '
                'are expected'
            )
        if pixels.ndim == 3:
            return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB, dst=pixels)
        return _converted(pixels, _layout_of_gray(message.format))
    except cv2.error as error:
        raise ImageError(f'{what}: OpenCV could not decode it ({error.err})') from error


def _decoded(encoded: np.ndarray, what: str) -> np.ndarray:
    """(H, W) or (H, W, 3) BGR, of the depth that the file has."""
    lacks_end = encoded[:2].tobytes() == b'\xff\xd8' and encoded[-2:].tobytes() != END_OF_JPEG
    if lacks_end:  # without it some versions of OpenCV refuse what others decode
        encoded = np.concatenate([encoded, np.frombuffer(END_OF_JPEG, np.uint8)])
    flags = cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
    pixels = cv2.imdecode(encoded, flags) if encoded.size else None
    if pixels is None:
        raise ImageError(f'{what}: the data cannot be decoded; JPEG and PNG are expected')
    if lacks_end:
        height = len(pixels)
        is_there = (pixels.reshape(height, -1) != 128).any(axis=1)  # the decoder's filling
        rows = int(np.flatnonzero(is_there)[-1]) + 1 if is_there.any() else 0
        if rows < (1 - LARGEST_LOSS) * height:
            raise ImageError(
                f'{what}: the data ends after {rows} of {height} rows, so it is truncated'
            )
    return pixels


def _layout_of_gray(format: str) -> _Layout:  # noqa: A002
    """What an image of one channel is, by the format `ENCODING; CODEC compressed ENCODING`."""
    before, _, after = format.partition(';')
    pattern = re.fullmatch(r'(bayer_(?:rggb|bggr|gbrg|grbg))(?:8|16)', before.strip())
    return _LAYOUTS[f'{pattern[1]}8' if pattern and 'mono' not in after else 'mono8']


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


def fill_image(message: ImageT, rgb: np.ndarray, encoding: str = 'rgb8') -> ImageT:
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


def fill_compressed(message: CompressedT, rgb: np.ndarray, quality: int = 90) -> CompressedT:
    """Write an RGB array into a `sensor_msgs/CompressedImage` as JPEG; its header is left
    alone."""
    _, encoded = cv2.imencode(
        '.jpg', cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality]
    )
    message.format = 'rgb8; jpeg compressed bgr8'
    message.data = _as_array(encoded)
    return message


def _as_array(pixels: np.ndarray) -> array.array[int]:
    """The one form that a message takes over without looking at every byte."""
    data = array.array('B')
    data.frombytes(pixels.data.cast('B'))
    return data

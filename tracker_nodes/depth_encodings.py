# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Depth images of ROS (REP 118) as arrays; nothing here imports ROS."""

from __future__ import annotations

import array
import struct

import cv2
import numpy as np

from tracker_core.errors import ImageError
from tracker_core.media.encodings import (
    announced_size,
    CompressedMessage,
    CompressedT,
    HEADER_BYTES,
    ImageMessage,
    ImageT,
    LARGEST_COMPRESSED,
    LONGEST_WORD,
)
from tracker_core.pose.depth import DepthImage

# Type of a value, and metres of a value of one
ENCODINGS = {'16UC1': ('u2', 0.001), 'mono16': ('u2', 0.001), '32FC1': ('f4', 1.0)}
PNG = b'\x89PNG'
# What compressed_depth_image_transport puts before the picture: its format, and two numbers with
# which floating depth was made 16-bit
CONFIGURATION = struct.Struct('<iff')


def to_depth(message: ImageMessage) -> DepthImage:
    """A `sensor_msgs/Image` as depth: `16UC1` in millimetres or `32FC1` in metres.

    Returns:
        A view of the message's memory.

    Raises:
        ImageError: Another encoding, or size, step and data that do not fit together.
    """
    what = (
        f'depth image {message.width} x {message.height}, encoding '
        f'{message.encoding[:LONGEST_WORD]!r}, step {message.step}, {len(message.data)} bytes'
    )
    if message.encoding not in ENCODINGS:
        raise ImageError(f'{what}: depth is expected as {" or ".join(ENCODINGS)}')
    code, unit = ENCODINGS[message.encoding]
    kind = np.dtype(('>' if message.is_bigendian else '<') + code)
    height, width, step = message.height, message.width, message.step
    row = width * kind.itemsize
    if height < 1 or width < 1 or step < row or len(message.data) < step * (height - 1) + row:
        raise ImageError(f'{what}: these do not fit together, a row takes {row} bytes')
    strides = (step, kind.itemsize)
    return DepthImage(np.ndarray((height, width), kind, message.data, 0, strides), unit)


def compressed_to_depth(message: CompressedMessage) -> DepthImage:
    """A `sensor_msgs/CompressedImage` of the transport compressedDepth as depth.

    Its `format` is `16UC1; compressedDepth png` or `32FC1; ...`, the data a PNG of 16 bits after
    12 bytes of configuration (which may be absent). For 32FC1 the PNG holds the inverse depth:
    depth = a / (value - b), and 0 for none.

    Raises:
        ImageError: The data is no such picture.
    """
    what = f'compressed depth image, format {message.format[:LONGEST_WORD]!r}'
    data = bytes(message.data)
    begin = 0 if data[:4] == PNG else CONFIGURATION.size
    if data[begin : begin + 4] != PNG:
        raise ImageError(
            f'{what}, {len(data)} bytes: there is no PNG in it; set the format of the '
            "publisher's compressedDepth to png"
        )
    width, height = announced_size(data[begin : begin + HEADER_BYTES])
    if not 0 < width * height <= LARGEST_COMPRESSED:
        raise ImageError(f'{what}: it claims {width} x {height} pixels, which is no depth image')
    values = cv2.imdecode(np.frombuffer(data, np.uint8, offset=begin), cv2.IMREAD_UNCHANGED)
    if values is None or values.ndim != 2 or values.dtype != np.uint16:
        raise ImageError(f'{what}: the data is no PNG of one channel with 16 bits, or is damaged')
    if not message.format.startswith('32FC1'):
        return DepthImage(values, 0.001)
    if not begin:
        raise ImageError(f'{what}: the configuration is missing with which its depth was coded')
    _, a, b = CONFIGURATION.unpack_from(data)
    with np.errstate(divide='ignore', invalid='ignore'):
        metres = np.float32(a) / (values.astype(np.float32) - np.float32(b))
    metres[values == 0] = 0
    return DepthImage(metres)


def fill_depth(message: ImageT, depth: DepthImage) -> ImageT:
    """Write a depth image into a `sensor_msgs/Image`; its header is left alone."""
    values = np.ascontiguousarray(depth.values)
    message.encoding = '16UC1' if values.dtype.kind == 'u' else '32FC1'
    values = values.astype(f'<{ENCODINGS[message.encoding][0]}', copy=False)
    message.height, message.width = values.shape
    message.is_bigendian = 0
    message.step = values.strides[0]
    data = array.array('B')  # the one form that a message takes over without a look at each byte
    data.frombytes(values.data.cast('B'))
    message.data = data
    return message


def fill_compressed_depth(message: CompressedT, depth: DepthImage) -> CompressedT:
    """Write a depth image in millimetres into a `sensor_msgs/CompressedImage` of the transport
    compressedDepth; its header is left alone."""
    values = np.ascontiguousarray(depth.values, np.uint16)  # of this machine's byte order
    encoded = cv2.imencode('.png', values)[1]
    message.format = '16UC1; compressedDepth png'
    message.data = array.array('B', CONFIGURATION.pack(0, 0.0, 0.0) + encoded.tobytes())
    return message

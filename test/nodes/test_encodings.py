# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Every encoding against a pattern that is written here byte by byte, without OpenCV."""

from __future__ import annotations

import array
import struct
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from tracker_core import ImageError
from tracker_nodes.encodings import (
    announced_size,
    compressed_to_rgb,
    ENCODINGS,
    fill_compressed,
    fill_image,
    OUTPUT_ENCODINGS,
    to_rgb,
)

BLOCK = 8
COLOURS = np.array(
    [
        [(200, 30, 30), (30, 200, 30), (30, 30, 200), (220, 220, 220)],
        [(200, 200, 40), (40, 200, 200), (200, 40, 200), (90, 90, 90)],
    ],
    np.uint8,
)
RGB = COLOURS.repeat(BLOCK, axis=0).repeat(BLOCK, axis=1)  # (16, 32, 3)
GRAY = np.arange(16 * 32, dtype=np.uint16).reshape(16, 32) * 127


def image(
    encoding: str, pixels: np.ndarray, padding: int = 0, /, **fields: object
) -> SimpleNamespace:
    """A message with the attributes of sensor_msgs/Image; `pixels` are the bytes, a row a row."""
    height = pixels.shape[0]
    rows = np.ascontiguousarray(pixels).view(np.uint8).reshape(height, -1)
    rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=77)
    values = {
        'height': height,
        'width': pixels.shape[1],
        'encoding': encoding,
        'is_bigendian': 0,
        'step': rows.shape[1],
        'data': array.array('B', rows.tobytes()),
    }
    return SimpleNamespace(**{**values, **fields})


def yuv(rgb: np.ndarray) -> np.ndarray:
    """ITU-R BT.601 with limited range: (H, W, 3) of Y, U, V."""
    r, g, b = np.moveaxis(rgb.astype(float), -1, 0)
    y = 16 + (65.481 * r + 128.553 * g + 24.966 * b) / 255
    u = 128 + (-37.797 * r - 74.203 * g + 112.0 * b) / 255
    v = 128 + (112.0 * r - 93.786 * g - 18.214 * b) / 255
    return np.stack([y, u, v], -1).round().astype(np.uint8)


def uyvy(rgb: np.ndarray) -> np.ndarray:
    y, u, v = np.moveaxis(yuv(rgb), -1, 0)
    packed = np.empty((*y.shape, 2), np.uint8)
    packed[..., 1] = y
    packed[:, 0::2, 0], packed[:, 1::2, 0] = u[:, 0::2], v[:, 0::2]
    return packed


def bayer(rgb: np.ndarray, pattern: str) -> np.ndarray:
    """One colour per pixel; `pattern` names those of the top-left two by two, row by row."""
    mosaic = np.empty(rgb.shape[:2], np.uint8)
    for place, colour in enumerate(pattern):
        y, x = divmod(place, 2)
        mosaic[y::2, x::2] = rgb[y::2, x::2, 'rgb'.index(colour)]
    return mosaic


ALPHA = np.full((*RGB.shape[:2], 1), 13, np.uint8)
GRAY_RGB = (GRAY >> 8).astype(np.uint8)[..., None].repeat(3, axis=2)
MONO = RGB[..., 0]
# encoding: (bytes, expected RGB, tolerance)
EXACT = {
    'rgb8': (RGB, RGB),
    'bgr8': (RGB[..., ::-1], RGB),
    '8UC3': (RGB[..., ::-1], RGB),
    'rgba8': (np.concatenate([RGB, ALPHA], -1), RGB),
    'bgra8': (np.concatenate([RGB[..., ::-1], ALPHA], -1), RGB),
    '8UC4': (np.concatenate([RGB[..., ::-1], ALPHA], -1), RGB),
    'mono8': (MONO, MONO[..., None].repeat(3, axis=2)),
    '8UC1': (MONO, MONO[..., None].repeat(3, axis=2)),
    'mono16': (GRAY.astype('<u2'), GRAY_RGB),
    '16UC1': (GRAY.astype('<u2'), GRAY_RGB),
}
BY_BLOCK = {  # chroma is shared by neighbours, so only the inside of a block is told exactly
    'yuv422': uyvy(RGB),
    'uyvy': uyvy(RGB),
    'yuv422_yuy2': uyvy(RGB)[..., ::-1],
    'yuyv': uyvy(RGB)[..., ::-1],
    **{f'bayer_{p}8': bayer(RGB, p) for p in ('rggb', 'bggr', 'gbrg', 'grbg')},
}


def test_every_encoding_is_tested_here():
    assert {*EXACT, *BY_BLOCK} == set(ENCODINGS)


@pytest.mark.parametrize('padding', [0, 6])
@pytest.mark.parametrize('encoding', EXACT)
def test_plain_encodings_are_exact(encoding: str, padding: int):
    pixels, expected = EXACT[encoding]
    rgb = to_rgb(image(encoding, pixels, padding))
    assert rgb.dtype == np.uint8
    np.testing.assert_array_equal(rgb, expected)


@pytest.mark.parametrize('padding', [0, 6])
@pytest.mark.parametrize('encoding', BY_BLOCK)
def test_subsampled_encodings_give_each_block_its_colour(encoding: str, padding: int):
    rgb = to_rgb(image(encoding, BY_BLOCK[encoding], padding)).astype(int)
    assert rgb.shape == RGB.shape
    inside = slice(2, BLOCK - 2)
    for row in range(2):
        for column in range(4):
            block = rgb[row * BLOCK : (row + 1) * BLOCK, column * BLOCK : (column + 1) * BLOCK]
            wrong = np.abs(block[inside, inside] - COLOURS[row, column]).max()
            assert wrong <= 3, (encoding, row, column)


@pytest.mark.parametrize('encoding', ['mono16', '16UC1'])
def test_big_endian(encoding: str):
    rgb = to_rgb(image(encoding, GRAY.astype('>u2'), is_bigendian=1))
    np.testing.assert_array_equal(rgb, GRAY_RGB)


def test_rgb8_is_not_copied():
    message = image('rgb8', RGB, 6)
    before = to_rgb(message)
    message.data[0] = 99
    assert before[0, 0, 0] == 99


def test_padding_of_the_last_row_may_be_absent():
    message = image('bgr8', RGB[..., ::-1], 6)
    del message.data[-6:]
    np.testing.assert_array_equal(to_rgb(message), RGB)


BROKEN = {
    'no encoding': ({'encoding': ''}, 'not supported'),
    'unknown encoding': ({'encoding': 'nv12'}, "'nv12'.*not supported.*bgr8"),
    'no width': ({'width': 0}, 'empty'),
    'no height': ({'height': 0}, 'empty'),
    'no data': ({'data': array.array('B')}, '0 bytes.*truncated'),
    'one byte short': ({'data': array.array('B', bytes(16 * 96 - 1))}, 'at least 1536.*truncated'),
    'step too small': ({'step': 95}, 'step 95.*96 bytes.*too small'),
    'no step': ({'step': 0}, 'step 0'),
    'huge': ({'height': 2**32 - 1, 'width': 2**32 - 1}, '4294967295 x 4294967295'),
    'huge step': ({'step': 2**32 - 1}, 'truncated'),
    'odd yuv422': ({'encoding': 'yuv422', 'width': 31}, 'even width'),
    'odd bayer': ({'encoding': 'bayer_rggb8', 'height': 15}, 'even width and height'),
}


@pytest.mark.parametrize('name', BROKEN)
def test_broken_images_are_refused_with_the_reason(name: str):
    fields, reason = BROKEN[name]
    message = image('rgb8', RGB, **fields)
    with pytest.raises(ImageError, match=reason) as caught:
        to_rgb(message)
    told = str(caught.value)
    assert repr(message.encoding) in told
    assert f'step {message.step}' in told
    assert f'{message.width} x {message.height}' in told


@pytest.mark.parametrize('encoding', OUTPUT_ENCODINGS)
def test_written_images_are_read_back(encoding: str):
    message = fill_image(SimpleNamespace(), RGB, encoding)
    assert (message.height, message.width, message.encoding) == (16, 32, encoding)
    assert isinstance(message.data, array.array)
    assert len(message.data) == message.step * message.height
    rgb = to_rgb(message)
    if encoding == 'mono8':
        luminance = RGB @ np.array([0.299, 0.587, 0.114])
        np.testing.assert_allclose(rgb[..., 0], luminance, atol=1)
    else:
        np.testing.assert_array_equal(rgb, RGB)


def test_a_part_of_an_array_can_be_written():
    message = fill_image(SimpleNamespace(), RGB[2:10:2, ::-1], 'rgb8')
    np.testing.assert_array_equal(to_rgb(message), RGB[2:10:2, ::-1])


def test_images_are_not_written_in_unknown_encodings():
    with pytest.raises(ImageError, match='yuv422'):
        fill_image(SimpleNamespace(), RGB, 'yuv422')


def test_compressed_images():
    message = fill_compressed(SimpleNamespace(), RGB, quality=95)
    rgb = compressed_to_rgb(message).astype(int)
    centres = slice(BLOCK // 2, None, BLOCK)
    assert np.abs(rgb[centres, centres] - COLOURS).max() < 24  # JPEG mixes the blocks a little
    message.data = message.data[: len(message.data) // 8]
    for data in (message.data, array.array('B'), array.array('B', b'no image at all')):
        message.data = data
        with pytest.raises(ImageError, match=f'jpeg.*{len(data)} bytes'):
            compressed_to_rgb(message)


@pytest.mark.parametrize('suffix', ['.jpg', '.png'])
def test_a_damaged_size_does_not_fill_the_memory(suffix: str):
    encoded = bytearray(cv2.imencode(suffix, RGB)[1].tobytes())
    assert announced_size(bytes(encoded)) == (32, 16)
    if suffix == '.jpg':
        size = encoded.index(b'\xff\xc0') + 5
        encoded[size : size + 4] = struct.pack('>HH', 30000, 20000)
    else:
        encoded[16:24] = struct.pack('>II', 20000, 30000)
    message = SimpleNamespace(format='jpeg', data=array.array('B', bytes(encoded)))
    with pytest.raises(ImageError, match='it claims 20000 x 30000 pixels'):
        compressed_to_rgb(message)
    for end in range(0, 700, 3):  # wherever it is cut off, there is a size or none
        assert announced_size(bytes(encoded[:end])) in ((0, 0), (20000, 30000))

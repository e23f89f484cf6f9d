# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Every encoding against a pattern that is written here byte by byte, without OpenCV."""

from __future__ import annotations

import array
import struct
import sys
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from tracker_core import ImageError
from tracker_core.media.bridge import problem
from tracker_core.media.encodings import (
    announced_size,
    compressed_to_rgb,
    ENCODINGS,
    fill_compressed,
    fill_image,
    OUTPUT_ENCODINGS,
    to_rgb,
)
from tracker_core.media.gray import GrayRange

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


def semi_planar(
    encoding: str, y: np.ndarray, u: np.ndarray, v: np.ndarray, padding: int = 0
) -> SimpleNamespace:
    """A message of luma (H, W), and chroma (H', W') in pairs or in two planes."""
    if encoding in ('nv21', 'nv61', 'nv42', 'yv12'):
        u, v = v, u
    step = y.shape[1] + padding
    if encoding in ('i420', 'yuv420', 'yuv420p', 'yv12'):
        planes = [(y, step), (u, -(-step // 2)), (v, -(-step // 2))]
    else:
        pairs = np.stack([u, v], -1).reshape(len(u), -1)
        planes = [(y, step), (pairs, max(pairs.shape[1], step * (2 if u.shape == y.shape else 1)))]
    parts = [np.pad(p, ((0, 0), (0, s - p.shape[1])), constant_values=77) for p, s in planes]
    return SimpleNamespace(
        height=y.shape[0],
        width=y.shape[1],
        encoding=encoding,
        is_bigendian=0,
        step=step,
        data=array.array('B', b''.join(part.tobytes() for part in parts)),
    )


def bayer(rgb: np.ndarray, pattern: str) -> np.ndarray:
    """One colour per pixel; `pattern` names those of the top-left two by two, row by row."""
    mosaic = np.empty(rgb.shape[:2], np.uint8)
    for place, colour in enumerate(pattern):
        y, x = divmod(place, 2)
        mosaic[y::2, x::2] = rgb[y::2, x::2, 'rgb'.index(colour)]
    return mosaic


ALPHA = np.full((*RGB.shape[:2], 1), 13, np.uint8)
WIDE = RGB.astype(np.uint16) * 256 + 77
WIDE_ALPHA = np.concatenate([WIDE, np.full_like(WIDE[..., :1], 999)], -1)
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
    'rgb16': (WIDE, RGB),
    'bgr16': (WIDE[..., ::-1], RGB),
    '16UC3': (WIDE[..., ::-1], RGB),
    'rgba16': (WIDE_ALPHA, RGB),
    'bgra16': (WIDE_ALPHA[..., [2, 1, 0, 3]], RGB),
    '16UC4': (WIDE_ALPHA[..., [2, 1, 0, 3]], RGB),
}
BY_BLOCK = {  # chroma is shared by neighbours, so only the inside of a block is told exactly
    'yuv422': uyvy(RGB),
    'uyvy': uyvy(RGB),
    'yuv422_yuy2': uyvy(RGB)[..., ::-1],
    'yuyv': uyvy(RGB)[..., ::-1],
    **{f'bayer_{p}8': bayer(RGB, p) for p in ('rggb', 'bggr', 'gbrg', 'grbg')},
    **{f'bayer_{p}16': bayer(RGB, p) * np.uint16(256) for p in ('rggb', 'bggr', 'gbrg', 'grbg')},
}
PLANES = {  # encoding: pixels that share their chroma, in columns and rows
    **dict.fromkeys(('nv12', 'nv21', 'i420', 'yuv420', 'yuv420p', 'yv12'), (2, 2)),
    **dict.fromkeys(('nv16', 'nv61'), (2, 1)),
    **dict.fromkeys(('nv24', 'nv42'), (1, 1)),
}


def test_every_encoding_is_tested_here():
    assert {*EXACT, *BY_BLOCK, *PLANES} == set(ENCODINGS)


@pytest.mark.parametrize('padding', [0, 6])
@pytest.mark.parametrize('encoding', EXACT)
def test_plain_encodings_are_exact(encoding: str, padding: int):
    pixels, expected = EXACT[encoding]
    rgb = to_rgb(image(encoding, pixels, padding), GrayRange(16).at())
    assert rgb.dtype == np.uint8
    np.testing.assert_array_equal(rgb, expected)
    for rows, columns in ((15, 31), (16, 1), (1, 32)):
        part = np.ascontiguousarray(pixels[:rows, :columns])
        rgb = to_rgb(image(encoding, part, padding + 1), GrayRange(16).at())
        np.testing.assert_array_equal(rgb, expected[:rows, :columns])


@pytest.mark.parametrize(('size', 'padding'), [((16, 32), 0), ((16, 32), 6), ((15, 31), 5)])
@pytest.mark.parametrize('encoding', BY_BLOCK)
def test_subsampled_encodings_give_each_block_its_colour(
    encoding: str, size: tuple[int, int], padding: int
):
    pixels = np.ascontiguousarray(BY_BLOCK[encoding][: size[0], : size[1]])
    rgb = to_rgb(image(encoding, pixels, padding), GrayRange(16).at()).astype(int)
    assert rgb.shape == (*size, 3)
    inside = slice(2, BLOCK - 2)
    for row in range(2):
        for column in range(4):
            block = rgb[row * BLOCK : (row + 1) * BLOCK, column * BLOCK : (column + 1) * BLOCK]
            wrong = np.abs(block[inside, inside] - COLOURS[row, column]).max()
            assert wrong <= 3, (encoding, row, column)
    last = rgb[size[0] - 1, size[1] - 1] - COLOURS[1, 3]
    assert np.abs(last).max() <= 3, 'an odd size keeps its last row and column'


@pytest.mark.parametrize('size', [(16, 32), (15, 31), (16, 31), (1, 1)])
@pytest.mark.parametrize('encoding', PLANES)
def test_planes_are_converted_pixel_by_pixel(encoding: str, size: tuple[int, int]):
    columns, rows = PLANES[encoding]
    rng = np.random.default_rng(0)
    y = rng.integers(0, 256, size, np.uint8)
    u, v = rng.integers(0, 256, (2, -(-size[0] // rows), -(-size[1] // columns)), np.uint8)
    luma = 1.164383 * (np.maximum(y, 16).astype(float) - 16)
    cb, cr = (c.astype(float).repeat(rows, 0).repeat(columns, 1) - 128 for c in (u, v))
    cb, cr = cb[: size[0], : size[1]], cr[: size[0], : size[1]]
    expected = np.stack(
        [luma + 1.596027 * cr, luma - 0.391762 * cb - 0.812968 * cr, luma + 2.017232 * cb], -1
    ).clip(0, 255)
    message = semi_planar(encoding, y, u, v)
    for padding in (0, 6, 7):
        padded = semi_planar(encoding, y, u, v, padding)
        rgb = to_rgb(padded)
        assert np.abs(rgb - expected).max() <= 1.5
    padded.data = message.data  # no padding, whatever step says
    np.testing.assert_array_equal(to_rgb(padded), rgb)
    if rows == 2 and size[0] % 2 == size[1] % 2 == 0:
        message.height = message.height * 3 // 2  # counts the rows of the chroma
        np.testing.assert_array_equal(to_rgb(message), rgb)
    message.data.pop()
    with pytest.raises(ImageError, match=rf'{encoding}.*at least \d+ bytes.*truncated'):
        to_rgb(message)


@pytest.mark.parametrize(('depth', 'name'), [(0, 'mono16'), (12, 'mono16'), (0, 'rgb16')])
def test_16_bits_are_scaled_by_what_the_camera_has(depth: int, name: str):
    ramp = np.linspace(0, 255, 16 * 32).astype(np.uint16).reshape(16, 32) * 16  # 12 bits
    pixels = ramp if name == 'mono16' else np.dstack([ramp] * 3)
    rgb = to_rgb(image(name, pixels), GrayRange(depth).at())
    tolerance = 0 if depth else 40  # some is kept free at the ends
    np.testing.assert_allclose(rgb[..., 0], ramp // 16, atol=tolerance)
    dark = to_rgb(image(name, pixels), GrayRange(16).at())
    np.testing.assert_array_equal(dark[..., 0], ramp >> 8)


@pytest.mark.parametrize('encoding', ['mono16', '16UC1'])
def test_big_endian(encoding: str):
    big = image(encoding, GRAY.astype('>u2'), 3, is_bigendian=1)
    np.testing.assert_array_equal(to_rgb(big, GrayRange(16).at()), GRAY_RGB)
    np.testing.assert_array_equal(to_rgb(big), to_rgb(image(encoding, GRAY.astype('<u2'))))


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
    'unknown encoding': ({'encoding': 'xyz9'}, "'xyz9'.*not supported.*bgr8"),
    'depth': ({'encoding': '32FC1'}, "'32FC1'.*not supported.*depth"),
    'signed': ({'encoding': '16SC1'}, "'16SC1'.*not supported"),
    'no width': ({'width': 0}, 'empty'),
    'no height': ({'height': 0}, 'empty'),
    'no data': ({'data': array.array('B')}, '0 bytes.*truncated'),
    'one byte short': ({'data': array.array('B', bytes(16 * 96 - 1))}, 'at least 1536.*truncated'),
    'step too small': ({'step': 95}, 'step 95.*96 bytes.*too small'),
    'no step': ({'step': 0}, 'step 0'),
    'huge': ({'height': 2**32 - 1, 'width': 2**32 - 1}, '4294967295 x 4294967295'),
    'huge step': ({'step': 2**32 - 1}, 'truncated'),
    'nv12 without step': ({'encoding': 'nv12', 'step': 31}, 'step is too small'),
    'nv12 without chroma': (
        {'encoding': 'nv12', 'step': 32, 'data': array.array('B', bytes(512))},
        'at least 768 bytes.*truncated',
    ),
    'huge nv12': ({'encoding': 'nv12', 'height': 2**32 - 1, 'width': 2**32 - 1}, 'too small'),
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


def compressed(format: str, suffix: str, pixels: np.ndarray) -> SimpleNamespace:  # noqa: A002
    data = cv2.imencode(suffix, pixels, [cv2.IMWRITE_JPEG_QUALITY, 100])[1]
    return SimpleNamespace(format=format, data=array.array('B', data.tobytes()))


def test_a_jpeg_that_lacks_its_end_is_decoded_as_far_as_it_goes():
    noise = np.random.default_rng(0).integers(0, 256, (160, 64, 3), np.uint8)
    message = compressed('jpeg', '.jpg', noise)
    whole, data = compressed_to_rgb(message), message.data
    message.data = data[:-2]
    np.testing.assert_array_equal(compressed_to_rgb(message), whole)
    message.data = data[: int(0.97 * len(data))]
    rgb = compressed_to_rgb(message)
    np.testing.assert_array_equal(rgb[:128], whole[:128])
    assert (rgb[-1, -1] == 128).all()
    message.data = data[: len(data) // 2]
    with pytest.raises(ImageError, match=r'ends after \d\d of 160 rows.*truncated'):
        compressed_to_rgb(message)


@pytest.mark.parametrize('suffix', ['.jpg', '.png'])
@pytest.mark.parametrize('pattern', ['rggb', 'bggr', 'gbrg', 'grbg'])
def test_a_compressed_mosaic_is_debayered(pattern: str, suffix: str):
    codec = 'jpeg' if suffix == '.jpg' else 'png'
    mosaic = bayer(RGB, pattern)
    centres = slice(BLOCK // 2, None, BLOCK)
    names = [f'bayer_{pattern}8; {codec} compressed ']
    if suffix == '.png':
        mosaic = mosaic * np.uint16(256)
        names = [f'bayer_{pattern}16; png compressed']
    for name in names:
        rgb = compressed_to_rgb(compressed(name, suffix, mosaic), GrayRange(16).at())
        wrong = np.abs(rgb[centres, centres].astype(int) - COLOURS).max()
        assert wrong <= (30 if suffix == '.jpg' else 1)
    # What was made a colour image before it was compressed stays one.
    converted = compressed(f'bayer_{pattern}8; {codec} compressed bgr8', suffix, RGB[..., ::-1])
    rgb = compressed_to_rgb(converted).astype(int)
    assert np.abs(rgb[centres, centres] - COLOURS).max() < 24


@pytest.mark.parametrize(
    'name',
    ['', 'png', 'rgb8; png compressed bgr8', 'bgr8; png compressed bgr8', 'rgb8;png compressed'],
)
def test_colours_are_those_of_the_file(name: str):
    rgb = compressed_to_rgb(compressed(name, '.png', RGB[..., ::-1]))
    np.testing.assert_array_equal(rgb, RGB)


def test_compressed_16_bits_are_scaled_like_others():
    for name, pixels in (('mono16', GRAY), ('16UC1', GRAY), ('rgb16', WIDE)):
        plain = to_rgb(image(name, pixels))
        stored = pixels if pixels.ndim == 2 else pixels[..., ::-1]
        message = compressed(f'{name}; png compressed ', '.png', stored)
        np.testing.assert_array_equal(compressed_to_rgb(message), plain)


def test_compressed_depth_is_refused():
    message = compressed('16UC1; compressedDepth png', '.png', GRAY)
    message.data = array.array('B', bytes(12)) + message.data
    with pytest.raises(ImageError, match=r'compressedDepth.*a depth image'):
        compressed_to_rgb(message)
    message = compressed('32FC1; tiff compressed', '.tiff', GRAY.astype(np.float32))
    with pytest.raises(ImageError, match='float32 values, such as depth'):
        compressed_to_rgb(message)


STANDS_IN = """
import numpy as np
{at_import}
class CvBridge:
    def imgmsg_to_cv2(self, message, desired_encoding='passthrough'):
        if message.encoding == 'no such thing':
            raise KeyError('unrecognised encoding')
        shape = message.height, message.width, 3
        return np.full(shape, message.data[0], np.uint8)
"""


@pytest.fixture
def cv_bridge(tmp_path, monkeypatch):
    """Put a module of this name where Python looks first."""

    def install(at_import: str = '') -> None:
        (tmp_path / 'cv_bridge.py').write_text(STANDS_IN.format(at_import=at_import))

    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, 'dont_write_bytecode', True)
    problem.cache_clear()
    yield install
    problem.cache_clear()
    sys.modules.pop('cv_bridge', None)


def test_what_is_unknown_goes_through_cv_bridge(cv_bridge):
    message = image('yuv444', RGB)
    with pytest.raises(ImageError, match=r'yuv444.*not supported.*cv_bridge.*not installed'):
        to_rgb(message)
    problem.cache_clear()
    cv_bridge()
    np.testing.assert_array_equal(to_rgb(message), np.full_like(RGB, 200))
    np.testing.assert_array_equal(to_rgb(image('rgb8', RGB)), RGB)
    with pytest.raises(ImageError, match=r'not supported.*cv_bridge refuses it.*unrecognised'):
        to_rgb(image('no such thing', RGB))
    with pytest.raises(ImageError, match=r'32FC1.*depth'):
        to_rgb(image('32FC1', RGB))


@pytest.mark.parametrize(
    ('at_import', 'told'),
    [
        ("raise AttributeError('_ARRAY_API not found')", '_ARRAY_API not found'),
        ("raise SystemError('initialization failed')", 'initialization failed'),
        ('import os; os.abort()', 'it ends the process with signal 6'),
    ],
)
def test_a_cv_bridge_that_does_not_work_is_told(cv_bridge, at_import: str, told: str):
    cv_bridge(at_import)
    with pytest.raises(ImageError, match=rf'installed cv_bridge does not work \({told}\).*NumPy'):
        to_rgb(image('yuv444', RGB))
    assert 'cv_bridge' not in sys.modules


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

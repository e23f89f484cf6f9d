# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Depth messages against values that are written here byte by byte, and how they find their
frames."""

from __future__ import annotations

import array
import struct
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from tracker_core import ImageError
from tracker_core.pose.depth import DepthImage
from tracker_nodes.depth_encodings import (
    compressed_to_depth,
    fill_compressed_depth,
    fill_depth,
    to_depth,
)
from tracker_nodes.frames import Frame
from tracker_nodes.joining import ALIVE, DepthJoin, TOLD_AFTER

MILLIMETRES = np.array([[0, 1000, 65535], [250, 3, 12345]], np.uint16)


def raw(encoding: str, values: np.ndarray, padding: int = 0, **fields: object) -> SimpleNamespace:
    """With the attributes of a sensor_msgs/Image."""
    rows = values.view(np.uint8).reshape(len(values), -1)
    rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=77)
    given = {
        'height': values.shape[0],
        'width': values.shape[1],
        'encoding': encoding,
        'is_bigendian': 0,
        'step': rows.shape[1],
        'data': array.array('B', rows.tobytes()),
    }
    return SimpleNamespace(**{**given, **fields})


def metres(image: object) -> np.ndarray:
    return image.values.astype(float) * image.unit


def test_what_is_written_is_read():
    millimetres = DepthImage(MILLIMETRES.astype('>u2'), 0.001)
    floating = DepthImage((MILLIMETRES / 1000).astype('<f4'))
    written = [to_depth(fill_depth(SimpleNamespace(), depth)) for depth in (millimetres, floating)]
    written.append(compressed_to_depth(fill_compressed_depth(SimpleNamespace(), millimetres)))
    for depth in written:
        np.testing.assert_allclose(metres(depth), MILLIMETRES / 1000, rtol=1e-6)


@pytest.mark.parametrize('padding', [0, 5])
def test_depth_is_in_metres(padding: int):
    for encoding in ('16UC1', 'mono16'):
        depth = to_depth(raw(encoding, MILLIMETRES.astype('<u2'), padding))
        np.testing.assert_allclose(metres(depth), MILLIMETRES / 1000)
    big = raw('16UC1', MILLIMETRES.astype('>u2'), padding, is_bigendian=1)
    np.testing.assert_allclose(metres(to_depth(big)), MILLIMETRES / 1000)
    values = np.array([[0.5, np.nan], [np.inf, -1]], '<f4')
    np.testing.assert_array_equal(metres(to_depth(raw('32FC1', values, padding))), values)


def png(values: np.ndarray) -> bytes:
    return cv2.imencode('.png', values)[1].tobytes()


def compressed(format: str, data: bytes) -> SimpleNamespace:  # noqa: A002
    return SimpleNamespace(format=format, data=array.array('B', data))


def test_compressed_depth():
    header = struct.pack('<iff', 0, 0, 0)
    for data in (header + png(MILLIMETRES), png(MILLIMETRES)):
        depth = compressed_to_depth(compressed('16UC1; compressedDepth png', data))
        np.testing.assert_allclose(metres(depth), MILLIMETRES / 1000)
    a, b = 100.5, -3.25  # value = a / depth + b
    truth = np.array([[1.0, 2.5], [0.25, 7.0]])
    coded = np.round(a / truth + b).astype(np.uint16)
    coded[0, 0] = 0  # none
    data = struct.pack('<iff', 0, a, b) + png(coded)
    depth = compressed_to_depth(compressed('32FC1; compressedDepth png', data))
    assert depth.values[0, 0] == 0
    np.testing.assert_allclose(depth.values[1], truth[1], rtol=0.03)
    np.testing.assert_allclose(depth.values[0, 1], a / (coded[0, 1] - b), rtol=1e-6)


@pytest.mark.parametrize(
    ('format', 'data', 'words'),
    [
        ('16UC1; compressedDepth rvl', bytes(100), 'there is no PNG in it; set the format'),
        ('16UC1; compressedDepth png', b'', '0 bytes: there is no PNG'),
        ('16UC1; compressedDepth', bytes(12) + png(MILLIMETRES)[:40], 'is damaged'),
        ('16UC1; compressedDepth', png(MILLIMETRES.astype(np.uint8)), 'one channel with 16 bits'),
        ('32FC1; compressedDepth', png(MILLIMETRES), 'the configuration is missing'),
        (
            '16UC1; compressedDepth',
            bytes(12) + png(MILLIMETRES)[:16] + struct.pack('>II', 2**16, 2**16) + bytes(64),
            'claims 65536 x 65536 pixels',
        ),
    ],
)
def test_compressed_depth_that_is_none(format: str, data: bytes, words: str):  # noqa: A002
    with pytest.raises(ImageError, match=words):
        compressed_to_depth(compressed(format, data))


@pytest.mark.parametrize(
    ('fields', 'words'),
    [
        ({'encoding': 'bgr8'}, "encoding 'bgr8', step 6, 12 bytes: depth is expected as 16UC1 or"),
        ({'step': 5}, 'these do not fit together, a row takes 6 bytes'),
        ({'height': 3}, 'these do not fit together'),
        ({'height': 0}, 'these do not fit together'),
    ],
)
def test_depth_that_is_none(fields: dict, words: str):
    with pytest.raises(ImageError, match=words):
        to_depth(raw(**{'encoding': '16UC1', 'values': MILLIMETRES, **fields}))


def image(stamp: float, arrived: float = 0.0) -> Frame:
    message = SimpleNamespace(data=b'')
    return Frame(round(stamp * 1e9), message, lambda: np.zeros(0), arrived)


def test_the_nearest_image_within_the_slop_is_that_of_a_frame():
    join = DepthJoin()
    for stamp in (1.0, 1.033, 1.066):
        join.put(image(stamp), 0.01)
    assert join.match(1_035_000_000, 0.01).stamp == 1_033_000_000
    assert join.match(1_050_000_000, 0.01) is None
    assert join.match(1_050_000_000, 0.02) is not None


def test_an_image_is_waited_for_while_images_come():
    join = DepthJoin()
    assert not join.is_coming(1, 0.0), 'there is no camera'
    join.put(image(1.0, arrived=50.0), 0.01)
    assert join.is_coming(1_033_000_000, 50.1)
    assert not join.is_coming(990_000_000, 50.1), 'newer ones are here'
    assert not join.is_coming(1_033_000_000, 50.1 + ALIVE)


def test_what_is_wrong_is_told_when_it_lasts():
    join = DepthJoin()
    join.put(image(1.0, arrived=10.0), 0.01)
    for number in range(TOLD_AFTER - 1):
        assert join.note(1_500_000_000 + number, None, 10.1) == ''
    assert 'the nearest differs by -0.500 s' in join.note(1_500_000_099, None, 10.1)
    assert join.note(1_000_000_000, image(1.0), 10.1) == ''
    for number in range(2 * TOLD_AFTER):
        problem = join.note(2_000_000_000 + number * 33_000_000, None, 11.0)
        join.put(image(2.0 + number * 0.033, arrived=11.0), 0.01)
    assert 'come too late' in problem

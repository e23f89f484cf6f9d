# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""16-bit images of cameras with fewer bits, of thermal cameras, and what must not move them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from tracker_core import Box, create_tracker, ImageError, ParameterError
from tracker_core.commands import main
from tracker_core.evaluation.metrics import box_rows, overlap
from tracker_core.media.folders import read_image
from tracker_core.media.gray import GrayRange, limits, Span
from tracker_core.media.sources import open_frames

RNG = np.random.default_rng(0)
SOFT = cv2.GaussianBlur(RNG.integers(0, 256, (96, 128)).astype(np.float32), (0, 0), 4)
SOFT = cv2.normalize(SOFT, None, 20, 235, cv2.NORM_MINMAX).astype(np.uint16)
CAMERAS = {  # what a camera makes of 8-bit values
    '10 bits': lambda gray: gray * 4,
    '12 bits': lambda gray: gray * 16,
    '14 bits': lambda gray: gray * 64,
    '16 bits': lambda gray: gray * 257,
    'thermal': lambda gray: 29315 + gray * 6,
}
RATE = 30


def seen(gray: GrayRange, images: list[np.ndarray], rate: float = RATE) -> list[np.ndarray]:
    """A stream whose stamps begin at one second."""
    return [
        gray.at(round(1e9 * (1 + number / rate)))(image) for number, image in enumerate(images)
    ]


@pytest.mark.parametrize('camera', CAMERAS)
def test_every_camera_has_contrast(camera: str):
    pixels = CAMERAS[camera](SOFT)
    image = GrayRange().at()(pixels)
    assert image.dtype == np.uint8
    # A straight line of what the scene is, with most of the 256 grays.
    slope, offset = np.polyfit(SOFT.ravel(), image.ravel(), 1)
    assert 0.8 < slope < 1.2
    np.testing.assert_allclose(image, slope * SOFT + offset, atol=3)
    assert image.min() < 50
    assert image.max() > 205


def test_hot_and_dead_pixels_do_not_spoil_the_range():
    pixels = CAMERAS['thermal'](SOFT)
    usual = limits(pixels)
    for value in (0, 40_000, 65_535):
        spoilt = pixels.copy()
        spoilt[RNG.integers(0, 96, 60), RNG.integers(0, 128, 60)] = value
        np.testing.assert_allclose(limits(spoilt), usual, atol=0.05 * (usual[1] - usual[0]))
    framed = pixels.copy()
    framed[:20] = 0  # no value there
    np.testing.assert_allclose(limits(framed), usual, atol=0.15 * (usual[1] - usual[0]))


@pytest.mark.parametrize('value', [0, 3, 130, 29_315, 65_400, 65_535])
def test_noise_of_a_constant_image_stays_noise(value: int):
    noise = RNG.normal(0, 2, (96, 128))
    pixels = (value + noise).clip(0, 65_535).astype(np.uint16)
    image = GrayRange().at()(pixels)
    assert image.std() <= 2.1
    low, high = limits(pixels)
    assert 0 <= low < high <= 65_535
    assert high - low >= 255


@pytest.mark.parametrize('rate', [2, 9, 30, 200])
def test_a_flash_changes_little_and_a_cut_recovers_within_a_second(rate: float):
    pixels = CAMERAS['thermal'](SOFT)
    told: list[Span] = []
    gray = GrayRange(tell=told.append)
    calm = seen(gray, [pixels] * 6, rate)[-1].astype(int)
    flash = seen(gray, [pixels + np.uint16(20_000), pixels], rate)
    assert flash[0].min() == 255
    assert np.abs(flash[1] - calm).max() <= 3
    # Another gain: the scene lies elsewhere, and is seen as before.
    after = seen(gray, [CAMERAS['12 bits'](SOFT)] * (rate + 1), rate)[-1]
    assert np.abs(after - calm).max() <= 8
    assert len(told) == 2, 'at first, and after the jump'


def test_small_changes_do_not_flicker_and_slow_ones_are_followed():
    pixels = CAMERAS['thermal'](SOFT)
    gray = GrayRange()
    images = [pixels + np.uint16(RNG.integers(0, 20)) for _ in range(40)]
    steady = np.array([image.mean() for image in seen(gray, images)])
    assert np.abs(np.diff(steady)).max() <= 20 * 255 / 1000, 'as much as the images themselves'
    # The scene warms up by all of its span in ten seconds.
    warmer = seen(gray, [pixels + np.uint16(4 * number) for number in range(300)])
    means = np.array([image.mean() for image in warmer])
    assert np.abs(means - means[0]).max() < 60
    assert np.abs(np.diff(means)).max() < 2


def test_the_range_does_not_depend_on_the_rate():
    def after_two_seconds(rate: int) -> float:
        gray = GrayRange()
        pixels = CAMERAS['thermal'](SOFT)
        drift = [pixels + np.uint16(200 * number / rate) for number in range(2 * rate + 1)]
        return float(seen(gray, drift, rate)[-1].mean())

    assert after_two_seconds(10) == pytest.approx(after_two_seconds(60), abs=8)


def test_an_image_is_seen_the_same_whenever_it_is_looked_at():
    gray = GrayRange()
    scales = [gray.at(10**9 + number * 33_333_333) for number in range(40)]
    images = [CAMERAS['thermal'](SOFT) + np.uint16(20 * number) for number in range(40)]
    looked_at = range(0, 40, 3)  # the others were replaced by newer ones
    first = {number: scales[number](images[number]) for number in looked_at}
    again = {number: scales[number](images[number]) for number in looked_at}
    for number in looked_at:
        np.testing.assert_array_equal(first[number], again[number])
    # One that is looked at late is seen nearly as its neighbour, and moves nothing.
    late = scales[19](images[18])
    np.testing.assert_array_equal(late, first[18])
    np.testing.assert_array_equal(scales[39](images[39]), first[39])


def test_time_may_jump_back_or_stand_still():
    gray = GrayRange()
    pixels = CAMERAS['thermal'](SOFT)
    usual = seen(gray, [pixels] * 10)[-1]
    for stamps in ([5] * 10, [0] * 10, [10**9] * 10):
        other = CAMERAS['12 bits'](SOFT)
        images = [gray.at(stamp)(other) for stamp in stamps]
        assert images[-1].std() > 20, 'the range still follows'
        seen(gray, [pixels] * 30)
    np.testing.assert_allclose(seen(gray, [pixels])[0], usual, atol=5)


def test_a_given_bit_depth():
    for depth in range(8, 17):
        pixels = (SOFT << (depth - 8)).astype(np.uint16)
        np.testing.assert_array_equal(GrayRange(depth).at()(pixels), SOFT)
        assert GrayRange(depth).at()(np.full((2, 2), 2**16 - 1, np.uint16)).min() == 255
    gray = GrayRange(16)
    scale = gray.at()
    dark = scale(CAMERAS['10 bits'](SOFT))
    gray.bit_depth = 10  # while it runs
    assert dark.max() < 4
    np.testing.assert_array_equal(scale(CAMERAS['10 bits'](SOFT)), SOFT)
    for wrong in (7, 17, -1):
        with pytest.raises(ParameterError, match=r'0 .found. or 8 to 16'):
            GrayRange(wrong)


def moving_block(count: int = 6) -> tuple[list[np.ndarray], np.ndarray]:
    """Gray images of a patterned block, and its boxes as rows."""
    cells = RNG.integers(0, 2, (6, 7)) * 120 + 60
    block = cv2.resize(cells.astype(np.uint8), (44, 36), interpolation=cv2.INTER_NEAREST)
    ground = cv2.resize(SOFT.astype(np.uint8), (320, 240), interpolation=cv2.INTER_CUBIC)
    images, boxes = [], []
    for number in range(count):
        x, y = 60 + 8 * number, 70 + 5 * number
        images.append(ground.copy())
        images[-1][y : y + 36, x : x + 44] = block
        boxes.append(Box(x, y, 44, 36))
    return images, box_rows(boxes)


def mean_iou(source: object, truth: np.ndarray) -> float:
    tracker = create_tracker('tadt', device='cpu')
    frames = iter(source)
    target = tracker.start(next(frames), Box(*truth[0]))
    boxes = [target.box, *(tracker.track(frame, target).box for frame in frames)]
    return float(overlap(box_rows(boxes), truth).mean())


def test_folders_of_every_camera_are_tracked_like_8_bits(tmp_path):
    names = ('10 bits', '12 bits', 'thermal')
    images, truth = moving_block()
    for number, gray in enumerate(images):
        folders = {'8 bits': gray}
        folders |= {name: CAMERAS[name](gray.astype(np.uint16)) for name in names}
        for name, pixels in folders.items():
            (tmp_path / name).mkdir(exist_ok=True)
            cv2.imwrite(str(tmp_path / name / f'{number}.png'), pixels)
    usual = mean_iou(open_frames(tmp_path / '8 bits'), truth)
    assert usual > 0.75
    for name in names:
        source = open_frames(tmp_path / name)
        assert mean_iou(source, truth) > usual - 0.08, name
        first, second = next(iter(source)), next(iter(source))
        np.testing.assert_array_equal(first, second)  # every run begins anew


def test_the_command_says_what_range_was_found(tmp_path, capsys):
    for number, gray in enumerate(moving_block(3)[0]):
        pixels = CAMERAS['thermal'](gray.astype(np.uint16))
        cv2.imwrite(str(tmp_path / f'{number}.png'), pixels)
    command = ['track', str(tmp_path), '--tracker', 'tadt', '--box', '60,70,44,36']
    assert main(command) == 0
    told = capsys.readouterr().err
    assert told.count('16-bit images: values from 29') == 1
    assert '--bit-depth' in told
    assert main([*command, '--bit-depth', '16']) == 0
    assert '16-bit' not in capsys.readouterr().err
    for wrong in ('7', '17', 'twelve', '-1'):
        with pytest.raises(SystemExit):
            main([*command, f'--bit-depth={wrong}'])
        assert f'{wrong!r} is neither auto nor 8 to 16' in capsys.readouterr().err


def test_a_single_file_has_its_own_range(tmp_path):
    colour = np.dstack([SOFT * 4, SOFT * 3, SOFT * 2])
    cv2.imwrite(str(tmp_path / 'a.png'), colour)
    image = read_image(tmp_path / 'a.png')
    assert image.max() > 200
    assert (image[..., 2].astype(int) >= image[..., 0]).all()  # RGB order
    cv2.imwrite(str(tmp_path / 'depth.tiff'), colour.astype(np.float32))
    with pytest.raises(ImageError, match=r'depth\.tiff holds float32 values'):
        read_image(tmp_path / 'depth.tiff')

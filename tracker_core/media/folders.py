# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Image files and folders of them: which files count, their order, and how one is read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
import os
from pathlib import Path
import re

import cv2
import numpy as np

from tracker_core.errors import ImageError
from tracker_core.media.gray import GrayRange

IMAGE_SUFFIXES = {'.bmp', '.jpeg', '.jpg', '.pgm', '.png', '.ppm', '.tif', '.tiff', '.webp'}
HEADERS_CHECKED = 10_000  # images of a folder that are looked into before the first is used
NUMBER = re.compile(r'(\d(?:\.\d+)?e-\d\d(?!\d)|\d+(?:\.\d+)*)')


def read_image(path: str | Path, gray: GrayRange | None = None) -> np.ndarray:
    """An image file as (H, W, 3) uint8 RGB, turned upright as its EXIF orientation says.

    Args:
        path: The file.
        gray: The range of the images that it is one of, if they have 16 bits; None: its own.

    Raises:
        ImageError: The file is missing or is not an image that OpenCV reads.
    """
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH
    image = cv2.imread(str(path), flags) if is_utf8(path) else None
    if image is None:
        state = (
            'is not an image that OpenCV can read' if Path(path).is_file() else 'does not exist'
        )
        raise ImageError(f'{path} {state}')
    if image.dtype == np.uint16:
        image = (gray or GrayRange()).at()(image)
    if image.dtype != np.uint8:
        raise ImageError(f'{path} holds {image.dtype} values; images of 8 or 16 bits are read')
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def is_utf8(path: str | Path) -> bool:
    """Whether a name can be given to OpenCV, which crashes on others."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def is_image_name(name: str) -> bool:
    """Whether a file of this name counts as an image; a hidden one, as macOS leaves, does not."""
    return not name.startswith('.') and os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES


def list_images(folder: str | Path) -> list[Path]:
    """The images of a folder, without hidden files and sub-folders, in the order of `in_order`."""
    with os.scandir(folder) as entries:
        names = [each.name for each in entries if is_image_name(each.name) and not each.is_dir()]
    return [Path(folder) / name for name in in_order(names)]


def in_order(names: Iterable[str]) -> list[str]:
    """File names in the order of the numbers in them.

    Names are compared piece by piece, text (of any case) with text and numbers with numbers, the
    suffix left aside: 2.jpg comes before 10.jpg and cam1_30.jpg before cam2_4.jpg. Digits, a point
    and digits are a number with decimals, as in names made of seconds (0.0, 0.05, 0.1), and so is
    what Python writes for small ones (5e-05). They are two whole numbers (1.9, 1.10) where

    * the digits after the point differ in number and one of them ends in a zero, which nobody
      writes after decimals of no fixed number; or
    * they are the nine and sometimes fewer of nanoseconds without leading zeros, after the seconds
      since 1970 (1700000000.99999999, 1700000000.123456789).

    This is decided for all names together. Digits with several points between them (1.2.10,
    dates) are whole numbers. A minus is text.
    """
    names = list(names)
    pieces = [NUMBER.split(os.path.splitext(name)[0].casefold()) for name in names]
    decimals: dict[int, list[list[str]]] = {}  # by the number's place in the name
    keys = []
    for parts in pieces:
        key: list[str | list[str] | list[int]] = list(parts)
        for place in range(1, len(parts), 2):
            number = parts[place]
            digits = (f'{Decimal(number):f}' if 'e' in number else number).split('.')
            key[place] = digits
            if len(digits) == 2:
                decimals.setdefault(place, []).append(digits)
        keys.append(key)
    for numbers in decimals.values():
        if not _are_counters(numbers):
            longest = max(len(after) for _, after in numbers)
            for digits in numbers:
                digits[1] = digits[1].ljust(longest, '0')
    for key in keys:
        key[1::2] = [[int(digit) for digit in digits] for digits in key[1::2]]
    return [name for _, name in sorted(zip(keys, names, strict=True))]


def _are_counters(numbers: list[list[str]]) -> bool:
    """Whether the digits before and after a point are two whole numbers: see `in_order`."""
    lengths = {len(after) for _, after in numbers}
    return len(lengths) > 1 and (
        any(len(after) > 1 and after.endswith('0') for _, after in numbers)
        or (max(lengths) == 9 and all(len(before) >= 10 for before, _ in numbers))
    )


def check_images(files: Sequence[Path]) -> None:
    """Look into the first `HEADERS_CHECKED` files, without decoding them.

    Raises:
        ImageError: Some are empty, or begin as no image that OpenCV reads does.
    """
    bad = [path for path in files[:HEADERS_CHECKED] if not _begins_as_image(path)]
    if bad:
        raise ImageError(
            f'{len(bad)} of {len(files)} images in {files[0].parent} are none that OpenCV can '
            f'read (empty, another format, a name not in UTF-8?): {some_names(bad)}; remove or '
            'replace them'
        )


def _begins_as_image(path: Path) -> bool:
    return path.is_file() and is_utf8(path) and cv2.haveImageReader(str(path))


def some_names(paths: Sequence[Path | str], most: int = 5) -> str:
    """The names of files, or what else is said of frames, the first few, for a sentence."""
    rest = f' and {len(paths) - most} more' if len(paths) > most else ''
    names = (path.name if isinstance(path, Path) else path for path in paths[:most])
    return ', '.join(names) + rest

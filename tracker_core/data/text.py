# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Numbers in text files: the one reader of ground truth that stands in lines."""

from __future__ import annotations

from collections.abc import Iterator
import csv
from pathlib import Path
import re

import numpy as np

from tracker_core.data.arrays import Floats
from tracker_core.data.sequences import DatasetError, Flags

BETWEEN = re.compile(r'[,\s]+')


def read_lines(path: Path) -> list[str]:
    """The lines of a file, without what follows the last one that is not blank.

    Raises:
        DatasetError: There is no such file, or nothing in it.
    """
    if not path.is_file():
        raise DatasetError(f'file {path} does not exist')
    lines = path.read_text(encoding='utf-8-sig', errors='replace').rstrip().splitlines()
    if not lines:
        raise DatasetError(f'{path} is empty')
    return lines


def words_of(line: str) -> list[str]:
    """What stands between commas, tabs and spaces."""
    return [word for word in BETWEEN.split(line.strip()) if word]


def read_boxes(path: Path, offset: float = 0.0) -> Floats:
    """A file with a line x, y, w, h per frame, as (N, 4); NaN is a number.

    Args:
        path: The file; commas, tabs or spaces between the numbers.
        offset: What the file says of the image's top-left corner; 1 where pixels are counted
            from one. It is subtracted from x and y.

    Raises:
        DatasetError: A line does not hold four numbers, or there are no lines.
    """
    rows = []
    for number, line in enumerate(read_lines(path), start=1):
        try:
            row = [float(word) for word in words_of(line)]
        except ValueError:
            row = []
        if len(row) != 4:
            raise DatasetError(
                f'{path}, line {number}: expected four numbers x, y, w, h, found {line.strip()!r}'
            )
        rows.append(row)
    return np.array(rows) - (offset, offset, 0, 0)


def read_table(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The rows of a csv file but for blank ones, each with the number of its line.

    Raises:
        DatasetError: It is no csv.
    """
    with path.open(newline='', encoding='utf-8-sig', errors='replace') as lines:
        table = csv.reader(lines)
        try:
            for row in table:
                if row:
                    yield table.line_num, row
        except csv.Error as error:
            raise DatasetError(f'{path}, line {table.line_num}: {error}') from None


def read_values(path: Path, count: int) -> Floats:
    """One number a frame, in lines or with commas between them, as (count,).

    Raises:
        DatasetError: Something is no number, or there are not as many as `count`.
    """
    values: list[float] = []
    for number, line in enumerate(read_lines(path), start=1):
        for word in words_of(line):
            try:
                values.append(float(word))
            except ValueError:
                raise DatasetError(f'{path}, line {number}: {word!r} is not a number') from None
    if len(values) != count:
        raise DatasetError(f'{path} has {len(values)} numbers for {count} frames')
    return np.array(values)


def read_flags(path: Path, count: int) -> Flags:
    """Like `read_values`: which are not 0, (count,) bool; all False if there is no such file."""
    return read_values(path, count) != 0 if path.is_file() else np.zeros(count, bool)

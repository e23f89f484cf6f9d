# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Tables for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def format_table(header: Sequence[str], rows: Sequence[Sequence[Any] | None]) -> str:
    """Aligned columns: texts to the left, numbers to the right.

    Args:
        header: Names of the columns.
        rows: Cells; None instead of a row draws a line. Ready-made strings are best for numbers
            with decimals.
    """
    cells = [[str(cell) for cell in row] for row in rows if row is not None]
    columns = range(len(header))
    widths = [max(len(header[i]), *(len(row[i]) for row in cells), 0) for i in columns]
    is_number = [bool(cells) and all(_is_number(row[i]) for row in cells) for i in columns]

    def line(row: Sequence[str]) -> str:
        return '  '.join(
            text.rjust(width) if right else text.ljust(width)
            for text, width, right in zip(row, widths, is_number, strict=True)
        ).rstrip()

    rule = '  '.join('-' * width for width in widths)
    texts = iter(cells)
    body = [rule if row is None else line(next(texts)) for row in rows]
    return '\n'.join([line(header), rule, *body])


def _is_number(text: str) -> bool:
    try:
        float(text.rstrip('%') or '0')
    except ValueError:
        return text == '-'
    return True

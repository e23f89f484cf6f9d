# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Images in, crops out: what an image is, and how a window of it is resampled on the device.

Every crop of the five trackers is axis-aligned, so it is a set of rows and a set of columns to
sample. A tracker computes these positions from its own geometry and leaves the sampling to
`sample_grid`.
"""

from __future__ import annotations

from collections.abc import Sequence
import math
from typing import Any, Protocol

import cv2
import numpy as np
import torch
from torch import Tensor

from tracker_core.errors import ImageError

SMALLEST_SIDE = 16  # pixels; below this no tracker has anything to see
MARGIN = 3  # pixels around a window that its samples and their rounding may need

Corners = tuple[float, float, float, float]  # x1, y1, x2, y2 in pixels


def as_frame(image: Any, device: torch.device | str | None = None) -> Tensor:
    """Check an image and bring it to the device.

    Args:
        image: (H, W, 3) uint8 RGB, a NumPy array or a torch tensor on any device; both sides at
            least 16 pixels.
        device: Where the frame is wanted; None leaves it where it is.

    Returns:
        (H, W, 3) uint8 tensor; it shares the memory of `image` where that is possible.

    Raises:
        ImageError: Anything else. Gray, RGBA and float images are refused rather than guessed at:
            convert them with `cv2.cvtColor` or `.astype('uint8')`.
    """
    if isinstance(image, np.ndarray):
        dtype, shape = image.dtype, image.shape
        is_uint8 = dtype == np.uint8
    elif isinstance(image, Tensor):
        dtype, shape = image.dtype, tuple(image.shape)
        is_uint8 = dtype == torch.uint8
    else:
        raise ImageError(
            f'an image must be a NumPy array or a torch tensor, not {type(image).__name__}'
        )
    if len(shape) != 3 or shape[2] != 3:
        cure = ''
        if len(shape) == 2 or (len(shape) == 3 and shape[2] == 1):
            cure = '; this looks like a gray image: cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)'
        elif len(shape) == 3 and shape[2] == 4:
            cure = '; this looks like an RGBA image: cv2.cvtColor(image, cv2.COLOR_RGBA2RGB)'
        elif len(shape) == 3 and shape[0] == 3:
            cure = '; channels come last: image.transpose(1, 2, 0)'
        raise ImageError(
            f'an image must have the shape (height, width, 3) in RGB order, not {tuple(shape)}'
            f'{cure}'
        )
    if not is_uint8:
        raise ImageError(f'an image must be uint8 with values 0 to 255, not {dtype}')
    if min(shape[:2]) < SMALLEST_SIDE:
        raise ImageError(
            f'an image of {shape[1]} x {shape[0]} pixels is too small: each side must be at least '
            f'{SMALLEST_SIDE}'
        )
    if isinstance(image, np.ndarray):
        if not image.flags.c_contiguous or not image.flags.writeable:
            image = image.copy()  # torch has neither negative strides nor read-only tensors
        tensor = torch.from_numpy(image)
    else:
        tensor = image
    return tensor if device is None else tensor.to(device, non_blocking=True)


def covering(windows: Sequence[Corners], image_size: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns of an image that bilinear samples inside windows need, of which those
    outside the image see its border."""
    part = []
    for axis in (1, 0):
        low, high = (min(w[axis] for w in windows), max(w[2 + axis] for w in windows))
        size = image_size[axis]
        if not math.isfinite(high - low):
            return slice(0, image_size[1]), slice(0, image_size[0])
        first = min(max(math.floor(low) - MARGIN, 0), size - 1)
        part.append(slice(first, max(min(math.ceil(high) + MARGIN, size), first + 1)))
    return part[0], part[1]


def square_corners(cx: float, cy: float, side: float) -> Corners:
    """Those of a square window around a centre."""
    half = side / 2
    return cx - half, cy - half, cx + half, cy + half


def sample_grid(
    frame: Tensor,
    ys: Tensor,
    xs: Tensor,
    fill: Tensor | None = None,
    lattice: Tensor | None = None,
) -> Tensor:
    """Sample axis-aligned windows bilinearly: a static-shape tensor program of few operations, one
    bilinear sample per output pixel.

    Args:
        frame: (H, W, 3) uint8 or float.
        ys: (N, h) float row positions in index coordinates (0 is the centre of the first row).
        xs: (N, w) float column positions.
        fill: (3,) or (N, 3) colour outside the frame, blended at the frame's edge like a
            neighbouring pixel; without it the frame's border pixels are repeated.
        lattice: (N, 3) whole numbers in the type of the positions, the first row and column and
            the step: only these pixels of the frame are seen, and positions count them.

    Returns:
        (N, 3, h, w) float32.
    """
    height, width = frame.shape[:2]
    pair = torch.arange(2, device=frame.device, dtype=ys.dtype)

    def neighbours(positions: Tensor, size: int, axis: int) -> tuple[Tensor, Tensor, Tensor]:
        """Of positions (N, m): the share of the second pixel of two (N, m), their indices
        (N, m, 2), and these moved onto the frame. Importers do not clip whole numbers."""
        low = positions.floor()
        share = (positions - low).to(torch.float32)
        wanted = low[:, :, None] + pair
        if lattice is None:
            return share, wanted, wanted.clamp(0, size - 1)
        first, step = lattice[:, axis, None, None], lattice[:, 2, None, None]
        last = torch.div(size - 1 - first, step, rounding_mode='floor')
        kept = torch.minimum(wanted.clamp(min=0), last)
        return share, wanted, (first + step * kept).clamp(0, size - 1)

    wy, wanted_rows, rows = neighbours(ys, height, 0)
    wx, wanted_columns, columns = neighbours(xs, width, 1)
    index = (rows.long() * width)[:, :, :, None, None] + columns.long()[:, None, None]
    # (N, h, 2, w, 2)
    pixels = frame.reshape(height * width, 3)
    colours = pixels.index_select(0, index.flatten()).to(torch.float32).view(*index.shape, 3)
    if fill is not None:
        inside = (wanted_rows == rows)[:, :, :, None, None] & (wanted_columns == columns)[
            :, None, None
        ]
        colours = torch.where(inside[..., None], colours, fill.to(colours).view(-1, *[1] * 4, 3))
    colours = lerp_pairs(colours, 4, wx[:, None, None, :, None])  # (N, h, 2, w, 3)
    colours = lerp_pairs(colours, 2, wy[:, :, None, None])  # (N, h, w, 3)
    return colours.permute(0, 3, 1, 2)


def lerp_pairs(values: Tensor, axis: int, share: Tensor) -> Tensor:
    """Between the two values that lie along an axis, which goes: the first where `share` is 0."""
    first, second = values.unbind(axis)
    return torch.lerp(first, second, share)


class Cut(Protocol):
    """Cuts square windows out of a frame."""

    def __call__(
        self, frame: Tensor, windows: Tensor, size: int, fills: Tensor | None = None
    ) -> Tensor:
        """Resample windows bilinearly.

        Args:
            frame: (H, W, 3) uint8.
            windows: (N, 3) float centre (x, y) in continuous coordinates and side, pixels.
            size: Side of the crops.
            fills: (N, 3) colour outside the frame; without it the border pixels are repeated.

        Returns:
            (N, 3, size, size) float32, 0 to 255.
        """
        ...


def cut_windows(frame: Tensor, windows: Tensor, size: int, fills: Tensor | None = None) -> Tensor:
    """`Cut` as a static-shape tensor program, for any device and for exporters."""
    both = window_positions(windows[:, :2], windows[:, 2:], size).float()  # (N, 2, size)
    return sample_grid(frame, both[:, 1], both[:, 0], fills)


def cut_windows_by_opencv(
    frame: Tensor, windows: Tensor, size: int, fills: Tensor | None = None
) -> Tensor:
    """`Cut` by one call of OpenCV for each window, whose crops are rounded to whole numbers; while
    a step is traced, and for frames elsewhere than on the host, it is `cut_windows`."""
    if torch.compiler.is_compiling() or frame.device.type != 'cpu':
        return cut_windows(frame, windows, size, fills)
    image = frame.numpy()
    colours = None if fills is None else fills.tolist()
    crops = []
    for number, (cx, cy, side) in enumerate(windows.tolist()):
        step = side / size
        first = (step - side - 1) / 2  # of the first sample, from the centre
        matrix = np.array([[step, 0.0, cx + first], [0.0, step, cy + first]])
        border = cv2.BORDER_REPLICATE if colours is None else cv2.BORDER_CONSTANT
        crops.append(
            cv2.warpAffine(
                image,
                matrix,
                (size, size),
                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                borderMode=border,
                borderValue=(0, 0, 0) if colours is None else colours[number],
            )
        )
    cut = crops[0][None] if len(crops) == 1 else np.stack(crops)
    return torch.from_numpy(cut).permute(0, 3, 1, 2).float()


def window_positions(centers: Tensor, sides: Tensor, size: int) -> Tensor:
    """Sampling positions of windows along one axis, pixel areas aligned (half-pixel centres).

    Args:
        centers: (...) window centres in continuous coordinates.
        sides: (...) window sides in pixels, or one for several centres.
        size: Number of samples.

    Returns:
        (..., size) positions in index coordinates, ready for `sample_grid`.
    """
    steps = (torch.arange(size, device=centers.device, dtype=centers.dtype) + 0.5) / size - 0.5
    return torch.addcmul((centers - 0.5)[..., None], sides[..., None], steps)

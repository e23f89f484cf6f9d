# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Surfaces, outlines and flat things that rendered scenes are made of."""

from __future__ import annotations

from collections.abc import Sequence
import colorsys
from dataclasses import dataclass
import math

import cv2
import numpy as np

TEXELS = 256  # side of the square patch on which a thing is painted
REACH = 1.06  # half of that side in the thing's own units; outlines lie within [-1, 1]
EARTHY = (0.03, 0.42)  # hues from red soil to wet grass


@dataclass(frozen=True)
class Thing:
    """Something flat to be drawn anywhere: its outline and its paint."""

    outline: np.ndarray  # (K, 2) corners in the thing's own units
    patch: np.ndarray  # (TEXELS, TEXELS, 4) float32: RGB in [0, 255] times alpha, alpha in [0, 1]

    @property
    def area(self) -> float:
        """Area within the outline, in square units."""
        x, y = self.outline.T
        return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))) / 2


def noise(
    rng: np.random.Generator, width: int, height: int, cells: float = 4, octaves: int = 6
) -> np.ndarray:
    """Multi-octave noise, (height, width) float32 in [0, 1]; `cells` coarse cells on a side."""
    total = np.zeros((height, width), np.float32)
    for octave in range(octaves):
        step = min(width, height) / (cells * 2**octave)
        if step < 1:
            break
        grid = rng.standard_normal(
            (math.ceil(height / step) + 3, math.ceil(width / step) + 3), np.float32
        )
        fine = cv2.resize(grid, None, fx=step, fy=step, interpolation=cv2.INTER_CUBIC)
        total += fine[:height, :width] * 0.55**octave
    total -= total.mean()
    return np.clip(0.5 + total / (5 * total.std() + 1e-6), 0, 1)


def outline(rng: np.random.Generator) -> np.ndarray:
    """A rounded box, ellipse, polygon or blob that fills [-1, 1] x [-1, 1], (K, 2) corners."""
    angle = np.linspace(0, 2 * math.pi, 180, endpoint=False)
    kind = rng.choice(['rounded', 'ellipse', 'polygon', 'blob'], p=[0.4, 0.2, 0.2, 0.2])
    if kind == 'polygon':
        angle = (
            np.sort(np.arange(n := int(rng.integers(5, 9))) + rng.uniform(-0.25, 0.25, n))
            * 2
            * math.pi
            / n
        )
    power = rng.uniform(0.2, 0.5) if kind == 'rounded' else 1.0  # a superellipse
    radius = np.ones_like(angle)
    if kind == 'blob':
        radius += sum(
            rng.uniform(0, 0.3 / k) * np.sin(k * angle + rng.uniform(0, 6.3)) for k in range(2, 6)
        )
    points = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    points = np.sign(points) * np.abs(points) ** power
    low, high = points.min(0), points.max(0)
    return (points - (low + high) / 2) * 2 / (high - low)


def colour(
    rng: np.random.Generator,
    saturation: tuple[float, float],
    value: tuple[float, float],
    hue: tuple[float, float] = (0, 1),
) -> np.ndarray:
    """A random colour, (3,) float32 RGB in [0, 255]."""
    rgb = colorsys.hsv_to_rgb(rng.uniform(*hue), rng.uniform(*saturation), rng.uniform(*value))
    return np.array(rgb, np.float32) * 255


def pattern(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """Stripes, checks, dots, rings or spots, (height, width) float32 in [0, 1] with soft edges."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    x, y = (x - width / 2) / min(width, height) * 2, (y - height / 2) / min(width, height) * 2
    turn, pitch = rng.uniform(0, math.pi), rng.uniform(4, 12)
    u, v = x * math.cos(turn) + y * math.sin(turn), y * math.cos(turn) - x * math.sin(turn)
    kind = rng.choice(['stripes', 'checks', 'dots', 'rings', 'spots'])
    if kind == 'stripes':
        wave = np.sin(pitch * u)
    elif kind == 'checks':
        wave = np.sin(pitch * u) * np.sin(pitch * v) * 2
    elif kind == 'dots':
        wave = np.cos(pitch * u) + np.cos(pitch * v) - 0.6
    elif kind == 'rings':
        wave = np.sin(pitch * np.hypot(u - rng.uniform(-0.5, 0.5), v - rng.uniform(-0.5, 0.5)))
    else:
        wave = (noise(rng, width, height, cells=pitch / 2, octaves=2) - 0.5) * 6
    return np.clip(0.5 + 4 * wave, 0, 1)


def blend(first: np.ndarray, second: np.ndarray, share: np.ndarray) -> np.ndarray:
    return first + (second - first) * share[..., None]


def photo_crop(
    rng: np.random.Generator, photos: Sequence[np.ndarray], width: int, height: int
) -> np.ndarray:
    """A random part of a random photo, (height, width, 3) float32."""
    photo = photos[int(rng.integers(len(photos)))]
    zoom = min(photo.shape[1] / width, photo.shape[0] / height) * rng.uniform(0.5, 1.0)
    w, h = max(int(width * zoom), 1), max(int(height * zoom), 1)
    x, y = rng.integers(photo.shape[1] - w + 1), rng.integers(photo.shape[0] - h + 1)
    return cv2.resize(
        photo[y : y + h, x : x + w], (width, height), interpolation=cv2.INTER_AREA
    ).astype(np.float32)


def paint(rng: np.random.Generator, shape: np.ndarray, photos: Sequence[np.ndarray] = ()) -> Thing:
    """A thing of the given outline, with pattern, markings, grain, a lit side and a darker rim."""
    alpha = _fill(shape)
    if photos:
        rgb = photo_crop(rng, photos, TEXELS, TEXELS)
    else:
        base, second, mark = (colour(rng, (0.2, 0.95), (0.25, 1.0)) for _ in range(3))
        rgb = blend(
            base,
            second,
            pattern(rng, TEXELS, TEXELS) * (rng.uniform() < 0.7) * rng.uniform(0.4, 1),
        )
        for _ in range(rng.integers(1, 5)):  # markings: what tells this thing's sides apart
            size, place = rng.uniform(0.15, 0.45, 2), rng.uniform(-0.6, 0.6, 2)
            rgb = blend(
                rgb,
                mark if rng.uniform() < 0.6 else 255 - base,
                _fill(outline(rng) * size + place),
            )
        if rng.uniform() < 0.5:
            glyph = np.zeros((TEXELS, TEXELS), np.uint8)
            text = ''.join(chr(c) for c in rng.choice(np.r_[48:58, 65:91], 2))
            cv2.putText(
                glyph,
                text,
                (28, 180),
                cv2.FONT_HERSHEY_DUPLEX,
                4.6,
                255,
                int(rng.integers(12, 24)),
                cv2.LINE_AA,
            )
            rgb = blend(rgb, 255 - second, glyph.astype(np.float32) / 255)
        rgb = rgb * (0.7 + 0.6 * noise(rng, TEXELS, TEXELS, cells=5))[..., None]
        depth = cv2.distanceTransform((alpha > 0.5).astype(np.uint8), cv2.DIST_L2, 3) / TEXELS
        slope = np.linspace(-1, 1, TEXELS, dtype=np.float32)
        rgb *= (1.0 - 0.18 * (slope + slope[:, None]))[..., None]  # lit from the upper left
        rgb *= (0.55 + 0.45 * np.clip(depth / 0.035, 0, 1))[..., None]  # rim
    return Thing(
        shape, np.dstack([np.clip(rgb, 0, 255) * alpha[..., None], alpha]).astype(np.float32)
    )


def twin(rng: np.random.Generator, thing: Thing) -> Thing:
    """A look-alike: the same outline and paint under a slightly different tint."""
    patch = thing.patch.copy()
    patch[..., :3] = np.minimum(
        patch[..., :3] * rng.uniform(0.7, 1.2, 3).astype(np.float32), 255 * patch[..., 3:]
    )
    return Thing(thing.outline, patch)


def shadow(thing: Thing) -> Thing:
    """What a thing takes from the light beneath it."""
    patch = np.zeros_like(thing.patch)
    patch[..., 3] = 0.5 * cv2.GaussianBlur(thing.patch[..., 3], (0, 0), TEXELS / 40)
    return Thing(thing.outline, patch)


def post(rng: np.random.Generator, photos: Sequence[np.ndarray] = ()) -> Thing:
    """An upright thing for the foreground, round like a trunk or a pole."""
    shape = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], float)
    alpha = _fill(shape)
    if photos:
        rgb = photo_crop(rng, photos, TEXELS, TEXELS)
    else:
        bark = cv2.resize(
            noise(rng, TEXELS, 32, cells=3), (TEXELS, TEXELS), interpolation=cv2.INTER_CUBIC
        )
        rgb = colour(rng, (0.1, 0.5), (0.35, 0.8)) * (0.5 + bark)[..., None]
    bend = np.sqrt(np.clip(1 - (np.linspace(-1.1, 0.9, TEXELS, dtype=np.float32)) ** 2, 0.05, 1))
    return Thing(
        shape,
        np.dstack([np.clip(rgb * bend[:, None], 0, 255) * alpha[..., None], alpha]).astype(
            np.float32
        ),
    )


def ground(
    rng: np.random.Generator, width: int, height: int, photos: Sequence[np.ndarray] = ()
) -> np.ndarray:
    """What lies beneath, strewn with pebbles and leaves, (height, width, 3) uint8."""
    if photos:
        return photo_crop(rng, photos, width, height).astype(np.uint8)
    first, second, third = (colour(rng, (0.05, 0.5), (0.35, 0.88), EARTHY) for _ in range(3))
    rgb = blend(first, second, noise(rng, width, height, cells=14))
    if rng.uniform() < 0.5:
        rgb = blend(rgb, third, 0.35 * pattern(rng, width, height))
    patches = np.clip(0.5 + 14 * (noise(rng, width, height, cells=2.5) - 0.58), 0, 1)
    rgb = blend(rgb, third * (0.6 + 0.8 * noise(rng, width, height, cells=40))[..., None], patches)
    canvas = np.clip(
        rgb * (0.65 + 0.7 * noise(rng, width, height, cells=9))[..., None], 0, 255
    ).astype(np.uint8)
    unit = min(width, height)
    for _ in range(rng.integers(60, 220)):
        centre = (rng.uniform(size=2) * (width, height)).astype(int)
        axes = np.maximum(unit * rng.uniform(0.004, 0.03) * rng.uniform(0.4, 1, 2), 1).astype(int)
        soil = canvas[centre[1], centre[0]]
        tone = 0.6 * colour(rng, (0.05, 0.6), (0.3, 1.0), EARTHY) + 0.4 * soil
        turn = rng.uniform(0, 180)
        lower = centre + np.maximum(axes // 3, 1)
        cv2.ellipse(
            canvas,
            lower.tolist(),
            axes.tolist(),
            turn,
            0,
            360,
            (tone * 0.35).tolist(),
            -1,
            cv2.LINE_AA,
        )
        cv2.ellipse(
            canvas, centre.tolist(), axes.tolist(), turn, 0, 360, tone.tolist(), -1, cv2.LINE_AA
        )
    return canvas


def _fill(shape: np.ndarray) -> np.ndarray:
    """Coverage of an outline on the patch, (TEXELS, TEXELS) float32 in [0, 1]."""
    side = 4 * TEXELS
    mask = np.zeros((side, side), np.uint8)
    corners = (shape / REACH + 1) / 2 * side - 0.5
    cv2.fillPoly(mask, [np.rint(corners * 16).astype(np.int32)], 255, cv2.LINE_8, shift=4)
    return (
        cv2.resize(mask, (TEXELS, TEXELS), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    )

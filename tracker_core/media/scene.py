# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Rendered video with exact ground truth and with all that makes tracking hard.

A textured object moves, turns, grows and shrinks over a textured ground that a moving camera sees.
It is hidden in part by something in the foreground, look-alikes pass near it, and the light
changes. All of it follows from the scene's name, its seed and its length; a frame is drawn when it
is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import Enum
from functools import cached_property, partial
import math

import cv2
import numpy as np

from tracker_core.errors import ParameterError
from tracker_core.media import textures
from tracker_core.media.drawing import (
    at_pixel_centres,
    bound_of,
    draw,
    Pose,
    smooth,
    touched,
    warp,
)
from tracker_core.media.scripts import LONG_SCENES, SCENES, Script, SPACE_SCENES
from tracker_core.media.textures import Thing

SCREEN = 1.6  # how many times larger than the object is what is held in front of it
SCREEN_RAMP = 12  # frames in which it comes and goes


class Layer(Enum):
    """What something in a scene is to the object."""

    BEHIND = 'behind'
    SHADOW = 'shadow'
    OBJECT = 'object'
    BEFORE = 'before'


class Scene(Sequence[np.ndarray]):
    """A rendered video; `scene[i]` draws frame i, H x W x 3 uint8 RGB.

    Attributes:
        name: The scene's name.
        size: Width and height in pixels.
        fps: Frames per second it is meant to be played at.
        boxes: The exact bound of the whole object in every frame; hidden parts and parts outside
            the image count.
    """

    fps = 30.0

    def __init__(
        self,
        name: str,
        script: Script,
        frames: int,
        size: tuple[int, int],
        seed: int,
        photos: Sequence[np.ndarray],
    ) -> None:
        self.name, self.size, self.seed = name, size, seed
        self._script, self._frames = script, frames
        rng = np.random.default_rng([seed, *name.encode()])
        width, height = size
        self._canvas = textures.ground(rng, width * 3 // 2, height * 3 // 2, photos)
        self._object = textures.paint(rng, textures.outline(rng), photos)
        self._shadow = textures.shadow(self._object)
        self._twin = textures.twin(rng, self._object)
        self._post = textures.post(rng, photos)
        self._side = min(size) * rng.uniform(0.08, 0.13)  # half the object's mean side, in pixels
        stretch = math.exp(rng.uniform(-0.35, 0.35))
        self._half = self._side * np.array([stretch, 1 / stretch])
        self._phases = rng.uniform(0, 2 * math.pi, (8, 2))
        self._courses = rng.uniform(0, 2 * math.pi, 8)
        self._blur = rng.uniform(0.3, 0.8)  # of the lens: standard deviation in pixels
        grain = rng.standard_normal((height + 64, width + 64, 3), np.float32)
        self._grain = grain * np.float32(rng.uniform(1.5, 4.0))
        self.boxes = [bound_of(self._object.outline, self._pose(i)) for i in range(frames)]

    def __len__(self) -> int:
        return self._frames

    def __getitem__(self, index: int) -> np.ndarray:  # type: ignore[override]  # no slices
        i = range(self._frames)[index]
        frame = self._ground(i)
        for thing, pose in self._layers():
            draw(frame, thing, pose, i)
        frame = cv2.GaussianBlur(frame, (0, 0), self._blur) * self._light(i)
        x, y = np.random.default_rng([self.seed, i]).integers(0, 64, 2)
        frame += self._grain[y : y + self.size[1], x : x + self.size[0]]
        return np.clip(frame, 0, 255).astype(np.uint8)

    @cached_property
    def visible(self) -> np.ndarray:
        """The share of the object's area that can be seen in every frame, (frames,) in [0, 1]."""
        return np.array([self._visible(i) for i in range(self._frames)])

    @property
    def half_size(self) -> tuple[float, float]:
        """Half the object's width and height in pixels, upright and at a zoom of one."""
        return float(self._half[0]), float(self._half[1])

    @property
    def stands(self) -> bool:
        """Whether the object stands on the ground, see `Script`."""
        return self._script.stands

    def zoom(self, t: float) -> float:
        """By how much the object is larger than usual at time t (in frames)."""
        return self._script.zoom ** self._wave(2, 260, t) * self._growth(t)

    def coverage(self, i: int) -> Iterator[tuple[Layer, tuple[slice, slice], np.ndarray]]:
        """What is drawn in frame i, from the ground up.

        Yields:
            What it is, rows and columns that it may cover, and its alpha there, (h, w) in [0, 1].
        """
        layer = Layer.BEHIND
        for thing, pose in self._layers():
            window = touched([pose(i)], self.size)
            alpha = warp(thing, pose(i), window)[..., 3]
            if thing is self._object:
                layer = Layer.OBJECT
            elif layer is Layer.OBJECT:
                layer = Layer.BEFORE
            yield Layer.SHADOW if thing is self._shadow else layer, window, alpha

    def _wave(self, which: int, period: float, t: float) -> float:
        """A smooth course in [-1, 1] with the given period in frames."""
        first, second = self._phases[which]
        slow, quick = 2 * math.pi * t / period, 5.2 * math.pi * t / period
        return 0.7 * math.sin(slow + first) + 0.3 * math.sin(quick + second)

    def _centre(self, t: float) -> np.ndarray:
        """Where the object's centre is at time t (in frames), in pixels."""
        script, (width, height) = self._script, self.size
        room = np.maximum(np.array([width, height]) / 2 - 2.1 * self._side, 0)
        way = self._wave(0, 420, t * script.speed), self._wave(1, 300, t * script.speed)
        centre = np.array([width, height]) / 2 + room * way
        if script.stands:  # its top is as high as the camera, so on the horizon
            centre[1] = height / 2 + self._half[1] * self.zoom(t)
        for absence in script.absences:
            begin, end = absence.begin * self._frames, absence.end * self._frames
            ramp = absence.ramp * self._frames
            push = smooth(1 - (begin - t) / ramp) * smooth(1 - (t - end) / ramp)
            is_left = self._wave(0, 420, begin * script.speed) < 0
            side = absence.exit_side or ('left' if is_left else 'right')
            if t > (begin + end) / 2:
                side = absence.return_side or side
            axis = 0 if side in ('left', 'right') else 1
            margin = 2.5 * self._side * max(self._growth(t), 1.0)
            beyond = -margin if side in ('left', 'top') else self.size[axis] + margin
            centre[axis] += (beyond - centre[axis]) * push
        return centre

    def _growth(self, t: float) -> float:
        """How much larger than in the beginning the object is after its returns."""
        growth = 1.0
        for absence in self._script.absences:
            if t > (absence.begin + absence.end) / 2 * self._frames:
                growth *= absence.growth
        return growth

    def _pose(self, t: float, offset: np.ndarray | None = None, turn: float = 0.0) -> np.ndarray:
        """The object's pose at time t, a (2, 3) affine map from its own units to pixels.

        With an offset (in half sides) and a turn: the pose of something that accompanies it.
        """
        script = self._script
        zoom = self.zoom(t)
        turn += script.turn * self._wave(3, 200, t * max(script.speed / 2, 1))
        lean = np.array([0.9 - 0.1 * self._wave(4, 170, t), 1.0])  # out of the image plane
        c, s = math.cos(turn), math.sin(turn)
        linear = np.array([[c, -s], [s, c]]) * (self._half * lean * zoom)
        centre = self._centre(t)
        if offset is not None:
            centre = centre + offset * self._side
        return np.column_stack([linear, centre])

    def _look_alike_pose(self, t: float, k: int) -> np.ndarray:
        when, distance = self._script.look_alikes[k]
        course = self._courses[k]
        along = np.array([math.cos(course), math.sin(course)])
        across = np.array([-along[1], along[0]])
        lead = (t - when * self._frames) / max(0.05 * self._frames, 6)
        return self._pose(t, 2 * distance * across + lead * along, turn=0.4 + 0.05 * lead)

    def _post_pose(self, t: float, k: int) -> np.ndarray:
        meeting = self._script.occlusions[k] * self._frames
        before, after = self._centre(meeting - 1)[0], self._centre(meeting + 1)[0]
        speed = math.copysign(4 * self._side / max(0.12 * self._frames, 8), before - after)
        x = self._centre(meeting)[0] + speed * (t - meeting)  # it comes towards the object
        width = 0.5 * bound_of(self._object.outline, self._pose(meeting)).w / 2
        height = 0.6 * self.size[1]
        return np.array([[width, 0.06 * height, x], [0, height, height / 1.2]])

    def _screen_pose(self, t: float, k: int) -> np.ndarray:
        """Of something that comes from the side, stays in front of the object, and goes."""
        begin, end = (share * self._frames for share in self._script.screens[k])
        bound = bound_of(self._object.outline, self._pose(t))
        gone = max(smooth((begin - t) / SCREEN_RAMP), smooth((t - end) / SCREEN_RAMP))
        width, height = SCREEN * bound.w / 2, SCREEN * bound.h / 2
        away = gone * (self.size[0] + 2 * width)
        side = -1 if k % 2 else 1
        return np.array([[width, 0, bound.cx + side * away], [0, height, bound.cy]])

    def _passer_pose(self, t: float, k: int) -> np.ndarray:
        """Of a look-alike that crosses the image."""
        begin, end = (share * self._frames for share in self._script.passers[k])
        share = (t - begin) / (end - begin)
        pose = self._pose(t, turn=0.3)
        width, height = self.size
        margin = 2.5 * self._side * max(self._growth(t), 1.0)
        x = -margin + share * (width + 2 * margin)
        y = height * (0.5 + 0.3 * math.sin(self._courses[k % len(self._courses)]))
        return np.column_stack([pose[:, :2], (x if k % 2 else width - x, y)])

    def _layers(self) -> Iterator[tuple[Thing, Pose]]:
        """What is to be drawn, from the ground up: things and their poses over time."""
        look_alikes = [
            (self._twin, partial(self._look_alike_pose, k=k))
            for k in range(len(self._script.look_alikes))
        ]
        yield from look_alikes[::2]  # every other one passes in front
        yield self._shadow, partial(self._pose, offset=np.array([0.15, 0.25]))
        yield self._object, self._pose
        yield from look_alikes[1::2]
        for k in range(len(self._script.passers)):
            yield self._twin, partial(self._passer_pose, k=k)
        for k in range(len(self._script.occlusions)):
            yield self._post, partial(self._post_pose, k=k)
        for k in range(len(self._script.screens)):
            yield self._post, partial(self._screen_pose, k=k)

    def _visible(self, i: int) -> float:
        shown = np.zeros(self.size[::-1], np.float32)
        for layer, window, alpha in self.coverage(i):
            if layer is Layer.OBJECT:
                shown[window] = alpha
            else:  # what lies below the object meets zeros
                shown[window] *= 1 - alpha
        whole = self._object.area * abs(np.linalg.det(self._pose(i)[:, :2]))
        return min(float(shown.sum() / whole), 1.0)

    def _ground(self, i: int) -> np.ndarray:
        """The ground as the camera sees it, (H, W, 3) float32."""
        width, height = self.size
        zoom = 1.12 + 0.1 * self._wave(5, 380, i)
        turn = 0.06 * self._wave(6, 340, i)
        c, s = zoom * math.cos(turn), zoom * math.sin(turn)
        linear = np.array([[c, -s], [s, c]])
        room = 0.12 * np.array([width, height])
        seen = np.array(self._canvas.shape[1::-1]) / 2
        seen = seen + room * (self._wave(5, 430, i), self._wave(6, 310, i))
        camera = np.column_stack([linear, np.array([width, height]) / 2 - linear @ seen])
        frame = cv2.warpAffine(
            self._canvas, at_pixel_centres(camera), self.size, borderMode=cv2.BORDER_REFLECT
        )
        return frame.astype(np.float32)

    def _light(self, i: int) -> np.ndarray:
        """What the light does to a frame, (H, W, 3) float32: a cloud's shade, tint, the lens."""
        y, x = np.mgrid[-1:1:12j, -1:1:16j]
        course = self._courses[-1]
        front = x * math.cos(course) + y * math.sin(course) + 2.5 * self._wave(7, 260, i)
        cloud = 1 / (1 + np.exp(np.clip(-4 * front, -30, 30)))
        light = 1.1 * (1 - self._script.light * cloud) * (1 - 0.1 * (x**2 + y**2))
        tint = 1 + 0.06 * self._wave(7, 330, i) * np.array([1.0, 0.0, -1.0])
        return cv2.resize((light[..., None] * tint).astype(np.float32), self.size)


def render_scene(
    name: str = 'default',
    frames: int = 300,
    size: tuple[int, int] = (640, 480),
    seed: int = 0,
    photos: Sequence[np.ndarray] = (),
) -> Scene:
    """A rendered scene.

    Args:
        name: 'default' (everything, mildly), 'calm' (motion only), 'crossing' (look-alikes pass
            close by), 'leave' (the object leaves the image and comes back) or 'fast'; for minutes
            'exits', 'hidden' or 'confused', see `LONG_SCENES`; with a place in space 'walk' or
            'walk_hidden', see `space`.
        frames: Its length; what happens is spread over it.
        size: Width and height in pixels, at least 64.
        seed: Chooses shapes, paint, paths and light.
        photos: (H, W, 3) uint8 RGB images to cut ground and paint from, instead of made-up ones.

    Raises:
        ParameterError: No such scene, or a size or a length that cannot be.
    """
    scripts = SCENES | LONG_SCENES | SPACE_SCENES
    if name not in scripts:
        raise ParameterError(f'there is no scene {name!r}; choose one of {", ".join(scripts)}')
    if frames < 1 or min(size) < 64 or seed < 0:
        raise ParameterError(
            f'a scene needs at least 1 frame, 64 pixels and a seed from 0, not {frames} frames of '
            f'{size[0]} x {size[1]} with seed {seed}'
        )
    return Scene(name, scripts[name], frames, (int(size[0]), int(size[1])), seed, photos)

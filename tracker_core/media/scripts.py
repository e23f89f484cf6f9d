# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""What happens in rendered scenes, by name; see `scene`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Absence:
    """The object leaves the image and comes back.

    Attributes:
        begin, end: From when to when it is outside, as fractions of the scene's length.
        ramp: How long it takes to leave, and to come back, likewise.
        exit_side, return_side: 'left', 'right', 'top' or 'bottom'; '': the nearer of left and
            right, and where it left.
        growth: How many times larger it is from its return on.
    """

    begin: float
    end: float
    ramp: float = 0.12
    exit_side: str = ''
    return_side: str = ''
    growth: float = 1.0


@dataclass(frozen=True)
class Script:
    """What happens in a scene, at which times (fractions of its length).

    Attributes:
        speed: How fast the object follows its path; at 1, up to some five pixels a frame.
        turn: How far it rotates to either side, in radians.
        zoom: By which factor it grows and shrinks.
        light: How much darker it gets, as a fraction.
        occlusions: When the object passes behind something.
        look_alikes: When, and at which distance (in sizes of the object), a look-alike passes.
        absences: When the object is outside the image.
        screens: From when to when something is held in front of the object, larger than it.
        passers: From when to when a look-alike crosses the image, wherever the object is.
        stands: The object stands on the ground before a level camera: the nearer it is, the larger
            and the lower in the image.
    """

    speed: float = 1.0
    turn: float = 0.5
    zoom: float = 1.3
    light: float = 0.35
    occlusions: tuple[float, ...] = (0.45,)
    look_alikes: tuple[tuple[float, float], ...] = ((0.75, 1.3),)
    absences: tuple[Absence, ...] = ()
    screens: tuple[tuple[float, float], ...] = ()
    passers: tuple[tuple[float, float], ...] = ()
    stands: bool = False


SCENES = {
    'default': Script(),
    'calm': Script(light=0.1, occlusions=(), look_alikes=()),
    'crossing': Script(occlusions=(), look_alikes=((0.25, 1.0), (0.5, 0.4), (0.75, 0.7))),
    'leave': Script(occlusions=(), look_alikes=(), absences=(Absence(0.45, 0.65),)),
    'fast': Script(speed=5.0, turn=0.9, occlusions=(0.6,), look_alikes=((0.35, 1.6),)),
}
# for minutes: the object is out of sight several times
LONG_SCENES = {
    'exits': Script(
        occlusions=(),
        look_alikes=(),
        absences=(
            Absence(0.1, 0.17, 0.02),
            Absence(0.3, 0.44, 0.02, 'right', 'left', 0.7),
            Absence(0.55, 0.64, 0.02, 'top', 'right', 1.7),
            Absence(0.78, 0.9, 0.02, 'left', 'bottom', 0.8),
        ),
    ),
    'hidden': Script(
        occlusions=(),
        look_alikes=(),
        screens=((0.12, 0.14), (0.25, 0.31), (0.42, 0.54), (0.68, 0.88)),
    ),
    'confused': Script(
        occlusions=(),
        look_alikes=((0.08, 0.9), (0.5, 0.6)),
        absences=(
            Absence(0.2, 0.32, 0.02, 'left', 'right'),
            Absence(0.42, 0.47, 0.02),
            Absence(0.65, 0.85, 0.02, 'right', 'top', 1.3),
        ),
        passers=((0.15, 0.23), (0.23, 0.31), (0.43, 0.5), (0.68, 0.76), (0.76, 0.84), (0.9, 0.98)),
    ),
}
# for places in space, see `space`: upright, coming nearer and going away
SPACE_SCENES = {
    'walk': Script(turn=0.0, zoom=1.5, occlusions=(), look_alikes=(), stands=True),
    'walk_hidden': Script(
        turn=0.0,
        zoom=1.5,
        occlusions=(),
        look_alikes=(),
        screens=((0.3, 0.4), (0.7, 0.8)),
        stands=True,
    ),
}

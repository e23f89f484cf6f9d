# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The public API: create a tracker, start it on a box, track frame by frame.

    tracker = create_tracker('tadt')
    target = tracker.start(first_image, Box(x, y, w, h))
    for image in images:
        track = tracker.track(image, target)

A `Tracker` holds networks and parameters and no target; a `Target` holds all that belongs to one
followed object. So one tracker follows any number of targets, and `track_many` runs them through
the network in one batch.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
import enum
import importlib
import logging
import math
from typing import Any, ClassVar, Generic

import torch
from torch import Tensor

from tracker_core.boxes import Box, startable
from tracker_core.errors import BoxError, ParameterError, TrackerError, UnknownTrackerError
from tracker_core.images import as_frame, SMALLEST_SIDE
from tracker_core.parameters import Config, describe, TrackerConfig, with_parameters
from tracker_core.runtime import (
    choose_precision,
    choose_runtime,
    make_runtime,
    make_updates,
    RUNTIMES,
    Updates,
)
from tracker_core.runtime.eager import Eager, EagerUpdates
from tracker_core.weights import load_weights, Weights

TRACKERS = {
    'atom': 'tracker_core.atom.tracker:AtomTracker',
    'dat': 'tracker_core.dat.tracker:DatTracker',
    'ocean': 'tracker_core.ocean.tracker:OceanTracker',
    'spm': 'tracker_core.spm.tracker:SpmTracker',
    'tadt': 'tracker_core.tadt.tracker:TadtTracker',
}
PRECISIONS = {'float32': torch.float32, 'bfloat16': torch.bfloat16, 'float16': torch.float16}
SQUEEZED_RATIO = 3  # of the sides of a long target in squeezed images
LARGEST_BOX = 4  # sides of a box in sides of the image; beyond that it says nothing

log = logging.getLogger(__name__)


class TrackStatus(enum.IntEnum):
    """How sure a tracker is of its target."""

    TRACKING = 1
    UNCERTAIN = 2
    LOST = 3


@dataclass(frozen=True)
class Track:
    """What a tracker says of one target in one frame.

    Attributes:
        box: Where the target is; while LOST, where it was last seen for sure.
        score: Estimated probability, 0 to 1, that `box` overlaps the object by at least half. It
            means the same for all trackers.
        status: TRACKING, UNCERTAIN or LOST, with hysteresis.
        raw_score: The tracker's own measure, see its documentation.
    """

    box: Box
    score: float
    status: TrackStatus
    raw_score: float


@dataclass(frozen=True)
class Sighting:
    """What a tracker proposes for one frame; if it is accepted, `state` becomes the target's."""

    box: Box | None  # None: nothing usable was found
    raw_score: float
    state: Any
    is_verified: bool = True  # False: the box is only where the target was before


@dataclass
class Target:
    """One followed object. Made by `Tracker.start`, advanced by `Tracker.track`; its fields are
    for reading.

    Attributes:
        first_box: The box it was started with.
        box: The latest box (see `Track.box`), like `score`, `raw_score` and `status`.
        age: Frames tracked since the start.
        frames_lost: Frames since the target became LOST; 0 while it is not.
        velocity: Smoothed movement of the box centre, pixels per frame (x, y).
        model: What the tracker learnt of the target's appearance; belongs to the tracker.
        state: The tracker's own position and size; replaced as a whole on every accepted frame.
        squeeze: So many columns, and rows, of an image are averaged to one before the tracker sees
            it; more than one for a long target only, whose short side would be too small in what
            networks see. Model, state and search offset are in pixels of squeezed images.
        search_offset: Where the next search is to begin, relative to the state.
    """

    first_box: Box
    box: Box
    model: Any
    state: Any
    owner: Tracker = field(repr=False)
    score: float = 1.0
    raw_score: float = 1.0
    status: TrackStatus = TrackStatus.TRACKING
    age: int = 0
    frames_low: int = 0
    frames_lost: int = 0
    velocity: tuple[float, float] = (0.0, 0.0)
    search_offset: tuple[float, float] = (0.0, 0.0)
    squeeze: tuple[int, int] = (1, 1)


class Tracker(Generic[Config]):
    """One of the trackers with its networks on one device. Make it with `create_tracker`.

    A frame's step is a tensor program, `step`, which a runtime executes. A subclass implements
    `_start`; around the step `_numbers`, `_tensors` and `_sighting`; where it learns while
    tracking, `_learn`; and where it keeps something that is made of live parameters, `_configure`.
    """

    name: ClassVar[str]
    presets: ClassVar[Mapping[str, TrackerConfig]]
    bfloat16_presets: ClassVar[tuple[str, ...]] = ()  # where it leaves the boxes as they are

    def __init__(
        self,
        config: Config,
        preset: str,
        device: torch.device,
        precision: torch.dtype,
        weights: Weights,
    ) -> None:
        self._config = config
        self.preset = preset
        self.device = device
        self.precision = precision
        self.runner: Any = Eager(device)
        self.updates: Updates = EagerUpdates()
        self.weights = weights

    @property
    def config(self) -> Config:
        """The parameters in force; `configure` changes them."""
        return self._config

    def configure(self, config: Config) -> None:
        """Take other values of live parameters, from the next frame or the next update on.

        Targets go on with what they are and have learnt. A runtime that prepares programs makes
        one of the new values when the next frame comes.

            tracker.configure(dataclasses.replace(tracker.config, tracking_score=0.6))

        Args:
            config: All parameters; those that are not live (`describe` tells) are as they were.

        Raises:
            ParameterError: It is the config of another tracker, or differs in a parameter that
                only a new tracker takes; then nothing has changed.
        """
        if type(config) is not type(self._config):
            raise ParameterError(
                f'{self.name} takes a {type(self._config).__name__}, not a {type(config).__name__}'
            )
        fixed = [
            info.name
            for info in describe(config)
            if not info.live and getattr(config, info.name) != getattr(self._config, info.name)
        ]
        if fixed:
            raise ParameterError(
                f'{", ".join(fixed)} of {self.name} cannot change while it runs: '
                'create a new tracker'
            )
        self._config = config
        self._configure()

    def _configure(self) -> None:
        """Make anew what is made of live parameters; most trackers read them where they use
        them."""

    @property
    def runtime(self) -> str:
        """How a step is executed: one of `RUNTIMES`."""
        return self.runner.name

    @property
    def exportable(self) -> bool:
        """Whether `step` is the same program for all frames, so that it can be exported."""
        return True

    def start(self, image: Any, box: Box) -> Target:
        """Begin to follow what is inside `box`.

        Args:
            image: (H, W, 3) uint8 RGB, NumPy array or torch tensor.
            box: The object, at least partly inside the image; a reach over the border is allowed.

        Raises:
            ImageError: The image is of another kind, see `as_frame`.
            BoxError: The box does not overlap the image, is far larger than it, or is smaller than
                a pixel.
        """
        frame = as_frame(image, self.device)
        height, width = frame.shape[:2]
        if not isinstance(box, Box):
            raise BoxError(f'start needs a tracker_core.Box, not {box!r}')
        startable(box)
        if box.intersection(Box(0, 0, width, height)) <= 0:
            raise BoxError(f'the {box} lies outside the image of {width} x {height} pixels')
        if max(box.w / width, box.h / height) > LARGEST_BOX:
            raise BoxError(
                f'the {box} is more than {LARGEST_BOX} times as large as the image of {width} x '
                f'{height} pixels'
            )
        squeeze = _squeeze(box, (width, height), self.config)
        seen = _scaled(box, tuple(1 / factor for factor in squeeze))
        with torch.inference_mode():
            model, state = self._start(_squeezed(frame, squeeze), seen)
        return Target(box, box, model, state, owner=self, squeeze=squeeze)

    def track(self, image: Any, target: Target, learn: bool = True) -> Track:
        """Find the target in the next frame and advance it.

        Args:
            image: The next frame; its size may differ from the frame before.
            target: From `start` of this tracker.
            learn: Run the pending online update before returning. A node passes False, publishes,
                and calls `learn`.
        """
        return self.track_many(image, [target], learn)[0]

    def track_many(self, image: Any, targets: Sequence[Target], learn: bool = True) -> list[Track]:
        """Like `track` for several targets of one frame, with one batched forward pass."""
        frame = as_frame(image)
        for target in targets:
            if target.owner is not self:
                raise TrackerError('a target can only be tracked by the tracker that started it')
        if not targets:
            return []
        with torch.inference_mode():
            sightings = self._locate_squeezed(frame, targets)
        size = (frame.shape[1], frame.shape[0])
        tracks = [
            self._judge(target, sighting, size)
            for target, sighting in zip(targets, sightings, strict=True)
        ]
        if learn:
            for target in targets:
                self.learn(target)
        return tracks

    def learn(self, target: Target) -> None:
        """Run the online update that the last frame left pending, if any; a second call does
        nothing. On CUDA it returns while the device learns; the next step waits for it there."""
        with torch.inference_mode():
            self._learn(target)

    def lose(self, target: Target) -> None:
        """Declare a target lost, because the caller knows that it is not where it was.

        It is searched, and found again, like one that was lost on its own.
        """
        target.status = TrackStatus.LOST
        target.frames_low = max(target.frames_low, self.config.lost_after)
        target.velocity = (0.0, 0.0)

    def _start(self, frame: Tensor, box: Box) -> tuple[Any, Any]:
        """Return the target's model and its first state."""
        raise NotImplementedError

    def step(
        self, shape: Hashable, frame: Tensor, numbers: Tensor, *model: Tensor
    ) -> tuple[Tensor, ...]:
        """Search N targets in a frame: a tensor program of static shapes, all on one device.

        It reads nothing back, moves nothing between devices and makes no tensor from numbers of
        the host, so that it can run eagerly, as a captured CUDA graph, or exported.

        Args:
            shape: From `_shape`: what decides on the program's shapes.
            frame: (H, W, 3) uint8 RGB.
            numbers: (N, M) from `_numbers`, float64; float32 in exported programs, whose geometry
                is float32 then.
            *model: From `_tensors`, of N targets one behind the other.

        Returns:
            (N, R) float, what is read back of the frame, and tensors that stay on the device.
        """
        raise NotImplementedError

    def _shape(self, target: Target, image_size: tuple[int, int]) -> Hashable:
        """What `step` needs to know of a target before it runs. Targets with the same share a
        step."""
        return ()

    def _numbers(self, target: Target, image_size: tuple[int, int]) -> Tensor:
        """Where to search, shifted by the target's `search_offset`: (M,) float64 on the host."""
        raise NotImplementedError

    def _tensors(self, target: Target) -> tuple[Tensor, ...]:
        """What `step` needs of a target's model, (1, ...) each. A tensor is never changed in
        place after it was returned here: another value is another tensor."""
        raise NotImplementedError

    def _sighting(
        self,
        target: Target,
        row: list[float],
        kept: tuple[Tensor, ...],
        index: int,
        image_size: tuple[int, int],
    ) -> Sighting:
        """What a row of the step's result means for the target, which is number `index` in the
        tensors that stayed on the device."""
        raise NotImplementedError

    def _locate_squeezed(self, frame: Tensor, targets: Sequence[Target]) -> list[Sighting]:
        """`_locate`, each target in the images that it was started in; boxes are of the frame."""
        groups: dict[tuple[int, int], list[int]] = {}
        for index, target in enumerate(targets):
            groups.setdefault(target.squeeze, []).append(index)
        sightings: dict[int, Sighting] = {}
        for squeeze, group in groups.items():
            found = self._locate(_squeezed(frame, squeeze), [targets[i] for i in group])
            for index, sighting in zip(group, found, strict=True):
                if sighting.box is not None and squeeze != (1, 1):
                    sighting = replace(sighting, box=_scaled(sighting.box, squeeze))
                sightings[index] = sighting
        return [sightings[index] for index in range(len(targets))]

    def _locate(self, frame: Tensor, targets: Sequence[Target]) -> list[Sighting]:
        """Find each target around its state, shifted by its `search_offset` in pixels.

        The targets are only read: what is accepted of a sighting is decided afterwards.
        """
        size = (frame.shape[1], frame.shape[0])
        groups: dict[Hashable, list[int]] = {}
        for index, target in enumerate(targets):
            groups.setdefault(self._shape(target, size), []).append(index)
        sightings: dict[int, Sighting] = {}
        for shape, group in groups.items():
            chosen = [targets[i] for i in group]
            numbers = torch.stack([self._numbers(target, size) for target in chosen])
            models = [self._tensors(target) for target in chosen]
            rows, kept = self.runner(self, shape, frame, numbers, models)
            for place, (index, row) in enumerate(zip(group, rows, strict=True)):
                sightings[index] = self._sighting(targets[index], row, kept, place, size)
        return [sightings[index] for index in range(len(targets))]

    def _learn(self, target: Target) -> None:
        """Most trackers have nothing to learn."""

    def _judge(self, target: Target, sighting: Sighting, image_size: tuple[int, int]) -> Track:
        """Turn a sighting into a score and a status, and accept or refuse it."""
        config = self.config
        box = (
            sighting.box
            if sighting.box is not None and _is_plausible(sighting.box, image_size)
            else None
        )
        score = calibrated(sighting.raw_score, config) if box is not None else 0.0
        if not sighting.is_verified:
            score = min(score, config.lost_score)
        is_doubtful = score < config.lost_score or not sighting.is_verified

        was_lost = target.status is TrackStatus.LOST
        target.frames_low = target.frames_low + 1 if score < config.lost_score else 0
        if score >= config.tracking_score and sighting.is_verified:
            target.status = TrackStatus.TRACKING
        elif target.frames_low >= config.lost_after:
            target.status = TrackStatus.LOST
        elif is_doubtful and not was_lost:
            target.status = TrackStatus.UNCERTAIN
        is_lost = target.status is TrackStatus.LOST

        if box is not None and not (is_lost and config.recover):
            if not was_lost:
                move = (box.cx - target.box.cx, box.cy - target.box.cy)
                target.velocity = tuple(
                    0.5 * old + 0.5 * new for old, new in zip(target.velocity, move, strict=True)
                )
            target.box, target.state = box, sighting.state
        if is_lost:
            target.velocity = (0.0, 0.0)
        target.frames_lost = target.frames_lost + 1 if is_lost else 0
        target.search_offset = (0.0, 0.0)
        if is_lost and config.recover:
            offset = sweep_offset(target.frames_lost, target.box, image_size)
            target.search_offset = tuple(
                shift / factor for shift, factor in zip(offset, target.squeeze, strict=True)
            )
        target.age += 1
        target.score, target.raw_score = score, sighting.raw_score
        return Track(target.box, score, target.status, sighting.raw_score)


def calibrated(raw_score: float, config: TrackerConfig) -> float:
    """The score in [0, 1]: a logistic function of the raw score; 0 for a raw score that is not
    finite."""
    if not math.isfinite(raw_score):
        return 0.0
    exponent = config.score_slope * (raw_score - config.score_midpoint)
    return 1.0 / (1.0 + math.exp(-min(max(exponent, -60.0), 60.0)))


def sweep_offset(
    frames_lost: int, box: Box, image_size: tuple[int, int], step: float = 2.0
) -> tuple[float, float]:
    """Where to search for a lost target, relative to where it was last seen.

    Every other frame searches the old place. The frames between walk the rings of a square spiral
    around it, `step` target sizes apart, over the places that lie inside the image, and start over
    when the image is covered.

    Args:
        frames_lost: Frames since the target was lost, 1 or more.
        box: Where it was last seen.
        image_size: Width and height of the image in pixels.
        step: Distance of two places in units of sqrt(w * h).

    Returns:
        Shift of the search centre in pixels (x, y).
    """
    if frames_lost % 2 == 1:
        return 0.0, 0.0
    stride = step * math.sqrt(box.area)
    rings = min(math.ceil(max(image_size) / stride), 8)
    places = [
        (i * stride, j * stride)
        for ring in range(1, rings + 1)
        for i in range(-ring, ring + 1)
        for j in range(-ring, ring + 1)
        if max(abs(i), abs(j)) == ring
        and 0 <= box.cx + i * stride <= image_size[0]
        and 0 <= box.cy + j * stride <= image_size[1]
    ]
    return places[(frames_lost // 2 - 1) % len(places)] if places else (0.0, 0.0)


def _is_plausible(box: Box, image_size: tuple[int, int]) -> bool:
    """A box that a next search can start from: neither microscopic nor far larger than or away
    from the image."""
    width, height = image_size
    reach = Box(-width, -height, 3 * width, 3 * height)
    return (
        min(box.w, box.h) >= 0.5
        and max(box.w / width, box.h / height) <= LARGEST_BOX
        and box.intersection(reach) > 0
    )


def _squeeze(first: Box, image_size: tuple[int, int], config: TrackerConfig) -> tuple[int, int]:
    """See `Target.squeeze`: what makes a long box about three times as long as wide."""
    ratio = max(first.w, first.h) / min(first.w, first.h)
    if ratio <= config.squeeze_from or getattr(config, 'released', False):
        return 1, 1
    axis = 0 if first.w > first.h else 1
    factor = max(min(round(ratio / SQUEEZED_RATIO), image_size[axis] // SMALLEST_SIDE), 1)
    return (factor, 1) if axis == 0 else (1, factor)


def _squeezed(frame: Tensor, squeeze: tuple[int, int]) -> Tensor:
    """A frame (H, W, 3) with so many columns, and rows, averaged to one; the last ones are
    repeated to fill up."""
    for axis, factor in zip((1, 0), squeeze, strict=True):
        if factor == 1:
            continue
        size = frame.shape[axis]
        whole = max(-(-size // factor), SMALLEST_SIDE) * factor
        places = torch.arange(whole, device=frame.device).clamp(max=size - 1)
        parts = frame.index_select(axis, places).unflatten(axis, (-1, factor))
        frame = parts.float().mean(dim=axis + 1).round().to(torch.uint8)
    return frame


def _scaled(box: Box, factors: tuple[float, float]) -> Box:
    x, y = factors
    return Box(box.x * x, box.y * y, box.w * x, box.h * y)


def list_trackers() -> list[str]:
    """Names for `create_tracker`."""
    return sorted(TRACKERS)


def tracker_class(name: str) -> type[Tracker]:
    """The class behind a name; its `presets` map preset names to configs.

    Raises:
        UnknownTrackerError: No tracker has this name.
    """
    if name not in TRACKERS:
        raise UnknownTrackerError(
            f'there is no tracker {name!r}; choose one of {", ".join(list_trackers())}'
        )
    module, _, attribute = TRACKERS[name].partition(':')
    return getattr(importlib.import_module(module), attribute)


def preset_config(name: str, preset: str) -> TrackerConfig:
    """A tracker's parameters as one of its presets has them.

    Raises:
        UnknownTrackerError: There is no such tracker, or it has no such preset.
    """
    presets = tracker_class(name).presets
    if preset not in presets:
        raise UnknownTrackerError(
            f'{name} has no preset {preset!r}; choose one of {", ".join(presets)}'
        )
    return presets[preset]


def create_tracker(
    name: str,
    preset: str = 'compact',
    device: str = 'auto',
    precision: str = 'auto',
    runtime: str = 'auto',
    weights: str | None = None,
    **parameters: Any,
) -> Tracker:
    """Build a tracker, ready for `start`.

    Args:
        name: One of `list_trackers()`.
        preset: 'compact' (small, with bundled weights, for CPUs) or 'paper' (the published
            architecture; its weight files are the authors', see `tracker weights`).
        device: 'auto' (CUDA where there is one), 'cpu', 'cuda', 'cuda:1', ...
        precision: 'auto', 'float32', 'bfloat16' or 'float16': of the networks; geometry is always
            float32 or better. 'auto' is float16 on CUDA, bfloat16 on a CPU that is faster with it
            for those presets whose boxes it leaves as they are, else float32.
        runtime: How a step is executed: 'eager', 'cuda_graph', 'onnx', 'tensorrt', or 'auto':
            'cuda_graph' on CUDA, on a CPU what a short measurement finds faster. The choice is
            logged and stands in `tracker.runtime` and `tracker.precision`.
        weights: None for the bundled or installed file, a path, or 'random' for seeded random
            weights (to measure speed, to test).
        **parameters: Fields of the tracker's config, to override the preset's.

    Raises:
        UnknownTrackerError: No such tracker or preset.
        ParameterError: A parameter that does not exist or is out of range; a device that is not
            there.
        WeightsError: The weight file is missing or does not fit.
    """
    cls = tracker_class(name)
    default = preset_config(name, preset)
    if runtime not in RUNTIMES:
        raise ParameterError(f'runtime must be one of {", ".join(RUNTIMES)}, not {runtime!r}')
    config = with_parameters(default, parameters)
    torch_device = _find_device(device)
    if precision not in ('auto', *PRECISIONS):
        raise ParameterError(
            f'precision must be auto or one of {", ".join(PRECISIONS)}, not {precision!r}'
        )
    runtime_name = choose_runtime(runtime, torch_device)
    is_fine = preset in cls.bfloat16_presets and not getattr(config, 'released', False)
    dtype = PRECISIONS.get(precision) or choose_precision(runtime_name, torch_device, is_fine)
    tracker = cls(config, preset, torch_device, dtype, load_weights(name, preset, weights))
    tracker.runner = make_runtime(runtime_name, tracker)
    tracker.updates = make_updates(runtime_name, torch_device)
    log.info(
        '%s %s on %s: runtime %s, precision %s',
        name,
        preset,
        torch_device,
        tracker.runtime,
        str(dtype).removeprefix('torch.'),
    )
    return tracker


def _find_device(device: str) -> torch.device:
    if device == 'auto':
        return torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    try:
        found = torch.device(device)
    except RuntimeError:
        raise ParameterError(
            f"device must be 'auto', 'cpu', 'cuda' or 'cuda:N', not {device!r}"
        ) from None
    if found.type == 'cuda' and (
        not torch.cuda.is_available() or (found.index or 0) >= torch.cuda.device_count()
    ):
        raise ParameterError(
            f'device {device!r} is not there: torch sees {torch.cuda.device_count()} CUDA devices'
        )
    return found

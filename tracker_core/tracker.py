# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The public API: start a tracker on a box, track frame by frame.

    tracker = create_tracker('tadt')
    target = tracker.start(first_image, Box(x, y, w, h))
    for image in images:
        track = tracker.track(image, target)

A `Tracker` holds networks and parameters and no target; a `Target` holds all that belongs to one
followed object. So one tracker follows any number of targets, and `track_many` runs them through
the network in one batch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar, Generic

import numpy as np
import torch
from torch import nn, Tensor

from tracker_core.boxes import Box, startable
from tracker_core.errors import BoxError, ParameterError, TrackerError
from tracker_core.images import as_frame, Corners, Cut, cut_windows, cut_windows_by_opencv
from tracker_core.layers.graphs import attach_sessions
from tracker_core.layers.tints import tints
from tracker_core.parameters import ConfigT, describe
from tracker_core.runtime.eager import Eager, EagerUpdates
from tracker_core.runtime.exactness import exact_float32
from tracker_core.squeezing import scaled, squeeze_of, squeezed
from tracker_core.status import (
    declare_lost,
    is_searched_for,
    judge,
    judge_looks,
    keep_snapshot,
    LARGEST_BOX,
    looks,
    suggest,
    usable_box,
)
from tracker_core.step import ProgramKey, Provenance, Runtime, StepProgram, Tensors, Updates
from tracker_core.target import ModelT, Proposal, StateT, Target, Track, TrackStatus
from tracker_core.tint import Tint
from tracker_core.weights import Weights

TINT_EVERY = 5  # frames, while a target is followed
SEARCH_WINDOWS = (2, 16)  # of a frame on a CPU, and on CUDA, by themselves


@dataclass(frozen=True)
class Setup(Generic[ConfigT]):
    """What a tracker is made of.

    Attributes:
        preset: Name of the preset.
        network: Which network, see `Preset.network`.
        config: The parameters.
        device: Where it computes.
        precision: Number format of the networks.
        weights: Of the networks.
    """

    preset: str
    network: str
    config: ConfigT
    device: torch.device
    precision: torch.dtype
    weights: Weights


class Tracker(ABC, Generic[ConfigT, ModelT, StateT]):
    """One of the trackers with its networks on one device. Make it with `create_tracker`.

    A frame's step is a tensor program, `step`, which a runtime executes (`tracker_core.step`). A
    subclass implements `_start`; around the step `search_geometry`, `model_tensors` and
    `proposal`; where it learns while tracking, `_learn`; and where it keeps something that is made
    of live parameters, `_configure`.

    Attributes:
        name: Of the tracker.
        preset: Name of its preset.
        network_kind: Which of its networks it has, see `Preset.network`.
        device: Where it computes.
        precision: Number format of its networks; see also `number_format`.
        weights: What they were made of.
        is_int8: Whether sessions compute in int8, see `use_sessions`.
        cut: Cuts search regions out of frames.
        steps: Executes steps.
        updates: Executes online updates.
    """

    name: ClassVar[str]

    def __init__(self, setup: Setup[ConfigT]) -> None:
        self._config = setup.config
        self.preset = setup.preset
        self.network_kind = setup.network
        self.device = setup.device
        self.precision = setup.precision
        self.weights = setup.weights
        self.is_int8 = False
        self.cut: Cut = cut_windows
        self.steps: Runtime = Eager(setup.device)
        self.updates: Updates = EagerUpdates()

    @property
    def config(self) -> ConfigT:
        """The parameters in force; `configure` changes them."""
        return self._config

    def configure(self, config: ConfigT) -> None:
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
            raise ParameterError(f'these are not the parameters of {self.name}')
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

    @property
    def runtime(self) -> str:
        """How a step is executed: one of `tracker_core.runtime.RUNTIMES`."""
        return self.steps.name

    @property
    def number_format(self) -> str:
        """In what the networks compute: one of `tracker_core.choices.PRECISIONS`."""
        return 'int8' if self.is_int8 else str(self.precision).removeprefix('torch.')

    @property
    def exportable(self) -> bool:
        """Whether `step` is the same program for all frames, so that it can be exported."""
        return True

    def start(self, image: np.ndarray | Tensor, box: Box) -> Target[ModelT, StateT]:
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
        squeeze = squeeze_of(box, (width, height), self.config)
        seen = scaled(box, (1 / squeeze[0], 1 / squeeze[1]))
        with torch.inference_mode(), exact_float32():
            model, state = self._start(squeezed(frame, squeeze), seen)
        tint = Tint(tints(frame, [box])[0])
        return Target(box, box, model, state, owner=self, squeeze=squeeze, tint=tint)

    def track(
        self, image: np.ndarray | Tensor, target: Target[ModelT, StateT], learn: bool = True
    ) -> Track:
        """Find the target in the next frame and advance it.

        Args:
            image: The next frame; its size may differ from the frame before.
            target: From `start` of this tracker.
            learn: Run the pending online update before returning. A node passes False, publishes,
                and calls `learn`.
        """
        return self.track_many(image, [target], learn)[0]

    def track_many(
        self,
        image: np.ndarray | Tensor,
        targets: Sequence[Target[ModelT, StateT]],
        learn: bool = True,
    ) -> list[Track]:
        """Like `track` for several targets of one frame, with one batched forward pass."""
        frame = as_frame(image)
        for target in targets:
            if target.owner is not self:
                raise TrackerError('a target can only be tracked by the tracker that started it')
        if not targets:
            return []
        size, config = (frame.shape[1], frame.shape[0]), self.config
        count = config.search_windows or SEARCH_WINDOWS[self.device.type == 'cuda']
        looks_of = [looks(target, config, size, self.resized, count) for target in targets]
        with torch.inference_mode():
            every = [look for looks_at in looks_of for look in looks_at]
            found_at = self._locate_squeezed(frame, every)
            proposals = iter(self._with_tints(frame, every, found_at))
        tracks = []
        for target, looks_at in zip(targets, looks_of, strict=True):
            found = [next(proposals) for _ in looks_at]
            tracks.append(
                judge_looks(target, found, config, size)
                if is_searched_for(target, config)
                else judge(target, found[0], config, size)
            )
        if learn:
            for target in targets:
                self.learn(target)
        return tracks

    def learn(self, target: Target[ModelT, StateT]) -> None:
        """Run the online update that the last frame left pending, if any; a second call does
        nothing. On CUDA it returns while the device learns; the next step waits for it there.
        Frames that are not to be trusted are not learnt from, see `tracker_core.status`."""
        with torch.inference_mode(), exact_float32():
            if not target.may_learn:
                if target.status is not TrackStatus.LOST:
                    self._recall(target)
                return
            if self.config.recover:
                keep_snapshot(target)
            self._learn(target)

    def lose(self, target: Target[ModelT, StateT]) -> None:
        """Declare a target lost, because the caller knows that it is not where it was.

        It is searched, and found again, like one that was lost on its own.
        """
        declare_lost(target, self.config)

    def suggest(self, target: Target[ModelT, StateT], boxes: Sequence[Box]) -> None:
        """Say where a lost target may be, such as a detector does: there is looked first.

        What is found there is the target only if it looks like it, as everywhere. A target that is
        not LOST is not concerned.

        Args:
            target: From `start` of this tracker.
            boxes: In pixels of the next image; the likeliest first.
        """
        suggest(target, boxes)

    @property
    def networks(self) -> dict[str, nn.Module]:
        """Its networks by name."""
        return {name: part for name, part in vars(self).items() if isinstance(part, nn.Module)}

    def use_sessions(self, is_int8: bool = False) -> None:
        """Let ONNX Runtime run the networks and OpenCV cut the search regions, both on the CPU.

        Args:
            is_int8: Compute in int8 what there are graphs for.

        Raises:
            ParameterError: No part of the networks has a graph, they are not in float32 on the
                CPU, or for int8 not the bundled ones.
        """
        if not attach_sessions(self.networks, is_int8):
            raise ParameterError(
                f'runtime session has no graphs of the networks of {self.name} {self.preset}: '
                'choose eager'
            )
        self.cut = cut_windows_by_opencv
        self.is_int8 = is_int8

    # ---------------------------------------------------------------- the step, and around it

    def program(self, key: ProgramKey) -> StepProgram:
        """The step of all targets with a program key."""
        origin = Provenance(
            self.name, self.preset, self.weights.checksum, self.precision, self.config
        )
        return StepProgram(partial(self.step, key), self.reach, key, origin, self.networks)

    def program_key(
        self, target: Target[ModelT, StateT], image_size: tuple[int, int]
    ) -> ProgramKey:
        """What `step` needs to know of a target before it runs, and all that decides on the
        shapes in it. Targets with the same share a step."""
        return ()

    @abstractmethod
    def search_geometry(
        self, target: Target[ModelT, StateT], image_size: tuple[int, int]
    ) -> Tensor:
        """Where to search, shifted by the target's `search_offset`: (M,) float64 on the host."""

    @abstractmethod
    def model_tensors(self, target: Target[ModelT, StateT]) -> Tensors:
        """What `step` needs of a target's model, (1, ...) each. A tensor is never changed in
        place after it was returned here: another value is another tensor."""

    @abstractmethod
    def step(self, key: ProgramKey, frame: Tensor, geometry: Tensor, *model: Tensor) -> Tensors:
        """Search N targets in a frame; see `StepProgram.run`.

        Args:
            key: From `program_key`.
            frame: (H, W, 3) uint8 RGB.
            geometry: (N, M) from `search_geometry`, float64; float32 in exported programs.
            *model: From `model_tensors`, of N targets one behind the other.

        Returns:
            (N, R) float, what is read back of the frame, and tensors that stay on the device.
        """

    def reach(self, geometry: list[float], image_size: tuple[int, int]) -> list[Corners] | None:
        """Which windows of a frame `step` samples for a target.

        A runtime needs to bring no more of a frame to the device.

        Args:
            geometry: From `search_geometry`.
            image_size: Width and height of the frame.

        Returns:
            Corners in pixels; None where it may be all of the frame.
        """
        return None

    @abstractmethod
    def proposal(
        self,
        target: Target[ModelT, StateT],
        row: list[float],
        kept: Tensors,
        index: int,
        image_size: tuple[int, int],
    ) -> Proposal[StateT]:
        """What a row of the step's result means for the target, which is number `index` in the
        tensors that stayed on the device."""

    def locate(
        self, frame: Tensor, targets: Sequence[Target[ModelT, StateT]]
    ) -> list[Proposal[StateT]]:
        """Find each target around its state, shifted by its `search_offset` in pixels.

        The targets are only read: what is accepted of a proposal is decided afterwards.
        """
        size = (frame.shape[1], frame.shape[0])
        groups: dict[ProgramKey, list[int]] = {}
        for index, target in enumerate(targets):
            groups.setdefault(self.program_key(target, size), []).append(index)
        proposals: dict[int, Proposal[StateT]] = {}
        for key, group in groups.items():
            chosen = [targets[i] for i in group]
            geometry = torch.stack([self.search_geometry(target, size) for target in chosen])
            models = [self.model_tensors(target) for target in chosen]
            rows, kept = self.steps(self.program(key), frame, geometry, models)
            for place, (index, row) in enumerate(zip(group, rows, strict=True)):
                proposals[index] = self.proposal(targets[index], row, kept, place, size)
        return [proposals[index] for index in range(len(targets))]

    def _locate_squeezed(
        self, frame: Tensor, targets: Sequence[Target[ModelT, StateT]]
    ) -> list[Proposal[StateT]]:
        """`locate`, each target in images as it was started in; boxes are of the frame."""
        groups: dict[tuple[int, int], list[int]] = {}
        for index, target in enumerate(targets):
            groups.setdefault(target.squeeze, []).append(index)
        proposals: dict[int, Proposal[StateT]] = {}
        for squeeze, group in groups.items():
            found = self.locate(squeezed(frame, squeeze), [targets[i] for i in group])
            for index, proposal in zip(group, found, strict=True):
                if proposal.box is not None:
                    proposal = replace(proposal, box=scaled(proposal.box, squeeze))
                proposals[index] = proposal
        return [proposals[index] for index in range(len(targets))]

    def _with_tints(
        self,
        frame: Tensor,
        targets: Sequence[Target[ModelT, StateT]],
        proposals: Sequence[Proposal[StateT]],
    ) -> list[Proposal[StateT]]:
        """Proposals with their tints, where these count: at all places where a lost target is
        looked for, and now and then where it is followed, to know the usual one."""
        if not self.config.recover:
            return list(proposals)
        size = (frame.shape[1], frame.shape[0])
        boxes = {
            index: box
            for index, (target, proposal) in enumerate(zip(targets, proposals, strict=True))
            if (target.status is TrackStatus.LOST or target.age % TINT_EVERY == 0)
            and (box := usable_box(proposal, size)) is not None
        }
        found = list(proposals)
        for index, tint in zip(boxes, tints(frame, list(boxes.values())), strict=True):
            found[index] = replace(found[index], tint=tint)
        return found

    # ------------------------------------------------------------------------ for a subclass

    @abstractmethod
    def _start(self, frame: Tensor, box: Box) -> tuple[ModelT, StateT]:
        """Return the target's model and its first state."""

    def resized(self, state: StateT, factor: float) -> StateT:
        """A state of another size at the same place, to search with for a lost target; trackers
        that cannot do that return it as it is."""
        return state

    def _configure(self) -> None:
        """Make anew what is made of live parameters; most trackers read them where they use
        them."""

    def _learn(self, target: Target[ModelT, StateT]) -> None:
        """Run the pending update; most trackers have nothing to learn."""

    def _recall(self, target: Target[ModelT, StateT]) -> None:
        """The same after a frame that is not to be learnt from: learn from earlier ones only."""

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Parameters that change while a tracker runs: every live one of every preset takes effect in the
next frames or in what is learnt of them.

Presets without bundled weights run on seeded random ones.
"""

from __future__ import annotations

import copy
import dataclasses
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from presets import PRESETS, REDUCED, SMALL_DAT
import pytest
import torch

from tracker_core import (
    Box,
    create_tracker,
    ParameterError,
    Target,
    Tracker,
    tracker_declaration,
)
from tracker_core.parameters import describe

Values = dict[str, Any]
# random networks shout: scores are 0 or 1, boxes miles long; factors and shifts of what they end
# with
CALM = {
    'ocean': {
        'heads.logit.weight': (1e-8, 0.0),
        'heads.align.predict.weight': (1e-9, 0.0),
        'heads.box.weight': (1e-8, 0.0),
        'heads.box_bias': (1.0, 3.3),
    },
    'spm': {
        'coarse.rpn_head.z_cls_conv.weight': (1e-4, 0.0),
        'coarse.rpn_head.z_bbox_conv.weight': (1e-6, 0.0),
        'fine.rcnn_cls.weight': (1e-3, 0.0),
        'fine.rcnn_bbox.weight': (1e-3, 0.0),
    },
}


@dataclass(frozen=True)
class Situation:
    """Where a parameter matters.

    Attributes:
        value: What it is changed to, or what says so for a target.
        given: Other parameters, and its own value before, as far as they differ from `FOUND`.
        frames: So many frames are compared.
        is_lost: The target was declared lost before.
        is_smaller: It is seen from further away.
    """

    value: Any
    given: Values = field(default_factory=dict)
    frames: int = 1
    is_lost: bool = False
    is_smaller: bool = False


SURE = {'tracking_score': 0.0, 'lost_score': 0.0, 'same_similarity': -1.0}
# whatever the networks say, the target is found
FOUND: dict[str, Values] = {
    'atom': {
        'not_found_threshold': -1.0,
        'distractor_threshold': 1e3,
        'hard_negative_threshold': 1e3,
        'train_interval': 1,
    },
    'dat': {'success_score': -1e6, 'update_interval': 1, 'iterations': 2},
    'ocean': {'online_interval': 1},
    'spm': {'smallest_score': 0.0},
    'tadt': {},
}


def just_below(target: Target) -> float:
    """A little less than the target's shorter side, in pixels."""
    return min(target.box.w, target.box.h) - 0.01


UNSURE = {'tracking_score': 1.0, 'lost_score': 1.0}
HARD = {'hard_negative_threshold': 0.0, 'train_interval': 1000}
FAILED = {'success_score': 1e6}
NO_WINDOW = {'window_influence': 0.0}
# the most central candidate is chosen, however low its score
CENTRAL = {'window_influence': 1.0, 'near_overlap': 0.0, 'candidate_score': 0.0}
COMMON = {
    'score_midpoint': Situation(0.4),
    'score_slope': Situation(0.01),
    'similarity_slope': Situation(20.0, {'score_slope': 0.01}),
    'same_similarity': Situation(1.0, is_lost=True, frames=2),
    'search_windows': Situation(5, is_lost=True),
    'tracking_score': Situation(1.0),
    'lost_score': Situation(1.0, {'tracking_score': 1.0, 'lost_after': 1}),
    'lost_after': Situation(1, UNSURE),
    'recover': Situation(False, {**UNSURE, 'lost_after': 1}),
}
OF_TRACKERS: dict[str, dict[str, Situation]] = {
    'atom': {
        'same_similarity': Situation(1.0),  # nothing is learnt
        'train_interval': Situation(1000),
        'train_iterations': Situation(1),
        'hard_iterations': Situation(1, HARD),
        'learning_rate': Situation(0.5),
        'hard_learning_rate': Situation(0.5, HARD),
        'not_found_threshold': Situation(1.0),
        'distractor_threshold': Situation(0.0),
        'hard_negative_threshold': Situation(1e3, HARD),
        'neighborhood_scale': Situation(100.0, HARD),
        'displacement_scale': Situation(
            0.3,
            {'distractor_threshold': 0.0, 'train_interval': 1000, 'displacement_scale': 1.5},
        ),
        'position_jitter': Situation(0.5),
        'size_jitter': Situation(0.1),
        'step_length': Situation(0.5),
        'size_rate': Situation(0.5),
        'largest_aspect': Situation(1.0),
    },
    'dat': {
        'same_similarity': Situation(1.0),  # nothing is learnt
        'candidates': Situation(10),
        'averaged': Situation(1),
        'box_rate': Situation(1.0, frames=2),
        'search_spread': Situation(0.3),
        'search_spread_failed': Situation(0.3, FAILED, frames=2),
        'search_scale': Situation(1.2),
        'success_score': Situation(1e6),
        'iterations': Situation(1),
        'rate': Situation(1e-2),
        'last_layer_rate': Situation(1.0),
        'batch': Situation(3),
        'mined_from': Situation(5),
        'dropout': Situation(0.1),
        'momentum': Situation(0.1),
        'weight_decay': Situation(0.1),
        'gradient_limit': Situation(1e-3),
        'attention_weight': Situation(0.0),
        'attention': Situation('signed'),
        'recent_frames': Situation(1, FAILED),
        'update_interval': Situation(1000),
        'failed_interval': Situation(1000, {**FAILED, 'failed_interval': 1}, frames=2),
    },
    'ocean': {
        'same_similarity': Situation(1.0),  # nothing is learnt
        'regular_weight': Situation(0.1),
        'penalty': Situation(1.0),
        'window_influence': Situation(1.0, {'window_influence': 0.0, 'online_weight': 0.0}),
        'size_rate': Situation(0.1),
        'smooth_twice': Situation(False),
        'template_share': Situation(0.1),
        'box_rate': Situation(1.0),
        'online_weight': Situation(1.0, {'window_influence': 1.0, 'online_weight': 0.0}),
        'online_steps': Situation(1),
        'online_interval': Situation(1000, {'online_hard_peak': 1e3}),
        'online_rate': Situation(0.4, {'online_hard_peak': 1e3}),
        'online_hard_rate': Situation(0.4, {'online_hard_peak': 0.0}),
        'online_hard_peak': Situation(1e3, {'online_hard_peak': 0.0, 'online_interval': 1000}),
    },
    'spm': {
        'window_influence': Situation(1.0, NO_WINDOW),
        'fine_score_influence': Situation(0.1),
        'fine_box_influence': Situation(0.1),
        'size_rate': Situation(1.0),
        'smallest_score': Situation(1.0),
        'smallest_side': Situation(just_below, {'size_rate': 1.0}, is_smaller=True),
        'candidate_score': Situation(1.0, {**CENTRAL, 'candidate_overlap': 10.0}),
        'candidate_overlap': Situation(10.0, CENTRAL),
        'near_overlap': Situation(1.0, CENTRAL),
        'box_rate': Situation(1.0),
    },
    'tadt': {
        'window_influence': Situation(1e3, NO_WINDOW),
        'scale_penalty': Situation(0.5, {'scale_penalty': 1.0}),
        'scale_rate': Situation(0.1, {'scale_penalty': 1.0}),
        'template_share': Situation(0.1),
        'box_rate': Situation(1.0),
    },
}
# others only matter with these, which all trackers that have them are made with
SWITCHES: Values = {'template_rate': 0.1, 'align': True}


def scene(frames: int, growth: int) -> list[np.ndarray]:
    """A coloured patch of 30 pixels that moves over noise and grows by so many in a frame, and a
    look-alike that stands still."""
    rng = np.random.default_rng(0)
    background = rng.integers(60, 120, (120, 160, 3), dtype=np.uint8)
    cells = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
    images = []
    for k in range(frames):
        image = background.copy()
        image[10:40, 110:140] = np.roll(cells, 40, axis=2).repeat(5, axis=0).repeat(5, axis=1)
        side = 30 + growth * k
        places = np.arange(side) * 6 // side
        x, y = 50 + 7 * k, 50 + 2 * k
        image[y : y + side, x : x + side] = cells[places][:, places]
        images.append(image)
    return images


START = Box(50, 50, 30, 30)
IMAGES = scene(4, 3)
SMALLER = scene(3, -6)[2:]


@lru_cache(maxsize=1)
def make_tracker(name: str, preset: str) -> Tracker:
    declared = tracker_declaration(name).preset(preset)
    weights = None if declared.is_bundled else 'random'
    reduced = SMALL_DAT if name == 'dat' else REDUCED.get((name, preset), {})
    config = declared.config
    switches = {k: v for k, v in SWITCHES.items() if not getattr(config, k, True)}
    values = {**reduced, **switches}
    tracker = create_tracker(name, preset, 'cpu', 'float32', 'eager', weights, **values)
    if weights == 'random':
        for key, (factor, shift) in CALM.get(name, {}).items():
            tracker.network.get_parameter(key).data.mul_(factor).add_(shift)
    return tracker


@lru_cache(maxsize=1)
def followed(tracker: Tracker) -> Target:
    """A target that was found in a frame after the first."""
    tracker.configure(dataclasses.replace(tracker.config, **SURE, **FOUND[tracker.name]))
    target = tracker.start(IMAGES[0], START)
    tracker.track(IMAGES[1], target)
    return target


def outcome(tracker: Tracker, situation: Situation, **change: Any) -> list[Any]:
    """What the next frames bring: tracks, and what is searched with afterwards. The target stays
    as it is: others begin where this begins."""
    before = tracker.config
    known = {k: v for k, v in situation.given.items() if hasattr(before, k)}
    shared = {id(x): x for x in (tracker, getattr(tracker, 'online', None))}
    with torch.inference_mode():
        target = copy.deepcopy(followed(tracker), shared)
    if situation.is_lost:
        tracker.lose(target)
    tracker.configure(dataclasses.replace(before, **{**known, **change}))
    try:
        results: list[Any] = []
        images = SMALLER if situation.is_smaller else IMAGES[2:]
        for image in images[: situation.frames]:
            results += [tracker.track(image, target), target.searched]
        tensors = [tensor.flatten().tolist() for tensor in tracker.model_tensors(target)]
        return [*results, tensors]
    finally:
        tracker.configure(before)


@pytest.mark.parametrize(('name', 'preset'), PRESETS, ids=lambda p: p)
def test_every_live_parameter_takes_effect(name: str, preset: str) -> None:
    config = tracker_declaration(name).preset(preset).config
    live = [info.name for info in describe(config) if info.live]
    situations = {**COMMON, **OF_TRACKERS[name]}
    assert set(live) == set(situations), 'a live parameter needs a situation in which it matters'
    if not getattr(config, 'online', True):
        live = [parameter for parameter in live if not parameter.startswith('online_')]
    elif preset == 'paper_online':  # which costs most, and has the rest from preset paper
        live = [parameter for parameter in live if parameter.startswith('online_')]
    if not preset.startswith('compact'):  # nothing is compared with the first frame
        live = [parameter for parameter in live if 'similarity' not in parameter]
    if not getattr(config, 'refiner', True):
        live = [parameter for parameter in live if parameter != 'box_rate']
    tracker = make_tracker(name, preset)
    target = followed(tracker)
    without, unchanged = [], {}
    for parameter in live:
        situation = situations[parameter]
        value = situation.value(target) if callable(situation.value) else situation.value
        changed = outcome(tracker, situation, **{parameter: value})
        key = tuple(map(repr, dataclasses.astuple(situation)[1:]))
        if key not in unchanged:
            unchanged[key] = outcome(tracker, situation)
        if changed == unchanged[key]:
            without.append(parameter)
    assert without == []


def test_what_is_not_live_is_refused_by_name() -> None:
    tracker = create_tracker('tadt', device='cpu', weights='random')
    before = tracker.config
    for change in ({'scale_step': 1.1}, {'search_side': 200, 'tracking_score': 0.9}):
        with pytest.raises(ParameterError, match=next(iter(change))):
            tracker.configure(dataclasses.replace(before, **change))
        assert tracker.config is before
    with pytest.raises(ParameterError, match='not the parameters of tadt'):
        tracker.configure(tracker_declaration('spm').preset('compact').config)
    with pytest.raises(AttributeError):
        tracker.config = before  # what is made of it would stay what it was

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""OpenCV's own trackers under our interface, for comparison in the same run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from tracker_core.boxes import Box
from tracker_core.errors import ParameterError, UnknownTrackerError
from tracker_core.target import Track, TrackStatus

PEERS = ('csrt', 'kcf', 'mil')
# the fields of OpenCV's parameters that name the model files of those that need some
MODELS = {'nano': ('backbone', 'neckhead'), 'vit': ('net',)}


@dataclass
class PeerTarget:
    """An OpenCV tracker at work, and its latest box."""

    engine: Any
    box: Box


class OpenCvTracker:
    """CSRT, KCF or MIL as OpenCV comes with it, or its Nano or Vit, whose model files (ONNX) are
    had from OpenCV's model zoo. Default parameters.

    Args:
        name: Of `PEERS` or of `MODELS`.
        models: The model files of nano (backbone, head) or vit.

    Raises:
        UnknownTrackerError: This OpenCV is built without it.
        ParameterError: Not the model files that it needs, or OpenCV cannot read them.
    """

    preset = 'opencv'

    def __init__(self, name: str, models: Sequence[str | Path] = ()) -> None:
        self.name = name
        self._create = _with_models(name, models) if name in MODELS else _without_models(name)

    def start(self, image: np.ndarray, box: Box) -> PeerTarget:
        height, width = image.shape[:2]
        x, y = max(round(box.x), 0), max(round(box.y), 0)
        x2, y2 = min(round(box.x2), width), min(round(box.y2), height)
        engine = self._create()
        engine.init(cv2.cvtColor(image, cv2.COLOR_RGB2BGR), (x, y, max(x2 - x, 1), max(y2 - y, 1)))
        return PeerTarget(engine, box)

    def track(self, image: np.ndarray, target: PeerTarget, learn: bool = True) -> Track:
        """Where OpenCV finds the object; without success, where it was last."""
        is_found, (x, y, w, h) = target.engine.update(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        if is_found and w > 0 and h > 0:
            target.box = Box(x, y, w, h)
        status = TrackStatus.TRACKING if is_found else TrackStatus.LOST
        return Track(target.box, float(is_found), status, float(is_found))


def _without_models(name: str) -> Callable[[], Any]:
    attribute = f'Tracker{name.upper()}_create'
    modules = (cv2, getattr(cv2, 'legacy', None))  # moved about between 4.5 and 5
    found = [getattr(module, attribute) for module in modules if hasattr(module, attribute)]
    if name not in PEERS or not found:
        raise UnknownTrackerError(
            f'OpenCV {cv2.__version__} has no {name.upper()} here: CSRT and KCF come with '
            'opencv-contrib-python-headless'
        )
    return found[0]


def _with_models(name: str, models: Sequence[str | Path]) -> Callable[[], Any]:
    fields, title = MODELS[name], name.capitalize()
    if not hasattr(cv2, f'Tracker{title}'):
        raise UnknownTrackerError(f'OpenCV {cv2.__version__} has no {title}: it came with 4.7')
    if len(models) != len(fields):
        raise ParameterError(
            f"OpenCV's {name} needs {len(fields)} model file(s), {', '.join(fields)}, not "
            f'{len(models)}'
        )
    parameters = getattr(cv2, f'Tracker{title}_Params')()
    for field, path in zip(fields, models, strict=True):
        if not Path(path).is_file():
            raise ParameterError(f"model file {path} of OpenCV's {name} does not exist")
        setattr(parameters, field, str(path))
    create = getattr(cv2, f'Tracker{title}_create')
    try:
        create(parameters)
    except cv2.error as error:
        raise ParameterError(
            f'OpenCV cannot read {", ".join(map(str, models))} as its {name}: {error}'
        ) from error
    return lambda: create(parameters)


def available_peers() -> tuple[list[OpenCvTracker], list[str]]:
    """The peers that this OpenCV has, and a sentence for each that it has not."""
    trackers, complaints = [], []
    for name in PEERS:
        try:
            trackers.append(OpenCvTracker(name))
        except UnknownTrackerError as error:
            complaints.append(str(error))
    return trackers, complaints

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The parameters of how a target is located."""

from __future__ import annotations

from dataclasses import dataclass
import math

from tracker_core.errors import ParameterError
from tracker_core.parameters import check_fields, parameter


@dataclass(frozen=True)
class PoseConfig:
    """How a target is located.

    Raises:
        ParameterError: On creation, when a value does not fit.
    """

    coast: float = parameter(
        1.0,
        'While the target is UNCERTAIN or nothing tells its range, it is predicted for so many '
        'seconds; then nothing is published until it is TRACKING again.',
        minimum=0.0,
        maximum=60.0,
    )
    object_height: float = parameter(
        0.0, 'Height of the objects in metres; 0: not known.', minimum=0.0, maximum=1000.0
    )
    object_width: float = parameter(
        0.0, 'Width of the objects in metres; 0: not known.', minimum=0.0, maximum=1000.0
    )
    object_heights: str = parameter(
        '', "Heights by label, such as 'person: 1.7, cup: 0.1'; they go before object_height."
    )
    object_widths: str = parameter(
        '', "Widths by label, such as 'car: 1.8'; they go before object_width."
    )
    nominal_range: float = parameter(
        0.0,
        'Where nothing tells the range, the pose lies at this distance in metres on the ray, with '
        'a deviation as large; 0: only the bearing is published then.',
        minimum=0.0,
        maximum=1000.0,
    )
    min_range: float = parameter(
        0.1, 'Nearer than so many metres no range is believed.', minimum=0.0, maximum=1000.0
    )
    max_range: float = parameter(
        30.0, 'Beyond so many metres no range is believed.', minimum=0.1, maximum=10000.0
    )
    box_error: float = parameter(
        0.05,
        "Standard deviation of a box's edges, as a share of its size.",
        minimum=0.001,
        maximum=1.0,
    )
    depth_error: float = parameter(
        0.01,
        'Standard deviation of the depth image as a share of the depth, beside what is seen of '
        'its noise.',
        minimum=0.0,
        maximum=1.0,
    )
    speed: float = parameter(
        1.0,
        'Speed of a target that is seen for the first time, m/s, one standard deviation.',
        minimum=0.01,
        maximum=100.0,
    )
    agility: float = parameter(
        1.0,
        "By how much a target's velocity changes in a second, m/s, one standard deviation.",
        minimum=0.01,
        maximum=100.0,
    )
    reacquire: float = parameter(
        0.7,
        'A range that does not fit the motion so far, such as that of something in front of the '
        'target, is believed after so many seconds.',
        minimum=0.0,
        maximum=60.0,
    )

    def __post_init__(self) -> None:
        check_fields(self)
        if self.min_range >= self.max_range:
            raise ParameterError(
                f'min_range ({self.min_range:g}) has to lie below max_range ({self.max_range:g})'
            )
        sizes_by_label('object_heights', self.object_heights)
        sizes_by_label('object_widths', self.object_widths)

    def known_size(self, label: str) -> tuple[float, float]:
        """Width and height of an object in metres; 0 where not known."""
        widths = sizes_by_label('object_widths', self.object_widths)
        heights = sizes_by_label('object_heights', self.object_heights)
        return widths.get(label, self.object_width), heights.get(label, self.object_height)


def sizes_by_label(name: str, text: str) -> dict[str, float]:
    """What 'person: 1.7, cup: 0.1' says.

    Args:
        name: Of the parameter, for the error.
        text: Pairs; a label may hold anything but commas.

    Raises:
        ParameterError: Something else stands there.
    """
    sizes = {}
    for pair in filter(str.strip, text.split(',')):
        label, colon, value = pair.rpartition(':')
        try:
            size = float(value) if colon and label.strip() else math.nan
        except ValueError:
            size = math.nan
        if not 0 < size < math.inf:
            raise ParameterError(
                f"{name} must be pairs such as 'person: 1.7, cup: 0.1' (metres), not {text!r}"
            )
        sizes[label.strip()] = size
    return sizes

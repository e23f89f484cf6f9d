# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Parameters as frozen dataclasses that check themselves.

A tracker's parameters are one dataclass whose fields are made with `parameter`: default, help,
range and choices are written once and become ROS parameters, command-line options and the tables
of the documentation.
"""

from __future__ import annotations

from collections.abc import Mapping
import dataclasses
from dataclasses import dataclass
import math
from typing import Any, ClassVar, Protocol, TypeVar

from tracker_core.errors import ParameterError, suggestion

Value = bool | int | float | str
ValueType = type[bool] | type[int] | type[float] | type[str]
KINDS: Mapping[ValueType, str] = {
    bool: 'true or false',
    int: 'a whole number',
    float: 'a number',
    str: 'a text',
}


def parameter(
    default: Value,
    help: str,  # noqa: A002
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[Value, ...] | None = None,
    live: bool = True,
) -> Any:
    """A dataclass field with its documentation and its limits.

    Args:
        default: Default value; its type (bool, int, float or str) is the parameter's type.
        help: One sentence on the effect, with the unit.
        minimum: Smallest value allowed.
        maximum: Largest value allowed.
        choices: The only values allowed.
        live: Whether a running tracker can take a new value for its next frame (otherwise: a new
            tracker).
    """
    metadata = {
        'help': help,
        'minimum': minimum,
        'maximum': maximum,
        'choices': choices,
        'live': live,
    }
    return dataclasses.field(default=default, metadata=metadata)


def refiner() -> Any:
    """A `parameter` of trackers that can use the box refiner."""
    return parameter(
        False,
        'Let the box refiner find the edges of the target (preset compact).',
        live=False,
    )


def box_rate() -> Any:
    """What goes with `refiner`."""
    return parameter(
        0.5,
        'Share of a change of size that the box refiner finds that is taken over, where it is '
        'sure of it.',
        minimum=0.0,
        maximum=1.0,
    )


def template_rate() -> Any:
    """A `parameter` of trackers whose template can follow the target."""
    return parameter(
        0.0,
        'Share of the recent template that is renewed in a frame where the target is found for '
        'sure (0: the template is that of the first frame, as in the paper).',
        minimum=0.0,
        maximum=1.0,
        live=False,
    )


def template_share(default: float) -> Any:
    """What goes with `template_rate`."""
    return parameter(
        default,
        'Weight of the recent template; the rest is that of the first frame.',
        minimum=0.0,
        maximum=1.0,
    )


@dataclass(frozen=True)
class ParameterInfo:
    """One parameter as a reader, a command line or a ROS descriptor needs it."""

    name: str
    type: ValueType
    default: Value
    help: str
    minimum: float | None
    maximum: float | None
    choices: tuple[Value, ...] | None
    live: bool

    def check(self, value: object) -> Value:
        """Return `value` in the parameter's type.

        Raises:
            ParameterError: Wrong type, not finite, out of range or not among the choices.
        """
        name = self.name
        if self.type is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if not isinstance(value, Value) or type(value) is not self.type:
            raise ParameterError(f'{name} must be {KINDS[self.type]}, not {value!r}')
        if isinstance(value, float) and not math.isfinite(value):
            raise ParameterError(f'{name} must be finite, not {value}')
        if self.choices is not None and value not in self.choices:
            choices = ', '.join(map(str, self.choices))
            raise ParameterError(f'{name} must be one of {choices}, not {value!r}')
        if isinstance(value, str):
            return value
        if self.minimum is not None and value < self.minimum:
            raise ParameterError(f'{name} must be at least {self.minimum:g}, not {value:g}')
        if self.maximum is not None and value > self.maximum:
            raise ParameterError(f'{name} must be at most {self.maximum:g}, not {value:g}')
        return value

    def parse(self, text: str) -> Value:
        """Read the parameter from a command line; see `check` for the errors."""
        if self.type is bool:
            words = {'true': True, 'yes': True, '1': True, 'false': False, 'no': False, '0': False}
            return self.check(words.get(text.lower(), text))
        try:
            return self.check(self.type(text))
        except ValueError as error:
            if isinstance(error, ParameterError):
                raise
            raise ParameterError(f'{self.name} must be {KINDS[self.type]}, not {text!r}') from None


class Parameters(Protocol):
    """Any dataclass."""

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]


def describe(config: Parameters | type[Parameters]) -> list[ParameterInfo]:
    """The parameters of a config dataclass (type or instance), in the order they are written."""
    infos = []
    for field in dataclasses.fields(config):
        default = field.default
        assert isinstance(default, Value)  # what `parameter` takes
        infos.append(ParameterInfo(field.name, type(default), default, **field.metadata))
    return infos


def check_fields(config: Parameters) -> None:
    """For `__post_init__` of a config dataclass: its fields have their types and limits from then
    on.

    Raises:
        ParameterError: One of them does not fit.
    """
    for info in describe(config):
        object.__setattr__(config, info.name, info.check(getattr(config, info.name)))


ConfigT = TypeVar('ConfigT', bound='TrackerConfig')


@dataclass(frozen=True)
class TrackerConfig:
    """What all trackers have in common: how sure is sure, and what happens when the target is
    lost.

    A score is the estimated probability that the reported box overlaps the object by at least
    half, a logistic function of the tracker's own `raw_score`.

    Raises:
        ParameterError: On creation, when a value has the wrong type or lies outside its range.
    """

    score_midpoint: float = parameter(
        0.5, 'Raw score at which a box is right as often as wrong (score 0.5).'
    )
    score_slope: float = parameter(
        8.0, 'Steepness of the score as a function of the raw score.', minimum=0.0
    )
    similarity_slope: float = parameter(
        0.0,
        'Steepness of the score as a function of the similarity to the first frame (preset '
        'compact).',
        minimum=0.0,
    )
    tracking_score: float = parameter(
        0.5,
        'In a frame with this score or more the target is TRACKING.',
        minimum=0.0,
        maximum=1.0,
    )
    lost_score: float = parameter(
        0.25, 'A frame below this score counts towards LOST.', minimum=0.0, maximum=1.0
    )
    same_similarity: float = parameter(
        0.25,
        'What looks less like the target in the first frame than this, as a cosine, is not learnt '
        'from, and not taken for a lost target (preset compact).',
        minimum=-1.0,
        maximum=1.0,
    )
    lost_after: int = parameter(
        20, 'So many frames in a row below lost_score make the target LOST.', minimum=1
    )
    recover: bool = parameter(
        True,
        'While LOST, hold the last box that was TRACKING, and search the whole image for the '
        'target.',
    )
    search_windows: int = parameter(
        0,
        'Places that are looked at in a frame while the target is LOST; each costs as much as a '
        'frame while it is not. 0: 2 on a CPU, 16 on CUDA, where more cost little.',
        minimum=0,
        maximum=64,
    )
    squeeze_from: float = parameter(
        5.0,
        'A target so many times as long as wide at its start, or as wide as long, is searched in '
        'images that are squeezed along it.',
        minimum=1.5,
        live=False,
    )

    @property
    def tolerates_rounding(self) -> bool:
        """Whether the boxes stay what they are, up to a fraction of a pixel, in a coarser number
        format; not so where a tracker is reproduced to the last bit."""
        return True

    def __post_init__(self) -> None:
        check_fields(self)
        if self.lost_score > self.tracking_score:
            raise ParameterError(
                f'lost_score ({self.lost_score:g}) must not exceed '
                f'tracking_score ({self.tracking_score:g})'
            )


def with_parameters(config: ConfigT, parameters: Mapping[str, Any]) -> ConfigT:
    """A copy of `config` with some values replaced.

    Raises:
        ParameterError: A name is not a parameter of this config, or a value is refused.
    """
    known = [info.name for info in describe(config)]
    for name in parameters:
        if name not in known:
            raise ParameterError(
                f'this tracker has no parameter {name!r}; it has {", ".join(known)}'
                f'{suggestion(name, known)}'
            )
    return dataclasses.replace(config, **parameters)

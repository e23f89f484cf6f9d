# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Options and kinds of values that several subcommands share."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TYPE_CHECKING

from tracker_core.boxes import Box, startable
from tracker_core.errors import BoxError, ParameterError, suggestion
from tracker_core.parameters import describe, Value
from tracker_core.registry import tracker_declaration

if TYPE_CHECKING:
    from tracker_core.media.moments import Moment
    from tracker_core.tracker import Tracker

DEFAULT = 'default: %(default)s'


@dataclass(frozen=True)
class TrackerOptions:
    """Which tracker a subcommand makes; see `create_tracker`.

    Attributes:
        name: Of the tracker.
        preset, device, precision, runtime, weights: As there.
        settings: Further parameters as they were typed, NAME=VALUE.
    """

    name: str
    preset: str = 'compact'
    device: str = 'auto'
    precision: str = 'auto'
    runtime: str = 'auto'
    weights: str | None = None
    settings: Sequence[str] = ()

    @classmethod
    def read(cls, args: argparse.Namespace, name: str) -> TrackerOptions:
        """What was asked for with the options of `add_tracker_options`."""
        return cls(
            name,
            args.preset,
            args.device,
            args.precision,
            args.runtime,
            args.weights,
            args.set,
        )

    def create(self, **fixed: Value) -> Tracker[Any, Any, Any]:
        """The tracker.

        Args:
            **fixed: Parameters that no setting changes.

        Raises:
            ParameterError: A setting is none; further errors as of `create_tracker`.
        """
        parameters = {**self._parameters(), **fixed}
        from tracker_core.factory import create_tracker

        return create_tracker(
            self.name,
            self.preset,
            self.device,
            self.precision,
            self.runtime,
            self.weights,
            **parameters,
        )

    def _parameters(self) -> dict[str, Value]:
        config = tracker_declaration(self.name).preset(self.preset).config
        infos = {info.name: info for info in describe(config)}
        parameters = {}
        for setting in self.settings:
            key, separator, text = setting.partition('=')
            if not separator:
                raise ParameterError(f'--set takes NAME=VALUE, not {setting!r}')
            if key not in infos:
                raise ParameterError(
                    f'{self.name} has no parameter {key!r}; it has {", ".join(infos)}'
                    f'{suggestion(key, infos)}'
                )
            parameters[key] = infos[key].parse(text)
        return parameters


def add_tracker_options(
    parser: argparse.ArgumentParser, several: bool = False, weights_note: str = ''
) -> None:
    """Which tracker, and how it runs.

    Args:
        parser: Gets the options.
        several: Whether `--tracker` takes several names.
        weights_note: What is to be added to the help of `--weights`.
    """
    parser.add_argument(
        '--tracker',
        required=True,
        type=names if several else str,
        metavar='T[,T2]|all' if several else 'T',
        help='see `tracker list`',
    )
    parser.add_argument('--preset', default='compact', metavar='P', help=DEFAULT)
    parser.add_argument('--device', default='auto', help='auto, cpu, cuda, cuda:1; ' + DEFAULT)
    parser.add_argument(
        '--precision',
        default='auto',
        metavar='P',
        help='auto, float32, bfloat16, float16 or int8; ' + DEFAULT,
    )
    parser.add_argument('--runtime', default='auto', metavar='R', help=DEFAULT)
    parser.add_argument(
        '--weights',
        metavar='W',
        help=f"file or folder, or 'random'; default: bundled or installed ones{weights_note}",
    )
    add_settings(parser)


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Parameters of the tracker."""
    parser.add_argument(
        '--set',
        action='append',
        default=[],
        metavar='NAME=VALUE',
        help='a parameter of the tracker, see `tracker list T`; may be repeated',
    )


def add_topic(parser: argparse.ArgumentParser) -> None:
    """Which images of a recording."""
    parser.add_argument(
        '--topic', metavar='T', help='of the images of a recording; default: the only one'
    )


def add_part(parser: argparse.ArgumentParser) -> None:
    """Which frames of a video or a recording; see `Part`."""
    add_topic(parser)
    parser.add_argument(
        '--at',
        '--from',
        dest='begin',
        type=moment,
        metavar='TIME',
        help='where to begin, which is where the boxes hold: seconds from the first frame, or the '
        "stamp of a recording's image in seconds or nanoseconds",
    )
    parser.add_argument(
        '--to', dest='end', type=moment, metavar='TIME', help='where to end, likewise'
    )
    parser.add_argument(
        '--every', type=count, default=1, metavar='N', help='take every Nth frame; ' + DEFAULT
    )


def moment(text: str) -> Moment:
    """A time in a video, see `Moment.parse`."""
    from tracker_core.media.moments import Moment

    try:
        return Moment.parse(text)
    except ParameterError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def box(text: str) -> Box:
    """X,Y,W,H."""
    try:
        return startable(Box(*(float(part) for part in text.split(','))))
    except BoxError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    except (TypeError, ValueError):
        raise argparse.ArgumentTypeError(f'{text!r} is not four numbers x,y,w,h') from None


def names(text: str) -> list[str]:
    """A,B,C."""
    return [name for part in text.split(',') if (name := part.strip())]


def count(text: str) -> int:
    """A whole number from 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f'{text!r} is not a number from 1')
    return int(text)


def size(text: str) -> tuple[int, int]:
    """WxH."""
    width, _, height = text.lower().partition('x')
    return count(width), count(height)

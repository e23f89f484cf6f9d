# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""`tracker list`: the trackers, or the parameters of one."""

from __future__ import annotations

import argparse

from tracker_core.errors import ParameterError
from tracker_core.parameters import describe, ParameterInfo, Value
from tracker_core.registry import list_trackers, tracker_declaration
from tracker_core.tables import format_table

NAME = 'list'
ABOUT = 'list trackers, or the parameters of one'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('tracker', nargs='?', metavar='NAME', help='show its parameters')
    parser.add_argument('--preset', metavar='P', help='of this preset only')


def run(args: argparse.Namespace) -> int:
    if not args.tracker and args.preset:
        raise ParameterError(f'of which tracker? tracker list NAME --preset {args.preset}')
    print(parameter_table(args.tracker, args.preset) if args.tracker else tracker_table())
    return 0


def tracker_table() -> str:
    """A line per tracker."""
    rows = []
    for name in list_trackers():
        tracker = tracker_declaration(name)
        about = f'{tracker.title}: {tracker.about}'
        rows.append([name, ', '.join(tracker.presets), about])
    return format_table(['tracker', 'presets', 'about'], rows)


def parameter_table(tracker: str, preset: str | None = None) -> str:
    """A line per parameter of a tracker, with its value in all presets or in one.

    Raises:
        UnknownTrackerError: There is no such tracker or preset.
    """
    declaration = tracker_declaration(tracker)
    presets = {name: each.config for name, each in declaration.presets.items()}
    if preset:
        presets = {preset: declaration.preset(preset).config}
    rows = []
    for info in describe(next(iter(presets.values()))):
        defaults = [_shown(getattr(config, info.name)) for config in presets.values()]
        rows.append([info.name, info.type.__name__, *defaults, _limits(info), info.help])
    return format_table(['parameter', 'type', *presets, 'values', 'effect'], rows)


def _limits(info: ParameterInfo) -> str:
    if info.choices:
        return ' | '.join(map(str, info.choices))
    bounds = (('>=', info.minimum), ('<=', info.maximum))
    return ', '.join(f'{sign} {bound:g}' for sign, bound in bounds if bound is not None)


def _shown(value: Value) -> str:
    return f'{value:g}' if isinstance(value, float) else str(value)

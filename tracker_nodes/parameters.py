# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""ROS parameters from config dataclasses: names, ranges, choices and descriptions are written
there, once.

The node's own parameters have plain names; those of the tracker are prefixed with its name
(`tadt.lost_after`) and have the chosen preset's values as defaults.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
import json
import sys
import textwrap
from typing import Any

from rclpy.node import Node

from tracker_core import list_trackers, ParameterError, tracker_declaration
from tracker_core.parameters import describe, ParameterInfo, TrackerConfig
from tracker_nodes.declaring import (
    checked,
    declare,
    descriptor,
    FIXED,
    given_at_start,
    warn_of_unknown,
)
from tracker_nodes.follow_config import FollowConfig
from tracker_nodes.node_config import NodeConfig


class NodeParameters:
    """Declares all parameters on a node, reads them, and refuses what does not fit with the
    reason.

    A value given at start-up that does not fit is replaced by its default; `problem` tells, until
    the parameter is set to one that does.

    Which parameters the tracker has follows from two others, `tracker` and `preset`: see `choose`.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._infos: dict[str, ParameterInfo] = {}
        self._refused: dict[str, str] = {}  # the problem by the name of the parameter
        self._declare('', describe(NodeConfig))
        self._chosen = ('', '')  # tracker and preset
        self._preset: TrackerConfig | None = None
        self._unknown = ''  # why there is no such preset
        self.choose()

    def choose(self) -> None:
        """Have the parameters of the tracker and the preset that are set now, instead of those of
        the ones before: as given at start-up, else as in the preset."""
        chosen = self['tracker'], self['preset']
        if chosen == self._chosen:
            return
        self._chosen, self._preset, self._unknown = chosen, None, ''
        for name in [name for name in self._infos if self.is_of_tracker(name)]:
            self._node.undeclare_parameter(name)
            self._refused.pop(name, None)
            del self._infos[name]
        try:
            preset = tracker_declaration(chosen[0]).preset(chosen[1]).config
        except ParameterError as error:
            self._unknown = str(error)
        else:
            self._declare(f'{chosen[0]}.', describe(preset), preset)
            self._preset = preset

    @property
    def problem(self) -> str:
        """One sentence if no tracker can be made from the parameters, else empty."""
        if self._refused or self._unknown:
            return next(iter(self._refused.values()), self._unknown)
        try:
            self.tracker_config()
        except ParameterError as error:
            return str(error)
        return ''

    def accept(self, names: Iterable[str]) -> None:
        """Note that parameters were set to values that fit."""
        for name in names:
            self._refused.pop(name, None)

    def __getitem__(self, name: str) -> Any:
        return checked(self._infos[name], self._node.get_parameter(name).value)

    def tracker_values(self, changed: dict[str, Any] | None = None) -> dict[str, Any]:
        """The tracker's own parameters, without their prefix; `changed` holds full names and
        values to take instead."""
        prefix = f'{self._chosen[0]}.'
        names = [name for name in self._infos if name.startswith(prefix)]
        return {
            name.removeprefix(prefix): (changed or {}).get(
                name, self._node.get_parameter(name).value
            )
            for name in names
        }

    def tracker_config(self, changed: dict[str, Any] | None = None) -> TrackerConfig:
        """The tracker's config as the parameters have it, see `tracker_values`.

        Raises:
            ParameterError: Values that do not fit together.
        """
        if self._preset is None:
            raise ParameterError(self._unknown)
        try:
            return type(self._preset)(**self.tracker_values(changed))
        except ParameterError as error:
            raise ParameterError(f'{self._chosen[0]}.{error}') from error

    def reason_to_refuse(self, changes: Mapping[str, Any], configured: bool) -> str:
        """Why new values cannot be set now; empty if they can.

        Args:
            changes: Names and new values; names that are not declared here are left to others.
            configured: Whether the tracker is loaded; parameters that shaped it are then fixed.
        """
        changed = {name: value for name, value in changes.items() if name in self._infos}
        try:
            for name, value in changed.items():
                info = self._infos[name]
                checked(info, value)
                if value == self[name]:
                    continue
                if configured and not info.live:
                    return (
                        f'{name} is fixed while the tracker is loaded; '
                        'clean the node up first (lifecycle: cleanup)'
                    )
            tracker, preset = (changed.get(name, self[name]) for name in ('tracker', 'preset'))
            if 'tracker' in changed or ('preset' in changed and tracker in list_trackers()):
                tracker_declaration(tracker).preset(preset)
            elif self._preset is not None:
                self.tracker_config(changed)
        except ParameterError as error:
            return str(error)
        return ''

    def warn_of_unknown(self, known: Iterable[str]) -> None:
        """Log which parameters were given at start-up that do not count; see the function of this
        name."""
        tracker = self._chosen[0]
        others: list[str] = []
        for other in list_trackers():
            if other != tracker:
                fields = describe(tracker_declaration(other).preset('compact').config)
                others += [f'{other}.{field.name}' for field in fields]
        meant = sorted(given_at_start(self._node).keys() & others)
        if meant:
            self._node.get_logger().warning(
                f'{", ".join(meant)}: ignored while the parameter tracker is {tracker!r}'
            )
        warn_of_unknown(self._node, known, meant)

    def is_of_tracker(self, name: str) -> bool:
        return '.' in name and name in self._infos

    def _declare(self, prefix: str, infos: list[ParameterInfo], values: Any = None) -> None:
        declared = {}  # known when all are: one alone may not go with the others' defaults
        for info in infos:
            name = prefix + info.name
            info = ParameterInfo(**{**vars(info), 'name': name})
            default = (
                info.default if values is None else getattr(values, name.removeprefix(prefix))
            )
            problem = declare(self._node, info, default, constraint(info))
            declared[name] = info
            if problem:
                self._refused[name] = problem
        self._infos.update(declared)


def constraint(info: ParameterInfo) -> str:
    """When a parameter of the node cannot be set, in words."""
    return '' if info.live else 'fixed while the tracker is loaded'


def parameter_file(tracker: str) -> str:
    """The text of config/<tracker>.yaml: every parameter with its help, commented out.

    So whoever uses the file has the defaults of the chosen preset, and sees what there is.
    """
    config = tracker_declaration(tracker).preset('compact').config
    lines = [
        f'# Parameters of tracker_node for {tracker}, shown as in its preset compact.',
        f'# Presets: {", ".join(tracker_declaration(tracker).presets)}',
        '# To set one, remove the # that stands directly in front of its name.',
        f'# Written by: python3 -m tracker_nodes.parameters {tracker}',
        '/**:',
        '  ros__parameters:',
        f'    tracker: {tracker}',
    ]
    rows = [(info, info.name, info.default, constraint(info)) for info in describe(NodeConfig)[1:]]
    rows += [
        (info, f'{tracker}.{info.name}', getattr(config, info.name), constraint(info))
        for info in describe(config)
    ]
    return '\n'.join([*lines, *_commented_out(rows)]) + '\n'


def follow_file() -> str:
    """The text of config/follow.yaml, likewise."""
    lines = [
        '# Parameters of target_pose.',
        '# To set one, remove the # that stands directly in front of its name.',
        '# Written by: python3 -m tracker_nodes.parameters follow',
        '/**:',
        '  ros__parameters:',
        '    autostart: true',
    ]
    rows = [
        (info, info.name, info.default, '' if info.live else FIXED)
        for info in describe(FollowConfig)
        if info.name != 'autostart'
    ]
    return '\n'.join([*lines, *_commented_out(rows)]) + '\n'


def _commented_out(rows: Iterable[tuple[ParameterInfo, str, Any, str]]) -> list[str]:
    """Lines of a parameter file; a row has a parameter, its full name, its value and when it
    cannot be set."""
    lines = []
    for info, name, value, when in rows:
        limits = descriptor(info, when).additional_constraints
        if info.minimum is not None and info.maximum is not None:
            limits = '; '.join(filter(None, [f'{info.minimum:g} to {info.maximum:g}', limits]))
        text = info.help + (f' ({limits})' if limits else '')
        lines += [
            '',
            *textwrap.wrap(text, 99, initial_indent='    # ', subsequent_indent='    # '),
        ]
        lines.append(f'    #{name}: {json.dumps(value)}')
    return lines


if __name__ == '__main__':
    print(follow_file() if sys.argv[1] == 'follow' else parameter_file(sys.argv[1]), end='')

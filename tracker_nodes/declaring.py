# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Fields of config dataclasses declared as ROS parameters, with their ranges and descriptions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.exceptions import (
    InvalidParameterException,
    InvalidParameterTypeException,
    InvalidParameterValueException,
)
from rclpy.node import Node
from rclpy.parameter import Parameter

from tracker_core.errors import ParameterError, suggestion
from tracker_core.parameters import describe, ParameterInfo, Parameters

Config = TypeVar('Config', bound=Parameters)
FIXED = 'fixed while the node is configured'
OF_EVERY_NODE = {'use_sim_time', 'start_type_description_service'}
QOS_OF_EVERY_NODE = tuple(
    f'qos_overrides.{topic}.' for topic in ('/clock', '/parameter_events', '/rosout')
)


def checked(info: ParameterInfo, value: Any) -> Any:
    """A parameter's value in its type; `-p video:=0` arrives as a number where a text is meant.

    Raises:
        ParameterError: See `ParameterInfo.check`.
    """
    return info.check(str(value) if info.type is str and type(value) is int else value)


def declare(node: Node, info: ParameterInfo, default: Any, constraint: str = '') -> str:
    """Declare a parameter; returns why the value given at start-up was refused, else an empty
    text.

    If it was, the parameter has its default.
    """
    description = descriptor(info, constraint)
    try:
        node.declare_parameter(info.name, default, description)
    except (
        InvalidParameterException,
        InvalidParameterTypeException,
        InvalidParameterValueException,
    ) as error:
        problem = _problem_of_given(node, info) or f'{info.name}: {error}'
    else:
        try:
            checked(info, node.get_parameter(info.name).value)
            return ''
        except ParameterError as error:
            node.undeclare_parameter(info.name)
            problem = str(error)
    node.declare_parameter(info.name, default, description, ignore_override=True)
    return problem


def _problem_of_given(node: Node, info: ParameterInfo) -> str:
    given = given_at_start(node).get(info.name)
    try:
        checked(info, info.default if given is None else given.value)
    except ParameterError as error:
        return str(error)
    return ''


def given_at_start(node: Node) -> dict[str, Parameter]:
    """The values of parameter files and of the command line, declared or not, by their names."""
    return getattr(node, '_parameter_overrides', {})


def warn_of_unknown(node: Node, known: Iterable[str] = (), aside: Iterable[str] = ()) -> None:
    """Log which parameters were given at start-up that the node does not have. To be called when
    it has declared all of them.

    Args:
        node: The node.
        known: Names that are not declared, but mean something nevertheless.
        aside: Names of which nothing is said here.
    """
    names = {*node.get_parameters_by_prefix(''), *known}
    unknown = given_at_start(node).keys() - names - OF_EVERY_NODE - set(aside)
    for name in sorted(unknown):
        if not name.startswith(QOS_OF_EVERY_NODE):
            node.get_logger().warning(
                f'there is no parameter {name!r}, it is ignored{suggestion(name, names)}'
            )


def declare_config(node: Node, config: type[Config], known: Iterable[str] = ()) -> Config:
    """Declare a dataclass' fields as parameters that are fixed at start-up.

    Args:
        node: The node.
        config: The dataclass.
        known: See `warn_of_unknown`.

    Returns:
        The dataclass with the values given at start-up.

    Raises:
        ParameterError: One of these values does not fit.
    """
    values = {}
    for info in describe(config):
        problem = declare(node, info, info.default, 'fixed at start-up')
        if problem:
            raise ParameterError(problem)
        values[info.name] = checked(info, node.get_parameter(info.name).value)
    warn_of_unknown(node, known)
    node.add_on_set_parameters_callback(
        lambda changes: SetParametersResult(
            successful=not any(change.name in values for change in changes),
            reason='can only be given when the node is started',
        )
    )
    return config(**values)


def declare_live_config(
    node: Node,
    config: type[Config],
    is_configured: Callable[[], bool],
    accept: Callable[[Config], None],
) -> Config:
    """Declare a dataclass' fields as parameters of a lifecycle node that can be set at any time;
    those that are not live only while it is not configured.

    Args:
        node: The node.
        config: The dataclass, which checks itself when it is made.
        is_configured: Whether the node is.
        accept: Called with the dataclass of the new values whenever some are set.

    Returns:
        The dataclass with the values given at start-up.

    Raises:
        ParameterError: One of these values does not fit.
    """
    infos = {info.name: info for info in describe(config)}
    for info in infos.values():
        problem = declare(node, info, info.default, '' if info.live else FIXED)
        if problem:
            raise ParameterError(problem)

    def made(changes: Mapping[str, Any]) -> Config:
        values = {name: node.get_parameter(name).value for name in infos}
        values.update(changes)
        return config(**{name: checked(infos[name], value) for name, value in values.items()})

    def on_set(parameters: list[Parameter]) -> SetParametersResult:
        changes = {each.name: each.value for each in parameters if each.name in infos}
        if not changes:  # others' parameters, such as qos_overrides when they are declared
            return SetParametersResult(successful=True)
        for name, value in changes.items():
            fixed = is_configured() and not infos[name].live
            if fixed and value != node.get_parameter(name).value:
                reason = f'{name} is {FIXED}; clean the node up first (lifecycle: cleanup)'
                return SetParametersResult(successful=False, reason=reason)
        try:
            accept(made(changes))
        except ParameterError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    given = made({})
    node.add_on_set_parameters_callback(on_set)
    return given


def descriptor(info: ParameterInfo, constraint: str = '') -> ParameterDescriptor:
    """What `ros2 param describe` shows of a parameter; `constraint` is added to its limits."""
    # A number without a point is meant as well for a float, and for a text such as a camera's.
    takes_numbers = info.type is float or (info.type is str and info.choices is None)
    message = ParameterDescriptor(
        name=info.name, description=info.help, dynamic_typing=takes_numbers
    )
    limits = []
    if info.choices is not None:
        limits.append(f'one of {", ".join(str(choice) for choice in info.choices)}')
    if info.minimum is not None and info.maximum is not None:
        if info.type is int:
            message.integer_range = [
                IntegerRange(from_value=int(info.minimum), to_value=int(info.maximum))
            ]
        else:
            message.floating_point_range = [
                FloatingPointRange(from_value=float(info.minimum), to_value=float(info.maximum))
            ]
    elif info.minimum is not None:
        limits.append(f'at least {info.minimum:g}')
    elif info.maximum is not None:
        limits.append(f'at most {info.maximum:g}')
    message.additional_constraints = '; '.join([*limits, constraint] if constraint else limits)
    return message

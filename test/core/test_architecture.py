# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Imports point downwards in the table of docs/architecture.md, and nowhere in circles.

That the library imports nothing but what it requires, so no ROS, is in test_metadata.py.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
import re

import pytest

ROOT = Path(__file__).parents[2]
CORE = 'tracker_core'
NODES = 'tracker_nodes'
TRACKERS = {path.parent.name for path in (ROOT / CORE).glob('*/declaration.py')}
A_TRACKER = 'TRACKER'  # how the table names the room of each

# Modules and what their imports bring along, but for what a function imports when it is called
NO_TORCH = ['registry', 'declaration', 'choices', 'parameters', 'errors', 'boxes', 'target']
NO_ROS = ['arrivals', 'depth_encodings', 'feed', 'follow_config', 'frames', 'joining']
NO_ROS += ['images_config', 'operator_config', 'picture_join']
NO_ROS += ['node_config', 'selection', 'worker']


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix('').parts
    return '.'.join(parts[:-1] if parts[-1] == '__init__' else parts)


@cache
def sources() -> dict[str, Path]:
    """Every module of both packages."""
    paths = [path for folder in (CORE, NODES) for path in (ROOT / folder).rglob('*.py')]
    return {name_of(path): path for path in paths}


def is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith('TYPE_CHECKING')


def statements(node: ast.AST, of_functions: bool) -> Iterator[ast.Import | ast.ImportFrom]:
    """Imports that are executed; those that only a type checker sees are none."""
    for child in ast.iter_child_nodes(node):
        is_function = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef))
        if isinstance(child, (ast.Import, ast.ImportFrom)):
            yield child
        elif not is_for_types(child) and (of_functions or not is_function):
            yield from statements(child, of_functions)


@cache
def imports(module: str, of_functions: bool = False) -> frozenset[str]:
    """Names of the modules that a module imports, from anywhere, when it is imported itself.

    Args:
        module: Its name.
        of_functions: Also what its functions import when they are called.
    """
    found = set()
    for statement in statements(ast.parse(sources()[module].read_text()), of_functions):
        if isinstance(statement, ast.Import):
            found |= {alias.name for alias in statement.names}
            continue
        assert statement.level == 0, f'{module} has a relative import'
        for alias in statement.names:
            deeper = f'{statement.module}.{alias.name}'
            found.add(deeper if deeper in sources() else str(statement.module))
    return frozenset(found)


def own_imports() -> dict[str, frozenset[str]]:
    return {module: imports(module) & sources().keys() for module in sources()}


def brought_along(module: str) -> frozenset[str]:
    """All that is imported with a module, the packages around it included."""
    found: set[str] = set()
    waiting = {module}
    while waiting:
        name = waiting.pop()
        found.add(name)
        parts = name.split('.')
        waiting |= {'.'.join(parts[:depth]) for depth in range(1, len(parts))} - found
        waiting |= (imports(name) if name in sources() else frozenset()) - found
    return frozenset(found)


@cache
def table() -> list[list[str]]:
    """Names of the rooms, row by row from the top, as docs/architecture.md has them."""
    text = (ROOT / 'docs' / 'architecture.md').read_text()
    rows = re.findall(r'^\| (`[^|]*) \|', text, re.MULTILINE)
    return [re.findall(r'`(\w+)(?:/|\.py)`', row) for row in rows]


def room(module: str) -> str:
    package, _, rest = module.partition('.')
    if package == NODES:
        return NODES
    name = rest.partition('.')[0] or '__init__'
    return name


def row(module: str) -> int:
    name = A_TRACKER if room(module) in TRACKERS else room(module)
    rows = [number for number, names in enumerate(table()) if name in names]
    assert len(rows) == 1, f'{room(module)} needs one row in the table of docs/architecture.md'
    return rows[0]


def circle(graph: Mapping[str, frozenset[str]]) -> list[str]:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def test_the_table_has_every_room_and_no_other():
    rooms = {room(module) for module in sources()}
    there = (rooms - TRACKERS) | ({A_TRACKER} if TRACKERS else set())
    named = [name for names in table() for name in names]
    assert len(named) == len(set(named))
    assert there - set(named) == set()
    assert set(named) == there


def test_imports_point_downwards():
    """Within a row a room imports itself and its neighbours; trackers only themselves."""
    upwards = []
    for module in sources():
        for other in imports(module, of_functions=True) & sources().keys():
            if room(other) == room(module):
                continue
            are_trackers = {room(module), room(other)} <= TRACKERS
            if row(other) < row(module) or are_trackers:
                upwards.append(f'{module} imports {other}')
    assert not upwards


def test_no_imports_in_circles():
    assert circle(own_imports()) == []


def test_a_circle_is_found():
    assert circle({'a': frozenset('b'), 'b': frozenset('c'), 'c': frozenset('a')})


@pytest.mark.parametrize('tracker', sorted(TRACKERS))
def test_what_declares_a_tracker_brings_no_torch(tracker: str):
    """Launch files, `--help` and the documents read declarations and parameters."""
    for name in ('declaration', 'config'):
        brought = {module.split('.')[0] for module in brought_along(f'{CORE}.{tracker}.{name}')}
        assert not brought & {'torch', 'cv2'}, name


@pytest.mark.parametrize('name', NO_TORCH)
def test_what_many_read_brings_no_torch(name: str):
    brought = {module.split('.')[0] for module in brought_along(f'{CORE}.{name}')}
    assert not brought & {'torch', 'cv2'}


@pytest.mark.parametrize('name', [n for n in NO_ROS if f'{NODES}.{n}' in sources()])
def test_what_needs_no_ros_brings_none(name: str):
    """So it is tested, and read by launch files, without a running ROS."""
    brought = brought_along(f'{NODES}.{name}')
    foreign = {module.split('.')[0] for module in brought - sources().keys()}
    assert not {
        package for package in foreign if re.search('^rcl|^ros|_msgs$|^launch|^ament', package)
    }
    assert not {module for module in brought if re.match(rf'{NODES}\.(msg|srv)\b', module)}

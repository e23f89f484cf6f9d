# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""What `make coverage` found, by room: benchmarks/results/coverage.json, QUALITY_DECLARATION.md.

python scripts/coverage_table.py             of what lies in out/coverage
python scripts/coverage_table.py --check     is the page the file's?
"""

from __future__ import annotations

from collections import defaultdict
import json
from pathlib import Path
import platform
import sys
from typing import Any
import xml.etree.ElementTree as ElementTree

ROOT = Path(__file__).resolve().parents[1]
MEASURED = ROOT / 'out' / 'coverage'
RESULT = ROOT / 'benchmarks' / 'results' / 'coverage.json'
PAGE = ROOT / 'QUALITY_DECLARATION.md'
BEGIN, END = '<!-- written by scripts/coverage_table.py -->\n', '<!-- end -->'


def measure() -> dict[str, Any]:
    """Lines and how many of them ran, by room, and how the tests ended."""
    import coverage

    data = coverage.Coverage(str(MEASURED / 'data'), config_file=str(ROOT / 'pyproject.toml'))
    data.combine([str(MEASURED)], keep=True)
    data.json_report(outfile=str(MEASURED / 'files.json'))
    files = json.loads((MEASURED / 'files.json').read_text())['files']
    rooms: dict[str, dict[str, int]] = defaultdict(lambda: {'files': 0, 'lines': 0, 'run': 0})
    for name, found in files.items():
        for room in (room_of(name), 'total'):
            rooms[room]['files'] += 1
            rooms[room]['lines'] += found['summary']['num_statements']
            rooms[room]['run'] += found['summary']['covered_lines']
    suites = [
        suite
        for path in MEASURED.glob('*.xml')
        for suite in ElementTree.parse(path).getroot().findall('testsuite')
    ]
    tests = {
        key: sum(int(suite.get(key, '0')) for suite in suites)
        for key in ('tests', 'failures', 'errors', 'skipped')
    }
    total = rooms.pop('total')
    return {
        'python': platform.python_version(),
        'coverage': coverage.__version__,
        'files': len(suites),
        'of_files': len([*ROOT.glob('test/core/test_*.py'), *ROOT.glob('test/nodes/test_*.py')]),
        'tests': tests,
        'rooms': dict(sorted(rooms.items())),
        'total': total,
    }


def room_of(name: str) -> str:
    """The folder of a file: tracker_core/atom, or the package for what lies in no room."""
    _, _, inside = name.rpartition('site-packages/')
    return '/'.join(Path(inside).parts[:-1][:2])


def table(found: dict[str, Any]) -> str:
    """The page's part: a line a room, and how many tests that was."""
    lines = ['| room | files | lines | run |', '| --- | ---: | ---: | ---: |']
    for room, each in [*found['rooms'].items(), ('total', found['total'])]:
        share = 100 * each['run'] / max(each['lines'], 1)
        lines.append(f'| `{room}` | {each["files"]} | {each["lines"]} | {share:.1f} % |')
    tests = found['tests']
    failed = tests['failures'] + tests['errors']
    lines.append(
        f'\n{tests["tests"]} tests of {found["files"]} of the {found["of_files"]} files in '
        f'test/core and test/nodes, {tests["skipped"]} of them skipped and {failed} failed; '
        f'Python {found["python"]}, coverage.py {found["coverage"]}, a machine without a GPU.\n'
    )
    return '\n'.join(lines)


def page(found: dict[str, Any] | None) -> str:
    before, rest = PAGE.read_text().split(BEGIN)
    text = table(found) if found else 'Not measured for this version yet.\n'
    return before + BEGIN + text + END + rest.split(END, 1)[1]


def main() -> int:
    if sys.argv[1:] == ['--check']:
        found = json.loads(RESULT.read_text()) if RESULT.exists() else None
        return int(page(found) != PAGE.read_text())
    found = measure()
    RESULT.write_text(f'{json.dumps(found, indent=1)}\n')
    PAGE.write_text(page(found))
    print(table(found))
    return 0


if __name__ == '__main__':
    sys.exit(main())

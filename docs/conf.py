# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""For Sphinx (`make docs`): these pages, and the reference of tracker_core from its docstrings."""

from __future__ import annotations

import os.path
from pathlib import Path
import re
import sys
import xml.etree.ElementTree as ElementTree

from sphinx.application import Sphinx
from sphinx.ext import apidoc

# rosdoc2 executes this file from another conf.py, beside a copy of the pages
ELSEWHERE = re.search(r'^exec\(open\("(.*)"\)', Path(__file__).read_text(), re.MULTILINE)
DOCS = Path(ELSEWHERE[1] if ELSEWHERE else __file__).resolve().parent
ROOT = DOCS.parent
PACKAGE = ElementTree.parse(ROOT / 'package.xml').getroot()
sys.path.insert(0, str(ROOT))  # the working tree goes before what is installed

project = PACKAGE.findtext('name')
author = PACKAGE.findtext('maintainer')
copyright = f'2026 {author}'  # noqa: A001
version = release = PACKAGE.findtext('version')

extensions = ['myst_parser', 'sphinx.ext.autodoc', 'sphinx.ext.napoleon']
html_theme = 'furo'
html_title = f'{project} {version}'
exclude_patterns = ['images']
suppress_warnings = ['ref.python']  # types that have the same name in two rooms
default_role = 'code'  # docstrings mark names as these pages do
myst_heading_anchors = 4
myst_links_external_new_tab = False
linkcheck_ignore = [r'^[a-z]+://$']  # kinds of addresses that docstrings name
linkcheck_timeout = 10
linkcheck_retries = 1
autodoc_default_options = {'ignore-module-all': True}  # what comes from elsewhere is shown there
autodoc_member_order = 'bysource'
autodoc_typehints = 'description'
autodoc_typehints_description_target = 'documented'
napoleon_use_ivar = True

# Pages that lie elsewhere, and under which name they are here
INCLUDED = {
    ROOT / 'README.md': 'index.md',
    ROOT / 'CONTRIBUTING.md': 'contributing.md',
    ROOT / 'QUALITY_DECLARATION.md': 'quality.md',
    ROOT / 'SECURITY.md': 'security.md',
    ROOT / 'benchmarks' / 'README.md': 'measuring.md',
}
LINK = re.compile(r'(\[[^\]]*\])\((?!\w+:)([^)#\s]+)(#[^)\s]*)?\)')
INCLUDE = re.compile(r'(```\{include\} )(\S+)')
SECTION = re.compile(r'\w[\w ]*:$')  # Args:, Returns:


def mapped(app: Sphinx, text: str, folder: Path, page: str) -> str:
    """A text that lies in `folder`, with links as Sphinx takes them in a page; of a link to a
    folder, or to a text that is no page, the words stay.
    """

    def link(found: re.Match[str]) -> str:
        words, target, anchor = found[1], found[2], found[3] or ''
        path = (folder / target).resolve()
        path = DOCS / INCLUDED[path] if path in INCLUDED else path
        is_page = path.is_relative_to(DOCS)
        if path.is_dir() or (path.suffix in ('.md', '.rst') and not is_page):
            return words[1:-1]
        return f'{words}({seen_from(app, page, path)}{anchor})'

    return LINK.sub(link, text)


def seen_from(app: Sphinx, page: str, path: Path) -> str:
    """The relative path of a file from a page, where Sphinx has the pages."""
    if path.is_relative_to(DOCS):
        path = app.srcdir / path.relative_to(DOCS)
    return os.path.relpath(path, (app.srcdir / page).parent)


def map_page(app: Sphinx, page: str, source: list[str]) -> None:
    path = DOCS / f'{page}.md'
    if path.exists():
        text = mapped(app, source[0], path.parent, page)
        source[0] = INCLUDE.sub(
            lambda found: found[1] + seen_from(app, page, (path.parent / found[2]).resolve()), text
        )


def map_included(app: Sphinx, path: Path, page: str, source: list[str]) -> None:
    source[0] = mapped(app, source[0], (app.srcdir / path).resolve().parent, page)


def show_code(
    app: Sphinx, what: str, name: str, item: object, options: object, lines: list[str]
) -> None:
    """Indented paragraphs of docstrings are code."""
    text = list(lines)
    lines.clear()
    is_code = False
    for number, line in enumerate(text):
        is_indented = line.startswith('    ')
        before = next((each for each in reversed(text[:number]) if each.strip()), '')
        begins = is_indented and number > 0 and not text[number - 1].strip()
        if begins and not is_code and not before.startswith(' ') and not SECTION.match(before):
            lines += ['::', '']
            is_code = True
        elif line.strip() and not is_indented:
            is_code = False
        lines.append(line)


def setup(app: Sphinx) -> None:
    if app.srcdir.resolve() != DOCS:
        (app.srcdir / 'index.rst').unlink(missing_ok=True)  # rosdoc2's, in the place of ours
    api = app.srcdir / 'api'
    for page in api.glob('*.rst'):
        module = ROOT.joinpath(*page.stem.split('.'))
        if not ((module / '__init__.py').exists() or module.with_suffix('.py').exists()):
            page.unlink()
    options = ['--force', '--separate', '--module-first', '--no-toc']
    apidoc.main([*options, '--output-dir', str(api), str(ROOT / 'tracker_core')])
    app.connect('source-read', map_page)
    app.connect('include-read', map_included)
    app.connect('autodoc-process-docstring', show_code, priority=100)  # before napoleon

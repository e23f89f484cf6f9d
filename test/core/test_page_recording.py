# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Ground truth from boxes that are drawn in the page: the command, over a real WebSocket."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
import contextlib
import json
from pathlib import Path
import shutil
import signal
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from tracker_core.annotating.desk import RecordingDesk
from tracker_core.errors import VideoError
from tracker_core.media.frame_source import FrameSource
from tracker_core.media.moments import Shot
from tracker_core.media.scene import render_scene

aiohttp = pytest.importorskip('aiohttp', reason='the extra operator is not installed')
SCENE = render_scene('calm', frames=12)
PATIENCE = 120.0  # seconds; a time-out of each reading would begin anew with each heartbeat


class Page:
    """A browser without a screen."""

    def __init__(self, talk: aiohttp.ClientWebSocketResponse) -> None:
        self._talk = talk
        self._state: dict[str, Any] = {}  # the newest

    async def until(self, what: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
        """Read on until a message, or the header of a picture, fits; the newest state may."""
        if self._state and what(self._state):
            return self._state
        return await asyncio.wait_for(self._until(what), PATIENCE)

    async def _until(self, what: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
        while True:
            each = await self._talk.receive()
            assert each.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY), each
            if each.type is aiohttp.WSMsgType.TEXT:
                content = json.loads(each.data)
            else:
                length = int.from_bytes(each.data[:4], 'big')
                content = {'kind': 'picture', **json.loads(each.data[4 : 4 + length])}
                seen = {'kind': 'seen', 'number': content['number'], 'width': 320}
                await self._talk.send_str(json.dumps(seen))
            if content['kind'] == 'state':
                self._state = content
            if what(content):
                return content

    async def ask(self, **request: Any) -> dict[str, Any]:
        await self._talk.send_str(json.dumps(request))
        return await self.until(lambda message: message['kind'] == 'answer')

    async def seek(self, frame: int) -> dict[str, Any]:
        """The header of a frame."""
        await self._talk.send_str(json.dumps({'kind': 'seek', 'frame': frame}))
        found: dict[str, dict[str, Any]] = {}  # picture and answer come in any order

        def has_both(message: dict[str, Any]) -> bool:
            if message['kind'] == 'answer' or message.get('stamp') == str(frame):
                found[message['kind']] = message
            return len(found) == 2

        await self.until(has_both)
        return found['picture']


@contextlib.contextmanager
def annotating(out: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command with its page, and the address of that."""
    code = 'import sys; from tracker_core.commands import main; sys.exit(main())'
    given = ['annotate', 'scene:calm:12', '--tracker', 'spm', '--device', 'cpu', '--page']
    given += ['--port', '0', '--out', str(out), '--format', 'otb', *options]
    process = subprocess.Popen(
        [sys.executable, '-c', code, *given], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline().split()[1]
    finally:
        process.kill()


def with_page(out: Path, act: Callable[[Page], Awaitable[Any]], *options: str) -> tuple[Any, int]:
    """Start the command, do something on its page, and end it; what came of both."""

    async def look(url: str) -> Any:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f'{url}socket', headers={'Origin': url.rstrip('/')}) as talk,
        ):
            return await act(Page(talk))

    with annotating(out, *options) as (process, url):
        return asyncio.run(look(url)), end(process)


def end(process: subprocess.Popen[str]) -> int:
    process.send_signal(signal.SIGINT)
    return process.wait(20)


def test_boxes_are_drawn_tracked_looked_at_and_written(tmp_path: Path):
    out = tmp_path / 'calm'

    async def act(page: Page) -> Any:
        first = await page.until(lambda m: m['kind'] == 'picture')
        assert (first['stamp'], first['targets']) == ('0', [])
        refused = await page.ask(kind='finish')
        for number in (0, 11):
            await page.seek(number)
            box = SCENE.boxes[number].as_xywh()
            await page.ask(kind='start', box=box, stamp=str(number))
        drawn = await page.until(lambda m: m['kind'] == 'state' and m['targets'][1:])
        beyond = await page.ask(kind='start', box=[1, 2, 30, 40], stamp='12')
        await page.ask(kind='finish')
        busy = await page.ask(kind='reset')
        done = await page.until(
            lambda m: m['kind'] == 'state' and m['notices'] and m['recording']['progress'] is None
        )
        between = await page.seek(5)
        removed = await page.ask(kind='remove', id='frame 11')
        unknown = await page.ask(kind='remove', id='frame 3')
        await page.ask(kind='finish')
        await page.until(lambda m: m['kind'] == 'state' and len(m['notices']) == 2)
        return refused, drawn, beyond, busy, done, between, removed, unknown

    results, code = with_page(out, act)
    refused, drawn, beyond, busy, done, between, removed, unknown = results
    assert code == 0, 'Ctrl-C is how it ends'
    assert not refused['success']
    assert drawn['recording'] == {'length': 12, 'frame': 11, 'given': [0, 11], 'progress': None}
    assert [each['id'] for each in drawn['targets']] == ['frame 0', 'frame 11']
    assert not beyond['success']
    assert busy['message'] == 'wait until all frames have been tracked'
    ((_, is_error, text),) = done['notices']
    assert not is_error, text
    assert '2 of them given by hand' in text
    assert str(out) in text
    (target,) = between['targets']
    assert target['id'] == 'found'
    assert np.allclose(target['box'], SCENE.boxes[5].as_xywh(), atol=12)
    assert removed['success']
    assert not unknown['success']
    lines = (out / 'groundtruth_rect.txt').read_text().splitlines()
    assert len(lines) == len(list((out / 'img').iterdir())) == 12
    x, y, w, h = SCENE.boxes[0].as_xywh()
    assert lines[0] == f'{x + 1:.2f},{y + 1:.2f},{w:.2f},{h:.2f}'


def test_boxes_of_the_command_line_are_there(tmp_path: Path):
    async def act(page: Page) -> Any:
        return await page.until(lambda m: m['kind'] == 'state' and m['targets'])

    state, code = with_page(tmp_path / 'calm', act, '--box', '4')
    assert code == 0
    assert state['recording']['given'] == [4]
    assert not (tmp_path / 'calm').exists(), 'nothing was asked for'


def test_what_cannot_be_wound_back_is_refused():
    once = FrameSource('a pipe', 30, (4, 4), 3, lambda: iter(()), is_repeatable=False)
    endless = FrameSource('a camera', 30, (4, 4), None, lambda: iter(()))
    for source in (once, endless):
        with pytest.raises(VideoError, match='cannot be wound back'):
            RecordingDesk(source, None, {}, lambda found, given: '')


def test_a_frame_that_cannot_be_read_is_named():
    desk = RecordingDesk(
        FrameSource('broken', 30, (4, 4), 3, lambda: iter([Shot(lambda: None)] * 3)),
        None, {}, lambda found, given: '',
    )  # fmt: skip
    with pytest.raises(VideoError, match='frame 0 cannot be read'):
        desk.open()
    desk.close()


def test_in_a_real_browser(tmp_path: Path):
    driver = pytest.importorskip(
        'playwright.sync_api', reason='needs pip install -r requirements/browser.txt'
    )
    chromium = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser'))), None)
    if chromium is None:
        pytest.skip('Chromium is not installed (apt install chromium)')
    with annotating(tmp_path / 'calm') as (_, url), driver.sync_playwright() as playing:
        browser = playing.chromium.launch(
            executable_path=chromium,
            args=['--no-sandbox', '--disable-gpu', '--disable-background-networking'],
        )
        page = browser.new_page(viewport={'width': 1000, 'height': 700})

        def frame(number: int) -> None:
            page.wait_for_function(f"() => shown && shown.header.stamp === '{number}'")

        def draw(number: int) -> None:
            frame(number)
            box = SCENE.boxes[number]
            for step, (x, y) in enumerate(((box.x, box.y), (box.cx, box.cy), (box.x2, box.y2))):
                place = page.evaluate(
                    """([x, y]) => {
                        const {scale, left, top} = placement();
                        const ratio = canvas.width / canvas.clientWidth;
                        return [(left + x * scale) / ratio, (top + y * scale) / ratio];
                    }""",
                    [x, y],
                )
                page.mouse.move(*place)
                if step == 0:
                    page.mouse.down()
            page.mouse.up()
            page.wait_for_function(f'() => state.recording.given.includes({number})')

        page.goto(url)
        draw(0)
        page.keyboard.press('ArrowRight')
        frame(1)
        page.keyboard.press('Shift+ArrowRight')
        draw(11)
        page.click('#finish')
        page.wait_for_function('() => state.notices.length === 1', timeout=120_000)
        assert 'wrote' in page.locator('#notices').inner_text()
        page.locator('#targets li').first.click()
        frame(0)
        page.keyboard.press('ArrowLeft')  # there is nothing before
        for number in range(1, 6):
            page.keyboard.press('ArrowRight')
            frame(number)
        assert page.evaluate('() => shown.header.targets[0].id') == 'found'
        browser.close()
    assert (tmp_path / 'calm' / 'groundtruth_rect.txt').is_file()

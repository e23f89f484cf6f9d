# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The page's web server over real sockets: who sees what, what is refused, and that nobody holds
up anybody."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
import contextlib
import json
from pathlib import Path
import random
import shutil
import socket
import ssl
import subprocess
import time
from typing import Any

import cv2
import numpy as np
import pytest

from tracker_core import Box, ImageError, ParameterError, TrackStatus
from tracker_core.page.access import Access
from tracker_core.page.config import PageConfig
from tracker_core.page.link import (
    AHEAD,
    Allowance,
    HOPE,
    Level,
    LEVELS,
    Link,
    LONGEST_HOPE,
    PATIENCE,
)
from tracker_core.page.requests import (
    Answer,
    Choose,
    Finish,
    KINDS,
    parse_request,
    Pause,
    Remove,
    Request,
    RequestError,
    Reset,
    Seek,
    Seen,
    Start,
)
from tracker_core.page.state import PageState, Picture, ScoreHistory, TargetView

aiohttp = pytest.importorskip('aiohttp', reason='the extra operator is not installed')
from tracker_core.page.server import (  # noqa: E402
    LONGEST_MESSAGE,
    PageServer,
    REFUSALS_AT_ONCE,
    REQUESTS_AT_ONCE,
)

TOKEN = 'a-token-of-24-characters'
LIMIT = 60.0  # seconds; a time-out of each reading would begin anew with each heartbeat
TARGET = TargetView('cup_1', 'cup', TrackStatus.TRACKING, 0.875, Box(10.5, 20, 30, 40.25))


class Clerk:
    """A desk that writes down what it is asked."""

    def __init__(self) -> None:
        self.asked: list[Request] = []
        self.delay = 0.0

    async def ask(self, request: Request) -> Answer:
        self.asked.append(request)
        await asyncio.sleep(self.delay)
        if isinstance(request, Remove):
            raise ImageError('no such target')
        if isinstance(request, Finish):
            raise ZeroDivisionError('by accident')
        return Answer(True, 'done')


@contextlib.contextmanager
def serving(clerk: Clerk | None = None, **config: Any) -> Iterator[tuple[PageServer, str]]:
    """A server on a free port, with the address of its page."""
    server = PageServer(PageConfig(**{'port': 0, **config}), clerk or Clerk())
    server.open()
    try:
        yield server, server.url
    finally:
        server.close()


def picture(stamp: int = 1, width: int = 320, height: int = 240, level: int = 90) -> Picture:
    return Picture(stamp, lambda: np.full((height, width, 3), level, np.uint8), (TARGET,))


def unpacked(data: bytes) -> tuple[dict[str, Any], np.ndarray]:
    """Header and pixels (RGB) of a message with a picture."""
    length = int.from_bytes(data[:4], 'big')
    image = cv2.imdecode(np.frombuffer(data[4 + length :], np.uint8), cv2.IMREAD_COLOR)
    return json.loads(data[4 : 4 + length]), image[..., ::-1]


class Viewer:
    """A browser without a screen."""

    def __init__(self, talk: aiohttp.ClientWebSocketResponse) -> None:
        self.talk = talk
        self.others: list[dict[str, Any]] = []  # that were read while something else was awaited

    async def text(self, kind: str, **fields: Any) -> dict[str, Any]:
        """The next message of a kind whose fields have these values."""
        return await asyncio.wait_for(self._text(kind, fields), LIMIT)

    async def picture(self) -> tuple[dict[str, Any], np.ndarray]:
        """The next picture."""
        return await asyncio.wait_for(self._picture(), LIMIT)

    async def _text(self, kind: str, fields: dict[str, Any]) -> dict[str, Any]:
        while True:
            each = await self.talk.receive()
            assert each.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY), each
            if each.type is aiohttp.WSMsgType.TEXT:
                content = json.loads(each.data)
                if content['kind'] == kind and fields.items() <= content.items():
                    return content

    async def _picture(self) -> tuple[dict[str, Any], np.ndarray]:
        while True:
            each = await self.talk.receive()
            assert each.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY), each
            if each.type is aiohttp.WSMsgType.BINARY:
                return unpacked(each.data)

    async def ask(self, **request: Any) -> dict[str, Any]:
        await self.talk.send_str(json.dumps(request))
        return await self.text('answer')

    async def end(self) -> int | None:
        """Read on until the server closes; returns its code."""
        told = None  # what the client notes becomes another code if its reply comes too late
        while not self.talk.closed:
            each = await asyncio.wait_for(self.talk.receive(), LIMIT)
            if each.type is aiohttp.WSMsgType.CLOSE:
                told = each.data
        return told or self.talk.close_code


def viewing(url: str, act: Callable[[Viewer], Awaitable[Any]], count: int = 1, **how: Any) -> Any:
    """Look at a page with viewers at the same time, each of which does something."""

    async def main() -> list[Any]:
        async with aiohttp.ClientSession(
            cookie_jar=aiohttp.CookieJar(unsafe=True)  # with an address for its name
        ) as session:
            async with session.get(url, **how) as page:
                assert page.status == 200
            base = url.partition('?')[0]
            headers = {'Origin': base.rstrip('/')}

            async def view() -> Any:
                async with session.ws_connect(f'{base}socket', headers=headers, **how) as talk:
                    return await act(Viewer(talk))

            return await asyncio.gather(*(view() for _ in range(count)))

    results = asyncio.run(main())
    return results[0] if count == 1 else results


def get(url: str, path: str = '', method: str = 'GET', **headers: str) -> Any:
    """Status, headers and body of an answer; redirections are not followed."""

    async def main() -> Any:
        async with aiohttp.ClientSession() as session:
            target = aiohttp.client.URL(url.partition('?')[0] + path, encoded=True)
            async with session.request(
                method, target, headers=headers, allow_redirects=False
            ) as answer:
                return answer.status, answer.headers, await answer.read()

    return asyncio.run(main())


def socket_status(url: str, **headers: str) -> int:
    """What a WebSocket is answered, 101 if it opens."""

    async def main() -> int:
        async with aiohttp.ClientSession() as session:
            try:
                async with session.ws_connect(f'{url.partition("?")[0]}socket', headers=headers):
                    return 101
            except aiohttp.WSServerHandshakeError as error:
                return error.status

    return asyncio.run(main())


# Requests


@pytest.mark.parametrize(
    ('text', 'request_'),
    [
        (
            '{"kind":"start","box":[1,2.5,30,40],"stamp":"1795816659104715072","id":"a","label":"cup"}',
            Start(Box(1, 2.5, 30, 40), 1795816659104715072, 'a', 'cup'),
        ),
        ('{"kind":"start","box":[1,2,3,4]}', Start(Box(1, 2, 3, 4))),
        ('{"kind":"remove","id":"cup_1"}', Remove('cup_1')),
        ('{"kind":"reset"}', Reset()),
        ('{"kind":"pause","paused":true}', Pause(True)),
        ('{"kind":"choose","tracker":"spm","preset":"compact"}', Choose('spm', 'compact')),
        ('{"kind":"seek","frame":12}', Seek(12)),
        ('{"kind":"finish"}', Finish()),
        ('{"kind":"seen","number":7,"width":640}', Seen(7, 640)),
    ],
)
def test_requests_are_read(text: str, request_: Request):
    assert parse_request(text) == request_


@pytest.mark.parametrize(
    ('text', 'reason'),
    [
        ('', 'JSON object'),
        ('[1]', 'JSON object'),
        ('[' * 4000, 'JSON object'),
        ('{"kind":"__class__"}', 'kind must be one of start, remove'),
        ('{"kind":["start"]}', 'kind must be one of'),
        ('{"kind":"start"}', 'start lacks box'),
        ('{"kind":"pause"}', 'pause lacks paused'),
        ('{"kind":"pause","paused":1}', 'paused must be true or false'),
        ('{"kind":"reset","all":true}', "reset has no field 'all'"),
        ('{"kind":"start","box":[1,2,3]}', 'box must be'),
        ('{"kind":"start","box":[1,2,3,true]}', 'box must be'),
        ('{"kind":"start","box":[1,2,3,NaN]}', 'JSON object'),
        ('{"kind":"start","box":[1,2,3,1e999]}', 'finite|box'),
        ('{"kind":"start","box":[1,2,-3,4]}', 'box'),
        ('{"kind":"start","box":[0.1,0.2,0.3,0.4]}', 'smaller than a pixel'),
        ('{"kind":"start","box":[1,2,3,4],"stamp":-1}', 'stamp must be a whole number'),
        ('{"kind":"start","box":[1,2,3,4],"stamp":1.5}', 'stamp must be a whole number'),
        ('{"kind":"start","box":[1,2,3,4],"stamp":"12a"}', 'stamp must be a whole number'),
        ('{"kind":"remove","id":7}', 'id must be a text'),
        (json.dumps({'kind': 'remove', 'id': 'x' * 101}), 'at most 100 characters'),
    ],
)
def test_what_is_no_request_is_refused_with_the_reason(text: str, reason: str):
    with pytest.raises(RequestError, match=reason):
        parse_request(text)


def malformed(rng: random.Random) -> str:
    """A message that nearly is a request, or is nothing at all."""
    values = [None, True, -1, 0, 3, 2**70, 1e308, '', 'x', '\0', '\ud800', [], {}, [1, 2, 3, 4]]
    values += [[1, 2, 3, [4]], {'box': [1, 2, 3, 4]}, 'x' * 5000, ['a', 'b', 'c', 'd']]
    names = [
        'kind',
        'box',
        'stamp',
        'id',
        'label',
        'paused',
        'frame',
        'number',
        'width',
        '__init__',
    ]
    content = {rng.choice(names): rng.choice(values) for _ in range(rng.randrange(5))}
    if rng.random() < 0.8:
        content['kind'] = rng.choice(list(KINDS))
    text = json.dumps(content)
    if rng.random() < 0.4:  # cut, or with something in it that does not belong there
        at = rng.randrange(len(text) + 1)
        text = text[:at] + rng.choice(['', '\0', '}', '"', '{"', 'é', '\\u']) + text[at + 1 :]
    return text


def test_ten_thousand_messages_are_requests_or_refused():
    rng = random.Random(7)
    refusals = []
    for _ in range(10_000):
        try:
            assert type(parse_request(malformed(rng))) in KINDS.values()
        except RequestError as error:
            refusals.append(str(error))
    assert 5_000 < len(refusals) < 10_000
    assert max(map(len, refusals)) < 300


# The link to a viewer


def test_two_pictures_are_on_their_way_at_most():
    link = Link(max_rate=10)
    assert link.wait(5.0) == 0
    link.send(1, 5.0)
    assert link.wait(5.0) == pytest.approx(0, abs=0.11)
    link.send(4, 5.1)
    assert link.wait(9.0) is None
    link.see(1, 9.0)
    assert link.wait(9.0) == 0
    link.send(9, 9.0)
    link.see(9, 9.0)
    assert link.wait(9.5) == 0, 'who has seen a picture will not see those before it'
    assert AHEAD == 2


def test_pictures_come_at_the_rate_that_is_allowed():
    link = Link(max_rate=10)
    times, now = [], 100.0
    for number in range(50):
        now += link.wait(now) or 0.0
        times.append(now)
        link.send(number, now)
        link.see(number, now)
    assert np.diff(times)[2:].mean() == pytest.approx(0.1, rel=0.05)


class Drive:
    """Pictures over a link of so much delay (seconds) and room (largest pictures a second), one
    after the other."""

    def __init__(self) -> None:
        self.link, self.now = Link(max_rate=100), 0.0

    def __call__(self, seconds: float, delay: float, room: float) -> list[Level]:
        """The level of each picture in so many seconds."""
        levels, end = [], self.now + seconds
        while self.now < end:
            number, level = self.link.sent + 1, self.link.level
            levels.append(level)
            self.link.send(number, self.now)
            self.now += delay + level.share**2 / room
            self.link.see(number, self.now)
        return levels


def test_a_slow_link_gets_less_detail_and_a_fast_one_all_of_it_again():
    drive = Drive()
    assert set(drive(5.0, 0.0, 50)) == {LEVELS[0]}
    drive((len(LEVELS) + 2) * (PATIENCE + 1.0), 0.0, 1)
    levels = drive(300.0, 0.0, 1)
    assert max(levels, key=levels.count) == LEVELS[2], 'a quarter of a second each'
    assert levels.count(LEVELS[1]) < 0.05 * len(levels), 'more is tried ever more rarely'
    drive((len(LEVELS) + 1) * HOPE + LONGEST_HOPE, 0.0, 50)
    assert drive.link.level == LEVELS[0]


def test_a_link_with_much_delay_and_much_room_gets_all_detail():
    drive = Drive()
    drive(60.0, 0.6, 50)
    assert set(drive(60.0, 0.6, 50)) == {LEVELS[0]}
    drive(60.0, 0.6, 0.5)
    levels = drive(120.0, 0.6, 0.5)
    assert max(levels, key=levels.count) in LEVELS[3:], 'and is less all the same where room ends'


def test_an_allowance_is_used_up_and_comes_back():
    allowance = Allowance(rate=2, burst=3)
    assert [allowance.take(10.0) for _ in range(4)] == [True, True, True, False]
    assert allowance.take(10.6)
    assert not allowance.take(10.7)


def test_scores_are_kept_for_a_minute():
    history = ScoreHistory()
    history.add(0.0, [TARGET])
    history.add(30.0, [TARGET])
    assert history.as_json(40.0) == {
        'cup_1': [[40.0, 0.875, 'TRACKING'], [10.0, 0.875, 'TRACKING']]
    }
    history.add(80.0, [])
    assert history.as_json(80.0) == {'cup_1': [[50.0, 0.875, 'TRACKING']]}
    history.add(91.0, [])
    assert history.as_json(91.0) == {}


# Parameters


@pytest.mark.parametrize(
    ('values', 'reason'),
    [
        ({'address': 'robot'}, 'must be an IP address'),
        ({'token': 'short'}, 'token must have 16'),
        ({'token': 'with spaces and more of them'}, 'token must have 16'),
        ({'key': '/nowhere/key.pem'}, 'without certificate'),
        ({'certificate': '/nowhere/robot.pem'}, r'/nowhere/robot\.pem is no file'),
        ({'max_viewers': 0}, 'max_viewers'),
    ],
)
def test_parameters_that_do_not_fit_are_refused(values: dict, reason: str):
    with pytest.raises(ParameterError, match=reason):
        PageConfig(**values)


def test_a_token_is_made_for_every_address_but_loopback():
    assert Access(PageConfig()).token == ''
    assert Access(PageConfig(address='::1')).token == ''
    tokens = {Access(PageConfig(address='0.0.0.0')).token for _ in range(5)}
    assert len(tokens) == 5
    assert min(map(len, tokens)) >= 32
    assert Access(PageConfig(address='0.0.0.0', token=TOKEN)).token == TOKEN


# The server


def test_the_page_is_small_and_asks_nobody_else():
    total = 0
    with serving() as (_, url):
        for path, kind in (('', 'html'), ('page.js', 'javascript'), ('page.css', 'css')):
            status, headers, body = get(url, path)
            assert status == 200
            assert kind in headers['Content-Type']
            assert "default-src 'none'" in headers['Content-Security-Policy']
            assert headers['X-Content-Type-Options'] == 'nosniff'
            assert b'//' not in body.replace(b'// ', b'').replace(b'://${', b''), 'an address'
            total += len(body)
    assert total < 100_000


@pytest.mark.parametrize(
    'path',
    [
        '../server.py', '..%2fserver.py', '%2e%2e/%2e%2e/etc/passwd', '/etc/passwd', 'page.js/',
        'static/page.js', 'index.html', '.%00', 'page.js%00.css', 'socket/..', '*',
        '\\..\\server.py',
    ],
)  # fmt: skip
def test_nothing_else_is_served(path: str):
    with serving() as (_, url):
        status, _, body = get(url, path)
    assert status in (400, 404)
    assert len(body) < 300
    assert b'import' not in body


@pytest.mark.parametrize('method', ['POST', 'PUT', 'DELETE', 'OPTIONS', 'TRACE', 'PROPFIND'])
def test_nothing_is_changed_by_http(method: str):
    clerk = Clerk()
    with serving(clerk) as (_, url):
        assert get(url, method=method)[0] == 405
        assert get(url, 'socket', method=method)[0] == 405
    assert clerk.asked == []


def test_pictures_come_with_their_boxes():
    async def look(viewer: Viewer) -> Any:
        await viewer.text('scores')
        return await viewer.picture()

    with serving() as (server, url):
        server.show(picture(1795816659104715072, level=200))
        header, image = viewing(url, look)
    assert header['stamp'] == '1795816659104715072', 'digits, which JavaScript does not round'
    assert (header['width'], header['height']) == (320, 240)
    assert header['targets'] == [TARGET.as_json()]
    assert header['targets'][0]['box'] == [10.5, 20, 30, 40.25]
    assert image.shape == (240, 320, 3)
    assert abs(int(image.mean()) - 200) < 3


def test_a_viewer_gets_the_newest_picture_in_its_width():
    async def look(viewer: Viewer) -> Any:
        sizes = []
        header, image = await viewer.picture()
        for width in (4000, 500, 10):
            for _ in range(4):  # some are on their way in the width before
                seen = {'kind': 'seen', 'number': header['number'], 'width': width}
                await viewer.talk.send_str(json.dumps(seen))
                for stamp in range(5):  # more than it takes
                    server.show(picture(stamp, 2000, 1000))
                while header['stamp'] != '4':
                    header, image = await viewer.picture()
                    seen['number'] = header['number']
                    await viewer.talk.send_str(json.dumps(seen))
                assert header['width'] == 2000, 'the size of the image itself'
                header['stamp'] = ''  # of the next round
            sizes.append(image.shape[:2])
        return sizes

    with serving(max_width=1000) as (server, url):
        server.show(picture(0, 2000, 1000))
        sizes = viewing(url, look)
    assert sizes == [(500, 1000), (256, 512), (32, 64)], 'in steps of 64 pixels'


@pytest.mark.parametrize('error', [ImageError('no picture'), ZeroDivisionError('by accident')])
def test_a_picture_that_cannot_be_read_is_left_out(error: Exception):
    def broken() -> np.ndarray:
        raise error

    async def look(viewer: Viewer) -> Any:
        await viewer.text('scores')
        await asyncio.sleep(0.2)
        server.show(picture(2))
        return (await viewer.picture())[0]['stamp']

    with serving() as (server, url):
        server.show(Picture(1, broken))
        assert viewing(url, look) == '2'


def test_requests_are_answered_to_whoever_asked():
    async def ask(viewer: Viewer) -> Any:
        good = await viewer.ask(kind='start', box=[1, 2, 30, 40], stamp='5', id='a')
        bad = await viewer.ask(kind='start', box=[1, 2, 30])
        refused = await viewer.ask(kind='remove', id='nobody')
        failed = await viewer.ask(kind='finish')
        return good, bad, refused, failed

    clerk = Clerk()
    with serving(clerk) as (_, url):
        good, bad, refused, failed = viewing(url, ask)
    assert (good['success'], good['message']) == (True, 'done')
    assert (bad['success'], bad['message']) == (False, 'box must be [x, y, w, h] in pixels')
    assert (refused['success'], refused['message']) == (False, 'no such target')
    assert not failed['success']
    assert failed['message'] == 'it failed: ZeroDivisionError: by accident'
    assert clerk.asked == [Start(Box(1, 2, 30, 40), 5, 'a'), Remove('nobody'), Finish()]


def test_the_state_and_the_scores_are_told():
    async def look(viewer: Viewer) -> Any:
        state = await viewer.text('state', tracker='spm')
        return state

    async def late(viewer: Viewer) -> Any:
        return await viewer.text('scores')

    state = PageState('spm', 'compact', {'spm': ['compact']}, [TARGET], rate=29.96, dropped=3)
    with serving() as (server, url):
        server.tell(state)
        told = viewing(url, look)
        scores = viewing(url, late)['scores']
    assert told == {'kind': 'state', **state.as_json()}
    ((age, score, status),) = scores['cup_1']
    assert 0 <= age < 20
    assert (score, status) == (0.875, 'TRACKING')


def test_a_viewer_that_does_not_read_holds_up_nobody():
    """Its socket is full; the others get their pictures, and the server ends in time."""
    noise = np.random.default_rng(1).integers(0, 256, (1000, 1500, 3), np.uint8)

    with serving() as (server, url):
        host, port = url.split('/')[2].split(':')
        stuck = socket.create_connection((host, int(port)))
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        request = (
            f'GET /socket HTTP/1.1\r\nHost: {host}:{port}\r\nOrigin: http://{host}:{port}\r\n'
            'Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n'
            'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n'
        )
        stuck.sendall(request.encode())

        async def look(viewer: Viewer) -> int:
            numbers = []
            for stamp in range(1, 8):
                server.show(Picture(stamp, lambda: noise))
                header, _ = await viewer.picture()
                numbers.append(header['number'])
                seen = {'kind': 'seen', 'number': header['number'], 'width': 1500}
                await viewer.talk.send_str(json.dumps(seen))
            return len(set(numbers))

        assert min(viewing(url, look, count=2)) >= 4, 'two at once show pictures'
        begin = time.monotonic()
    assert time.monotonic() - begin < 5
    stuck.close()


def test_more_viewers_than_allowed_are_told():
    async def look(viewer: Viewer) -> int:
        await viewer.text('scores')
        return await asyncio.to_thread(socket_status, url, Origin=url.rstrip('/'))

    with serving(max_viewers=1) as (_, url):
        assert viewing(url, look) == 503
        assert socket_status(url, Origin=url.rstrip('/')) == 101, 'the first one has gone'


def test_only_the_page_itself_may_open_the_socket():
    with serving() as (_, url):
        own = url.rstrip('/')
        assert socket_status(url, Origin=own) == 101
        assert socket_status(url) == 403
        for origin in ('null', 'http://evil.example', own.replace('http', 'https'), f'{own}0'):
            assert socket_status(url, Origin=origin) == 403
        assert get(url, 'socket', Origin=own)[0] == 426, 'it is no page'


def test_without_a_token_other_names_of_this_machine_are_refused():
    with serving() as (_, url):
        port = url.rstrip('/').rpartition(':')[2]
        assert get(url, Host=f'localhost:{port}')[0] == 200
        for host in (f'evil.example:{port}', f'10.0.0.7:{port}', 'localhost.evil.example', '[::'):
            status, _, body = get(url, Host=host)
            assert status in (400, 403)
            assert b'<html' not in body
        assert socket_status(url, Host=f'evil:{port}', Origin=f'http://evil:{port}') == 403


def test_without_the_token_nothing_is_seen_or_done():
    clerk = Clerk()

    async def ask(viewer: Viewer) -> Any:
        return await viewer.ask(kind='reset')

    with serving(clerk, token=TOKEN) as (server, url):
        assert url.endswith(f'/?token={TOKEN}')
        server.show(picture())
        base = url.partition('?')[0]
        for path in ('', 'page.js', 'page.css', '?token=', f'?token={TOKEN}x', '?token=%00'):
            status, headers, body = get(base, path)
            assert status == 401, path
            assert 'Set-Cookie' not in headers
            assert b'<html' not in body
        port = base.rstrip('/').rpartition(':')[2]
        own = {'Origin': base.rstrip('/')}
        assert socket_status(base, **own) == 401
        assert socket_status(base, **own, Cookie=f'tracker_page_{port}=wrong') == 401
        assert clerk.asked == []

        status, headers, _ = get(base, f'?token={TOKEN}')
        assert (status, headers['Location']) == (303, '/'), 'the address does not keep it'
        assert 'HttpOnly' in headers['Set-Cookie']
        assert 'SameSite=Lax' in headers['Set-Cookie']
        assert socket_status(base, **own, Cookie=f'tracker_page_{port}={TOKEN}') == 101
        assert socket_status(base, Cookie=f'tracker_page_{port}={TOKEN}') == 403, 'another page'
        assert viewing(url, ask)['success']


def test_messages_beyond_the_limits_end_the_connection():
    async def large(viewer: Viewer) -> Any:
        await viewer.talk.send_str('x' * (LONGEST_MESSAGE + 1))
        return await viewer.end()

    async def nonsense(viewer: Viewer) -> Any:
        with contextlib.suppress(ConnectionError, aiohttp.ClientError):
            for _ in range(200):
                await viewer.talk.send_str('nonsense')
        return await viewer.end()

    async def flood(viewer: Viewer) -> Any:
        with contextlib.suppress(ConnectionError, aiohttp.ClientError):
            for number in range(3000):
                await viewer.talk.send_str(
                    json.dumps({'kind': 'seen', 'number': number, 'width': 1})
                )
        return await viewer.end()

    with serving() as (_, url):
        assert viewing(url, large) == 1009
        assert viewing(url, nonsense) == 1008
        assert viewing(url, flood) == 1008
        assert get(url)[0] == 200


def test_too_many_requests_are_refused_and_not_asked():
    async def hurry(viewer: Viewer) -> Any:
        for _ in range(60):
            await viewer.talk.send_str('{"kind":"reset"}')
        return [await viewer.text('answer') for _ in range(60)]

    clerk = Clerk()
    with serving(clerk) as (_, url):
        answers = viewing(url, hurry)
    refused = [each for each in answers if not each['success']]
    assert refused
    assert all('too many requests' in each['message'] for each in refused)
    assert len(clerk.asked) == 60 - len(refused) <= REQUESTS_AT_ONCE + 10


def test_ten_thousand_malformed_messages_and_requests_harm_nothing(
    caplog: pytest.LogCaptureFixture,
):
    rng = random.Random(3)
    clerk = Clerk()

    async def throw(viewer: Viewer) -> int:
        for _ in range(REFUSALS_AT_ONCE):
            text = malformed(rng)
            if rng.random() < 0.2:
                await viewer.talk.send_bytes(text.encode('utf-8', 'replace')[:2000])
            else:
                await viewer.talk.send_str(text.encode('utf-8', 'replace').decode()[:3000])
        return REFUSALS_AT_ONCE

    def raw_http(host: str, port: int, count: int) -> None:
        lines = [b'GET / HTTP/1.1', b'GET /%s HTTP/9.9', b'\x16\x03\x01\x02', b'GET', b'\0' * 50]
        lines += [b'POST /socket HTTP/1.1\r\nContent-Length: 99999999999', b'GET /\xff HTTP/1.1']
        lines += [b'GET /socket HTTP/1.1\r\nUpgrade: websocket', b'GET /' + b'a' * 9000]
        lines += [b'GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\nX: \n\r', b'HEAD ../.. HTTP/1.0']
        for _ in range(count):
            with socket.create_connection((host, port)) as each, contextlib.suppress(OSError):
                each.settimeout(0.0)
                end = rng.choice([b'', b'\r\n', b'\r\n\r\n', b'\n\n', b'\r\n\r\nrest'])
                each.send(rng.choice(lines) + end)

    with serving(clerk, max_viewers=100) as (_, url):
        host, port = url.rstrip('/').rpartition('//')[2].split(':')
        assert sum(sum(viewing(url, throw, count=40)) for _ in range(10)) == 8000
        for _ in range(40):
            raw_http(host, int(port), 50)
            assert get(url)[0] == 200  # and those before have been taken

        async def ask(viewer: Viewer) -> Any:
            return await viewer.ask(kind='reset')

        assert viewing(url, ask)['success']
    assert not [record for record in caplog.records if record.name.startswith('tracker_core')]


def test_what_fails_in_the_server_is_logged(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    def fail(self: PageServer, request: Any) -> None:
        raise ZeroDivisionError('a fault of ours')

    monkeypatch.setattr(PageServer, '_refusal', fail)
    with serving() as (_, url):
        assert get(url)[0] == 500
    assert 'a fault of ours' in caplog.text


def test_a_port_that_is_taken_is_named():
    with (
        serving() as (_, url),
        pytest.raises(ParameterError, match=r'cannot be served on 127.0.0.1, port \d+: .*port'),
        serving(port=int(url.rstrip('/').rpartition(':')[2])),
    ):
        pass


def test_a_server_that_ends_sends_its_viewers_away():
    async def look(viewer: Viewer) -> Any:
        await viewer.text('scores')
        closing = asyncio.create_task(asyncio.to_thread(server.close))
        code = await viewer.end()
        await closing
        return code

    with serving() as (server, url):
        assert viewing(url, look) == 1001


@pytest.fixture(scope='module')
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of 127.0.0.1 and its key in one file."""
    if shutil.which('openssl') is None:
        pytest.skip('openssl is not installed')
    path = tmp_path_factory.mktemp('tls') / 'robot.pem'
    command = 'openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=robot -addext'
    where = ['subjectAltName=IP:127.0.0.1', '-keyout', str(path), '-out', str(path)]
    subprocess.run([*command.split(), where[0], '-keyout', f'{path}.key', '-out', f'{path}.crt'],
                   check=True, capture_output=True)  # fmt: skip
    path.write_text(Path(f'{path}.crt').read_text() + Path(f'{path}.key').read_text())
    return path


def test_the_page_over_tls(certificate: Path):
    async def ask(viewer: Viewer) -> Any:
        return await viewer.ask(kind='reset')

    context = ssl.create_default_context(cafile=str(certificate))
    with serving(certificate=str(certificate), token=TOKEN) as (_, url):
        assert url.startswith('https://127.0.0.1:')
        assert viewing(url, ask, ssl=context)['success']
        with pytest.raises(aiohttp.ClientError):
            get(url.replace('https', 'http'))


def test_a_certificate_that_cannot_be_used_is_named(certificate: Path, tmp_path: Path):
    nonsense = tmp_path / 'nonsense.pem'
    nonsense.write_text('nothing')
    for given in ({'certificate': str(nonsense)}, {'certificate': f'{certificate}.crt'}):
        with pytest.raises(ParameterError, match='cannot be used'):
            PageServer(PageConfig(**given), Clerk())

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The page's web server: three files and a WebSocket, in a thread of its own.

Each viewer has its own pace: what is newest when it is ready is what it gets, and it waits for
nobody and nobody for it. Needs aiohttp (extra `operator`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
import contextlib
from importlib.resources import files
import ipaddress
import logging
import socket
import threading
import time
from typing import Protocol

from aiohttp import web, WSCloseCode, WSMsgType
from aiohttp.http_exceptions import HttpProcessingError

from tracker_core.errors import ParameterError, TrackerError
from tracker_core.page.access import Access, tls
from tracker_core.page.config import PageConfig
from tracker_core.page.link import Allowance, Link
from tracker_core.page.pictures import PictureBoard
from tracker_core.page.requests import (
    Answer,
    parse_request,
    Request,
    RequestError,
    Seen,
)
from tracker_core.page.state import message, PageState, Picture, ScoreHistory

LONGEST_MESSAGE = 4096  # bytes
REQUESTS, REQUESTS_AT_ONCE = 10.0, 20  # a second, of one viewer
SEENS, SEENS_AT_ONCE = 300.0, 300
REFUSALS, REFUSALS_AT_ONCE = 1.0, 20  # that are answered before the viewer is sent away
HEARTBEAT = 10.0  # seconds after which a viewer that says nothing is gone
ANSWER_TIMEOUT = 60.0  # seconds that a request may take; loading a tracker takes some
SCORE_INTERVAL = 0.2  # seconds
FAREWELL = 2.0  # seconds that a viewer has to say goodbye
MOST_AT_ONCE = 4  # requests of a viewer that wait for their answers
LEAST_WIDTH = 64  # pixels of a picture
WIDTH_STEP = 64  # pixels; so that viewers of nearly the same width share one encoding
HEADERS = {
    'Cache-Control': 'no-store',
    'Referrer-Policy': 'no-referrer',
    'X-Content-Type-Options': 'nosniff',
    'Cross-Origin-Resource-Policy': 'same-origin',
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self' {sockets}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
FILES = {
    '/': ('index.html', 'text/html'),
    '/page.js': ('page.js', 'text/javascript'),
    '/page.css': ('page.css', 'text/css'),
}


class Desk(Protocol):
    """Where the requests of the viewers go."""

    async def ask(self, request: Request) -> Answer:
        """Called in the event loop of the server's thread; a TrackerError is told the viewer."""


class PageServer:
    """Serves the page.

    Args:
        config: Where and to whom.
        desk: Takes the requests.
        on_viewers: Called in the server's thread with the number of viewers when it changes.

    Raises:
        ParameterError: The certificate cannot be used.
    """

    def __init__(
        self,
        config: PageConfig,
        desk: Desk,
        on_viewers: Callable[[int], None] = lambda count: None,
    ) -> None:
        self._config, self._desk, self._on_viewers = config, desk, on_viewers
        self._access = Access(config)
        self._tls = tls(config)
        folder = files('tracker_core.page') / 'static'
        self._bodies = {path: (folder / name).read_bytes() for path, (name, _) in FILES.items()}
        self._viewers: set[_Viewer] = set()
        self._scores = ScoreHistory()
        self._scores_noted = 0.0  # time.monotonic()
        self._state = message('state', PageState().as_json())
        self._board = PictureBoard()
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._thread: threading.Thread | None = None
        self._port = config.port

    def open(self) -> None:
        """Begin to serve.

        Raises:
            ParameterError: The address or the port cannot be had.
        """
        started: Future[int] = Future()
        self._thread = threading.Thread(target=self._run, args=[started], name='page', daemon=True)
        self._thread.start()
        try:
            self._port = started.result()
        except OSError as error:
            self._thread.join()
            reason = error.strerror or error
            raise ParameterError(
                f'the page cannot be served on {self._config.address}, port {self._config.port}: '
                f'{reason}; choose another port or address'
            ) from error

    @property
    def url(self) -> str:
        """To be opened in a browser; with the token, if one is needed."""
        address = ipaddress.ip_address(self._config.address)
        name = f'[{address}]' if address.version == 6 else str(address)
        if address.is_unspecified:
            name = socket.gethostname()
        scheme = 'https' if self._tls else 'http'
        token = f'?token={self._access.token}' if self._access.token else ''
        return f'{scheme}://{name}:{self._port}/{token}'

    def show(self, picture: Picture) -> None:
        """Have a newer picture; from any thread."""
        self._call(self._show, picture)

    def tell(self, state: PageState) -> None:
        """Have a newer state; from any thread."""
        self._call(self._tell, state)

    def close(self) -> None:
        """Send all viewers away and end the thread."""
        self._call(self._stopping.set)
        if self._thread is not None:
            self._thread.join(5.0)

    # From here on in the server's thread

    def _call(self, function: Callable[..., None], *arguments: object) -> None:
        with contextlib.suppress(RuntimeError):  # it is closed
            self._loop.call_soon_threadsafe(function, *arguments)

    def _show(self, picture: Picture) -> None:
        self._board.put(picture)
        self._wake()

    def _tell(self, state: PageState) -> None:
        now = time.monotonic()
        if now - self._scores_noted >= SCORE_INTERVAL:
            self._scores_noted = now
            self._scores.add(now, state.targets)
        self._state = message('state', state.as_json())
        self._wake()

    def _wake(self) -> None:
        for viewer in self._viewers:
            viewer.awake.set()

    def _run(self, started: Future[int]) -> None:
        try:
            self._loop.run_until_complete(self._serve(started))
        except Exception as error:
            if started.done():
                raise
            started.set_exception(error)
        finally:
            self._board.close()
            self._loop.close()

    async def _serve(self, started: Future[int]) -> None:
        application = web.Application(client_max_size=LONGEST_MESSAGE)
        for path in FILES:
            application.router.add_get(path, self._on_file)
        application.router.add_get('/socket', self._on_socket)
        application.on_response_prepare.append(self._add_headers)
        log = logging.getLogger(__name__)
        log.addFilter(_is_ours)
        runner = web.AppRunner(
            application,
            access_log=None,
            handle_signals=False,
            keepalive_timeout=15.0,
            logger=log,
        )
        await runner.setup()
        address, port = self._config.address, self._config.port
        try:
            await web.TCPSite(runner, address, port, ssl_context=self._tls).start()
        except OSError:
            await runner.cleanup()
            raise
        started.set_result(runner.addresses[0][1])
        await self._stopping.wait()
        goodbyes = [
            viewer.dismiss(WSCloseCode.GOING_AWAY, 'the node ends') for viewer in self._viewers
        ]
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.gather(*goodbyes), FAREWELL)
            await asyncio.wait_for(runner.cleanup(), FAREWELL)

    async def _add_headers(self, request: web.BaseRequest, response: web.StreamResponse) -> None:
        response.headers.update(HEADERS)
        response.headers['Server'] = 'tracker_nodes'
        if not isinstance(response, web.WebSocketResponse):
            sockets = f'{"wss" if self._tls else "ws"}://{_plain(request.host)}'
            response.headers['Content-Security-Policy'] = POLICY.format(sockets=sockets)

    async def _on_file(self, request: web.Request) -> web.StreamResponse:
        if refusal := self._refusal(request):
            return refusal
        if 'token' in request.query:  # away with it from the address that the browser shows
            response = web.Response(status=303, headers={'Location': request.path})
            response.set_cookie(
                self._cookie,
                request.query['token'],
                httponly=True,
                secure=self._tls is not None,
                samesite='Lax',
                path='/',
            )
            return response
        kind = FILES[request.path][1]
        return web.Response(body=self._bodies[request.path], content_type=kind, charset='utf-8')

    async def _on_socket(self, request: web.Request) -> web.StreamResponse:
        if refusal := self._refusal(request):
            return refusal
        if not self._access.is_own_origin(request.headers.get('Origin', ''), request.host):
            return _text(403, 'Only the page itself may talk to this.')
        if len(self._viewers) >= self._config.max_viewers:
            return _text(503, f'There are {len(self._viewers)} viewers already.')
        talk = web.WebSocketResponse(
            heartbeat=HEARTBEAT, max_msg_size=LONGEST_MESSAGE, compress=False, timeout=FAREWELL
        )
        if not talk.can_prepare(request):
            return _text(426, 'This is a WebSocket.')
        await talk.prepare(request)
        viewer = _Viewer(talk, self._config)
        self._viewers.add(viewer)
        self._on_viewers(len(self._viewers))
        sending = asyncio.create_task(self._send(viewer))
        try:
            await self._listen(viewer)
        finally:
            sending.cancel()
            self._viewers.discard(viewer)
            self._on_viewers(len(self._viewers))
        return talk

    def _refusal(self, request: web.Request) -> web.Response | None:
        """Why a request gets nothing; None: it may go on."""
        if not self._access.is_known_host(request.host):
            return _text(403, 'Ask for 127.0.0.1 or localhost, or give the node a token.')
        if self._access.token:
            given = request.query.get('token', request.cookies.get(self._cookie, ''))
            if not self._access.is_token(given):
                return _text(
                    401, 'Open the address with ?token=... that was printed when the node started.'
                )
        return None

    @property
    def _cookie(self) -> str:
        """Its name has the port: cookies are shared among all ports of a machine."""
        return f'tracker_page_{self._port}'

    async def _send(self, viewer: _Viewer) -> None:
        """Send to a viewer what is newest, again and again."""
        talk, link, told = viewer.talk, viewer.link, ''
        scores = self._scores.as_json(time.monotonic())
        with contextlib.suppress(ConnectionError, RuntimeError):  # it has gone
            await talk.send_str(message('scores', {'scores': scores}))
            while not talk.closed:
                viewer.awake.clear()
                if told is not self._state:
                    told = self._state
                    await talk.send_str(told)
                wait = link.wait(time.monotonic())
                if wait is not None and self._board.number > link.sent:
                    if wait > 0:
                        await asyncio.sleep(wait)
                    await self._send_picture(viewer)
                    continue
                await viewer.awake.wait()

    async def _send_picture(self, viewer: _Viewer) -> None:
        level = viewer.link.level
        width = max(round(viewer.width * level.share), LEAST_WIDTH)
        try:
            number, packed = await self._board.packed(width, level.quality)
        except Exception:  # whatever it is, the next one may be fine; who decodes tells it
            viewer.link.skip(self._board.number)
            return
        viewer.link.send(number, time.monotonic())
        await viewer.talk.send_bytes(packed)

    async def _listen(self, viewer: _Viewer) -> None:
        """Take a viewer's requests until it goes or is sent away."""
        answering: set[asyncio.Task[None]] = set()
        try:
            async for each in viewer.talk:
                now = time.monotonic()
                try:
                    if each.type is not WSMsgType.TEXT:
                        raise RequestError('a request has to be a text')
                    request = parse_request(each.data)
                except RequestError as error:
                    if not viewer.refusals.take(now):
                        await viewer.dismiss(WSCloseCode.POLICY_VIOLATION, 'no requests')
                        break
                    await viewer.answer(Answer(False, str(error)))
                    continue
                if isinstance(request, Seen):
                    if not viewer.seens.take(now):
                        await viewer.dismiss(WSCloseCode.POLICY_VIOLATION, 'too many messages')
                        break
                    viewer.see(request, now, self._config.max_width)
                elif not viewer.requests.take(now) or len(answering) >= MOST_AT_ONCE:
                    await viewer.answer(Answer(False, 'too many requests at once: wait a moment'))
                else:
                    task = asyncio.create_task(self._answer(viewer, request))
                    answering.add(task)
                    task.add_done_callback(answering.discard)
        except ConnectionError:
            pass
        finally:
            for task in answering:
                task.cancel()

    async def _answer(self, viewer: _Viewer, request: Request) -> None:
        try:
            answer = await asyncio.wait_for(self._desk.ask(request), ANSWER_TIMEOUT)
        except asyncio.TimeoutError:
            answer = Answer(False, f'no answer within {ANSWER_TIMEOUT:g} s')
        except TrackerError as error:
            answer = Answer(False, str(error))
        except Exception as error:  # a viewer must not wait for ever
            answer = Answer(False, f'it failed: {type(error).__name__}: {error}')
        with contextlib.suppress(ConnectionError, RuntimeError):
            await viewer.answer(answer)


class _Viewer:
    """One browser."""

    def __init__(self, talk: web.WebSocketResponse, config: PageConfig) -> None:
        self.talk = talk
        self.link = Link(config.max_rate)
        self.width = min(640, config.max_width)  # until it says which
        self.awake = asyncio.Event()
        self.requests = Allowance(REQUESTS, REQUESTS_AT_ONCE)
        self.seens = Allowance(SEENS, SEENS_AT_ONCE)
        self.refusals = Allowance(REFUSALS, REFUSALS_AT_ONCE)

    def see(self, seen: Seen, now: float, max_width: int) -> None:
        rounded = -(-seen.width // WIDTH_STEP) * WIDTH_STEP
        self.width = min(max(rounded, LEAST_WIDTH), max_width)
        self.link.see(seen.number, now)
        self.awake.set()

    async def answer(self, answer: Answer) -> None:
        content = {'success': answer.success, 'message': answer.message}
        await self.talk.send_str(message('answer', dict(content)))

    async def dismiss(self, code: int, reason: str) -> None:
        with contextlib.suppress(ConnectionError, RuntimeError, asyncio.TimeoutError):
            await self.talk.close(code=code, message=reason.encode())


def _text(status: int, sentence: str) -> web.Response:
    return web.Response(status=status, text=f'{sentence}\n')


def _is_ours(record: logging.LogRecord) -> bool:
    """Not for what is no HTTP, or of a viewer that has gone: aiohttp logs a traceback of each."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, (HttpProcessingError, ConnectionError))


def _plain(host: str) -> str:
    """A host as it may stand in a header: nothing but what an address is written with."""
    return ''.join(each for each in host if each.isascii() and (each.isalnum() or each in '.-:[]'))

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The operator's page in a real browser, beside a real tracker_node; skipped where there is no
Chromium."""

from __future__ import annotations

from collections.abc import Callable, Iterator
import shutil
import threading
import time
from typing import Any

import pytest

from tracker_core import Box
from tracker_core.media.scene import render_scene
from tracker_nodes.operator_node import OperatorNode

pytest.importorskip('aiohttp', reason='the extra operator is not installed')
playwright = pytest.importorskip(
    'playwright.sync_api', reason='needs pip install -r requirements/browser.txt'
)
CHROMIUM = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser'))), None)
if CHROMIUM is None:
    pytest.skip('Chromium is not installed (apt install chromium)', allow_module_level=True)

SIZE = (320, 240)
OPTIONS = '--no-sandbox --disable-gpu --no-first-run --disable-sync --disable-quic'
OPTIONS += ' --disable-background-networking --disable-component-update'
TO_SCREEN = """([x, y]) => {
    const {scale, left, top} = placement();
    const ratio = canvas.width / canvas.clientWidth;
    const place = canvas.getBoundingClientRect();
    return [place.left + (left + x * scale) / ratio, place.top + (top + y * scale) / ratio];
}"""
STATE = '() => JSON.stringify([isFrozen, drawing, selected, shown && shown.header, localNotices, '
STATE += 'state])'
PIXEL = '([x, y]) => Array.from(context.getImageData(Math.round(x), Math.round(y), 1, 1).data)'


class Camera:
    """Shows a scene to and fro, in a thread."""

    def __init__(self, operator: Any) -> None:
        self.operator = operator
        self.scene = render_scene('calm', frames=40, size=SIZE, seed=2)
        self._frames = list(self.scene)
        self._stamps: list[int] = []
        self._end = threading.Event()
        operator.camera  # noqa: B018 - made in this thread
        self._thread = threading.Thread(target=self._play, daemon=True)
        self._thread.start()

    def _place(self, number: int) -> int:
        place = number % (2 * len(self._frames) - 2)
        return min(place, 2 * len(self._frames) - 2 - place)

    def _play(self) -> None:
        while not self._end.wait(1 / 15):
            message = self.operator.image(self._frames[self._place(len(self._stamps))])
            self._stamps.append(self.operator.newest_stamp)
            self.operator.camera.publish(message)

    def exact_box(self, stamp: str) -> Box:
        return self.scene.boxes[self._place(self._stamps.index(int(stamp)))]

    def stop(self) -> None:
        self._end.set()
        self._thread.join()


class Hand:
    """Somebody in front of the page."""

    def __init__(self, page: Any, camera: Camera) -> None:
        self.page, self.camera = page, camera

    def js(self, expression: str, argument: Any = None) -> Any:
        return self.page.evaluate(expression, argument)

    def wait(self, condition: str, what: str) -> None:
        """Until an expression is true in the page."""
        try:
            self.page.wait_for_function(condition, timeout=30_000)
        except playwright.TimeoutError:
            state = self.js(STATE)
            raise AssertionError(f'{what} did not come: {state}') from None

    def see(self) -> str:
        """Wait for a picture; returns its stamp."""
        self.wait('() => shown !== null', 'a picture')
        return self.js('() => shown.header.stamp')

    def drag(self, box: Box) -> None:
        """Draw a box, given in pixels of the image."""
        mouse = self.page.mouse
        mouse.move(*self.js(TO_SCREEN, [box.x, box.y]))
        mouse.down()
        mouse.move(*self.js(TO_SCREEN, [box.cx, box.cy]))
        mouse.move(*self.js(TO_SCREEN, [box.x2, box.y2]))
        mouse.up()

    def follow(self) -> None:
        """Hold the picture, draw the exact box in it, and go on."""
        self.see()
        self.page.keyboard.press('Space')
        self.wait('() => isFrozen', 'the hold')
        self.drag(self.camera.exact_box(self.see()))
        self.page.keyboard.press('Space')
        self.wait('() => shown.header.targets.length > 0', 'the target')

    def target(self) -> tuple[dict[str, Any], Box]:
        """The first target of the picture that is to be seen, and where the object is there."""
        header = self.js('() => shown.header')
        return header['targets'][0], self.camera.exact_box(header['stamp'])


@pytest.fixture(scope='module')
def chromium() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=OPTIONS.split())
        yield browser
        browser.close()


@pytest.fixture
def camera(
    make_operator: Callable[[str], Any], start_node: Callable[..., Any]
) -> Iterator[Camera]:
    start_node('robot', tracker='spm', weights='')
    camera = Camera(make_operator('robot'))
    yield camera
    camera.stop()


@pytest.fixture
def open_page(chromium: Any, camera: Camera) -> Iterator[Callable[..., Hand]]:
    """Opens a page; whatever it asks of another machine, or complains of, fails the test."""
    contexts, problems = [], []

    def open_page(url: str, **how: Any) -> Hand:
        context = chromium.new_context(**{'viewport': {'width': 1000, 'height': 700}, **how})
        contexts.append(context)
        page = context.new_page()
        page.on('pageerror', lambda error: problems.append(str(error)))
        page.on(
            'request',
            lambda request: (
                None
                if request.url.startswith((url.partition('?')[0], 'data:', 'blob:'))
                else problems.append(request.url)
            ),
        )
        page.on(
            'console',
            lambda message: problems.append(message.text) if 'Policy' in message.text else None,
        )
        page.goto(url)
        return Hand(page, camera)

    yield open_page
    for context in contexts:
        context.close()
    assert problems == []


def test_a_box_is_drawn_and_followed(
    open_page: Callable[..., Hand], start_page: Callable[..., OperatorNode]
):
    hand = open_page(start_page().url)
    hand.follow()
    time.sleep(2.0)
    target, exact = hand.target()
    assert target['status'] == 'TRACKING'
    assert exact.iou(Box(*target['box'])) > 0.5
    row = hand.page.locator('#targets li')
    assert row.count() == 1
    assert 'tracking' in row.inner_text()
    assert 'following target_1' in hand.page.locator('#notices').inner_text()
    assert len(hand.js("() => scores.get('target_1')")) > 3, 'the line of its score'

    # The box is drawn in the browser's own pixels, not in those of the picture
    hand.page.keyboard.press('Space')
    x, y, w, h = hand.target()[0]['box']
    scale, left, top = hand.js('() => { const p = placement(); return [p.scale, p.left, p.top]; }')
    colour = hand.js("() => { context.fillStyle = colour('target_1'); return context.fillStyle; }")
    edge = hand.js(PIXEL, [left + (x + w) * scale - 0.5, top + (y + h / 2) * scale])
    wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    assert max(abs(a - b) for a, b in zip(edge[:3], wanted, strict=True)) < 90
    assert scale > 2

    hand.page.keyboard.press('Delete')
    hand.wait('() => state.targets.length === 0', 'the end of the target')


def test_a_target_is_moved_and_a_drawing_cancelled(
    open_page: Callable[..., Hand], start_page: Callable[..., OperatorNode]
):
    hand = open_page(start_page().url)
    hand.page.fill('#label', 'cup')
    hand.page.keyboard.press('Enter')
    hand.follow()
    assert hand.target()[0]['label'] == 'cup'
    hand.page.keyboard.press('Space')
    box = Box(*hand.target()[0]['box'])
    hand.page.mouse.click(*hand.js(TO_SCREEN, [box.cx, box.cy]))
    hand.wait("() => selected === 'target_1'", 'the choice')
    assert 'draw where target_1 is' in hand.page.locator('#hint').inner_text()
    elsewhere = Box(20, 30, 50, 40) if box.cx > 160 else Box(240, 30, 50, 40)
    hand.drag(elsewhere)
    hand.page.keyboard.press('Space')
    hand.wait('() => localNotices.length === 2', 'the answer')
    hand.wait('() => shown.header.targets.length === 1', 'one target, not two')

    mouse = hand.page.mouse
    mouse.move(*hand.js(TO_SCREEN, [100, 100]))
    mouse.down()
    mouse.move(*hand.js(TO_SCREEN, [150, 150]))
    assert hand.js('() => drawing !== null')
    hand.page.keyboard.press('Escape')
    mouse.up()
    assert hand.js('() => drawing === null')
    hand.page.click('#reset')
    hand.wait('() => state.targets.length === 0', 'the reset')
    assert 'removed target_1' in hand.page.locator('#notices').inner_text()


def test_a_frame_that_is_too_old_is_refused_in_words(
    open_page: Callable[..., Hand], start_page: Callable[..., OperatorNode]
):
    hand = open_page(start_page().url)
    box = hand.camera.exact_box(hand.see())
    hand.page.click('#freeze')
    assert hand.js('() => isFrozen')
    stamp = hand.see()
    time.sleep(5.0)  # at 15 frames a second, with stamps of 30
    assert hand.see() == stamp, 'it stands still'
    hand.drag(box)
    hand.wait('() => localNotices.length > 0', 'the answer')
    assert 'does not have that picture any more' in hand.page.locator('#notices').inner_text()
    hand.page.click('#freeze')
    hand.wait(f"() => shown.header.stamp !== '{stamp}'", 'the next picture')


def test_the_connection_is_lost_and_regained(
    open_page: Callable[..., Hand], start_page: Callable[..., OperatorNode]
):
    node = start_page()
    hand = open_page(node.url)
    hand.see()
    hand.wait('() => newestNumber > 30', 'some pictures, more than there will be at first')
    port = int(node.url.rstrip('/').rpartition(':')[2])
    node.close()
    hand.wait("() => !document.getElementById('cover').hidden", 'the loss')
    assert 'connection has ended' in hand.page.locator('#cover').inner_text()
    node.destroy_node()
    start_page(port=port)
    hand.wait("() => document.getElementById('cover').hidden", 'the picture')
    hand.follow()


def test_pause_and_another_tracker(
    open_page: Callable[..., Hand], start_page: Callable[..., OperatorNode]
):
    hand = open_page(start_page().url)
    hand.follow()
    hand.page.keyboard.press('p')
    hand.wait('() => state.paused', 'the pause')
    assert hand.page.locator('#pause').inner_text() == 'Resume'
    hand.page.click('#pause')
    hand.wait('() => !state.paused', 'the end of the pause')
    questions = []
    hand.page.on('dialog', lambda dialog: (questions.append(dialog.message), dialog.accept()))
    hand.page.select_option('#tracker', 'ocean')
    assert hand.page.locator('#preset').input_value() == 'compact'
    hand.page.click('#choose')
    hand.wait("() => state.tracker === 'ocean'", 'the other tracker')
    assert questions == ['What is being followed now is forgotten. Go on?']
    hand.wait('() => state.rate > 0 && !state.targets.length', 'its pictures')


def test_on_a_telephone(
    open_page: Callable[..., Hand], start_page: Callable[..., OperatorNode], tmp_path: Any
):
    """With a finger; all of it is in reach, and two fingers zoom."""
    size = {'width': 390, 'height': 844}
    hand = open_page(
        start_page().url, viewport=size, has_touch=True, is_mobile=True, device_scale_factor=3
    )
    hand.see()
    hand.page.tap('#freeze')
    box = hand.camera.exact_box(hand.see())
    touch(hand, [[(box.x, box.y)], [(box.cx, box.cy)], [(box.x2, box.y2)]])
    hand.page.tap('#freeze')
    hand.wait('() => shown.header.targets.length > 0', 'the target')
    assert hand.js('() => document.documentElement.scrollWidth') <= size['width']
    canvas = hand.page.locator('#canvas').bounding_box()
    assert canvas['width'] == size['width']
    assert canvas['height'] > 0.35 * size['height']
    for name in ('freeze', 'pause', 'reset'):
        button = hand.page.locator(f'#{name}').bounding_box()
        assert button['height'] >= 40, 'a finger is broad'
    assert hand.js('() => canvas.width') == 3 * size['width']

    touch(hand, [[(150, 120), (170, 120)], [(120, 120), (200, 120)], [(90, 120), (230, 120)]])
    assert hand.js('() => view.zoom') > 3
    assert hand.js('() => state.targets.length') == 1, 'nothing was drawn by that'


def touch(hand: Hand, steps: list[list[tuple[float, float]]]) -> None:
    """Put fingers down at the first places, move them over the others, and take them away."""
    session = hand.page.context.new_cdp_session(hand.page)
    screens = [[hand.js(TO_SCREEN, list(place)) for place in step] for step in steps]
    for number, places in enumerate(screens):
        points = [{'x': x, 'y': y, 'id': i} for i, (x, y) in enumerate(places)]
        kind = 'touchMove' if number else 'touchStart'
        session.send('Input.dispatchTouchEvent', {'type': kind, 'touchPoints': points})
    session.send('Input.dispatchTouchEvent', {'type': 'touchEnd', 'touchPoints': []})


def test_the_token_does_not_stay_in_the_address(
    open_page: Callable[..., Hand], start_page: Callable[..., OperatorNode]
):
    node = start_page(token='a-token-of-24-characters')
    hand = open_page(node.url)
    hand.see()
    assert 'token' not in hand.js('() => location.href')
    assert hand.js('() => document.cookie') == '', 'no script reads it'
    hand.follow()

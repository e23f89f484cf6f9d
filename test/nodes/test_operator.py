# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The node operator beside a real tracker_node, over real DDS and real WebSockets."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
import json
import time
from typing import Any

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import Image

from tracker_core import Box, ParameterError
from tracker_core.media.scene import render_scene
from tracker_nodes.frames import Frame
from tracker_nodes.operator_desk import choices
from tracker_nodes.picture_join import MEMORY, PATIENCE, PictureJoin

aiohttp = pytest.importorskip('aiohttp', reason='the extra operator is not installed')
from tracker_nodes.operator_node import OperatorNode  # noqa: E402

SIZE = (320, 240)


class Robot:
    """Tracker, page and camera, each on an executor of its own.

    The camera shows a scene at 20 Hz as long as it is asked to.
    """

    def __init__(self, operator: Any, page: OperatorNode) -> None:
        self.operator = operator
        self.scene = render_scene('calm', frames=40, size=SIZE, seed=2)
        self.frames = list(self.scene)
        self.url = page.url
        self.stamps: list[int] = []

    def _place(self, number: int) -> int:
        """To and fro, so that the object never jumps."""
        place = number % (2 * len(self.frames) - 2)
        return min(place, 2 * len(self.frames) - 2 - place)

    def exact_box(self, stamp: int) -> Box:
        """Where the object is in the image of a stamp."""
        return self.scene.boxes[self._place(self.stamps.index(stamp))]

    async def play(self, count: int = 10**6, rate: float = 20.0) -> None:
        for number in range(count):
            message = self.operator.image(self.frames[self._place(number)])
            self.stamps.append(self.operator.newest_stamp)
            self.operator.camera.publish(message)
            await asyncio.sleep(1 / rate)


class Browser:
    """A viewer of the page without a screen."""

    def __init__(self, talk: aiohttp.ClientWebSocketResponse) -> None:
        self.talk = talk
        self.state: dict[str, Any] = {}
        self.picture: dict[str, Any] = {'targets': [], 'number': 0, 'stamp': '0'}
        self.image = np.zeros((0, 0, 3), np.uint8)
        self.answers: list[dict[str, Any]] = []
        self.pictures = 0

    async def read(self) -> None:
        while True:
            each = await self.talk.receive()
            if each.type is aiohttp.WSMsgType.BINARY:
                length = int.from_bytes(each.data[:4], 'big')
                self.picture = json.loads(each.data[4 : 4 + length])
                jpeg = np.frombuffer(each.data[4 + length :], np.uint8)
                self.image = cv2.imdecode(jpeg, cv2.IMREAD_COLOR)[..., ::-1]
                self.pictures += 1
                await self.send(kind='seen', number=self.picture['number'], width=640)
            elif each.type is aiohttp.WSMsgType.TEXT:
                content = json.loads(each.data)
                if content['kind'] == 'state':
                    self.state = content
                elif content['kind'] == 'answer':
                    self.answers.append(content)
            else:
                return

    async def send(self, **request: Any) -> None:
        await self.talk.send_str(json.dumps(request))

    async def ask(self, **request: Any) -> dict[str, Any]:
        count = len(self.answers)
        await self.send(**request)
        await self.until(lambda: len(self.answers) > count, f'the answer to {request}')
        return self.answers[count]

    async def next_picture(self) -> dict[str, Any]:
        """The header of the next picture."""
        seen = self.pictures
        await self.until(lambda: self.pictures > seen, 'a picture')
        return self.picture

    async def until(self, condition: Callable[[], Any], what: str, seconds: float = 60.0) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f'{what} did not come: {self.state} {self.answers}'
            await asyncio.sleep(0.01)


@pytest.fixture
def robot(
    make_operator: Callable[[str], Any],
    start_node: Callable[..., Any],
    start_page: Callable[..., OperatorNode],
) -> Robot:
    start_node('robot', tracker='spm', weights='')
    return Robot(make_operator('robot'), start_page())


def look(robot: Robot, act: Callable[[Browser], Awaitable[Any]], plays: bool = True) -> Any:
    """Open the page and do something there, while the camera plays."""

    async def main() -> Any:
        async with aiohttp.ClientSession() as session:
            headers = {'Origin': robot.url.rstrip('/')}
            async with session.ws_connect(f'{robot.url}socket', headers=headers) as talk:
                browser = Browser(talk)
                tasks = [asyncio.create_task(browser.read())]
                if plays:
                    tasks.append(asyncio.create_task(robot.play()))
                try:
                    return await act(browser)
                finally:
                    for task in tasks:
                        task.cancel()

    return asyncio.run(main())


def test_a_box_is_drawn_and_followed(robot: Robot):
    """Boxes and picture are of one moment; the box lies on the object."""

    async def act(browser: Browser) -> Any:
        await browser.until(lambda: browser.pictures > 3, 'the pictures')
        stamp = browser.picture['stamp']
        assert int(stamp) in robot.stamps, 'to the nanosecond'
        box = robot.exact_box(robot.stamps[-1])
        answer = await browser.ask(kind='start', box=box.as_xywh(), stamp='0', label='cup')
        assert answer == {'kind': 'answer', 'success': True, 'message': 'following target_1'}
        seen = browser.pictures
        await browser.until(
            lambda: browser.pictures > seen + 20 and browser.picture['targets'], 'the boxes'
        )
        overlaps = []
        for _ in range(10):
            header = await browser.next_picture()
            exact = robot.exact_box(int(header['stamp']))
            overlaps.append(exact.iou(Box(*header['targets'][0]['box'])))
        state = browser.state
        removed = await browser.ask(kind='remove', id='target_1')
        gone = await browser.ask(kind='remove', id='target_1')
        await browser.until(lambda: not browser.state['targets'], 'the end of the target')
        return overlaps, state, removed, gone

    overlaps, state, removed, gone = look(robot, act)
    assert min(overlaps) > 0.5, overlaps
    assert state['tracker'] == 'spm'
    assert state['preset'] == 'compact'
    assert state['targets'][0]['label'] == 'cup'
    assert state['targets'][0]['status'] == 'TRACKING'
    assert 5 < state['rate'] < 25
    assert not state['problem']
    assert (removed['success'], removed['message']) == (True, 'removed target_1')
    assert not gone['success']
    assert 'no target' in gone['message']


def test_a_box_on_a_picture_that_was_held(robot: Robot):
    """Its stamp goes with it, and one that is too old is refused with what to do."""

    async def act(browser: Browser) -> Any:
        await browser.until(lambda: browser.pictures > 3, 'the pictures')
        stamp = int(browser.picture['stamp'])
        exact = robot.exact_box(stamp)
        await asyncio.sleep(0.5)
        answer = await browser.ask(kind='start', box=exact.as_xywh(), stamp=str(stamp))
        await browser.until(lambda: browser.picture['targets'], 'the box')
        late = await browser.ask(kind='start', box=exact.as_xywh(), stamp='12')
        outside = await browser.ask(kind='start', box=[5000, 5000, 20, 20], stamp='0')
        reset = await browser.ask(kind='reset')
        return answer, late, outside, reset

    answer, late, outside, reset = look(robot, act)
    assert answer['success'], answer
    assert not late['success']
    assert 'history_seconds' in late['message']
    assert not outside['success']
    assert 'outside' in outside['message']
    assert reset['success']


def test_pause_and_another_tracker(robot: Robot):
    async def act(browser: Browser) -> Any:
        await browser.until(lambda: browser.pictures > 3, 'the pictures')
        box = robot.scene.boxes[0].as_xywh()
        assert (await browser.ask(kind='pause', paused=True))['success']
        await browser.until(lambda: browser.state['paused'], 'the pause')
        seen = browser.pictures
        await browser.until(lambda: browser.pictures > seen + 5, 'pictures without boxes')
        refused = await browser.ask(kind='start', box=box)
        assert (await browser.ask(kind='pause', paused=False))['success']
        await browser.until(lambda: not browser.state['paused'], 'the end of the pause')

        offered = browser.state['choices']
        chosen = await browser.ask(kind='choose', tracker='ocean', preset='compact')
        await browser.until(lambda: browser.state['tracker'] == 'ocean', 'the other tracker')
        again = await browser.ask(kind='choose', tracker='ocean', preset='compact')
        unknown = await browser.ask(kind='choose', tracker='ocean', preset='huge')
        missing = await browser.ask(kind='choose', tracker='atom', preset='paper')
        answer = {'success': False, 'message': 'no image'}
        while 'no image' in answer['message']:  # has reached the tracker since it was loaded
            await browser.next_picture()
            answer = await browser.ask(kind='start', box=box)
        return refused, offered, chosen, again, unknown, missing, answer, browser.state

    refused, offered, chosen, again, unknown, missing, answer, state = look(robot, act)
    assert not refused['success']
    assert 'disabled' in refused['message']
    assert offered == {name: list(presets) for name, presets in choices().items()}
    assert offered['spm'] == ['compact']
    assert chosen['success'], chosen
    assert 'in use already' in again['message']
    assert not unknown['success']
    assert 'huge' in unknown['message']
    assert 'ocean compact is in use again' in unknown['message']
    assert not missing['success']
    assert 'ocean compact is in use again' in missing['message']
    assert answer['success'], answer
    assert any('weights' in text for _, is_error, text in state['notices'] if is_error)


def test_images_are_subscribed_to_while_somebody_looks(robot: Robot):
    def subscriptions() -> list[str]:
        infos = robot.operator.node.get_subscriptions_info_by_topic('/robot/image')
        return [info.node_name for info in infos if info.topic_type == 'sensor_msgs/msg/Image']

    async def act(browser: Browser) -> None:
        await browser.until(lambda: browser.pictures > 1, 'the pictures')
        assert 'operator' in subscriptions()

    robot.operator.wait_until(lambda: 'tracker_node' in subscriptions(), 'the tracker')
    assert 'operator' not in subscriptions()
    look(robot, act)
    robot.operator.wait_until(lambda: 'operator' not in subscriptions(), 'its end')


def test_what_is_wrong_is_said(robot: Robot):
    async def act(browser: Browser) -> Any:
        await browser.until(lambda: 'no image' in browser.state.get('problem', ''), 'the silence')
        silence = browser.state['problem']
        message = Image(height=4, width=4, encoding='unheard_of', step=4, data=bytes(16))
        for _ in range(20):
            robot.operator.camera.publish(message)
            await asyncio.sleep(0.05)
        await browser.until(
            lambda: any('unheard_of' in text for _, _, text in browser.state['notices']),
            'the notice',
        )
        return silence

    assert '/robot/image' in look(robot, act, plays=False)


def test_a_tracker_that_is_not_there_is_named(
    make_operator: Callable[[str], Any], start_page: Callable[..., OperatorNode]
):
    async def act(browser: Browser) -> Any:
        await browser.until(lambda: browser.pictures > 3, 'pictures without a tracker')
        await browser.until(lambda: browser.state.get('problem'), 'the problem')
        answer = await browser.ask(kind='start', box=[10, 10, 40, 40])
        chosen = await browser.ask(kind='choose', tracker='spm', preset='compact')
        return browser.state['problem'], answer, chosen

    problem, answer, chosen = look(Robot(make_operator('robot'), start_page()), act)
    assert problem == 'robot/tracker_node is not running'
    assert not answer['success']
    assert 'is tracker_node running?' in answer['message']
    assert not chosen['success']


def test_parameters_that_do_not_fit_are_refused_at_the_start(
    start_page: Callable[..., OperatorNode],
):
    with pytest.raises(ParameterError, match='address must be an IP address'):
        start_page(address='robot.local')
    with pytest.raises(ParameterError, match='token must have'):
        start_page(token='secret')
    override = 'qos_overrides./robot/image.subscription.reliability'
    with pytest.raises(ParameterError, match=f'{override} must be one of'):
        start_page(**{override: 'sometimes'})


# Which image with which boxes


def frame(stamp: int, size: int = 100) -> Frame:
    message = Image(data=bytes(size))
    return Frame(stamp, message, lambda: np.full((1, 1, 3), stamp, np.uint8))


def test_an_image_waits_for_its_boxes_and_boxes_for_their_image():
    join = PictureJoin()
    assert join.put_frame(frame(1), 10.0).targets == (), 'nobody tracks'
    assert join.put_targets(1, ('a',), 10.1).stamp == 1
    assert join.put_frame(frame(2), 10.2) is None, 'its boxes will come'
    assert join.put_frame(frame(3), 10.25) is None
    shown = join.put_targets(2, ('b',), 10.3)
    assert (shown.stamp, shown.targets) == (2, ('b',))
    assert join.put_targets(4, ('d',), 10.3) is None, 'its image will come'
    shown = join.put_frame(frame(4), 10.4)
    assert (shown.stamp, shown.targets) == (4, ('d',))
    assert (shown.decode() == 4).all()


def test_without_boxes_images_are_shown_as_they_come():
    join = PictureJoin()
    join.put_frame(frame(1), 10.0)
    join.put_targets(1, ('a',), 10.0)
    assert join.put_frame(frame(2), 10.0 + 0.9 * PATIENCE) is None
    shown = join.put_frame(frame(3), 10.0 + 1.1 * PATIENCE)
    assert (shown.stamp, shown.targets) == (3, ()), 'boxes of long ago would be wrong'


def test_a_tracker_that_is_too_slow_leaves_the_newest_boxes():
    join = PictureJoin()
    large = round(MEMORY * 1e6 / 3)
    for stamp in range(1, 9):
        join.put_frame(frame(stamp, large), 10.0 + stamp)
    assert join.put_targets(1, ('a',), 19.0) is None, 'that image is gone'
    assert join.put_frame(frame(9, large), 19.1).targets == ('a',)

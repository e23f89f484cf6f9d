# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Drawing a box: the logic alone, then over DDS with a window that only the mouse is missing
from."""

from __future__ import annotations

from collections.abc import Callable
import subprocess
import sys
from typing import Any

import cv2
import numpy as np
import pytest
from rclpy.parameter import Parameter
from rclpy.task import Future
from sensor_msgs.msg import Image
from tracker_nodes.srv import InitTarget

from tracker_core import Box, TrackerError
from tracker_core.media.scene import render_scene
from tracker_nodes import select_target, silence
from tracker_nodes.conversions import box_from_message, nanoseconds
from tracker_nodes.select_target import check_display, SelectTarget
from tracker_nodes.selection import Mouse, Request, Selection, View, WINDOW_SIZE


def view(stamp: int, width: int = 320, height: int = 240) -> View:
    image = np.random.default_rng(stamp).integers(0, 256, (height, width, 3), np.uint8)
    return View(image, stamp)


def drag(selection: Any, corner: tuple[int, int], end: tuple[int, int]) -> Request | None:
    """The events of one drag; what the last one returns."""
    selection.mouse(Mouse.DOWN, *corner)
    selection.mouse(Mouse.MOVE, (corner[0] + end[0]) // 2, end[1])
    return selection.mouse(Mouse.UP, *end)


@pytest.mark.parametrize(
    ('corner', 'end'),
    [((10, 20), (50, 80)), ((50, 80), (10, 20)), ((50, 20), (10, 80)), ((10, 80), (50, 20))],
)
def test_a_drag_in_any_direction_is_a_box(corner: tuple, end: tuple):
    selection = Selection()
    selection.put(view(7))
    assert drag(selection, corner, end) == Request(Box(10.5, 20.5, 40, 60), 7)


def test_a_box_ends_at_the_border():
    selection = Selection()
    selection.put(view(7))
    assert drag(selection, (300, 200), (900, -50)).box == Box(300.5, 0, 19.5, 200.5)


def test_a_large_image_is_shown_smaller_and_the_box_is_in_its_pixels():
    selection = Selection()
    selection.put(view(7, 3840, 2160))
    height, width = selection.render().shape[:2]
    assert (width, height) == (1280, 720)
    assert width <= WINDOW_SIZE[0]
    assert drag(selection, (100, 100), (200, 150)).box == Box(301.5, 301.5, 300, 150)


@pytest.mark.parametrize('end', [(10, 20), (12, 60), (60, 22)])
def test_a_click_is_no_box(end: tuple):
    selection = Selection()
    selection.put(view(7))
    assert drag(selection, (10, 20), end) is None
    assert 'too small' in selection.message


def test_the_frame_under_the_mouse_stands_still():
    selection = Selection()
    selection.put(view(1))
    selection.mouse(Mouse.DOWN, 10, 10)
    selection.put(view(2))
    selection.mouse(Mouse.MOVE, 50, 50)
    assert selection.mouse(Mouse.UP, 60, 60).stamp == 1
    assert drag(selection, (10, 10), (60, 60)).stamp == 2, 'the newest is shown again'


def test_a_held_frame_takes_several_boxes():
    selection = Selection()
    selection.put(view(1))
    selection.toggle_hold()
    selection.put(view(2))
    before = selection.render()
    assert drag(selection, (10, 40), (60, 90)).stamp == 1
    assert drag(selection, (100, 40), (160, 90)).stamp == 1
    changed = (selection.render() != before).any(axis=2)
    assert changed[40:90, 8:13].any(axis=1).all(), 'what was drawn stays in sight'
    selection.toggle_hold()
    assert drag(selection, (10, 10), (60, 60)).stamp == 2


def test_events_that_do_not_fit_are_ignored():
    selection = Selection()
    assert drag(selection, (10, 10), (60, 60)) is None, 'no image yet'
    assert selection.render().shape == (480, 640, 3)
    selection.put(view(1))
    assert selection.mouse(Mouse.UP, 50, 50) is None
    assert selection.mouse(Mouse.MOVE, 50, 50) is None
    assert drag(selection, (10, 10), (60, 60)).stamp == 1


def test_the_box_is_drawn_through_the_pixels_under_the_mouse():
    selection = Selection()
    selection.put(View(np.full((240, 320, 3), 90, np.uint8), 1))
    before = selection.render()
    selection.mouse(Mouse.DOWN, 100, 60)
    selection.mouse(Mouse.MOVE, 180, 140)
    changed = (selection.render() != before).any(axis=2)
    rows, columns = np.nonzero(changed)
    assert (columns.min() + columns.max()) / 2 == pytest.approx(140, abs=0.5)
    assert (rows.min() + rows.max()) / 2 == pytest.approx(100, abs=0.5)
    assert not changed[70:130, 110:170].any()


class ScriptedWindow:
    """A window without a screen: keeps what is shown, and does what the test says."""

    def __init__(self, on_mouse: Callable[[Mouse, int, int], None]) -> None:
        self.on_mouse = on_mouse
        self.shown: list[np.ndarray] = []
        self.keys: list[str] = []
        self.todo: list[Callable[[], None]] = []
        self.is_closed = False

    def show(self, rgb: np.ndarray) -> None:
        self.shown = [*self.shown[-5:], rgb]
        while self.todo:
            self.todo.pop(0)()

    def key(self) -> str:
        return self.keys.pop(0) if self.keys else ''

    def close(self) -> None:
        self.is_closed = True

    def drag(self, corner: tuple[int, int], end: tuple[int, int]) -> None:
        def move() -> None:
            self.on_mouse(Mouse.DOWN, *corner)
            self.on_mouse(Mouse.MOVE, *end)
            self.on_mouse(Mouse.UP, *end)

        self.todo.append(move)


@pytest.fixture
def select(spin: Callable[[Any], None]) -> Callable[..., Any]:
    """Starts select_target with such a window."""

    def start(**parameters: Any) -> Any:
        node = SelectTarget(
            ScriptedWindow,
            parameter_overrides=[
                Parameter(name, value=value) for name, value in parameters.items()
            ],
        )
        spin(node)
        return node

    return start


def test_boxes_that_are_drawn_are_followed(start_node: Any, operator: Any, select: Any):
    whole = render_scene('calm', frames=300, size=(320, 240))
    start_node()
    node = select(label='cup')
    window = node._window
    operator.wait_until(
        lambda: operator.camera.get_subscription_count() == 2, 'both subscriptions'
    )

    def show(number: int) -> int:
        """Show a frame until the window has it."""
        stamp = nanoseconds(operator.show(whole[number]).header.stamp)

        def is_there() -> bool:
            newest = node._selection._newest
            return newest is not None and newest.stamp >= stamp

        operator.wait_until(is_there, 'the frame in the window')
        return stamp

    def say(words: str) -> None:
        operator.wait_until(lambda: words in node._selection.message, words)

    first = show(0)
    box = whole.boxes[0]
    window.drag((round(box.x), round(box.y)), (round(box.x2), round(box.y2)))
    say('following target_1')
    show(1)
    (target,) = operator.status_of(operator.newest_stamp).targets
    assert (target.id, target.label, target.age) == ('target_1', 'cup', 1)

    # On a frame that is held, while the stream goes on
    window.keys.append(' ')
    operator.wait_until(lambda: node._selection.is_held, 'the hold')
    held = node._selection._shown.stamp
    for number in (2, 3, 4):
        show(number)
    window.drag((30, 40), (80, 75))
    say('following target_2')
    operator.wait_until(
        lambda: show(5) and len(operator.status_of(operator.newest_stamp).targets) == 2,
        'the second target, caught up',
    )
    one, two = operator.status_of(operator.newest_stamp).targets
    assert held > first
    assert (one.age - two.age) == 1, 'it started on the frame that was held'
    window.keys.append(' ')

    # What is detected is shown
    operator.wait_until(lambda: not node._selection.is_held, 'going on')
    show(6)
    boxes = {d.id: box_from_message(d.bbox) for d in operator.detections[-1].detections}
    operator.wait_until(lambda: dict(node._known).keys() == boxes.keys(), 'the boxes')

    window.keys.append('u')
    say('removed target_2')
    window.keys.append('r')
    say('removed target_1')
    show(7)
    assert operator.status_of(operator.newest_stamp).targets == []
    window.keys.append('q')
    operator.wait_until(lambda: node.is_over, 'the end')
    assert window.shown[-1].shape == (240, 320, 3)


def test_refusals_are_shown(start_node: Any, operator: Any, select: Any):
    node = select()
    frame = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)

    def show() -> None:
        operator.camera.publish(operator.image(frame))

    operator.wait_until(lambda: (show(), node._selection._newest)[1], 'an image')
    node._window.drag((10, 10), (60, 60))
    operator.wait_until(lambda: 'there is no service' in node._selection.message, 'the reason')

    start_node(history_seconds=0.1)
    operator.wait_until(node._init.service_is_ready, 'the service')
    node._window.keys.append(' ')
    operator.wait_until(lambda: node._selection.is_held, 'the hold')
    for _ in range(6):
        operator.show(frame)
    node._window.drag((10, 10), (60, 60))
    operator.wait_until(
        lambda: 'does not have that frame' in node._selection.message, 'the reason'
    )


def test_it_says_that_no_answer_comes(operator: Any, select: Any, monkeypatch: pytest.MonkeyPatch):
    async def never(request: Any, response: Any) -> Any:
        await Future()
        return response

    monkeypatch.setattr(select_target, 'PATIENCE', 0.5)
    service = operator.node.create_service(InitTarget, 'init_target', never)
    node = select()
    frame = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)

    def show() -> None:
        operator.camera.publish(operator.image(frame))

    operator.wait_until(lambda: (show(), node._selection._newest)[1], 'an image')
    operator.wait_until(node._init.service_is_ready, 'the service')
    node._window.drag((10, 10), (60, 60))
    words = 'init_target has not answered: if nothing has come of it, try again'
    operator.wait_until(lambda: node._selection.message == words, words)
    operator.node.destroy_service(service)


@pytest.mark.usefixtures('alone')
def test_it_says_that_no_image_comes_and_which_parameters_there_are_not(
    operator: Any,
    select: Any,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
):
    monkeypatch.setattr(silence, 'PATIENCE', 1.0)
    operator.node.create_publisher(Image, 'camera/image', 1)
    node = select(image_transports='raw')
    words = 'no image on /image for 1 s: nobody publishes it; topics of this type: /camera/image'
    operator.wait_until(lambda: node._selection.message == words, words)
    assert (
        "image_transports', it is ignored; did you mean 'image_transport'"
        in capfd.readouterr().err
    )


def test_without_a_window_it_ends_with_a_sentence(monkeypatch: pytest.MonkeyPatch):
    assert 'GUI:' in cv2.getBuildInformation(), 'the line that is looked for'
    for name in ('DISPLAY', 'WAYLAND_DISPLAY'):
        monkeypatch.delenv(name, raising=False)
    for gui, display, words in (
        ('GUI: NONE', '', 'opencv-python'),
        ('GUI: QT5', '', 'DISPLAY and WAYLAND_DISPLAY are not set'),
        ('GUI: QT5', ':4711', 'no display .DISPLAY=:4711.'),
    ):
        monkeypatch.setattr(cv2, 'getBuildInformation', lambda gui=gui: gui)
        monkeypatch.setenv('DISPLAY', display)
        with pytest.raises(TrackerError, match=words):
            check_display()

    process = subprocess.run(
        [sys.executable, '-m', 'tracker_nodes.select_target'],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert process.returncode == 1
    assert process.stderr.startswith('error: ')
    assert 'init_target' in process.stderr
    assert 'Traceback' not in process.stderr


def test_it_does_without_torch():
    code = 'import tracker_nodes.select_target, sys; sys.exit("torch" in sys.modules)'
    assert subprocess.run([sys.executable, '-c', code]).returncode == 0

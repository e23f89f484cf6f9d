# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""What the viewers of the page ask for, asked of `tracker_node`: its services, parameters and
lifecycle.

Everything runs in the event loop of the page's thread; rclpy answers in the executor's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
import contextlib
from typing import Any

from builtin_interfaces.msg import Time
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import GetParameters, SetParametersAtomically
from rclpy.client import Client
from rclpy.node import Node
from rclpy.parameter import Parameter
from std_srvs.srv import SetBool, Trigger
from tracker_nodes.srv import InitTarget, RemoveTarget

from tracker_core import list_trackers, tracker_declaration, TrackerError
from tracker_core.page.requests import (
    Answer,
    Choose,
    Pause,
    Remove,
    Request,
    Reset,
    Start,
)
from tracker_nodes.conversions import box_to_message

TIMEOUT = 20.0  # seconds that a service may take
# From each state of the lifecycle one step towards where parameters can be set
DOWN = {
    State.PRIMARY_STATE_ACTIVE: Transition.TRANSITION_DEACTIVATE,
    State.PRIMARY_STATE_INACTIVE: Transition.TRANSITION_CLEANUP,
}


class RefusedError(TrackerError):
    """The node does not do what was asked for; its reason is in the text."""


class OperatorDesk:
    """Hands requests over to the node that tracks.

    Args:
        node: That asks.
        tracker_node: Name of the other.
        label: Of targets that are given none.
    """

    def __init__(self, node: Node, tracker_node: str, label: str) -> None:
        self._label = label
        self._init = node.create_client(InitTarget, 'init_target')
        self._remove = node.create_client(RemoveTarget, 'remove_target')
        self._reset = node.create_client(Trigger, 'reset')
        self._enable = node.create_client(SetBool, 'enable')
        self._get_state = node.create_client(GetState, f'{tracker_node}/get_state')
        self._change_state = node.create_client(ChangeState, f'{tracker_node}/change_state')
        self._get = node.create_client(GetParameters, f'{tracker_node}/get_parameters')
        self._set = node.create_client(
            SetParametersAtomically, f'{tracker_node}/set_parameters_atomically'
        )
        self._choosing = asyncio.Lock()

    async def ask(self, request: Request) -> Answer:
        """Have something done.

        Raises:
            RefusedError: It is not done.
        """
        if isinstance(request, Start):
            return await self._start(request)
        if isinstance(request, Remove):
            answer = await _call(self._remove, RemoveTarget.Request(id=request.id))
            return Answer(answer.success, answer.message)
        if isinstance(request, Reset):
            answer = await _call(self._reset, Trigger.Request())
            return Answer(answer.success, answer.message)
        if isinstance(request, Pause):
            answer = await _call(self._enable, SetBool.Request(data=not request.paused))
            return Answer(answer.success, answer.message)
        if isinstance(request, Choose):
            async with self._choosing:
                return await self._choose(request)
        raise RefusedError('this is no recording')

    async def _start(self, request: Start) -> Answer:
        stamp = Time(sec=request.stamp // 10**9, nanosec=request.stamp % 10**9)
        box = box_to_message(request.box)
        message = InitTarget.Request(
            id=request.id, bbox=box, stamp=stamp, label=request.label or self._label
        )
        answer = await _call(self._init, message)
        if answer.error_code == InitTarget.Response.STAMP_NOT_FOUND:
            raise RefusedError(
                'the tracker does not have that picture any more: draw on a newer one, or raise '
                'the parameters history_seconds and history_megabytes of tracker_node'
            )
        sentence = f'following {answer.id}' if answer.success else answer.message
        return Answer(answer.success, sentence)

    async def _choose(self, wanted: Choose) -> Answer:
        names = ['tracker', 'preset']
        answer = await _call(self._get, GetParameters.Request(names=names))
        before = Choose(*(value.string_value for value in answer.values))
        if wanted == before:
            return Answer(True, f'{wanted.tracker} {wanted.preset} is in use already')
        state = await self._state()
        if state == State.PRIMARY_STATE_FINALIZED:
            raise RefusedError('the tracker has been shut down; start it anew')
        while state in DOWN:
            await self._change(DOWN[state])
            state = await self._state()
        try:
            await self._use(wanted)
        except RefusedError as error:
            await self._use(before)
            raise RefusedError(
                f'{error}; {before.tracker} {before.preset} is in use again'
            ) from error
        return Answer(True, f'{wanted.tracker} {wanted.preset} is ready: draw what to follow')

    async def _use(self, choice: Choose) -> None:
        """Set tracker and preset, and have them loaded."""
        parameters = [
            Parameter('tracker', value=choice.tracker).to_parameter_msg(),
            Parameter('preset', value=choice.preset).to_parameter_msg(),
        ]
        request = SetParametersAtomically.Request(parameters=parameters)
        answer = await _call(self._set, request)
        if not answer.result.successful:
            raise RefusedError(answer.result.reason)
        try:
            await self._change(Transition.TRANSITION_CONFIGURE)
        except RefusedError:
            raise RefusedError(
                f'{choice.tracker} {choice.preset} cannot be loaded (why is among the notices)'
            ) from None
        await self._change(Transition.TRANSITION_ACTIVATE)

    async def _state(self) -> int:
        return (await _call(self._get_state, GetState.Request())).current_state.id

    async def _change(self, transition: int) -> None:
        request = ChangeState.Request(transition=Transition(id=transition))
        if not (await _call(self._change_state, request)).success:
            raise RefusedError('the tracker does not change its state (lifecycle)')


def choices() -> Mapping[str, Sequence[str]]:
    """The presets by tracker that can be loaded with what comes with the package."""
    return {
        name: [
            preset for preset, what in tracker_declaration(name).presets.items() if what.is_bundled
        ]
        for name in list_trackers()
    }


async def _call(client: Client, request: Any) -> Any:
    """Call a service of another node.

    Raises:
        RefusedError: There is none, or no answer.
    """
    if not client.service_is_ready():
        raise RefusedError(f'there is no service {client.srv_name}: is tracker_node running?')
    loop = asyncio.get_running_loop()
    answered: asyncio.Future[Any] = loop.create_future()

    def set_answer(answer: Any) -> None:
        if not answered.done():
            answered.set_result(answer)

    def tell(future: Any) -> None:  # in the executor's thread
        with contextlib.suppress(RuntimeError):  # the page has been closed
            loop.call_soon_threadsafe(set_answer, future.result())

    future = client.call_async(request)
    future.add_done_callback(tell)
    try:
        return await asyncio.wait_for(answered, TIMEOUT)
    except asyncio.TimeoutError:
        client.remove_pending_request(future)
        raise RefusedError(
            f'no answer of {client.srv_name} within {TIMEOUT:g} s: is tracker_node running?'
        ) from None

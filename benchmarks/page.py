# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""What the operator's page costs with several viewers, and how old a picture is on the screen.

python benchmarks/page.py [--viewers 0 1 5] [--seconds 20] [--json FILE]
python benchmarks/page.py --browser [--json FILE]

Needs the built package (source .venv/activate-ros) and aiohttp; --browser needs Chromium and
playwright, too. A camera process shows a rendered scene from memory, with the status of one target
to each image, so that no tracker runs beside. Viewers read and answer like a page, but do not
decode what they get; with --browser one more is a real page.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterator
import contextlib
import json
import multiprocessing
from pathlib import Path
import shutil
import signal
import subprocess
import sys
import time
from typing import Any

import aiohttp
from node_latency import back_and_forth, images, memory_mb, percentiles, processor_seconds
import rclpy
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image
from tracker_nodes.msg import TrackStatus, TrackStatusArray

from tracker_core import Box
from tracker_core.evaluation.machine import describe_machine, machine_line
from tracker_core.tables import format_table
from tracker_nodes.conversions import box_to_message
from tracker_nodes.executables import executable
from tracker_nodes.isolation import isolate

NAMESPACE = '/benchmark'
WARM_UP = 3.0  # seconds that do not count
WATCH = """() => {
    window.ages = [];
    const before = draw;
    draw = () => {
        before();
        if (shown) window.ages.push(
            (performance.timeOrigin + performance.now()) / 1e3 - Number(shown.header.stamp) / 1e9);
    };
}"""


def camera(options: argparse.Namespace, stop: Any) -> None:
    """A process that publishes images, and the status of a target in each."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    messages, box = images(options.size, 'bgr8')
    rclpy.init()
    node = Node('camera', namespace=NAMESPACE)
    publisher = node.create_publisher(Image, 'image', qos_profile_sensor_data)
    statuses = node.create_publisher(TrackStatusArray, 'status', 10)
    target = TrackStatus(id='target_1', state=TrackStatus.TRACKING, score=0.9)
    target.bbox = box_to_message(Box(*box.as_xywh()))
    numbers = back_and_forth(len(messages))
    due = time.monotonic()
    while not stop.is_set():
        message = messages[next(numbers)]
        message.header.stamp = node.get_clock().now().to_msg()
        publisher.publish(message)
        statuses.publish(TrackStatusArray(header=message.header, targets=[target]))
        due = max(due + 1 / options.rate, time.monotonic() - 1)
        time.sleep(max(due - time.monotonic(), 0))
    node.destroy_node()
    rclpy.try_shutdown()


@contextlib.contextmanager
def page() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The node operator as a process, with the address of its page."""
    command = [str(executable('tracker_nodes', 'operator')), '--ros-args']
    command += ['-r', f'__ns:={NAMESPACE}', '-p', 'port:=0', '--log-level', 'error']
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline().split()[-1]
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(20)


async def view(url: str, width: int, end: float, ages: list[float], count: list[int]) -> None:
    """Look at the page until `end` (time.monotonic()); notes the ages of the pictures in seconds,
    and how many bytes came."""
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f'{url}socket', headers={'Origin': url.rstrip('/')}) as talk,
    ):
        while time.monotonic() < end:
            with contextlib.suppress(asyncio.TimeoutError):
                each = await talk.receive(0.5)
                if each.type is aiohttp.WSMsgType.BINARY:
                    size = int.from_bytes(each.data[:4], 'big')
                    header = json.loads(each.data[4 : 4 + size])
                    ages.append(time.time() - int(header['stamp']) / 1e9)
                    count[0] += len(each.data)
                    seen = {'kind': 'seen', 'number': header['number'], 'width': width}
                    await talk.send_str(json.dumps(seen))


def look(url: str, options: argparse.Namespace, viewers: int, pid: int) -> dict[str, Any]:
    """Look with some viewers, and measure after a while."""

    async def everybody() -> dict[str, Any]:
        ages: list[list[float]] = [[] for _ in range(viewers)]
        count = [0]
        end = time.monotonic() + WARM_UP + options.seconds
        tasks = [view(url, options.width, end, each, count) for each in ages]
        watching = asyncio.gather(*tasks)
        await asyncio.sleep(WARM_UP)
        for each in ages:
            each.clear()
        count[0] = 0
        begin, busy = time.monotonic(), processor_seconds(pid)
        await watching
        await asyncio.sleep(max(end - time.monotonic(), 0))
        seconds = time.monotonic() - begin
        together = [age for each in ages for age in each]
        return {
            'viewers': viewers,
            'processors': (processor_seconds(pid) - busy) / seconds,
            'rate': len(together) / seconds / max(viewers, 1),
            'age_ms': percentiles(together) if together else None,
            'megabits': 8e-6 * count[0] / seconds / max(viewers, 1),
            'memory_mb': memory_mb(pid),
        }

    return asyncio.run(everybody())


def look_in_browser(url: str, options: argparse.Namespace) -> dict[str, Any]:
    """Look with Chromium; ages are those of the picture that has just been drawn."""
    from playwright.sync_api import sync_playwright

    path = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser'))), None)
    if path is None:
        sys.exit('Chromium is not installed')
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=path,
            args=['--no-sandbox', '--disable-gpu', '--disable-background-networking'],
        )
        tab = browser.new_page(viewport={'width': options.width + 320, 'height': 760})
        tab.goto(url)
        tab.wait_for_function('() => shown !== null')
        time.sleep(WARM_UP)
        tab.evaluate(WATCH)
        time.sleep(options.seconds)
        ages = tab.evaluate('() => window.ages')
        browser.close()
    return {'rate': len(ages) / options.seconds, 'age_ms': percentiles(ages)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument('--viewers', type=int, nargs='+', default=[0, 1, 5])
    parser.add_argument('--seconds', type=float, default=20.0)
    parser.add_argument('--rate', type=float, default=30.0, help='of the camera, Hz')
    parser.add_argument('--size', default='1280x720', help="of the camera's images")
    parser.add_argument('--width', type=int, default=1280, help='that the viewers ask for, pixels')
    parser.add_argument('--browser', action='store_true', help='a real page, too')
    parser.add_argument('--json', metavar='FILE', help='write the result')
    options = parser.parse_args()
    options.size = tuple(map(int, options.size.split('x')))
    isolate()
    spawn = multiprocessing.get_context('spawn')
    stop = spawn.Event()
    process = spawn.Process(target=camera, args=(options, stop))
    process.start()
    try:
        with page() as (node, url):
            time.sleep(10.0)  # the camera renders
            rows = [look(url, options, count, node.pid) for count in options.viewers]
            browser = look_in_browser(url, options) if options.browser else None
    finally:
        stop.set()
        process.join()
    machine = describe_machine()
    result = {
        'size': list(options.size),
        'rate': options.rate,
        'width': options.width,
        'seconds': options.seconds,
        'viewers': rows,
        'browser': browser,
        'machine': machine,
    }
    print(machine_line(machine))
    print(
        format_table(
            ['viewers', 'processors', 'pictures/s', 'age ms', 'p99', 'Mbit/s each', 'MiB'],
            [
                [
                    str(row['viewers']),
                    f'{row["processors"]:.2f}',
                    f'{row["rate"]:.1f}',
                    *(
                        f'{row["age_ms"][key]:.0f}' if row['age_ms'] else ''
                        for key in ('median', 'p99')
                    ),
                    f'{row["megabits"]:.1f}',
                    f'{row["memory_mb"]:.0f}',
                ]
                for row in rows
            ],
        )
    )
    if browser:
        ages = browser['age_ms']
        print(
            f'on the screen of Chromium: {browser["rate"]:.1f} pictures/s, '
            f'{ages["median"]:.0f} ms old (p99 {ages["p99"]:.0f})'
        )
    if options.json:
        Path(options.json).write_text(json.dumps(result, indent=1) + '\n')
        print(f'wrote {options.json}')


if __name__ == '__main__':
    main()

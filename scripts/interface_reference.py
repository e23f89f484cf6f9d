# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Write docs/interface.md: topics and services of running nodes, messages, parameters.

source .venv/activate-ros && python scripts/interface_reference.py

Names, types, quality of service, ranges and help come from the code; this file only adds a
sentence to each topic and service, and refuses to go on if one is missing or no longer exists.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
import re
import sys
from typing import Any

import rclpy
from rclpy.parameter import Parameter

from tracker_core import list_trackers, tracker_declaration
from tracker_core.media.encodings import ENCODINGS
from tracker_core.parameters import describe, ParameterInfo
from tracker_nodes.annotations import PACKAGE as FOXGLOVE
from tracker_nodes.follow_config import FollowConfig
from tracker_nodes.isolation import isolate
from tracker_nodes.operator_config import OperatorConfig
from tracker_nodes.parameters import constraint, NodeConfig
from tracker_nodes.select_target import SelectConfig
from tracker_nodes.target_pose import TargetPose
from tracker_nodes.tracker_node import TrackerNode
from tracker_nodes.video_source import SourceConfig, VideoSource

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / 'docs' / 'interface.md'

TRACKER_NODE = {
    'image': 'Camera images. The subscription takes over the quality of service that the camera '
    'offers, and holds the newest frame only.',
    'image/compressed': 'JPEG or PNG, instead of `image`, with `image_transport: compressed`.',
    'init_box': 'Starts a target like `init_target`, from a detector or a viewer: `id`, `bbox`, '
    '`header.stamp` and the class of the first result (as label) count. Refusals are logged.',
    'candidates': 'Where lost targets may be, from any detector: there is looked first. The class '
    'of the best result counts for targets of that label alone; what is found must still look '
    'like the target.',
    'detections': 'One for every processed frame, with the header of the image; lost targets are '
    'absent, so it may be empty.',
    'detection': 'The first target that is not lost; nothing while there is none.',
    'status': 'One for every processed frame: all targets, lost ones too, and the time it took.',
    'image_annotated': 'The frame with boxes, ids, scores and states. Only rendered while '
    'somebody subscribes.',
    'image_annotated/compressed': 'The same as JPEG.',
    'annotations': 'Boxes and names for Foxglove, over its image of the camera. Only where '
    'foxglove_msgs is installed, and while somebody subscribes.',
    '/diagnostics': 'Once a second: rate, latency, drops, device, weights; a warning when no '
    'image arrives or frames are skipped.',
    'init_target': 'Follow what is inside a box.',
    'remove_target': 'Stop following a target, or all.',
    'reset': 'Stop following all targets.',
    'enable': 'False: no frame is processed and nothing is published; targets are kept. True: on.',
}
TARGET_POSE = {
    'status': 'The targets, from `tracker_node`.',
    'detections': 'The targets where nobody publishes `status`: of any detector, all TRACKING.',
    'camera_info': 'Of the camera that the tracker looks through.',
    'depth': 'Depth images (`16UC1` in millimetres, `32FC1` in metres) aligned with the images, '
    'joined by their stamps.',
    'depth/compressedDepth': 'Instead of `depth`, with `depth_transport: compressedDepth`.',
    'target_pose': 'The pose of every target whose place is known, in the order of '
    '`detections_3d`.',
    'pose': 'That of the first one, or of the parameter `target`: what FollowObject takes.',
    'detections_3d': 'One for every frame: all targets whose place is known, with their ids.',
    'bearing': "Azimuth (x) and elevation (y) in radians from the camera's axis, positive to the "
    'left and upwards; of the same target as `pose`, with or without a range.',
    'bearing_rate': 'The same in radians per second.',
    'target_markers': 'Boxes and names for rviz. Only while somebody subscribes.',
    '/diagnostics': 'Once a second: rate, latency, what the ranges come from, and what is wrong.',
}
# Whose package may not be installed
OPTIONAL = {'annotations': ('publisher', f'`{FOXGLOVE}/msg/ImageAnnotations`', 'reliable, 10')}
VIDEO_SOURCE = {
    'image': 'The frames.',
    'image/compressed': 'The same as JPEG. Only rendered while somebody subscribes.',
    '~/frame': 'For each frame its stamp, with its number as `frame_id`.',
    'detections': 'Only with `lockstep` or `start_paused`: the answer that the next frame waits '
    'for.',
    '~/play': 'Go on, after `start_paused`.',
}
CAMERA = {  # its QoS is adopted
    ('subscription', name)
    for name in ('image', 'image/compressed', 'depth', 'depth/compressedDepth', 'camera_info')
}
# Every node has these, or every lifecycle node; their names end so.
COMMON = ('/parameter_events', '_parameters', '_parameters_atomically', '_parameter_types')
COMMON += ('/change_state', '/get_state', '_states', '_transitions', '_transition_graph')
COMMON += ('/get_type_description', '/transition_event', '/rosout')


def table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ['---'] * len(header), *rows]
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines)


def kind(message: Any) -> str:
    """sensor_msgs/msg/Image of a class."""
    package, what = message.__module__.split('.')[:2]
    return f'`{package}/{what}/{message.__name__}`'


def entities(node: Any) -> Iterator[tuple[str, str, str, str]]:
    """Kind, name, type and quality of service of all that a node offers and uses."""

    def relative(name: str) -> str:
        private = f'{node.get_fully_qualified_name()}/'
        if name.startswith(private):
            return f'~/{name.removeprefix(private)}'
        return name if name == '/diagnostics' else name.removeprefix('/')

    for what, all_of_it in (('publisher', node.publishers), ('subscription', node.subscriptions)):
        for each in all_of_it:
            if not each.topic_name.endswith(COMMON):
                qos = each.qos_profile
                words = f'{qos.reliability.name.lower()}, {qos.depth}'
                yield what, relative(each.topic_name), kind(each.msg_type), words
    for each in node.services:
        name = each.srv_name
        if not name.endswith(COMMON):
            yield 'service', relative(f'/{name.removeprefix("/")}'), kind(each.srv_type), ''


def interface_table(nodes: list[Any], sentences: dict[str, str]) -> str:
    """The union of what the nodes have, in the order of the sentences."""
    found = {name: (what, type_, qos) for n in nodes for what, name, type_, qos in entities(n)}
    found.update({name: row for name, row in OPTIONAL.items() if name in sentences})
    if found.keys() != sentences.keys():
        sys.exit(
            f'{Path(__file__).name} has to describe {sorted(found.keys() - sentences.keys())} '
            f'and to forget {sorted(sentences.keys() - found.keys())}'
        )
    rows = []
    for name, sentence in sentences.items():
        what, type_, qos = found[name]
        if (what, name) in CAMERA:
            qos = "the camera's, 1"
        rows.append([what, f'`{name}`', type_, qos, sentence])
    return table(['', 'name', 'type', 'QoS, depth', ''], rows)


def value(info: ParameterInfo, default: Any) -> str:
    if isinstance(default, bool):
        return f'`{str(default).lower()}`'
    return f"`'{default}'`" if info.type is str else f'`{default:g}`'


def limits(info: ParameterInfo) -> str:
    if info.choices is not None:
        return ', '.join(f'`{choice}`' for choice in info.choices)
    if info.minimum is not None and info.maximum is not None:
        return f'{info.minimum:g} to {info.maximum:g}'
    if info.minimum is not None:
        return f'at least {info.minimum:g}'
    return '' if info.maximum is None else f'at most {info.maximum:g}'


def parameter_table(config: Any, when: Any) -> str:
    rows = [
        [
            f'`{info.name}`',
            info.type.__name__,
            value(info, info.default),
            limits(info),
            when(info),
            info.help,
        ]
        for info in describe(config)
    ]
    return table(['name', 'type', 'default', 'range', 'changes', ''], rows)


def changes(info: ParameterInfo) -> str:
    """When a parameter of the node can be set."""
    return 'before configure' if constraint(info) else 'any time'


def tracker_table(name: str) -> str:
    """A tracker's parameters: the value of the preset compact, and where others differ."""
    declared = tracker_declaration(name).presets
    presets = {name: preset.config for name, preset in declared.items()}
    rows = []
    for info in describe(presets['compact']):
        usual = getattr(presets['compact'], info.name)
        others = [
            f'{preset}: {value(info, getattr(config, info.name))}'
            for preset, config in presets.items()
            if getattr(config, info.name) != usual
        ]
        rows.append(
            [
                f'`{name}.{info.name}`',
                info.type.__name__,
                value(info, usual),
                '; '.join(others),
                limits(info),
                'any time' if info.live else 'before configure',
                info.help,
            ]
        )
    header = ['name', 'type', 'compact', 'other presets', 'range', 'changes', '']
    return table(header, rows)


def constants(path: Path) -> str:
    """The uint8 constants of an interface file with their comments."""
    found = re.findall(r'^uint8 (\w+)=(\d+)\s+# (.*)$', path.read_text(), re.MULTILINE)
    return table(['value', 'name', ''], [[code, f'`{name}`', text] for name, code, text in found])


def definition(path: Path) -> str:
    return f'### {path.parent.name}/{path.stem}\n\n```\n{path.read_text().rstrip()}\n```'


def page() -> str:
    """The whole text of docs/interface.md."""
    isolate()
    rclpy.init()
    nodes = []
    for transport in ('raw', 'compressed'):
        values = {'weights': 'random', 'device': 'cpu', 'image_transport': transport}
        overrides = [Parameter(name, value=each) for name, each in values.items()]
        nodes.append(TrackerNode(parameter_overrides=overrides))
        nodes[-1].start()
    followers = []
    for transport in ('raw', 'compressedDepth'):
        values = {'depth_transport': transport, 'fixed_frame': ''}  # TF has topics of its own
        overrides = [Parameter(name, value=each) for name, each in values.items()]
        followers.append(TargetPose(parameter_overrides=overrides))
        followers[-1].start()
    source = VideoSource(parameter_overrides=[Parameter('start_paused', value=True)])
    tables = (
        interface_table(nodes, TRACKER_NODE),
        interface_table([source], VIDEO_SOURCE),
        interface_table(followers, TARGET_POSE),
    )
    for node in (*nodes, *followers, source):
        node.close()
        node.destroy_node()
    rclpy.try_shutdown()

    files = [*sorted((ROOT / 'msg').glob('*.msg')), *sorted((ROOT / 'srv').glob('*.srv'))]
    parts = [
        '# Interface reference',
        'Written by `python scripts/interface_reference.py`; do not edit. Names are relative, so '
        'that namespaces and remapping work; `~/` is below the name of the node.',
        '## tracker_node',
        tables[0],
        'It is a lifecycle node: configure loads the tracker and runs it once, activate '
        'subscribes, deactivate unsubscribes and keeps the targets, cleanup frees the memory. It '
        'does the first two by itself unless `autostart` is false. The services of every node '
        '(parameters) and of every lifecycle node (`~/change_state`, `~/get_state`, ...) are '
        'there as well.',
        f'Encodings of `image`: {", ".join(f"`{name}`" for name in ENCODINGS)}. Sizes may be odd '
        'and rows padded. In those with planes (`nv12`, `i420`, ...) `height` is of the image and '
        '`step` of the luma. What else there is goes through cv_bridge where that is '
        'installed; depth (`32FC1`, `compressedDepth`) is refused. Of `image/compressed` an image '
        'of one channel whose `format` begins with a Bayer encoding is a mosaic.',
        '### Error codes of init_target',
        constants(ROOT / 'srv' / 'InitTarget.srv'),
        '### States of a target',
        constants(ROOT / 'msg' / 'TrackStatus.msg'),
        '### Parameters',
        'A value that does not fit is refused with the reason. "Before configure" means: while no '
        'tracker is loaded, so at start-up or after a cleanup. With another `tracker` or `preset` '
        'the node has the parameters of that one: as given at start-up, else as in the preset. '
        '`qos_overrides.TOPIC...` of the camera images and of all publishers come on top, as ROS '
        'defines them.',
        parameter_table(NodeConfig, changes),
        'Those of the tracker carry its name in front.',
    ]
    for name in list_trackers():
        parts += [f'#### {name}', tracker_table(name)]
    parts += [
        '## target_pose',
        'A lifecycle node that configures and activates itself unless `autostart` is false; see '
        '[follow_me.md](follow_me.md).',
        tables[2],
        '### Parameters',
        parameter_table(FollowConfig, changes),
        '## video_source',
        tables[1],
        '### Parameters',
        parameter_table(SourceConfig, lambda _: 'start-up only'),
        '## select_target',
        'A window to draw boxes in. It subscribes to `image` (or `image/compressed`) and '
        '`detections`, and calls `init_target`, `remove_target` and `reset`.',
        '### Parameters',
        parameter_table(SelectConfig, lambda _: 'start-up only'),
        '## operator',
        'A page in the browser, see [operator.md](operator.md). It subscribes to `image` (or '
        '`image/compressed`) while somebody looks, to `status`, `/diagnostics` and `/rosout`, and '
        'calls `init_target`, `remove_target`, `reset`, `enable` and the services of '
        "`tracker_node`'s parameters and lifecycle.",
        '### Parameters',
        parameter_table(OperatorConfig, lambda _: 'start-up only'),
        '## Messages and services',
        *(definition(path) for path in files),
    ]
    return '\n\n'.join(parts) + '\n'


def main() -> None:
    parser = argparse.ArgumentParser(description='Write docs/interface.md from the code.')
    parser.add_argument('--check', action='store_true', help='only tell whether it is up to date')
    is_check = parser.parse_args().check
    text = page()
    if not is_check:
        PAGE.write_text(text)
        print(PAGE)
    elif not PAGE.exists() or PAGE.read_text() != text:
        sys.exit(f'{PAGE} is out of date; write it again: python scripts/interface_reference.py')


if __name__ == '__main__':
    main()

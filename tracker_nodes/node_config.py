# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The parameters of `tracker_node`, apart from the tracker's own; neither torch nor ROS is needed
to know them."""

from __future__ import annotations

from dataclasses import dataclass

from tracker_core import list_trackers
from tracker_core.choices import PRECISIONS, RUNTIMES
from tracker_core.media.gray import AUTO, BIT_DEPTHS
from tracker_core.parameters import parameter


@dataclass(frozen=True)
class NodeConfig:
    """The parameters of `tracker_node`, apart from the tracker's own."""

    tracker: str = parameter('tadt', f'Which tracker: {", ".join(list_trackers())}.', live=False)
    preset: str = parameter(
        'compact',
        "'compact' (small network, bundled weights) or 'paper' (the published architecture).",
        live=False,
    )
    device: str = parameter(
        'auto', "'auto' (CUDA where there is one), 'cpu', 'cuda' or 'cuda:N'.", live=False
    )
    precision: str = parameter(
        'auto',
        'Number format of the networks.',
        choices=('auto', *PRECISIONS),
        live=False,
    )
    runtime: str = parameter(
        'auto',
        'How a step is executed: auto is cuda_graph on CUDA, on a CPU session for preset compact, '
        'else eager.',
        choices=RUNTIMES,
        live=False,
    )
    weights: str = parameter(
        '', "Weight file; empty for the bundled one, 'random' to measure speed.", live=False
    )
    image_transport: str = parameter(
        'raw',
        'What to subscribe to: the topic image, or image/compressed.',
        choices=('raw', 'compressed'),
        live=False,
    )
    bit_depth: int = parameter(
        AUTO,
        'Bits that 16-bit images really have; 0: their range is found, and followed slowly.',
        choices=BIT_DEPTHS,
    )
    max_targets: int = parameter(
        8, 'So many targets are followed at most.', minimum=1, maximum=100
    )
    max_age: float = parameter(
        0.0,
        "Images older than this, in seconds by the node's clock, are dropped; 0 for never.",
        minimum=0.0,
        maximum=3600.0,
    )
    history_seconds: float = parameter(
        2.0,
        'How far back a frame is kept for init_target with a stamp.',
        minimum=0.0,
        maximum=60.0,
        live=False,
    )
    history_megabytes: float = parameter(
        128.0,
        'How much image data is kept for that at most.',
        minimum=0.0,
        maximum=8192.0,
        live=False,
    )
    autostart: bool = parameter(
        True, 'Configure and activate at start-up, without a lifecycle manager.', live=False
    )

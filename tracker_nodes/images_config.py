# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The parameters of a node that shows images; neither torch nor ROS is needed to know them."""

from __future__ import annotations

from dataclasses import dataclass

from tracker_core.media.gray import AUTO, BIT_DEPTHS
from tracker_core.parameters import parameter


@dataclass(frozen=True)
class ImagesConfig:
    """Which images are taken, and how those of 16 bits are seen."""

    image_transport: str = parameter(
        'raw',
        'What to subscribe to: the topic image, or image/compressed.',
        choices=('raw', 'compressed'),
    )
    bit_depth: int = parameter(
        AUTO, 'Bits that 16-bit images really have; 0: their range is found.', choices=BIT_DEPTHS
    )

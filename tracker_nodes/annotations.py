# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Boxes and names as Foxglove draws them over the camera's image, where foxglove_msgs is
installed; so no second stream of images is needed."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from std_msgs.msg import Header

from tracker_core.media.messages import FONT_SIZE, THICKNESS
from tracker_core.media.overlay import COLOURS, label_text
from tracker_core.target import TrackStatus
from tracker_nodes.worker import Followed

PACKAGE = 'foxglove_msgs'


def message_type() -> Any:
    """The class ImageAnnotations; None where the package is not installed."""
    if find_spec(PACKAGE) is None:
        return None
    from foxglove_msgs.msg import ImageAnnotations

    return ImageAnnotations


def annotations_message(header: Header, followed: Sequence[Followed]) -> Any:
    """A box and a line of text for every target that is not lost.

    Foxglove's coordinates are those of a `Box`: the corner of the first pixel is (0, 0).
    """
    from foxglove_msgs.msg import (
        Color,
        ImageAnnotations,
        Point2,
        PointsAnnotation,
        TextAnnotation,
    )

    message = ImageAnnotations()
    if hasattr(message, 'timestamp'):  # of newer releases
        message.timestamp = header.stamp
    for each in followed:
        target, box = each.target, each.target.box
        if target.status is TrackStatus.LOST:
            continue
        red, green, blue = (channel / 255 for channel in COLOURS[target.status])
        colour = Color(r=red, g=green, b=blue, a=1.0)
        corners = [(box.x, box.y), (box.x2, box.y), (box.x2, box.y2), (box.x, box.y2)]
        message.points.append(
            PointsAnnotation(
                timestamp=header.stamp,
                type=PointsAnnotation.LINE_LOOP,
                points=[Point2(x=x, y=y) for x, y in corners],
                outline_color=colour,
                thickness=THICKNESS,
            )
        )
        message.texts.append(
            TextAnnotation(
                timestamp=header.stamp,
                position=Point2(x=box.x, y=box.y),
                text=label_text(target, each.id),
                font_size=FONT_SIZE,
                text_color=Color(r=1.0, g=1.0, b=1.0, a=1.0),
                background_color=Color(r=red, g=green, b=blue, a=0.5),
            )
        )
    return message

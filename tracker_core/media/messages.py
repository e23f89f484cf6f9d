# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The messages that results are recorded in, for rosbags, which has those of ROS itself.

They are those of `msg/`, of vision_msgs and of foxglove_msgs without their comments; an installed
library does not have the files. test_recordings.py compares those that are in the repository.
"""

from __future__ import annotations

from typing import Any

DETECTIONS = 'vision_msgs/msg/Detection2DArray'
STATUS = 'tracker_nodes/msg/TrackStatusArray'
ANNOTATIONS = 'foxglove_msgs/msg/ImageAnnotations'
THICKNESS = 2.0  # pixels, of an annotation's lines
FONT_SIZE = 14.0  # pixels
DEFINITIONS = {
    'vision_msgs/msg/Point2D': 'float64 x\nfloat64 y',
    'vision_msgs/msg/Pose2D': 'vision_msgs/Point2D position\nfloat64 theta',
    'vision_msgs/msg/BoundingBox2D': """
        vision_msgs/Pose2D center
        float64 size_x
        float64 size_y""",
    'vision_msgs/msg/ObjectHypothesis': 'string class_id\nfloat64 score',
    'vision_msgs/msg/ObjectHypothesisWithPose': """
        vision_msgs/ObjectHypothesis hypothesis
        geometry_msgs/PoseWithCovariance pose""",
    'vision_msgs/msg/Detection2D': """
        std_msgs/Header header
        vision_msgs/ObjectHypothesisWithPose[] results
        vision_msgs/BoundingBox2D bbox
        string id""",
    DETECTIONS: 'std_msgs/Header header\nvision_msgs/Detection2D[] detections',
    'tracker_nodes/msg/TrackStatus': """
        uint8 TRACKING=1
        uint8 UNCERTAIN=2
        uint8 LOST=3
        string id
        string label
        uint8 state
        float32 score
        float32 raw_score
        uint32 age
        uint32 frames_lost
        vision_msgs/BoundingBox2D bbox
        float32 velocity_x
        float32 velocity_y""",
    STATUS: """
        std_msgs/Header header
        string tracker
        string preset
        tracker_nodes/TrackStatus[] targets
        float32 latency
        float32 processing_time
        uint32 dropped_frames
        uint64 frames""",
    'foxglove_msgs/msg/Point2': 'float64 x\nfloat64 y',
    'foxglove_msgs/msg/Color': 'float64 r\nfloat64 g\nfloat64 b\nfloat64 a',
    'foxglove_msgs/msg/CircleAnnotation': """
        builtin_interfaces/Time timestamp
        foxglove_msgs/Point2 position
        float64 diameter
        float64 thickness
        foxglove_msgs/Color fill_color
        foxglove_msgs/Color outline_color""",
    'foxglove_msgs/msg/PointsAnnotation': """
        uint8 UNKNOWN=0
        uint8 POINTS=1
        uint8 LINE_LOOP=2
        uint8 LINE_STRIP=3
        uint8 LINE_LIST=4
        builtin_interfaces/Time timestamp
        uint8 type
        foxglove_msgs/Point2[] points
        foxglove_msgs/Color outline_color
        foxglove_msgs/Color[] outline_colors
        foxglove_msgs/Color fill_color
        float64 thickness""",
    'foxglove_msgs/msg/TextAnnotation': """
        builtin_interfaces/Time timestamp
        foxglove_msgs/Point2 position
        string text
        float64 font_size
        foxglove_msgs/Color text_color
        foxglove_msgs/Color background_color""",
    ANNOTATIONS: """
        foxglove_msgs/CircleAnnotation[] circles
        foxglove_msgs/PointsAnnotation[] points
        foxglove_msgs/TextAnnotation[] texts""",
}


def known_types() -> Any:
    """A typestore of rosbags with the messages of ROS 2 and these."""
    from rosbags.typesys import get_types_from_msg, get_typestore, Stores

    types = get_typestore(Stores.ROS2_HUMBLE)
    for name, definition in DEFINITIONS.items():
        text = '\n'.join(line.strip() for line in definition.strip().splitlines())
        types.register(get_types_from_msg(text, name))
    return types

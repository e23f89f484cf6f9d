# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""What was found in a recording as a recording: to be opened in Foxglove, or to be replayed beside
the original."""

from __future__ import annotations

from collections.abc import Mapping
import os
from pathlib import Path
import shutil
import tempfile
from typing import Any

import numpy as np

from tracker_core.boxes import Box
from tracker_core.errors import VideoError
from tracker_core.extras import need
from tracker_core.media.messages import (
    ANNOTATIONS,
    DETECTIONS,
    FONT_SIZE,
    known_types,
    STATUS,
    THICKNESS,
)
from tracker_core.media.moments import Header, SECOND
from tracker_core.media.overlay import COLOURS, label_text
from tracker_core.motion import Motion
from tracker_core.target import Target, TrackStatus

TOPICS = {DETECTIONS: '/detections', STATUS: '/status', ANNOTATIONS: '/annotations'}


class TrackRecorder:
    """Writes an .mcap with what the node publishes on `detections`, `status` and `annotations`.

    There is one of each per frame, with the header of the image, and recorded when that was. The
    latency is 0: nothing waited. The file is there once it is complete.

    Args:
        path: The file, which is replaced if there is one.
        tracker, preset: Which found it.

    Raises:
        ParameterError: The package rosbags is not installed.
        VideoError: The file cannot be written.
    """

    def __init__(self, path: str | Path, tracker: str, preset: str) -> None:
        need('rosbags', 'writing a recording', 'bag')
        from rosbags.rosbag2 import StoragePlugin, Writer

        self.path = Path(path)
        self._tracker, self._preset = tracker, preset
        self._types = known_types()
        self._motions: dict[str, Motion] = {}
        self._frames = 0
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._folder = Path(tempfile.mkdtemp(prefix='.tracks_', dir=self.path.parent))
        except OSError as error:
            raise VideoError(f'{self.path} cannot be written: {error.strerror}') from None
        self._writer = Writer(
            self._folder / 'bag', version=Writer.VERSION_LATEST, storage_plugin=StoragePlugin.MCAP
        )
        self._writer.open()
        self._connections = {
            kind: self._writer.add_connection(topic, kind, typestore=self._types)
            for kind, topic in TOPICS.items()
        }

    def write(
        self, header: Header, targets: Mapping[str, Target[Any, Any]], seconds: float
    ) -> None:
        """Add a frame.

        Args:
            header: Of its image.
            targets: By their ids.
            seconds: That it took.
        """
        self._frames += 1
        stamped = self._header(header)
        live = {n: t for n, t in targets.items() if t.status is not TrackStatus.LOST}
        detections = [self._detection(stamped, name, target) for name, target in live.items()]
        self._put(header.recorded, DETECTIONS, header=stamped, detections=detections)
        self._put(
            header.recorded,
            STATUS,
            header=stamped,
            tracker=self._tracker,
            preset=self._preset,
            targets=[self._status(header, name, target) for name, target in targets.items()],
            latency=0.0,
            processing_time=seconds,
            dropped_frames=0,
            frames=self._frames,
        )
        self._put(
            header.recorded,
            ANNOTATIONS,
            circles=[],
            points=[self._outline(stamped, target) for target in live.values()],
            texts=[self._text(stamped, name, target) for name, target in live.items()],
        )

    def close(self) -> None:
        """Complete the file."""
        self._writer.close()
        os.replace(self._folder / 'bag' / 'bag.mcap', self.path)
        shutil.rmtree(self._folder, ignore_errors=True)

    def abort(self) -> None:
        """Leave nothing behind."""
        self._writer.abort()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _put(self, recorded: int, kind: str, **fields: Any) -> None:
        data = self._types.serialize_cdr(self._message(kind, **fields), kind)
        self._writer.write(self._connections[kind], recorded, data)

    def _message(self, kind: str, **fields: Any) -> Any:
        return self._types.types[kind](**fields)

    def _header(self, header: Header) -> Any:
        seconds, nanoseconds = divmod(header.stamp, SECOND)
        stamp = self._message('builtin_interfaces/msg/Time', sec=seconds, nanosec=nanoseconds)
        return self._message('std_msgs/msg/Header', stamp=stamp, frame_id=header.frame_id)

    def _box(self, box: Box) -> Any:
        point = self._message('vision_msgs/msg/Point2D', x=box.cx, y=box.cy)
        center = self._message('vision_msgs/msg/Pose2D', position=point, theta=0.0)
        return self._message(
            'vision_msgs/msg/BoundingBox2D', center=center, size_x=box.w, size_y=box.h
        )

    def _detection(self, header: Any, name: str, target: Target[Any, Any]) -> Any:
        hypothesis = self._message(
            'vision_msgs/msg/ObjectHypothesis', class_id='', score=target.score
        )
        point = self._message('geometry_msgs/msg/Point', x=0.0, y=0.0, z=0.0)
        turn = self._message('geometry_msgs/msg/Quaternion', x=0.0, y=0.0, z=0.0, w=1.0)
        pose = self._message(
            'geometry_msgs/msg/PoseWithCovariance',
            pose=self._message('geometry_msgs/msg/Pose', position=point, orientation=turn),
            covariance=np.zeros(36),
        )
        result = self._message(
            'vision_msgs/msg/ObjectHypothesisWithPose', hypothesis=hypothesis, pose=pose
        )
        return self._message(
            'vision_msgs/msg/Detection2D',
            header=header,
            results=[result],
            bbox=self._box(target.box),
            id=name,
        )

    def _outline(self, header: Any, target: Target[Any, Any]) -> Any:
        box = target.box
        corners = [(box.x, box.y), (box.x2, box.y), (box.x2, box.y2), (box.x, box.y2)]
        return self._message(
            'foxglove_msgs/msg/PointsAnnotation',
            timestamp=header.stamp,
            type=2,  # LINE_LOOP
            points=[self._message('foxglove_msgs/msg/Point2', x=x, y=y) for x, y in corners],
            outline_color=self._colour(COLOURS[target.status], 1.0),
            outline_colors=[],
            fill_color=self._colour((0, 0, 0), 0.0),
            thickness=THICKNESS,
        )

    def _text(self, header: Any, name: str, target: Target[Any, Any]) -> Any:
        position = self._message('foxglove_msgs/msg/Point2', x=target.box.x, y=target.box.y)
        return self._message(
            'foxglove_msgs/msg/TextAnnotation',
            timestamp=header.stamp,
            position=position,
            text=label_text(target, name),
            font_size=FONT_SIZE,
            text_color=self._colour((255, 255, 255), 1.0),
            background_color=self._colour(COLOURS[target.status], 0.5),
        )

    def _colour(self, rgb: tuple[int, int, int], alpha: float) -> Any:
        red, green, blue = (channel / 255 for channel in rgb)
        return self._message('foxglove_msgs/msg/Color', r=red, g=green, b=blue, a=alpha)

    def _status(self, header: Header, name: str, target: Target[Any, Any]) -> Any:
        if name in self._motions:
            self._motions[name].add(target.box, target.status, header.stamp)
        else:
            self._motions[name] = Motion(target.box, header.stamp)
        velocity = self._motions[name].velocity or (0.0, 0.0)
        return self._message(
            'tracker_nodes/msg/TrackStatus',
            id=name,
            label='',
            state=int(target.status),
            score=target.score,
            raw_score=target.raw_score,
            age=target.age,
            frames_lost=target.frames_lost,
            bbox=self._box(target.box),
            velocity_x=velocity[0],
            velocity_y=velocity[1],
            TRACKING=1,
            UNCERTAIN=2,
            LOST=3,
        )

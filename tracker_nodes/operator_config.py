# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The parameters of `operator`; neither torch nor ROS is needed to know them."""

from __future__ import annotations

from dataclasses import dataclass

from tracker_core.page.config import PageConfig
from tracker_core.parameters import parameter
from tracker_nodes.images_config import ImagesConfig


@dataclass(frozen=True)
class OperatorConfig(ImagesConfig, PageConfig):
    """The parameters of `operator`: its page, and what it shows."""

    label: str = parameter(
        '', "What is followed: the label of targets that are given none; empty for 'target'."
    )
    tracker_node: str = parameter(
        'tracker_node', 'Name of the node that tracks, in the same namespace or with its own.'
    )

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Feature extractors."""

from tracker_core.backbones.compact import CompactBackbone

__all__ = ['CompactBackbone']

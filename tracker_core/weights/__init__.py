# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Weight files: how they are found, and read without executing anything."""

from tracker_core.weights.files import (
    load_into,
    randomize,
    read_checkpoint,
    read_weight_file,
    save_safetensors,
)
from tracker_core.weights.loading import load_weights, Weights

__all__ = [
    'Weights',
    'load_into',
    'load_weights',
    'randomize',
    'read_checkpoint',
    'read_weight_file',
    'save_safetensors',
]

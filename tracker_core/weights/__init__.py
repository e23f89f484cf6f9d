# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Weight files: which there are, where they are looked for, and how they are read without
executing anything."""

from tracker_core.weights.files import (
    load_into,
    randomize,
    read_checkpoint,
    read_weight_file,
    save_safetensors,
)
from tracker_core.weights.registry import (
    list_weights,
    load_weights,
    WeightFile,
    Weights,
    weights_folder,
)

__all__ = [
    'WeightFile',
    'Weights',
    'list_weights',
    'load_into',
    'load_weights',
    'randomize',
    'read_checkpoint',
    'read_weight_file',
    'save_safetensors',
    'weights_folder',
]

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""What can be chosen when a tracker is made, by name; nothing here imports torch."""

RUNTIMES = ('auto', 'eager', 'session', 'cuda_graph', 'onnx', 'tensorrt')
PRECISIONS = ('float32', 'bfloat16', 'float16', 'int8')  # of the networks, beside 'auto'

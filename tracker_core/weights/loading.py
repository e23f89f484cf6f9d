# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Find and read the weight files that a preset declares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
import hashlib
import os
from pathlib import Path

from torch import Tensor

from tracker_core.declaration import WeightFile, weights_folder
from tracker_core.errors import WeightsError
from tracker_core.weights.files import interpret, read_bytes


@dataclass(frozen=True)
class Weights:
    """Weights as they were read.

    Attributes:
        state: Per part (see `WeightFile.part`) the names and tensors of its file; None stands for
            seeded random weights.
        source: Names of the files, or 'random'.
        checksum: First 16 hexadecimal digits of the SHA-256 over the files; 'random' where there
            is none.
    """

    state: dict[str, dict[str, Tensor]] | None
    source: str
    checksum: str


def load_weights(name: str, files: Sequence[WeightFile], weights: str | None = None) -> Weights:
    """Find and read the weights of a preset.

    Args:
        name: Of tracker and preset, for messages.
        files: What it declares.
        weights: None (bundled or installed files), 'random', a file, or a folder that holds the
            files.

    Raises:
        WeightsError: A file is missing, damaged, holds something else than names and tensors, or
            its checksum is not the expected one.
    """
    if weights == 'random':
        return Weights(None, 'random', 'random')
    paths: dict[str, Path] = {}
    if weights is None or os.path.isdir(weights):
        for entry in files:
            path = entry.path if weights is None else entry.find_in(Path(weights))
            if path is None:
                raise WeightsError(
                    f'{name} needs {entry.file}, which is not in '
                    f'{weights or weights_folder()}. Get it from {entry.origin} (licence: '
                    f'{entry.licence}), or set weights to its path'
                )
            paths[entry.part] = path
    elif not os.path.exists(weights):
        raise WeightsError(f'{weights} does not exist: set weights to a file or a folder')
    elif len(files) > 1:
        several = ', '.join(entry.file for entry in files)
        raise WeightsError(
            f'{weights} is not a folder: {name} reads several files ({several}), set '
            'weights to the folder that holds them'
        )
    else:
        paths[''] = Path(weights)

    state: dict[str, dict[str, Tensor]] = {}
    whole = hashlib.sha256()
    for part, path in paths.items():
        content = read_bytes(path)  # once: the checksum is that of what is read
        digest = hashlib.sha256(content).hexdigest()
        expected = {entry.sha256 for entry in files if entry.part == part and entry.is_bundled}
        if weights is None and expected - {'', digest}:
            raise WeightsError(
                f'{path} is damaged or of another version: its SHA-256 is {digest}, expected '
                f'{expected.pop()}; install the package again'
            )
        whole.update(content)
        state[part] = interpret(content, path)
    return Weights(state, ', '.join(path.name for path in paths.values()), whole.hexdigest()[:16])

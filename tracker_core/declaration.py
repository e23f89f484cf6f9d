# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""How a tracker declares itself: in `declaration.py` of its own folder, without importing torch.

    DECLARATION = Declaration(
        'atom', 'ATOM', 'a classifier ... finds the place, ...', 'tracker_core.atom.tracker:AtomTracker',
        {'compact': Preset(COMPACT, 'compact', (WeightFile(...), ...)), 'paper': ...},
    )

`tracker_core.registry` finds the declarations; from them come the names that `create_tracker`,
the command line, the launch files and the documentation know.
"""  # noqa: E501

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
import os
from pathlib import Path

from tracker_core.errors import UnknownTrackerError
from tracker_core.parameters import TrackerConfig

BUNDLED_FOLDER = Path(__file__).parent / 'weights'
BUNDLED = 'bundled'  # origin of the files that come with the package


@dataclass(frozen=True)
class WeightFile:
    """A file that a preset reads.

    Attributes:
        file: File name.
        licence: Licence of the weights.
        origin: Where the file is had; `BUNDLED` for those that come with the package.
        part: Which of the tracker's networks it holds; '' where one file holds all.
        sha256: Checksum of the file; empty where it is not known.
    """

    file: str
    licence: str
    origin: str
    part: str = ''
    sha256: str = ''

    @property
    def is_bundled(self) -> bool:
        return self.origin == BUNDLED

    @property
    def path(self) -> Path | None:
        """Where the file is on this machine; None while it is missing."""
        return self.find_in(BUNDLED_FOLDER if self.is_bundled else weights_folder())

    def find_in(self, folder: Path) -> Path | None:
        """The file, or its copy converted to safetensors, in a folder."""
        candidates = (folder / self.file, folder / f'{Path(self.file).stem}.safetensors')
        return next((path for path in candidates if path.is_file()), None)


def bundled(file: str, sha256: str, part: str = '') -> WeightFile:
    """A file that comes with the package."""
    return WeightFile(file, 'Apache-2.0', BUNDLED, part, sha256)


def compact_backbone(part: str = 'backbone') -> WeightFile:
    """The small backbone that the compact presets share."""
    return bundled(
        'compact_backbone.safetensors',
        '9ffc8a009c42fc93f303b7c1dcea90f98ebb568c5210bb46c2066e35ce29c64f',
        part,
    )


def box_refiner() -> WeightFile:
    """The box refiner that TADT and DAT share."""
    return bundled(
        'compact_refiner.safetensors',
        '5a3119a40a82d9190d2acd0c8b3633d9ff8832064326970b6f26f7a2a9e69abe',
        'refiner',
    )


def weights_folder() -> Path:
    """Where authors' weight files are looked for: $TRACKER_WEIGHTS, or tracker_nodes in the user's
    data folder."""
    if 'TRACKER_WEIGHTS' in os.environ:
        return Path(os.environ['TRACKER_WEIGHTS']).expanduser()
    return Path(os.environ.get('XDG_DATA_HOME', '~/.local/share')).expanduser() / 'tracker_nodes'


@dataclass(frozen=True)
class Preset:
    """A network with its weights and the parameters that go with it.

    Attributes:
        config: The parameters' values.
        network: Which of the tracker's networks: 'compact' (small, for CPUs) or 'published'.
        weights: The files that it reads.
        fine_formats: Beside float32, in which the tracker is as accurate when its network computes
            in it, so that `precision='auto'` may choose it.
    """

    config: TrackerConfig
    network: str
    weights: tuple[WeightFile, ...]
    fine_formats: tuple[str, ...] = ()

    @property
    def is_bundled(self) -> bool:
        """Whether all of its weights come with the package."""
        return all(file.is_bundled for file in self.weights)


@dataclass(frozen=True)
class Declaration:
    """A tracker as those know it who do not run it.

    Attributes:
        name: For `create_tracker`, launch files and parameters: lower case, an identifier.
        title: As its paper writes it.
        about: What it does, a clause that goes on after the title and a colon, with a full stop.
        tracker: Its class, 'module:class'.
        presets: By name; 'compact', the default, is among them.
    """

    name: str
    title: str
    about: str
    tracker: str
    presets: Mapping[str, Preset]

    def preset(self, name: str) -> Preset:
        """One of its presets.

        Raises:
            UnknownTrackerError: It has none of this name.
        """
        if name not in self.presets:
            raise UnknownTrackerError(
                f'{self.name} has no preset {name!r}; choose one of {", ".join(self.presets)}'
            )
        return self.presets[name]

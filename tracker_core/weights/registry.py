# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The weight files that the trackers use: bundled ones in this folder, authors' files in the
user's weights folder."""

from __future__ import annotations

from dataclasses import dataclass
import hashlib
import os
from pathlib import Path

from torch import Tensor

from tracker_core.errors import WeightsError
from tracker_core.weights.files import interpret, read_bytes

BUNDLED_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class WeightFile:
    """A file that a tracker's preset reads.

    Attributes:
        file: File name.
        tracker: Name of the tracker.
        preset: Name of its preset.
        part: Which of the tracker's networks it holds: '' where one file holds all.
        licence: Licence of the weights.
        origin: Where the file is had.
        sha256: Checksum of the file; empty where it is not known.
    """

    file: str
    tracker: str
    preset: str
    part: str
    licence: str
    origin: str
    sha256: str = ''

    @property
    def is_bundled(self) -> bool:
        return self.origin == 'bundled'

    @property
    def path(self) -> Path | None:
        """Where the file is on this machine; None while it is missing."""
        return self.find_in(BUNDLED_FOLDER if self.is_bundled else weights_folder())

    def find_in(self, folder: Path) -> Path | None:
        """The file, or its copy converted to safetensors, in a folder."""
        candidates = (folder / self.file, folder / f'{Path(self.file).stem}.safetensors')
        return next((path for path in candidates if path.is_file()), None)


def _bundled(file: str, sha256: str, users: tuple[tuple[str, str, str], ...]) -> list[WeightFile]:
    """Entries of a bundled file for all who read it: (tracker, preset, part)."""
    return [WeightFile(file, *user, 'Apache-2.0', 'bundled', sha256) for user in users]


def _published(
    file: str, tracker: str, presets: tuple[str, ...], licence: str, origin: str, part: str = ''
) -> list[WeightFile]:
    """Entries of an authors' file for all presets that read it."""
    return [WeightFile(file, tracker, preset, part, licence, origin) for preset in presets]


ATOM_LICENCE = 'as their authors grant it; the accompanying code is GPL-3.0'
ATOM_ORIGIN = 'the model zoo of https://github.com/visionml/pytracking'
OCEAN_LICENCE = "not stated; the authors' code is under the MIT licence"
OCEAN_ORIGIN = 'https://github.com/JudasDie/SOTS/blob/master/lib/tutorial/Ocean/ocean.md'
SPM_ORIGIN = 'https://github.com/microsoft/SPM-Tracker'
VGG_ORIGIN = 'https://www.vlfeat.org/matconvnet/models'

WEIGHT_FILES = (
    *_bundled(
        'compact_backbone.safetensors',
        '371a454522e1d2b0f3f96bcfbf2d3107f295e1dbc9f8c8c732af6981fa1354d8',
        (
            ('atom', 'compact', 'backbone'),
            ('dat', 'compact', ''),
            ('ocean', 'compact', 'backbone'),
            ('ocean', 'compact_online', 'backbone'),
            ('spm', 'compact', 'backbone'),
            ('tadt', 'compact', ''),
        ),
    ),
    *_bundled(
        'compact_atom.safetensors',
        '17387c9cb7810f322d229dd6e51c573fd359d6f68712986002af5362fe0a63b0',
        (('atom', 'compact', 'head'),),
    ),
    *_bundled(
        'compact_ocean.safetensors',
        'fd9d067ddd2c40f8731958b63c60cb7fdb70e3373f80cea7c6f6fa33cd4cc826',
        (('ocean', 'compact', 'heads'), ('ocean', 'compact_online', 'heads')),
    ),
    *_bundled(
        'compact_spm.safetensors',
        '3c551fc74ef1dea35ef2810264fece9ca3706011cc27c7d6df080c318ec3c235',
        (('spm', 'compact', 'heads'),),
    ),
    *_published('atom_default.pth', 'atom', ('paper', 'paper_vot'), ATOM_LICENCE, ATOM_ORIGIN),
    *_published(
        'imagenet-vgg-m.mat',
        'dat',
        ('paper',),
        'see the origin',
        f'{VGG_ORIGIN}/imagenet-vgg-m.mat',
    ),
    # the authors have further files of Ocean for the benchmarks OTB, GOT-10k and LaSOT
    *_published(
        'OceanV.pth',
        'ocean',
        ('paper', 'paper_vot2018', 'paper_otb', 'paper_got10k', 'paper_lasot'),
        OCEAN_LICENCE,
        OCEAN_ORIGIN,
    ),
    *_published('OceanV19on.pth', 'ocean', ('paper_online',), OCEAN_LICENCE, OCEAN_ORIGIN),
    *_published('OceanV18on.pth', 'ocean', ('paper_online_vot2018',), OCEAN_LICENCE, OCEAN_ORIGIN),
    *_published('cm_stage.pt', 'spm', ('paper', 'paper_lasot'), 'MIT', SPM_ORIGIN, 'cm'),
    *_published('fm_stage.pt', 'spm', ('paper', 'paper_lasot'), 'MIT', SPM_ORIGIN, 'fm'),
    *_published(
        'imagenet-vgg-verydeep-16.mat',
        'tadt',
        ('paper',),
        'CC BY 4.0',
        f'{VGG_ORIGIN}/imagenet-vgg-verydeep-16.mat',
    ),
)


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


def weights_folder() -> Path:
    """Where authors' weight files are looked for: $TRACKER_WEIGHTS, or tracker_nodes in the user's
    data folder."""
    if 'TRACKER_WEIGHTS' in os.environ:
        return Path(os.environ['TRACKER_WEIGHTS']).expanduser()
    return Path(os.environ.get('XDG_DATA_HOME', '~/.local/share')).expanduser() / 'tracker_nodes'


def list_weights() -> tuple[WeightFile, ...]:
    """All files that are known; `WeightFile.path` tells whether one is there."""
    return WEIGHT_FILES


def load_weights(tracker: str, preset: str, weights: str | None = None) -> Weights:
    """Find and read the weights of a tracker.

    Args:
        tracker: Name of the tracker.
        preset: Name of its preset.
        weights: None (bundled or installed files), 'random', a file, or a folder that holds the
            files.

    Raises:
        WeightsError: A file is missing, damaged, holds something else than names and tensors, or
            its checksum is not the expected one.
    """
    if weights == 'random':
        return Weights(None, 'random', 'random')
    entries = [
        entry for entry in WEIGHT_FILES if (entry.tracker, entry.preset) == (tracker, preset)
    ]
    paths: dict[str, Path] = {}
    if weights is None or os.path.isdir(weights):
        for entry in entries:
            path = entry.path if weights is None else entry.find_in(Path(weights))
            if path is None:
                raise WeightsError(
                    f'{tracker} {preset} needs {entry.file}, which is not in '
                    f'{weights or weights_folder()}. Get it from {entry.origin} (licence: '
                    f'{entry.licence}), or set weights to its path'
                )
            paths[entry.part] = path
    elif len(entries) > 1:
        files = ', '.join(entry.file for entry in entries)
        raise WeightsError(
            f'{weights} is not a folder: {tracker} {preset} reads several files ({files}), set '
            'weights to the folder that holds them'
        )
    else:
        paths[''] = Path(weights)

    state: dict[str, dict[str, Tensor]] = {}
    whole = hashlib.sha256()
    for part, path in paths.items():
        content = read_bytes(path)  # once: the checksum is that of what is read
        digest = hashlib.sha256(content).hexdigest()
        expected = {entry.sha256 for entry in entries if entry.part == part and entry.is_bundled}
        if weights is None and expected - {'', digest}:
            raise WeightsError(
                f'{path} is damaged or of another version: its SHA-256 is {digest}, expected '
                f'{expected.pop()}; install the package again'
            )
        whole.update(content)
        state[part] = interpret(content, path)
    return Weights(state, ', '.join(path.name for path in paths.values()), whole.hexdigest()[:16])

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Weight files: nothing in them is executed, and whatever is wrong with them is said."""

from __future__ import annotations

import collections
import os
from pathlib import Path
import pickle

import numpy as np
import pytest
import torch
from torch import nn

from tracker_core import WeightsError
from tracker_core.weights import (
    list_weights,
    load_into,
    load_weights,
    randomize,
    read_weight_file,
    save_safetensors,
)
from tracker_core.weights.files import Inert


class Bomb:
    """Writes a file when it is unpickled by an unrestricted reader."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize('zipped', [True, False], ids=['new format', 'old format'])
def test_a_checkpoint_runs_nothing(tmp_path: Path, zipped: bool) -> None:
    trace = tmp_path / 'trace'
    content = {'net': collections.OrderedDict(w=torch.arange(6.0).view(2, 3)), 'x': Bomb(trace)}
    path = tmp_path / 'weights.pth'
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    read = read_weight_file(path)
    assert torch.equal(read['net']['w'], content['net']['w'])
    assert isinstance(read['x'], Inert)
    assert not trace.exists()
    torch.load(path, weights_only=False)  # the proof that the file is live
    assert trace.exists()


@pytest.mark.parametrize('protocol', [0, 2, 4])
def test_a_bare_pickle_runs_nothing(tmp_path: Path, protocol: int) -> None:
    trace = tmp_path / 'trace'
    path = tmp_path / 'weights.pth'
    path.write_bytes(pickle.dumps(Bomb(trace), protocol=protocol))
    with pytest.raises(WeightsError, match=r'weights\.pth'):
        read_weight_file(path)
    assert not trace.exists()


def test_foreign_classes_become_inert(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys
    import types

    foreign = types.ModuleType('authors_package')
    foreign.Settings = type('Settings', (), {'__module__': 'authors_package'})
    monkeypatch.setitem(sys.modules, 'authors_package', foreign)
    settings = foreign.Settings()
    settings.epochs = 40
    path = tmp_path / 'weights.pth'
    torch.save({'settings': settings, 'net': {'a': torch.ones(1)}}, path)
    monkeypatch.delitem(sys.modules, 'authors_package')
    read = read_weight_file(path)
    assert isinstance(read['settings'], Inert)
    assert read['net']['a'].item() == 1


@pytest.mark.parametrize(
    ('name', 'content'),
    [
        ('cut.safetensors', b'\x10\x00'),
        ('cut.pth', b'PK\x03\x04'),
        ('cut.mat', b'MATLAB 5.0'),
        ('odd.bin', b''),
    ],
)
def test_damaged_files_are_named(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    if name.endswith('.mat'):
        pytest.importorskip('scipy')
    with pytest.raises(WeightsError, match=name.replace('.', r'\.')):
        read_weight_file(tmp_path / name)


def test_differences_are_listed() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    state = network.state_dict()
    load_into(network, {k: v for k, v in state.items() if 'tracked' not in k}, 'fine.pth')
    state['0.weight'] = torch.zeros(4, 3, 5, 5)
    state['2.weight'] = torch.zeros(1)
    del state['1.bias']
    with pytest.raises(WeightsError) as caught:
        load_into(network, state, 'odd.pth')
    for part in ('odd.pth', 'missing: 1.bias', 'surplus: 2.weight', '0.weight is (4, 3, 5, 5)'):
        assert part in str(caught.value)


def test_round_trip_and_checksum(tmp_path: Path) -> None:
    network = nn.Conv2d(3, 4, 3)
    randomize(network)
    path = tmp_path / 'w.safetensors'
    save_safetensors(network.state_dict(), path)
    weights = load_weights('tadt', 'paper', str(path))
    assert torch.equal(weights.state['']['weight'], network.weight)
    path.write_bytes(path.read_bytes()[:-4] + np.float32(7).tobytes())
    assert load_weights('tadt', 'paper', str(path)).checksum != weights.checksum


def test_random_weights_are_reproducible() -> None:
    first, second = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3)
    randomize(first)
    torch.manual_seed(9)
    randomize(second)
    assert torch.equal(first.weight, second.weight)
    assert not torch.equal(first.weight[0], first.weight[1])


def test_bundled_files_are_there_and_intact() -> None:
    bundled = [entry for entry in list_weights() if entry.is_bundled]
    assert bundled
    for entry in bundled:
        assert entry.path is not None, entry.file
        assert entry.path.stat().st_size < 8e6, entry.file
        assert entry.sha256, entry.file
        load_weights(entry.tracker, entry.preset)  # checks the checksum


def test_a_damaged_bundled_file_is_refused(tmp_path: Path, monkeypatch) -> None:
    from tracker_core.weights import registry

    entry = next(e for e in list_weights() if e.is_bundled and e.tracker == 'tadt')  # one file
    content = bytearray(entry.path.read_bytes())
    content[-1] ^= 1
    (tmp_path / entry.file).write_bytes(content)
    monkeypatch.setattr(registry, 'BUNDLED_FOLDER', tmp_path)
    with pytest.raises(WeightsError, match='SHA-256'):
        load_weights(entry.tracker, entry.preset)

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Weight files: nothing in them is executed, what they claim is checked, and whatever is wrong
with them is said."""

from __future__ import annotations

import collections
import contextlib
import itertools
import os
from pathlib import Path
import pickle
import struct
import warnings
import zipfile

import numpy as np
import pytest
import torch
from torch import nn
from weight_files import (
    array,
    Bomb,
    cells,
    element,
    hostile_files,
    in_old,
    in_zip,
    matlab,
    matlab_bombs,
    numbers,
    pickle_bombs,
    record,
    safetensors,
    saved,
    sound_files,
    state,
    tensor,
    text,
    torchscript,
    zipped,
)

from tracker_core import create_tracker, list_trackers, tracker_declaration, WeightsError
from tracker_core.commands import main
from tracker_core.weights import (
    load_into,
    load_weights,
    randomize,
    read_checkpoint,
    read_weight_file,
    save_safetensors,
)
from tracker_core.weights.kinds import Kind, kind_of

PRESETS = [
    (name, preset) for name in list_trackers() for preset in tracker_declaration(name).presets
]
PAPER_FILES = tracker_declaration('tadt').preset('paper').weights


@pytest.fixture(scope='module')
def script(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, Path]:
    return torchscript(tmp_path_factory.mktemp('script'))


def refusal(path: Path, data: bytes) -> str:
    """What is said of a file with this content."""
    path.write_bytes(data)
    with pytest.raises(WeightsError) as caught:
        read_weight_file(path)
    message = str(caught.value)
    assert path.name in message
    assert '\n' not in message
    return message


def same(read: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> bool:
    return set(read) == set(expected) and all(
        read[name].dtype == value.dtype and torch.equal(read[name], value)
        for name, value in expected.items()
    )


# ----------------------------------------------------------------------------- nothing is executed


@pytest.mark.parametrize('zipped', [True, False], ids=['new format', 'old format'])
def test_a_checkpoint_runs_nothing(tmp_path: Path, zipped: bool) -> None:
    trace = tmp_path / 'trace'
    content = {'net': collections.OrderedDict(w=torch.arange(6.0).view(2, 3)), 'x': Bomb(trace)}
    path = tmp_path / 'weights.pth'
    path.write_bytes(saved(content, zipped))
    assert same(read_weight_file(path), dict(content['net']))
    with pytest.raises(WeightsError, match='whole pickled object'):
        read_checkpoint(path)
    assert not trace.exists()
    torch.load(path, weights_only=False)  # the proof that the file is live
    assert trace.exists()


@pytest.mark.parametrize('protocol', [0, 2, 4])
def test_a_bare_pickle_runs_nothing(tmp_path: Path, protocol: int) -> None:
    trace = tmp_path / 'trace'
    refusal(tmp_path / 'weights.pth', pickle.dumps(Bomb(trace), protocol=protocol))
    assert not trace.exists()


@pytest.mark.parametrize('name', ['w.pt', 'w.pth', 'w.safetensors', 'w.mat', 'w.tar', 'w'])
def test_torchscript_runs_nothing(tmp_path: Path, script: tuple[bytes, Path], name: str) -> None:
    data, witness = script
    message = refusal(tmp_path / name, data)
    assert 'TorchScript' in message
    assert 'state_dict' in message
    with pytest.raises(WeightsError, match='TorchScript'):
        read_checkpoint(tmp_path / name)
    assert witness.read_bytes() == bytes(16)


def test_the_torchscript_file_is_live(tmp_path: Path) -> None:
    data, witness = torchscript(tmp_path)
    (tmp_path / 'w.pt').write_bytes(data)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        torch.jit.load(tmp_path / 'w.pt')
    assert witness.read_bytes() == b'A' * 16


def test_disguised_torchscript_runs_nothing(tmp_path: Path, script: tuple[bytes, Path]) -> None:
    """Archives in which others may see something else than we do."""
    data, witness = script
    path = tmp_path / 'script.pt'
    path.write_bytes(data)
    with zipfile.ZipFile(path) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    inner = saved(state())
    (tmp_path / 'inner').write_bytes(inner)
    with zipfile.ZipFile(tmp_path / 'inner') as archive:
        honest = [(name, archive.read(name)) for name in archive.namelist()]
    without = [(n, d) for n, d in honest if not n.endswith('data.pkl')]
    disguises = {
        'prefix': b'#!/bin/sh\n' + data,
        'a checkpoint before it': inner + data,
        'an old checkpoint before it': saved(state(), zipped=False)[:400] + data,
        'safetensors before it': safetensors({'a': 1}, data),
        'upper case': zipped([(n.replace('constants', 'CONSTANTS'), d) for n, d in members]),
        'deeper': zipped([(f'a/b/{n}', d) for n, d in members]),
        'at the top': zipped([(n.partition('/')[2], d) for n, d in members]),
        'two folders': zipped([*honest, *((f'other/{n}', d) for n, d in members)]),
        'backslashes': zipped([(n.replace('/', '\\'), d) for n, d in members]),
        'compressed': zipped(members, zipfile.ZIP_DEFLATED),
        'only code': zipped([*honest, ('archive/code/a.py', b'')]),
        'data.pkl twice': zipped([*honest, *(m for m in honest if m not in without)]),
        'constants.pkl only locally': zipped([*honest, ('archive/xonstants.pkl', b'')]).replace(
            b'archive/xonstants', b'archive/constants', 1
        ),
        'constants.pkl only in the directory': b'archive/constants'.join(
            zipped([*honest, ('archive/xonstants.pkl', b'')]).rsplit(b'archive/xonstants', 1)
        ),
    }
    for what, disguised in disguises.items():
        (tmp_path / 'w.pth').write_bytes(disguised)
        with contextlib.suppress(WeightsError):
            assert same(read_weight_file(tmp_path / 'w.pth'), state()), what
        assert witness.read_bytes() == bytes(16), what
    refusal(tmp_path / 'w.pth', disguises['constants.pkl only in the directory'])


def test_foreign_classes_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys
    import types

    foreign = types.ModuleType('authors_package')
    foreign.Settings = type('Settings', (), {'__module__': 'authors_package'})
    monkeypatch.setitem(sys.modules, 'authors_package', foreign)
    settings = foreign.Settings()
    settings.epochs = 40
    path = tmp_path / 'weights.pth'
    torch.save({'settings': settings, 'net': {'a': torch.ones(1)}}, path)
    torch.save(settings, tmp_path / 'settings.pth')
    monkeypatch.delitem(sys.modules, 'authors_package')
    assert same(read_weight_file(path), {'a': torch.ones(1)})
    with pytest.raises(WeightsError, match=r'settings\.pth .*authors_package\.Settings'):
        read_weight_file(tmp_path / 'settings.pth')


# --------------------------------------------------------------------- the same tensors come out


@pytest.mark.parametrize(
    ('zipped', 'protocol'), [(z, p) for z in (True, False) for p in (2, 3, 4, 5)]
)
def test_tensors_are_those_that_were_saved(tmp_path: Path, zipped: bool, protocol: int) -> None:
    generator = torch.Generator().manual_seed(protocol)
    base = torch.randn(6, 8, generator=generator)
    kinds = (torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.uint8, torch.bool)
    content = {
        **{str(kind): (base * 3).to(kind) for kind in kinds},
        'turned': base.T,
        'part': base[2:5, 1:7:2],
        'one': base[3, 4],
        'empty': torch.empty(0, 4),
        'parameter': nn.Parameter(base.clone()),
        'ünï': base.flatten()[5:],
    }
    path = tmp_path / 'w.pth'
    path.write_bytes(saved(content, zipped, protocol))
    read = read_weight_file(path)
    assert same(read, {name: value.detach() for name, value in content.items()})
    assert read['turned'].data_ptr() == read['one'].data_ptr() - (3 * 8 + 4) * 4  # still shared
    whole = read_checkpoint(path)
    assert same(whole, read)


def test_all_kinds_are_told_by_their_bytes(tmp_path: Path) -> None:
    for name, data in sound_files().items():
        for suffix in ('pth', 'mat', 'safetensors', 'xyz'):
            path = tmp_path / f'w.{suffix}'
            path.write_bytes(data)
            assert same(read_weight_file(path), state()), (name, suffix)
    assert kind_of(b'PK\x03\x04') is Kind.ZIP
    assert kind_of(b'\x93NUMPY') is Kind.OTHER


def test_a_later_change_of_the_file_changes_nothing(tmp_path: Path) -> None:
    for name, data in sound_files().items():
        path = tmp_path / 'w'
        path.write_bytes(data)
        read = read_weight_file(path)
        with open(path, 'r+b') as file:
            file.write(bytes(len(data)))
        assert same(read, state()), name


@pytest.mark.parametrize('order', ['<', '>'])
def test_matlab_files_as_scipy_reads_them(tmp_path: Path, order: str) -> None:
    io = pytest.importorskip('scipy.io')
    kernel = np.random.default_rng(2).integers(-9, 9, (3, 2, 5, 4))
    layers = np.empty((1, 3), object)
    kinds = (('double', np.float64), ('int', np.int16), ('single', np.float32))
    for i, (name, kind) in enumerate(kinds):
        weights = np.empty((1, 2), object)
        weights[0] = [kernel.astype(kind), np.arange(4, dtype=kind)[:, None]]
        layers[0, i] = {'name': name, 'type': 'conv', 'stride': 2, 'weights': weights}
    path = tmp_path / 'net.mat'
    io.savemat(path, {'layers': layers, 'meta': {'a': 'x'}}, do_compression=order == '>')
    read = read_weight_file(path)
    assert list(read) == [f'{n}.{p}' for n, _ in kinds for p in ('weight', 'bias')]
    for name, _ in kinds:
        assert np.array_equal(read[f'{name}.weight'], kernel.transpose(3, 2, 0, 1))
        assert np.array_equal(read[f'{name}.bias'], np.arange(4))
        assert read[f'{name}.weight'].dtype == torch.float32


# ------------------------------------------------------- every tracker refuses what is no weights


@pytest.fixture(scope='module')
def junk(
    tmp_path_factory: pytest.TempPathFactory, script: tuple[bytes, Path]
) -> tuple[dict[str, bytes], Path]:
    folder = tmp_path_factory.mktemp('junk')
    files = hostile_files(folder)
    files['torchscript'] = script[0]
    files['other names'] = saved({'a': torch.ones(2)})
    return files, folder / 'executed'


@pytest.mark.parametrize(('name', 'preset'), PRESETS)
def test_every_tracker_refuses_what_is_no_weights(
    name: str, preset: str, junk: tuple[dict[str, bytes], Path], script, tmp_path: Path
) -> None:
    entries = tracker_declaration(name).preset(preset).weights
    for what, data in junk[0].items():
        if what == 'other names' and preset not in ('compact', 'paper'):
            continue  # builds a network: once for each kind of it
        for entry in entries:
            (tmp_path / entry.file).write_bytes(data)
        weights = tmp_path if len(entries) > 1 else tmp_path / entries[0].file
        with pytest.raises(WeightsError) as caught:
            create_tracker(name, preset, device='cpu', weights=str(weights))
        assert any(entry.file in str(caught.value) for entry in entries), what
        assert '\n' not in str(caught.value), what
    assert not junk[1].exists()
    assert script[1].read_bytes() == bytes(16)


def test_released_kernels_of_another_shape_are_listed(tmp_path: Path) -> None:
    """What is done to authors' kernels before they are compared does not stumble over them."""
    names = ('z_net.conv1.conv.weight', 'siam_fusion.roi_conv.roi_conv0.weight')
    for shape in ((4,), (4, 3), (4, 3, 1, 1), ()):
        for stage in ('cm', 'fm'):
            data = saved({name: torch.zeros(shape) for name in names})
            (tmp_path / f'{stage}_stage.pt').write_bytes(data)
        with pytest.raises(WeightsError, match=r'cm_stage\.pt'):
            create_tracker('spm', 'paper', device='cpu', weights=str(tmp_path))


def test_what_a_file_holds_instead_is_said(tmp_path: Path) -> None:
    holds = {
        'a list of 1': saved([torch.ones(2)]),
        'a tensor': saved(torch.ones(2), zipped=False),
        'a number': saved(7),
        'an empty mapping': saved({}),
        "a mapping ('a': a number, 'b': a number)": saved({'a': 1, 'b': 2.0}),
        "a mapping ('learner': a mapping of 1, 'step': a number)": saved(
            {'learner': {'a': torch.ones(1)}, 'step': 3}
        ),
        "('model': a whole pickled object (torch.nn.modules.linear.Linear))": saved(
            {'model': nn.Linear(2, 3)}
        ),
        'HDF5': b'\x89HDF\r\n\x1a\n' + bytes(40),
        'tar archive': hostile_files(tmp_path)['tar'],
        'Git LFS': b'version https://git-lfs.github.com/spec/v1\noid sha256:0\n',
        'web page': b'\n<html><body>Sign in</body></html>',
        'unpack it': zipped([('weights/OceanV.pth', saved(state()))]),
        'is empty': b'',
        'save it as float32': safetensors(
            {'a': {'dtype': 'C64', 'shape': [1], 'data_offsets': [0, 8]}}, bytes(8)
        ),
    }
    for words, data in holds.items():
        assert words in refusal(tmp_path / 'w.pth', data)


def test_what_is_no_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / 'pipe')
    for path in (tmp_path, tmp_path / 'pipe', '/dev/zero', tmp_path / ('n' * 300), 'nul\0'):
        with pytest.raises(WeightsError, match=r'is not a file|does not exist'):
            read_weight_file(path)
    with pytest.raises(WeightsError, match='does not exist'):
        load_weights('tadt paper', PAPER_FILES, str(tmp_path / ('n' * 300)))


# --------------------------------------------------------------------------- bounded cost and size


def test_tensors_lie_within_their_numbers(tmp_path: Path) -> None:
    path = tmp_path / 'w.pth'
    path.write_bytes(in_zip(tensor((2, 2), (2, 1))))
    assert same(read_weight_file(path), {'w': torch.zeros(2, 2)})
    beyond = {
        'too many': tensor((2, 3), (3, 1)),
        'far strides': tensor((2, 2), (1 << 40, 1)),
        'offset': tensor((2, 2), (2, 1), offset=1),
        'expanded': tensor((1000000, 1000000), (0, 0)),
        'overlapping': tensor((3, 3), (0, 1)),
        'negative stride': tensor((2, 2), (-2, 1), offset=2),
        'negative size': tensor((-2, -2), (2, 1)),
        'negative offset': tensor((2, 2), (2, 1), offset=-1),
        'overflow': tensor((1 << 32, 1 << 32), (1, 1)),
        'empty but huge': tensor((0, 1 << 61), (1, 1)),
        'many axes': tensor('(1,) * 100', '(1,) * 100'),
        'axes': tensor((2, 2), (1,)),
        'no sizes': tensor(None, (1,)),
        'text as sizes': tensor(('2', 2), (2, 1)),
        'huge storage': tensor((2, 2), (2, 1), count=1 << 40),
        'other storage': tensor((2, 2), (2, 1), key='1'),
        'storage outside': tensor((2, 2), (2, 1), key='../data.pkl'),
    }
    for what, program in beyond.items():
        assert refusal(path, in_zip(program)), what


@pytest.mark.parametrize('what', pickle_bombs())
def test_pickles_are_bounded(tmp_path: Path, what: str) -> None:
    """Each is refused at once; what memory that takes is measured where files are mutated."""
    program = pickle_bombs()[what]
    refusal(tmp_path / 'new.pth', in_zip(program))
    refusal(tmp_path / 'old.pth', in_old(program))


def test_checkpoints_of_ours_are_bounded(tmp_path: Path) -> None:
    path = tmp_path / 'checkpoint.pt'
    for what in ('nesting', 'doubled lists', 'doubled mappings', 'mapping of itself'):
        path.write_bytes(in_zip(pickle_bombs()[what]))
        with pytest.raises(WeightsError, match=r'checkpoint\.pt'):
            read_checkpoint(path)
    path.write_bytes(sound_files()['safetensors'])
    with pytest.raises(WeightsError, match='no checkpoint'):
        read_checkpoint(path)


def test_zips_are_bounded(tmp_path: Path) -> None:
    path = tmp_path / 'w.pth'
    sound = [('a/data.pkl', b'\x80\x02' + tensor((4,), (1,)) + b'.'), ('a/data/0', bytes(16))]
    path.write_bytes(zipped(sound))
    read_weight_file(path)
    bomb = [sound[0], ('a/data/0', bytes(50_000_000))]
    assert 'compressed' in refusal(path, zipped(bomb, zipfile.ZIP_DEFLATED))
    assert 'twice' in refusal(path, zipped([*sound, sound[1]]))
    assert 'too many' in refusal(path, zipped(sound) + b'PK\x01\x02' * 60_000)
    assert 'lacks' in refusal(path, zipped(sound[:1]))
    assert 'byte order' in refusal(path, zipped([*sound, ('a/byteorder', b'big')]))
    names = b''.join(
        b'X\x02\0\0\0' + bytes([65 + i % 26, 97 + i // 26]) + b'h\x01' for i in range(600)
    )
    big = tensor((10000,), (1,), count=10_000)[1:-1]
    program = b'}' + b'(' + big + b'q\x01' + names + b'u'
    assert 'more numbers' in refusal(path, in_zip(program, bytes(40_000)))  # 600 times shared


def test_safetensors_are_bounded(tmp_path: Path) -> None:
    path = tmp_path / 'w.safetensors'
    one = {'dtype': 'F32', 'shape': [2], 'data_offsets': [0, 8]}
    path.write_bytes(safetensors({'a': one}, bytes(8)))
    assert same(read_weight_file(path), {'a': torch.zeros(2)})
    entry = b'{"dtype":"F32","shape":[2],"data_offsets":[0,8]}'
    twice = b'{"a":' + entry + b',"a":' + entry + b'}'
    assert 'twice' in refusal(path, safetensors(twice, bytes(8)))
    for size in (1 << 62, (1 << 64) - 1, 200, (1 << 23) + 1):
        refusal(path, struct.pack('<Q', size) + b'{"a":' + entry + b'}' + bytes(8))
    for header in (
        b'{"a":' * 100_000,
        b'{"a":' + b'[' * 100_000,
        {'a': {**one, 'shape': [1 << 40, 1 << 40]}},
        {'a': {**one, 'shape': [0, 1 << 62], 'data_offsets': [0, 0]}},
        {'a': {**one, 'data_offsets': [0, 1 << 40]}},
        {'a\x1b[31m': one},
        {'n' * 400: one},
        {},
    ):
        refusal(path, safetensors(header, bytes(8)))


def test_matlab_files_are_bounded(tmp_path: Path) -> None:
    path = tmp_path / 'w.mat'
    one = numbers(np.zeros((1, 1, 1, 1), np.float32))
    layer = {'name': text('a'), 'type': text('conv')}
    twice = record({**layer, 'weights': cells(one, one)})
    path.write_bytes(matlab(cells(twice, name='layers')))
    assert list(read_weight_file(path)) == ['a.weight', 'a.bias']

    def network(weights: bytes) -> bytes:
        return matlab(cells(record({**layer, 'weights': weights}), name='layers'))

    refused = {
        **matlab_bombs(),
        'huge': network(cells(array(7, (1 << 30, 1 << 30), element(7, bytes(4))), one)),
        'claims cells': matlab(array(1, (1 << 30, 1 << 30), name='layers')),
        'twice': matlab(cells(twice, twice, name='layers')),
        'variable twice': matlab(*[cells(twice, name='layers')] * 2),
        'objects': network(array(3, (1, 1), one)),
        'function': network(array(16, (1, 1), one)),
        'complex': network(cells(one, one).replace(b'\7\0\0\0', b'\7\x08\0\0')),
        'text for numbers': network(cells(text('abcd'), one)),
        'longer than the file': network(cells(one, one))[:-8],
        'no layers': matlab(record({}, 'net')),
    }
    for what, data in refused.items():
        assert refusal(path, data), what


# ------------------------------------------------------------------------------ errors, registry


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
    refusal(tmp_path / name, content)


def test_cut_files_are_named(tmp_path: Path) -> None:
    for (kind, data), share in itertools.product(sound_files().items(), (0.1, 0.5, 0.9)):
        refusal(tmp_path / f'{kind}.pth', data[: int(share * len(data))])


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
    weights = load_weights('tadt paper', PAPER_FILES, str(path))
    assert torch.equal(weights.state['']['weight'], network.weight)
    path.write_bytes(path.read_bytes()[:-4] + np.float32(7).tobytes())
    assert load_weights('tadt paper', PAPER_FILES, str(path)).checksum != weights.checksum


def test_tensors_that_share_memory_can_be_written(tmp_path: Path) -> None:
    base = torch.arange(6.0)
    shared = {'a': base, 'b': base.view(2, 3).T, 'c': base[2:]}
    save_safetensors(shared, tmp_path / 'w.safetensors')
    assert same(read_weight_file(tmp_path / 'w.safetensors'), shared)
    with pytest.raises(WeightsError, match='cannot be written'):
        save_safetensors(shared, tmp_path / 'no' / 'w.safetensors')


def test_convert_refuses_programs(
    tmp_path: Path, script: tuple[bytes, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = tmp_path / 'a.pth', tmp_path / 'b.safetensors'
    for data in (script[0], saved(nn.Linear(2, 2)), saved([1])):
        source.write_bytes(data)
        command = ['weights', 'convert', str(source), str(target), '--tracker', 'atom']
        assert main(command) == 2
        assert 'a.pth' in capsys.readouterr().err
    assert not target.exists()
    assert script[1].read_bytes() == bytes(16)


def test_random_weights_are_reproducible() -> None:
    first, second = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3)
    randomize(first)
    torch.manual_seed(9)
    randomize(second)
    assert torch.equal(first.weight, second.weight)
    assert not torch.equal(first.weight[0], first.weight[1])


def test_bundled_files_are_there_and_intact() -> None:
    declared = [tracker_declaration(name).preset(preset) for name, preset in PRESETS]
    bundled = {preset.weights for preset in declared if preset.is_bundled}
    assert bundled
    for files in bundled:
        for file in files:
            assert file.path is not None, file.file
            assert file.path.stat().st_size < 8e6, file.file
            assert file.sha256, file.file
        load_weights('bundled', files)  # checks the checksums


def test_a_damaged_bundled_file_is_refused(tmp_path: Path, monkeypatch) -> None:
    from tracker_core import declaration

    files = tracker_declaration('tadt').preset('compact').weights
    entry, other = files
    (tmp_path / other.file).write_bytes(other.path.read_bytes())
    content = bytearray(entry.path.read_bytes())
    content[-1] ^= 1
    (tmp_path / entry.file).write_bytes(content)
    monkeypatch.setattr(declaration, 'BUNDLED_FOLDER', tmp_path)
    with pytest.raises(WeightsError, match='SHA-256'):
        load_weights('tadt compact', files)

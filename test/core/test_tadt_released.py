# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The option `released` of TADT against numbers recorded from the released port."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from reference import assert_close, golden, seeded, seeded_state, sequence_frames
import torch

from tracker_core import Box, create_tracker
from tracker_core.backbones.vgg import Vgg16
from tracker_core.tadt import released
from tracker_core.tadt.channels import centre_patch, label
from tracker_core.tadt.config import TadtConfig

CONFIG = TadtConfig(released=True)


def blocky(name: str, height: int, width: int, block: int) -> np.ndarray:
    """A test image of coloured blocks with noise."""
    cells = (math.ceil(height / block), math.ceil(width / block), 3)
    blocks = seeded().seeded_input(f'{name}:blocks', cells, 0, 200)
    fine = seeded().seeded_input(f'{name}:fine', (height, width, 3), 0, 55)
    large = np.kron(blocks, np.ones((block, block, 1), np.float32))[:height, :width]
    return np.floor(large + fine).astype(np.uint8)


def injected_kernel(name: str, shape: tuple[int, ...]) -> torch.Tensor:
    """The random kernels that the fixtures were made with."""
    _, channels, height, width = shape
    noise = seeded().seeded_array(name, shape).astype(float) * math.sqrt(
        channels * height * width / 2
    )
    scale = math.sqrt(channels * (height - 1) / 2 * (width - 1) / 2) * 1e8
    return torch.from_numpy((noise / scale).astype(np.float32))


def stats(values: torch.Tensor) -> list[float]:
    values = values.double()
    return [float(values.mean()), float(values.std(unbiased=False)), float(values.norm())]


@pytest.fixture(scope='module')
def backbone() -> Vgg16:
    network = Vgg16()
    network.load_state_dict(seeded_state('tadt'))
    return network.eval().requires_grad_(False)


@pytest.fixture(scope='module')
def features(backbone: Vgg16) -> tuple[torch.Tensor, torch.Tensor]:
    image = torch.from_numpy(blocky('tadt.patch', 180, 180, 12)).permute(2, 0, 1)[None].float()
    return backbone(image)


@pytest.mark.parametrize('index', range(6))
def test_crops(index: int) -> None:
    fixture = golden('tadt', 'crops.npz')
    side = int(fixture['input_sizes'][index])
    patch = released.crop(fixture['image'], fixture['locs'][index], side).transpose(2, 0, 1)
    expected = fixture[f'crop{index}'].astype(int)
    assert np.abs(patch.astype(int) - expected).max() <= 1


def test_resized_frames() -> None:
    fixture = golden('tadt', 'crops.npz')
    larger = released.resize_frame(fixture['image'], 1.37)[::3, ::3].astype(int)
    smaller = released.resize_frame(fixture['image'], 0.43).astype(int)
    assert np.abs(larger - fixture['resize_up']).max() <= 1
    assert np.abs(smaller - fixture['resize_down']).max() <= 1


def test_geometry() -> None:
    for row in golden('tadt', 'crops.npz')['geometry']:
        height, width, x, y, w, h = row[:6]
        box = Box(x - 1, y - 1, w, h)
        geometry = released.first_geometry((int(height), int(width)), box, CONFIG)
        frame = [math.ceil(side * geometry.rescale) for side in (height, width)]
        found = [geometry.rescale, *frame, *geometry.target, geometry.input_side, *geometry.window]
        np.testing.assert_allclose(found, row[6:], atol=1e-9)


def test_network(features: tuple[torch.Tensor, torch.Tensor]) -> None:
    fixture = golden('tadt', 'features.npz')
    for name, maps in zip(('conv4_1', 'conv4_3'), features, strict=True):
        assert tuple(maps.shape) == tuple(fixture['shape'])
        assert_close(maps[0, ::32, ::4, ::4], fixture[name], 1e-4, name)
        assert_close(maps[0, :, 22, 22], fixture[f'{name}_row'], 1e-4, name)
        assert_close(stats(maps), fixture[f'{name}_stats'], 1e-4, name)


@pytest.mark.parametrize('shape', ['square', 'tall'])
def test_channel_selection(shape: str, features: tuple[torch.Tensor, torch.Tensor]) -> None:
    fixture = golden('tadt', f'taf_{shape}.npz')
    height, width = fixture['target_hw']
    geometry = released.Geometry(
        1.0, 180, np.array([0.0, 0, 180, 180]), np.array([0.0, 0, width, height])
    )
    patch = released.patch_size(geometry, 45)
    assert patch == tuple(fixture['patch_shape'][0][2:])
    top, left, bottom, right = fixture['patch_loc'][0]
    assert torch.equal(
        centre_patch(features[0], patch), features[0][..., top : bottom + 1, left : right + 1]
    )

    kernel = (patch[0] + 2, patch[1] + 2)
    for layer, maps in enumerate(features):
        assert_close(label(45, patch, 0.1), fixture[f'label{layer}'], 1e-6, 'label')
        first = injected_kernel(f'taf.reg{layer}', (1, 512, *kernel))
        assert_close(first[0, ::64], fixture[f'reg{layer}_w0_slice'], 1e-6, 'initial kernel')
        fitted, bias, losses = released.descend(maps[0], patch, first, 0.1)
        importance = fitted.sum(dim=(1, 2))
        assert_close(importance, fixture[f'importance{layer}'], 1e-3, 'importance')
        assert_close(fitted[::32], fixture[f'reg{layer}_w_slice'], 1e-3, 'kernel')
        assert_close(stats(fitted), fixture[f'reg{layer}_w_stats'], 1e-3, 'kernel')
        assert_close([bias], fixture[f'reg{layer}_bias'], 1e-3, 'bias')
        assert_close(losses, fixture[f'reg{layer}_loss_after'], 1e-4, 'loss')
        assert int((importance > 0).sum()) == int(fixture[f'npos{layer}'])
        order = importance.argsort(descending=True)
        for top in (80, 300):
            ours = set(order[:top].tolist())
            assert len(ours - set(fixture[f'order{layer}'][:top].tolist())) <= 2

    rank = injected_kernel('taf.rank0', (1, 512, *kernel))
    samples = released.ranking_samples(features[0][0], kernel)
    assert_close([stats(s) for s in samples], fixture['rank_samples_stats'], 1e-4, 'samples')
    assert_close(samples[0, ::64], fixture['rank_sample0'], 1e-4, 'first sample')
    assert_close(samples[-1, ::64], fixture['rank_sample_last'], 1e-4, 'last sample')
    predictions = (samples * rank).sum(dim=(1, 2, 3))
    assert_close(predictions, fixture['rank_pred'], 1e-3, 'predictions')
    assert released.ranking_pairs(len(samples)) == [tuple(p) for p in fixture['rank_pairs']]
    slope, loss = released.ranking_slope(predictions)
    assert loss == pytest.approx(float(fixture['rank_loss']), rel=1e-5)
    assert np.abs(slope.numpy() - fixture['rank_der']).max() <= 1e-6
    assert_close(rank[0].sum(dim=(1, 2)), fixture['rank_wsum'], 1e-4, 'sums of the rank kernel')
    sums = released.ranking_gradient_sums(features[0][0], rank)
    assert_close(sums, fixture['rank_gradsum'], 5e-2, 'gradient sums')
    assert len(set(torch.nonzero(sums > 0)[:, 0].tolist()) ^ set(fixture['rank_selected'])) <= 3

    chosen = released.choose_channels(
        features[0][0], features[1][0], patch, CONFIG, injected_kernel
    )
    assert len(set(chosen.shallow.tolist()) ^ set(fixture['selected0'])) <= 3
    assert len(set(chosen.deep.tolist()) ^ set(fixture['selected1'])) <= 3
    assert chosen.balance == pytest.approx(float(fixture['balance'][0]), abs=1e-4)


def test_synthetic_sequence(backbone: Vgg16) -> None:
    fixture = golden('tadt', 'track_synthetic.npz')
    first = blocky('tadt.seq', 200, 260, 9)
    frames = [first] + [np.roll(first, (3 * i, -5 * i), (0, 1)) for i in (1, 2)]
    frames.append(cv2.resize(first, (271, 209), interpolation=cv2.INTER_LINEAR)[:200, :260])
    assert np.abs(frames[3][::4, ::4].astype(int) - fixture['frame3']).max() <= 1

    x, y, w, h = fixture['init_box'].tolist()
    box = Box(x - 1, y - 1, w, h)
    model, geometry = released.start(
        backbone, torch.from_numpy(first), box, CONFIG, injected_kernel
    )
    assert geometry.rescale == float(fixture['rescale'])
    assert geometry.input_side == fixture['input_size'][0]
    assert model.channels.shallow.tolist() == fixture['selected0'].tolist()
    assert model.channels.deep.tolist() == fixture['selected1'].tolist()
    assert tuple(model.exemplar.shape) == tuple(fixture['exemplar_shape'])
    assert_close(model.exemplar[0, ::16], fixture['exemplar_slice'], 1e-3, 'template')
    assert_close(stats(model.exemplar), fixture['exemplar_stats'], 1e-3, 'template')
    for k, frame in enumerate(frames):
        if k > 0:
            found, geometry = released.locate(backbone, torch.from_numpy(frame), model, geometry)
            step = 6  # of the recorded slices
            levels = found.levels[:, ::32, ::step, ::step]
            assert_close(levels, fixture[f'f{k}_scaled_feat_slice'], 1e-3, 'levels')
            assert_close(
                [stats(level) for level in found.levels], fixture[f'f{k}_scaled_feat_stats'], 1e-3
            )
            assert np.abs(found.responses.numpy() - fixture[f'f{k}_response']).max() <= 1e-3
            maps = found.maps[:, ::step, ::step].numpy()
            assert np.abs(maps - fixture[f'f{k}_map_sub']).max() <= 2e-3
            assert_close([stats(m) for m in found.maps], fixture[f'f{k}_map_stats'], 2e-3, 'maps')
            assert np.abs(found.maps.amax(dim=(1, 2)).numpy() - fixture[f'f{k}_max']).max() <= 2e-3
            assert found.scale == fixture[f'f{k}_scale']
            assert np.abs(geometry.box.as_xywh() - fixture['results'][k]).max() <= 0.01
        assert np.abs(geometry.window - fixture['search_windows'][k]).max() <= 0.01
        assert np.abs(geometry.target - fixture['target_locations'][k]).max() <= 0.01


def test_skiing(backbone: Vgg16) -> None:
    """Stand-in weights on a real sequence; the recorded first frames only."""
    fixture = golden('tadt', 'track_skiing.npz')
    count = 8
    frames = [cv2.imread(str(f))[..., ::-1].copy() for f in sequence_frames('Skiing', count)]
    x, y, w, h = fixture['results'][0]
    model, geometry = released.start(
        backbone, torch.from_numpy(frames[0]), Box(x - 1, y - 1, w, h), CONFIG, injected_kernel
    )
    assert geometry.rescale == pytest.approx(float(fixture['rescale']))
    assert len(set(model.channels.shallow.tolist()) ^ set(fixture['selected0'])) <= 3
    assert len(set(model.channels.deep.tolist()) ^ set(fixture['selected1'])) <= 3
    assert model.channels.balance == pytest.approx(float(fixture['balance'][0]), abs=1e-4)
    for k, frame in enumerate(frames[1:]):
        found, geometry = released.locate(backbone, torch.from_numpy(frame), model, geometry)
        assert found.scale == fixture['scales'][k]
        assert np.abs(found.maps.amax(dim=(1, 2)).numpy() - fixture['peak'][k]).max() <= 5e-3
        assert np.abs(geometry.box.as_xywh() - fixture['results'][k + 1]).max() <= 0.01


def test_matconvnet_file_feeds_the_released_tracker(tmp_path) -> None:
    """The tracker reads a network file of the published form and follows the recorded boxes."""
    savemat = pytest.importorskip('scipy.io').savemat
    import json

    from reference import reference_folder

    entries = json.loads((reference_folder() / 'tadt' / 'weight_file.json').read_text())['entries']
    state = {key: value.numpy() for key, value in seeded_state('tadt').items()}
    layers = np.empty((1, max(entry['cell'] for entry in entries) + 2), object)
    for cell in range(layers.shape[1]):
        layers[0, cell] = {'name': 'relu', 'type': 'relu', 'weights': np.empty((1, 0), object)}
    for entry in entries:
        weights = np.empty((1, 2), object)
        weights[0, 0] = state[entry['to'][0]].transpose(2, 3, 1, 0)
        weights[0, 1] = state[entry['to'][1]][:, None]
        layers[0, entry['cell']] = {'name': entry['name'], 'type': 'conv', 'weights': weights}
    surplus = np.empty((1, 2), object)
    surplus[0, 0], surplus[0, 1] = (
        np.zeros((3, 3, 512, 4), np.float32),
        np.zeros((4, 1), np.float32),
    )
    layers[0, -1] = {'name': 'conv5_1', 'type': 'conv', 'weights': surplus}
    path = tmp_path / 'imagenet-vgg-verydeep-16.mat'
    savemat(path, {'layers': layers})

    tracker = create_tracker(
        'tadt', preset='paper', device='cpu', weights=str(path), released=True
    )
    loaded = tracker.backbone.state_dict()
    assert all(np.array_equal(loaded[key].numpy(), state[key]) for key in loaded)
    fixture = golden('tadt', 'track_synthetic.npz')
    first = blocky('tadt.seq', 200, 260, 9)
    x, y, w, h = fixture['init_box'].tolist()
    target = tracker.start(first, Box(x - 1, y - 1, w, h))
    track = tracker.track(np.roll(first, (3, -5), (0, 1)), target)
    assert track.box.iou(Box(*fixture['results'][1])) > 0.8  # its own random channels: not equal

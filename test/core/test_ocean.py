# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Ocean against numbers recorded from the authors' code with stand-in weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from reference import golden, reference_folder, seeded, sequence_frames
import torch
from torch import Tensor

from tracker_core import Box, create_tracker
from tracker_core.layers.aligned_conv import aligned_conv2d
from tracker_core.ocean.config import SETTINGS
from tracker_core.ocean.network import (
    cell_offsets,
    OceanNetwork,
    Prediction,
    read_authors_state,
    tap_positions,
)
from tracker_core.ocean.tracker import choose_places, crop_windows, OceanTracker


def authors_state(online: bool = False) -> dict[str, Tensor]:
    """Stand-in weights under the authors' names, as keys.json describes them."""
    keys = json.loads((reference_folder() / 'ocean' / 'keys.json').read_text())
    shapes = dict(keys['offline_align'])
    if online:
        shapes |= keys['online_extra_backbone'] | keys['online_classifier']
    state = {}
    for key, array in seeded().seeded_state(shapes).items():
        if key.startswith('classifier.filter_optimizer.'):
            continue  # analytic values
        for prefix, factor in keys['fixture']['scale'].items():
            if key == prefix or key.startswith(f'{prefix}.'):
                array = array * np.float32(factor)
        array = (
            array + np.float32(keys['fixture']['add'].get(key, 0))
            if array.dtype == np.float32
            else array
        )
        state[key] = torch.from_numpy(np.asarray(array))
    return state


def uniform(name: str, shape: tuple[int, ...], low: float = 0.0, high: float = 255.0) -> Tensor:
    return torch.from_numpy(seeded().seeded_input(name, shape, low, high))


def pixels(name: str, side: int) -> Tensor:
    """A seeded crop (1, 3, side, side) in the RGB order that the network takes."""
    return uniform(name, (1, 3, side, side)).floor().flip(1)


def assert_matches(values: Tensor, expected: Any, name: str, index: tuple[Any, ...]) -> None:
    """Compare a tensor with a recorded shape, moments and slice."""
    assert tuple(values.shape) == tuple(expected[f'{name}_shape'])
    found = values.double().numpy()
    mean, std, norm = expected[f'{name}_stats']
    np.testing.assert_allclose(found.mean(), mean, rtol=1e-4, atol=1e-4 * std, err_msg=name)
    np.testing.assert_allclose(found.std(), std, rtol=1e-4, err_msg=name)
    np.testing.assert_allclose(np.linalg.norm(found), norm, rtol=1e-4, err_msg=name)
    np.testing.assert_allclose(
        found[index], expected[f'{name}_slice'], rtol=1e-4, atol=1e-4 * std, err_msg=name
    )


@pytest.fixture(scope='module')
def network() -> OceanNetwork:
    network = OceanNetwork()
    network.load_state_dict(read_authors_state(authors_state(), 'stand-in'))
    return network.eval().requires_grad_(False)


@pytest.mark.parametrize('side', [127, 255, 271])
def test_backbone(network: OceanNetwork, side: int) -> None:
    expected = golden('ocean', 'a_backbone.npz')
    images = pixels(f'oc_bb{side}', side)
    backbone = network.backbone
    assert_matches(
        backbone.stem(images.flip(1)), expected, f'stem_{side}', np.s_[0, ::4, ::4, ::4]
    )
    x = torch.nn.functional.max_pool2d(backbone.stem(images.flip(1)), 3, 2, 1)
    x = backbone.layer1(x)
    assert_matches(x, expected, f'layer1_{side}', np.s_[0, ::16, ::2, ::2])
    x = backbone.layer2(x)
    assert_matches(x, expected, f'layer2_{side}', np.s_[0, ::32, ::2, ::2])
    x = backbone.layer3(x)
    assert_matches(x, expected, f'layer3_{side}', np.s_[0, ::64, ::2, ::2])
    x = network.extract(images)
    x = x[..., 4:-4, 4:-4] if side == 127 else x
    assert_matches(x, expected, f'neck_{side}', np.s_[0, ::16])


@pytest.mark.parametrize('side', [255, 271])
def test_correlation_and_heads(network: OceanNetwork, side: int) -> None:
    expected = golden('ocean', f'b_connect_{side}.npz')
    template = network.encode(pixels('oc_z', 127))
    features = network.extract(pixels(f'oc_x{side}', side))
    heads = network.heads
    for name, branch, kernels in (
        ('cls', heads.classify, template.classify),
        ('reg', heads.regress, template.regress),
    ):
        for path, kernel, encoder in zip(('11', '12', '21'), kernels, branch.search, strict=True):
            assert_matches(kernel, expected, f'{name}_z{path}', np.s_[0, ::32])
            assert_matches(encoder(features), expected, f'{name}_x{path}', np.s_[0, ::64])
        assert_matches(branch.correlate(features, kernels), expected, f'{name}_dw', np.s_[0, ::32])

    expected = golden('ocean', f'c_heads_{side}.npz')
    found = heads(features, template)
    x_reg = heads.regress(features, template.regress)
    assert_matches(x_reg, expected, 'x_reg', np.s_[0, ::32])
    np.testing.assert_allclose(found.logits, expected['cls'][0], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found.ltrb, expected['box_ltrb'], rtol=1e-4, atol=1e-3)
    scale = expected['cls_align'].std()
    np.testing.assert_allclose(
        found.aligned, expected['cls_align'][0], rtol=1e-3, atol=1e-3 * scale
    )


@pytest.mark.parametrize('side', [255, 271])
def test_alignment(side: int) -> None:
    expected = golden('ocean', 'd_align.npz')
    n = {255: 25, 271: 27}[side]
    ltrb = uniform(f'oc_ltrb{n}', (1, 4, n, n), 5, 60)
    ys, xs = tap_positions(ltrb)  # (1, 9, n, n)
    cells = torch.arange(n)
    step = torch.tensor([-1.0, 0, 1])
    offset_y = ys - step.repeat_interleave(3)[:, None, None] - cells[:, None]
    offset_x = xs - step.repeat(3)[:, None, None] - cells
    offsets = torch.stack((offset_y, offset_x), 2).flatten(1, 2)  # y0, x0, y1, x1, ...
    np.testing.assert_allclose(
        offsets.flatten(2).transpose(1, 2), expected[f's{side}_offsets'], atol=1e-4
    )
    grid = cell_offsets(n, ltrb.device) + side // 2
    np.testing.assert_allclose(grid, expected[f's{side}_grid_x'][0, 0, 0], atol=1e-4)
    features = uniform(f'oc_feat{n}', (1, 8, n, n), -1, 1)
    weight = uniform('oc_dcnw', (8, 8, 3, 3), -0.2, 0.2)
    out = aligned_conv2d(features, ys, xs, weight)
    np.testing.assert_allclose(out, expected[f's{side}_out'], atol=1e-4)


def test_aligned_convolution_on_the_regular_grid_is_a_convolution() -> None:
    torch.manual_seed(0)
    features = torch.randn(2, 5, 7, 9, dtype=torch.double)
    weight = torch.randn(4, 5, 3, 3, dtype=torch.double)
    step = torch.tensor([-1.0, 0, 1], dtype=torch.double)
    ys = (torch.arange(7)[:, None] + step.repeat_interleave(3)[:, None, None]).expand(2, 9, 7, 9)
    xs = (torch.arange(9) + step.repeat(3)[:, None, None]).expand(2, 9, 7, 9)
    expected = torch.nn.functional.conv2d(features, weight, padding=1)
    torch.testing.assert_close(aligned_conv2d(features, ys, xs, weight), expected)


def test_aligned_convolution_has_true_gradients() -> None:
    torch.manual_seed(1)
    features = torch.randn(1, 2, 4, 5, dtype=torch.double, requires_grad=True)
    ys = (torch.rand(1, 4, 2, 3, dtype=torch.double) * 8 - 2).requires_grad_()
    xs = (torch.rand(1, 4, 2, 3, dtype=torch.double) * 9 - 2).requires_grad_()
    weight = torch.randn(2, 2, 2, 2, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(aligned_conv2d, (features, ys, xs, weight))


POSTPROCESSING = {
    'OTB2015': 'otb',
    'VOT2018': 'vot2018',
    'VOT2019_big': 'vot2019',
    'VOT2019ON': 'vot2019_online',
    'GOT10K': 'got10k',
    'LASOT': 'lasot',
}


@pytest.mark.parametrize('case', POSTPROCESSING)
def test_postprocessing(case: str) -> None:
    expected = golden('ocean', 'e_post.npz')
    config = SETTINGS[POSTPROCESSING[case]]
    hyper = expected[f'{case}_hp']
    np.testing.assert_allclose(
        [config.penalty, config.window_influence, config.size_rate], hyper[:3]
    )
    n = int(expected[f'{case}_score_size'])
    online = None
    if config.online:
        assert config.online_weight == hyper[4]
        online = uniform(f'oc_po_{case}', (1, 14, 14), -0.1, 0.6)
    aligned = None
    if config.align:
        assert config.regular_weight == hyper[3]
        aligned = uniform(f'oc_pa_{case}', (1, 1, n, n), -4, 2)[0]
    prediction = Prediction(
        uniform(f'oc_pc_{case}', (1, 1, n, n), -4, 2)[0],
        uniform(f'oc_pb_{case}', (1, 4, n, n), 15, 60),
        aligned,
    )
    scale = float(expected[f'{case}_scale_z'])
    sizes = torch.from_numpy(expected[f'{case}_sz'])[None].float() * scale
    place = choose_places(prediction, sizes, config, online)[0].double().numpy()
    centre = expected[f'{case}_pos'] + place[:2] / scale
    np.testing.assert_allclose(centre, expected[f'{case}_new_pos'], atol=1e-3)
    np.testing.assert_allclose(place[2:4] / scale, expected[f'{case}_new_sz'], atol=1e-3)
    np.testing.assert_allclose(place[4], expected[f'{case}_score'], atol=1e-5)


def test_crops() -> None:
    expected = golden('ocean', 'f_crops.npz')
    image = uniform('oc_img240x320', (240, 320, 3)).floor().byte()  # BGR
    fill = image.float().mean((0, 1))
    np.testing.assert_allclose(fill, expected['avg_chans'], atol=1e-3)
    for index in range(5):
        cx, cy, side, size = expected[f'f{index}_args']
        crops = crop_windows(image, [(cx, cy, size)], fill.floor()[None], int(side), True)
        crop = crops[0]
        assert tuple(crop.shape) == tuple(expected[f'f{index}_crop_shape'])
        difference = crop[:, ::5, ::5].numpy() - expected[f'f{index}_crop_slice']
        assert np.abs(difference).max() <= 1


def blocks(name: str) -> np.ndarray:
    """The fixtures' test image, 240 x 320, RGB."""
    coarse = uniform(name, (30, 40, 3)).floor().numpy().repeat(8, 0).repeat(8, 1)
    fine = uniform(f'{name}:n', (240, 320, 3), 0, 40).floor().numpy()
    return np.clip(0.8 * coarse + fine, 0, 255).astype(np.uint8)[..., ::-1].copy()


@pytest.fixture(scope='module')
def weight_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stand-in weights in a file of the form that the authors publish."""
    path = tmp_path_factory.mktemp('weights') / 'standin.pth'
    state = {f'module.{key}': value for key, value in authors_state(online=True).items()}
    torch.save({'state_dict': state, 'epoch': 3, 'arch': 'Ocean'}, path)
    return path


def make_tracker(setting: str, weight_file: Path, **parameters: Any) -> OceanTracker:
    return create_tracker(
        'ocean',
        preset=f'paper_{setting}',
        device='cpu',
        weights=str(weight_file),
        released=True,
        recover=False,
        lost_score=0.0,
        **parameters,
    )


@pytest.mark.parametrize(
    ('case', 'setting'),
    [('otb', 'otb'), ('vot', 'vot2019'), ('vot_small', 'vot2019'), ('otb_border', 'otb')],
)
def test_recorded_steps(case: str, setting: str, weight_file: Path) -> None:
    expected = golden('ocean', 'e2_step.npz')
    tracker = make_tracker(setting, weight_file)
    image = blocks('oc_img1')
    target = tracker.start(image, Box.from_center(*expected[f'{case}_init']))
    model = target.model
    assert model.search_side == expected[f'{case}_instance_size']
    np.testing.assert_allclose(
        model.fill.flip(0), np.floor(expected[f'{case}_avg_chans']), atol=1e-3
    )
    later = np.floor(0.9 * image + 10).astype(np.uint8)
    for state in expected[f'{case}_states']:
        box = tracker.track(later, target).box
        np.testing.assert_allclose([box.cx, box.cy, box.w, box.h], state, atol=0.05)


@pytest.mark.parametrize(('name', 'setting'), [('otb', 'otb'), ('vot', 'vot2019')])
def test_skiing(name: str, setting: str, weight_file: Path) -> None:
    """Stand-in weights on a real sequence; the first frames, before small differences grow."""
    rows = np.loadtxt(golden('ocean', f'skiing_seeded_{name}.txt'), delimiter=',')
    frames = sequence_frames('Skiing', 8)
    tracker = make_tracker(setting, weight_file)
    x, y, w, h = rows[0]
    images = [cv2.imread(str(frame))[..., ::-1] for frame in frames]
    target = tracker.start(images[0], Box(x - 1, y - 1, w, h))
    for image, row in zip(images[1:], rows[1:], strict=False):
        box = tracker.track(image, target).box
        found = [max(box.x, 0) + 1, max(box.y, 0) + 1, box.w, box.h]
        np.testing.assert_allclose(found, row, atol=0.1)

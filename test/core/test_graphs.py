# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""What ONNX Runtime and OpenCV do in the stead of torch is the same."""

from __future__ import annotations

import copy
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn, Tensor

from tracker_core import Box, create_tracker, list_trackers, ParameterError, runtime, TrackStatus
from tracker_core.atom.network import CompactAtomNetwork
from tracker_core.images import cut_windows, cut_windows_by_opencv
from tracker_core.layers.folding import fold_batch_norms
from tracker_core.layers.graphs import attach_sessions, FOLDER, graphs_of, INT8_FOLDER
from tracker_core.media.scene import render_scene
from tracker_core.ocean.network import CompactOcean
from tracker_core.refiner.network import RefinerNetwork
from tracker_core.spm.compact import CompactNetwork

NETWORKS = (CompactAtomNetwork, CompactOcean, RefinerNetwork, CompactNetwork)
# so that a run of some tests compares the same numbers as a run of all: where a sum of thousands
# of products nearly vanishes, what rounding does is large beside it
draw = partial(torch.rand, generator=torch.Generator().manual_seed(7))
MAPS = draw(2, 96, 13, 11)
SAMPLES = draw(5, 64, 8, 8)
MIDDLE, DEEP = draw(2, 40, 13, 11), draw(2, 128, 13, 11)
INPUTS = {
    'atom_test_features': (MIDDLE, DEEP),
    'ocean_searched': (DEEP,),
    'spm_searched': (DEEP,),
    'spm_compare': (draw(2, 232, 6, 6), draw(2, 9, 168, 6, 6)),
    'refiner_reduced': (MIDDLE, DEEP),
    'ocean_towers': (MAPS, MAPS + 0.5),
    'spm_coarse': (MAPS, MAPS + 0.5),
    'refiner_compare': (SAMPLES, SAMPLES + 0.5),
}


def inputs(name: str) -> list[tuple[Tensor, ...]]:
    """What a graph can be asked: images of even and odd sides, one and several."""
    if name in INPUTS:
        return [INPUTS[name], tuple(each[:1] for each in INPUTS[name])]
    sides = ((1, 193, 193), (2, 127, 144))
    return [(torch.rand(n, 3, height, width) * 255,) for n, height, width in sides]


@torch.no_grad()
def random_network(kind: type[nn.Module]) -> nn.Module:
    """A network as a tracker has it, all of its weights different."""
    torch.manual_seed(4)
    network = kind().eval().requires_grad_(False)
    fold_batch_norms(network)
    for value in network.state_dict().values():
        if value.is_floating_point():
            value.uniform_(0.1, 1.0).mul_(value[..., :1].numel() ** -0.5)
            if value.dim() > 1:
                value.mul_(torch.where(torch.rand_like(value) < 0.5, -1.0, 1.0))
    return network


@pytest.mark.parametrize('kind', NETWORKS)
@torch.no_grad()
def test_graphs_compute_what_torch_does(kind: type[nn.Module]) -> None:
    """Also with other weights in the session than the graph was written with."""
    plain = random_network(kind)
    fast = copy.deepcopy(plain)
    assert attach_sessions({'network': fast})
    asked = 0
    for one, other in zip(plain.modules(), fast.modules(), strict=True):
        for name, method in graphs_of(one).items():
            for tensors in inputs(name):
                wanted, found = (getattr(each, method)(*tensors) for each in (one, other))
                for right, part in zip(wanted, found, strict=True):
                    assert part.shape == right.shape
                    assert (part - right).abs().max() <= 2e-5 * right.abs().max(), name
                asked += 1
    assert asked


def test_every_graph_is_of_some_network() -> None:
    found = {name for kind in NETWORKS for part in kind().modules() for name in graphs_of(part)}
    assert {path.stem for path in FOLDER.glob('*.onnx')} == found
    assert {path.stem for path in FOLDER.glob('*.txt')} == found


def test_opencv_cuts_the_same_windows() -> None:
    """Within the rounding to whole numbers; inside, over the border, enlarged and reduced."""
    frame = torch.from_numpy(next(iter(render_scene(frames=1, size=(320, 240)))))
    windows = torch.tensor(
        [[150.3, 110.2, 90.5], [8.0, 15.0, 80.0], [319.0, 239.0, 33.3], [160.0, 120.0, 500.0]]
    ).double()
    fills = torch.tensor([[10.0, 20.0, 30.0], [200.0, 0.0, 90.0]]).repeat(2, 1)
    for colours in (None, fills):
        wanted = cut_windows(frame, windows, 129, colours)
        found = cut_windows_by_opencv(frame, windows, 129, colours)
        assert found.shape == wanted.shape
        assert found.dtype == wanted.dtype
        assert (found - wanted).abs().mean() < 0.3
        assert (found - wanted).abs().quantile(0.999) < 1.5


@pytest.mark.parametrize('name', list_trackers())
def test_boxes_stay_what_they_are(name: str) -> None:
    """The runtime that a CPU gets, beside torch alone, over some frames."""
    scene = render_scene(frames=6, size=(320, 240), seed=2)
    images = list(scene)
    eager, fast = (
        create_tracker(name, device='cpu', runtime=r, precision='float32')
        for r in ('eager', 'auto')
    )
    assert (eager.runtime, fast.runtime) == ('eager', 'session')
    tracks = []
    for tracker in (eager, fast):
        target = tracker.start(images[0], scene.boxes[0])
        tracks.append([tracker.track(image, target) for image in images[1:]])
    for one, other in zip(*tracks, strict=True):
        # DAT's training amplifies what the crops differ by
        assert one.box.iou(other.box) > (0.8 if name == 'dat' else 0.95)
        assert one.score == pytest.approx(other.score, abs=0.05)
        assert one.status == other.status


def test_networks_without_graphs_are_refused() -> None:
    with pytest.raises(ParameterError, match='no graphs of the networks of spm paper'):
        create_tracker('spm', 'paper', device='cpu', runtime='session', weights='random')
    with pytest.raises(ParameterError, match='float32'):
        create_tracker('spm', device='cpu', runtime='session', precision='bfloat16')
    tracker = create_tracker('spm', device='cpu', precision='bfloat16')
    assert tracker.runtime == 'eager'


@pytest.mark.skipif(
    not runtime.has_int8_products(), reason='without VNNI sums of products in int8 are not exact'
)
@pytest.mark.parametrize('name', list_trackers())
def test_int8_follows_as_well(name: str) -> None:
    """Its graphs were made of the weights that are bundled now: else it would refuse them."""
    scene = render_scene('calm', frames=60, size=(320, 240), seed=2)
    images = [scene[i] for i in range(6)]
    tracker = create_tracker(name, device='cpu', precision='int8')
    assert (tracker.runtime, tracker.number_format) == ('session', 'int8')
    used = {
        session.path.parent
        for network in tracker.networks.values()
        for module in network.modules()
        for session in module.__dict__.get('sessions', {}).values()
    }
    assert INT8_FOLDER in used
    target = tracker.start(images[0], scene.boxes[0])
    for image, box in zip(images[1:], scene.boxes[1:6], strict=True):
        track = tracker.track(image, target)
        assert track.box.iou(box) > 0.6
    assert track.status == TrackStatus.TRACKING


def test_int8_is_of_the_bundled_weights_alone(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match='int8 is had with the bundled weights only'):
        create_tracker('spm', device='cpu', precision='int8', weights='random')
    with pytest.raises(ParameterError, match='int8 is had by runtime session alone'):
        create_tracker('spm', 'paper', device='cpu', precision='int8', weights='random')
    with pytest.raises(ParameterError, match='int8 is had by runtime session alone'):
        create_tracker('spm', device='cpu', runtime='eager', precision='int8')


def test_auto_takes_int8_where_it_is_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device('cpu')
    for has_products, wanted in ((True, 'int8'), (False, 'float32')):
        monkeypatch.setattr(runtime, 'has_int8_products', lambda found=has_products: found)
        assert runtime.choose_precision('session', cpu, ('int8',)) == wanted
        assert runtime.choose_precision('session', cpu, ()) == 'float32'
        assert runtime.choose_precision('eager', cpu, ('int8',)) == 'float32'
    tracker = create_tracker('tadt', device='cpu', weights='random')
    assert tracker.number_format == 'float32'


def test_weights_of_ones_own_need_no_other_graph(tmp_path: Path) -> None:
    """A session takes the weights that the tracker was given."""
    image = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    raw = {}
    for weights in (None, 'random'):
        for name in ('eager', 'session'):
            tracker = create_tracker(
                'ocean', device='cpu', runtime=name, precision='float32', weights=weights
            )
            target = tracker.start(image, Box(50, 40, 30, 30))
            raw[weights, name] = tracker.track(image, target).raw_score
    for weights in (None, 'random'):
        assert raw[weights, 'session'] == pytest.approx(raw[weights, 'eager'], abs=0.05)
    assert raw[None, 'session'] != pytest.approx(raw['random', 'session'], abs=0.05)

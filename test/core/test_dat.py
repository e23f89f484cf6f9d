# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""DAT against numbers recorded from the released code, and its closed forms against automatic
differentiation."""

from __future__ import annotations

from dataclasses import replace
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reference import assert_close, golden, seeded, seeded_state
import torch
from torch import Tensor
import torch.nn.functional as F

from tracker_core import Box, create_tracker, Tracker, TrackStatus, WeightsError
from tracker_core.dat import samples
from tracker_core.dat.box_regression import BoxRegression, is_close
from tracker_core.dat.config import DatConfig
from tracker_core.dat.crops import crop
from tracker_core.dat.learning import (
    attention_penalty,
    BACKGROUND,
    classification,
    Classifier,
    Descent,
    hardest,
    Penalty,
    PooledChain,
    Samples,
    TARGET,
    Trainer,
)
from tracker_core.dat.network import (
    Linearised,
    Pool,
    split_weight_file,
    summed_convolution_gradients,
    VggM,
)
from tracker_core.dat.views import CONTEXT, RegionViews
from tracker_core.refiner.network import RefinerNetwork
from tracker_core.weights import randomize

RELEASED = DatConfig(released=True, dropout=0.0, batch=8, mined_from=16)
TERMS = {'pos_t': (TARGET, 0), 'pos_b': (BACKGROUND, 0), 'neg_b': (BACKGROUND, 1)}
TERMS['neg_t'] = (TARGET, 1)  # class and block of the recorded terms, in their order
KEYS = {'layers.fc4.1': '4', 'layers.fc5.1': '5', 'branches.0.1': '6'}


def blocky(name: str, height: int, width: int, block: int) -> np.ndarray:
    """A test image of coloured blocks with noise."""
    cells = (math.ceil(height / block), math.ceil(width / block), 3)
    blocks = seeded().seeded_input(f'{name}:blocks', cells, 0, 200)
    fine = seeded().seeded_input(f'{name}:fine', (height, width, 3), 0, 55)
    large = np.kron(blocks, np.ones((block, block, 1), np.float32))[:height, :width]
    return np.floor(large + fine).astype(np.uint8)


def stats(values: Tensor) -> list[float]:
    values = values.double()
    return [float(values.mean()), float(values.std(unbiased=False)), float(values.norm())]


def largest(boxes: Tensor) -> tuple[int, int]:
    return tuple(int(side) for side in boxes[:, 2:].amax(dim=0).ceil())


@pytest.fixture(scope='module')
def state() -> dict[str, Tensor]:
    return seeded_state('dat')


@pytest.fixture(scope='module')
def network(state: dict[str, Tensor]) -> VggM:
    return make_network(state)


def make_network(state: dict[str, Tensor]) -> VggM:
    network = VggM()
    network.load_state_dict(split_weight_file(state)[0])
    return network.eval().requires_grad_(False)


def make_classifier(state: dict[str, Tensor], factor: float = 1.0) -> Classifier:
    hidden = split_weight_file(state)[1]
    names = [f'fc{layer}.{part}' for layer in (4, 5, 6) for part in ('weight', 'bias')]
    return Classifier(*[hidden[name] * factor for name in names])


def gradients_by_name(gradients: list[Tensor]) -> dict[str, Tensor]:
    names = [f'{key}.{part}' for key in KEYS for part in ('weight', 'bias')]
    return dict(zip(names, gradients, strict=True))


def test_crops() -> None:
    fixture = golden('dat', 'crops.npz')
    boxes = torch.from_numpy(fixture['boxes']).double()
    frame = torch.from_numpy(fixture['image'])
    crops = crop(frame, boxes, largest(boxes))
    levels = crops[:, :, ::2, ::2].numpy().astype(int) + 128
    assert np.abs(levels - fixture['regions'].astype(int)).max() <= 1
    assert (levels != fixture['regions']).mean() < 0.01
    crops = crop(frame, boxes, largest(boxes), exact=True)
    assert np.array_equal(crops[:, :, ::2, ::2].numpy().astype(int) + 128, fixture['regions'])
    assert_close(
        [stats(c) for c in crops], fixture['regions_stats'], 1e-6, 'statistics of the crops'
    )


def test_network(network: VggM, state: dict[str, Tensor]) -> None:
    fixture = golden('dat', 'network.npz')
    frames = np.stack([blocky(f'dat.crop{i}', 107, 107, 9) for i in range(4)])
    x = torch.from_numpy(frames).permute(0, 3, 1, 2).float() - 128
    chain = Linearised.at(network, x)
    conv1 = network.conv1(x)
    lrn1 = chain.norm1.a * chain.norm1.d**-0.75
    conv2 = Pool.at(chain.norm2.a * chain.norm2.d**-0.75)[1]
    classifier = make_classifier(state)
    fc4 = F.relu(F.linear(chain.features, classifier.w4, classifier.b4))
    fc5 = F.relu(F.linear(fc4, classifier.w5, classifier.b5))
    logits = classifier.logits(chain.features)
    for name, found in {
        'conv1_pre': conv1[:, ::16, ::6, ::6],
        'lrn1': lrn1[:, ::16, ::6, ::6],
        'lrn1_edge_channels': lrn1[0][[0, 1, 2, 93, 94, 95], ::10, ::10],
        'conv1': chain.pooled1[:, ::16, ::4, ::4],
        'conv2': conv2[:, ::16],
        'conv3': chain.features[:, ::7],
        'fc4': fc4,
        'fc5': fc5,
        'fc6': logits,
        'softmax': logits.softmax(dim=1),
    }.items():
        assert_close(found, fixture[name], 1e-4, name)
    assert_close(stats(chain.features), fixture['conv3_stats'], 1e-4, 'conv3')
    assert_close(network(x), chain.features, 1e-5, 'the forward pass')


@pytest.fixture(scope='module')
def batches(network: VggM) -> tuple[Samples, Samples]:
    """The recorded target and background samples."""
    fixture = golden('dat', 'train.npz')
    frames = [torch.from_numpy(blocky(f'dat.train{k}', 150, 200, 8)) for k in (0, 1)]
    found = []
    for kind in ('pos', 'neg'):
        boxes = torch.from_numpy(fixture[f'{kind}_boxes']).double()
        crops = torch.cat(
            [
                crop(frames[int(k)], box[None], largest(box[None]), exact=True).to(torch.int8)
                for k, box in zip(fixture[f'{kind}_ids'].ravel(), boxes, strict=True)
            ]
        )
        features = network(crops)
        assert_close(features[:, ::97], fixture[f'{kind}_feats'], 1e-3, kind)
        found.append(Samples(features, crops))
    return tuple(found)


def test_three_training_steps(
    network: VggM, state: dict[str, Tensor], batches: tuple[Samples, Samples]
) -> None:
    fixture = golden('dat', 'train.npz')
    positives, negatives = batches
    classifier, descent = make_classifier(state), Descent()
    before = [tensor.clone() for tensor in classifier.tensors()]
    names = [str(name) for name in fixture['param_names']]

    for t in range(3):
        relative = 1 if t == 0 else 5  # later steps may drift a little
        seen = {}

        def make_chains(crops: Tensor, seen: dict = seen) -> list[Linearised]:
            seen['chain'] = Linearised.at(network, crops)
            return [seen['chain']]

        def count_more(chains, penalty, seen: dict = seen) -> Tensor:
            seen['convolutions'] = summed_convolution_gradients(
                chains, penalty.upstream, penalty.tangents
            )
            return sum(g.square().sum() for g in seen['convolutions'].values())

        target, pool = torch.arange(8 * t, 8 * t + 8), torch.arange(16 * t, 16 * t + 16)
        mined = pool[hardest(classifier, negatives.features[pool], 8)]
        scores = [
            classifier.logits(f)[:, TARGET]
            for f in (positives.features[target], negatives.features[mined])
        ]
        trainer = Trainer(RELEASED, make_chains, count_more)
        descent.begin(classifier)
        batch = trainer.choose(classifier, positives, negatives, target, pool, torch.Generator())
        loss, penalty, norm = trainer.step(classifier, descent, batch, 2e-4)
        assert_close(scores[0], fixture[f'it{t}_pos_score'][:, TARGET], 1e-3 * relative, 'scores')
        assert_close(scores[1], fixture[f'it{t}_neg_score'][:, TARGET], 1e-3 * relative, 'scores')
        assert_close(loss, fixture[f'it{t}_ce'].reshape(()), 1e-4 if t == 0 else 5e-3, 'loss')
        ratios = [float(penalty.ratios[place]) for place in TERMS.values()]
        assert_close(ratios, fixture[f'it{t}_R'], 1e-3 * relative, 'penalty')
        total = float(loss) + 5 * sum(ratios)
        assert_close(total, fixture[f'it{t}_total'].reshape(()), 1e-3 * relative, 'total')
        assert_close(norm, fixture[f'it{t}_grad_norm'].reshape(()), 1e-3 * relative, 'norm')
        for term, (k, block) in TERMS.items():
            rows = slice(8 * block, 8 * block + 8)
            for what, values in (('mu', penalty.mean), ('sd', penalty.deviation)):
                found = np.sort(100 * values[k, rows].numpy())  # recorded in the order of frames
                expected = np.sort(fixture[f'it{t}_{term}_{what}'].ravel())
                assert_close(found, expected, 1e-3 * relative, f'{term} {what}')
        if t == 0:
            check_maps(fixture, penalty, mined)
            conv2 = seen['convolutions']['conv2.0.weight'] * 5
            assert_close(conv2[::16, ::16], fixture['it0_grad_conv2_slice'], 1e-3, 'conv2')
        after = gradients_by_name(classifier.tensors())
        changes = gradients_by_name(
            [new - old for new, old in zip(classifier.tensors(), before, strict=True)]
        )
        for name, value in after.items():
            index = names.index(name)
            norm_after = fixture[f'it{t}_param_norms'][index]
            assert_close(value.norm(), norm_after, 1e-4, f'norm of {name}')
            if value.ndim == 2:
                rows = 1 if 'branches' in name else 37
                change = fixture[f'it{t}_{name}_delta_slice']
                assert_close(changes[name][::rows, ::61], change, 5e-3, f'change of {name}')


def check_maps(fixture: Any, penalty: Penalty, mined: Tensor) -> None:
    """The first maps; the released code sorts a batch by frame."""
    ids = (fixture['pos_ids'][:8].ravel(), fixture['neg_ids'][mined].ravel())
    for term, (k, block) in TERMS.items():
        maps = 100 * penalty.maps[k, 8 * block : 8 * block + 8]
        assert_close(stats(maps), fixture[f'{term}_map_stats'], 1e-3, term)
        first = maps[np.argsort(ids[block], kind='stable')[:2]]
        assert_close(first[:, ::2, ::2], fixture[f'{term}_map'], 1e-3, term)


@pytest.mark.parametrize('scale', ['he', 'small'])
def test_penalty_of_released_code(
    scale: str, network: VggM, state: dict[str, Tensor], batches: tuple[Samples, Samples]
) -> None:
    fixture, names = golden('dat', 'regulariser.npz'), golden('dat', 'train.npz')['param_names']
    positives, negatives = batches
    mined = hardest(make_classifier(state), negatives.features[:16], 8)
    crops = torch.cat((positives.source[:8], negatives.source[mined]))
    classifier = make_classifier(state, 0.4 if scale == 'small' else 1.0)
    labels = torch.tensor([TARGET] * 8 + [BACKGROUND] * 8)
    chains = [Linearised.at(network, part) for part in crops.split(5)]
    penalty = attention_penalty(classifier, chains, labels, signed=True, of_batch=True)
    ratios = [float(penalty.ratios[place]) for place in TERMS.values()]
    assert_close(ratios, fixture[f'{scale}_R'], 2e-3, 'terms')

    found = gradients_by_name(penalty.gradients)
    found.update(
        {
            f'layers.{k}': v
            for k, v in summed_convolution_gradients(
                chains, penalty.upstream, penalty.tangents
            ).items()
        }
    )
    checked = 0
    for index, name in enumerate(str(name) for name in names):
        expected = fixture[f'{scale}_grad_norms'][index]
        gradient = 5 * found.get(name, torch.zeros(1))
        if math.isnan(expected):
            expected = 0.0
        assert float(gradient.norm()) == pytest.approx(expected, rel=2e-3, abs=1e-12), name
        key = f'{scale}_grad_{name}'
        if key in fixture.files and name in found:
            flat = gradient.reshape(len(gradient), -1)
            rows, columns = max(1, flat.shape[0] // 16), max(1, flat.shape[1] // 60)
            assert_close(flat[::rows, ::columns], fixture[key], 2e-3, name)
            checked += 1
    assert checked >= 5


def by_autograd(
    classifier: Classifier, network: VggM, crops: Tensor, labels: Tensor, signed: bool, batch: bool
) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """The penalty as it is defined, differentiated twice."""
    tensors = [tensor.requires_grad_() for tensor in classifier.tensors()]
    weights = [parameter.requires_grad_() for parameter in network.parameters()]
    first = network.conv1(crops).requires_grad_()
    x = F.max_pool2d(F.local_response_norm(F.relu(first), 5, 5e-4, 0.75, 2.0), 3, 2)
    x = F.local_response_norm(F.relu(network.conv2(x)), 5, 5e-4, 0.75, 2.0)
    x = F.relu(network.conv3(F.max_pool2d(x, 3, 2))).flatten(1)
    logits = classifier.logits(x)
    half = len(labels) // 2
    total = 0
    for k in (BACKGROUND, TARGET):
        gradient = torch.autograd.grad(logits[:, k].sum(), first, create_graph=True)[0]
        q = (gradient if signed else gradient.clamp(min=0)).square().sum(dim=1)
        mean, deviation = q.mean(dim=(1, 2)), q.std(dim=(1, 2), unbiased=False)
        for rows in (slice(0, half), slice(half, None)):
            own = bool(labels[rows][0] == k)
            above, below = (deviation, mean) if own else (mean, deviation)
            if batch:
                total = total + above[rows].sum() / below[rows].sum()
            else:
                total = total + (above[rows] / below[rows]).mean()
    return (
        total,
        torch.autograd.grad(total, tensors, allow_unused=True, retain_graph=True),
        torch.autograd.grad(total, weights, allow_unused=True),
    )


@pytest.mark.parametrize(
    ('signed', 'of_batch'), [(False, False), (False, True), (True, False), (True, True)]
)
def test_closed_form_equals_double_differentiation(
    signed: bool, of_batch: bool, state: dict[str, Tensor]
) -> None:
    network = make_network(state).double()
    classifier = make_classifier({key: value.double() for key, value in state.items()})
    frames = np.stack([blocky(f'dat.crop{i}', 107, 107, 9) for i in range(4)])
    crops = torch.from_numpy(frames).permute(0, 3, 1, 2).double() - 128
    labels = torch.tensor([TARGET, TARGET, BACKGROUND, BACKGROUND])
    chains = [Linearised.at(network, part) for part in crops.split(3)]
    penalty = attention_penalty(classifier, chains, labels, signed, of_batch)
    convolutions = summed_convolution_gradients(chains, penalty.upstream, penalty.tangents)

    total, expected, expected_convolutions = by_autograd(
        classifier, network, crops, labels, signed, of_batch
    )
    assert float(penalty.ratios.sum()) == pytest.approx(float(total.detach()), rel=1e-10)
    for found, gradient in zip(penalty.gradients, expected, strict=True):
        if gradient is None:
            assert not found.any()
        else:
            torch.testing.assert_close(found, gradient, rtol=1e-8, atol=1e-12)
    names = [name for name, _ in network.named_parameters()]
    for name, gradient in zip(names, expected_convolutions, strict=True):
        if name in convolutions:
            limit = 1e-8 * float(gradient.abs().max())
            torch.testing.assert_close(convolutions[name], gradient, rtol=1e-7, atol=limit)
        else:
            assert gradient is None or not gradient.any(), name


def test_box_regression() -> None:
    fixture = golden('dat', 'bbreg.npz')
    truth = torch.from_numpy(fixture['gt'])
    projection = seeded().seeded_array('dat.bb.proj', (4, 4608)).astype(np.float64)

    def features(boxes: np.ndarray) -> Tensor:
        x, y, w, h = boxes.T
        gx, gy, gw, gh = fixture['gt']
        d = np.stack([(gx - x) / 10, (gy - y) / 10, 4 * np.log(gw / w), 4 * np.log(gh / h)], 1)
        return torch.from_numpy(np.maximum(40 * d @ projection + 3, 0).astype(np.float32))

    boxes = torch.from_numpy(fixture['boxes'])
    used = is_close(boxes, truth)
    assert np.array_equal(used.numpy(), fixture['used'])
    assert_close(samples.overlaps(boxes, truth), fixture['iou'], 1e-9, 'overlap')
    fitted = BoxRegression.fit(features(fixture['boxes']), boxes, truth, used, 1000.0)
    assert_close(fitted.weight.T[:, ::97], fixture['coef_slice'], 1e-3, 'weights')
    assert_close(fitted.bias, fixture['intercept'], 1e-3, 'intercept')
    tests = torch.from_numpy(fixture['test_boxes'])
    inputs = features(fixture['test_boxes'])
    assert np.abs(fitted.shifts(inputs).numpy() - fixture['test_Y']).max() <= 1e-3
    found = fitted.apply(inputs, tests, torch.from_numpy(fixture['img_size']))
    assert np.abs(found.numpy() - fixture['predicted']).max() <= 0.02


def test_box_regression_enlarges_boxes_where_it_may() -> None:
    """Features that tell the shift of a box: one too small is mended, or left as it is."""
    truth = torch.tensor([40.0, 30, 40, 20], dtype=torch.float64)
    random = torch.Generator().manual_seed(0)
    near = replace(samples.REGRESSION, area=None)
    boxes, _ = samples.draw_accepted(near, truth, (320, 240), 400, random)

    def features(boxes: Tensor) -> Tensor:
        shift = (truth[:2] + truth[2:] / 2 - boxes[:, :2] - boxes[:, 2:] / 2) / boxes[:, 2:]
        return torch.cat((shift, (truth[2:] / boxes[:, 2:]).log()), dim=1).float()

    fitted = BoxRegression.fit(features(boxes), boxes, truth, is_close(boxes, truth, True), 1e-3)
    small, image = torch.tensor([[44.0, 32, 32, 16]]), torch.tensor([320.0, 240])
    mended = fitted.apply(features(small), small, image, grows=True)
    torch.testing.assert_close(mended, truth.float()[None], atol=0.1, rtol=0)
    assert torch.equal(fitted.apply(features(small), small, image), small)


MODES = {
    'bbreg': samples.REGRESSION,
    'pos_init': samples.POSITIVES,
    'neg_init_uniform': samples.FIRST_NEGATIVES,
    'neg_init_whole': samples.WHOLE_NEGATIVES,
    'search': samples.search_spread(0.6, 1.05),
    'search_expand': samples.search_spread(1.5, 1.05),
    'pos_update': samples.POSITIVES,
    'neg_update': samples.NEGATIVES,
}


@pytest.mark.parametrize('mode', MODES)
def test_samples_are_distributed_as_released(mode: str) -> None:
    fixture = golden('dat', 'samples.npz')
    box = torch.from_numpy(fixture['box'])
    image = tuple(int(side) for side in fixture['img_size'])
    random = torch.Generator().manual_seed(0)

    def columns(boxes: Tensor) -> Tensor:
        shift = boxes[:, :2] + boxes[:, 2:] / 2 - box[:2] - box[2:] / 2
        w, h = (boxes[:, 2:] / box[2:]).log().T
        return torch.cat((shift / box[2:].mean(), torch.stack(((w + h) / 2, (w - h) / 2), 1)), 1)

    def check(found: Tensor, prefix: str) -> None:
        std = fixture[f'{prefix}_std']
        # a recorded mean is itself one of 20 000 draws; where boxes lie anywhere this shows
        limit = np.maximum(0.02, 2.5 * std / math.sqrt(20_000))
        assert np.all(np.abs(found.mean(dim=0).numpy() - fixture[f'{prefix}_mean']) <= limit)
        assert np.all(np.abs(found.std(dim=0).numpy() - std) <= 0.03 * std + 1e-6)

    drawn = samples.draw(MODES[mode], box, image, 40_000, random)
    check(columns(drawn), f'{mode}_raw')
    assert torch.all(drawn[:, 2:] <= torch.tensor(MODES[mode].largest(box.tolist(), image)))

    asked = int(fixture[f'{mode}_asked'])
    if MODES[mode].overlap is None:
        assert len(samples.draw(MODES[mode], box, image, asked, random)) == asked
        return
    rounds = [samples.draw_accepted(MODES[mode], box, image, asked, random) for _ in range(20)]
    counts = np.array([int(count) for _, count in rounds])
    expected = fixture[f'{mode}_returned'].mean()
    assert counts.mean() == pytest.approx(expected, rel=0.02)
    assert all(len(boxes) == asked for boxes, _ in rounds)
    many, count = samples.draw_accepted(MODES[mode], box, image, 25_000, random)
    many = many[: int(count)]
    check(columns(many), mode)
    overlap = samples.overlaps(many, box)
    assert float(overlap.mean()) == pytest.approx(float(fixture[f'{mode}_mean_iou']), abs=0.02)
    low, high = MODES[mode].overlap
    assert low <= float(overlap.min()) <= float(overlap.max()) <= high


def test_samples_without_any_acceptable_box_repeat_the_box() -> None:
    box = torch.tensor([159.5, 119.5, 5.0, 5.0], dtype=torch.float64)
    random = torch.Generator().manual_seed(0)
    boxes, count = samples.draw_accepted(samples.POSITIVES, box, (160, 120), 7, random)
    assert int(count) == 0
    assert torch.equal(boxes, box.expand(7, 4))


@pytest.mark.parametrize('signed', [False, True])
def test_closed_form_on_pooled_cells(signed: bool) -> None:
    """The compact preset's chain: the attention is the gradient at the pooled cells."""
    random = torch.Generator().manual_seed(0)
    classifier = Classifier.fresh(3 * 3 * 7, 16, random)
    tensors = [tensor.double().requires_grad_() for tensor in classifier.tensors()]
    classifier = Classifier(*tensors)
    features = torch.randn(10, 63, generator=random, dtype=torch.float64)
    labels = torch.tensor([TARGET] * 5 + [BACKGROUND] * 5)
    with torch.no_grad():
        found = attention_penalty(classifier, [PooledChain(features, 3)], labels, signed)
    x = features.clone().requires_grad_()
    logits = classifier.logits(x)
    total = 0
    for k in (BACKGROUND, TARGET):
        gradient = torch.autograd.grad(logits[:, k].sum(), x, create_graph=True)[0]
        gradient = gradient if signed else gradient.clamp(min=0)
        q = gradient.view(10, 9, 7).square().sum(dim=2)
        ratio = q.std(dim=1, unbiased=False) / q.mean(dim=1)
        ratio = torch.where(labels == k, ratio, 1 / ratio)
        total = total + ratio[:5].mean() + ratio[5:].mean()
    expected = torch.autograd.grad(total, tensors, allow_unused=True)
    assert float(found.ratios.sum()) == pytest.approx(float(total.detach()), rel=1e-10)
    for mine, theirs in zip(found.gradients, expected, strict=True):
        torch.testing.assert_close(mine, torch.zeros_like(mine) if theirs is None else theirs)


def test_attention_of_a_dead_classifier_is_harmless() -> None:
    """Where no hidden unit is active the maps are zero, and so is the gradient."""
    classifier = Classifier.fresh(18, 8, torch.Generator().manual_seed(0))
    classifier.b4.fill_(-1e6)
    chains = [PooledChain(torch.randn(4, 18), 3)]
    penalty = attention_penalty(classifier, chains, torch.tensor([1, 1, 0, 0]))
    assert all(not gradient.any() for gradient in penalty.gradients)


def test_classification_gradient() -> None:
    random = torch.Generator().manual_seed(0)
    classifier = Classifier.fresh(12, 9, random)
    tensors = [tensor.double().requires_grad_() for tensor in classifier.tensors()]
    c = Classifier(*tensors)
    features = torch.randn(6, 12, generator=random, dtype=torch.float64)
    labels = torch.tensor([1, 1, 1, 0, 0, 0])
    kept = [(torch.rand(6, n, generator=random) > 0.5).double() * 2 for n in (12, 9, 9)]
    with torch.no_grad():
        loss, gradients = classification(c, features, labels, kept)
    h = F.relu(F.linear(features * kept[0], c.w4, c.b4))
    h = F.relu(F.linear(h * kept[1], c.w5, c.b5))
    logits = F.linear(h * kept[2], c.w6, c.b6)
    expected_loss = F.cross_entropy(logits, labels, reduction='sum')
    expected = torch.autograd.grad(expected_loss, tensors)
    torch.testing.assert_close(loss, expected_loss.detach())
    for mine, theirs in zip(gradients, expected, strict=True):
        torch.testing.assert_close(mine, theirs)


def test_pooling_is_the_mean_of_bilinear_samples() -> None:
    config = DatConfig(region_side=128, cells=3)
    views = RegionViews(RefinerNetwork(), torch.device('cpu'), torch.float32, config)
    maps = torch.randn(5, 16, 16, generator=torch.Generator().manual_seed(0))
    window = (60.0, 40.0, 64.0)  # two network pixels per pixel of the frame
    table = maps.flatten(1).T[None].contiguous()
    box = torch.tensor([[[52.0, 30.0, 16.0, 12.0]]], dtype=torch.float64)
    pooled = views._pool(table, torch.tensor([window]).double(), box).view(3, 3, 5)

    steps = (torch.arange(6) + 0.5) / 6 - 0.5
    at = [
        ((middle + CONTEXT * side * steps - centre) * 2 + 64 - 0.5) / 8
        for middle, side, centre in ((60, 16, 60), (36, 12, 40))
    ]
    grid = torch.stack(torch.meshgrid(*at, indexing='xy'), dim=2) * 2 / 15 - 1
    points = F.grid_sample(maps[None], grid[None].float(), align_corners=True)[0]
    expected = F.avg_pool2d(points, 2).permute(1, 2, 0)
    torch.testing.assert_close(pooled, expected, rtol=1e-4, atol=1e-5)


SMALL = {
    'candidates': 16,
    'averaged': 3,
    'first_positives': 8,
    'first_negatives': 16,
    'positives': 4,
    'negatives': 6,
    'regression_samples': 12,
    'first_iterations': 2,
    'iterations': 2,
    'batch': 3,
    'mined_from': 6,
    'hidden': 32,
    'negative_frames': 3,
    'update_interval': 2,
}


def make_tracker(preset: str, **parameters: Any) -> Tracker:
    return create_tracker('dat', preset, device='cpu', weights='random', **{**SMALL, **parameters})


def weights_of(target: Any) -> list[Tensor]:
    return [tensor.clone() for tensor in target.model.classifier.tensors()]


def changed(before: list[Tensor], target: Any) -> bool:
    pairs = zip(before, target.model.classifier.tensors(), strict=True)
    return not all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize('preset', ['compact', 'paper'])
@pytest.mark.parametrize('released', [False, True])
def test_samples_are_kept_of_successes_only(preset: str, released: bool) -> None:
    image = blocky('dat.frame', 150, 200, 8)
    box = Box(70, 50, 40, 30)
    tracker = make_tracker(preset, success_score=-1e9, released=released, recover=False)
    target = tracker.start(image, box)
    for index in range(1, 5):
        before = weights_of(target)
        tracker.track(image, target, learn=False)
        assert target.state.pending is not None
        tracker.learn(target)
        assert changed(before, target) == (index % 2 == 0)  # update_interval
        assert len(target.model.positives) == index + 1
        assert len(target.model.negatives) == min(index + 1, 3)
        assert target.model.positives[-1].features.shape[0] == 4
        assert target.state.pending is None


def test_a_failure_keeps_the_box_and_trains() -> None:
    image = blocky('dat.frame', 150, 200, 8)
    box = Box(70, 50, 40, 30)
    tracker = make_tracker(
        'compact', success_score=1e9, recover=False, failed_interval=2, score_midpoint=-1e3
    )
    target = tracker.start(image, box)
    for index in range(1, 5):
        before = weights_of(target)
        track = tracker.track(image, target)
        assert (track.box, track.status) == (box, TrackStatus.UNCERTAIN)  # whatever the score
        assert target.state.failures == index
        assert len(target.model.positives) == len(target.model.negatives) == 1
        assert changed(before, target) == (index % 2 == 1)  # failed_interval


def test_frame_memory_may_be_reused_before_learning() -> None:
    """With the crops of preset paper, which are taken from the frame when learning."""
    images = [blocky('dat.frame', 150, 200, 8), blocky('dat.train0', 150, 200, 8)]
    tracker = make_tracker('paper', success_score=-1e9, update_interval=1)
    targets = [tracker.start(images[0], Box(70, 50, 40, 30)) for _ in range(2)]
    buffer = images[1].copy()
    for target in targets:
        tracker.track(buffer, target, learn=False)
    tracker.learn(targets[0])
    buffer[:] = 0
    tracker.learn(targets[1])
    assert not changed(weights_of(targets[0]), targets[1])


def test_reads_the_authors_files(tmp_path: Path) -> None:
    network = VggM().requires_grad_(False)
    randomize(network)
    image = blocky('dat.frame', 150, 200, 8)
    small = {**SMALL, 'hidden': 512, 'first_iterations': 0}

    def start(path: Path | str) -> Any:
        tracker = create_tracker('dat', 'paper', device='cpu', weights=str(path), **small)
        return tracker.start(image, Box(70, 50, 40, 30)).model

    shared = dict(network.state_dict())
    shared['fc4.1.weight'], shared['fc4.1.bias'] = torch.randn(512, 4608) / 99, torch.randn(512)
    shared['fc5.1.weight'], shared['fc5.1.bias'] = torch.randn(512, 512) / 9, torch.randn(512)
    torch.save({'shared_layers': shared}, tmp_path / 'dat.pth')
    renamed = {key.replace('fc4.1', 'fc4.0'): value for key, value in shared.items()}
    torch.save({'shared_layers': renamed}, tmp_path / 'mdnet.pth')
    for name in ('dat.pth', 'mdnet.pth'):
        model = start(tmp_path / name)
        assert torch.equal(model.classifier.w4, shared['fc4.1.weight'])
        assert torch.equal(model.classifier.b5, shared['fc5.1.bias'])

    torch.save({'shared_layers': {**shared, 'fc5.1.bias': torch.zeros(3)}}, tmp_path / 'bad.pth')
    with pytest.raises(WeightsError, match=r'fc5\.bias is \(3,\) instead of \(512,\)'):
        start(tmp_path / 'bad.pth')
    torch.save({'shared_layers': {'conv1.0.weight': torch.zeros(3)}}, tmp_path / 'bad.pth')
    with pytest.raises(WeightsError, match='missing'):
        start(tmp_path / 'bad.pth')

    scipy_io = pytest.importorskip('scipy.io')  # writes the file; we read it ourselves
    write_matconvnet(scipy_io, network, tmp_path / 'imagenet-vgg-m.mat')
    assert torch.equal(
        start(tmp_path / 'imagenet-vgg-m.mat').positives[0].features,
        start('random').positives[0].features,
    )


def write_matconvnet(scipy_io: Any, network: VggM, path: Path) -> None:
    """A file in the form of imagenet-vgg-m.mat: conv1 to conv3, then a layer that DAT ignores."""
    layers = []
    for name in ('conv1', 'relu1', 'norm1', 'pool1', 'conv2', 'pool2', 'conv3', 'fc6'):
        layer = {'type': name.rstrip('123'), 'name': name}
        if name.startswith(('conv', 'fc')):
            layer['type'] = 'conv'
            convolution = getattr(network, name)[0] if name != 'fc6' else network.conv1[0]
            kernel = convolution.weight.numpy().transpose(2, 3, 1, 0)
            weights = np.empty((1, 2), object)
            weights[0, 0], weights[0, 1] = kernel, convolution.bias.numpy()[:, None]
            layer['weights'] = weights
        layers.append(layer)
    cells = np.empty((1, len(layers)), object)
    cells[0] = layers
    scipy_io.savemat(path, {'layers': cells})

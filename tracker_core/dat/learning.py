# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The classifier and its training, with the attention penalty in closed form (section 3).

Write f for the features of a sample, J for the linear function from small changes at the first
layer to changes of f, and D4, D5 for the masks of the hidden ReLUs. The gradient of class c's
logit at the first layer is the attention

    G_c = J^T u_c      u_c = W4^T e4      e4 = D4 W5^T e5      e5 = D5 w6_c

whose positive part, squared and summed over channels, is an energy map q with mean mu and
standard deviation sd. The penalty R is a function of these only. With the masks constant, R
depends on W4, W5 and w6 through u alone, and

    dR/dG = 2 max(G, 0) dR/dq      v = dR/du = J dR/dG
    dR/dW4 = e4 v^T      dR/dW5 = e5 (D4 W4 v)^T      dR/dw6_c = D5 W5 D4 W4 v

summed over samples (W maps inputs to outputs: W4 is (hidden, features)). So a step costs one
pass J^T and one pass J per class, both of them ordinary convolutions with fixed masks, and no
second differentiation; the biases get nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
import math
from typing import Protocol

import torch
from torch import Tensor
import torch.nn.functional as F

from tracker_core.dat.config import DatConfig
from tracker_core.step import Updates

BACKGROUND, TARGET = 0, 1
TINY = 1e-18  # its square is a float32 too


@dataclass
class Classifier:
    """Two hidden layers and two logits (background, target); its tensors change in training.

    Attributes:
        w4: (hidden, features).
        b4: (hidden,).
        w5: (hidden, hidden).
        b5: (hidden,).
        w6: (2, hidden).
        b6: (2,).
    """

    w4: Tensor
    b4: Tensor
    w5: Tensor
    b5: Tensor
    w6: Tensor
    b6: Tensor

    @classmethod
    def fresh(cls, features: int, hidden: int, random: torch.Generator) -> Classifier:
        """Weights and biases uniform in +- 1 / sqrt(inputs)."""
        tensors = []
        for outputs, inputs in ((hidden, features), (hidden, hidden), (2, hidden)):
            for shape in ((outputs, inputs), (outputs,)):
                noise = torch.rand(shape, generator=random, device=random.device)
                tensors.append((2 * noise - 1) / math.sqrt(inputs))
        return cls(*tensors)

    def tensors(self) -> list[Tensor]:
        return [self.w4, self.b4, self.w5, self.b5, self.w6, self.b6]

    def take(self, tensors: Sequence[Tensor]) -> None:
        """Have these, in the same order, from now on."""
        self.w4, self.b4, self.w5, self.b5, self.w6, self.b6 = tensors

    def copy(self) -> Classifier:
        """Another one with tensors of its own."""
        return Classifier(*(tensor.clone() for tensor in self.tensors()))

    def logits(self, features: Tensor) -> Tensor:
        """Logits (N, 2) of features (N, F), nothing dropped."""
        hidden = F.relu(F.linear(features, self.w4, self.b4))
        hidden = F.relu(F.linear(hidden, self.w5, self.b5))
        return F.linear(hidden, self.w6, self.b6)


def target_logits(features: Tensor, classifier: Sequence[Tensor]) -> Tensor:
    """`Classifier.logits` of the class target, each set of features with its own classifier.

    Args:
        features: (N, B, F).
        classifier: Tensors of N classifiers in the order of `Classifier.tensors`, (N, ...) each.

    Returns:
        (N, B).
    """
    w4, b4, w5, b5, w6, b6 = classifier
    hidden = F.relu(torch.baddbmm(b4[:, None], features, w4.mT))
    hidden = F.relu(torch.baddbmm(b5[:, None], hidden, w5.mT))
    return torch.baddbmm(b6[:, None], hidden, w6.mT)[..., TARGET]


class Chain(Protocol):
    """The fixed part of the network around some samples, linearised."""

    @property
    def features(self) -> Tensor:
        """(N, F)."""

    def pull(self, gradient: Tensor) -> Tensor:
        """J^T: (N, F) to (N, C, h, w)."""

    def push(self, tangent: Tensor) -> Tensor:
        """J: (N, C, h, w) to (N, F)."""


@dataclass(frozen=True)
class PooledChain:
    """The chain of a classifier that looks straight at pooled cells: J only sorts them."""

    features: Tensor  # (N, cells * cells * C)
    cells: int

    def pull(self, gradient: Tensor) -> Tensor:
        cells = gradient.reshape(len(gradient), self.cells, self.cells, -1)
        return cells.permute(0, 3, 1, 2)

    def push(self, tangent: Tensor) -> Tensor:
        return tangent.permute(0, 2, 3, 1).flatten(1)


Gradients = list[Tensor]  # in the order of Classifier.tensors()


def classification(
    classifier: Classifier, features: Tensor, labels: Tensor, kept: Sequence[Tensor]
) -> tuple[Tensor, Gradients]:
    """Cross-entropy, summed over samples, and its gradient.

    Args:
        classifier: The classifier.
        features: (N, F).
        labels: (N,) 0 for background, 1 for target.
        kept: Dropout factors of the inputs of the three layers: (N, F), (N, hidden) twice.

    Returns:
        The loss and its gradients.
    """
    c = classifier
    x4 = features * kept[0]
    h4 = F.relu(F.linear(x4, c.w4, c.b4))
    x5 = h4 * kept[1]
    h5 = F.relu(F.linear(x5, c.w5, c.b5))
    x6 = h5 * kept[2]
    logits = F.linear(x6, c.w6, c.b6)
    loss = F.cross_entropy(logits, labels, reduction='sum')

    d6 = logits.softmax(dim=1) - F.one_hot(labels, 2)
    d5 = (d6 @ c.w6) * kept[2] * (h5 > 0)
    d4 = (d5 @ c.w5) * kept[1] * (h4 > 0)
    return loss, [d4.T @ x4, d4.sum(0), d5.T @ x5, d5.sum(0), d6.T @ x6, d6.sum(0)]


@dataclass(frozen=True)
class Penalty:
    """The attention penalty of a batch.

    Attributes:
        ratios: (2, 2) by class (background, target) and label: the terms of R.
        mean: (2, N) mean of each energy map, by class.
        deviation: (2, N) standard deviation of each.
        gradients: Of the sum of the ratios, in the order of `Classifier.tensors`.
        maps: (2, N, h, w) energy maps.
        upstream: (2, N, F) the gradients u at the features.
        tangents: (2, N, C, h, w) dR/dG.
    """

    ratios: Tensor
    mean: Tensor
    deviation: Tensor
    gradients: Gradients
    maps: Tensor
    upstream: Tensor
    tangents: list[list[Tensor]] = field(repr=False)


def attention_penalty(
    classifier: Classifier,
    chains: Sequence[Chain],
    labels: Tensor,
    signed: bool = False,
    of_batch: bool = False,
) -> Penalty:
    """R: the map of a sample's own class is made even (sd / mu), the other's uneven (mu / sd).

    Args:
        classifier: The classifier.
        chains: The samples in parts, which are worked on one after the other.
        labels: (N,) 0 for background, 1 for target; as many of one as of the other, sorted in
            two blocks.
        signed: The energy counts both signs of the gradient instead of its positive part.
        of_batch: Ratios of sums over the samples of a label (as in the released code) instead of
            means of the samples' ratios (as in the paper).

    Returns:
        The penalty's terms and gradient.
    """
    c = classifier
    features = torch.cat([chain.features for chain in chains])
    h4 = F.linear(features, c.w4, c.b4)
    on4 = h4 > 0
    on5 = F.linear(F.relu(h4), c.w5, c.b5) > 0
    e5 = c.w6[:, None] * on5  # (2, N, hidden)
    e4 = (e5 @ c.w5) * on4
    u = e4 @ c.w4  # (2, N, F)

    sizes = [len(chain.features) for chain in chains]
    gradients: list[list[Tensor]] = []  # by part and class, then turned into dR/dG in place
    maps = []
    for chain, part in zip(chains, u.split(sizes, dim=1), strict=True):
        pulled = [chain.pull(part[k]) for k in (BACKGROUND, TARGET)]
        if not signed:
            pulled = [g.clamp(min=0) for g in pulled]
        maps.append(torch.stack([g.square().sum(dim=1) for g in pulled]))
        gradients.append(pulled)
    q = torch.cat(maps, dim=1)  # (2, N, h, w)

    mean = q.mean(dim=(2, 3))
    off = q - mean[:, :, None, None]
    deviation = off.square().mean(dim=(2, 3)).sqrt()
    own = labels == torch.arange(2, device=labels.device)[:, None]  # (2, N), by class
    above, below = torch.where(own, deviation, mean), torch.where(own, mean, deviation)
    blocks = (2, 2, len(labels) // 2)  # class, label block, sample
    if of_batch:
        divisor = below.view(blocks).sum(dim=2, keepdim=True).expand(blocks).reshape(2, -1)
        ratios = above.view(blocks).sum(dim=2) / divisor.view(blocks)[:, :, 0].clamp(min=TINY)
        ratio = ratios[:, :, None].expand(blocks).reshape(2, -1)
        share = 1.0
    else:
        divisor = below
        ratio = above / divisor.clamp(min=TINY)
        ratios = ratio.view(blocks).mean(dim=2)
        share = 1.0 / blocks[2]
    d_above = share / divisor.clamp(min=TINY)
    d_below = -ratio * d_above
    d_deviation, d_mean = torch.where(own, d_above, d_below), torch.where(own, d_below, d_above)
    dq = (
        d_mean[:, :, None, None]
        + off * (d_deviation / deviation.clamp(min=TINY))[:, :, None, None]
    )
    dq = dq * (2 / q[0, 0].numel())

    vs = []
    for chain, pulled, part in zip(chains, gradients, dq.split(sizes, dim=1), strict=True):
        for k in (BACKGROUND, TARGET):
            pulled[k] = pulled[k] * part[k][:, None]
        vs.append(torch.stack([chain.push(g) for g in pulled]))
    v = torch.cat(vs, dim=1)  # (2, N, F)

    d4 = (v @ c.w4.T) * on4  # (2, N, hidden)
    d5 = (d4 @ c.w5.T) * on5
    gradient = [
        e4.flatten(0, 1).T @ v.flatten(0, 1),
        torch.zeros_like(c.b4),
        e5.flatten(0, 1).T @ d4.flatten(0, 1),
        torch.zeros_like(c.b5),
        d5.sum(dim=1),
        torch.zeros_like(c.b6),
    ]
    return Penalty(ratios, mean, deviation, gradient, q, u, gradients)


@dataclass
class Descent:
    """Momentum of one optimiser; it lives as long as the target."""

    momentum: list[Tensor] = field(default_factory=list)

    def begin(self, classifier: Classifier) -> None:
        """Start at rest, where nothing moves yet."""
        if not self.momentum:
            self.momentum = [torch.zeros_like(tensor) for tensor in classifier.tensors()]

    def step(
        self, classifier: Classifier, gradients: Gradients, rate: float, config: DatConfig
    ) -> None:
        """One step of SGD with momentum and weight decay; the last layer has its own rate."""
        tensors = classifier.tensors()
        rates = [rate] * 4 + [rate * config.last_layer_rate] * 2
        for tensor, speed, gradient, lr in zip(
            tensors, self.momentum, gradients, rates, strict=True
        ):
            speed.mul_(config.momentum).add_(gradient).add_(tensor, alpha=config.weight_decay)
            tensor.sub_(speed, alpha=lr)


def shorten(gradients: Gradients, limit: float, more: Tensor) -> Tensor:
    """Scale gradients in place so that their common norm stays within a limit.

    Args:
        gradients: Tensors.
        limit: Largest norm.
        more: Squared norm of further gradients that count.

    Returns:
        The norm before.
    """
    norm = (torch.stack([g.square().sum() for g in gradients]).sum() + more).sqrt()
    factor = (limit / (norm + 1e-6)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(factor)
    return norm


def index_stream(size: int, wanted: int, random: torch.Generator) -> Tensor:
    """Random permutations of range(size), one after the other: (wanted,)."""
    rounds = [
        torch.randperm(size, generator=random, device=random.device)
        for _ in range(-(-wanted // size))
    ]
    return torch.cat(rounds)[:wanted]


def hardest(classifier: Classifier, features: Tensor, count: int) -> Tensor:
    """Indices of the background samples that look most like the target."""
    return classifier.logits(features)[:, TARGET].topk(count).indices


def dropout_factors(
    rows: int, widths: Sequence[int], share: float, random: torch.Generator
) -> list[Tensor]:
    """0 for a dropped input, else 1 / (1 - share)."""
    return [
        (torch.rand(rows, width, generator=random, device=random.device) >= share) / (1 - share)
        for width in widths
    ]


@dataclass(frozen=True)
class Samples:
    """Samples of a target or of its background.

    Attributes:
        features: (N, F).
        source: (N, ...) what a chain is made of: crops, or the features themselves.
    """

    features: Tensor
    source: Tensor


@dataclass(frozen=True)
class Trainer:
    """How classifiers are trained.

    Attributes:
        config: Parameters.
        make_chains: Makes chains of the sources of samples.
        count_more: Squared norm of the penalty's gradient with respect to fixed layers, where it
            counts when gradients are shortened.
    """

    config: DatConfig
    make_chains: Callable[[Tensor], Sequence[Chain]]
    count_more: Callable[[Sequence[Chain], Penalty], Tensor] | None = None

    def train(
        self,
        classifier: Classifier,
        descent: Descent,
        positives: Samples,
        negatives: Samples,
        iterations: int,
        rate: float,
        random: torch.Generator,
        updates: Updates,
    ) -> None:
        """Train with hard background samples and the attention penalty (section 3.3).

        Args:
            classifier: Changed.
            descent: Its momentum, changed.
            positives: Target samples.
            negatives: Background samples.
            iterations: Steps.
            rate: Learning rate.
            random: Generator on the samples' device.
            updates: Runs the iterations.
        """
        if iterations == 0:
            return
        descent.begin(classifier)
        size, mined = self.config.batch, self.config.mined_from
        targets = index_stream(len(positives.features), iterations * size, random)
        pools = index_stream(len(negatives.features), iterations * mined, random)
        for target, pool in zip(targets.split(size), pools.split(mined), strict=True):
            batch = self.choose(classifier, positives, negatives, target, pool, random)
            tensors = (*classifier.tensors(), *descent.momentum, *batch)
            tensors = updates(self.iterate, tensors, rate=rate)
            classifier.take(tensors[:6])
            descent.momentum = list(tensors[6:])

    def choose(
        self,
        classifier: Classifier,
        positives: Samples,
        negatives: Samples,
        target: Tensor,
        pool: Tensor,
        random: torch.Generator,
    ) -> tuple[Tensor, ...]:
        """What an iteration learns from: the target samples with the indices `target`, then as
        many, the hardest, of the background samples with the indices `pool`.

        Returns:
            Their features (N, F) and sources (N, ...), and the dropout factors of
            `classification`.
        """
        config = self.config
        background = pool[hardest(classifier, negatives.features[pool], config.batch)]
        features = torch.cat((positives.features[target], negatives.features[background]))
        sources = torch.cat((positives.source[target], negatives.source[background]))
        widths = (features.shape[1], len(classifier.b4), len(classifier.b5))
        return features, sources, *dropout_factors(len(features), widths, config.dropout, random)

    def iterate(self, *tensors: Tensor, rate: float) -> tuple[Tensor, ...]:
        """`step` as an online update: of the tensors of classifier, momentum and batch; the first
        twelve are changed in place and returned."""
        descent = Descent(list(tensors[6:12]))
        self.step(Classifier(*tensors[:6]), descent, tensors[12:], rate)
        return tensors[:12]

    def step(
        self, classifier: Classifier, descent: Descent, batch: Sequence[Tensor], rate: float
    ) -> tuple[Tensor, Penalty | None, Tensor]:
        """One iteration.

        Args:
            classifier: Its tensors are changed in place.
            descent: Likewise.
            batch: From `choose`.
            rate: Learning rate.

        Returns:
            Classification loss, penalty (None where it has no weight) and norm of the gradient.
        """
        config = self.config
        features, sources, *kept = batch
        labels = torch.arange(2, device=features.device).flip(0).repeat_interleave(config.batch)
        loss, gradients = classification(classifier, features, labels, kept)
        penalty, more = None, torch.zeros((), device=features.device)
        if config.attention_weight > 0:
            chains = self.make_chains(sources)
            signed = config.attention == 'signed'
            penalty = attention_penalty(classifier, chains, labels, signed, config.released)
            for gradient, of_penalty in zip(gradients, penalty.gradients, strict=True):
                gradient.add_(of_penalty, alpha=config.attention_weight)
            if self.count_more is not None:
                more = config.attention_weight**2 * self.count_more(chains, penalty)
        norm = shorten(gradients, config.gradient_limit, more)
        descent.step(classifier, gradients, rate, config)
        return loss, penalty, norm

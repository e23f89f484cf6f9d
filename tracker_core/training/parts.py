# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""What can be trained, and what has to be said of it.

A `Part` is a network with its losses, ready for a `TrainingRun`. A `Stage` is what `tracker train
NAME` makes a part from; those of the compact preset have their share in `tracker train all`. A
`Head` is what a tracker declares of its heads on the compact backbone; a stage of its own and its
place in the training together follow from it. Published architectures are stages as they are
(`published`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import reduce
from pathlib import Path
from typing import Any, cast, Generic, Protocol, TypeVar

import torch
from torch import nn, Tensor

from tracker_core.backbones.compact import Maps
from tracker_core.data import Footage, PairConfig
from tracker_core.training.config import TrainConfig
from tracker_core.training.processes import mean_over_processes
from tracker_core.training.record import weights_of
from tracker_core.weights import load_into, read_weight_file

Config = TypeVar('Config', bound=TrainConfig)
Network = TypeVar('Network', bound=nn.Module)
BACKBONE = 'backbone'  # the name of its stage and of its weights
SMALLEST_COUNT = 1e-3  # that a sum of losses is divided by; less is none in any process


def weight_file(name: str) -> str:
    """The file that holds the weights of the backbone or of a head."""
    return f'compact_{name}.safetensors'


@dataclass(frozen=True)
class Given:
    """Weights that a training begins with.

    Attributes:
        state: By name.
        source: Where they are from, for messages.
    """

    state: Mapping[str, Tensor]
    source: str

    @classmethod
    def read(cls, path: Path) -> Given:
        """Those of a file."""
        return cls(read_weight_file(path), str(path))


@dataclass(frozen=True)
class Part(Generic[Network]):
    """What the loop has to know of the network that it trains.

    Attributes:
        name: What the card calls it.
        files: By name of a weight file, what of the averaged network is written to it.
        learner: Its `forward` gives the losses of a batch by name; their sum is minimised.
        network: The learner's network; its weights are averaged and written.
        check: Figures by name from the averaged network and held-out footage.
        shown: Names of the figures that the picture shows; they lie between 0 and 1.
        pretrained: Layers of the network that came trained, and learn more slowly.
    """

    name: str
    files: Mapping[str, Callable[[Network], dict[str, Tensor]]]
    learner: nn.Module
    network: Network
    check: Callable[[Network, Footage, torch.device], dict[str, float]]
    shown: tuple[str, ...]
    pretrained: tuple[nn.Module, ...] = ()


@dataclass(frozen=True)
class Stage(Generic[Config]):
    """One training by itself, with a command and a share of the training of all.

    Attributes:
        name: Of the command; `train_NAME.yaml` is its config.
        about: What it trains, for the command's help.
        config: The class of its config.
        begins_with: Names of the weights that it begins with.
        make: Makes the part from the config, these weights (and others that it can go on from) and
            the footage.
        share: Of the time of the training of all; what the stages leave over goes for reading
            photos and for checks.
        on_gpu: Changes of the config on a GPU in the training of all.
        pairs_on_gpu: And of its pairs.
    """

    name: str
    about: str
    config: type[Config]
    begins_with: tuple[str, ...]
    make: Callable[[Config, Mapping[str, Given], Footage], Part[Any]]
    share: float = 0.0
    on_gpu: Mapping[str, Any] = field(default_factory=dict)
    pairs_on_gpu: Mapping[str, Any] = field(default_factory=dict)


class MapLearner(Protocol):
    """A module whose losses come from the backbone's maps, so that several can share these."""

    def losses(
        self, template: Maps, search: Maps, batch: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """The losses of a batch of pairs, by name.

        Args:
            template, search: The backbone's maps of the crops.
            batch: See `to_device`. Boxes of pairs without edges teach nothing of boxes.
        """
        ...


class OnBackbone(nn.Module):
    """A `MapLearner` on a backbone, which may be frozen."""

    def __init__(self, learner: nn.Module, backbone: nn.Module) -> None:
        super().__init__()
        self.learner = learner
        self.backbone = backbone

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The losses of a batch of pairs, by name."""
        learns = any(parameter.requires_grad for parameter in self.backbone.parameters())
        with torch.set_grad_enabled(learns and torch.is_grad_enabled()):
            template, search = self.backbone(batch['template']), self.backbone(batch['search'])
        return cast(MapLearner, self.learner).losses(template, search, batch)


@dataclass(frozen=True)
class Head(Generic[Network, Config]):
    """What a tracker declares of its heads on the compact backbone.

    Attributes:
        name: Of the tracker; its stage, config and weight file are called after it.
        title: What the card calls it.
        about: What its stage trains, for the command's help.
        config: The class of its config; the defaults are also what `together` checks with.
        network: Makes the tracker's network.
        backbone: The network's compact backbone.
        heads: What of the network is trained, and written to the weight file.
        learner: A `MapLearner`, which is a module.
        check: Figures by name of a network, held-out footage, a device and how pairs are cut.
        shown: Names of the figures that the picture shows; they lie between 0 and 1.
        shown_together: The one that is also shown of the training together.
        weight: Of its losses in the training together.
        begin: Makes heads ready to learn from nothing.
        checked: What is other in the pairs that are checked with: the tracker's search crop.
        share, on_gpu, pairs_on_gpu: See `Stage`.
    """

    name: str
    title: str
    about: str
    config: type[Config]
    network: Callable[[], Network]
    backbone: Callable[[Network], nn.Module]
    heads: Callable[[Network], nn.Module]
    learner: Callable[[Network, Config], nn.Module]
    check: Callable[[Network, Footage, torch.device, PairConfig], dict[str, float]]
    shown: tuple[str, ...]
    shown_together: str
    weight: float
    begin: Callable[[Network, Config, Footage], None] = lambda network, config, footage: None
    checked: Mapping[str, Any] = field(default_factory=dict)
    share: float = 0.0
    on_gpu: Mapping[str, Any] = field(default_factory=dict)
    pairs_on_gpu: Mapping[str, Any] = field(default_factory=dict)

    def on_backbone(self, given: Given) -> Network:
        """A network whose backbone is there and frozen."""
        network = self.network()
        backbone = self.backbone(network)
        load_into(backbone, given.state, given.source)
        backbone.eval().requires_grad_(False)
        return network

    def load(self, network: Network, given: Given) -> None:
        """Put trained heads into a network."""
        load_into(self.heads(network), given.state, given.source)

    def export(self, network: Network) -> dict[str, Tensor]:
        """What is written to the weight file."""
        return weights_of(self.heads(network))

    def figures(
        self, network: Network, footage: Footage, device: torch.device, pairs: PairConfig
    ) -> dict[str, float]:
        """See `check`, with search crops as the tracker's."""
        return self.check(network, footage, device, replace(pairs, **self.checked))

    def part(self, config: Config, given: Mapping[str, Given], footage: Footage) -> Part[Network]:
        """The heads on a frozen backbone, to be trained from nothing, or on from what is given."""
        network = self.on_backbone(given[BACKBONE])
        if self.name in given:
            self.load(network, given[self.name])
        else:
            self.begin(network, config, footage)
        pairs = config.pairs
        assert isinstance(pairs, PairConfig)
        return Part(
            self.title,
            {weight_file(self.name): self.export},
            OnBackbone(self.learner(network, config), self.backbone(network)),
            network,
            lambda averaged, held_out, device: self.figures(averaged, held_out, device, pairs),
            self.shown,
        )

    @property
    def stage(self) -> Stage[Config]:
        """The training of these heads alone."""
        return Stage(
            self.name,
            self.about,
            self.config,
            (BACKBONE,),
            self.part,
            self.share,
            self.on_gpu,
            self.pairs_on_gpu,
        )


@torch.no_grad()
def look(backbone: nn.Module, batch: Mapping[str, Tensor]) -> tuple[Maps, Maps]:
    """A frozen backbone's maps of the template and of the search crops."""
    return backbone(batch['template']), backbone(batch['search'])


def mean_of(losses: Tensor, counts: Tensor) -> Tensor:
    """The mean of the losses (N, ...) that count, in all processes: `counts` is (N,) or (N, ...),
    0 or 1."""
    counts = counts.reshape(*counts.shape, *[1] * (losses.dim() - counts.dim())).expand_as(losses)
    total = mean_over_processes(counts.sum())
    return torch.where(counts > 0, losses, 0.0).sum() / total.clamp(min=SMALLEST_COUNT)


def search_figures(iou: Tensor, score: Tensor, impostors: Tensor) -> dict[str, float]:
    """How searches fare.

    Args:
        iou: (N,) of the boxes found with the truth.
        score: (N,) theirs.
        impostors: (N,) scores for templates of other objects.
    """
    hit = iou >= 0.5
    return {
        'mean_iou': float(iou.mean()),
        'success_at_half': float(hit.float().mean()),
        'score_when_right': float(score[hit].mean()),
        'score_when_wrong': float(score[~hit].mean()),
        'score_of_impostors': float(impostors.mean()),
    }


def sum_of(losses: Mapping[str, Tensor]) -> Tensor:
    """The sum of losses."""
    return reduce(torch.add, losses.values())

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""What can be trained, and what has to be said of it.

A `Part` is a network with its losses, ready for a `TrainingRun`. A `Stage` is what `tracker train
NAME` makes a part from, and has its share in `tracker train all`. A `Head` is what a tracker
declares of its heads on the backbone; a stage of its own and its place in the training together
follow from it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import nn, Tensor

from tracker_core.backbones.compact import Maps
from tracker_core.data import PairConfig, Pool
from tracker_core.training.config import TrainConfig
from tracker_core.weights import load_into, read_weight_file

Config = TypeVar('Config', bound=TrainConfig)
Network = TypeVar('Network', bound=nn.Module)
BACKBONE = 'backbone'  # the name of its stage and of its weights


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
        check: Figures by name from the averaged network and held-out photographs.
        shown: Names of the figures that the picture shows; they lie between 0 and 1.
        pretrained: Layers of the network that came trained, and learn more slowly.
    """

    name: str
    files: Mapping[str, Callable[[Network], dict[str, Tensor]]]
    learner: nn.Module
    network: Network
    check: Callable[[Network, Pool, torch.device], dict[str, float]]
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
        make: Makes the part from the config, these weights and the photos.
        share: Of the time of the training of all; what the stages leave over goes for reading
            photos and for checks.
        on_gpu: Changes of the config on a GPU in the training of all.
        pairs_on_gpu: And of its pairs.
    """

    name: str
    about: str
    config: type[Config]
    begins_with: tuple[str, ...]
    make: Callable[[Config, Mapping[str, Given], Pool], Part[Any]]
    share: float
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
        begin: Makes heads ready to learn from nothing.
        learner: A `MapLearner` with a `forward` of its own on the frozen backbone.
        export: What of the network is written to the weight file.
        load: Puts such weights into a network that has its backbone.
        check: Figures by name of a network, held-out photos, a device and how pairs are cut.
        shown: Names of the figures that the picture shows; they lie between 0 and 1.
        shown_together: The one that is also shown of the training together.
        weight: Of its losses in the training together.
        share, on_gpu, pairs_on_gpu: See `Stage`.
    """

    name: str
    title: str
    about: str
    config: type[Config]
    network: Callable[[], Network]
    backbone: Callable[[Network], nn.Module]
    begin: Callable[[Network, Config, Pool], None]
    learner: Callable[[Network, Config], nn.Module]
    export: Callable[[Network], dict[str, Tensor]]
    load: Callable[[Network, Given], None]
    check: Callable[[Network, Pool, torch.device, PairConfig], dict[str, float]]
    shown: tuple[str, ...]
    shown_together: str
    weight: float
    share: float
    on_gpu: Mapping[str, Any] = field(default_factory=dict)
    pairs_on_gpu: Mapping[str, Any] = field(default_factory=dict)

    def on_backbone(self, given: Given) -> Network:
        """A network whose backbone is there and frozen."""
        network = self.network()
        backbone = self.backbone(network)
        load_into(backbone, given.state, given.source)
        backbone.eval().requires_grad_(False)
        return network

    def part(self, config: Config, backbone: Given, pool: Pool) -> Part[Network]:
        """The heads on a frozen backbone, to be trained from nothing."""
        network = self.on_backbone(backbone)
        self.begin(network, config, pool)
        return Part(
            self.title,
            {weight_file(self.name): self.export},
            self.learner(network, config),
            network,
            lambda averaged, photos, device: self.check(averaged, photos, device, config.pairs),
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
            lambda config, given, pool: self.part(config, given[BACKBONE], pool),
            self.share,
            self.on_gpu,
            self.pairs_on_gpu,
        )


@torch.no_grad()
def look(backbone: nn.Module, batch: Mapping[str, Tensor]) -> tuple[Maps, Maps]:
    """A frozen backbone's maps of the template and of the search crops."""
    return backbone(batch['template']), backbone(batch['search'])


def mean_of(losses: Tensor, counts: Tensor) -> Tensor:
    """The mean of the losses (N, ...) that count: `counts` is (N,) or (N, ...), 0 or 1."""
    counts = counts.reshape(*counts.shape, *[1] * (losses.dim() - counts.dim())).expand_as(losses)
    return torch.where(counts > 0, losses, 0.0).sum() / counts.sum().clamp(min=1)


def sum_of(losses: Mapping[str, Tensor]) -> Tensor:
    """The sum of losses."""
    return reduce(torch.add, losses.values())

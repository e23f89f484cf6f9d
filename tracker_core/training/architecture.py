# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""What a tracker declares of its published architecture, so that it can be trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from torch import nn, Tensor

from tracker_core.data import Footage, PublishedPairConfig
from tracker_core.training.config import TrainConfig
from tracker_core.training.parts import Given, Part, Stage

Config = TypeVar('Config', bound=TrainConfig)
Network = TypeVar('Network', bound=nn.Module)
IMAGENET = 'imagenet'  # the name of a backbone's weights, among those that a training begins with


@dataclass(frozen=True)
class Architecture(Generic[Network, Config]):
    """What a tracker declares of its published architecture.

    Attributes:
        name: Of the tracker.
        title: What the card calls it.
        config: The class of its config, whose defaults are those of the paper.
        network: Makes the network.
        load: Puts the weights of preset paper into it, by the parts of their files (see
            `WeightFile.part`).
        imagenet: Puts the weights of an ImageNet classifier into its backbone.
        begin: Makes what is new ready to learn from nothing.
        learner: A module whose `forward` gives the losses of a batch by name.
        fixed: What never learns.
        pretrained: What learns more slowly, and later.
        files: By name of a weight file, what of the network is written to it, for preset paper.
        check: Figures by name of a network, held-out footage, a device and how pairs are cut.
        shown: See `Part`.
    """

    name: str
    title: str
    config: type[Config]
    network: Callable[[], Network]
    load: Callable[[Network, Mapping[str, Given]], None]
    imagenet: Callable[[Network, Given], None]
    begin: Callable[[Network, Config, Footage], None]
    learner: Callable[[Network, Config], nn.Module]
    fixed: Callable[[Network], tuple[nn.Module, ...]]
    pretrained: Callable[[Network], tuple[nn.Module, ...]]
    files: Mapping[str, Callable[[Network], dict[str, Tensor]]]
    check: Callable[[Network, Footage, torch.device, PublishedPairConfig], dict[str, float]]
    shown: tuple[str, ...]

    def part(self, config: Config, given: Mapping[str, Given], footage: Footage) -> Part[Network]:
        """The network, to be trained on from what is given: weights of preset paper, those of an
        ImageNet classifier, or nothing; then all of it learns, and from the beginning."""
        network = self.network()
        if given and IMAGENET not in given:
            self.load(network, given)
        else:
            if given:
                self.imagenet(network, given[IMAGENET])
            self.begin(network, config, footage)
        for module in self.fixed(network) if given else ():
            module.requires_grad_(False)
        pairs = config.pairs
        assert isinstance(pairs, PublishedPairConfig)
        return Part(
            self.title,
            self.files,
            self.learner(network, config),
            network,
            lambda averaged, held_out, device: self.check(averaged, held_out, device, pairs),
            self.shown,
            self.pretrained(network) if given else (),
        )

    @property
    def stage(self) -> Stage[Any]:
        """Its training."""
        return Stage(self.name, self.title, self.config, (), self.part)

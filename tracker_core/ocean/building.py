# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The networks with their weights, made ready for tracking."""

from __future__ import annotations

from typing import TypeVar

from torch import nn

from tracker_core.errors import WeightsError
from tracker_core.layers.folding import fold_batch_norms
from tracker_core.ocean.config import OceanConfig
from tracker_core.ocean.network import CompactOcean, OceanNetwork, rename_keys
from tracker_core.ocean.online_network import OnlineNetwork
from tracker_core.weights import load_into, randomize, Weights

Network = TypeVar('Network', bound=nn.Module)


def ready(network: Network) -> Network:
    """A network with its weights loaded, made ready for tracking."""
    network.eval().requires_grad_(False)
    fold_batch_norms(network)
    return network


def build_network(config: OceanConfig, weights: Weights) -> OceanNetwork:
    """The published network with its weights, in inference mode.

    Raises:
        WeightsError: The file does not fit, or lacks the aligned branch that is wanted.
    """
    network = OceanNetwork(config.align)
    if weights.state is None:
        randomize(network)
    else:
        state = rename_keys(weights.state[''])
        unused = ('online.',) if config.align else ('online.', 'heads.align.')
        state = {key: value for key, value in state.items() if not key.startswith(unused)}
        if config.align and not any(key.startswith('heads.align.') for key in state):
            raise WeightsError(
                f'{weights.source} has no branch for aligned features: set align to false'
            )
        load_into(network, state, weights.source)
    return ready(network)


def build_compact(config: OceanConfig, weights: Weights) -> CompactOcean:
    """The compact network with its weights, in inference mode.

    Raises:
        WeightsError: A file does not fit.
    """
    network = CompactOcean(config.align)
    if weights.state is None:
        randomize(network)
    else:
        heads = weights.state['heads']
        if not config.align:
            heads = {key: value for key, value in heads.items() if not key.startswith('align.')}
        load_into(network.backbone, weights.state['backbone'], weights.source)
        load_into(network.heads, heads, weights.source)
    return ready(network)


def build_online(weights: Weights) -> OnlineNetwork:
    """The networks of the online branch with their weights, in inference mode.

    Raises:
        WeightsError: The file does not fit, or has no online branch.
    """
    network = OnlineNetwork()
    if weights.state is None:
        randomize(network)
        network.reset_loss()
    else:
        state = rename_keys(weights.state[''])
        prefix = 'online.'
        state = {key[len(prefix) :]: v for key, v in state.items() if key.startswith(prefix)}
        if not state:
            raise WeightsError(f'{weights.source} has no online branch: set online to false')
        load_into(network, state, weights.source)
    return ready(network)

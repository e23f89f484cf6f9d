# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Classifiers of ImageNet as the beginning of a backbone.

The files are torchvision's `resnet18` and `resnet50`, and MatConvNet's `imagenet-caffe-alex.mat`:
torchvision's AlexNet has other widths and no groups.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn, Tensor

from tracker_core.backbones.resnet18 import DEVIATION, MEAN, ResNet18
from tracker_core.errors import WeightsError
from tracker_core.ocean.network import ResNet50
from tracker_core.spm.network import AlexNet
from tracker_core.training.parts import Given
from tracker_core.weights import load_into

UNUSED = ('layer4.', 'fc.')  # of a ResNet: the last stage and the classifier


def without_classifier(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The stages of a ResNet that trackers use."""
    return {name: value for name, value in state.items() if not name.startswith(UNUSED)}


def load_resnet18(backbone: ResNet18, given: Given) -> None:
    """torchvision's ResNet-18.

    Raises:
        WeightsError: These are other weights.
    """
    load_into(backbone, without_classifier(given.state), f'{given.source} (ResNet-18 wanted)')


def load_resnet50(backbone: ResNet50, given: Given) -> None:
    """torchvision's ResNet-50, for Ocean.

    Ocean's shortcuts are 3x3 where torchvision's are 1x1, whose kernels become the middle of them.
    Its pixels are BGR from 0 to 255, which goes into the first kernel and the batch norm behind
    it; that kernel has no padding, so the map is what torchvision's network computes there.

    Raises:
        WeightsError: These are other weights.
    """
    state = without_classifier(given.state)
    first = state.get('conv1.weight')
    if first is None or first.shape != backbone.conv1.weight.shape:
        raise WeightsError(f'{given.source} does not hold a ResNet-50 (no fitting conv1.weight)')
    scale = 255 * torch.tensor(DEVIATION)[:, None, None] / 1000
    mean = 255 * torch.tensor(MEAN)[:, None, None] / 1000
    kernel = first.float() / scale  # (64, 3, 7, 7)
    state['conv1.weight'] = kernel.flip(1)
    if 'bn1.running_mean' in state:
        state['bn1.running_mean'] = state['bn1.running_mean'] + (kernel * mean).sum((1, 2, 3))
    for name, wanted in backbone.state_dict().items():
        value = state.get(name)
        if value is not None and value.shape[2:] == (1, 1) and wanted.shape[2:] == (3, 3):
            state[name] = nn.functional.pad(value, (1, 1, 1, 1))
    load_into(backbone, state, f'{given.source} (ResNet-50 wanted)')


def load_alexnet(backbone: AlexNet, given: Given) -> None:
    """MatConvNet's AlexNet of Caffe, with groups.

    Raises:
        WeightsError: These are other weights.
    """
    if 'features.0.weight' in given.state:
        raise WeightsError(
            f"{given.source} is torchvision's, which has other widths and no groups: give "
            "MatConvNet's imagenet-caffe-alex.mat"
        )
    state = {}
    for name, value in given.state.items():
        layer, _, kind = name.partition('.')
        if layer.startswith('conv'):
            state[f'{layer}.conv.{kind}'] = value
    load_into(backbone, state, f'{given.source} (AlexNet of Caffe wanted)')

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Training of the compact backbone by matching: find the template in the search crop, and nowhere
else.

A template's features, cut to its object, are correlated with the features of its own search crop
and with those of other pairs of the batch. A softmax over all places of all these crops has to
point at the target (after the fully-convolutional Siamese training of Bertinetto et al., 2016,
section 2, with a cross-entropy over places in the stead of the logistic loss at each). Both maps
of the backbone learn it. The target lies anywhere in the search crop, so zero padding leaves no
bias towards the centre.

    tracker train backbone --data PHOTOS --out DIR --minutes 70
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
import math

import torch
from torch import nn, Tensor
import torch.nn.functional as F

from tracker_core.backbones.compact import CompactBackbone, load_lite0, Maps
from tracker_core.data import Footage, PairConfig
from tracker_core.errors import ParameterError
from tracker_core.training.batches import held_out_batches
from tracker_core.training.config import TrainConfig
from tracker_core.training.lite0 import LITE0
from tracker_core.training.parts import BACKBONE, Given, Part, Stage, weight_file

MAPS = ('middle', 'deep')
STRIDE = CompactBackbone.stride
KERNEL = 9  # cells of the template that are matched, a window of 72 pixels around its centre


@dataclass(frozen=True)
class BackboneTraining(TrainConfig):
    """One training run; see `TrainConfig`.

    Attributes:
        group: So many pairs of a batch are each other's negatives.
        middle_weight: Weight of the middle map's loss next to the deep map's.
        label_width: Standard deviation of the label in cells.
    """

    group: int = 16
    middle_weight: float = 0.5
    label_width: float = 0.6

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.group < 1 or self.batch % self.group:
            raise ParameterError(
                f'batch ({self.batch}) must be a multiple of group ({self.group})'
            )
        for name in ('template_size', 'search_size'):
            size = getattr(self.pairs, name)
            if size % (2 * STRIDE) != 1 or size < (KERNEL - 1) * STRIDE + 1:
                raise ParameterError(
                    f'pairs.{name} must be 16 k + 1 and at least {(KERNEL - 1) * STRIDE + 1}, so '
                    f'that a cell lies in the middle; it is {size}'
                )


def object_mask(boxes: Tensor, size: int) -> Tensor:
    """Which cells of the template window lie on the object, softly.

    Args:
        boxes: (N, 4) x, y, w, h in the template crop.
        size: Side of the template crop in pixels.

    Returns:
        (N, 1, KERNEL, KERNEL) weights that sum to one.
    """
    steps = torch.arange(KERNEL, device=boxes.device) - KERNEL // 2
    cells = steps * STRIDE + size / 2  # (K,) centres in pixels

    def cover(low: Tensor, extent: Tensor) -> Tensor:
        near = torch.minimum(cells - low[:, None], low[:, None] + extent[:, None] - cells)
        return (near / STRIDE + 0.5).clamp(0.0, 1.0)  # (N, K)

    mask = (
        cover(boxes[:, 1], boxes[:, 3])[:, :, None] * cover(boxes[:, 0], boxes[:, 2])[:, None, :]
        + 1e-6
    )
    return (mask / mask.sum(dim=(1, 2), keepdim=True))[:, None]


def correlate(template: Tensor, search: Tensor, mask: Tensor) -> Tensor:
    """Correlate every template with every search map.

    Args:
        template: (N, C, h, w) features, h and w odd.
        search: (M, C, H, W) features.
        mask: (N, 1, KERNEL, KERNEL) weights of the cells.

    Returns:
        (M, N, H - KERNEL + 1, W - KERNEL + 1) float32 responses; place (y, x) is centred on the
        pixel STRIDE * (y + KERNEL // 2, x + KERNEL // 2).
    """
    y, x = (template.shape[2] - KERNEL) // 2, (template.shape[3] - KERNEL) // 2
    kernels = template[:, :, y : y + KERNEL, x : x + KERNEL] * mask.to(template.dtype)
    return F.conv2d(search, kernels.to(search.dtype)).float()


def target_places(boxes: Tensor) -> Tensor:
    """Where targets are in a response: (N, 2) y, x, from boxes (N, 4) in the search crop."""
    centers = boxes[:, :2] + boxes[:, 2:] / 2 - 0.5
    return centers.flip(1) / STRIDE - KERNEL // 2


def soft_labels(places: Tensor, height: int, width: int, deviation: float) -> Tensor:
    """(N, height, width) Gaussians around places (N, 2), each of sum one."""
    ys = torch.arange(height, device=places.device)
    xs = torch.arange(width, device=places.device)
    gy = torch.exp(-0.5 * ((ys - places[:, :1]) / deviation) ** 2)
    gx = torch.exp(-0.5 * ((xs - places[:, 1:]) / deviation) ** 2)
    label = gy[:, :, None] * gx[:, None, :] + 1e-12
    return label / label.sum(dim=(1, 2), keepdim=True)


def matching_loss(responses: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy over all places of all search crops.

    Args:
        responses: (N, N, h, w), search crop by template.
        labels: (N, h, w), the label of each template in its own search crop.
    """
    count = len(labels)
    logits = responses.transpose(0, 1).reshape(count, -1)  # (template, search x h x w)
    own = torch.arange(count, device=logits.device)
    correct = responses[own, own]  # (N, h, w)
    return (logits.logsumexp(dim=1) - (labels * correct).sum(dim=(1, 2))).mean()


class Matcher(nn.Module):
    """Backbone and the learned contrast of its responses.

    A response is an average over cells, so that its size does not depend on the object's; the
    gains make logits of it.
    """

    def __init__(self, config: BackboneTraining) -> None:
        super().__init__()
        self.config = config
        self.backbone = CompactBackbone()
        self.gains = nn.Parameter(torch.full((2,), math.log(0.5)))

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The losses of a batch of pairs, by map."""
        return self.losses(self.backbone(batch['template']), self.backbone(batch['search']), batch)

    def losses(
        self, templates: Maps, searches: Maps, batch: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """The same from the backbone's maps."""
        config = self.config
        group = min(config.group, len(searches[0]))  # a process may have less of the batch
        mask = object_mask(batch['template_box'], batch['template'].shape[-1])
        places = target_places(batch['search_box'])
        losses: dict[str, Tensor] = {}
        for level, weight in enumerate((config.middle_weight, 1.0)):
            if weight == 0:
                continue
            loss = mask.new_zeros(())
            gain = self.gains[level].exp() * templates[level].shape[1] ** -0.5
            for start in range(0, len(places), group):
                part = slice(start, start + group)
                responses = gain * correlate(
                    templates[level][part], searches[level][part], mask[part]
                )
                height, width = responses.shape[-2:]
                labels = soft_labels(places[part], height, width, config.label_width)
                loss = loss + weight * matching_loss(responses, labels)
            losses[MAPS[level]] = loss * (group / len(places))
        return losses


@torch.no_grad()
def matching_accuracy(
    backbone: nn.Module, footage: Footage, device: torch.device, pairs: PairConfig
) -> dict[str, float]:
    """How often the right place answers best, in search crops of 257 pixels with all augmentations
    on.

    Returns:
        For both maps: the share of pairs whose peak in their own search crop lies within 16 pixels
        of the target's centre, and (`_among_16`) the share where it also exceeds everything in the
        search crops of 15 other pairs.
    """
    pairs = replace(pairs, search_size=257, shift=96.0)
    hits: dict[str, int] = {}
    count = 0
    for batch in held_out_batches(footage, pairs, device):
        mask = object_mask(batch['template_box'], batch['template'].shape[-1])
        templates, searches = backbone(batch['template']), backbone(batch['search'])
        places = target_places(batch['search_box'])
        count += len(places)
        own = torch.arange(len(places), device=device)
        for name, z, x in zip(MAPS, templates, searches, strict=True):
            responses = correlate(z, x, mask)  # (16, 16, h, w)
            peaks, best = responses[own, own].flatten(1).max(dim=1)
            found = torch.stack([best // responses.shape[3], best % responses.shape[3]], dim=1)
            right = (found - places).norm(dim=1) * STRIDE <= 16
            highest = responses.amax(dim=(0, 2, 3))
            hits[name] = hits.get(name, 0) + int(right.sum())
            alone = f'{name}_among_16'
            hits[alone] = hits.get(alone, 0) + int((right & (peaks >= highest)).sum())
    return {name: number / count for name, number in hits.items()}


def make_part(
    config: BackboneTraining, given: Mapping[str, Given], footage: Footage
) -> Part[CompactBackbone]:
    """The backbone, to be trained on from EfficientNet-Lite0."""
    matcher = Matcher(config)
    network = matcher.backbone
    load_lite0(network, given[LITE0].state, given[LITE0].source)
    hold_fixed(network)
    pairs = config.pairs
    assert isinstance(pairs, PairConfig)
    return Part(
        'compact backbone',
        {weight_file(BACKBONE): lambda averaged: averaged.state_dict()},
        matcher,
        network,
        lambda averaged, held_out, device: matching_accuracy(averaged, held_out, device, pairs),
        ('deep', 'deep_among_16', 'middle', 'middle_among_16'),
        tuple(network.pretrained),
    )


def hold_fixed(network: CompactBackbone) -> None:
    """Keep what shall not learn from learning."""
    for module in network.fixed:
        module.requires_grad_(False)


STAGE = Stage(
    name=BACKBONE,
    about='the small backbone of the compact presets, from EfficientNet-Lite0',
    config=BackboneTraining,
    begins_with=(LITE0,),
    make=make_part,
    share=0.04,
    on_gpu={'batch': 256, 'group': 64, 'learning_rate': 3e-3, 'average': 0.999},
    pairs_on_gpu={'alike': 0.4},
)

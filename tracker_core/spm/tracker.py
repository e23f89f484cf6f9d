# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""SPM-Tracker: two stages of matching in series, whose scores and boxes count side by side.

Wang, Luo, Xiong, Zeng: SPM-Tracker: Series-Parallel Matching for Real-Time Visual Object Tracking,
CVPR 2019.
"""

from __future__ import annotations

from dataclasses import dataclass
import math

import torch
from torch import Tensor

from tracker_core.backbones.compact import Maps
from tracker_core.boxes import Box
from tracker_core.images import Corners
from tracker_core.layers.appearance import appearance, similarity
from tracker_core.layers.folding import fold_batch_norms
from tracker_core.refiner.network import optional_refiner
from tracker_core.refiner.refine import sharpened
from tracker_core.spm.candidates import (
    as_anchors,
    cosine_window,
    decode,
    flatten_maps,
    fuse,
    select_candidates,
    smooth,
)
from tracker_core.spm.compact import CompactNetwork
from tracker_core.spm.config import SpmConfig
from tracker_core.spm.network import coarse_from_released, fine_from_released, PaperNetwork
from tracker_core.step import ProgramKey, Tensors
from tracker_core.target import Proposal, Target
from tracker_core.tracker import Setup, Tracker
from tracker_core.weights import load_into, randomize, Weights

FINE_DELTA_SCALE = (5.0, 5.0, 10.0, 10.0)  # the fine stage's deltas are this many times too large


@dataclass(frozen=True)
class Template:
    """What is kept of the first frame.

    Attributes:
        coarse: What the coarse stage searches with, (1, ...) each.
        fine: (1, C, 6, 6) the template's share of the relation network's convolution.
        of_refiner: With `refiner`, the template of the box refiner (1, 64, 8, 8).
        appearance: See `tracker_core.layers.appearance`; of preset compact.
    """

    coarse: tuple[Tensor, ...]
    fine: Tensor
    of_refiner: Tensors = ()
    appearance: Tensors = ()


SpmTarget = Target[Template, Corners]


@dataclass(frozen=True)
class Matches:
    """What one step found, for N targets, A anchors and K candidates; boxes are corners.

    Attributes:
        boxes: (N, A, 4) decoded boxes of the coarse stage in crop pixels.
        scores: (N, A) their probabilities.
        chosen: (N, K) indices of the candidates.
        valid: (N, K) whether there is a candidate.
        fine_boxes: (N, K, 4) boxes of the fine stage in crop pixels.
        fine_scores: (N, K).
        window: (N, K) cosine window at the candidates.
        result: (N, 5) corners of the new box in the image, and the raw score; with preset compact
            (N, 6), at last its `similarity` to the first frame.
    """

    boxes: Tensor
    scores: Tensor
    chosen: Tensor
    valid: Tensor
    fine_boxes: Tensor
    fine_scores: Tensor
    window: Tensor
    result: Tensor


class SpmTracker(Tracker[SpmConfig, Template, Corners]):
    """SPM-Tracker; see `SpmConfig` for its parameters. It learns on the first frame only.

    A target's state is its box after smoothing, as corners in pixels.
    """

    name = 'spm'

    def __init__(self, setup: Setup[SpmConfig]) -> None:
        super().__init__(setup)
        self.network = build_network(setup.network, setup.weights)
        self.network.to(self.device)
        self.network.set_precision(self.precision)
        self.refiner = optional_refiner(self.config.refiner, setup)
        self._anchors = self.network.anchors().to(self.device)
        self._fine_scale = torch.tensor(FINE_DELTA_SCALE, device=self.device)

    def _start(self, frame: Tensor, box: Box) -> tuple[Template, Corners]:
        network = self.network
        corners = (box.x, box.y, box.x2, box.y2)
        boxes = torch.tensor([corners], dtype=torch.float64).to(self.device)
        squares, scales = self.squares(boxes, network.template_size)
        features, maps = network.extract(
            network.crop(frame, squares, network.template_size, self.cut)
        )
        boxes = self.into_crop(boxes, squares, scales)
        cells = network.cells(boxes)
        of_refiner: Tensors = ()
        if self.refiner is not None:
            of_refiner = (self.refiner.template(self.refiner.features(maps), cells),)
        template = Template(
            network.coarse_template(features, boxes),
            network.fine.template(maps, cells),
            of_refiner,
            self._first_look(frame, (box.x, box.y, box.x2, box.y2)),
        )
        return template, corners

    def _first_look(self, frame: Tensor, corners: Corners) -> Tensors:
        """See `Template.appearance`."""
        network = self.network
        if not isinstance(network, CompactNetwork):
            return ()
        boxes = torch.tensor([corners], dtype=torch.float64).to(self.device)
        squares, scales = self.squares(boxes, network.search_size)
        crop = network.crop(frame, squares, network.search_size, self.cut)
        cells = network.cells(self.into_crop(boxes, squares, scales))
        return (appearance(network.backbone(crop)[1], cells),)

    def search_geometry(self, target: SpmTarget, image_size: tuple[int, int]) -> Tensor:
        corners = zip(target.state, 2 * target.search_offset, strict=True)
        return torch.tensor([corner + offset for corner, offset in corners], dtype=torch.float64)

    def reach(self, geometry: list[float], image_size: tuple[int, int]) -> list[Corners] | None:
        if not isinstance(self.network, CompactNetwork):
            return None  # outside the frame is its mean colour
        boxes = torch.tensor([geometry], dtype=torch.float64)
        x1, y1, x2, y2 = self.squares(boxes, self.network.search_size)[0][0].tolist()
        return [(x1, y1, x2, y2)]

    def model_tensors(self, target: SpmTarget) -> Tensors:
        model = target.model
        return *model.coarse, model.fine, *model.of_refiner, *model.appearance

    def proposal(
        self,
        target: SpmTarget,
        row: list[float],
        kept: Tensors,
        index: int,
        image_size: tuple[int, int],
    ) -> Proposal[Corners]:
        x1, y1, x2, y2, score, *rest = row
        is_found = all(map(math.isfinite, row)) and score >= self.config.smallest_score
        box = Box(x1, y1, x2 - x1, y2 - y1) if is_found else None
        return Proposal(box, score, (x1, y1, x2, y2), similarity=rest[0] if rest else None)

    def resized(self, state: Corners, factor: float) -> Corners:
        x1, y1, x2, y2 = state
        cx, cy = (x1 + x2) / 2, (y1 + y2) / 2
        half = factor * (x2 - x1) / 2, factor * (y2 - y1) / 2
        return cx - half[0], cy - half[1], cx + half[0], cy + half[1]

    def step(self, key: ProgramKey, frame: Tensor, geometry: Tensor, *model: Tensor) -> Tensors:
        first_look = model[-1:] if isinstance(self.network, CompactNetwork) else ()
        model = model[: len(model) - len(first_look)]
        of_refiner = model[-1:] if self.refiner is not None else ()
        *coarse, fine = model[: len(model) - len(of_refiner)]
        template = Template(tuple(coarse), fine, of_refiner, first_look)
        return (self.search(frame, geometry, template).result,)

    def search(self, frame: Tensor, last: Tensor, template: Template) -> Matches:
        """Search all targets of a frame: a tensor program of static shapes.

        Args:
            frame: (H, W, 3) uint8 RGB.
            last: (N, 4) corners of the boxes to search around, float64 or float32; what the image
                needs is computed in that.
            template: Of N targets.
        """
        network, config = self.network, self.config
        squares, scales = self.squares(last, network.search_size)
        features, maps = network.look(network.crop(frame, squares, network.search_size, self.cut))

        cls, deltas = network.match(template.coarse, features)
        logits, deltas = flatten_maps(cls, deltas)
        scores = logits.sigmoid()
        boxes = decode(self._anchors, deltas)  # (N, A, 4)
        image_boxes = self.into_image(boxes, squares, scales)
        chosen, valid = select_candidates(image_boxes, scores, last.float(), config)

        rows = chosen[:, :, None].expand(-1, -1, 4)
        candidates = boxes.gather(1, rows)  # (N, K, 4)
        logits, deltas = network.fine(template.fine, maps, network.cells(candidates))
        fine_scores = logits.float().softmax(dim=2)[:, :, 1]
        fine_boxes = decode(as_anchors(candidates), deltas.float() / self._fine_scale)

        window = cosine_window(candidates, network.window_end)
        box, score = fuse(
            scores.gather(1, chosen),
            image_boxes.gather(1, rows),
            fine_scores,
            self.into_image(fine_boxes, squares, scales),
            window,
            valid,
            config,
        )
        size = (frame.shape[1], frame.shape[0])
        box, score = box.to(last.dtype), score.to(last.dtype)
        box = smooth(box, score, last, size, config)
        if self.refiner is not None:
            box = self._sharpen(box, maps, template.of_refiner[0], squares, scales)
        result = torch.cat([box, score[:, None]], dim=1)
        if template.appearance:
            cells = network.cells(self.into_crop(box, squares, scales))
            likeness = similarity(template.appearance[0], maps[1], cells)
            result = torch.cat((result, likeness.to(result.dtype)), dim=1)
        return Matches(boxes, scores, chosen, valid, fine_boxes, fine_scores, window, result)

    def _sharpen(
        self, boxes: Tensor, maps: Maps, template: Tensor, squares: Tensor, scales: Tensor
    ) -> Tensor:
        """Boxes (N, 4) on the way to what the box refiner makes of them."""
        assert self.refiner is not None
        network = self.network
        rough = network.cells(self.into_crop(boxes, squares, scales))
        features = self.refiner.features(maps)
        better = sharpened(self.refiner, template, features, rough, self.config.box_rate)
        pixels = network.pixels(better)[:, None]
        return self.into_image(pixels, squares, scales)[:, 0].to(boxes.dtype)

    def squares(self, boxes: Tensor, size: int) -> tuple[Tensor, Tensor]:
        """The square to cut out around each box, as corners (N, 4), and crop pixels per image
        pixel (N,)."""
        sides = boxes[:, 2:] - boxes[:, :2]
        context = self.config.context * sides.sum(dim=1, keepdim=True)
        exemplar = (sides + context).prod(dim=1).sqrt()
        half = exemplar[:, None] * (size / self.network.exemplar_size / 2)
        centers = (boxes[:, :2] + boxes[:, 2:]) / 2
        squares = torch.cat([centers - half, centers + half], dim=1)
        return squares, self.network.exemplar_size / exemplar

    def into_crop(self, boxes: Tensor, squares: Tensor, scales: Tensor) -> Tensor:
        """Corners (N, 4) in the image as corners in crop pixels, float32."""
        return ((boxes - squares[:, :2].repeat(1, 2)) * scales[:, None]).float()

    def into_image(self, boxes: Tensor, squares: Tensor, scales: Tensor) -> Tensor:
        """Corners (N, A, 4) in crop pixels as corners in the image, float32."""
        corner = squares[:, None, :2].repeat(1, 1, 2).float()
        return boxes / scales[:, None, None].float() + corner


def build_network(kind: str, weights: Weights) -> PaperNetwork | CompactNetwork:
    """A network of a kind (see `Preset.network`) with its weights, in inference mode."""
    network = CompactNetwork() if kind == 'compact' else PaperNetwork()
    state, source = weights.state, weights.source
    if state is None:
        randomize(network)
    elif isinstance(network, CompactNetwork):
        backbone = {f'backbone.{key}': value for key, value in state['backbone'].items()}
        load_into(network, {**backbone, **state['heads']}, source)
    else:
        load_into(network.coarse, coarse_from_released(state['cm']), f'{source} (cm)')
        load_into(network.fine, fine_from_released(state['fm']), f'{source} (fm)')
    network.eval().requires_grad_(False)
    if isinstance(network, CompactNetwork):
        fold_batch_norms(network)
    return network

# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""DAT: boxes around the last one are classified by a classifier that learns where to look.

It learns on the first frame and while tracking, and its attention is part of its loss.

Pu, Song, Ma, Zhang, Yang: Deep Attentive Tracking via Reciprocative Learning, NIPS 2018.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
import math
from typing import TypeVar

import torch
from torch import nn, Tensor

from tracker_core.boxes import Box
from tracker_core.dat import samples as sampling
from tracker_core.dat.box_regression import BoxRegression, is_close
from tracker_core.dat.config import DatConfig
from tracker_core.dat.learning import (
    Chain,
    Classifier,
    Descent,
    Penalty,
    Samples,
    target_logits,
    Trainer,
)
from tracker_core.dat.network import (
    FEATURES,
    Linearised,
    split_weight_file,
    summed_convolution_gradients,
    VggM,
)
from tracker_core.dat.views import CropViews, RegionViews, View, Window
from tracker_core.errors import WeightsError
from tracker_core.images import Corners, square_corners
from tracker_core.layers.appearance import appearance, similarity
from tracker_core.refiner.network import build_refiner, check_refiner
from tracker_core.refiner.refine import into_cells, refine, toward
from tracker_core.step import ProgramKey, Tensors
from tracker_core.target import Proposal, Target
from tracker_core.tracker import Setup, Tracker
from tracker_core.weights import load_into, randomize

FAR_WINDOWS = 8  # windows anywhere in the first frame that background is taken from (compact)
FAR_OVERLAP = 0.5  # and its largest overlap with the target
Numbers = tuple[float, float, float, float]


@dataclass
class DatModel:
    """What is learnt of a target; it changes while tracking.

    Attributes:
        classifier: Tells target from background.
        regression: From a box's features to a better box; of the first frame.
        descent: Momentum of the updates.
        tensors: What the step needs of classifier and regression, (1, ...) each; copies, for
            training changes the classifier in place.
        first_look: The target's template for the box refiner, (1, 64, 8, 8), where that is used,
            and its appearance, see `tracker_core.layers.appearance`; of preset compact.
        positives: Target samples of successful frames, the newest last.
        negatives: Background samples of successful frames, the newest last.
    """

    classifier: Classifier
    regression: BoxRegression
    descent: Descent
    positives: deque[Samples]
    negatives: deque[Samples]
    first_look: tuple[Tensor, ...] = ()
    tensors: tuple[Tensor, ...] = ()

    def refresh(self) -> None:
        """Take over what was learnt into `tensors`."""
        classifier = (tensor[None] for tensor in self.classifier.copy().tensors())
        regression = (self.regression.weight[None], self.regression.bias[None, None])
        self.tensors = (*classifier, *regression, *self.first_look)


@dataclass(frozen=True)
class DatPending:
    """What the last frame left to learn.

    Attributes:
        view: The frame.
        image: Its width and height.
        index: Its number, the first frame being 0.
    """

    view: View
    image: tuple[int, int]
    index: int


@dataclass(frozen=True)
class DatState:
    """Where a target is.

    Attributes:
        box: x, y, w, h around which is searched and sampled; not regressed.
        reported: The box as it was reported.
        failures: Frames without success since the last success.
        pending: What is to be learnt.
    """

    box: Numbers
    reported: Box
    failures: int = 0
    pending: DatPending | None = None


DatTarget = Target[DatModel, DatState]


class DatTracker(Tracker[DatConfig, DatModel, DatState]):
    """DAT; see `DatConfig` for its parameters."""

    name = 'dat'

    def __init__(self, setup: Setup[DatConfig]) -> None:
        super().__init__(setup)
        config, device, precision = self.config, self.device, self.precision
        weights, is_compact = setup.weights, setup.network == 'compact'
        self._hidden: dict[str, Tensor] = {}
        self.views: CropViews | RegionViews
        if is_compact:
            self.views = RegionViews(build_refiner(weights), device, precision, config)
        else:
            check_refiner(config.refiner, setup)
            state = None if weights.state is None else weights.state['']
            if state is not None:
                state, hidden = split_weight_file(state)
                self._hidden = self._hidden_layers(hidden)
            network = with_weights(VggM(), state, weights.source)
            self.views = CropViews(network, device, precision, config.released)
        self._configure()

    def _configure(self) -> None:
        exact = self.config.released and self.network_kind == 'published'
        count_more = convolution_norm if exact else None
        self.trainer = Trainer(self.config, self.views.chains, count_more)

    @property
    def networks(self) -> dict[str, nn.Module]:
        return {'network': self.views.network}

    def use_sessions(self, is_int8: bool = False) -> None:
        super().use_sessions(is_int8)
        assert isinstance(self.views, RegionViews)  # the other has no graphs
        self.views.cut = self.cut

    def _start(self, frame: Tensor, box: Box) -> tuple[DatModel, DatState]:
        config = self.config
        image = (frame.shape[1], frame.shape[0])
        truth = self._tensor(box.as_xywh())
        random = self._random(0, 0)
        view = self.views.look(frame, [self._window(box.as_xywh())])[0]

        spread = sampling.REGRESSION
        if config.regression_grows:
            spread = replace(spread, area=None)
        boxes, found = sampling.draw_accepted(
            spread, truth, image, config.regression_samples, random
        )
        used = is_close(boxes, truth, config.regression_grows)
        used &= torch.arange(len(boxes), device=self.device) < found
        features = self._samples(view, boxes, spread, box, image).features
        regression = BoxRegression.fit(features, boxes, truth, used, config.regression_ridge)

        boxes, _ = sampling.draw_accepted(
            sampling.POSITIVES, truth, image, config.first_positives, random
        )
        positives = self._samples(view, boxes, sampling.POSITIVES, box, image)
        far = config.first_negatives // 2
        boxes, _ = sampling.draw_accepted(
            sampling.FIRST_NEGATIVES, truth, image, config.first_negatives - far, random
        )
        near_negatives = self._samples(view, boxes, sampling.FIRST_NEGATIVES, box, image)
        far_negatives = self._far_negatives(frame, box, view, far, random)
        order = torch.randperm(config.first_negatives, generator=random, device=self.device)
        negatives = pick(joined([near_negatives, far_negatives]), order)

        model = DatModel(
            self._fresh_classifier(random),
            regression,
            Descent(),
            deque([first(positives, config.positives)], config.positive_frames),
            deque([first(negatives, config.negatives)], config.negative_frames),
            self._first_look(view, truth),
        )
        self.trainer.train(
            model.classifier,
            Descent(),
            positives,
            negatives,
            config.first_iterations,
            config.first_rate,
            random,
            self.updates,
        )
        model.refresh()
        return model, DatState(box.as_xywh(), box)

    def _first_look(self, view: View, truth: Tensor) -> tuple[Tensor, ...]:
        """See `DatModel.first_look`."""
        if not isinstance(self.views, RegionViews):
            return ()
        windows = torch.tensor([view.window], dtype=torch.float64).to(self.device)
        cells = into_cells(truth[None], windows, self.views.side)
        first = appearance(self.views.deep(view.pixels[None]), cells)
        if not self.config.refiner:
            return (first,)
        assert view.refined is not None
        return self.views.network.refiner.template(view.refined, cells), first

    def program_key(self, target: DatTarget, image_size: tuple[int, int]) -> ProgramKey:
        """Upper bound of the candidates' width and height in pixels."""
        if isinstance(self.views, RegionViews):
            return 0, 0  # its pooling does not ask for it
        bound = self._spread(target).largest(self._centre(target), image_size)
        if not self.steps.prepares_programs:
            return bound
        # programs are prepared for it, so there shall be few: steps of a fifth
        return tuple(math.ceil(2 ** (math.ceil(4 * math.log2(side)) / 4)) for side in bound)

    def _spread(self, target: DatTarget) -> sampling.Spread:
        config = self.config
        failed = target.state.failures
        shift = config.search_spread_failed if failed else config.search_spread
        return sampling.search_spread(shift, config.search_scale)

    def _centre(self, target: DatTarget) -> Numbers:
        """The box around which candidates are drawn."""
        (x, y, w, h), (dx, dy) = target.state.box, target.search_offset
        return x + dx, y + dy, w, h

    def search_geometry(self, target: DatTarget, image_size: tuple[int, int]) -> Tensor:
        """Box to search around, window, image size, spread of the centres, noise."""
        centre = self._centre(target)
        numbers = [*centre, *self._window(centre), *image_size, self._spread(target).shift]
        random = torch.Generator()
        random.manual_seed(self._seed(target.age + 1, 0))
        noise = sampling.search_noise(self.config.candidates, random)
        return torch.cat((torch.tensor(numbers, dtype=torch.float64), noise.flatten()))

    def reach(self, geometry: list[float], image_size: tuple[int, int]) -> list[Corners] | None:
        if not isinstance(self.views, RegionViews):
            return None  # it keeps the frame, to learn from
        return [square_corners(geometry[4], geometry[5], geometry[6])]

    def model_tensors(self, target: DatTarget) -> Tensors:
        return target.model.tensors

    def step(self, key: ProgramKey, frame: Tensor, geometry: Tensor, *model: Tensor) -> Tensors:
        """See `Tracker.step`. The result is (N, 9): mean logit, box and regressed box of the best
        candidates, with `refiner` followed by what `refine` says of the regressed box, and with
        preset compact at last its `similarity` to the first frame; what the boxes were taken from
        stays on the device."""
        centre, window, image = geometry[:, :4], geometry[:, 4:7], geometry[:, 7:9]
        noise = geometry[:, 10:].unflatten(1, (-1, 3))
        scale = self.config.search_scale
        boxes = sampling.search_boxes(centre, image, geometry[:, 9:10], scale, noise)
        features, seen, refined = self.views.search(frame, window, boxes, (key[0], key[1]))
        views, is_refined = self.views, self.config.refiner
        if not isinstance(views, RegionViews):
            return self.score(features, boxes, image, *model), seen
        learnt = model[: -2 if is_refined else -1]
        result = self.score(features, boxes, image, *learnt)
        found = result[:, 5:]
        if is_refined:
            refiner = views.network.refiner
            better = refine(refiner, model[-2], refined[0], found, window, views.side)
            result = torch.cat((result, better.to(result.dtype)), dim=1)
            found = better[:, :4]
        cells = into_cells(found, window, views.side)
        likeness = similarity(model[-1], views.deep(seen), cells)
        return torch.cat((result, likeness.to(result.dtype)), dim=1), seen

    def score(self, features: Tensor, boxes: Tensor, image: Tensor, *model: Tensor) -> Tensor:
        """Classify candidates and regress the best (section 3.3).

        Args:
            features: (N, B, F).
            boxes: (N, B, 4) x, y, w, h in pixels.
            image: (N, 2) width and height of the image.
            *model: See `model_tensors`.

        Returns:
            (N, 9) as of `step`.
        """
        *classifier, weight, bias = model
        best = target_logits(features, classifier).topk(self.config.averaged, dim=1)
        index = best.indices[..., None]  # (N, averaged, 1)
        chosen = boxes.gather(1, index.expand(-1, -1, 4))
        features = features.gather(1, index.expand(-1, -1, features.shape[2]))
        grows = self.config.regression_grows
        regressed = BoxRegression(weight, bias).apply(features, chosen, image[:, None], grows)
        score = best.values.mean(dim=1, keepdim=True).to(boxes.dtype)
        return torch.cat((score, chosen.mean(dim=1), regressed.mean(dim=1)), dim=1)

    def proposal(
        self,
        target: DatTarget,
        row: list[float],
        kept: Tensors,
        index: int,
        image_size: tuple[int, int],
    ) -> Proposal[DatState]:
        """Move to the best candidates, or stay where none is good enough."""
        score, regressed = row[0], row[5:]
        likeness = regressed.pop() if isinstance(self.views, RegionViews) else None
        view = self.views.view(kept[0], index, self._window(self._centre(target)))
        pending = DatPending(view, image_size, target.age + 1)
        if not math.isfinite(score) or score <= self.config.success_score:
            old = target.state
            state = replace(old, failures=old.failures + 1, pending=pending)
            return Proposal(old.reported, score, state, False, likeness)
        x, y, w, h = row[1:5]
        box = (x, y, w, h)
        x, y, w, h = regressed[:4]
        reported = Box(x, y, max(w, 1.0), max(h, 1.0))
        better = regressed[4:]
        if better and all(map(math.isfinite, better)):
            reported = toward(reported, better, 1.0)
            followed = toward(Box(*box), better, self.config.box_rate)
            box = followed.as_xywh()
        return Proposal(reported, score, DatState(box, reported, 0, pending), similarity=likeness)

    def resized(self, state: DatState, factor: float) -> DatState:
        boxes = (Box(*state.box), state.reported)
        box, reported = (Box.from_center(b.cx, b.cy, b.w * factor, b.h * factor) for b in boxes)
        return replace(state, box=box.as_xywh(), reported=reported)

    def _learn(self, target: DatTarget) -> None:
        """Take samples of a successful frame; train after a failure, and at intervals."""
        config, state, model = self.config, target.state, target.model
        pending = state.pending
        if pending is None:
            return
        target.state = replace(state, pending=None)
        random = self._random(pending.index, 1)
        if state.failures:
            if (state.failures - 1) % config.failed_interval == 0:
                self._update(model, config.recent_frames, random)
            return
        box = self._tensor(state.box)
        for spread, count, memory in (
            (sampling.POSITIVES, config.positives, model.positives),
            (sampling.NEGATIVES, config.negatives, model.negatives),
        ):
            boxes, _ = sampling.draw_accepted(spread, box, pending.image, count, random)
            memory.append(
                self._samples(pending.view, boxes, spread, Box(*state.box), pending.image)
            )
        if pending.index % config.update_interval == 0:
            self._update(model, config.positive_frames, random)

    def _recall(self, target: DatTarget) -> None:
        """Train after a failure, which takes no samples."""
        if target.state.failures:
            self._learn(target)

    def _update(self, model: DatModel, frames: int, random: torch.Generator) -> None:
        skipped = max(len(model.positives) - frames, 0)
        self.trainer.train(
            model.classifier,
            model.descent,
            joined(list(islice(model.positives, skipped, None))),
            joined(list(model.negatives)),
            self.config.iterations,
            self.config.rate,
            random,
            self.updates,
        )
        model.refresh()

    def _far_negatives(
        self, frame: Tensor, box: Box, view: View, count: int, random: torch.Generator
    ) -> Samples:
        """Background from anywhere in the first frame."""
        image = (frame.shape[1], frame.shape[0])
        truth, spread = self._tensor(box.as_xywh()), sampling.WHOLE_NEGATIVES
        if isinstance(self.views, CropViews):
            boxes, _ = sampling.draw_accepted(spread, truth, image, count, random)
            return self._samples(view, boxes, spread, box, image)
        # features exist only inside windows: a few windows, and boxes scattered in each
        around, _ = sampling.draw_accepted(spread, truth, image, FAR_WINDOWS, random)
        views = self.views.look(frame, [self._window(tuple(b)) for b in around.tolist()])
        scatter = replace(sampling.NEGATIVES, overlap=None)
        scattered = [
            sampling.draw(scatter, one, image, -(-count // FAR_WINDOWS), random) for one in around
        ]
        found = joined(self.views.samples(views, scattered, [image] * FAR_WINDOWS))
        fits = sampling.overlaps(torch.cat(scattered), truth) <= FAR_OVERLAP
        return pick(found, sampling.repeat_accepted(fits, count)[0])

    def _samples(
        self,
        view: View,
        boxes: Tensor,
        spread: sampling.Spread,
        box: Box,
        image: tuple[int, int],
    ) -> Samples:
        """Samples at boxes that were drawn from a spread around a box."""
        largest = spread.largest(box.as_xywh(), image)
        own = math.ceil(box.w), math.ceil(box.h)  # where nothing was accepted
        bound = max(largest[0], own[0]), max(largest[1], own[1])
        return self.views.samples([view], [boxes], [bound])[0]

    def _fresh_classifier(self, random: torch.Generator) -> Classifier:
        """A new classifier; its hidden layers from the weight file where it has them."""
        classifier = Classifier.fresh(self.views.features, self.config.hidden, random)
        for name, value in self._hidden.items():
            getattr(classifier, name).copy_(value)
        return classifier

    def _hidden_layers(self, hidden: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Hidden layers of a weight file by the names of a `Classifier`; the last layer is
        always fresh."""
        width = self.config.hidden
        shapes = {
            'fc4.weight': (width, FEATURES),
            'fc4.bias': (width,),
            'fc5.weight': (width, width),
            'fc5.bias': (width,),
        }
        wrong = [
            f'{name} is {tuple(hidden[name].shape)} instead of {shape}'
            for name, shape in shapes.items()
            if name in hidden and hidden[name].shape != shape
        ]
        if wrong:
            raise WeightsError(f'{self.weights.source} does not fit DAT: {"; ".join(wrong)}')
        return {
            name[4] + name[2]: hidden[name].to(self.device) for name in shapes if name in hidden
        }

    def _window(self, box: Numbers) -> Window:
        """The search region around a box."""
        x, y, w, h = box
        return x + w / 2, y + h / 2, self.config.region_factor * math.sqrt(w * h)

    def _tensor(self, numbers: Sequence[float]) -> Tensor:
        return torch.tensor(numbers, dtype=torch.float64).to(self.device, non_blocking=True)

    def _random(self, frame: int, purpose: int) -> torch.Generator:
        """The generator of one frame: what was drawn before does not matter."""
        generator = torch.Generator(self.device)
        generator.manual_seed(self._seed(frame, purpose))
        return generator

    def _seed(self, frame: int, purpose: int) -> int:
        return (self.config.seed * 1_000_003 + frame) * 2 + purpose


Network = TypeVar('Network', bound=nn.Module)


def with_weights(network: Network, state: Mapping[str, Tensor] | None, source: str) -> Network:
    """The network with its weights, random ones where there are none, in inference mode."""
    if state is None:
        randomize(network)
    else:
        load_into(network, state, source)
    return network.eval().requires_grad_(False)


def joined(parts: Sequence[Samples]) -> Samples:
    return Samples(
        torch.cat([part.features for part in parts]), torch.cat([part.source for part in parts])
    )


def pick(samples: Samples, index: Tensor) -> Samples:
    return Samples(samples.features[index], samples.source[index])


def first(samples: Samples, count: int) -> Samples:
    """The first samples, in memory of their own."""
    return Samples(samples.features[:count].clone(), samples.source[:count].clone())


def convolution_norm(chains: Sequence[Chain], penalty: Penalty) -> Tensor:
    """Squared norm of the penalty's gradient with respect to the convolutions of the published
    network."""
    linear = [chain for chain in chains if isinstance(chain, Linearised)]
    assert len(linear) == len(chains)
    gradients = summed_convolution_gradients(linear, penalty.upstream, penalty.tangents)
    return torch.stack([gradient.square().sum() for gradient in gradients.values()]).sum()

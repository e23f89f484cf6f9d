# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""What a training run is told: the config, and the YAML file that it is read from."""

from __future__ import annotations

from collections.abc import Mapping
import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml

from tracker_core.data import PairConfig, PublishedPairConfig
from tracker_core.errors import ParameterError, suggestion

OPTIMIZERS = ('adamw', 'adam', 'sgd')
SCHEDULES = ('cosine', 'steps', 'geometric')
Pairs = PairConfig | PublishedPairConfig
CONFIGS = Path(__file__).parent / 'configs'  # train_NAME.yaml, of the bundled weights


@dataclass(frozen=True)
class TrainConfig:
    """One training run.

    Attributes:
        batch: Pairs per step, of all processes together.
        learning_rate: Its peak.
        optimizer: 'adamw', 'adam' or 'sgd' (momentum 0.9).
        schedule: How the learning rate goes on after the warm-up: 'cosine' (half of one, to zero),
            'steps' (times `drop` at each share of the run in `drops`) or 'geometric' (evenly in
            its logarithm, to `last_rate`).
        warmup: Share of the run in which the learning rate rises; from zero evenly, with
            `first_rate` from there evenly in its logarithm.
        first_rate: Of the warm-up, relative to the peak; 0 for zero.
        last_rate: Where 'geometric' ends, relative to the peak.
        drops: Shares of the run.
        drop: Factor.
        pretrained_rate: Learning rate of layers that came trained, relative to the others'.
        frozen: Share of the run in which these layers do not learn at all.
        weight_decay: On kernels only.
        largest_gradient: Norm; larger ones are scaled down to it. 0 for any.
        average: Decay per step of the running average of the weights; the average is what is
            saved. 0 for the weights as they are.
        whole: Pairs of the whole training, where neither minutes nor steps are given; 0: they must
            be given.
        video_folders: Patterns of folders whose images are frames or overlapping views in order.
        data: Names and licences of the photographs, for the card.
        pairs: How pairs are cut and changed; its seed is the seed of everything.
    """

    batch: int = 32
    learning_rate: float = 2e-3
    optimizer: str = 'adamw'
    schedule: str = 'cosine'
    warmup: float = 0.03
    first_rate: float = 0.0
    last_rate: float = 0.01
    drops: tuple[float, ...] = ()
    drop: float = 0.2
    pretrained_rate: float = 0.2
    frozen: float = 0.0
    weight_decay: float = 0.02
    largest_gradient: float = 5.0
    average: float = 0.998
    whole: int = 0
    video_folders: tuple[str, ...] = ()
    data: str = ''
    pairs: Pairs = field(default_factory=PairConfig)

    def __post_init__(self) -> None:
        if self.batch < 2:
            raise ParameterError(f'batch must be at least 2, not {self.batch}')
        for name in ('learning_rate', 'last_rate', 'drop'):
            if not getattr(self, name) > 0:
                raise ParameterError(f'{name} must be above zero, not {getattr(self, name)}')
        for name in ('average', 'warmup', 'first_rate', 'frozen'):
            if not 0 <= getattr(self, name) < 1:
                raise ParameterError(f'{name} must lie in [0, 1), not {getattr(self, name)}')
        for name, known in (('optimizer', OPTIMIZERS), ('schedule', SCHEDULES)):
            if getattr(self, name) not in known:
                raise ParameterError(
                    f'{name} must be one of {", ".join(known)}, not {getattr(self, name)!r}'
                )
        if min(self.largest_gradient, self.whole) < 0:
            raise ParameterError('largest_gradient and whole must not be negative')


Config = TypeVar('Config', bound=TrainConfig)


def read_config(kind: type[Config], path: str | Path | None) -> Config:
    """A config from a YAML file whose keys are its fields; see `config_from`.

    Raises:
        ParameterError: A key is unknown or a value is refused.
    """
    try:
        values = yaml.safe_load(Path(path).read_text()) if path else {}
    except yaml.YAMLError as error:
        raise ParameterError(f'{path} cannot be read as YAML: {error}') from None
    return config_from(kind, values or {}, str(path))


def config_from(kind: type[Config], values: Mapping[str, Any], origin: str = 'config') -> Config:
    """A config from its fields; `pairs` is a mapping of its own. What is left out, also in
    a mapping, keeps its default.

    Args:
        kind: The class.
        values: By field.
        origin: What the values are from, for messages.

    Raises:
        ParameterError: A key is unknown or a value is refused.
    """
    return changed(kind(), values, origin)


def changed(default: Any, values: Any, origin: str) -> Any:
    """A dataclass's value with other fields."""
    if not isinstance(values, Mapping):
        raise ParameterError(f'{origin}: {values!r} is not a mapping of names to values')
    known = {each.name for each in dataclasses.fields(default)}
    entries = {}
    for name, value in values.items():
        if name not in known:
            raise ParameterError(
                f'{origin}: there is no {name!r} here, only {", ".join(sorted(known))}'
                f'{suggestion(name, known)}'
            )
        before, place = getattr(default, name), f'{origin}, {name}'
        if dataclasses.is_dataclass(before):
            entries[name] = changed(before, value, place)
        elif isinstance(before, Mapping):
            if not isinstance(value, Mapping):
                raise ParameterError(f'{place}: {value!r} is not a mapping of names to numbers')
            entries[name] = {**before, **{k: alike(v, 0.0, place) for k, v in value.items()}}
        else:
            entries[name] = alike(value, before, place)
    return dataclasses.replace(default, **entries)


def alike(value: Any, default: Any, place: str) -> Any:
    """A value of the default's kind, as a file has it.

    Raises:
        ParameterError: It is of another kind.
    """
    if isinstance(default, tuple) and isinstance(value, (list, tuple)):
        of = default[0] if default else ''
        return tuple(alike(each, of, place) for each in value)
    kinds = (int, float) if isinstance(default, float) else type(default)
    if not isinstance(value, kinds) or isinstance(value, bool):
        expected = {int: 'a whole number', float: 'a number', str: 'text', tuple: 'a list'}
        raise ParameterError(f'{place}: {value!r} is not {expected[type(default)]}')
    return value


def seeded(config: Config, seed: int | None) -> Config:
    """The config with another seed, None leaving it."""
    if seed is None:
        return config
    return dataclasses.replace(config, pairs=dataclasses.replace(config.pairs, seed=seed))

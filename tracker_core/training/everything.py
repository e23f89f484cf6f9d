# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""All bundled weights in one run: the backbone, every tracker's heads on it, then all together.

    tracker train all --config CONFIGS --data PHOTOS --out DIR --minutes 25

The time is shared out; DIR gets the weight files, so that `tracker evaluate --weights DIR` uses
them, and the card and the curves of every part of the run. With `--pause-after` the command stops
after so many minutes, and `--resume` goes on, as often as needed: on machines that are lent for
short times. On a GPU batches are larger, and as many processes make pairs as there are processor
cores to spare.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
import shutil

import torch

from tracker_core.data import Footage
from tracker_core.training.compute import Compute
from tracker_core.training.config import read_config, seeded, TrainConfig
from tracker_core.training.loop import TrainingRun
from tracker_core.training.parts import Given
from tracker_core.training.stages import given_file, STAGES


def make_config(
    name: str, folder: str | Path | None, on_gpu: bool, seed: int | None
) -> TrainConfig:
    """The config of a stage, from `train_NAME.yaml` in a folder, None for the defaults."""
    stage = STAGES[name]
    config = read_config(stage.config, folder and Path(folder) / f'train_{name}.yaml')
    if on_gpu:
        pairs = replace(config.pairs, **stage.pairs_on_gpu)
        config = replace(config, **stage.on_gpu, pairs=pairs)
    return seeded(config, seed)


def train_all(
    configs: Mapping[str, TrainConfig],
    footage: tuple[Footage, Footage | None],
    out: Path,
    minutes: float = 0.0,
    steps: int = 0,
    compute: Compute | None = None,
    resume: bool = False,
    pause_at: float = float('inf'),
    progress: bool = True,
) -> bool:
    """Go through all stages, each in a folder below `out`, which itself gets the latest weights.

    Args:
        configs: By stage.
        footage: What to learn from and to check with.
        out: Folder.
        minutes: Time budget of the whole.
        steps: Number of steps of each stage instead.
        compute: Where and how to compute.
        resume: Go on from what is in the folder; stages whose cards are there are done.
        pause_at: When to stop, in seconds of `time.monotonic`.
        progress: Show progress bars.

    Returns:
        Whether all is done; otherwise the time was up.
    """
    learned, held_out = footage
    for name, stage in STAGES.items():
        card = out / f'{name}.json'
        if resume and card.is_file():
            continue
        config = configs[name]
        given = {each: Given.read(given_file(each, out / each)) for each in stage.begins_with}
        torch.manual_seed(config.pairs.seed)
        run = TrainingRun(stage.make(config, given, learned), learned, config, out / name, compute)
        if resume and run.checkpoint.is_file():
            run.resume()
        is_done = run.run(
            0.0 if steps else stage.share * minutes,
            steps,
            held_out=held_out,
            progress=progress,
            pause_at=pause_at,
        )
        if not is_done:
            return False
        for file in run.part.files:
            shutil.copyfile(run.out / file, out / file)
        shutil.copyfile(run.out / 'loss.png', out / f'{name}.png')
        shutil.copyfile(run.out / 'card.json', card)
    return True

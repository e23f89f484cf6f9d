# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""What a tracker said of each sequence, on disk: to go on after a break, and to be handed in.

What is kept to go on:

    DIR/tracker.json        what ran: weights, parameters
    DIR/SEQUENCE.npz        a `SequenceRun`

What is handed in depends on the data set: see `result_files`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
import io
import json
import os
from pathlib import Path
from typing import Any
import zipfile

import numpy as np

from tracker_core.data.sequences import VideoSequence
from tracker_core.errors import ParameterError
from tracker_core.evaluation.run import describe_tracker, SequenceRun

ABOUT = 'tracker.json'
ARRAYS = ('boxes', 'scores', 'raw_scores', 'statuses', 'times')


class Results:
    """The runs of one tracker, in a folder.

    Args:
        folder: Of this tracker; made if there is none.
        tracker: That runs.

    Raises:
        ParameterError: The runs in the folder are of another tracker, weights or parameters.
    """

    def __init__(self, folder: str | Path, tracker: Any) -> None:
        self.folder = Path(folder)
        about = json.loads(json.dumps(describe_tracker(tracker), default=str))
        path = self.folder / ABOUT
        if path.is_file():
            before = json.loads(path.read_text(encoding='utf-8'))
            if before != about:
                keys = sorted(k for k in {*before, *about} if before.get(k) != about.get(k))
                raise ParameterError(
                    f'{self.folder} holds results with other {", ".join(keys)}; name another '
                    'folder, or remove this one'
                )
        self.folder.mkdir(parents=True, exist_ok=True)
        _write(path, (json.dumps(about, indent=1) + '\n').encode())

    def path(self, sequence: VideoSequence) -> Path:
        """Where the run over a sequence is."""
        return self.folder / f'{sequence.name}.npz'

    def load(self, sequence: VideoSequence) -> SequenceRun | None:
        """The run over a sequence, or None if there is none yet.

        Raises:
            ParameterError: It is of a sequence of another length or first box, or damaged.
        """
        path = self.path(sequence)
        if not path.is_file():
            return None
        try:
            with np.load(path, allow_pickle=False) as file:
                run = SequenceRun(
                    **{name: file[name] for name in ARRAYS},
                    cpu_seconds=float(file['cpu_seconds']),
                    unreadable=tuple(int(number) for number in file['unreadable']),
                )
        except (KeyError, OSError, ValueError, zipfile.BadZipFile):
            raise ParameterError(f'{path} is damaged; remove it') from None
        if len(run.boxes) != len(sequence) or not np.allclose(run.boxes[0], sequence.boxes[0]):
            raise ParameterError(
                f'{path} is of another sequence {sequence.name}: of {len(run.boxes)} frames, not '
                f'{len(sequence)}, or with another first box; remove it'
            )
        return run

    def save(self, sequence: VideoSequence, run: SequenceRun) -> None:
        """Keep a run; it is there whole or not at all."""
        buffer = io.BytesIO()
        arrays = {name: getattr(run, name) for name in ARRAYS}
        unreadable = np.array(run.unreadable, np.int64)
        np.savez(buffer, **arrays, cpu_seconds=run.cpu_seconds, unreadable=unreadable)
        _write(self.path(sequence), buffer.getvalue())


def _write(path: Path, content: bytes) -> None:
    beside = path.with_name(f'{path.name}.part')
    beside.write_bytes(content)
    os.replace(beside, path)


def as_published(run: SequenceRun, sequence: VideoSequence) -> np.ndarray:
    """A run's boxes (N, 4) in the coordinates of the data set's own files."""
    return run.boxes + np.array([1, 1, 0, 0]) * sequence.offset


def plain_files(run: SequenceRun, sequence: VideoSequence) -> dict[str, str]:
    """What TrackingNet's server and the toolkits of OTB, LaSOT, UAV123, NfS and TNL2K take."""
    return {f'{sequence.name}.txt': lines_of(as_published(run, sequence), '%.2f')}


def got10k_files(run: SequenceRun, sequence: VideoSequence) -> dict[str, str]:
    """What GOT-10k's server and toolkit take: boxes, and the seconds that each frame took."""
    name = sequence.name
    return {
        f'{name}/{name}_001.txt': lines_of(as_published(run, sequence), '%.3f'),
        f'{name}/{name}_time.txt': lines_of(run.times[:, None], '%.8f'),
    }


FILES: dict[str, Callable[[SequenceRun, VideoSequence], dict[str, str]]] = {'got10k': got10k_files}


def result_files(kind: str, run: SequenceRun, sequence: VideoSequence) -> dict[str, str]:
    """The files that say what a tracker found, by name, as a data set's own tools read them."""
    return FILES.get(kind, plain_files)(run, sequence)


def write_files(
    folder: str | Path, kind: str, sequences: Sequence[VideoSequence], runs: Sequence[SequenceRun]
) -> None:
    """Write the files of `result_files` to a folder."""
    for sequence, run in zip(sequences, runs, strict=True):
        for name, text in result_files(kind, run, sequence).items():
            path = Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding='utf-8')


def write_submission(
    path: str | Path, kind: str, sequences: Sequence[VideoSequence], runs: Sequence[SequenceRun]
) -> None:
    """Write the files of `result_files` to a zip file, ready for a server."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
        for sequence, run in zip(sequences, runs, strict=True):
            for name, text in result_files(kind, run, sequence).items():
                archive.writestr(name, text)


def lines_of(rows: np.ndarray, form: str) -> str:
    """Rows of numbers, with commas between them."""
    return ''.join(','.join(form % value for value in row) + '\n' for row in rows)

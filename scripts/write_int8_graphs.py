# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Write the graphs of the compact networks in int8: tracker_core/graphs/int8/NAME.onnx.

    python scripts/write_int8_graphs.py TRAIN2

To be run after `write_graphs.py`, and when the bundled weights change. TRAIN2 is a folder of
training data with tracks. The trackers follow the tracks that training leaves out for checking,
and what the graphs are asked there decides how activations are rounded. Needs the package onnx.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator, Mapping
import json
from pathlib import Path
import tempfile

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, quantize_static, QuantType
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import nn, Tensor
from tqdm import tqdm

from tracker_core import Box, create_tracker
from tracker_core.data import load_pool
from tracker_core.data.regions import Region
from tracker_core.layers.graphs import FOLDER, graph_weights, INT8_FOLDER, NORMS, norms, Session

# what convolves most; the rest is small, and stays in float32
QUANTISED = {
    'tadt': ('refiner_reduced',),
    'spm': ('compact_backbone', 'spm_searched', 'spm_compare'),
    'ocean': ('ocean_searched', 'ocean_towers'),
    'atom': ('atom_test_features',),
}
FRAMES = 6  # of a track
TRACKS = 40

Inputs = dict[str, np.ndarray]


class Recorder:
    """A session that remembers what it is asked."""

    def __init__(self, session: Session, names: list[str]) -> None:
        self.session, self.names = session, names
        self.asked: list[Inputs] = []

    def __call__(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        arrays = (tensor.contiguous().numpy().copy() for tensor in tensors)
        self.asked.append(dict(zip(self.names, arrays, strict=True)))
        return self.session(*tensors)


class Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
    """Recorded inputs, one after the other."""

    def __init__(self, asked: list[Inputs]) -> None:
        self._rest: Iterator[Inputs] = iter(asked)

    def get_next(self) -> Inputs | None:
        return next(self._rest, None)


def parts_with_graphs(networks: Mapping[str, nn.Module]) -> Iterator[tuple[nn.Module, str]]:
    """Every part of a tracker's networks with the name of a graph that it has."""
    for network in networks.values():
        for module in network.modules():
            for name in module.__dict__.get('sessions', {}):
                yield module, name


def record(tracker_name: str, tracks: list[list[Region]]) -> dict[str, tuple[nn.Module, Recorder]]:
    """What each graph of a tracker is asked while it follows some tracks."""
    tracker = create_tracker(tracker_name, device='cpu', precision='float32')
    recorders = {}
    for module, name in list(parts_with_graphs(tracker.networks)):
        graph = onnx.load(str(FOLDER / f'{name}.onnx'), load_external_data=False).graph
        recorder = Recorder(module.__dict__['sessions'][name], [i.name for i in graph.input])
        module.__dict__['sessions'][name] = recorder
        recorders[name] = (module, recorder)
    for track in tqdm(tracks, desc=tracker_name, leave=False):
        first, *later = track[:FRAMES]
        target = tracker.start(first.photo.levels[0], Box(*first.box))
        for region in later:
            tracker.track(region.photo.levels[0], target)
    return recorders


def whole_graph(name: str, module: nn.Module) -> onnx.ModelProto:
    """A graph that holds the weights of its module."""
    model = onnx.load(str(FOLDER / f'{name}.onnx'), load_external_data=False)
    weights = graph_weights(name, module)
    for tensor in model.graph.initializer:
        if tensor.name in weights:
            tensor.CopyFrom(onnx.numpy_helper.from_array(weights[tensor.name], tensor.name))
    return model


def write(name: str, module: nn.Module, asked: list[Inputs]) -> Path:
    """Write one graph."""
    path = INT8_FOLDER / f'{name}.onnx'
    with tempfile.TemporaryDirectory() as folder:
        plain, prepared = Path(folder, 'plain.onnx'), Path(folder, 'prepared.onnx')
        onnx.save(whole_graph(name, module), str(plain))
        quant_pre_process(str(plain), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            str(prepared),
            str(path),
            Reader(asked),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
    return path


def main() -> None:
    """Write all."""
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('folder', help='training data with tracks')
    tracks = load_pool(parser.parse_args().folder, 'held_out', progress=True).sequences
    INT8_FOLDER.mkdir(exist_ok=True)
    known: dict[str, list[float]] = defaultdict(list)
    for tracker_name, names in QUANTISED.items():
        recorders = record(tracker_name, tracks[:: max(len(tracks) // TRACKS, 1)])
        for name in names:
            module, recorder = recorders[name]
            path = write(name, module, recorder.asked)
            known[name] = norms(graph_weights(name, module))
            print(f'{path}: {len(recorder.asked)} inputs, {path.stat().st_size / 1024:.0f} KiB')
    NORMS.write_text(json.dumps(known) + '\n')


if __name__ == '__main__':
    main()

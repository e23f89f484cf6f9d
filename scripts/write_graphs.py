# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Write the graphs of the compact networks for ONNX Runtime: tracker_core/graphs/NAME.onnx.

    python scripts/write_graphs.py

To be run when a method marked `@graphed` changes (`tracker_core/layers/graphs.py`); a test
compares every graph with its method. Needs the package onnx, which robots need not have.
"""

from __future__ import annotations

from pathlib import Path
import tempfile
import warnings

import onnx
import torch
from torch import nn, Tensor

from tracker_core.atom.network import CompactAtomNetwork
from tracker_core.layers.folding import fold_batch_norms
from tracker_core.layers.graphs import FOLDER, graphs_of
from tracker_core.ocean.network import CompactOcean
from tracker_core.refiner.network import RefinerNetwork
from tracker_core.spm.compact import CompactNetwork

OPSET = 17
IMAGES = {0: 'targets', 2: 'height', 3: 'width'}
MAPS = {0: 'targets', 2: 'rows', 3: 'columns'}
# of the inputs of graphs that take other than maps
AXES = {
    'compact_backbone': [IMAGES],
    'refiner_compare': [{0: 'boxes'}, {0: 'boxes'}],
    'spm_compare': [{0: 'targets'}, {0: 'targets', 1: 'candidates'}],
}


class Part(nn.Module):
    """A method of a module, which is what the exporter takes."""

    def __init__(self, module: nn.Module, method: str) -> None:
        super().__init__()
        self.module, self.method = module, method

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        return getattr(self.module, self.method)(*tensors)


def networks() -> list[nn.Module]:
    """All networks with graphs, as trackers have them."""
    found = [CompactAtomNetwork(), CompactOcean(), RefinerNetwork(), CompactNetwork()]
    for network in found:
        fold_batch_norms(network.eval().requires_grad_(False))
        make_unlike(network)
    return found


def make_unlike(network: nn.Module) -> None:
    """Give all weights different values: the exporter would merge equal ones."""
    for value in network.state_dict().values():
        if value.is_floating_point():
            value.uniform_(0.5, 1.5).mul_(value[..., :1].numel() ** -0.5)


def examples() -> dict[str, tuple[Tensor, ...]]:
    """Inputs by graph."""
    images, maps = torch.rand(2, 3, 161, 177) * 255, torch.rand(2, 96, 15, 17)
    middle, deep = torch.rand(2, 40, 21, 23), torch.rand(2, 128, 21, 23)
    samples = torch.rand(3, 64, 8, 8)
    return {
        'compact_backbone': (images,),
        'atom_test_features': (middle, deep),
        'ocean_searched': (deep,),
        'ocean_towers': (maps, maps),
        'spm_searched': (deep,),
        'spm_coarse': (maps, maps),
        'spm_compare': (torch.rand(2, 232, 6, 6), torch.rand(2, 9, 168, 6, 6)),
        'refiner_reduced': (middle, deep),
        'refiner_compare': (samples, samples),
    }


def write(module: nn.Module, name: str, method: str, tensors: tuple[Tensor, ...]) -> Path:
    """Write one graph."""
    names = [f'input_{number}' for number in range(len(tensors))]
    axes = AXES.get(name, [MAPS] * len(tensors))
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter('ignore')
        path = str(Path(folder, 'graph.onnx'))
        torch.onnx.export(
            Part(module, method),
            tensors,
            path,
            dynamo=False,  # the other exporter cannot prove how odd and even sides go together
            opset_version=OPSET,
            input_names=names,
            dynamic_axes=dict(zip(names, axes, strict=True)),
        )
        model = onnx.load(path)
    weights, taken = module.state_dict(), []
    for tensor in model.graph.initializer:
        own = tensor.name.removeprefix('module.')
        if own not in weights:
            continue
        for node in model.graph.node:
            for place, given in enumerate(node.input):
                if given == tensor.name:
                    node.input[place] = own
        tensor.name = own
        tensor.ClearField('raw_data')
        tensor.data_location = onnx.TensorProto.EXTERNAL
        del tensor.external_data[:]
        entry = tensor.external_data.add()
        entry.key, entry.value = 'location', 'weights'
        taken.append(own)
    for node in model.graph.node:
        node.doc_string = ''
    FOLDER.mkdir(exist_ok=True)
    target = FOLDER / f'{name}.onnx'
    onnx.save(model, str(target))
    target.with_suffix('.txt').write_text('\n'.join(taken) + '\n')
    return target


def main() -> None:
    """Write all."""
    written: set[str] = set()
    for network in networks():
        for module in network.modules():
            for name, method in graphs_of(module).items():
                if name not in written:
                    path = write(module, name, method, examples()[name])
                    print(f'{path}: {path.stat().st_size / 1024:.0f} KiB')
                    written.add(name)


if __name__ == '__main__':
    main()

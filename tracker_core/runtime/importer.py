# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""What the ONNX importer of TensorRT takes, and what of a file it would not.

After the table of operators in the importer's documentation (onnx-tensorrt, docs/operators.md) of
TensorRT 10.15, opsets 9 to 24; of its operators those are left out that no step could have. What
the same table of TensorRT 8.5 does not have yet is left out, too, so that what passes is taken by
every TensorRT 10. INT64 is what 8.5 makes INT32 of, and BFLOAT16 came with 10.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TYPE_CHECKING, TypeVar

from tracker_core.extras import need

if TYPE_CHECKING:
    import onnx

VERSION = '10.15'
OPSETS = range(9, 25)
LARGEST_K = 3839  # of TopK

_FLOATS = frozenset({'FLOAT', 'FLOAT16', 'BFLOAT16'})
_NUMBERS = _FLOATS | {'INT32', 'INT64'}
_ALL = _NUMBERS | {'BOOL'}
_Kind = TypeVar('_Kind')


def _all(names: str, what: _Kind) -> dict[str, _Kind]:
    return dict.fromkeys(names.split(), what)


# types of what an operator computes with; sizes, axes and indices are whole numbers everywhere
OPERATORS: dict[str, frozenset[str]] = {
    **_all(
        'Acos Asin Atan ArgMax ArgMin AveragePool BatchNormalization Ceil Clip Conv ConvTranspose '
        'Cos CumSum Einsum Elu Erf Exp Floor Gemm GlobalAveragePool GlobalMaxPool HardSigmoid '
        'HardSwish InstanceNormalization LRN LeakyRelu Log LogSoftmax LpNormalization MatMul '
        'MaxPool MeanVarianceNormalization PRelu Pow Reciprocal ReduceL1 ReduceL2 ReduceLogSum '
        'ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu '
        'Resize Round Selu Sigmoid Sin Softmax Softplus Softsign Sqrt Tan Tanh ThresholdedRelu '
        'TopK',
        _FLOATS,
    ),
    **_all(
        'Abs Add DepthToSpace Div Equal Greater GreaterOrEqual IsNaN Less LessOrEqual Max Mean '
        'Min Mod Mul Neg Pad Range ScatterElements ScatterND Sign SpaceToDepth Sub Sum',
        _NUMBERS,
    ),
    **_all(
        'Constant ConstantOfShape Concat Expand EyeLike Flatten Gather GatherElements GatherND '
        'Identity Reshape Shape Size Slice Split Squeeze Tile Transpose Trilu Unsqueeze Where',
        _ALL,
    ),
    **_all('And Not Or Xor', frozenset({'BOOL'})),
    'Cast': _ALL | {'UINT8'},  # bytes are inputs and outputs only
    'GridSample': frozenset({'FLOAT', 'FLOAT16'}),
}
# attributes and what they may be; others may be anything
ATTRIBUTES: dict[str, dict[str, frozenset[Any]]] = {
    'Resize': {
        'mode': frozenset({'nearest', 'linear'}),
        'coordinate_transformation_mode': frozenset(
            {
                'half_pixel',
                'pytorch_half_pixel',
                'tf_half_pixel_for_nn',
                'asymmetric',
                'align_corners',
            }
        ),
        'nearest_mode': frozenset({'floor', 'ceil', 'round_prefer_floor', 'round_prefer_ceil'}),
        'keep_aspect_ratio_policy': frozenset({'stretch'}),
        'antialias': frozenset({0}),
    },
    'ScatterND': {'reduction': frozenset({'none'})},
    'TopK': {'sorted': frozenset({1})},
}
# inputs that must be known when the engine is built
CONSTANTS = {
    **_all('CumSum ReduceL1 ReduceL2 ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum', (1,)),
    **_all('Squeeze TopK Unsqueeze', (1,)),
}


def obstacles(path: Path) -> list[str]:
    """What TensorRT's importer does not take of an ONNX file, a sentence each; none if it takes
    all.

    Raises:
        ParameterError: The package onnx is not installed.
    """
    onnx = need('onnx', 'a look into an exported file', 'onnx')
    model = onnx.shape_inference.infer_shapes(onnx.load(str(path)), strict_mode=True)
    return list(dict.fromkeys(_obstacles(model)))


def _obstacles(model: onnx.ModelProto) -> Iterator[str]:
    import onnx

    name_of = onnx.TensorProto.DataType.Name
    graph = model.graph
    (opset,) = (each.version for each in model.opset_import if each.domain in ('', 'ai.onnx'))
    if opset not in OPSETS:
        yield f'opset {opset} is none of {OPSETS[0]} to {OPSETS[-1]}'
    known = [*graph.input, *graph.output, *graph.value_info]
    types = {value.name: name_of(value.type.tensor_type.elem_type) for value in known}
    types |= {tensor.name: name_of(tensor.data_type) for tensor in graph.initializer}
    constant = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        op = node.op_type
        if node.domain not in ('', 'ai.onnx') or op not in OPERATORS:
            yield f'there is no operator {node.domain or "ONNX"} {op}'
            continue
        if op == 'Constant':
            (output,) = node.output
            constant[output] = onnx.helper.get_attribute_value(node.attribute[0])
        for type_name in _computed(node, opset, types):
            if type_name not in OPERATORS[op]:
                yield f'{op} does not take {type_name}'
        for attribute in node.attribute:
            wanted = ATTRIBUTES.get(op, {}).get(attribute.name)
            value = onnx.helper.get_attribute_value(attribute)
            value = value.decode() if isinstance(value, bytes) else value
            if wanted is not None and value not in wanted:
                yield f'{op} has no {attribute.name} {value!r}'
        for place in CONSTANTS.get(op, ()):
            if place < len(node.input) and node.input[place] not in constant:
                yield f'{op} wants its input {place} to be a constant'
        if op == 'TopK' and node.input[1] in constant:
            count = int(onnx.numpy_helper.to_array(constant[node.input[1]]).reshape(-1)[0])
            if count > LARGEST_K:
                yield f'TopK finds {LARGEST_K} at most, not {count}'
        if op == 'MaxPool' and len(node.output) > 1:
            yield 'MaxPool does not tell indices'
        if op in ('MaxPool', 'AveragePool'):
            dilations = [a.ints for a in node.attribute if a.name == 'dilations']
            if any(step != 1 for steps in dilations for step in steps):
                yield f'{op} has no dilations'


def _computed(node: onnx.NodeProto, opset: int, types: dict[str, str]) -> Iterator[str]:
    """The types of the tensors that a node computes with."""
    import onnx

    if node.op_type in ('Cast', 'Constant', 'ConstantOfShape', 'Range'):
        yield from (types[name] for name in node.output if name in types)
    if node.op_type in ('Constant', 'ConstantOfShape'):
        return
    declared = onnx.defs.get_schema(node.op_type, opset).inputs
    # sizes, axes and indices have a fixed type, or one of their own beside that of the values
    values = {'T', 'T1', 'V'} | ({'T2'} if node.op_type == 'GridSample' else set())
    for place, name in enumerate(node.input):
        kind = declared[min(place, len(declared) - 1)].type_str
        if name and kind in values:
            yield types[name]

"""ONNX's own tests of its operators, as the package ``onnx`` makes them.

Each comes as it is, with every input coming with the request, and once more with all inputs but the first as constants:
models hold scales, axes and weights, and some backends take them only so.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, numpy_helper

from webinfer.accuracy.atlas.trials.trial import OperatorTrial

_RANDOM = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
)
_NEWEST = 13  # IR version that ONNX Runtime Web 1.30 knows; what is newer differs in nothing that these tests use
_FIXED = "_held"  # ends the names of tests with constants
_MOST = 1 << 20  # bytes that may become constants


def collected() -> Iterator[OperatorTrial]:
    """Yield ONNX's tests as they come, each with its first inputs and outputs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # making the tests divides by zero, on purpose
        from onnx.backend.test.case.node import collect_testcases

        tests = collect_testcases(None)
    for test in tests:
        if test.model is None or not test.data_sets:
            continue
        given, wanted = ([_array(value) for value in values] for values in test.data_sets[0])
        inputs = dict(zip((value.name for value in test.model.graph.input), given, strict=False))
        expected = dict(zip((value.name for value in test.model.graph.output), wanted, strict=False))
        yield OperatorTrial(test.name, test.model, inputs, expected)


def _array(value: Any) -> Any:
    """Return a value of a test; arrays for tensors, as which some tests come where NumPy lacked their type."""
    if isinstance(value, TensorProto):
        return numpy_helper.to_array(value)
    return [_array(part) for part in value] if isinstance(value, list) else value


def node_trials() -> Iterator[OperatorTrial]:
    """Yield ONNX's tests of single operators, but for those whose answers are random."""
    for test in collected():
        if _is_random(test.model):
            continue
        model = ModelProto()
        model.CopyFrom(test.model)
        model.ir_version = min(model.ir_version, _NEWEST)
        test = replace(test, model=model, operator=_operator(test.name, model))
        yield test
        held = _with_constants(model, test.inputs)
        if held is not None:
            first = next(iter(test.inputs))
            yield replace(test, name=test.name + _FIXED, model=held, inputs={first: test.inputs[first]})


def _is_random(model: ModelProto) -> bool:
    operators = {node.op_type for node in model.graph.node}
    return bool(operators & _RANDOM) or ("Dropout" in operators and len(model.graph.input) > 2)


def _operator(name: str, model: ModelProto) -> str:
    """Return what a test is about: its node's operator, or what the name of a function's test begins with."""
    nodes = [node.op_type for node in model.graph.node if node.op_type != "Constant"]
    if len(nodes) == 1:
        return str(nodes[0])
    words = name.removeprefix("test_").partition("_expanded")[0]
    return words.split("_")[0].capitalize() + " (several nodes)"


def _with_constants(model: ModelProto, inputs: Mapping[str, Any]) -> ModelProto | None:
    """Return a test of one node whose inputs but the first are constants; ``None`` where that cannot be."""
    arrays = list(inputs.values())
    if len(model.graph.node) != 1 or len(arrays) < 2:
        return None
    plain = all(isinstance(array, np.ndarray) and array.dtype.kind in "fiub" for array in arrays)
    if not plain or sum(array.nbytes for array in arrays[1:]) > _MOST:
        return None
    held = ModelProto()
    held.CopyFrom(model)
    for name, array in list(inputs.items())[1:]:
        held.graph.initializer.append(numpy_helper.from_array(array, name))
    first = held.graph.input[0]
    kept = type(first)()
    kept.CopyFrom(first)
    del held.graph.input[:]
    held.graph.input.append(kept)
    return held

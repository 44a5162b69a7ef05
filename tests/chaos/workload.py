"""Models whose answers native onnxruntime knows, and models that do harm."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

SIDE = 256  # of the matrices that the endless model multiplies: some 20 ms a turn
FAR_TOO_MUCH = 1_072_000_000  # floats: 7 MB less than all that a 32-bit WebAssembly memory can address


@dataclass(frozen=True, slots=True)
class Subject:
    """A model under test.

    Attributes:
        shape: Shape of one input without its batch axis.
        reference: The same model in native onnxruntime.
    """

    name: str
    path: Path
    shape: tuple[int, ...]
    reference: onnxruntime.InferenceSession

    def draw(self, random: np.random.Generator) -> NDArray[np.float32]:
        """Draw an input."""
        return random.standard_normal((int(random.integers(1, 5)), *self.shape), np.float32)

    def is_right(self, x: NDArray[np.float32], y: NDArray[np.float32]) -> bool:
        """Whether ``y`` is what native onnxruntime answers, as near as float32 sums in another order are."""
        (expected,) = self.reference.run(None, {"x": x})
        return y.shape == expected.shape and bool(np.allclose(y, expected, rtol=1e-4, atol=1e-4))


def make_subjects(directory: Path) -> list[Subject]:
    """Write three models: dense layers, a convolution, and attention."""
    random = np.random.default_rng(3)

    def constant(name: str, *shape: int) -> onnx.TensorProto:
        return numpy_helper.from_array(random.standard_normal(shape, np.float32) / 4, name)

    dense = [
        helper.make_node("MatMul", ["x", "first"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("MatMul", ["b", "second"], ["y"]),
    ]
    convolution = [
        helper.make_node("Conv", ["x", "kernel", "bias"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("GlobalAveragePool", ["b"], ["c"]),
        helper.make_node("Flatten", ["c"], ["y"]),
    ]
    attention = [
        helper.make_node("MatMul", ["x", "query"], ["q"]),
        helper.make_node("Transpose", ["x"], ["k"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["q", "k"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["weights"], axis=-1),
        helper.make_node("MatMul", ["weights", "x"], ["y"]),
    ]
    return [
        _subject(directory, "dense", dense, (32,), (16,), constant("first", 32, 64), constant("second", 64, 16)),
        _subject(
            directory,
            "convolution",
            convolution,
            (3, 16, 16),
            (8,),
            constant("kernel", 8, 3, 3, 3),
            constant("bias", 8),
        ),
        _subject(directory, "attention", attention, (24, 16), (24, 16), constant("query", 16, 16)),
    ]


def _subject(
    directory: Path,
    name: str,
    nodes: list[onnx.NodeProto],
    taken: tuple[int, ...],
    given: tuple[int, ...],
    *constants: onnx.TensorProto,
) -> Subject:
    path = _save(directory, name, nodes, ("batch", *taken), ("batch", *given), constants)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return Subject(name, path, taken, onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"]))


def make_glutton(directory: Path) -> Path:
    """Write a model that wants more memory than there can be."""
    nodes = [
        helper.make_node("Expand", ["x", "much"], ["a"]),
        helper.make_node("ReduceSum", ["a"], ["y"], keepdims=0),
    ]
    much = numpy_helper.from_array(np.array([FAR_TOO_MUCH]), "much")
    return _save(directory, "glutton", nodes, (1,), (), [much])


def make_bulk(directory: Path) -> Path:
    """Write a model that gives as much as it takes: the same numbers, negated."""
    return _save(directory, "bulk", [helper.make_node("Neg", ["x"], ["y"])], ("n",), ("n",), [])


def make_endless(directory: Path) -> Path:
    """Write a model that computes for as many turns as ``x`` says: for hours, if it says so."""
    state = helper.make_tensor_value_info("state", TensorProto.FLOAT, [SIDE, SIDE])
    after = helper.make_tensor_value_info("next", TensorProto.FLOAT, [SIDE, SIDE])
    turn = helper.make_tensor_value_info("turn", TensorProto.INT64, [])
    going, on = (helper.make_tensor_value_info(name, TensorProto.BOOL, []) for name in ("going", "on"))
    nodes = [
        helper.make_node("MatMul", ["state", "one"], ["next"]),
        helper.make_node("Identity", ["going"], ["on"]),
    ]
    body = helper.make_graph(nodes, "body", [turn, going, state], [on, after])
    outer = [
        helper.make_node("Cast", ["x"], ["whole"], to=TensorProto.INT64),
        helper.make_node("Squeeze", ["whole"], ["turns"]),
        helper.make_node("Loop", ["turns", "", "one"], ["last"], body=body),
        helper.make_node("ReduceSum", ["last"], ["sum"], keepdims=0),
        helper.make_node("Mul", ["sum", "x"], ["y"]),
    ]
    return _save(
        directory, "endless", outer, (1,), (1,), [numpy_helper.from_array(np.eye(SIDE, dtype=np.float32), "one")]
    )


def _save(directory: Path, name: str, nodes: Any, taken: Any, given: Any, constants: Any) -> Path:
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, taken)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, given)],
        constants,
    )
    path = directory / f"{name}.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path

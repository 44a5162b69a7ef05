"""Canaries: each class of wrong kernel shows in one of them, and what is right passes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.accuracy.samples.test_maker import decoder
from tests.modelfiles import Write, value
from webinfer.accuracy.bounded.reference import answers_of, reference
from webinfer.accuracy.comparison import compare, fault, limits_for, worst
from webinfer.accuracy.samples.canaries import CanaryMaker, forms, shaken
from webinfer.core.lifetime.worker_process import Job
from webinfer.models.sources.resolve import resolve

pytestmark = pytest.mark.usefixtures("own_cache")
node = helper.make_node
INT64, INT32, BOOL = TensorProto.INT64, TensorProto.INT32, TensorProto.BOOL


def verdict(right: Path, wrong: Path) -> str | None:
    """Return what the comparison says of a graph in another one's place."""
    package = resolve(right)
    found = reference(package, Job())
    assert found.reason is None, found.reason
    answers = answers_of(package, wrong, found.canaries, Job())
    pairs = zip(answers, found.canaries, strict=True)
    deviations = worst([compare(answer, canary.answer, canary.steady) for answer, canary in pairs])
    return fault(deviations, limits_for(package.precision))


def number(name: str, array: Any, dtype: Any = np.float32) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(array, dtype), name)


SIDES = {"inputs": [value("x", shape=("n", 8))], "outputs": [value("y", shape=("n", 8))]}
INDEX = {"inputs": [value("x", shape=("n", 8))], "outputs": [value("y", INT64, ("n", 1))]}
WHOLE = {"inputs": [value("x", INT64, ("n", 8))], "outputs": [value("y", INT64, ("n", 8))]}
HALF, LIMITS = [number("half", 0.5)], [number("least", -90), number("most", 90)]
WRONG: dict[str, tuple[Any, Any, Any, Any]] = {
    "last of equal values": ([node("ArgMax", ["x"], ["y"], axis=1)],
                             [node("ArgMax", ["x"], ["y"], axis=1, select_last_index=1)], INDEX, []),
    "halves rounded up": ([node("Round", ["x"], ["y"])],
                          [node("Add", ["x", "half"], ["h"]), node("Floor", ["h"], ["y"])], SIDES, HALF),
    "large values cut": ([node("Identity", ["x"], ["y"])],
                         [node("Clip", ["x", "least", "most"], ["y"])], SIDES, LIMITS),
    "negative values lost": ([node("Identity", ["x"], ["y"])], [node("Relu", ["x"], ["y"])], SIDES, []),
    "rows that see each other": ([node("Identity", ["x"], ["y"])],
                                 [node("ReduceMax", ["x"], ["m"], axes=[0]), node("Max", ["x", "m"], ["y"])],
                                 SIDES, []),
    "zeros taken for others": ([node("Sign", ["x"], ["y"])],
                               [node("Greater", ["x", "zero"], ["b"]), node("Where", ["b", "one", "minus"], ["y"])],
                               SIDES, [number("zero", 0), number("one", 1), number("minus", -1)]),
    "long whole numbers cut": ([node("Identity", ["x"], ["y"])],
                               [node("Cast", ["x"], ["s"], to=INT32), node("Cast", ["s"], ["y"], to=INT64)], WHOLE, []),
    "negative whole numbers lost": ([node("Identity", ["x"], ["y"])],
                                    [node("Max", ["x", "nil"], ["y"])], WHOLE, [number("nil", 0, np.int64)]),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_wrong_kernel_shows(write: Write, name: str) -> None:
    right, wrong, sides, tensors = WRONG[name]
    graph = write("right.onnx", nodes=right, initializers=tensors, **sides)
    assert verdict(graph, write("wrong.onnx", nodes=wrong, initializers=tensors, **sides)) is not None
    assert verdict(graph, graph) is None


def test_tiny_values_are_not_lost_beside_large_ones(write: Write) -> None:
    """Each output has one magnitude, so that no large value hides a small one."""
    cut = [node("Abs", ["x"], ["a"]), node("Less", ["a", "least"], ["b"]), node("Where", ["b", "zero", "x"], ["k"])]
    tensors = [number("least", 1e-3), number("zero", 0), number("minus", -2e-3), number("plus", 2e-3)]
    right = write("right.onnx", nodes=[node("Clip", ["x", "minus", "plus"], ["y"])], initializers=tensors, **SIDES)
    cut.append(node("Clip", ["k", "minus", "plus"], ["y"]))
    assert verdict(right, write("wrong.onnx", nodes=cut, initializers=tensors, **SIDES)) is not None


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_last_of_equal_values_shows_along_any_axis_of_few_values(write: Write, axis: int) -> None:
    sides = {"inputs": [value("x", shape=(2, 2, 2))], "outputs": [value("y", shape=None)]}
    right, wrong = (
        write(f"{last}.onnx", **sides, nodes=[
            node("ArgMax", ["x"], ["i"], axis=axis, select_last_index=last), node("Cast", ["i"], ["y"], to=1)])
        for last in (0, 1)
    )  # fmt: skip
    assert verdict(right, wrong) is not None


def test_rounding_that_equal_inputs_leave_is_no_fault(write: Write) -> None:
    """Equal values less their mean are zero but for rounding, which a small divisor makes large."""
    nodes = [node("Mul", ["x", "third"], ["a"]), node("ReduceMean", ["a"], ["m"], axes=[1]),
             node("Sub", ["a", "m"], ["d"]), node("Mul", ["d", "many"], ["y"])]  # fmt: skip
    reordered = [*nodes[:1], node("Gather", ["a", "order"], ["g"], axis=1), node("ReduceSum", ["g", "axis"], ["s"]),
                 node("Mul", ["s", "seventh"], ["m"]), *nodes[2:]]  # fmt: skip
    tensors = [number("third", 1 / 3), number("many", 1e6), number("order", [*range(6, -1, -1)], np.int64),
               number("axis", [1], np.int64), number("seventh", 1 / 7)]  # fmt: skip
    sides = {"inputs": [value("x", shape=("n", 7))], "outputs": [value("y", shape=("n", 7))]}
    right = write("right.onnx", nodes=nodes, initializers=tensors, **sides)
    assert verdict(right, write("wrong.onnx", nodes=reordered, initializers=tensors, **sides)) is None


def test_mask_that_is_ignored_shows(write: Write) -> None:
    inputs = [value("input_ids", INT64, ("b", "s")), value("attention_mask", INT64, ("b", "s"))]
    sides = {"inputs": inputs, "outputs": [value("y", INT64, ("b", "s"))]}
    right = write("right.onnx", nodes=[node("Mul", ["input_ids", "attention_mask"], ["y"])], **sides)
    wrong = write("wrong.onnx", nodes=[node("Identity", ["input_ids"], ["y"])], **sides)
    assert verdict(right, wrong) is not None


def test_near_tie_of_a_computed_index_is_no_fault(write: Write) -> None:
    """The scores are sums of the same numbers in two orders: which of them is larger is a matter of rounding."""
    random = np.random.default_rng(0)
    weights = random.standard_normal((8, 1))
    order = random.permutation(8)
    tensors = [number("w", np.hstack([weights, weights])), number("order", order, np.int64),
               number("shuffled", np.hstack([weights, weights])[order])]  # fmt: skip
    head = node("ArgMax", ["z"], ["y"], axis=1)
    right = write("right.onnx", initializers=tensors, **INDEX, nodes=[
        node("MatMul", ["x", "w"], ["a"]), node("Softmax", ["a"], ["z"], axis=1), head])  # fmt: skip
    wrong = write("wrong.onnx", initializers=tensors, **INDEX, nodes=[
        node("Gather", ["x", "order"], ["g"], axis=1), node("MatMul", ["g", "shuffled"], ["a"]),
        node("Softmax", ["a"], ["z"], axis=1), head])  # fmt: skip
    assert verdict(right, wrong) is None


def test_canaries_have_sizes_that_are_no_bucket_and_several_rows(write: Write) -> None:
    sides = {"inputs": [value("x", shape=("n", "m"))], "outputs": [value("y", shape=("n", "m"))]}
    found = reference(resolve(write(**sides)), Job())
    assert [canary.inputs["x"].shape for canary in found.canaries] == [(1, 16), (3, 13), (1, 16), (1, 16)]
    values = [canary.inputs["x"] for canary in found.canaries]
    assert len(np.unique(values[1])) < values[1].size / 2
    assert (values[2] == 0).any()
    assert np.abs(values[2]).max() > 1e5 * np.abs(values[2][values[2] != 0]).min()


def test_model_that_takes_one_row_alone_gets_one(write: Write) -> None:
    sides = {"inputs": [value("x", shape=(1, "m"))], "outputs": [value("y", shape=(1, "m"))]}
    found = reference(resolve(write(**sides)), Job())
    assert [canary.inputs["x"].shape for canary in found.canaries] == [(1, 16), (1, 13), (1, 16), (1, 16)]


def test_indices_that_must_be_small_are_zeros(write: Write) -> None:
    tensors = [number("table", np.arange(2.0).reshape(1, 2))]
    path = write(nodes=[node("Gather", ["table", "x"], ["y"])], inputs=[value("x", INT64, ("n", 3))],
                 outputs=[value("y", shape=("n", 3, 2))], initializers=tensors)  # fmt: skip
    found = reference(resolve(path), Job())
    assert len(found.canaries) == 4
    assert not any(canary.inputs["x"].any() for canary in found.canaries)


def test_extremes_of_token_ids_and_padding_are_among_the_canaries(write: Write) -> None:
    package = resolve(decoder(write))
    maker = CanaryMaker(package)
    (first, *_), (second, *_), *_ = forms(package)
    plain, odd = maker.make(first), maker.make(second)
    assert plain["attention_mask"].all()
    assert odd["attention_mask"].shape == (3, 16)
    assert odd["attention_mask"].sum(1).tolist() == [14, 11, 8]
    assert {0, 6} <= set(odd["input_ids"].ravel().tolist()) <= set(range(7))
    assert odd["position_ids"][0].tolist() == list(range(3, 16))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_shaking_moves_values_and_keeps_what_is_equal(dtype: Any) -> None:
    x = np.array([0, 1, 1, -2, 300], dtype)
    up, down = (shaken({"x": x, "n": np.arange(2)}, sign) for sign in (1, -1))
    assert up["x"].dtype == dtype
    assert up["x"][1] == up["x"][2]
    assert up["x"][0] == 0
    assert (up["x"][1:] != down["x"][1:]).any()
    np.testing.assert_allclose(up["x"], x, rtol=1e-2)
    np.testing.assert_array_equal(up["n"], np.arange(2))

"""Graphs are brought to versions that the browser's runtime knows, and to outputs that it hands out, or stay."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from tests.modelfiles import value
from webinfer.models.graphs.adaptation import adapt

node = helper.make_node


def model(*nodes: NodeProto, ir: int = 14, opset: int = 28, outputs: Any = None, **imports: int) -> ModelProto:
    graph = helper.make_graph(list(nodes) or [node("Neg", ["x"], ["y"])], "g", [value("x")], outputs or [value("y")])
    opsets = [
        helper.make_opsetid("", opset),
        *(helper.make_opsetid("ai.onnx.ml", version) for version in imports.values()),
    ]
    return helper.make_model(graph, opset_imports=opsets, ir_version=ir)


def versions(adapted: ModelProto) -> tuple[int, ...]:
    return (adapted.ir_version, *(opset.version for opset in adapted.opset_import))


def test_versions_are_lowered_where_the_number_alone_is_new() -> None:
    plain = model(ml=5)
    notes = list(adapt(plain, ["y"]).notes)
    assert versions(plain) == (13, 26, 5)
    assert notes == [
        "lowered for the browser's runtime, since nothing in the model needs more: "
        "opset 28 to 26 and IR version 14 to 13"
    ]
    assert adapt(plain, ["y"]).notes == ()


@pytest.mark.parametrize("ir", [3, 8, 13])
def test_older_versions_stay(ir: int) -> None:
    old = model(ir=ir, opset=17)
    before = old.SerializeToString()
    assert adapt(old, ["y"]).notes == ()
    assert old.SerializeToString() == before


def inner(*nodes: NodeProto) -> onnx.GraphProto:
    return helper.make_graph(list(nodes), "inner", [], [value("z", shape=None)])


CHANGED = node("SpaceToDepth", ["x"], ["z"], blocksize=2)  # has another version since opset 26
ADDED = node("LinearAttention", ["x", "x", "x"], ["z"], q_num_heads=1, kv_num_heads=1)  # came after opset 26


@pytest.mark.parametrize("place", ["graph", "branch", "function"])
@pytest.mark.parametrize(
    ("changed", "doubtful", "opset"), [(CHANGED, True, 26), (CHANGED, False, 28), (ADDED, True, 28)]
)
def test_operators_that_changed_since_are_told_wherever_they_are(
    place: str, changed: NodeProto, doubtful: bool, opset: int
) -> None:
    graph = model(changed)
    if place == "branch":
        graph = model(
            node("If", ["c"], ["y"], then_branch=inner(changed), else_branch=inner(node("Neg", ["x"], ["z"])))
        )
    if place == "function":
        graph = model(node("F", ["x"], ["y"], domain="own"))
        opsets = [helper.make_opsetid("", 28)]
        graph.functions.append(helper.make_function("own", "F", ["x"], ["z"], [changed], opsets))
    adaptation = adapt(graph, ["y"], doubtful=doubtful)
    assert versions(graph) == (13, opset)
    assert adaptation.is_doubtful == (opset == 26)


def test_operator_that_only_takes_more_types_since_is_the_same() -> None:
    graph = model(node("Einsum", ["x"], ["y"], equation="i->i"))
    assert not adapt(graph, ["y"]).is_doubtful
    assert versions(graph) == (13, 26)


def test_attribute_that_the_older_operator_lacks_keeps_the_opset() -> None:
    graph = model(node("SpaceToDepth", ["x"], ["y"], blocksize=2, mode="CRD"))
    assert not adapt(graph, ["y"]).is_doubtful
    assert versions(graph) == (13, 28)


def test_functions_are_lowered_with_the_model() -> None:
    function = helper.make_function(
        "own", "F", ["x"], ["z"], [node("Neg", ["x"], ["z"])], [helper.make_opsetid("", 28)]
    )
    adapted = model(node("F", ["x"], ["y"], domain="own"))
    adapted.functions.append(function)
    adapt(adapted, ["y"])
    assert versions(adapted) == (13, 26)
    assert adapted.functions[0].opset_import[0].version == 26


def test_format_that_is_not_known_or_that_is_needed_stays() -> None:
    future = model(ir=99, opset=99)
    adapt(future, ["y"])
    assert versions(future) == (99, 99)
    needed = model()
    needed.graph.initializer.append(TensorProto(name="w", data_type=int(TensorProto.INT2) + 1, dims=[0]))
    adapt(needed, ["y"])
    assert needed.ir_version == 14
    strange = ModelProto.FromString(model().SerializeToString() + b"\xa2\x7d\x01a")  # a field of number 2004
    adapt(strange, ["y"])
    assert strange.ir_version == 14


def test_outputs_that_do_not_pass_are_left_out_with_what_they_alone_need() -> None:
    branch = node(
        "If",
        ["c"],
        ["b"],
        then_branch=inner(node("Neg", ["used"], ["z"])),
        else_branch=inner(node("Abs", ["x"], ["z"])),
    )
    graph = model(
        node("Exp", ["x"], ["used"]),
        node("Cast", ["x"], ["c"], to=TensorProto.BOOL),
        branch,
        node("Neg", ["b"], ["y"]),
        node("SplitToSequence", ["x"], ["s"]),
        opset=17,
        ir=8,
        outputs=[value("y"), onnx.ValueInfoProto(name="s")],
    )
    assert adapt(graph, ["y"]).notes == ("left out s: the browser's runtime hands out tensors alone",)
    assert [each.op_type for each in graph.graph.node] == ["Exp", "Cast", "If", "Neg"]
    assert [output.name for output in graph.graph.output] == ["y"]


def test_what_is_lowered_answers_the_same() -> None:
    x = {"x": np.linspace(-1, 1, 8, dtype=np.float32)}
    constant = numpy_helper.from_array(np.array([2.0], np.float32))
    graph = model(
        node("Constant", [], ["k"], value=constant), node("Mul", ["x", "k"], ["m"]), node("Gelu", ["m"], ["y"])
    )
    before = onnxruntime.InferenceSession(graph.SerializeToString()).run(None, x)
    adapt(graph, ["y"])
    assert versions(graph) == (13, 26)
    np.testing.assert_array_equal(onnxruntime.InferenceSession(graph.SerializeToString()).run(None, x), before)

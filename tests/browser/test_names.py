"""Inputs and outputs may have any names, JavaScript's own and numbers among them, and come in the model's order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.browser.conftest import BROWSERS
from webinfer import Accelerator

OUTPUTS = ["495", "b", "__proto__", "12", "constructor", "toString", "hasOwnProperty", "0", "valueOf", "y/z:0", "-1"]
INPUTS = ["10", "__defineGetter__", "isPrototypeOf", "2", "then"]


def write(path: Path, inputs: list[str], outputs: list[str]) -> Path:
    """Write a model whose every output is the sum of all inputs plus its place."""
    ones = [onnx.numpy_helper.from_array(np.array(at, np.float32), f"place {at}") for at in range(len(outputs))]
    nodes = [helper.make_node("Sum", [*inputs, f"place {at}"], [name]) for at, name in enumerate(outputs)]
    took = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ("n",)) for name in inputs]
    gave = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ("n",)) for name in outputs]
    graph = helper.make_graph(nodes, "graph", took, gave, ones)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.mark.parametrize("backend", ["wasm", "webnn", "webgpu"])
def test_any_names_are_answered_in_the_models_order(embedded: Accelerator, tmp_path: Path, backend: Any) -> None:
    x = {name: np.full(3, 10.0**at, np.float32) for at, name in enumerate(INPUTS)}
    with embedded.load(write(tmp_path / "m.onnx", INPUTS, OUTPUTS), platform=backend) as model:
        outputs = model.run(x).outputs
        assert list(outputs) == OUTPUTS
        for at, name in enumerate(OUTPUTS):
            np.testing.assert_array_equal(outputs[name], np.full(3, 11111 + at, np.float32))
        some = model.run(x, outputs=["b", "__proto__", "0"]).outputs
        assert {name: float(array[0]) for name, array in some.items()} == {"b": 11112, "__proto__": 11113, "0": 11118}
        assert list(some) == ["b", "__proto__", "0"]


@pytest.mark.parametrize("accelerator", BROWSERS, indirect=True)
def test_an_input_may_have_the_name_of_a_prototype(accelerator: Accelerator, tmp_path: Path) -> None:
    with accelerator.load(write(tmp_path / "m.onnx", ["__proto__", "1"], ["x"]), platform="wasm") as model:
        x = {"1": np.ones(2, np.float32), "__proto__": np.full(2, 4, np.float32)}
        np.testing.assert_array_equal(model.run(x)["x"], [5, 5])


@pytest.mark.parametrize("name", ["constructor", "__proto__"])
def test_a_dimension_may_have_any_name(embedded: Accelerator, tmp_path: Path, name: str) -> None:
    model = onnx.load(write(tmp_path / "m.onnx", ["x"], ["y"]))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = name
    onnx.save(model, tmp_path / "m.onnx")
    with embedded.load(tmp_path / "m.onnx", platform="webnn") as loaded:
        np.testing.assert_array_equal(loaded.run({"x": np.ones(3, np.float32)})["y"], [1, 1, 1])

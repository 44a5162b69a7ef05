"""``webinfer locate``: the first wrong node from the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from tests.cli.conftest import Call


@pytest.fixture(params=[0.0, 4.0])
def resizing(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The path of a model whose Resize WebNN gets wrong: of any values, or only where some are large."""
    make = helper.make_node
    nodes = [
        make("Constant", [], ["least"], value_float=request.param),
        make("Sub", ["x", "least"], ["d"]),
        make("Relu", ["d"], ["r"]),
        make("Resize", ["r", "", "s"], ["y"], "up", mode="linear", coordinate_transformation_mode="align_corners"),
    ]
    x = helper.make_tensor_value_info("x", 1, [1, 1, 4, 4])
    y = helper.make_tensor_value_info("y", 1, [1, 1, 8, 8])
    graph = helper.make_graph(nodes, "g", [x], [y], [numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "s")])
    path = tmp_path / "resizing.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


@pytest.mark.browser("embedded")
def test_locate_names_the_node_and_writes_what_shows_it(
    spawn: Call, embedded: str, resizing: Path, tmp_path: Path
) -> None:
    answer = spawn("locate", str(resizing), "-b", embedded, "-p", "webnn", "-o", str(tmp_path / "out"))
    assert answer.code == 1, answer.err
    assert "resizing goes wrong on webnn" in answer.out
    assert "up, number 4 of 4" in answer.out
    assert "align_corners" in answer.out
    assert {file.suffix for file in (tmp_path / "out").iterdir()} == {".onnx", ".npz", ".html"}


@pytest.mark.browser("embedded")
def test_locate_finds_nothing_where_nothing_is_wrong(spawn: Call, embedded: str, resizing: Path) -> None:
    answer = spawn("locate", str(resizing), "-b", embedded, "-p", "wasm", "--json")
    assert answer.code == 0, answer.err
    assert answer.object == {"model": "resizing", "backend": "wasm", "fault": None}
    shown = spawn("locate", str(resizing), "-b", embedded, "-p", "wasm", "-q")
    assert "every value is what native onnxruntime computes" in shown.out

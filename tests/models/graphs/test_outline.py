"""A model's outline is the model, its weights in another file."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.modelfiles import Write, value
from webinfer.accuracy.native import NativeSession
from webinfer.core.errors import InvalidModel
from webinfer.deployment.prepare import deliver
from webinfer.models.graphs.outline import outline
from webinfer.models.sources.resolve import resolve

RNG = np.random.default_rng(7)


@pytest.fixture
def model(write: Write) -> Path:
    weights = {"w": RNG.standard_normal((40, 30), np.float32), "b": RNG.standard_normal(30, np.float32)}
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Add", ["h", "b"], ["y"])]
    return write(
        nodes=nodes,
        inputs=[value("x", shape=("n", 40))],
        outputs=[value("y", shape=("n", 30))],
        initializers=[numpy_helper.from_array(array, name) for name, array in weights.items()],
    )


def test_outline_with_the_file_beside_it_answers_as_the_model(model: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    onnx.save(outline(model, "weights"), other / "model.onnx")
    os.link(model, other / "weights")
    x = RNG.standard_normal((3, 40), np.float32)
    answers = [onnxruntime.InferenceSession(path).run(None, {"x": x})[0] for path in (model, other / "model.onnx")]
    np.testing.assert_array_equal(*answers)


def test_large_weights_are_outside_and_small_ones_inside(model: Path) -> None:
    tensors = {tensor.name: tensor for tensor in outline(model, "weights").graph.initializer}
    assert not tensors["w"].raw_data
    assert tensors["b"].raw_data
    assert {entry.key: entry.value for entry in tensors["w"].external_data}["location"] == "weights"


def test_outline_differs_from_the_model_in_nothing_else(model: Path) -> None:
    ours, whole = outline(model, "weights"), onnx.load(model)
    for each in (ours, whole):
        del each.graph.initializer[:]
    assert ours == whole


def test_weights_that_are_external_already_stay_so(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "split" / "model.onnx"
    path.parent.mkdir()
    onnx.save(onnx.load(model), path, save_as_external_data=True, location="model.onnx_data", size_threshold=0)
    assert outline(path, "weights") == onnx.load(path, load_external_data=False)


def test_constant_nodes_and_subgraphs_keep_their_weights(write: Write) -> None:
    constant = helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(np.ones(1000, np.float32)))
    path = write(nodes=[constant, helper.make_node("Add", ["x", "c"], ["y"])])
    assert outline(path, "weights") == onnx.load(path)


def test_corrupt_file_is_refused(model: Path) -> None:
    model.write_bytes(model.read_bytes()[:-400])
    with pytest.raises(InvalidModel, match="cut off"):
        outline(model, "weights")


def test_garbage_inside_a_message_is_refused(write: Write) -> None:
    path = write()
    data = path.read_bytes()
    path.write_bytes(data.replace(b"\x03Neg", b"\x7fNeg"))
    with pytest.raises(InvalidModel, match="corrupt"):
        outline(path, "weights")


@pytest.mark.usefixtures("own_cache")
def test_delivery_is_made_once_whatever_the_files_name(model: Path, tmp_path: Path) -> None:
    first = deliver(resolve(model), "wasm")
    other = tmp_path / "renamed" / "model_fp16.onnx"
    other.parent.mkdir()
    os.link(model, other)
    second = deliver(resolve(other), "wasm")
    assert first.model == second.model
    assert first.model.nbytes < 1000 < model.stat().st_size
    assert [file.name for file in first.external] == [file.name for file in second.external]
    assert second.external[0].path == other


@pytest.mark.usefixtures("own_cache")
def test_model_without_large_weights_is_delivered_as_it_is(write: Write) -> None:
    path = write()
    delivery = deliver(resolve(path), "wasm")
    assert (delivery.model.path, delivery.external) == (path, ())


def test_cache_that_cannot_be_written_costs_the_outline_not_the_model(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = resolve(model)
    monkeypatch.setenv("WEBINFER_CACHE", str(tmp_path))
    (tmp_path / "delivered").write_text("a file where the directory should be")
    assert deliver(package, "wasm").model == package.model


def test_minilm_is_outlined_to_kilobytes() -> None:
    package = resolve("wheel:all-MiniLM-L6-v2")
    delivery = deliver(package, "webnn")
    assert delivery.model.nbytes < 50_000
    assert delivery.rewritten == {"Gelu": 6}
    assert delivery.external[0].sha256 == package.model.sha256


def test_native_runtime_answers_alike_for_what_is_delivered(tmp_path: Path) -> None:
    package = resolve("wheel:all-MiniLM-L6-v2")
    delivery = deliver(package, "webnn")
    os.link(delivery.model.path, tmp_path / "model.onnx")
    for file in delivery.external:
        os.link(file.path, tmp_path / file.name)
    ids = RNG.integers(1000, 20000, (2, 16))
    inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    expected = NativeSession(package).run(inputs)
    options = onnxruntime.SessionOptions()
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", options)
    (name,) = [output.name for output in session.get_outputs()]
    np.testing.assert_allclose(session.run(None, inputs)[0], expected[name], atol=2e-5)


def test_type_of_a_weight_is_kept(write: Write) -> None:
    weights = numpy_helper.from_array(RNG.integers(0, 9, (600,)), "w")
    path = write(
        nodes=[helper.make_node("Add", ["x", "w"], ["y"])],
        inputs=[value("x", TensorProto.INT64, (600,))],
        outputs=[value("y", TensorProto.INT64, (600,))],
        initializers=[weights],
    )
    (tensor,) = outline(path, "weights").graph.initializer
    assert (tensor.data_type, list(tensor.dims)) == (TensorProto.INT64, [600])

"""Models of unusual make answer as native onnxruntime does, or are refused with what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.browser.conftest import Save
from webinfer import Accelerator
from webinfer.accuracy.native import run_native
from webinfer.core.errors import (
    InvalidModel,
    LaneLost,
    LoadFailed,
    ModelError,
    NotANumber,
    UnknownOutput,
    UnsupportedOperator,
    WebinferError,
)
from webinfer.models.sources.resolve import resolve

node = helper.make_node
BACKENDS = ["wasm", "webnn", "webgpu"]
X = np.linspace(-2, 2, 32, dtype=np.float32)
WEIGHTS = np.random.default_rng(4).standard_normal(32).astype(np.float32)


def weight(array: Any, name: str = "w") -> tuple[onnx.TensorProto, ...]:
    return (numpy_helper.from_array(array.astype(np.float32), name),)


def branches(save: Save) -> Path:
    def branch(name: str, operator: str) -> onnx.GraphProto:
        out = helper.make_tensor_value_info(name, TensorProto.FLOAT, (32,))
        return helper.make_graph([node(operator, ["x", "w"], [name])], name, [], [out])

    largest = node("ReduceMax", ["x"], ["m"], keepdims=0)
    so = node("Greater", ["m", "zero"], ["so"])
    either = node("If", ["so"], ["y"], then_branch=branch("a", "Add"), else_branch=branch("b", "Mul"))
    return save(largest, so, either, shape=(32,), initializers=(*weight(WEIGHTS), *weight(np.array(0.0), "zero")))


def loop(save: Save) -> Path:
    count, true = numpy_helper.from_array(np.array(3), "count"), numpy_helper.from_array(np.array(True), "true")
    body = helper.make_graph(
        [node("Add", ["before", "w"], ["after"]), node("Identity", ["go"], ["on"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, ()),
            helper.make_tensor_value_info("go", TensorProto.BOOL, ()),
            helper.make_tensor_value_info("before", TensorProto.FLOAT, (32,)),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, ()),
            helper.make_tensor_value_info("after", TensorProto.FLOAT, (32,)),
        ],
    )
    again = node("Loop", ["count", "true", "x"], ["y"], body=body)
    return save(again, shape=(32,), initializers=(count, true, *weight(WEIGHTS)))


def shared(save: Save) -> Path:
    twice = (node("Mul", ["x", "w"], ["a"]), node("Add", ["a", "w"], ["y"]))
    return save(*twice, shape=(32,), initializers=weight(WEIGHTS))


def denormal(save: Save) -> Path:
    return save(node("Add", ["x", "w"], ["y"]), shape=(32,), initializers=weight(np.full(32, 1e-41)))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("make", [branches, loop, shared, denormal])
def test_unusual_graphs_answer_as_they_do_natively(
    embedded: Accelerator, save: Save, make: Callable[[Save], Path], backend: Any
) -> None:
    path = make(save)
    if backend == "webnn" and make in (branches, loop):  # ONNX Runtime Web 1.30
        with pytest.raises(LoadFailed):
            embedded.load(path, platform=backend)
        return
    with embedded.load(path, platform=backend) as model:
        for x in (X, -np.abs(X) - 1):
            answer = model.run({"x": x})["y"]
            np.testing.assert_allclose(answer, run_native(resolve(path), {"x": x})["y"], atol=1e-5)


def each_channel_restored(save: Save) -> Path:
    """A depthwise filter of 8 bits with a scale to each, which ends the lane in ONNX Runtime Web 1.30's WebNN."""
    random = np.random.default_rng(5)
    levels = numpy_helper.from_array(random.integers(-100, 100, (8, 1, 3, 3)).astype(np.int8), "levels")
    scales = numpy_helper.from_array(np.full(8, 0.01, np.float32), "scales")
    zeros = numpy_helper.from_array(np.zeros(8, np.int8), "zeros")
    restore = node("DequantizeLinear", ["levels", "scales", "zeros"], ["filter"], axis=0)
    convolve = node("Conv", ["x", "filter"], ["y"], group=8, pads=[1, 1, 1, 1])
    return save(restore, convolve, shape=(1, 8, 4, 4), initializers=(levels, scales, zeros))


@pytest.mark.parametrize(("make", "error"), [(branches, LoadFailed), (each_channel_restored, LaneLost)])
def test_what_the_best_backend_does_not_take_goes_to_webassembly(
    embedded: Accelerator, save: Save, make: Callable[[Save], Path], error: type[WebinferError]
) -> None:
    path = make(save)
    x = {"x": np.resize(X, resolve(path).signature.inputs[0].shape)}  # type: ignore[arg-type]  # fixed sizes
    with pytest.raises(error):
        embedded.load(path, platform="webnn")
    with embedded.load(path, platform="auto") as model:
        result = model.run(x)
    assert (result.asked, result.backend) == ("auto", "wasm")
    assert result.reason is not None
    assert result.reason.startswith("webnn could not load it")
    np.testing.assert_allclose(result["y"], run_native(resolve(path), x)["y"], atol=1e-5)


@pytest.mark.parametrize("opset", [7, 9, 12, 13, 18, 21, 23])
@pytest.mark.parametrize("backend", BACKENDS)
def test_every_opset_answers_as_it_does_natively(
    embedded: Accelerator, perceptron: Path, opset: int, backend: Any
) -> None:
    model = onnx.load(perceptron)
    model.opset_import[0].version = opset
    onnx.save(model, perceptron)
    x = {"x": np.ones((1, 8), np.float32)}
    with embedded.load(perceptron, platform=backend) as loaded:
        np.testing.assert_allclose(loaded.run(x)["y"], run_native(resolve(perceptron), x)["y"], atol=1e-5)


@pytest.mark.parametrize(("field", "error"), [("ir", InvalidModel), ("opset", UnsupportedOperator)])
def test_a_version_that_is_newer_than_the_runtimes_is_refused(
    embedded: Accelerator, perceptron: Path, field: str, error: type[ModelError]
) -> None:
    model = onnx.load(perceptron)
    if field == "ir":
        model.ir_version = 99
    else:
        model.opset_import[0].version = 99
    onnx.save(model, perceptron)
    with pytest.raises(error, match="newer than the runtime"):
        embedded.load(perceptron, platform="wasm")


@pytest.mark.parametrize("backend", BACKENDS)
def test_weights_that_are_no_numbers_are_no_answer(embedded: Accelerator, save: Save, backend: Any) -> None:
    bad = WEIGHTS.copy()
    bad[3] = np.nan
    path = save(node("Mul", ["x", "w"], ["y"]), shape=(32,), initializers=weight(bad))
    with embedded.load(path, platform=backend) as model, pytest.raises(NotANumber):
        model.run({"x": X})


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("ir", "opset"), [(14, 17), (14, 28), (9, 27), (14, 26)])
def test_versions_whose_number_alone_is_new_run_and_the_result_says_so(
    embedded: Accelerator, perceptron: Path, backend: Any, ir: int, opset: int
) -> None:
    x = {"x": np.ones((1, 8), np.float32)}
    expected = run_native(resolve(perceptron), x)["y"]
    model = onnx.load(perceptron)
    model.ir_version, model.opset_import[0].version = ir, opset
    onnx.save(model, perceptron)
    with embedded.load(perceptron, platform=backend) as loaded:
        result = loaded.run(x)
    np.testing.assert_allclose(result["y"], expected, atol=1e-5)
    (note,) = [note for note in result.notes if "lowered" in note]
    assert ("IR version 14 to 13" in note) == (ir == 14)
    assert ("to 26" in note) == (opset > 26)


def sequences(path: Path) -> Path:
    """Write a model that gives a tensor, a sequence of tensors, and a tensor of a dtype that no browser has."""
    outputs = [
        helper.make_tensor_sequence_value_info("parts", TensorProto.FLOAT, None),
        helper.make_tensor_value_info("y", TensorProto.FLOAT, ("n",)),
        helper.make_tensor_value_info("b", TensorProto.BFLOAT16, ("n",)),
    ]
    nodes = [
        node("SplitToSequence", ["x"], ["parts"]),
        node("Neg", ["x"], ["y"]),
        node("Cast", ["x"], ["b"], to=TensorProto.BFLOAT16),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ("n",))
    graph = helper.make_graph(nodes, "graph", [x], outputs)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


@pytest.mark.parametrize("backend", BACKENDS)
def test_tensors_come_from_models_that_give_something_else_too(
    embedded: Accelerator, tmp_path: Path, backend: Any
) -> None:
    with embedded.load(sequences(tmp_path / "model.onnx"), platform=backend) as model:
        result = model.run({"x": X})
        assert list(result.outputs) == ["y"]
        np.testing.assert_array_equal(result["y"], -X)
        assert any("left out parts, b" in note for note in result.notes)
        np.testing.assert_array_equal(model.run({"x": X}, outputs=["y"])["y"], -X)
        with pytest.raises(UnknownOutput, match=r"sequence.*outputs=\['y'\].*zipmap") as caught:
            model.run({"x": X}, outputs=["parts"])
    assert caught.value.data["output"] == "parts"


def classifier(path: Path, labels: str) -> Path:
    """Write what scikit-learn's converter makes of a classifier: a label, and a sequence of maps."""
    names = ["no", "yes"]
    kinds: dict[str, Any] = {"classlabels_strings": names} if labels == "strings" else {"classlabels_ints": [0, 1]}
    zipped: dict[str, Any] = {"classlabels_strings": names} if labels == "strings" else {"classlabels_int64s": [0, 1]}
    key = TensorProto.STRING if labels == "strings" else TensorProto.INT64
    linear: dict[str, Any] = {"coefficients": [1.0, 0, 0, 1.0], "intercepts": [0.0, 0.0], "post_transform": "SOFTMAX"}
    nodes = [
        node("LinearClassifier", ["x"], ["label", "p"], domain="ai.onnx.ml", **linear, **kinds),
        node("ZipMap", ["p"], ["probability"], domain="ai.onnx.ml", **zipped),
    ]
    mapping = helper.make_map_type_proto(key, helper.make_tensor_type_proto(TensorProto.FLOAT, None))
    outputs = [
        helper.make_tensor_value_info("label", key, ("n",)),
        helper.make_value_info("probability", helper.make_sequence_type_proto(mapping)),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ("n", 2))
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    graph = helper.make_graph(nodes, "graph", [x], outputs)
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


@pytest.mark.parametrize("platform", ["wasm", "auto"])
@pytest.mark.parametrize("labels", ["ints", "strings"])
def test_classical_models_run_in_the_build_that_has_their_operators(
    embedded: Accelerator, tmp_path: Path, platform: Any, labels: str
) -> None:
    path = classifier(tmp_path / "model.onnx", labels)
    x = {"x": np.array([[1, 2], [3, 0], [0, 5]], np.float32)}
    expected = run_native(resolve(path), x)["label"]
    with embedded.load(path, platform=platform) as model:
        result = model.run(x)
    assert result["label"].tolist() == expected.tolist()
    assert result.backend == "wasm"
    assert result.runtime.endswith(" wasm")
    assert any("left out probability" in note for note in result.notes)


STRINGS = np.array([["one", "zwölf"], ["", "模型 🙂"]], object)


@pytest.mark.parametrize("backend", ["wasm", "webgpu", "auto"])
def test_strings_pass(embedded: Accelerator, save: Save, backend: Any) -> None:
    path = save(node("Identity", ["x"], ["y"]), dtype=TensorProto.STRING, shape=("n", 2))
    with embedded.load(path, platform=backend) as loaded:
        for strings in (STRINGS, STRINGS[:1]):
            np.testing.assert_array_equal(loaded.run({"x": strings})["y"], strings, strict=True)
        assert loaded.run([["a", "b"]])["y"].tolist() == [["a", "b"]]


def test_labels_are_encoded_and_decoded(embedded: Accelerator, tmp_path: Path) -> None:
    encode = node("LabelEncoder", ["x"], ["i"], domain="ai.onnx.ml", keys_strings=["a", "b"], values_int64s=[5, 7])
    decode = node("LabelEncoder", ["i"], ["y"], domain="ai.onnx.ml", keys_int64s=[5, 7], values_strings=["A", "B"])
    values = [helper.make_tensor_value_info(name, TensorProto.STRING, ("n",)) for name in ("x", "y")]
    graph = helper.make_graph([encode, decode], "graph", values[:1], values[1:])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), tmp_path / "model.onnx")
    with embedded.load(tmp_path / "model.onnx") as model:
        assert model.run({"x": ["b", "a", "b"]})["y"].tolist() == ["B", "A", "B"]
        assert model.run(["a"])["y"].tolist() == ["A"]  # text that no tokenizer is to read

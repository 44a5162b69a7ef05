"""Models that see what padding adds answer as native onnxruntime does, on every backend, and others are padded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.browser.conftest import PLACES, start
from webinfer import Accelerator, Model
from webinfer.accuracy.native import run_native
from webinfer.models.sources.resolve import resolve

pytestmark = pytest.mark.browser

node = helper.make_node
RANDOM = np.random.default_rng(0)
Inputs = dict[str, np.ndarray]


def constant(name: str, array: Any) -> onnx.TensorProto:
    return numpy_helper.from_array(np.asarray(array), name)


def noise(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape).astype(np.float32)


WEIGHTS = [
    constant("table", noise(100, 4)),
    constant("kernel", noise(4, 4, 3)),
    constant("lstm_w", noise(2, 16, 4)),
    constant("lstm_r", noise(2, 16, 4)),
    constant("lstm_b", noise(2, 32)),
    constant("last", -1),
    constant("axis0", [0]),
    constant("axis1", [1]),
    constant("axis2", [2]),
    constant("merged", [0, 0, 8]),
    constant("low", np.float32(-1e9)),
    constant("one", np.float32(1)),
]
LSTM = ("LSTM", ["steps", "lstm_w", "lstm_r", "lstm_b"], ["hidden"])
# Rows that see each other: nodes from x of (rows, 4), or (rows, 1, 4), to y.
ROWS: dict[str, tuple[tuple[Any, ...], tuple[Any, ...], list[onnx.NodeProto]]] = {
    "centred points": (
        ("points", 4),
        ("points", 4),
        [node("ReduceMean", ["x", "axis0"], ["mean"]), node("Sub", ["x", "mean"], ["y"])],
    ),
    "attention over rows": (
        ("nodes", 4),
        ("nodes", 4),
        [
            node("Transpose", ["x"], ["t"], perm=[1, 0]),
            node("MatMul", ["x", "t"], ["scores"]),
            node("Softmax", ["scores"], ["p"], axis=-1),
            node("MatMul", ["p", "x"], ["y"]),
        ],
    ),
    "time-first bi-LSTM": (
        ("steps", 1, 4),
        ("steps", 1, 8),
        [
            node("Identity", ["x"], ["steps"]),
            node(*LSTM, hidden_size=4, direction="bidirectional"),
            node("Transpose", ["hidden"], ["turned"], perm=[0, 2, 1, 3]),
            node("Reshape", ["turned", "merged"], ["y"]),
        ],
    ),
    "sorted rows": (
        ("rows", 1),
        ("rows", 1),
        [
            node("Shape", ["x"], ["shape"]),
            node("Gather", ["shape", "axis0"], ["count"]),
            node("TopK", ["x", "count"], ["y", "places"], axis=0),
        ],
    ),
}
EMBED = node("Gather", ["table", "input_ids"], ["e"])
MASK = [node("Cast", ["attention_mask"], ["f"], to=TensorProto.FLOAT), node("Unsqueeze", ["f", "axis2"], ["mask"])]
MASKED = [*MASK, node("Mul", ["e", "mask"], ["m"])]
# Texts whose mask does not hide everything: nodes from input_ids and attention_mask to y.
TOKENS: dict[str, tuple[tuple[Any, ...], list[onnx.NodeProto]]] = {
    "convolution over tokens": (
        ("batch", "seq", 4),
        [
            node("Transpose", ["e"], ["t"], perm=[0, 2, 1]),
            node("Conv", ["t", "kernel"], ["c"], pads=[1, 1]),
            node("Transpose", ["c"], ["u"], perm=[0, 2, 1]),
            *MASK,
            node("Mul", ["u", "mask"], ["y"]),
        ],
    ),
    "mean of tokens": (("batch", 4), [*MASKED, node("ReduceMean", ["m", "axis1"], ["y"], keepdims=0)]),
    "maximum of tokens": (("batch", 4), [*MASKED, node("ReduceMax", ["m", "axis1"], ["y"], keepdims=0)]),
    "last token": (("batch", 4), [*MASKED, node("Gather", ["m", "last"], ["y"], axis=1)]),
    "bi-LSTM tagger": (
        ("batch", "seq", 8),
        [
            *MASKED,
            node("Transpose", ["m"], ["steps"], perm=[1, 0, 2]),
            node(*LSTM, hidden_size=4, direction="bidirectional"),
            node("Transpose", ["hidden"], ["turned"], perm=[2, 0, 1, 3]),
            node("Reshape", ["turned", "merged"], ["y"]),
        ],
    ),
}
# And one whose mask does: attention over tokens, then the mean of what counts.
HIDDEN = (
    ("batch", 4),
    [
        *MASK,
        node("Unsqueeze", ["f", "axis1"], ["keys"]),
        node("Sub", ["one", "keys"], ["off"]),
        node("Mul", ["off", "low"], ["bias"]),
        node("Transpose", ["e"], ["t"], perm=[0, 2, 1]),
        node("MatMul", ["e", "t"], ["scores"]),
        node("Add", ["scores", "bias"], ["biased"]),
        node("Softmax", ["biased"], ["p"], axis=-1),
        node("MatMul", ["p", "e"], ["attended"]),
        node("Mul", ["attended", "mask"], ["kept"]),
        node("ReduceSum", ["kept", "axis1"], ["sum"], keepdims=0),
        node("ReduceSum", ["mask", "axis1"], ["count"], keepdims=0),
        node("Div", ["sum", "count"], ["y"]),
    ],
)


def write(path: Path, nodes: Sequence[onnx.NodeProto], inputs: Mapping[str, tuple[int, Any]], shape: Any) -> Path:
    used = {name for each in nodes for name in each.input}
    graph = helper.make_graph(
        list(nodes),
        "padded",
        [helper.make_tensor_value_info(name, kind, own) for name, (kind, own) in inputs.items()],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [tensor for tensor in WEIGHTS if tensor.name in used],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


def text_model(path: Path, shape: Any, nodes: Sequence[onnx.NodeProto]) -> Path:
    inputs = dict.fromkeys(("input_ids", "attention_mask"), (TensorProto.INT64, ("batch", "seq")))
    return write(path, [EMBED, *nodes], inputs, shape)


def text(*shape: int) -> Inputs:
    ids = RANDOM.integers(1, 100, shape)
    mask = np.ones(shape, np.int64)
    mask[-1, shape[1] // 2 + 1 :] = 0 if shape[0] > 1 else 1
    return {"input_ids": ids, "attention_mask": mask}


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, Path, list[Inputs]]]:
    """Each kind of model, with requests that padding would lengthen."""
    folder = tmp_path_factory.mktemp("padded")
    every = []
    for name, (taken, given, nodes) in ROWS.items():
        path = write(folder / f"{name}.onnx", nodes, {"x": (TensorProto.FLOAT, taken)}, given)
        every.append((name, path, [{"x": noise(rows, *taken[1:])} for rows in (5, 3, 1)]))
    for name, (given, nodes) in {**TOKENS, "attention": HIDDEN}.items():
        path = text_model(folder / f"{name}.onnx", given, nodes)
        every.append((name, path, [text(*shape) for shape in ((1, 5), (3, 17), (1, 16))]))
    return every


def hold(model: Model, path: Path, requests: Sequence[Inputs], name: str) -> list[Any]:
    """Hold the answers to requests against native onnxruntime's, and return the results."""
    package = resolve(path)
    results = []
    for inputs in requests:
        result = model.run(inputs)
        wanted = run_native(package, inputs)["y"]
        np.testing.assert_allclose(result["y"], wanted, atol=1e-4, rtol=1e-4, err_msg=f"{name} {result.shape}")
        results.append(result)
    return results


@pytest.mark.parametrize(("browser", "backend"), PLACES)
def test_no_model_sees_padding(
    browser: str, backend: Any, accelerators: Callable[[str], Accelerator], cases: list[tuple[str, Path, list[Inputs]]]
) -> None:
    accelerator = accelerators(browser)
    for name, path, requests in cases:
        with accelerator.load(path, platform=backend) as model:
            results = hold(model, path, requests, name)
        assert {result.backend for result in results} == {backend}
        if backend == "webnn":
            is_padded = results[0].shape != {}
            assert is_padded == (name == "attention"), name
            assert any("not padded" in note for note in results[0].notes) != is_padded, name


@pytest.fixture(scope="module")
def capturing() -> Iterator[Accelerator]:
    accelerator = start("embedded", platform="webgpu", graph_capture=True)
    yield accelerator
    accelerator.close()


def test_no_recorded_run_sees_padding(capturing: Accelerator, cases: list[tuple[str, Path, list[Inputs]]]) -> None:
    for name, path, requests in cases:
        if "LSTM" in name:
            continue  # recorded, it answers otherwise in any shape, which is none of padding's doing
        with capturing.load(path) as model:
            results = hold(model, path, [*requests, *requests], name)
        if name == "attention":
            assert [result.shape for result in results[:2]] == [{"batch": 1, "seq": 16}, {"batch": 4, "seq": 32}]


@pytest.mark.parametrize("backend", ["webgpu", "webnn"])
def test_no_batch_sees_padding(
    embedded: Accelerator, backend: Any, cases: list[tuple[str, Path, list[Inputs]]]
) -> None:
    for name, path, requests in cases:
        with embedded.load(path, platform=backend) as model:
            model.set_max_batch_size(4)
            singles = [{key: array[:1] for key, array in inputs.items()} for inputs in requests * 2]
            for inputs, result in zip(singles, model.run_batch(singles), strict=True):
                wanted = run_native(resolve(path), inputs)["y"]
                np.testing.assert_allclose(result["y"], wanted, atol=1e-4, rtol=1e-4, err_msg=name)


def test_webgpu_pads_to_what_was_warmed_up_and_nothing_else(embedded: Accelerator, tmp_path: Path) -> None:
    path = text_model(tmp_path / "attention.onnx", *HIDDEN)
    with embedded.load(path, platform="webgpu") as model:
        assert model.run(text(1, 5)).shape == {}
        assert model.warm_up([16]) == 1
        (warm, cold) = hold(model, path, [text(1, 5), text(1, 20)], "attention")
    assert (warm.shape, warm.warmed) == ({"batch": 1, "seq": 16}, True)
    assert (cold.shape, cold.warmed) == ({}, False)


def test_names_that_recur_or_say_nothing_are_no_error(embedded: Accelerator, tmp_path: Path) -> None:
    nodes = [node("GlobalAveragePool", ["x"], ["y"])]
    for name in ("?", "None", "-1", "n"):
        shape = (name, 3, name, name)
        path = write(tmp_path / f"{name}.onnx", nodes, {"x": (TensorProto.FLOAT, shape)}, shape)
        for backend in ("wasm", "webnn", "webgpu"):
            with embedded.load(path, platform=backend) as model:
                hold(model, path, [{"x": noise(1, 3, 8, 20)}, {"x": noise(3, 3, 3, 3)}], name)


def test_names_of_outputs_that_tell_other_sizes_than_inputs_do_no_harm(embedded: Accelerator, tmp_path: Path) -> None:
    shape = ("n", 3, "h", "w")
    nodes = [node("Transpose", ["x"], ["y"], perm=[0, 1, 3, 2])]
    path = write(tmp_path / "turned.onnx", nodes, {"x": (TensorProto.FLOAT, shape)}, shape)
    for backend in ("wasm", "webnn", "webgpu"):
        with embedded.load(path, platform=backend) as model:
            hold(model, path, [{"x": noise(1, 3, 8, 20)}, {"x": noise(3, 3, 5, 6)}], backend)


def test_ever_new_widths_share_a_session_and_a_width_that_comes_back_has_its_own(tmp_path: Path) -> None:
    shape = ("n", 4, "w")
    nodes = [node("Conv", ["x", "kernel"], ["c"], pads=[1, 1]), node("Relu", ["c"], ["y"])]
    path = write(tmp_path / "widths.onnx", nodes, {"x": (TensorProto.FLOAT, shape)}, shape)
    with start("embedded", lanes=1) as accelerator, accelerator.load(path, platform="webnn") as model:
        results = hold(model, path, [{"x": noise(1, 4, width)} for width in range(5, 30)], "widths")
        again = hold(model, path, [{"x": noise(1, 4, 29)} for _ in range(3)], "widths")
        lanes = [lane for browser in accelerator.snapshot().browsers for lane in browser.lanes]
        assert sum(len(lane.sessions) for lane in lanes) <= 10  # eight of one width each, one for all, one of before
    assert set(results[-1].notes) == set(results[9].notes) != set()
    assert results[0].notes == again[-1].notes == ()
    assert again[-1].placement is not None
    assert again[-1].placement.nodes["webnn"] > 0

"""Runs that the GPU recorded are replayed for new inputs, and answer as they would without."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.browser.conftest import Save, start
from webinfer import Accelerator, AsyncAccelerator
from webinfer.accuracy import outcome as accuracies
from webinfer.accuracy.native import NativeSession
from webinfer.inference.residents.kv_cache import Recurrence
from webinfer.models.sources.resolve import resolve

pytestmark = pytest.mark.browser

node = helper.make_node


@pytest.fixture(scope="module")
def capturing() -> Iterator[Accelerator]:
    # On a slow machine the gate leaves canaries out, and says so in the notes that these tests look at.
    accelerator = start("embedded", platform="webgpu", graph_capture=True, accuracy="off")
    yield accelerator
    accelerator.close()


def tokens(length: int, seed: int) -> dict[str, np.ndarray]:
    ids = np.random.default_rng(seed).integers(5, 900, (1, length), dtype=np.int64)
    return {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}


def test_replays_answer_as_runs_without_capture_for_inputs_that_change(
    capturing: Accelerator, embedded: Accelerator
) -> None:
    lengths = [16, 16, 9, 30, 16, 20]  # two shapes, in turns: each has a recording of its own
    with (
        capturing.load("random:bert-tiny") as model,
        embedded.load("random:bert-tiny", platform="webgpu") as plain,
    ):
        made = [model.run(tokens(length, seed)) for seed, length in enumerate(lengths)]
        right = [plain.run(tokens(length, seed)) for seed, length in enumerate(lengths)]
    assert [result.captured for result in made] == [
        False,
        True,
        True,
        False,
        True,
        True,
    ]  # the first of a shape records
    assert not any(result.notes for result in made)
    assert not any(result.captured for result in right)
    for one, two in zip(made, right, strict=True):
        np.testing.assert_allclose(one["last_hidden_state"], two["last_hidden_state"], atol=1e-6)
    assert len({result["last_hidden_state"].tobytes() for result in made}) == len(made)
    assert made[1].observed()["captured"] is True


def test_requests_of_other_outputs_and_batches_are_answered(capturing: Accelerator, save: Save) -> None:
    """What a recording makes is fixed by its first run; what is sent is not."""
    path = save(node("Neg", ["x"], ["y"]), shape=("batch", 3))
    model = onnx.load(path)
    model.graph.node.append(node("Abs", ["x"], ["z"]))
    model.graph.output.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, ("batch", 3)))
    onnx.save(model, path)
    x = np.random.default_rng(0).standard_normal((6, 1, 3)).astype(np.float32)
    with capturing.load(path) as loaded:
        first = loaded.run(x[0], outputs=["z"])
        both = loaded.run(x[1])
        assert (list(first.outputs), first.captured) == (["z"], False)
        assert (list(both.outputs), both.captured) == (["y", "z"], True)
        np.testing.assert_array_equal(both["y"], -x[1])
        np.testing.assert_array_equal(both["z"], abs(x[1]))
        assert loaded.set_max_batch_size(2) is None
        for each, result in zip(x, loaded.run_batch(list(x)), strict=True):
            np.testing.assert_array_equal(result["y"], -each)


def test_inputs_whose_bytes_are_no_words_reach_the_gpu_whole(capturing: Accelerator, save: Save) -> None:
    path = save(node("Cast", ["x"], ["y"], to=TensorProto.FLOAT), dtype=TensorProto.BOOL, out=TensorProto.FLOAT)
    with capturing.load(path) as model:
        for x in ([True, False, True], [False, False, True]):
            assert model.run(np.array(x))["y"].tolist() == [float(each) for each in x]


def test_a_node_that_falls_to_the_cpu_leaves_the_model_uncaptured_and_says_so(
    capturing: Accelerator, save: Save
) -> None:
    path = save(
        node("Relu", ["x"], ["a"]),
        node("Det", ["a"], ["b"]),
        node("Mul", ["a", "b"], ["y"]),
        shape=("batch", 2, 2),
    )
    with capturing.load(path) as model:
        for seed in (0, 1):
            x = np.random.default_rng(seed).random((1, 2, 2), dtype=np.float32)
            result = model.run(x)
            np.testing.assert_allclose(result["y"], NativeSession(resolve(path)).run(x)["y"], rtol=1e-5)
            assert not result.captured
            (note,) = result.notes
            assert note.startswith("no graph was captured: the runtime refused it (")
            assert "graph capture feature" in note
            assert result.placement is not None
            assert dict(result.placement.nodes) == {"webgpu": 2, "wasm": 1}


def test_what_cannot_be_recorded_at_its_first_run_runs_without(capturing: Accelerator, save: Save) -> None:
    """Nobody uses an input of 8 bits, so the graph is WebGPU's alone; but no buffer of the GPU's can be made of it."""
    path = save(node("Neg", ["x"], ["y"]), shape=(4,))
    model = onnx.load(path)
    model.graph.input.append(helper.make_tensor_value_info("unused", TensorProto.INT8, (4,)))
    onnx.save(model, path)
    with capturing.load(path) as loaded:
        for x in ([1, -2, 3, -4], [5, 6, 7, -8]):
            result = loaded.run({"x": x, "unused": [1, 2, 3, 4]})
            assert result["y"].tolist() == [-each for each in x]
            assert not result.captured
            (note,) = result.notes
            assert "int8" in note


def test_other_backends_run_as_usual_and_say_so(capturing: Accelerator, perceptron: Path) -> None:
    with capturing.load(perceptron, platform="wasm") as model:
        result = model.run(np.ones((1, 8), np.float32))
    assert result.notes == ("no graph was captured: that is WebGPU's, and this runs on wasm",)


async def test_state_that_stays_on_the_lane_is_not_overwritten_by_replays(tmp_path: Path) -> None:
    values = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, (2,)) for name in ("before", "x", "total")}
    nodes = [node("Add", ["before", "x"], ["total"])]
    graph = helper.make_graph(nodes, "sum", [values["before"], values["x"]], [values["total"]])
    path = tmp_path / "sum.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    async with AsyncAccelerator(browser="embedded", platform="webgpu", graph_capture=True) as accelerator:
        model = await accelerator.load(path)
        assert [(await model.run({"before": [1, 1], "x": [at, 1]}))["total"][0] for at in (1, 2)] == [2, 3]
        sequences = [Recurrence(model, {"before": "total"}) for _ in range(2)]
        for at in range(1, 4):
            for by, each in enumerate(sequences, 1):
                begin = {"before": np.zeros(2, np.float32)} if at == 1 else {}
                result = await each.step({"x": np.full(2, by, np.float32)} | begin, ["total"])
                assert result["total"].tolist() == [by * at] * 2
                assert result.notes[0].endswith("or its state stays on the lane between runs")


@pytest.mark.usefixtures("without_atlas")
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("platform", ["webgpu", "auto"])
def test_capture_that_is_wrong_is_refused_and_answers_are_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, direction: str, platform: Any
) -> None:
    """An LSTM of several steps is right without being recorded, and wrong already in the run that records."""
    monkeypatch.setattr(accuracies, "cache_dir", lambda: tmp_path / "memory")
    path = lstm(tmp_path / "m.onnx", direction)
    noise = np.random.default_rng(7).standard_normal
    requests = [noise((4, rows, 3)).astype(np.float32) for rows in (1, 2, 3, 2)]
    native = NativeSession(resolve(path))
    for _ in range(2):  # the second load knows of it
        options: dict[str, Any] = {"platform": platform, "graph_capture": True}
        with start("embedded", **options) as accelerator, accelerator.load(path) as model:
            for x in requests:
                result = model.run({"x": x})
                assert not result.captured
                assert result.accuracy.status == "checked"
                np.testing.assert_allclose(result["y"], native.run({"x": x})["y"], atol=1e-5)
                if result.backend == "webgpu":
                    why = "no graph was captured: recorded runs do not compute what native onnxruntime does: y is off"
                    assert any(note.startswith(why) for note in result.notes)
                    assert "capture" not in result.accuracy.combination


def test_capture_that_is_right_passes_the_gate_with_a_replay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, save: Save
) -> None:
    monkeypatch.setattr(accuracies, "cache_dir", lambda: tmp_path / "memory")
    path = save(node("Neg", ["x"], ["y"]), shape=("batch", 3))
    with start("embedded", platform="webgpu", graph_capture=True) as accelerator, accelerator.load(path) as model:
        results = [model.run(np.full((1, 3), value, np.float32)) for value in (1, 2, 3)]
        assert results[-1].captured
        assert results[-1].accuracy.combination["capture"] == "on"


def lstm(path: Path, direction: str) -> Path:
    """Write an LSTM over four steps of any rows."""
    noise, count = np.random.default_rng(0).standard_normal, 2 if direction == "bidirectional" else 1
    sizes = {"w": (count, 16, 3), "r": (count, 16, 4), "b": (count, 32)}
    graph = helper.make_graph(
        [node("LSTM", ["x", *sizes], ["y"], hidden_size=4, direction=direction)],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (4, "rows", 3))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (4, count, "rows", 4))],
        [numpy_helper.from_array(noise(shape).astype(np.float32), name) for name, shape in sizes.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path

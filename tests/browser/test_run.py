"""Models answer from real browsers as they answer natively."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import threading
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.browser.conftest import BROWSERS, ENGINES, PLACES, Save
from webinfer import Accelerator, AsyncAccelerator, Progress
from webinfer.accuracy.native import NativeSession
from webinfer.core.errors import (
    BackendUnavailable,
    DtypeMismatch,
    EmptyBatch,
    InvalidModel,
    ModelNotFound,
    NotANumber,
    NotQuantizable,
    PoolClosed,
    ShapeMismatch,
    TokenizerMissing,
    UnknownInput,
    UnsupportedOperator,
    WebinferError,
)
from webinfer.core.tensors import DTYPES
from webinfer.models.preprocessing.pooling import mean_pool, normalize
from webinfer.models.sources.resolve import resolve

pytestmark = pytest.mark.browser

Get = Callable[[str], Accelerator]
MINILM = "wheel:all-MiniLM-L6-v2"
SENTENCES = ["A cat sits on the mat.", "Stocks fell sharply on Monday, and nobody could say why.", "Ja."]


@pytest.mark.parametrize(("browser", "backend"), PLACES)
def test_small_network_equals_native(accelerators: Get, perceptron: Path, browser: str, backend: Any) -> None:
    model = accelerators(browser).load(perceptron, platform=backend)
    inputs = {"x": np.random.default_rng(2).standard_normal((3, 8), np.float32)}
    result = model.run(inputs)
    expected = NativeSession(resolve(perceptron)).run(inputs)
    np.testing.assert_allclose(result.outputs["y"], expected["y"], rtol=1e-4, atol=1e-4)
    assert result.backend == backend
    assert result.engine == ENGINES[browser]
    assert result.engine_version.split(".")[0].isdigit()
    assert result.verdict.evidence
    assert result.times.run > 0
    assert result.times.total >= result.times.run + result.times.queue
    assert result.lane.startswith("b")
    assert "1.30" in result.runtime


# Not on WebGPU in Debian's Chromium: 13 s in the same software adapter as the embedded one's.
@pytest.mark.parametrize(("browser", "backend"), [place for place in PLACES if place != ("chromium", "webgpu")])
def test_minilm_embeddings_equal_native(accelerators: Get, browser: str, backend: Any) -> None:
    model = accelerators(browser).load(MINILM, platform=backend)
    vectors = model.embed(SENTENCES)
    native = NativeSession(model.package)
    for sentence, vector in zip(SENTENCES, vectors, strict=True):
        tokens = model.tokenizer.encode([sentence])
        expected = normalize(mean_pool(native.run(tokens)["last_hidden_state"], tokens["attention_mask"]))[0]
        assert float(expected @ vector) >= 0.9999
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)


def test_text_of_a_hundred_thousand_words_is_cut_to_what_the_model_takes(embedded: Accelerator) -> None:
    model = embedded.load(MINILM, platform="wasm")
    words = [f"word{number}" for number in range(100_000)]
    longest = model.tokenizer.max_length
    assert longest is not None
    native = NativeSession(model.package)
    tokens = model.tokenizer.encode(" ".join(words[:longest]))  # as many words fill it: each is a token or more
    assert tokens["input_ids"].shape == (1, longest)
    expected = normalize(mean_pool(native.run(tokens)["last_hidden_state"], tokens["attention_mask"]))[0]
    text = " ".join(words)
    assert float(expected @ model.embed(text)[0]) >= 0.9999
    assert model.run(text)["last_hidden_state"].shape == (1, longest, 384)


@pytest.mark.parametrize("name", [name for name in DTYPES if name not in ("float16",)])
def test_every_dtype_passes_through_unchanged(accelerator: Accelerator, save: Save, name: str) -> None:
    kind = helper.np_dtype_to_tensor_dtype(DTYPES[name])
    model = accelerator.load(save(helper.make_node("Identity", ["x"], ["y"]), dtype=kind), platform="wasm")
    values = np.array([0, 1, 1, 0]).astype(DTYPES[name])
    values = np.array(["one", "zwölf", "", "模型"], object) if name == "string" else values
    if values.dtype.kind in "iu":
        values[:2] = np.iinfo(values.dtype).min, np.iinfo(values.dtype).max
    np.testing.assert_array_equal(model.run({"x": values}).outputs["y"], values, strict=True)


@pytest.mark.parametrize("browser", BROWSERS)
def test_float16_passes_through_unchanged(accelerators: Get, save: Save, browser: str) -> None:
    model = accelerators(browser).load(
        save(helper.make_node("Identity", ["x"], ["y"]), dtype=TensorProto.FLOAT16), platform="wasm"
    )
    values = np.array([0.5, -65504, 6e-8], np.float16)
    np.testing.assert_array_equal(model.run({"x": values}).outputs["y"], values, strict=True)


def test_lists_scalars_and_missing_batch_axis_are_taken(accelerator: Accelerator, perceptron: Path) -> None:
    model = accelerator.load(perceptron, platform="wasm")
    row = [1, 2, 3, 4, 5, 6, 7, 8.5]
    np.testing.assert_array_equal(model.run({"x": row}).outputs["y"], model.run({"x": [row]}).outputs["y"])


def test_only_the_wanted_outputs_come_back(accelerator: Accelerator, save: Save) -> None:
    model = accelerator.load(save(helper.make_node("Neg", ["x"], ["y"])), platform="wasm")
    assert list(model.run({"x": [1.0]}, outputs=["y"]).outputs) == ["y"]


@pytest.mark.parametrize("backend", ["wasm", "webnn"])
def test_batch_equals_single_runs_in_order(embedded: Accelerator, perceptron: Path, backend: Any) -> None:
    model = embedded.load(perceptron, platform=backend)
    rows = np.random.default_rng(3).standard_normal((20, 8), np.float32)
    results = model.run_batch([{"x": row} for row in rows])
    for row, result in zip(rows, results, strict=True):
        np.testing.assert_allclose(result.outputs["y"], model.run({"x": row}).outputs["y"], rtol=1e-6)


def test_padding_to_a_bucket_is_told_and_undone(embedded: Accelerator, perceptron: Path) -> None:
    result = embedded.load(perceptron, platform="webnn").run({"x": np.ones((3, 8), np.float32)})
    assert result.shape == {"batch": 4}
    assert result.outputs["y"].shape == (3, 4)


def test_external_data_is_fetched_beside_the_graph(accelerator: Accelerator, save: Save) -> None:
    weights = np.arange(4096, dtype=np.float32)
    path = save(
        helper.make_node("Add", ["x", "w"], ["y"]),
        shape=(4096,),
        initializers=(numpy_helper.from_array(weights, "w"),),
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=0,
    )
    assert (path.parent / "weights.bin").stat().st_size == weights.nbytes
    result = accelerator.load(path, platform="wasm").run({"x": np.ones(4096, np.float32)})
    np.testing.assert_array_equal(result.outputs["y"], weights + 1)


def test_tensor_of_64_megabytes_makes_the_round_trip(accelerator: Accelerator, save: Save) -> None:
    model = accelerator.load(save(helper.make_node("Neg", ["x"], ["y"])), platform="wasm")
    values = np.random.default_rng(4).random(16_000_000, np.float32)
    np.testing.assert_array_equal(model.run({"x": values}).outputs["y"], -values)


def test_progress_reports_every_byte_of_the_model() -> None:
    seen: list[Progress] = []
    with Accelerator(browser="embedded") as accelerator:
        model = accelerator.load(MINILM, platform="wasm", progress=seen.append)
    loads = [step for step in seen if step.stage.startswith("load")]
    assert loads[-1].done == loads[-1].total
    assert 0 <= loads[-1].done - model.package.nbytes < 100_000  # the graph without weights comes beside them
    assert all(one.done <= other.done for one, other in pairwise(loads))


def test_models_loaded_twice_share_their_session_until_both_are_closed(
    accelerator: Accelerator, perceptron: Path
) -> None:
    first = accelerator.load(perceptron, platform="wasm")
    second = accelerator.load(perceptron, platform="wasm")
    first.close()
    assert second.run({"x": [0.0] * 8}).outputs["y"].shape == (1, 4)
    with pytest.raises(PoolClosed):
        first.run({"x": [0.0] * 8})
    second.close()
    assert accelerator.load(perceptron, platform="wasm").run({"x": [0.0] * 8}).attempts == 1


def test_32_threads_share_an_accelerator(accelerator: Accelerator, perceptron: Path) -> None:
    model = accelerator.load(perceptron, platform="wasm")
    rows = np.random.default_rng(5).standard_normal((32, 8), np.float32)
    reference = NativeSession(resolve(perceptron))
    expected = [reference.run({"x": row[np.newaxis]})["y"] for row in rows]
    together, right = threading.Barrier(len(rows)), [0] * len(rows)

    def work(number: int) -> None:
        together.wait()
        for _ in range(10):
            answer = model.run({"x": rows[number]}).outputs["y"]
            right[number] += np.allclose(answer, expected[number], rtol=1e-5, atol=1e-5)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert right == [10] * len(rows)


async def test_sync_call_works_inside_a_running_loop(embedded: Accelerator, perceptron: Path) -> None:
    model = embedded.load(perceptron, platform="wasm")
    here = model.run({"x": [[0.0] * 8]})
    elsewhere = await asyncio.to_thread(model.run, {"x": [[0.0] * 8]})
    np.testing.assert_array_equal(here.outputs["y"], elsewhere.outputs["y"])


async def test_async_accelerator_runs_on_the_callers_loop(perceptron: Path) -> None:
    async with AsyncAccelerator(browser="embedded") as accelerator:
        model = await accelerator.load(perceptron)
        results = await model.run_batch([{"x": [float(number)] * 8} for number in range(4)])
        assert [result.outputs["y"].shape for result in results] == [(1, 4)] * 4
        figures = await accelerator.metrics()
    assert figures["aggregate"]["total_inferences"] == 4
    assert figures["aggregate"]["total_memory_usage"] > 50
    with pytest.raises(PoolClosed):
        await model.run({"x": [0.0] * 8})


def test_result_and_metrics_tell_the_models_cid(embedded: Accelerator, perceptron: Path) -> None:
    perceptron = perceptron.rename(perceptron.with_name("told.onnx"))  # metrics are by name
    model = embedded.load(perceptron, platform="wasm")
    # A file of one block: CIDv1, the codec "raw", SHA-256 of 32 bytes, in the base32 that "b" stands for.
    binary = b"\x01\x55\x12\x20" + hashlib.sha256(perceptron.read_bytes()).digest()
    expected = "b" + base64.b32encode(binary).decode().lower().rstrip("=")
    result = model.run({"x": [[0.0] * 8]})
    assert result.model_cid == result.to_dict()["model_cid"] == expected
    assert embedded.metrics()["models"][model.name]["model_cid"] == expected


def _calls(model: Any) -> dict[str, tuple[Any, type[WebinferError], str]]:
    return {
        "unknown name": ({"z": [0.0] * 8}, UnknownInput, "x"),
        "string": ({"x": "eight numbers"}, DtypeMismatch, "x"),
        "wrong dtype": ({"x": np.zeros((1, 8), np.complex64)}, DtypeMismatch, "x"),
        "wrong rank": ({"x": np.zeros((1, 1, 1, 8), np.float32)}, ShapeMismatch, "x"),
        "wrong dimension": ({"x": np.zeros((1, 7), np.float32)}, ShapeMismatch, "8"),
        "text without tokenizer": ("some text", TokenizerMissing, "tokenizer"),
    }


@pytest.mark.parametrize("what", sorted(_calls(None)))
def test_bad_input_is_refused_by_name_and_the_next_request_works(
    accelerator: Accelerator, perceptron: Path, what: str
) -> None:
    model = accelerator.load(perceptron, platform="wasm")
    inputs, error, culprit = _calls(model)[what]
    with pytest.raises(error, match=culprit):
        model.run(inputs)
    assert model.run({"x": [0.0] * 8}).outputs["y"].shape == (1, 4)


@pytest.mark.parametrize("backend", ["wasm", "webnn", "webgpu"])
def test_no_rows_are_answered_by_webassembly_and_refused_elsewhere(
    embedded: Accelerator, perceptron: Path, backend: Any
) -> None:
    model, x = embedded.load(perceptron, platform=backend), {"x": np.zeros((0, 8), np.float32)}
    if backend == "wasm":
        result = model.run(x)
        assert (result["y"].shape, result.items) == ((0, 4), 0)
    else:
        with pytest.raises(EmptyBatch, match=r"'x'.*WebAssembly"):
            model.run(x)
    assert model.run({"x": [0.0] * 8})["y"].shape == (1, 4)


def test_empty_list_of_requests_is_refused(embedded: Accelerator, perceptron: Path) -> None:
    with pytest.raises(EmptyBatch):
        embedded.load(perceptron, platform="wasm").run_batch([])


def test_nan_in_an_output_is_refused_with_its_name(accelerator: Accelerator, save: Save) -> None:
    model = accelerator.load(save(helper.make_node("Log", ["x"], ["y"])), platform="wasm")
    with pytest.raises(NotANumber, match=r"'y'.*1 NaN of 2"):
        model.run({"x": [-1.0, 1.0]})
    assert model.run({"x": [1.0]}).outputs["y"] == 0
    assert np.isneginf(model.run({"x": [0.0]}).outputs["y"]).all(), "an infinity is an answer"


def test_operator_that_the_runtime_lacks_is_named(accelerator: Accelerator, save: Save, perceptron: Path) -> None:
    path = save(helper.make_node("Frobnicate", ["x"], ["y"], domain="acme"), domains=("acme",))
    with pytest.raises(UnsupportedOperator, match="Frobnicate"):
        accelerator.load(path, platform="wasm")
    assert accelerator.load(perceptron, platform="wasm").run({"x": [0.0] * 8}).outputs["y"].shape == (1, 4)


@pytest.mark.parametrize("damage", ["truncated", "overwritten", "empty", "a page"])
def test_damaged_model_is_refused_and_the_next_one_works(
    accelerator: Accelerator, perceptron: Path, tmp_path: Path, damage: str
) -> None:
    good = perceptron.read_bytes()
    data = {
        "truncated": good[:-40],
        "overwritten": b"\xff" * len(good),
        "empty": b"",
        "a page": b"<!doctype html><title>404</title>",
    }[damage]
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(data)
    with pytest.raises(InvalidModel, match=r"bad\.onnx"):
        accelerator.load(bad, platform="wasm")
    assert accelerator.load(perceptron, platform="wasm").run({"x": [0.0] * 8}).outputs["y"].shape == (1, 4)


def test_precision_takes_the_model_s_own_variant(embedded: Accelerator, save: Save, tmp_path: Path) -> None:
    directory = tmp_path / "variants" / "onnx"
    directory.mkdir(parents=True)
    save(helper.make_node("Neg", ["x"], ["y"])).rename(directory / "model.onnx")
    save(helper.make_node("Identity", ["x"], ["y"])).rename(directory / "model_quantized.onnx")
    full = embedded.load(directory.parent, platform="wasm")
    variant = embedded.load(directory.parent, platform="wasm", precision="q8")
    assert full.run([2.0])["y"] == -2
    assert variant.run([2.0])["y"] == 2
    with pytest.raises(NotQuantizable, match="no float32 weights"):  # what its author does not ship is made of it
        embedded.load(directory.parent, precision="fp16")


def test_missing_model_says_where_it_was_looked_for(embedded: Accelerator) -> None:
    with pytest.raises(ModelNotFound, match="no-such-model"):
        embedded.load("no-such-model")


@pytest.mark.parametrize("browser", ["chromium", "firefox"])
def test_backend_that_the_browser_lacks_is_refused_or_replaced_as_asked(
    accelerators: Get, perceptron: Path, browser: str
) -> None:
    lacking = accelerators(browser)
    with pytest.raises(BackendUnavailable, match="webnn"):
        lacking.load(perceptron, platform="webnn")
    result = lacking.load(perceptron, platform="webnn", fallback=True).run({"x": [0.0] * 8})
    assert (result.asked, result.backend) == ("webnn", "wasm")
    assert result.reason is not None
    assert "webnn" in result.reason


def test_auto_takes_webnn_where_webgpu_is_only_software(embedded: Accelerator, perceptron: Path) -> None:
    result = embedded.load(perceptron, platform="auto").run({"x": [0.0] * 8})
    capabilities = embedded.start()
    expected = "webgpu" if capabilities.verdict("webgpu").kind == "hardware" else "webnn"
    assert result.backend == expected


def test_result_tells_the_weights_and_is_no_simulation(accelerator: Accelerator) -> None:
    result = accelerator.load(MINILM, platform="wasm").run("one sentence")
    assert result.weights == "real"
    assert result.to_dict()["is_simulation"] is False
    assert result.to_dict()["is_real_implementation"] is True

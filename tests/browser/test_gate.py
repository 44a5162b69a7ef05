"""The correctness gate, in every browser on every backend, against a runtime with wrong kernels: see ``wrong.py``."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.browser.conftest import BACKENDS, PLACES, Save, start
from tests.browser.wrong import wrong_on, wrong_page
from tests.chaos.target import transport_of
from webinfer import Accelerator, AsyncAccelerator
from webinfer.accuracy import outcome as accuracies
from webinfer.accuracy.bounded.runs import NativeRuns
from webinfer.api.admission import comparison, gate
from webinfer.browsers.lane import Lane
from webinfer.core.errors import AccuracyError
from webinfer.quantization import obtain
from webinfer.transport import server as host


def outcomes(memory: Path) -> Iterator[Path]:
    """Yield the files of outcomes of the gate. Beside them lie those of padding that was proven."""
    for path in memory.iterdir() if memory.exists() else ():
        if "deviations" in json.loads(path.read_text(encoding="utf-8")):
            yield path


X = {"x": np.ones((1, 8), np.float32)}
OFF = r"y is off by 0\.0\d+ of its largest value"
Wrong = Callable[..., Accelerator]


@pytest.fixture(autouse=True)
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where outcomes are kept: never with those of real pages."""
    monkeypatch.setattr(accuracies, "cache_dir", lambda: tmp_path / "memory")
    return tmp_path / "memory" / "accuracy"


@pytest.fixture(scope="module")
def wrong(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wrong]:
    """One accelerator per browser whose page has wrong kernels; what it does then is for each test to say."""
    started: dict[str, Accelerator] = {}

    def get(browser: str, **options: Any) -> Accelerator:
        if browser not in started:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(host, "WEB", wrong_page(tmp_path_factory.mktemp("page")))
                started[browser] = start(browser, db_path=":memory:")
                started[browser].start()
        lifecycle = started[browser]._inner._lifecycle
        lifecycle.options = replace(lifecycle.options, accuracy_limits=None, **options)
        return started[browser]

    yield get
    for accelerator in started.values():
        accelerator.close()


@pytest.mark.parametrize(("browser", "backend"), PLACES)
def test_wrong_numbers_are_caught_in_every_browser_on_every_backend(
    wrong: Wrong, perceptron: Path, memory: Path, browser: str, backend: Any
) -> None:
    accelerator = wrong(browser, accuracy="raise")
    with pytest.raises(AccuracyError, match=OFF) as caught:
        accelerator.load(perceptron, platform=backend)
    (deviation,) = caught.value.data["deviations"]
    assert deviation["cosine"] > 0.9999
    assert 0.04 < deviation["error"] < 0.06
    assert caught.value.data["combination"]["backend"] == backend
    assert len(list(outcomes(memory))) == 1
    loads = accelerator.snapshot().totals.loads
    with pytest.raises(AccuracyError, match=OFF):  # from what is kept
        accelerator.load(perceptron, platform=backend)
    assert accelerator.snapshot().totals.loads == loads  # nothing was loaded for it


@pytest.mark.parametrize(("browser", "backend"), PLACES)
def test_right_numbers_pass_in_every_browser_on_every_backend(
    accelerators: Callable[[str], Accelerator],
    perceptron: Path,
    monkeypatch: pytest.MonkeyPatch,
    browser: str,
    backend: Any,
) -> None:
    accelerator = accelerators(browser)
    lifecycle = accelerator._inner._lifecycle
    monkeypatch.setattr(lifecycle, "options", replace(lifecycle.options, accuracy="raise"))
    with accelerator.load(perceptron, platform=backend) as model:
        result = model.run(X)
    assert (result.backend, result.reason) == (backend, None)
    assert result.accuracy is not None
    assert result.accuracy.combination["backend"] == backend
    assert result.accuracy.deviations[0].error < 1e-5


def test_result_says_when_canaries_were_left_out(perceptron: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "PATIENCE", 0.0)  # every backend is slow now
    for _ in range(2):  # the second time, the outcome comes from the cache
        with start("embedded", platform="wasm") as accelerator, accelerator.load(perceptron) as model:
            result = model.run(X)
        assert result.accuracy.status == "checked"
        assert result.accuracy.skipped >= 2
        assert f"{result.accuracy.skipped} of the canaries were not compared" in " ".join(result.notes)


def test_canary_on_which_a_runtime_loops_for_ever_costs_one_lane_once(save: Save) -> None:
    """Along an axis of one number, half an inverse transform is empty, and WebAssembly never ends."""
    axis = {"axis": (TensorProto.INT64, ())}
    shapes = {"x": (TensorProto.FLOAT, (1, 6, 10, 2))} | axis
    node = helper.make_node("DFT", ["x", "", "axis"], ["y"], inverse=1, onesided=1)
    values = [helper.make_tensor_value_info(name, *about) for name, about in shapes.items()]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, (None, None, None, 1))
    model = helper.make_model(
        helper.make_graph([node], "irfft", values, [output]), opset_imports=[helper.make_opsetid("", 20)], ir_version=9
    )
    path = save(helper.make_node("Relu", ["x"], ["y"])).with_name("irfft.onnx")
    onnx.save(model, path)
    x = np.random.default_rng(0).random((1, 6, 10, 2), np.float32)
    right = np.fft.irfft(x[..., 0] + 1j * x[..., 1], axis=1)[..., None]
    for lost in (1, 0):  # the second time, the outcome comes from the cache
        with start("embedded", platform="wasm") as accelerator, accelerator.load(path) as loaded:
            result = loaded.run({"x": x, "axis": 1})
            assert accelerator.snapshot().recoveries["lanes_lost"] == lost
        np.testing.assert_allclose(result["y"], right, atol=1e-5)
        assert result.accuracy.status == "checked"
        assert result.accuracy.skipped >= 1


@pytest.mark.parametrize(("browser", "backend"), PLACES)
def test_another_backend_takes_the_place_of_one_that_is_wrong(
    wrong: Wrong, perceptron: Path, browser: str, backend: Any
) -> None:
    path, accelerator = wrong_on(backend, perceptron), wrong(browser, accuracy="fallback")
    if len(BACKENDS[browser]) == 1:
        with pytest.raises(AccuracyError, match=OFF):  # none is left
            accelerator.load(path, platform=backend)
        return
    with accelerator.load(path, platform=backend) as model:
        result = model.run(X)
    assert result.asked == backend
    assert result.backend in set(BACKENDS[browser]) - {backend}
    assert f"on {backend} does not compute what native onnxruntime does: y is off by 0.0" in (result.reason or "")
    assert result.accuracy is not None
    assert result.accuracy.combination["backend"] == result.backend
    assert result.observed()["accuracy"]["deviations"][0]["error"] < 1e-5


@pytest.mark.parametrize(("browser", "backend"), PLACES)
def test_a_caller_who_wants_a_warning_gets_the_numbers_and_the_evidence(
    wrong: Wrong, perceptron: Path, caplog: pytest.LogCaptureFixture, browser: str, backend: Any
) -> None:
    accelerator = wrong(browser, accuracy="warn")
    with caplog.at_level(logging.WARNING, "webinfer.gate"), accelerator.load(perceptron, platform=backend) as model:
        result = model.run(X)
    assert "does not compute what native onnxruntime does" in caplog.text
    assert result.backend == backend
    assert result.accuracy is not None
    assert 0.04 < result.accuracy.deviations[0].error < 0.06


@pytest.mark.parametrize("backend", BACKENDS["embedded"])
def test_wrong_backend_that_is_named_answers_with_a_note_by_default(
    wrong: Wrong, perceptron: Path, backend: Any
) -> None:
    with wrong("embedded", accuracy="auto").load(perceptron, platform=backend) as model:
        result = model.run(X)
    assert result.backend == backend
    assert result.accuracy.status == "checked"
    assert any(
        re.search(rf"on {backend} does not compute what native onnxruntime does: {OFF}", n) for n in result.notes
    )


def test_wrong_backend_that_was_chosen_gives_way_by_default(wrong: Wrong, perceptron: Path) -> None:
    path, accelerator = wrong_on("webnn", perceptron), wrong("embedded", accuracy="auto")
    with accelerator.load(path) as model:
        result = model.run(X)
    assert (result.asked, result.notes) == ("auto", ())
    assert result.backend != "webnn"
    assert "on webnn does not compute what native onnxruntime does: y is off by 0.0" in (result.reason or "")
    with accelerator.load(path) as model:  # from what is kept
        assert model.run(X).backend == result.backend


def test_model_that_never_ends_natively_is_unchecked(save: Save) -> None:
    """It has no bound of its own, and a stop that its input makes: the browser is asked only what it can answer."""
    body = helper.make_graph(
        [
            helper.make_node("Add", ["a", "one"], ["b"]),
            helper.make_node("Less", ["b", "limit"], ["c"]),
            helper.make_node("Squeeze", ["c"], ["more"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("a", TensorProto.FLOAT, [1]),
        ],
        [
            helper.make_tensor_value_info("more", TensorProto.BOOL, []),
            helper.make_tensor_value_info("b", TensorProto.FLOAT, [1]),
        ],
        [numpy_helper.from_array(np.full(1, value, np.float32), name) for name, value in (("one", 1), ("limit", 1e30))],
    )
    path = save(
        helper.make_node("Loop", ["", "yes", "x"], ["y"], body=body),
        shape=(1,),
        initializers=(numpy_helper.from_array(np.array(True), "yes"),),
    )
    with Accelerator(browser="embedded", platform="wasm", load_timeout=5) as accelerator:
        model = accelerator.load(path)
        result = model.run({"x": np.full(1, 2e30, np.float32)})
    assert result["y"] == np.full(1, 2e30, np.float32)
    assert "natively took longer than 5 s" in result.accuracy.status
    assert result.accuracy.status.startswith("unchecked: ")


# What is lost over the canaries


@pytest.mark.parametrize("mode", ["raise", "fallback"])
def test_backend_that_loses_its_lane_over_the_canaries_each_time_is_not_admitted(
    wrong: Wrong, save: Save, memory: Path, mode: Any
) -> None:
    path, accelerator = (
        save(helper.make_node("Softsign", ["x"], ["y"]), shape=("n", 8)),
        wrong("embedded", accuracy=mode),
    )
    told = r"on webnn does not answer: the canaries were not answered: .*lane"
    if mode == "raise":
        with pytest.raises(AccuracyError, match=told):
            accelerator.load(path, platform="webnn")
        assert not list(outcomes(memory))  # it may be another thing the next time
        return
    with accelerator.load(path, platform="webnn") as model:
        result = model.run(X)
    assert (result.asked, result.backend) == ("webnn", "wasm")
    assert re.search(told, result.reason or "")
    (kept,) = outcomes(memory)
    assert json.loads(kept.read_text(encoding="utf-8"))["combination"]["backend"] == "wasm"


def test_lane_that_is_lost_once_over_the_canaries_is_no_fault_of_the_model(
    wrong: Wrong, save: Save, memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost: list[str] = []
    run = Lane.run

    def lose(lane: Lane, *given: Any) -> None:
        run(lane, *given)
        if not lost:
            lost.append(str(lane.id))
            transport_of(lane._connection).abort()

    monkeypatch.setattr(Lane, "run", lose)
    path = save(helper.make_node("Neg", ["x"], ["y"]), shape=("n", 8))
    with wrong("embedded", accuracy="raise").load(path, platform="wasm") as model:
        result = model.run(X)
    assert result.lane not in lost
    assert result.accuracy is not None
    assert result.accuracy.deviations[0].error < 1e-5
    assert len(list(outcomes(memory))) == len(lost) == 1


# What it costs, and when it asks again


def test_what_is_right_passes_once_and_is_not_tried_again(
    embedded: Accelerator, perceptron: Path, memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded._inner._lifecycle, "options", replace(embedded.options, accuracy="raise"))
    embedded.load(perceptron, platform="wasm").close()
    (file,) = outcomes(memory)
    monkeypatch.setattr(comparison, "run_canaries", None)  # a second comparison would fail
    with embedded.load(perceptron, platform="wasm") as model:
        assert model.run(X).accuracy is not None
    assert list(outcomes(memory)) == [file]


async def test_browser_that_is_lost_before_it_is_judged_is_followed_by_the_next(perceptron: Path) -> None:
    async with AsyncAccelerator(browser="embedded", platform="wasm") as accelerator:
        model, pool = await accelerator.load(perceptron), accelerator._pool
        assert pool is not None
        (browser,) = pool.browsers.values()
        os.kill(browser.pid, signal.SIGKILL)
        while pool.lanes:  # noqa: ASYNC110  # until it is noticed
            await asyncio.sleep(0)
        judged = await gate.Gate(pool, accelerator.options, NativeRuns()).judge(model)
    assert judged.fault is None
    assert judged.accuracy.deviations[0].error < 1e-5


def test_another_version_of_the_engine_is_asked_again(
    wrong: Wrong, perceptron: Path, memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accelerator = wrong("embedded", accuracy="raise")
    pool = accelerator._inner._pool
    assert pool is not None
    for version in ("", "999.0.1"):
        for browser in pool.browsers.values() if version else ():
            monkeypatch.setattr(browser, "capabilities", replace(browser.capabilities, engine_version=version))
        loads = accelerator.snapshot().totals.loads
        for _ in range(2):
            with pytest.raises(AccuracyError, match=OFF):
                accelerator.load(perceptron, platform="wasm")
        assert accelerator.snapshot().totals.loads == loads + 1
    assert len(list(outcomes(memory))) == 2


# Precisions


@pytest.fixture
def network(save: Save) -> Path:
    """A layer that can be brought to fewer bits."""
    weights = np.random.default_rng(7).standard_normal((64, 64)).astype(np.float32)
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    return save(node, shape=("n", 64), initializers=(numpy_helper.from_array(weights, "w"),))


def test_the_next_precision_takes_the_place_of_one_that_is_wrong_everywhere(
    wrong: Wrong, network: Path, memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accelerator = wrong("embedded", accuracy="fallback")
    x = {"x": np.ones((1, 64), np.float32)}
    with accelerator.load(network, platform="wasm", precision="int8") as model:
        result = model.run(x)
    assert (result.precision, result.backend) == ("q8", "wasm")
    assert "in int8 on wasm does not compute what native onnxruntime does: y is off by" in (result.reason or "")
    for backend in ("webgpu", "webnn"):
        assert f"int8 on {backend} does not either: " in (result.reason or "")
    assert result.quantized["precision"] == "q8"
    assert len(list(outcomes(memory))) == 4
    loads = accelerator.snapshot().totals.loads
    monkeypatch.setattr(comparison, "run_canaries", None)  # a second comparison would fail
    with accelerator.load(network, platform="wasm", precision="int8") as model:
        again = model.run(x)
    assert (again.precision, again.reason) == (result.precision, result.reason)
    assert accelerator.snapshot().totals.loads == loads + 1  # what is taken, and nothing before it


def test_full_precision_takes_the_place_of_what_its_author_ships(wrong: Wrong, network: Path) -> None:
    full = network.rename(network.with_name("model.onnx"))
    network.with_name("model_quantized.onnx").write_bytes(obtain(full, precision="int8").model.path.read_bytes())
    with wrong("embedded", accuracy="fallback").load(full.parent, platform="wasm", precision="q8") as model:
        result = model.run({"x": np.ones((1, 64), np.float32)})
    assert (result.precision, result.backend) == ("fp32", "wasm")
    assert "in q8 on wasm does not compute what native onnxruntime does" in (result.reason or "")


def test_limits_decide_on_a_precision(embedded: Accelerator, network: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    strict = replace(embedded.options, accuracy="fallback", accuracy_limits={"q2": {"cosine": 1.01}})
    monkeypatch.setattr(embedded._inner._lifecycle, "options", strict)
    with embedded.load(network, platform="wasm", precision="q2") as model:
        result = model.run({"x": np.ones((1, 64), np.float32)})
    assert (result.precision, result.backend) == ("q3", "wasm")
    assert "in q2 on wasm does not compute what native onnxruntime does: y has a cosine of 1.0" in (result.reason or "")


# What is recorded


def test_canaries_count_nowhere_and_their_outcome_is_recorded_though_nothing_came_of_it(
    wrong: Wrong, save: Save
) -> None:
    accelerator = wrong("embedded", accuracy="raise")
    model = save(helper.make_node("Relu", ["x"], ["y"]), shape=("n", 3))  # no other test's: a combination has rows once
    before, totals = accelerator.snapshot(), accelerator.metrics()["aggregate"]["total_inferences"]
    with pytest.raises(AccuracyError) as caught:
        accelerator.load(model, platform="wasm")
    combination = caught.value.data["combination"]
    checks = accelerator.query(
        "SELECT metric, value, threshold, passed, backend, browser_name, reference FROM accuracy_checks "
        "WHERE model = ? ORDER BY metric",
        [combination["model"]],
    )
    (deviation,) = caught.value.data["deviations"]
    assert [(row["metric"], row["value"], row["passed"]) for row in checks] == [
        ("cosine", deviation["cosine"], True),
        ("error", deviation["error"], False),
    ]
    assert {(row["backend"], row["browser_name"]) for row in checks} == {("wasm", "embedded")}
    after = accelerator.snapshot()
    assert after.totals.loads == before.totals.loads + 1
    assert (after.totals.runs, after.errors) == (before.totals.runs, before.errors)
    assert accelerator.metrics()["aggregate"]["total_inferences"] == totals
    assert not accelerator.query("SELECT * FROM results WHERE model_sha256 = ?", [combination["model"]])

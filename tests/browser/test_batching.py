"""Requests that wait together run together, with the same answers as alone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.browser.conftest import PLACES, Save
from tests.chaos.workload import make_endless
from webinfer import AsyncAccelerator, AsyncModel, Result
from webinfer.accuracy.native import NativeSession
from webinfer.browsers.discovery.find import find
from webinfer.core.errors import BrowserNotFound, DeadlineExceeded, NotANumber, OptionError, RunFailed
from webinfer.models.sources.resolve import resolve

pytestmark = pytest.mark.browser

MINILM = "wheel:all-MiniLM-L6-v2"


def rows(count: int) -> list[dict[str, Any]]:
    return [{"x": np.random.default_rng(at).standard_normal((1, 8), np.float32)} for at in range(count)]


async def at_once(model: AsyncModel, requests: Sequence[Any], **options: Any) -> list[Result]:
    return await asyncio.gather(*(model.run(each, **options) for each in requests))


@pytest.mark.parametrize(("browser", "backend"), PLACES)
async def test_batched_answers_are_the_native_ones(perceptron: Path, browser: Any, backend: Any) -> None:
    try:
        find(browser)
    except BrowserNotFound as error:
        pytest.skip(str(error))
    reference, requests = NativeSession(resolve(perceptron)), rows(40)
    async with AsyncAccelerator(browser=browser, max_batch_size=8) as accelerator:
        model = await accelerator.load(perceptron, platform=backend)
        assert model.max_batch_size == 8
        results = await at_once(model, requests)
        batches = (await accelerator.metrics())["bridge"]["batches"]
    for request, result in zip(requests, results, strict=True):
        np.testing.assert_allclose(result["y"], reference.run(request)["y"], rtol=1e-4, atol=1e-5)
    sizes = [result.batch for result in results]
    assert max(sizes) == 8
    assert {int(size) for size in batches} == set(sizes)
    assert sum(int(size) * count for size, count in batches.items()) == 40
    if backend == "webnn":
        assert set(sizes) <= {1, 8}, "no session but for one row and for a full batch"


@pytest.mark.parametrize("backend", ["wasm", "webnn"])
async def test_batched_sentences_of_mixed_lengths_are_the_native_ones(backend: Any) -> None:
    texts = [" ".join(["a browser ran this sentence"] * (1 + at % 3)) + f" {at}" for at in range(24)]
    async with AsyncAccelerator(browser="embedded", max_batch_size=4) as accelerator:
        model = await accelerator.load(MINILM, platform=backend)
        results = await at_once(model, texts)
        reference = NativeSession(model.package)
        for text, result in zip(texts, results, strict=True):
            expected = reference.run(dict(model.tokenizer.encode(text)))
            for name, array in expected.items():
                np.testing.assert_allclose(result[name], array, rtol=1e-3, atol=1e-4)
        assert max(result.batch for result in results) == 4


async def test_batching_is_off_unless_it_is_asked_for(perceptron: Path) -> None:
    async with AsyncAccelerator(browser="embedded") as accelerator:
        model = await accelerator.load(perceptron, platform="wasm")
        assert {result.batch for result in await at_once(model, rows(20))} == {1}
        assert await model.set_max_batch_size(16) is None
        assert max(result.batch for result in await at_once(model, rows(20))) == 16
        assert await model.set_max_batch_size(1) is None
        assert {result.batch for result in await at_once(model, rows(20))} == {1}
        with pytest.raises(OptionError, match="max_batch_size"):
            await model.set_max_batch_size(0)


@pytest.fixture
def centred(save: Save) -> Path:
    """A model that subtracts the mean over the batch: its answers depend on who else is in it."""
    return save(
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=[0], keepdims=1),
        helper.make_node("Sub", ["x", "mean"], ["y"]),
        shape=("batch", 8),
    )


@pytest.fixture
def quantized(save: Save) -> Path:
    """A dynamically quantized layer: one scale for the whole batch's activations."""
    weights = np.random.default_rng(0).integers(-127, 127, (8, 8)).astype(np.int8)
    return save(
        helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "scale", "zero"]),
        helper.make_node("MatMulInteger", ["q", "w", "zero"], ["sum"]),
        helper.make_node("Cast", ["sum"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["real", "scale"], ["y"]),
        shape=("batch", 8),
        initializers=(numpy_helper.from_array(weights, "w"),),
    )


@pytest.mark.parametrize(
    ("name", "why"), [("centred", "in a batch"), ("quantized", "in a batch"), ("unbatched", "one row per item")]
)
async def test_model_whose_answers_would_change_runs_each_request_alone(
    name: str, why: str, save: Save, request: pytest.FixtureRequest
) -> None:
    unbatched = save(helper.make_node("Neg", ["x"], ["y"]), shape=(1, 8))
    path = unbatched if name == "unbatched" else request.getfixturevalue(name)
    inputs = rows(10)
    async with AsyncAccelerator(browser="embedded") as accelerator:
        model = await accelerator.load(path, platform="wasm")
        expected = [(await model.run(each))["y"] for each in inputs]
        reason = await model.set_max_batch_size(8)
        assert why in (reason or "")
        assert model.max_batch_size == 1
        results = await at_once(model, inputs)
        assert {result.batch for result in results} == {1}
        for own, result in zip(expected, results, strict=True):
            np.testing.assert_array_equal(result["y"], own)


@pytest.mark.parametrize("backend", ["wasm", "webnn"])
async def test_nan_fails_its_own_request_only(perceptron: Path, backend: Any) -> None:
    requests = rows(12)
    requests[5] = {"x": np.full((1, 8), np.nan, np.float32)}
    reference = NativeSession(resolve(perceptron))
    async with AsyncAccelerator(browser="embedded", max_batch_size=4) as accelerator:
        model = await accelerator.load(perceptron, platform=backend)
        results = await asyncio.gather(*(model.run(each) for each in requests), return_exceptions=True)
    assert isinstance(results.pop(5), NotANumber)
    del requests[5]
    for request, result in zip(requests, results, strict=True):
        assert isinstance(result, Result)
        np.testing.assert_allclose(result["y"], reference.run(request)["y"], rtol=1e-4, atol=1e-5)


async def test_nan_that_spreads_over_a_batch_fails_its_own_request_only(save: Save) -> None:
    path = save(
        helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=1),
        helper.make_node("Mul", ["sum", "nothing"], ["zero"]),
        helper.make_node("Add", ["x", "zero"], ["y"]),
        shape=("batch", 8),
        initializers=(numpy_helper.from_array(np.zeros((1, 8), np.float32), "nothing"),),
    )
    requests = rows(12)
    requests[5] = {"x": np.full((1, 8), np.nan, np.float32)}
    async with AsyncAccelerator(browser="embedded", max_batch_size=4) as accelerator:
        model = await accelerator.load(path, platform="wasm")
        results = await asyncio.gather(*(model.run(each) for each in requests), return_exceptions=True)
    assert isinstance(results[5], NotANumber)
    attempts = [result.attempts for result in results if isinstance(result, Result)]
    assert len(attempts) == 11
    assert max(attempts) == 2, "a neighbour of the NaN ran again alone"


async def test_row_that_the_runtime_refuses_fails_its_own_request_only(save: Save) -> None:
    table = np.arange(40, dtype=np.float32).reshape(10, 4)
    path = save(
        helper.make_node("Gather", ["table", "x"], ["y"]),
        dtype=TensorProto.INT64,
        shape=("batch", 2),
        out=TensorProto.FLOAT,
        initializers=(numpy_helper.from_array(table, "table"),),
    )
    path = with_output(path, ("batch", 2, 4))
    async with AsyncAccelerator(browser="embedded", max_batch_size=8) as accelerator:
        model = await accelerator.load(path, platform="wasm")
        assert model.max_batch_size == 8
        ids = [[1, at % 10] for at in range(16)]
        ids[9] = [1, 99]
        results = await asyncio.gather(*(model.run({"x": [each]}) for each in ids), return_exceptions=True)
        assert [at for at, result in enumerate(results) if isinstance(result, BaseException)] == [9]
        assert isinstance(results[9], RunFailed)
        for each, result in zip(ids, results, strict=True):
            if isinstance(result, Result):
                np.testing.assert_array_equal(result["y"], table[[each]])


def with_output(path: Path, shape: tuple[Any, ...]) -> Path:
    import onnx

    model = onnx.load(path)
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, shape))
    onnx.save(model, path)
    return path


async def test_cancelled_and_late_requests_leave_their_batch(perceptron: Path, tmp_path: Path) -> None:
    async with AsyncAccelerator(browser="embedded", max_batch_size=8) as accelerator:
        blocker = await accelerator.load(make_endless(tmp_path), platform="wasm")
        model = await accelerator.load(perceptron, platform="wasm")
        running = [blocker.submit({"x": [500]}) for _ in range(2)]
        await asyncio.sleep(0)
        given_up, late, *others = (
            model.submit(each, timeout=0.3 if at == 1 else None) for at, each in enumerate(rows(6))
        )
        await asyncio.sleep(0)
        given_up.cancel()
        with pytest.raises(DeadlineExceeded, match="queued"):
            await late
        await asyncio.gather(*running)
        assert {result.batch for result in await asyncio.gather(*others)} == {4}


@pytest.fixture
def patient(save: Save) -> Path:
    """A model that gives back what it is given, after as many turns as the largest number in the batch says."""
    side = 256
    body = helper.make_graph(
        [helper.make_node("MatMul", ["state", "one"], ["next"]), helper.make_node("Identity", ["going"], ["on"])],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state", TensorProto.FLOAT, [side, side]),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, [side, side]),
        ],
    )
    return save(
        helper.make_node("ReduceMax", ["x"], ["largest"], keepdims=0),
        helper.make_node("Cast", ["largest"], ["turns"], to=TensorProto.INT64),
        helper.make_node("Loop", ["turns", "", "one"], ["last"], body=body),
        helper.make_node("ReduceMin", ["last"], ["zero"], keepdims=0),
        helper.make_node("Add", ["x", "zero"], ["y"]),
        shape=("batch", 8),
        initializers=(numpy_helper.from_array(np.eye(side, dtype=np.float32), "one"),),
    )


async def test_late_request_does_not_take_its_neighbours_with_it(patient: Path) -> None:
    async with AsyncAccelerator(browser="embedded", max_batch_size=4) as accelerator:
        model = await accelerator.load(patient, platform="wasm")
        assert model.max_batch_size == 4
        trials = [await model.run({"x": np.full((1, 8), 150, np.float32)}) for _ in range(4)]
        turns = np.float32(150 * 4.0 / min(trial.times.run for trial in trials))  # some seconds, or more if it is busy
        first = model.submit({"x": np.ones((1, 8), np.float32)})  # while it runs, the others gather
        late, *others = [
            model.submit({"x": np.full((1, 8), turns, np.float32)}, timeout=1.0 if at == 0 else None) for at in range(4)
        ]
        with pytest.raises(DeadlineExceeded, match="running"):
            await late
        results = await asyncio.gather(first, *others)
        assert [result.batch for result in results] == [1, 4, 4, 4]
        assert {(result.lane, result.attempts) for result in results} == {("b1.1", 1)}
        assert all((result["y"] == turns).all() for result in results[1:])


async def test_requests_run_alone_where_the_session_for_batches_cannot_be_had(perceptron: Path) -> None:
    requests, reference = rows(30), NativeSession(resolve(perceptron))
    async with AsyncAccelerator(browser="embedded", max_batch_size=8) as accelerator:
        model = await accelerator.load(perceptron, platform="webnn")
        pool = accelerator._pool
        assert pool is not None
        (state,) = pool.lane_states.values()
        batches = next(key for key in state.loaded if dict(key.dimensions)["batch"] == 8)
        loading = pool._loader._loadings[batches]
        gone = msgspec.structs.replace(loading.recipe.model, url="/models/gone")
        loading.recipe = replace(loading.recipe, model=gone)
        pool.lanes[state.id].unload(loading.name)
        del state.loaded[batches]
        results = await at_once(model, requests)
        assert {result.batch for result in results} == {1}
        assert model.max_batch_size == 1
    for request, result in zip(requests, results, strict=True):
        np.testing.assert_allclose(result["y"], reference.run(request)["y"], rtol=1e-4, atol=1e-5)


async def test_batch_of_a_lost_lane_is_run_again(perceptron: Path) -> None:
    requests, reference = rows(64), NativeSession(resolve(perceptron))
    async with AsyncAccelerator(browser="embedded", max_batch_size=16) as accelerator:
        model = await accelerator.load(perceptron, platform="wasm")
        futures = [model.submit(each) for each in requests]
        await asyncio.sleep(0)
        assert accelerator._pool is not None
        (lane,) = accelerator._pool.lanes.values()
        await accelerator._pool.browsers[lane.id.browser].stop_lane(lane)
        results = await asyncio.gather(*futures)
    assert max(result.attempts for result in results) == 2
    for request, result in zip(requests, results, strict=True):
        np.testing.assert_allclose(result["y"], reference.run(request)["y"], rtol=1e-4, atol=1e-5)

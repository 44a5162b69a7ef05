"""A backend that webinfer chose fails in a run: another one answers, and the next load begins with that."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.browser.conftest import start
from webinfer import Accelerator, AsyncAccelerator
from webinfer.accuracy.native import run_native
from webinfer.core.errors import DeadlineExceeded, PoolClosed, RunFailed, RuntimeDied
from webinfer.inference.model import AsyncModel
from webinfer.models.sources.resolve import resolve

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("without_atlas")]

INPUTS = {"x": np.random.default_rng(0).standard_normal((3, 20, 8)).astype(np.float32)}


def _save(path: Path, nodes: list[onnx.NodeProto], output: list[Any], **constants: Any) -> Path:
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [3, 20, 8])]
    graph = helper.make_graph(
        nodes,
        uuid.uuid4().hex,  # so that nothing is known of it yet
        inputs,
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, output)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


@pytest.fixture
def crop(tmp_path: Path) -> Path:
    """A model of which WebNN's runtime in the embedded Chromium dies when it runs."""
    nodes = [helper.make_node("CenterCropPad", ["x", "s"], ["y"], axes=[1, 2])]
    return _save(tmp_path / "m.onnx", nodes, [3, 10, 9], s=np.array([10, 9]))


@pytest.fixture
def dying(tmp_path: Path) -> Path:
    """A model of which WebNN's runtime in the embedded Chromium dies when it is loaded."""
    nodes = [helper.make_node("ConvTranspose", ["x", "w"], ["y"], dilations=[2])]
    weights = np.random.default_rng(1).standard_normal((20, 4, 3)).astype(np.float32)
    return _save(tmp_path / "dying.onnx", nodes, [3, 4, 12], w=weights)


def test_backend_that_dies_in_a_run_is_replaced_and_not_tried_again(crop: Path) -> None:
    path, inputs = crop, INPUTS
    right = run_native(resolve(path), inputs)["y"]
    with start("embedded", accuracy="off") as accelerator, accelerator.load(path) as model:
        assert model.backend == "webnn"
        results = model.run_batch([inputs] * 5)
        assert [result.backend for result in results] == ["wasm"] * 5
        for result in results:
            np.testing.assert_allclose(result["y"], right, atol=1e-5)
        assert model.backend == model.run(inputs).backend == "wasm"
        assert "webnn could not run it (The runtime of this lane died: unreachable), so" in str(results[0].reason)
        lost = _lost(accelerator)
        with accelerator.load(path) as again:
            assert again.backend == "wasm"
            assert "could not run it" in str(again.run(inputs).reason)
        assert _lost(accelerator) == lost <= 2


def test_backend_that_dies_of_a_load_costs_one_lane_once(dying: Path) -> None:
    path = dying
    with start("embedded", accuracy="off") as accelerator:
        for _ in range(2):
            with accelerator.load(path) as model:
                result = model.run(INPUTS)
            assert result.backend == "wasm"
            assert "webnn could not load it (The runtime of this lane died: unreachable)" in str(result.reason)
            np.testing.assert_allclose(result["y"], run_native(resolve(path), INPUTS)["y"], atol=1e-5)
            assert _lost(accelerator) == 1


def test_named_backend_stays_and_its_death_is_the_error(crop: Path) -> None:
    with start("embedded", platform="webnn", accuracy="off") as accelerator, accelerator.load(crop) as model:
        with pytest.raises(RuntimeDied, match="unreachable"):
            model.run(INPUTS)
        assert model.backend == "webnn"
        assert _lost(accelerator) == 2


def test_request_that_no_backend_answers_moves_nothing(tmp_path: Path) -> None:
    """A Reshape to a shape that the caller gives: a wrong one fails everywhere, a right one is answered afterwards."""
    graph = helper.make_graph(
        [helper.make_node("Reshape", ["x", "s"], ["y"])],
        "g",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [6]),
            helper.make_tensor_value_info("s", TensorProto.INT64, [2]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["a", "b"])],
    )
    path = tmp_path / "m.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    x = np.arange(6, dtype=np.float32)
    with start("embedded", accuracy="off") as accelerator, accelerator.load(path) as model:
        before = model.backend
        for _ in range(2):
            with pytest.raises(Exception, match=r"Reshape|shape"):
                model.run({"x": x, "s": np.array([4, 5])})
        result = model.run({"x": x, "s": np.array([2, 3])})
        assert model.backend == before == result.backend
        np.testing.assert_array_equal(result["y"], x.reshape(2, 3))


async def test_death_of_a_lane_is_not_held_against_what_waited_there(crop: Path, dying: Path, tmp_path: Path) -> None:
    """Neither a load that waited behind the run that ended the lane, nor runs that waited behind such a load."""
    path = _save(tmp_path / "innocent.onnx", [helper.make_node("Relu", ["x"], ["y"])], [3, 20, 8])
    async with AsyncAccelerator(browser="embedded", accuracy="off") as accelerator:
        killer = await accelerator.load(crop)
        running = [killer.submit(INPUTS) for _ in range(2)]
        model = await accelerator.load(path)
        assert [(await request).backend for request in running] == ["wasm"] * 2
        assert model.backend == "webnn"
        loading = asyncio.create_task(accelerator.load(dying))
        while not loading.done():
            results = await model.run_batch([INPUTS] * 4)
            assert [result.backend for result in results] == ["webnn"] * 4
        assert (await loading).backend == "wasm"
        assert model.backend == (await accelerator.load(path)).backend == "webnn"


async def test_model_that_moved_does_not_move_again(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("CenterCropPad", ["x", "s"], ["c"], axes=[1, 2]),
        helper.make_node("Gather", ["c", "i"], ["y"], axis=0),
    ]
    path = _save(tmp_path / "m.onnx", nodes, [1, 10, 9], s=np.array([10, 9]))
    written = onnx.load(path)
    written.graph.input.append(helper.make_tensor_value_info("i", TensorProto.INT64, [1]))
    onnx.save(written, path)
    async with (
        AsyncAccelerator(browser="embedded", accuracy="off") as accelerator,
        await accelerator.load(path) as model,
    ):
        assert (await model.run({**INPUTS, "i": [0]})).backend == "wasm"
        failed = (await accelerator.metrics())["bridge"]["errors"]
        with pytest.raises(RunFailed, match="Gather"):
            await model.run({**INPUTS, "i": [77]})
        assert (await accelerator.metrics())["bridge"]["errors"] == failed + 1


async def test_model_closed_while_it_moves_leaves_nothing_on_a_lane(crop: Path) -> None:
    async with (
        AsyncAccelerator(browser="embedded", accuracy="off") as accelerator,
        await accelerator.load(crop) as model,
    ):
        begun, _ = _watch(model)
        running = model.submit(INPUTS)
        await begun.wait()
        await model.close()
        with pytest.raises(PoolClosed, match="closed"):
            await running
        snapshot = await accelerator.snapshot()
        assert [lane.sessions for browser in snapshot.browsers for lane in browser.lanes] == [()]


async def test_request_waits_no_longer_for_another_backend_than_its_limit(crop: Path) -> None:
    async with (
        AsyncAccelerator(browser="embedded", accuracy="off") as accelerator,
        await accelerator.load(crop) as model,
    ):
        assert model.failover.substitute is not None
        substitute, late = model.failover.substitute, asyncio.Event()
        load = substitute.load

        async def loading(why: str) -> Any:
            await late.wait()
            return await load(why)

        substitute.load = loading  # type: ignore[method-assign]
        first, second = (model.submit(INPUTS, timeout=seconds) for seconds in (5.0, 60.0))
        with pytest.raises(DeadlineExceeded, match=r"unreachable\), and no other backend answered within 5 s"):
            await first
        late.set()
        assert (await second).backend == (await model.run(INPUTS)).backend == "wasm"


@pytest.mark.parametrize("step", [0, 1])
async def test_request_given_up_while_its_model_moves_leaves_the_move_to_the_others(crop: Path, step: int) -> None:
    async with (
        AsyncAccelerator(browser="embedded", accuracy="off") as accelerator,
        await accelerator.load(crop) as model,
    ):
        steps = _watch(model)
        first, *others = [model.submit(INPUTS) for _ in range(4)]
        await steps[step].wait()
        first.cancel()
        for other in others:
            assert (await other).backend == "wasm"
        assert first.cancelled()
        assert model.backend == "wasm"
        assert (await accelerator.metrics())["bridge"]["lanes_lost"] <= 2


def _watch(model: AsyncModel) -> tuple[asyncio.Event, asyncio.Event]:
    """Return events of a model's move: its other backend is about to be loaded, and it has answered."""
    assert model.failover.substitute is not None
    substitute, begun, answered = model.failover.substitute, asyncio.Event(), asyncio.Event()
    load, remember = substitute.load, substitute.remember

    async def loading(why: str) -> Any:
        begun.set()
        return await load(why)

    async def remembering(*given: Any) -> None:
        answered.set()
        await remember(*given)

    substitute.load, substitute.remember = loading, remembering  # type: ignore[method-assign, assignment]
    return begun, answered


def _lost(accelerator: Accelerator) -> int:
    """Return how many lanes were lost so far."""
    return int(accelerator.metrics()["bridge"]["lanes_lost"])

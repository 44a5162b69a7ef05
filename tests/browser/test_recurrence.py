"""State that stays in the browser: right, never sent, released, and lost only with a typed error."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.models.zoo.test_decoders import GPT2, loud
from webinfer import AsyncAccelerator
from webinfer.accuracy.native import NativeSession
from webinfer.core.errors import (
    BackendUnavailable,
    HandleLost,
    InputError,
    LostError,
    PoolClosed,
    UnknownOutput,
    WebinferError,
)
from webinfer.inference.residents.kv_cache import Recurrence, cache_of
from webinfer.models.sources.resolve import resolve
from webinfer.models.zoo.architectures.text.gpt2 import gpt2

pytestmark = pytest.mark.browser


@pytest.fixture
def adder(tmp_path: Path) -> Path:
    """A model that adds up: ``total`` is ``x`` behind ``before``, ``y`` the sum of all."""
    nodes = [
        helper.make_node("Concat", ["before", "x"], ["total"], axis=0),
        helper.make_node("ReduceSum", ["total"], ["y"], keepdims=1),
    ]
    values = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, (size,)) for name, size in _SIZES.items()}
    graph = helper.make_graph(nodes, "adder", [values["before"], values["x"]], [values["total"], values["y"]])
    path = tmp_path / "adder.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


_SIZES: dict[str, Any] = {"before": "past", "x": "n", "total": "all", "y": 1}


@pytest.mark.parametrize(("platform", "resident"), [("wasm", False), ("webgpu", False), ("webgpu", True)])
async def test_decoder_gives_natives_logits_token_by_token(tmp_path: Path, platform: Any, resident: bool) -> None:
    path = tmp_path / "gpt2.onnx"
    gpt2(GPT2).save(path, loud)
    ids = np.random.default_rng(2).integers(0, 40, 12)
    native = NativeSession(resolve(path))
    past = {
        spec.name: np.zeros((1, 3, 0, 8), np.float32)
        for spec in native.package.signature.inputs
        if ".key" in spec.name or ".value" in spec.name
    }
    whole = native.run(feeds(ids, 0) | past)["logits"][0]
    async with AsyncAccelerator(browser="embedded", lanes=2, resident_state=resident) as accelerator:
        model = await accelerator.load(path, platform=platform)
        sent = (await model.run(feeds(ids, 0) | past)).outputs
        recurrence = Recurrence(model, cache_of(model.package))
        got = []
        for start, stop in [(0, 5), *((at, at + 1) for at in range(5, 12))]:
            result = await recurrence.step(feeds(ids[start:stop], start) | (past if start == 0 else {}), ["logits"])
            assert list(result.outputs) == ["logits"]
            assert result.lane == str(recurrence.lane)
            got.append(result["logits"][0])
    for name, expected in native.run(feeds(ids, 0) | past).items():
        np.testing.assert_allclose(sent[name], expected, atol=1e-4)  # what may stay with the GPU is had all the same
    np.testing.assert_allclose(np.concatenate(got), whole, atol=1e-4)


def feeds(ids: Any, past: int) -> dict[str, Any]:
    total = past + len(ids)
    mask = np.ones((1, total), np.int64)
    return {"input_ids": ids[None], "attention_mask": mask, "position_ids": np.arange(past, total)[None]}


START = {"before": np.zeros(1, np.float32)}
STATE = {"before": "total"}


def x(value: float) -> dict[str, Any]:
    return {"x": np.array([value], np.float32)}


async def test_sequences_side_by_side_keep_their_own_state(adder: Path) -> None:
    async with AsyncAccelerator(browser="embedded", lanes=2) as accelerator:
        model = await accelerator.load(adder, platform="wasm")
        assert "before" in {spec.name for spec in model.package.signature.inputs}

        async def count(by: int) -> list[float]:
            recurrence = Recurrence(model, STATE)
            steps = [await recurrence.step(x(by) | (START if not at else {}), ["y"]) for at in range(8)]
            recurrence.close()
            return [float(step["y"][0]) for step in steps]

        counts = await asyncio.gather(*(count(by) for by in range(1, 7)))
        assert counts == [[by * (at + 1) for at in range(8)] for by in range(1, 7)]


async def endlessly(recurrence: Recurrence) -> None:
    while True:
        await recurrence.step(x(1), ["y"])


async def test_state_lost_with_its_lane_is_a_typed_error_and_the_next_start_works(adder: Path) -> None:
    async with AsyncAccelerator(browser="embedded") as accelerator:
        model = await accelerator.load(adder, platform="wasm")
        recurrence = Recurrence(model, STATE)
        await recurrence.step(x(1) | START, ["y"])
        first = recurrence.lane
        pool = accelerator._pool
        assert pool is not None
        (browser,) = pool.browsers.values()
        os.kill(browser.pid, signal.SIGKILL)
        with pytest.raises(WebinferError) as lost:
            await endlessly(recurrence)  # until the loss is noticed
        assert isinstance(lost.value, HandleLost | LostError)
        assert lost.value.retryable
        assert recurrence.lane is None
        result = await recurrence.step(x(5) | START, ["y"])
        assert result["y"].tolist() == [5]
        assert result.lane != str(first)
        await model.run(x(1) | {"before": np.ones(1, np.float32)})


async def test_what_is_fixed_is_given_once(adder: Path) -> None:
    async with AsyncAccelerator(browser="embedded", lanes=2) as accelerator:
        model = await accelerator.load(adder, platform="wasm")
        same = Recurrence(model, STATE, {"x": "x"})
        sums = [await same.step(x(3) | START if not at else {}, ["y"]) for at in range(4)]
        assert [float(each["y"][0]) for each in sums] == [3, 6, 9, 12]
        made = Recurrence(model, {}, {"before": "total"})  # what the first step made is what all others take
        sums = [await made.step(x(at + 1) | (START if not at else {}), ["y"]) for at in range(4)]
        assert [float(each["y"][0]) for each in sums] == [1, 3, 4, 5]
        kept, lane = dict(same._fixed_feeds), same.lane
        same.close()
        same.lane, same._fixed_feeds = lane, kept
        with pytest.raises(HandleLost, match="is not on this lane"):
            await same.step({}, ["y"])
        with pytest.raises(UnknownOutput, match="no output 'nothing' to keep"):
            Recurrence(model, STATE, {"x": "nothing"})


async def test_state_does_not_outlive_its_session(adder: Path) -> None:
    async with AsyncAccelerator(browser="embedded") as accelerator:
        model = await accelerator.load(adder, platform="wasm")
        recurrence = Recurrence(model, STATE)
        await recurrence.step(x(1) | START, ["y"])
        pool = accelerator._pool
        assert pool is not None
        (state,) = pool.lane_states.values()
        kept, state.loaded = state.loaded, {}
        with pytest.raises(HandleLost, match="start over"):
            await recurrence.step(x(1), ["y"])
        state.loaded = kept


async def test_closed_model_takes_no_step_and_keeps_no_session(adder: Path) -> None:
    async with AsyncAccelerator(browser="embedded") as accelerator:
        model = await accelerator.load(adder, platform="wasm")
        recurrence = Recurrence(model, STATE)
        await recurrence.step(x(1) | START, ["y"])
        await model.close()
        with pytest.raises(PoolClosed, match="load it again"):
            await recurrence.step(x(1), ["y"])
        with pytest.raises(PoolClosed, match="load it again"):
            await recurrence.step(x(1) | START, ["y"])
        assert accelerator._pool is not None
        assert accelerator._pool.holders() == {}


async def test_released_tensors_are_gone(adder: Path) -> None:
    """A handle that was freed names nothing any more: neither the state before the last step, nor a closed one."""
    async with AsyncAccelerator(browser="embedded") as accelerator:
        model = await accelerator.load(adder, platform="wasm")
        recurrence = Recurrence(model, STATE)
        await recurrence.step(x(1) | START, ["y"])
        earlier = dict(recurrence._feeds)
        await recurrence.step(x(1), ["y"])
        later, lane = dict(recurrence._feeds), recurrence.lane
        recurrence.close()
        for handles in (earlier, later):
            recurrence.lane, recurrence._feeds = lane, handles
            with pytest.raises(HandleLost, match="is not on this lane"):
                await recurrence.step(x(1), ["y"])


async def test_step_that_is_given_up_leaves_the_next_start_clean(adder: Path) -> None:
    async with AsyncAccelerator(browser="embedded") as accelerator:
        model = await accelerator.load(adder, platform="wasm")
        recurrence = Recurrence(model, STATE)
        task = asyncio.create_task(recurrence.step(x(1) | START, ["y"]))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await recurrence.step(x(3) | START, ["y"]))["y"].tolist() == [3]


async def test_wrong_use_is_refused_and_the_state_stays(adder: Path) -> None:
    async with AsyncAccelerator(browser="embedded") as accelerator:
        model = await accelerator.load(adder, platform="wasm")
        with pytest.raises(UnknownOutput, match="no output 'sum' to keep"):
            Recurrence(model, {"before": "sum"})
        recurrence = Recurrence(model, STATE)
        await recurrence.step(x(1) | START, ["y"])
        with pytest.raises(InputError):
            await recurrence.step({"z": [1.0]}, ["y"])
        assert (await recurrence.step(x(2), ["y"]))["y"].tolist() == [3]
        fixed = await accelerator.load(adder, platform="webnn")
        with pytest.raises(BackendUnavailable, match="takes fixed shapes"):
            Recurrence(fixed, STATE)


async def test_auto_spares_a_growing_cache_the_fixed_shapes_of_webnn(tmp_path: Path) -> None:
    path = tmp_path / "gpt2.onnx"
    gpt2(GPT2).save(path, loud)
    async with AsyncAccelerator(browser="embedded") as accelerator:
        model = await accelerator.load(path)
        assert model.backend == "wasm"
        assert "cache grows" in str(model.choice.reason)

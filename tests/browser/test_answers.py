"""An answer that is not the model's is refused, and the lane that gave it is replaced."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.browser.conftest import Save
from tests.chaos.target import feed
from tests.chaos.workload import make_endless
from tests.frames import TIMING, frame
from webinfer import AsyncAccelerator
from webinfer.accuracy.native import NativeSession
from webinfer.core.errors import MalformedFrame
from webinfer.core.placement import LaneId
from webinfer.models.sources.resolve import resolve

Tensors = dict[str, np.ndarray[Any, Any]]

FORGED: dict[str, Tensors] = {
    "none": {},
    "another name": {"z": np.zeros(1, np.float32)},
    "another dtype": {"y": np.zeros(1, np.float64)},
    "one too many": {"y": np.zeros(1, np.float32), "z": np.zeros(1, np.float32)},
}


@pytest.mark.parametrize("what", FORGED)
async def test_answer_that_is_not_the_models_is_refused_and_its_lane_replaced(
    tmp_path: Path, perceptron: Path, forge: Callable[..., None], what: str
) -> None:
    x = np.random.default_rng(1).standard_normal((2, 8), np.float32)
    async with AsyncAccelerator(browser="embedded", platform="wasm") as accelerator:
        endless, model = [await accelerator.load(path) for path in (make_endless(tmp_path), perceptron)]
        hanging = asyncio.create_task(endless.run({"x": [1e6]}, timeout=60))
        neighbour = asyncio.create_task(model.run({"x": x}))
        assert accelerator._pool is not None
        while len(accelerator._pool.in_flight.get(LaneId("b1", 1), ())) < 2:  # noqa: ASYNC110  # the pool announces no dispatches
            await asyncio.sleep(0)
        forge(accelerator, FORGED[what])
        with pytest.raises(MalformedFrame, match=r"b1\.1.*replaced") as refusal:
            await hanging
        assert refusal.value.data["lane"] == "b1.1"
        result = await neighbour
        assert (result.lane, result.attempts) == ("b1.2", 2)
        expected = NativeSession(resolve(perceptron)).run({"x": x})["y"]
        np.testing.assert_allclose(result.outputs["y"], expected, rtol=1e-5)
        assert not accelerator._pool.in_flight.get(LaneId("b1", 1))


async def test_every_output_or_those_asked_for_are_held_against_the_model(save: Save) -> None:
    path = save(
        helper.make_node("TopK", ["x", "k"], ["y", "at"]),
        out=TensorProto.FLOAT,
        initializers=(helper.make_tensor("k", TensorProto.INT64, [1], [1]),),
    )
    model = onnx.load(path)
    model.graph.output.append(helper.make_tensor_value_info("at", TensorProto.INT64, None))
    onnx.save(model, path)
    async with AsyncAccelerator(browser="embedded", platform="wasm") as accelerator:
        top = await accelerator.load(path)
        for wanted in (None, ["at"], ["at", "at"], ["y", "at"]):
            outputs = (await top.run({"x": [3.0, 5.0, 4.0]}, outputs=wanted)).outputs
            assert outputs["at"].tolist() == [1]
            assert outputs["at"].dtype == np.int64


@pytest.fixture
def forge() -> Callable[..., None]:
    """Have a lane's socket bring an answer, of any tensors, to the run that it is computing."""

    def answer(accelerator: AsyncAccelerator, tensors: Tensors) -> None:
        assert accelerator._pool is not None
        (lane,) = accelerator._pool.lanes.values()
        number = min(lane._connection._conversation.pending)
        feed(lane._connection, frame({"kind": "ok", "id": number, "timing": TIMING}, tensors))

    return answer

"""A page that answers with a field of the wrong type ends its lane or its browser, and keeps nobody waiting."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.frames import CAPABILITIES, LANE_HELLO, LOADED, PAGE_HELLO, TIMING, frame
from webinfer import AsyncAccelerator
from webinfer.core.errors import LaunchFailed, LostError, WebinferError
from webinfer.transport.wire.codec import Frame, decode

LIMIT = 3.0  # s, of a load and of a run
PATIENCE = 20.0  # s, in which everything must have ended

Answers = Callable[[str], dict[str, Any] | None]


class BadPage(logging.Handler):
    """Dials in where an accelerator asks for a page, and answers as it is told to: ``None`` leaves a request alone."""

    def __init__(self) -> None:
        super().__init__()
        self.capabilities: dict[str, Any] = CAPABILITIES
        self.answers: Answers = {"load": LOADED, "run": {"timing": TIMING}}.get
        self.asked: list[str] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def emit(self, record: logging.LogRecord) -> None:
        url = record.getMessage().rsplit(" ", 1)[1]
        self._spawn(self._page(*url.split("/#token=")))

    async def close(self) -> None:  # type: ignore[override]
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _spawn(self, task: Any) -> None:
        spawned = asyncio.create_task(task)
        self._tasks.add(spawned)
        spawned.add_done_callback(self._tasks.discard)

    async def _page(self, origin: str, token: str) -> None:
        async with _dial(origin, token) as socket:
            await socket.send_bytes(frame(PAGE_HELLO))
            await socket.send_bytes(frame({"kind": "capabilities", "capabilities": self.capabilities}))
            async for asked, header in _requests(socket):
                if asked.kind == "start_lane":
                    await socket.send_bytes(frame({"kind": "ok", "id": asked.id, "lane": header["lane"]}))
                    self._spawn(self._lane(origin, header["lane"], header["token"]))
                elif asked.id:
                    await socket.send_bytes(frame({"kind": "ok", "id": asked.id}))
                elif asked.kind == "ping":
                    await socket.send_bytes(frame({"kind": "pong"}))

    async def _lane(self, origin: str, lane: str, token: str) -> None:
        async with _dial(origin, token) as socket:
            await socket.send_bytes(frame({**LANE_HELLO, "lane": lane}))
            async for asked, _ in _requests(socket):
                self.asked.append(asked.kind)
                if (answer := self.answers(asked.kind)) is not None:
                    tensors = {"y": asked.tensors["x"] + 1} if asked.kind == "run" else None
                    await socket.send_bytes(frame({"kind": "ok", "id": asked.id, **answer}, tensors))


@contextlib.asynccontextmanager
async def _dial(origin: str, token: str) -> Any:
    async with aiohttp.ClientSession() as client, client.ws_connect(f"{origin}/ws?token={token}") as socket:
        yield socket


async def _requests(socket: aiohttp.ClientWebSocketResponse) -> Any:
    async for message in socket:
        asked: Frame = decode(message.data)
        yield asked, json.loads(bytes(asked.header))


@pytest.fixture
def adder(tmp_path: Path) -> Path:
    """A model that adds 1 to ``x``, of shape (n, 4)."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4]) for name in "xy")
    one = helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0])
    graph = helper.make_graph([helper.make_node("Add", ["x", "one"], ["y"])], "g", [x], [y], [one])
    path = tmp_path / "add.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.fixture
def page() -> Iterator[BadPage]:
    page = BadPage()
    log = logging.getLogger("webinfer.browsers.visit")
    log.addHandler(page)
    yield page
    log.removeHandler(page)


def accelerator(**options: Any) -> AsyncAccelerator:
    limits = {"load_timeout": LIMIT, "run_timeout": LIMIT, "launch_timeout": LIMIT}
    return AsyncAccelerator(browser="url", platform="wasm", accuracy="off", **{**limits, **options})


async def ended(waiting: Any) -> WebinferError:
    """Return the error in which something ends, soon enough."""
    began = time.monotonic()
    with pytest.raises(WebinferError) as caught:
        await asyncio.wait_for(waiting, PATIENCE)
    assert time.monotonic() - began < PATIENCE
    return caught.value


@pytest.mark.parametrize(
    "wrong",
    [{"placement": 5}, {"nbytes": "many"}, {"stored": None}, {"timing": {"fetch": 10**400, "create": 1}}],
    ids=lambda wrong: next(iter(wrong)),
)
async def test_load_with_a_wrong_field_is_an_error_and_not_repeated_for_ever(
    page: BadPage, adder: Path, wrong: dict[str, Any]
) -> None:
    page.answers = {"load": {**LOADED, **wrong}}.get
    async with accelerator(retries=1) as under_test:
        error = await ended(under_test.load(adder))
    await page.close()
    assert isinstance(error, LostError)
    assert "wrong field" in str(error)
    assert page.asked == ["load", "load"]


@pytest.mark.parametrize("timing", [None, {"wait": 0, "run": 10**400}, {"wait": "0", "run": 1}, 5], ids=str)
async def test_run_with_a_wrong_timing_is_an_error_and_later_ones_keep_their_limits(
    page: BadPage, adder: Path, timing: Any
) -> None:
    x = {"x": np.ones((2, 4), np.float32)}
    async with accelerator(retries=0) as under_test:
        model = await asyncio.wait_for(under_test.load(adder), PATIENCE)
        page.answers = {"load": LOADED, "run": {"timing": timing}}.get
        assert "wrong field" in str(await ended(model.run(x)))
        page.answers = {"load": LOADED}.get
        assert (await ended(model.run(x))).code == "deadline"
    await page.close()


async def test_answer_to_be_repeated_is_taken_from_a_lane_that_answers_well(page: BadPage, adder: Path) -> None:
    x = {"x": np.ones((2, 4), np.float32)}
    bad = iter([{"timing": None}])
    async with accelerator(retries=1) as under_test:
        model = await asyncio.wait_for(under_test.load(adder), PATIENCE)
        page.answers = lambda kind: LOADED if kind == "load" else next(bad, {"timing": TIMING})
        result = await asyncio.wait_for(model.run(x), PATIENCE)
    await page.close()
    assert result.attempts == 2
    assert (result.outputs["y"] == 2).all()


@pytest.mark.parametrize("wrong", [{"webgpu": 5}, {"hardware_concurrency": "2"}, {"wasm": None}], ids=str)
async def test_browser_with_a_wrong_report_does_not_start(page: BadPage, wrong: dict[str, Any]) -> None:
    page.capabilities = {**CAPABILITIES, **wrong}
    under_test = accelerator(retries=0)
    error = await ended(under_test.start())
    await under_test.close()
    await page.close()
    assert isinstance(error, LaunchFailed)
    assert "wrong field" in str(error)

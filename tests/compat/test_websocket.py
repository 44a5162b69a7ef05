"""The WebSocket bridge reaches a real browser."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fixed_web_platform.websocket_bridge import WebSocketBridge
from tests.compat.models import BERT, SLOW, TOKENS
from webinfer.core.errors import DeadlineExceeded, ModelNotFound, OptionError, PortInUse, UnknownKind

pytestmark = pytest.mark.browser("embedded")

SLOWLY = {"turns": [20_000], "features": [0.0]}


@pytest.fixture
async def bridge(embedded: None, named_models: Path) -> AsyncIterator[WebSocketBridge]:
    async with WebSocketBridge(0, browser="embedded") as bridge:
        yield bridge


async def test_browser_tells_what_it_can_do(bridge: WebSocketBridge) -> None:
    assert await bridge.wait_for_connection(10)
    capabilities = await bridge.get_browser_capabilities()
    assert capabilities["engine"] == "chromium"
    assert capabilities["wasm"]["simd"]


async def test_model_is_initialized_and_runs(bridge: WebSocketBridge) -> None:
    assert await bridge.initialize_model(BERT, platform="webnn") == {
        "status": "success",
        "model_name": BERT,
        "platform": "webnn",
    }
    assert (await bridge.run_inference(BERT, TOKENS, platform="webnn")).backend == "webnn"
    assert (await bridge.run_inference(BERT, TOKENS, platform="cpu")).backend == "wasm"


async def test_messages_do_the_same(bridge: WebSocketBridge) -> None:
    told = await bridge.send_and_wait({"type": "get_capabilities", "id": 1})
    assert (told["id"], told["status"], told["capabilities"]["engine"]) == (1, "success", "chromium")
    model = {"model_name": BERT, "platform": "cpu"}
    assert (await bridge.send_and_wait({"type": "initialize_model", **model}))["status"] == "success"
    result = await bridge.send_and_wait({"type": "run_inference", "id": 2, "input": TOKENS, **model})
    assert (result["id"], result["backend"], len(result["output"]["last_hidden_state"][0])) == (2, "wasm", 6)


async def test_message_without_a_waiter_is_carried_out(
    bridge: WebSocketBridge, caplog: pytest.LogCaptureFixture
) -> None:
    assert await bridge.send_message({"type": "initialize_model", "model_name": BERT, "platform": "cpu"})
    assert await bridge.send_message({"type": "initialize_model", "model_name": "nothing", "platform": "cpu"})
    with caplog.at_level(logging.WARNING, "webinfer.compat"):
        await asyncio.gather(*bridge._sent, return_exceptions=True)
        await asyncio.sleep(0)
    assert bridge._connection.get_loaded_models() == [f"{BERT} on cpu"]
    assert "No model 'nothing'" in caplog.text


async def test_unknown_message_is_refused(bridge: WebSocketBridge) -> None:
    for send in (bridge.send_message, bridge.send_and_wait):
        with pytest.raises(UnknownKind, match="get_capabilities, initialize_model, run_inference, not 'reboot'"):
            await send({"type": "reboot"})


async def test_failure_raises_and_the_next_message_works(bridge: WebSocketBridge) -> None:
    with pytest.raises(ModelNotFound):
        await bridge.initialize_model("nothing")
    with pytest.raises(OptionError, match="not available"):
        await bridge.initialize_model(BERT, options={"shaders": True})
    assert (await bridge.run_inference(BERT, TOKENS, platform="cpu")).model == BERT


async def test_late_answers_are_typed_errors(embedded: None, named_models: Path) -> None:
    async with WebSocketBridge(0, browser="embedded", message_timeout=0.4) as bridge:
        await bridge.initialize_model(SLOW, platform="cpu")
        with pytest.raises(DeadlineExceeded) as caught:
            await bridge.run_inference(SLOW, SLOWLY, platform="cpu")
        assert caught.value.data["timeout"] == 0.4
        message = {"type": "run_inference", "model_name": SLOW, "platform": "cpu", "input": SLOWLY}
        with pytest.raises(DeadlineExceeded, match=r"No answer to run_inference within 0\.1 s"):
            await bridge.send_and_wait(message, timeout=0.1)


async def test_waiting_too_briefly_is_a_typed_error_and_waiting_on_works(embedded: None) -> None:
    bridge = WebSocketBridge(0, browser="embedded")
    try:
        with pytest.raises(DeadlineExceeded, match=r"did not connect within 0\.001 s"):
            await bridge.wait_for_connection(0.001)
        assert await bridge.wait_for_connection()
    finally:
        await bridge.stop()


async def test_stopped_bridge_can_be_started_again(bridge: WebSocketBridge) -> None:
    await bridge.stop()
    assert await bridge.start()


async def test_port_is_the_one_asked_for(embedded: None) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        bridge = WebSocketBridge(port, browser="embedded")
        with pytest.raises(PortInUse, match=str(port)):
            await bridge.start()
    assert await bridge.start()
    await bridge.stop()

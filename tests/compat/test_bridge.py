"""The bridge runs models by id on real browsers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fixed_web_platform.resource_pool_integration import ResourcePoolBridge
from tests.compat.models import BERT, SLOW, TOKENS, VIT, image
from webinfer.core.errors import ModelNotFound, OptionError, PoolClosed, QueueFull

pytestmark = pytest.mark.browser("embedded")

CONFIGS = [
    {"model_id": "text", "model_name": BERT, "backend": "cpu"},
    {"model_id": "picture", "model_name": VIT, "backend": "webnn"},
    {"model_id": "slow", "model_name": SLOW, "backend": "cpu"},
]


@pytest.fixture
async def bridge(embedded: None, named_models: Path) -> AsyncIterator[ResourcePoolBridge]:
    bridge = ResourcePoolBridge(max_connections=1, browser="embedded")
    yield bridge
    await bridge.close()


async def test_models_of_a_bridge_run_in_parallel_and_answer_in_order(bridge: ResourcePoolBridge) -> None:
    assert await bridge.initialize(CONFIGS)
    results = await bridge.run_parallel([("picture", {"pixel_values": image()}), ("text", TOKENS), ("text", TOKENS)])
    assert [(result.model, result.backend) for result in results] == [(VIT, "webnn"), (BERT, "wasm"), (BERT, "wasm")]
    assert bridge.get_stats() == {
        "created_connections": 1,
        "total_inferences": 3,
        "total_model_loads": 2,
        "errors": 0,
        "peak_connections": 1,
        "current_connections": 1,
        "loaded_models": ["picture", "text"],
        "model_count": 2,
    }


async def test_loading_returns_the_connection_that_has_the_model(bridge: ResourcePoolBridge) -> None:
    bridge.register_model(CONFIGS[0])
    assert (bridge.has_model("text"), bridge.has_model("picture")) == (True, False)
    loaded, connection = await bridge.load_model("text")
    assert loaded
    assert connection.has_model("text")
    assert connection is await bridge.get_connection()
    assert (await bridge.run_inference("text", TOKENS)).model == BERT


async def test_failure_is_counted_and_raised_and_the_next_request_works(bridge: ResourcePoolBridge) -> None:
    with pytest.raises(ModelNotFound):
        await bridge.run_parallel([("nothing-of-the-kind", TOKENS), (BERT, TOKENS)])
    assert bridge.get_stats()["errors"] == 1
    assert bridge.get_stats()["total_inferences"] == 1
    assert (await bridge.run_inference(BERT, TOKENS)).model == BERT


async def test_idle_browser_is_closed_and_opened_again(embedded: None, named_models: Path) -> None:
    bridge = ResourcePoolBridge(browser="embedded", cleanup_interval=0.2)
    try:
        bridge.register_model(CONFIGS[0])
        _, connection = await bridge.load_model("text")
        async with asyncio.timeout(60):
            while connection.is_open():  # noqa: ASYNC110  # a connection announces nothing
                await asyncio.sleep(0.05)
        assert bridge.get_stats()["current_connections"] == 0
        assert (await bridge.run_inference("text", TOKENS)).model == BERT
        assert bridge.get_stats()["current_connections"] == 1
        (name,) = bridge._timers
        bridge._clean(name)
        assert (await bridge.run_inference("text", TOKENS)).model == BERT, "it came as the browser was given up"
        assert bridge.get_stats()["created_connections"] == 3
    finally:
        await bridge.close()


async def test_use_begins_the_idle_time_anew(embedded: None, named_models: Path) -> None:
    bridge = ResourcePoolBridge(browser="embedded", cleanup_interval=3600)
    try:
        await bridge.initialize(CONFIGS)
        (earlier,) = bridge._timers.values()
        await bridge.run_inference("text", TOKENS)
        (later,) = bridge._timers.values()
        assert (earlier.cancelled(), later.cancelled()) == (True, False)
        assert later.when() - earlier.when() > 0
    finally:
        await bridge.close()


async def test_idle_time_begins_with_the_end_of_the_last_use_of_several() -> None:
    bridge = ResourcePoolBridge(cleanup_interval=60)
    async with bridge._use("embedded"):
        async with bridge._use("embedded"):
            pass
        earlier = bridge._timers["embedded"]
    assert earlier.cancelled()
    assert not bridge._timers["embedded"].cancelled()
    await bridge.close()
    assert all(timer.cancelled() for timer in bridge._timers.values())


async def test_browser_at_work_is_not_idle(embedded: None, named_models: Path) -> None:
    bridge = ResourcePoolBridge(browser="embedded", cleanup_interval=0.05)
    try:
        await bridge.initialize(CONFIGS)
        began = time.monotonic()
        await bridge.run_inference("slow", {"turns": [400], "features": [0.0]})
        assert time.monotonic() - began > bridge.cleanup_interval
        assert bridge.get_stats()["errors"] == 0
    finally:
        await bridge.close()


async def test_no_more_browsers_than_connections(bridge: ResourcePoolBridge) -> None:
    bridge.register_model(CONFIGS[2])
    _, connection = await bridge.load_model("slow")
    run = asyncio.create_task(bridge.run_inference("slow", {"turns": [100], "features": [0.0]}))
    while not connection.is_busy():  # noqa: ASYNC110  # a connection announces nothing
        await asyncio.sleep(0)
    with pytest.raises(QueueFull, match="All 1 connections are busy"):
        await bridge.get_connection(browser="chromium")
    await run
    assert (await bridge.get_connection(browser="auto")).is_open(), "the idle one makes room"
    assert not connection.is_open()
    assert bridge.get_stats()["peak_connections"] == bridge.get_stats()["current_connections"] == 1


async def test_closed_bridge_refuses(bridge: ResourcePoolBridge) -> None:
    await bridge.close()
    with pytest.raises(PoolClosed):
        await bridge.run_inference(BERT, TOKENS)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"browser": "netscape"}, "browser must be one of"),
        ({"enable_gpu": False, "enable_cpu": False}, "both off"),
        ({"cleanup_interval": 0}, "cleanup_interval must be above 0"),
        ({"max_connections": 0}, "max_connections must be 1 or more"),
    ],
)
def test_argument_that_cannot_be_is_refused(keywords: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        ResourcePoolBridge(**keywords)  # type: ignore[arg-type]


def test_model_without_an_id_is_refused() -> None:
    with pytest.raises(OptionError, match="needs a model_id"):
        ResourcePoolBridge().register_model({"model_name": BERT})

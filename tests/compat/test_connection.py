"""A connection is one real browser."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from fixed_web_platform.resource_pool_bridge import BrowserConnection
from tests.compat.models import BERT, SLOW, TOKENS
from tests.processes import send
from webinfer.accuracy.native import NativeSession
from webinfer.browsers.processes.process_tree import processes
from webinfer.core.errors import BrowserNotFound, ModelNotFound, OptionError, PoolClosed
from webinfer.models.sources.resolve import resolve

pytestmark = pytest.mark.browser("embedded")


@pytest.fixture
async def connection(embedded: None, named_models: Path) -> AsyncIterator[BrowserConnection]:
    connection = BrowserConnection("one", "embedded", "cpu")
    yield connection
    await connection.close()


async def test_connection_answers_as_natively(connection: BrowserConnection) -> None:
    assert await connection.initialize()
    assert await connection.load_model("mine", {"model_name": BERT, "backend": "webnn"})
    assert (connection.get_loaded_models(), connection.has_model("mine")) == (["mine"], True)
    result = await connection.run_inference("mine", TOKENS)
    expected = NativeSession(resolve(BERT)).run({name: [row] for name, row in TOKENS.items()})
    np.testing.assert_allclose(result["last_hidden_state"], expected["last_hidden_state"], rtol=1e-3, atol=1e-4)
    assert (result.backend, result.browser) == ("webnn", "embedded")


async def test_connection_tells_its_state(connection: BrowserConnection) -> None:
    assert (connection.is_healthy(), connection.is_busy(), connection.get_age()) == (False, False, 0)
    with pytest.raises(PoolClosed, match="not started"):
        _ = connection.capabilities
    await connection.load_model(SLOW)
    assert connection.is_healthy()
    assert connection.get_age() >= connection.get_idle_time() > 0
    run = asyncio.create_task(connection.run_inference(SLOW, {"turns": [50], "features": [0.0]}))
    await asyncio.sleep(0)
    assert (connection.is_busy(), connection.get_idle_time()) == (True, 0)
    await run
    assert not connection.is_busy()
    await connection.close()
    assert (connection.is_healthy(), connection.get_loaded_models()) == (False, [])


async def test_callers_at_once_share_one_browser_and_one_model(connection: BrowserConnection) -> None:
    results = await asyncio.gather(*(connection.run_inference(BERT, TOKENS) for _ in range(4)))
    assert {result.lane for result in results} == {"b1.1"}
    stats = (await connection.metrics())["bridge"]["bridge_stats"]
    assert (stats["created_connections"], stats["total_model_loads"], stats["total_inferences"]) == (1, 1, 4)


async def test_connection_survives_the_loss_of_its_browser(connection: BrowserConnection) -> None:
    await connection.run_inference(BERT, TOKENS)
    assert connection._accelerator is not None
    assert connection._accelerator._pool is not None
    (browser,) = connection._accelerator._pool.browsers.values()
    own = processes(browser.pid)
    assert own
    send(signal.SIGKILL, own)
    result = await connection.run_inference(BERT, TOKENS)
    assert not result.lane.startswith(f"{browser.id}.")
    assert connection.is_healthy()


async def test_failed_model_leaves_the_connection_usable(connection: BrowserConnection) -> None:
    with pytest.raises(ModelNotFound):
        await connection.load_model("bert-base-uncasd")
    assert not connection.is_busy()
    assert (await connection.run_inference(BERT, TOKENS)).model == BERT


async def test_closed_connection_can_be_opened_again(connection: BrowserConnection) -> None:
    await connection.initialize()
    await connection.close()
    assert (await connection.run_inference(BERT, TOKENS)).model == BERT


async def test_browser_that_is_missing_is_stood_in_for_by_one_of_its_engine(embedded: None, named_models: Path) -> None:
    connection = BrowserConnection("one", "chrome", "cpu")
    try:
        result = await connection.run_inference(BERT, TOKENS)
    finally:
        await connection.close()
    assert result.engine == "chromium"
    assert result.browser in ("chrome", "embedded")


async def test_browser_without_a_stand_in_is_an_error() -> None:
    connection = BrowserConnection("one", "embedded", options={"executable": Path("/nowhere/browser")})
    with pytest.raises(BrowserNotFound):
        await connection.initialize()
    assert not connection.is_healthy()


def test_optimization_that_is_not_available_is_refused() -> None:
    with pytest.raises(OptionError, match="parallel_loading is not available"):
        BrowserConnection("one", "embedded", parallel_loading=True)


def test_compute_shaders_are_the_option_audio_shaders() -> None:
    assert BrowserConnection("one", "embedded", compute_shaders=True)._options["audio_shaders"]
    assert not BrowserConnection("one", "embedded")._options["audio_shaders"]


def test_unknown_browser_is_refused_at_once() -> None:
    with pytest.raises(OptionError, match="browser must be one of"):
        BrowserConnection("one", "netscape")

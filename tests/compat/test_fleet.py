"""Every keyword about browsers changes which one answers, or how often it is started."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.browser.test_fleet import Switch
from tests.compat.models import BERT, SLOW, TOKENS
from webinfer.browsers.discovery import find as finding
from webinfer.browsers.discovery.find import find
from webinfer.compat import IPFSAccelerateWebIntegration, create_ipfs_web_accelerator
from webinfer.compat.keywords import lanes
from webinfer.core.errors import BrowserNotFound, LaunchFailed, LostError

pytestmark = [pytest.mark.browser("embedded"), pytest.mark.timeout(300)]


def chosen(integration: IPFSAccelerateWebIntegration) -> tuple[str, str | None]:
    """Return the browser that ran BERT, and why."""
    result = integration.get_model(BERT, platform="cpu").run(TOKENS)
    return result.browser, result.routing


@pytest.fixture
def switch(embedded: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Switch:
    """Put a switch in front of the embedded browser, as if there were no other."""
    switch = Switch(tmp_path, "embedded")
    monkeypatch.setattr(
        finding, "_find_one", lambda name: switch.installation if name == switch.installation.name else None
    )
    return switch


@pytest.mark.browser("firefox")
def test_browser_preferences_decide_where_a_family_runs(embedded: None, named_models: Path) -> None:
    try:
        find("firefox")
    except BrowserNotFound as error:
        pytest.skip(str(error))
    with IPFSAccelerateWebIntegration() as integration:
        browser, why = chosen(integration)
        assert browser != "firefox"
        assert str(why).startswith("text_embedding prefers edge")
    with IPFSAccelerateWebIntegration(browser_preferences={"text_embedding": "firefox"}) as integration:
        assert chosen(integration) == ("firefox", "text_embedding prefers firefox")


def lanes_of(integration: IPFSAccelerateWebIntegration) -> list[str]:
    return [lane.id for browser in integration._accelerator.snapshot().browsers for lane in browser.lanes]


def eventually(condition: Callable[[], bool], seconds: float = 60) -> bool:
    end = time.monotonic() + seconds
    while not (met := condition()) and time.monotonic() < end:
        time.sleep(0.05)
    return met


@pytest.mark.parametrize("adaptive", [False, True])
def test_adaptive_scaling_has_the_lanes_follow_the_work(embedded: None, named_models: Path, adaptive: bool) -> None:
    keywords: dict[str, Any] = {"adaptive_scaling": True, "min_connections": 1, "idle_timeout": 0.5} if adaptive else {}
    preferred = {"audio": "embedded"}
    with IPFSAccelerateWebIntegration(max_connections=2, browser_preferences=preferred, **keywords) as integration:
        model = integration.get_model(SLOW, platform="cpu")
        most = lanes(2)
        assert len(lanes_of(integration)) == (1 if adaptive else most)
        seen: set[str] = set()

        def work() -> bool:
            seen.update(result.lane for result in model.run_batch([{"turns": [100], "features": [0.0]}] * 16))
            return len(seen) == most

        assert eventually(work)
        if adaptive:
            assert eventually(lambda: len(lanes_of(integration)) == 1)


@pytest.mark.parametrize(("restart", "lane"), [(False, "b1.2"), (True, "b2.1")])
def test_memory_limit_relieves_or_restarts_the_browser(
    embedded: None, named_models: Path, restart: bool, lane: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "webinfer.pool.maintenance.recycler.REST", 3600.0
    )  # however long this takes, it is relieved once
    with IPFSAccelerateWebIntegration(max_connections=1, restart_on_memory_pressure=restart) as integration:
        model = integration.get_model(BERT, platform="cpu")
        integration.configure_memory_limits({"chrome": 10, "firefox": 1536, "edge": 10})
        model.run(TOKENS)
        assert eventually(lambda: lane in lanes_of(integration))
        assert model.run(TOKENS).lane == lane


@pytest.mark.parametrize(("attempts", "works"), [(1, False), (2, True)])
def test_connection_retry_attempts_count_the_starts(
    switch: Switch, named_models: Path, attempts: int, works: bool
) -> None:
    switch.refuse(2)
    accelerator = create_ipfs_web_accelerator(
        connection_retry_attempts=attempts, enable_progressive_backoff=False, retry_attempts=9
    )
    with accelerator:
        if not works:
            with pytest.raises(LaunchFailed, match="not today"):
                accelerator.run_inference(BERT, TOKENS)
        assert accelerator.run_inference(BERT, TOKENS).model == BERT, "the next call works"


@pytest.mark.parametrize("attempts", [0, 1])
def test_retry_attempts_count_the_runs_of_a_lost_request(embedded: None, named_models: Path, attempts: int) -> None:
    preferred = {"audio": "embedded"}
    with IPFSAccelerateWebIntegration(1, browser_preferences=preferred, retry_attempts=attempts) as integration:
        model = integration.get_model(SLOW, platform="cpu")
        with ThreadPoolExecutor(1) as thread:
            running = thread.submit(model.run, {"turns": [1000], "features": [1.0]})
            assert eventually(lambda: integration._accelerator.snapshot().totals.running == 1)
            (browser,) = integration._accelerator.snapshot().browsers
            os.kill(browser.pid, signal.SIGKILL)
            if attempts:
                assert running.result().attempts == 2
            else:
                with pytest.raises(LostError):
                    running.result()
        assert model.run({"turns": [1], "features": [1.0]}).attempts == 1

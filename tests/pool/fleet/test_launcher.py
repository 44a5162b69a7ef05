"""A browser that does not start is left alone for a while, and others take its place."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.pool.standins import NAME, Yard
from webinfer.core.errors import BackendUnavailable, LaneLost
from webinfer.core.options import Options
from webinfer.pool.events import BrowserEnded, BrowserRefused, BrowserStarted
from webinfer.pool.fleet.launcher import Launcher


def launcher_of(yard: Yard, **options: Any) -> Launcher:
    installation: Any = type("Installation", (), {"name": NAME})()
    return Launcher(yard.fleet, [installation], Options.of(progressive_backoff=False, **options), yard)


async def test_one_start_serves_everybody_who_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    yard = Yard(monkeypatch, lanes=1)
    launcher = launcher_of(yard)
    assert launcher.up(NAME) is None
    first = await launcher.ensure()
    assert await launcher.ensure([NAME], "wasm") is first
    assert launcher.up(NAME) is first
    assert yard.registry.browser_states[NAME].up
    assert len(yard.of(BrowserStarted)) == 1


async def test_failed_start_opens_the_breaker_and_a_good_one_closes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    yard = Yard(monkeypatch, lanes=1)
    yard.failures += [LaneLost("One."), LaneLost("Two.")]
    launcher = launcher_of(yard, launch_retries=0)
    for failures in (1, 2):
        with pytest.raises(LaneLost):
            await launcher.ensure()
        refused = yard.of(BrowserRefused)[-1]
        assert (refused.name, refused.code, refused.failures) == (NAME, LaneLost.code, failures)
        state = yard.registry.browser_states[NAME]
        assert (state.up, state.barred) == (False, True)
    assert launcher.obstacle(NAME, ("m", "wasm", "fp32")) == f"does not start ({LaneLost.code})"
    await launcher.ensure()
    assert not yard.registry.browser_states[NAME].barred
    yard.registry.browser_states[NAME].passed_over["m", "wasm", "fp32"] = "153.0"
    assert launcher.obstacle(NAME, ("m", "wasm", "fp32")) == "answers it wrongly"


async def test_start_is_tried_again_as_often_as_the_options_say(monkeypatch: pytest.MonkeyPatch) -> None:
    yard = Yard(monkeypatch, lanes=1)
    yard.failures += [LaneLost("One."), LaneLost("Two.")]
    await launcher_of(yard, launch_retries=2).ensure()
    assert len(yard.of(BrowserRefused)) == 2


async def test_backend_that_no_browser_has_is_an_error_that_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    yard = Yard(monkeypatch, lanes=1)
    launcher = launcher_of(yard)
    await yard.start()
    lacking: Any = yard.started[0].capabilities
    lacking.errors["webnn"] = "it has no navigator.ml"
    with pytest.raises(
        BackendUnavailable, match=r"cannot run webnn here: it has no navigator\.ml\. It can run: .*wasm"
    ):
        await launcher.ensure([], "webnn")
    assert launcher.obstacle(NAME, ("m", "webnn", "fp32")) == "cannot run webnn here"
    assert launcher.obstacle("opera", ("m", "wasm", "fp32")) == "is not installed"


async def test_replaced_browser_has_its_successor_before_it_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    yard = Yard(monkeypatch, lanes=1)
    launcher = launcher_of(yard)
    browser = await launcher.ensure()
    (lane,) = yard.registry.lanes.values()
    yard.registry.states[lane.id].running = 1
    for _ in range(2):  # the second time it ends already
        launcher.replace(browser, "It is old.")
        await yard.settle()
    assert list(yard.registry.browsers) == ["b2"]
    assert not yard.started[0].closed, "it answers what it has"
    assert [event.lost for event in yard.of(BrowserEnded)] == [False]


async def test_what_is_starting_ends_with_the_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    yard = Yard(monkeypatch, lanes=1)
    launcher = launcher_of(yard)
    yard.gate.clear()
    waiting = asyncio.create_task(launcher.launch(NAME))
    await yard.settle()
    assert not waiting.done()
    await launcher.close()
    await yard.settle()
    assert waiting.cancelled()
    assert yard.started[0].closed
    assert not yard.registry.browser_states[NAME].up

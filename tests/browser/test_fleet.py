"""Several browsers in one accelerator: models go where their family prefers, and elsewhere when that cannot be had."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from webinfer import AsyncAccelerator, AsyncModel
from webinfer.accuracy.native import NativeSession
from webinfer.browsers.discovery import find as finding
from webinfer.browsers.discovery.find import Installation, find
from webinfer.core.errors import BackendUnavailable, BrowserNotFound, LaunchFailed, OptionError
from webinfer.models.sources.resolve import resolve
from webinfer.pool.events import BrowserRefused, BrowserStarted, Event
from webinfer.pool.pool import Pool

pytestmark = [pytest.mark.browser("embedded", "firefox"), pytest.mark.timeout(600)]

X = np.linspace(-1, 1, 8, dtype=np.float32).reshape(1, 8)
PATIENCE = 150.0  # seconds; a busy machine takes its time to start a browser, and no other is to take its place then
BOTH: dict[str, Any] = {"browsers": ["embedded", "firefox"], "platform": "wasm", "launch_timeout": PATIENCE}

Named = Callable[[str, str], Path]


@pytest.fixture(autouse=True)
def _there() -> None:
    for name in ("embedded", "firefox"):
        try:
            find(name)
        except BrowserNotFound as error:
            pytest.skip(str(error))


@pytest.fixture
def named(perceptron: Path, tmp_path: Path) -> Named:
    """Put the perceptron where its configuration says what kind of model it is."""

    def put(name: str, kind: str) -> Path:
        directory = tmp_path / name
        (directory / "onnx").mkdir(parents=True)
        (directory / "config.json").write_text(json.dumps({"model_type": kind}), encoding="utf-8")
        (directory / "onnx" / "model.onnx").write_bytes(perceptron.read_bytes())
        return directory

    return put


def pool_of(accelerator: AsyncAccelerator) -> Pool:
    assert accelerator._pool is not None
    return accelerator._pool


class Switch:
    """A browser that refuses to start for as long as it is told to; then the real one is started."""

    def __init__(self, directory: Path, name: str) -> None:
        self._real = find(name)  # type: ignore[arg-type]
        self._refuse = directory / "refuse"
        self._script = directory / "switch"
        self._script.write_text(
            "#!/bin/sh\n"
            f'if [ -s "{self._refuse}" ]; then sed -i 1d "{self._refuse}"; echo "not today" >&2; exit 7; fi\n'
            f'exec "{self._real.executable}" "$@"\n'
        )
        self._script.chmod(0o755)

    def refuse(self, times: int) -> None:
        """Have so many starts fail from now on."""
        self._refuse.write_text("no\n" * times)

    @property
    def installation(self) -> Installation:
        real = self._real
        return Installation(real.name, real.engine, self._script, real.source, real.libraries)


@pytest.fixture
def switch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Switch]:
    """Put a switch in front of a browser."""
    one = finding._find_one

    def install(name: str) -> Switch:
        switch = Switch(tmp_path, name)
        monkeypatch.setattr(finding, "_find_one", lambda each: switch.installation if each == name else one(each))
        return switch

    return install


def note_pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Note the seconds of each pause that the fleet makes before a further start."""
    paused: list[float] = []

    async def note(seconds: float) -> None:
        paused.append(seconds)
        await asyncio.sleep(seconds)

    monkeypatch.setattr(
        "webinfer.pool.fleet.launcher.asyncio", types.SimpleNamespace(**{**vars(asyncio), "sleep": note})
    )
    return paused


def events(accelerator: AsyncAccelerator, *kinds: type) -> list[Any]:
    """Record events from now on, the first launch included."""
    seen: list[Event] = []
    pool_of(accelerator).listen(lambda event: seen.append(event) if isinstance(event, kinds) else None)
    return seen


async def test_models_of_two_families_run_in_two_browsers_of_one_accelerator(named: Named) -> None:
    async with AsyncAccelerator(**BOTH) as accelerator:
        picture = await accelerator.load(named("picture", "vit"))
        sound = await accelerator.load(named("sound", "wav2vec2"))
        results = await accelerator.run_parallel([(picture, {"x": X}), (sound, {"x": X}), (picture, {"x": -X})])
        capabilities = {each.installation.name: each.capabilities for each in pool_of(accelerator).browsers.values()}
        distribution = (await accelerator.metrics())["bridge"]["resource_metrics"]["browser_usage"]
    expected = [NativeSession(resolve(picture.package.model.path)).run({"x": x})["y"] for x in (X, X, -X)]
    for result, native in zip(results, expected, strict=True):
        np.testing.assert_allclose(result["y"], native, rtol=1e-4, atol=1e-5)
        told = capabilities[result.browser]
        assert (result.engine, result.engine_version) == (told.engine, told.engine_version)
    assert [(result.browser, result.engine) for result in results] == [
        ("embedded", "chromium"),
        ("firefox", "firefox"),
        ("embedded", "chromium"),
    ]
    assert [result.routing for result in results] == [
        "vision prefers chrome, but chrome is not installed",
        "audio prefers firefox",
        "vision prefers chrome, but chrome is not installed",
    ]
    assert distribution == {"embedded": 2, "firefox": 1}


async def test_callers_preferences_go_before_the_table(named: Named) -> None:
    async with AsyncAccelerator(**BOTH, browser_preferences={"vision": "firefox"}) as accelerator:
        model = await accelerator.load(named("picture", "vit"))
        result = await model.run({"x": X})
    assert (result.browser, result.routing) == ("firefox", "vision prefers firefox")


async def test_browser_that_lacks_the_backend_is_passed_over(named: Named) -> None:
    async with AsyncAccelerator(**{**BOTH, "platform": "webnn"}) as accelerator:
        model = await accelerator.load(named("sound", "wav2vec2"))
        result = await model.run({"x": X})
        assert (result.browser, result.backend) == ("embedded", "webnn")
        assert result.routing == "audio prefers firefox, but firefox cannot run webnn here"


async def test_backend_that_no_browser_has_is_an_error_that_says_why_of_each(named: Named) -> None:
    path = named("sound", "wav2vec2")
    async with AsyncAccelerator(browsers=["firefox"]) as accelerator:
        with pytest.raises(BackendUnavailable, match=r"firefox .* cannot run webnn here.*It can run: .*wasm"):
            await accelerator.load(path, platform="webnn")
        model = await accelerator.load(path, platform="webnn", fallback=True)
        assert (model.backend, (await model.run({"x": X})).reason is not None) == ("wasm", True)


async def test_browser_that_does_not_start_is_replaced_and_gone_back_to(
    named: Named, switch: Callable[[str], Switch]
) -> None:
    firefox = switch("firefox")
    firefox.refuse(1)
    async with AsyncAccelerator(**BOTH) as accelerator:
        seen = events(accelerator, BrowserRefused, BrowserStarted)
        model = await accelerator.load(named("sound", "wav2vec2"))
        result = await model.run({"x": X})
        assert result.browser == "embedded"
        assert result.routing == "audio prefers firefox, but firefox does not start (browser.launch)"
        refused = seen[0]
        assert sum(isinstance(event, BrowserRefused) for event in seen) == 1
        assert (refused.name, refused.failures, round(refused.pause)) == ("firefox", 1, 1)
        assert "not today" in refused.cause
        faults = (await accelerator.snapshot()).faults
        assert ("launch", "firefox") in [(fault.kind, fault.where) for fault in faults]
        async with asyncio.timeout(PATIENCE):
            while result.browser != "firefox":
                result = await model.run({"x": X})
                await asyncio.sleep(0.1)
        assert result.routing == "audio prefers firefox"
        holders = [state.browser for state in pool_of(accelerator).lane_states.values() if state.loaded]
        assert holders == ["firefox"], "it was released where it does not belong"


async def test_lost_browser_that_does_not_start_again_hands_its_requests_to_the_other(
    named: Named, switch: Callable[[str], Switch]
) -> None:
    firefox = switch("firefox")
    async with AsyncAccelerator(**BOTH) as accelerator:
        model = await accelerator.load(named("sound", "wav2vec2"))
        assert (await model.run({"x": X})).browser == "firefox"
        firefox.refuse(100)
        (victim,) = (each for each in pool_of(accelerator).browsers.values() if each.installation.name == "firefox")
        os.kill(victim.pid, signal.SIGKILL)
        results = await asyncio.gather(*(model.run({"x": X}) for _ in range(20)))
        assert {result.browser for result in results} == {"embedded"}
        assert "does not start" in str(results[0].routing)


@pytest.mark.parametrize("backoff", [True, False])
async def test_start_is_tried_again_with_and_without_backoff(
    switch: Callable[[str], Switch], monkeypatch: pytest.MonkeyPatch, backoff: bool
) -> None:
    switch("embedded").refuse(2)
    paused = note_pauses(monkeypatch)
    accelerator = AsyncAccelerator(browsers=["embedded"], progressive_backoff=backoff, launch_retries=2)
    try:
        await accelerator._lifecycle.open()
        seen = events(accelerator, BrowserRefused, BrowserStarted)
        await accelerator.start()
        assert [type(event) for event in seen] == [BrowserRefused, BrowserRefused, BrowserStarted]
        assert [round(event.pause) for event in seen[:2]] == [1, 2]
        assert 1 < max(paused) <= 2 if backoff else not paused
    finally:
        await accelerator.close()


async def test_start_fails_after_its_retries_and_the_next_call_works(switch: Callable[[str], Switch]) -> None:
    embedded = switch("embedded")
    accelerator = AsyncAccelerator(browsers=["embedded"], progressive_backoff=False, launch_retries=1)
    try:
        embedded.refuse(2)
        with pytest.raises(LaunchFailed, match="not today"):
            await accelerator.start()
        assert (await accelerator.start()).engine == "chromium"
    finally:
        await accelerator.close()


async def test_start_that_was_given_up_counts_no_browser_that_is_not_there(named: Named) -> None:
    accelerator = AsyncAccelerator(**BOTH)
    try:
        pool = await accelerator._lifecycle.open()
        starting = asyncio.create_task(accelerator.start())
        while not pool._state.browsers["embedded"].up:  # noqa: ASYNC110  # decided, and not begun
            await asyncio.sleep(0)
        starting.cancel()
        await asyncio.wait([starting])
        async with asyncio.timeout(PATIENCE):
            while not pool.lanes:  # noqa: ASYNC110  # the start goes on, for whoever comes next
                await asyncio.sleep(0.05)
        model = await accelerator.load(named("picture", "vit"))
        assert isinstance(model, AsyncModel)
        assert (await model.run({"x": X})).browser == "embedded"
        assert [name for name, state in pool._state.browsers.items() if state.up] == ["embedded"]
    finally:
        await accelerator.close()


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"browsers": ["netscape"]}, "browsers must be one of"),
        ({"browsers": ["firefox"], "browser": "firefox"}, "one or the other"),
        ({"browser_preferences": {"audio": "firefox"}}, "needs browsers"),
        ({"browsers": ["all"], "browser_preferences": {"adio": "firefox"}}, "Did you mean 'audio'"),
        ({"launch_retries": -1}, "launch_retries must be 0 or more"),
    ],
)
def test_options_that_cannot_be_are_refused(keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        AsyncAccelerator(**keywords)


async def test_missing_browsers_are_left_out_and_none_at_all_is_an_error() -> None:
    async with AsyncAccelerator(browsers=["edge", "embedded"]) as accelerator:
        assert [each.name for each in pool_of(accelerator).installations] == ["embedded"]
    with pytest.raises(BrowserNotFound, match="edge"):
        await AsyncAccelerator(browsers=["edge"]).start()


async def test_idle_browser_ends_and_comes_back_for_the_models_that_prefer_it(named: Named) -> None:
    async with AsyncAccelerator(**BOTH, min_lanes=1, idle_timeout=1.0) as accelerator:
        pool = pool_of(accelerator)
        picture = await accelerator.load(named("picture", "vit"))
        sound = await accelerator.load(named("sound", "wav2vec2"))
        for model, other in ((picture, "firefox"), (sound, "embedded")):
            kept = await model.run({"x": X})
            async with asyncio.timeout(PATIENCE):
                while other in {browser.installation.name for browser in pool.browsers.values()}:
                    kept = await model.run({"x": X})  # so that its own browser is not the idle one
                    await asyncio.sleep(0.1)
            assert kept.attempts == 1
            assert len(pool.browsers) == 1
            back = await (sound if model is picture else picture).run({"x": X})
            assert (back.browser, back.attempts) == (other, 1)
        assert (await accelerator.snapshot()).recoveries["browsers_lost"] == 0

"""Engines that answer for the first time after a model was loaded, in two browsers, of which one has wrong kernels."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

from tests.browser.wrong import wrong_in_firefox, wrong_page
from webinfer import AsyncAccelerator
from webinfer.accuracy import outcome as accuracies
from webinfer.api.admission.later_engines import LaterEngines
from webinfer.browsers.discovery.find import find
from webinfer.core.errors import AccuracyError, BrowserNotFound
from webinfer.inference.model import AsyncModel
from webinfer.inference.probes.padding_check import prove
from webinfer.inference.request_builder import RequestBuilder
from webinfer.transport import server as host

pytestmark = [pytest.mark.browser("embedded"), pytest.mark.timeout(300)]

X = {"x": np.ones((1, 8), np.float32)}
WRONG = r"on wasm in firefox \S+ does not compute what native onnxruntime does: y is off by 0\.0\d+"


@pytest.fixture(autouse=True)
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accuracies, "cache_dir", lambda: tmp_path / "memory")


@pytest.fixture
async def accelerator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AsyncAccelerator]:
    try:
        find("firefox")
    except BrowserNotFound as error:
        pytest.skip(str(error))
    monkeypatch.setattr(host, "WEB", wrong_page(tmp_path / "page"))
    async with AsyncAccelerator(browsers=["embedded", "firefox"], platform="wasm", lanes=1) as accelerator:
        yield accelerator


async def lose_embedded(accelerator: AsyncAccelerator) -> None:
    """End the first browser, and have it count as one that does not start."""
    pool = accelerator._lifecycle.pool
    assert pool is not None
    pool._registry.browser_states["embedded"].barred = True
    for browser in tuple(pool.browsers.values()):
        if browser.name == "embedded":
            pool._fleet.retire_browser(browser, "the test ends it")


async def find_embedded(accelerator: AsyncAccelerator) -> None:
    """Have the first browser start again."""
    pool = accelerator._lifecycle.pool
    assert pool is not None
    pool._registry.browser_states["embedded"].barred = False


def comparisons(monkeypatch: pytest.MonkeyPatch, then: Any = None) -> list[str]:
    """Note the engines that are compared, and do something when a comparison ends."""
    compare, compared = LaterEngines.compare, list[str]()

    async def watched(self: LaterEngines, lanes: Any) -> None:
        compared.append(lanes[0].capabilities.engine)
        await compare(self, lanes)
        if then is not None:
            await then()

    monkeypatch.setattr(LaterEngines, "compare", watched)
    return compared


async def test_engine_that_comes_later_is_compared_before_its_first_answer(
    accelerator: AsyncAccelerator, perceptron: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = comparisons(monkeypatch)
    model = await accelerator.load(wrong_in_firefox(perceptron))
    first = await model.run(X)
    assert (first.engine, first.accuracy.status, first.notes) == ("chromium", "checked", ())
    await lose_embedded(accelerator)
    results = await asyncio.gather(*(model.run(X) for _ in range(4)))
    assert compared == ["firefox"], "once, for all that came meanwhile"
    for result in results:
        assert result.engine == result.accuracy.combination["engine"] == "firefox"
        assert result.accuracy.tried
        (note,) = result.notes
        assert re.search(WRONG, note)
    await model.close()
    again: AsyncModel = await accelerator.load(wrong_in_firefox(perceptron))
    assert (await again.run(X)).notes
    assert compared == ["firefox"]


async def test_right_engine_is_checked_by_its_own_comparison(accelerator: AsyncAccelerator, save: Any) -> None:
    path = save(helper.make_node("Neg", ["x"], ["y"]), shape=(1, 8))
    model = await accelerator.load(path)
    await lose_embedded(accelerator)
    result = await model.run(X)
    assert (result.engine, result.accuracy.status, result.notes) == ("firefox", "checked", ())
    assert result.accuracy.combination["engine"] == "firefox"


async def test_wrong_engine_is_passed_over_where_the_caller_leaves_it_open(
    accelerator: AsyncAccelerator, perceptron: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = await accelerator.load(wrong_in_firefox(perceptron), fallback=True)
    right = (await model.run(X))["y"]
    await lose_embedded(accelerator)
    compared = comparisons(monkeypatch, lambda: find_embedded(accelerator))
    results = await asyncio.gather(*(model.run(X) for _ in range(3)))
    assert compared[0] == "firefox"
    assert {(result.browser, result.accuracy.status, result.notes) for result in results} == {
        ("embedded", "checked", ())
    }
    for result in results:
        np.testing.assert_allclose(result["y"], right, rtol=1e-5)
    await lose_embedded(accelerator)
    last = await model.run(X)  # nothing else is left, and the answer says that it is wrong
    assert last.browser == "firefox"
    assert "does not compute what native onnxruntime does" in last.notes[0]


async def test_mode_raise_gives_no_wrong_answer_of_a_later_engine(
    tmp_path: Path, perceptron: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "WEB", wrong_page(tmp_path / "page"))
    async with AsyncAccelerator(browsers=["embedded", "firefox"], accuracy="raise", platform="wasm") as accelerator:
        model = await accelerator.load(wrong_in_firefox(perceptron))
        await lose_embedded(accelerator)
        for _ in range(2):
            with pytest.raises(AccuracyError, match=WRONG):
                await model.run(X)


async def test_answer_whose_time_ends_before_the_comparison_is_unchecked(
    accelerator: AsyncAccelerator, perceptron: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = await accelerator.load(wrong_in_firefox(perceptron))
    await lose_embedded(accelerator)
    going, compare = asyncio.Event(), LaterEngines.compare

    async def slow(self: LaterEngines, lanes: Any) -> None:
        await going.wait()
        await compare(self, lanes)

    monkeypatch.setattr(LaterEngines, "compare", slow)
    result = await model.run(X, timeout=20)
    assert result.engine == "firefox"
    assert result.accuracy.status == "unchecked: its comparison in this browser is still under way"
    going.set()
    assert (await model.run(X)).accuracy.status == "checked"


async def test_model_closed_during_a_comparison_leaves_nothing(
    accelerator: AsyncAccelerator, perceptron: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = await accelerator.load(wrong_in_firefox(perceptron))
    await lose_embedded(accelerator)
    begun = asyncio.Event()

    async def endless(self: LaterEngines, lanes: Any) -> None:
        begun.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(LaterEngines, "compare", endless)
    running = model.submit(X)
    await begun.wait()
    await model.close()
    result = await running
    assert result.accuracy.status.startswith("unchecked: ")
    assert not model.results.checks._tasks


async def test_padding_is_proven_on_each_engine_that_pads(
    tmp_path: Path, memory: None, monkeypatch: pytest.MonkeyPatch, save: Any
) -> None:
    path = save(helper.make_node("Neg", ["x"], ["y"]), shape=("n", 4))
    tried: list[tuple[str, int]] = []

    async def watched(package: Any, kind: Any, run: Any, *known: Any) -> Any:
        async def noted(tensors: Any, bucket: Any) -> Any:
            tried.append((kind, len(tensors["x"])))
            return await run(tensors, bucket)

        return await prove(package, kind, noted, *known)

    monkeypatch.setattr("webinfer.inference.probes.padding.prove", watched)
    async with AsyncAccelerator(browsers=["embedded", "firefox"], platform="wasm", max_batch_size=4) as accelerator:
        monkeypatch.setattr(RequestBuilder, "_fit", lambda self, tensors, gains: self.padding.fit(tensors, gains=True))
        model = await accelerator.load(path)
        x = np.arange(12, dtype=np.float32).reshape(3, 4)
        first = await model.run({"x": x})
        count = len(tried)
        assert (first.engine, dict(first.shape)) == ("chromium", {"n": 4})
        await lose_embedded(accelerator)
        later = await model.run({"x": x})
        assert (later.engine, dict(later.shape)) == ("firefox", {"n": 4})
        assert len(tried) == 2 * count > 0
        np.testing.assert_array_equal(later["y"], -x)
        await model.run({"x": x})
        assert len(tried) == 2 * count

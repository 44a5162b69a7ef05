"""The benchmark of whole models: its arithmetic, its decoder with the cache in Python, and its loading by hand."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from benchmarks.by_hand import Load, loading_by_hand
from benchmarks.decoding import Carried, Watch, natively, rates, write
from benchmarks.loading import CORES, Case, describe, loading, ratios, spread, turn
from webinfer.accuracy.native import NativeSession
from webinfer.browsers.discovery.find import find
from webinfer.core.errors import LoadFailed
from webinfer.models.sources.resolve import resolve
from webinfer.pool.requests.request import Times

VISION = Case("vision", "wheel:efficientnet-lite0")


def test_ratios_are_of_the_same_turn() -> None:
    ones, others = [Load(2, 1, 1), Load(9, 2, 3), Load(4, 3, 1)], [Load(1, 1, 0), Load(3, 0, 0), Load(8, 0, 0)]
    assert ratios(ones, others) == "2.00 (0.50-3.00)"
    assert describe(ones) == "4.00 (2.00 + 1.00)"
    assert spread([1.0]) == "1.00 (1.00-1.00)"


def test_shares_are_of_all_steps_but_the_first() -> None:
    watch = Watch()
    watch.steps = [Times(0, 0, 9, 0, 9), Times(0, 1, 2, 1, 4), Times(1, 0, 4, 1, 6)]
    assert watch.shares(warm_up=1 / 3) == ["5000.00", "10.0%", "10.0%", "60.0%", "20.0%"]


async def test_rates_are_only_of_those_that_write_the_same() -> None:
    def writing(*tokens: int) -> Callable[[], Awaitable[list[int]]]:
        async def say() -> list[int]:
            return list(tokens)

        return say

    found = await rates({"one": writing(1, 2), "other": writing(1, 2)}, rounds=3)
    assert {name: len(turns) for name, turns in found.items()} == {"one": 3, "other": 3}
    assert min(found["one"]) > 0
    with pytest.raises(AssertionError, match=r"other wrote something else: \[1, 3\], not \[1, 2\]"):
        await rates({"one": writing(1, 2), "other": writing(1, 3)}, rounds=3)


async def test_cache_that_is_carried_changes_no_token() -> None:
    session = NativeSession(resolve("random:gpt2-tiny"))
    run = natively(session)
    said = await write(Carried(session.package, run, {}).step, [5, 7, 11], 6)
    text = [5, 7, 11]
    for _ in range(6):
        logits = await Carried(session.package, run, {}).step(text)  # all of it anew
        text.append(int(np.argmax(logits)))
    assert said == text[3:]


@pytest.mark.browser
@pytest.mark.slow
async def test_by_hand_and_by_the_product_a_model_loads_again_and_again() -> None:
    package, installation = resolve(VISION.reference), find("embedded")
    for open in (
        partial(loading_by_hand, installation, [package], CORES),
        partial(loading, "embedded", VISION, False),
        partial(loading, "embedded", VISION, True),
    ):
        whole, first, later = await turn(open, 2)
        assert whole.seconds > first.seconds  # it has the browser's start in it
        for each in (whole, first, later):
            assert each.seconds > each.fetch + each.create > 0


@pytest.mark.browser
@pytest.mark.slow
async def test_what_does_not_load_by_hand_says_so(tmp_path: Path) -> None:
    package = resolve(VISION.reference)
    path = tmp_path / "model.onnx"
    path.write_bytes(b"no model")
    broken = replace(package, model=replace(package.model, path=path))
    async with loading_by_hand(find("embedded"), [broken], CORES) as load:
        with pytest.raises(LoadFailed, match=r"By hand, efficientnet-lite0 does not load: Error"):
            await load()

"""How long models take to load: beside loading by hand, and the parts of one side by side or one after another."""

from __future__ import annotations

import asyncio
import contextlib
import os
import statistics
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from functools import partial

from benchmarks.by_hand import Load, Loading, loading_by_hand
from benchmarks.measure import show
from webinfer import AsyncAccelerator, AsyncModel
from webinfer.browsers.discovery.find import Installation
from webinfer.core.options import Options
from webinfer.models.files.variants import PARTS
from webinfer.models.sources.resolve import resolve

CORES = os.cpu_count() or 1
WHISPER = "wheel:whisper-tiny.en"
_STATES = ("fresh browser, with its start", "fresh browser, once it is up", "again in the same browser")

Opening = Callable[[], AbstractAsyncContextManager[Loading]]


@dataclass(frozen=True, slots=True)
class Case:
    """A model of a family, and its parts."""

    family: str
    reference: str
    parts: tuple[str | None, ...] = (None,)


CASES = (
    Case("text embedding", "wheel:all-MiniLM-L6-v2"),
    Case("vision", "wheel:efficientnet-lite0"),
    Case("audio", WHISPER, PARTS),
    Case("text generation", "wheel:SmolLM2-135M-Instruct"),
    Case("multimodal", "random:clip-vit-base-patch32"),
)


@contextlib.asynccontextmanager
async def loading(browser: str, case: Case, store: bool) -> AsyncIterator[Loading]:
    """Start a browser by the product, with or without ``store_models``, on one lane and every core."""
    models: list[AsyncModel] = []
    options = Options.of(browser=browser, platform="wasm", threads=CORES, store_models=store, lane_capacity_mb=None)
    async with AsyncAccelerator(options) as accelerator:

        async def load() -> Load:
            again = bool(models)
            for model in models:
                await model.close()
            began = time.perf_counter()
            models[:] = await asyncio.gather(*(accelerator.load(case.reference, part=part) for part in case.parts))
            seconds = time.perf_counter() - began
            loaded = [await model.load() for model in models]
            assert all(each.stored == (each.nbytes if store and again else 0) for each in loaded)
            return Load(seconds, sum(each.fetch for each in loaded), sum(each.create for each in loaded))

        yield load


async def turn(open: Opening, again: int) -> tuple[Load, Load, Load]:
    """Load in a fresh browser, then again in the same.

    Returns:
        The first load from the browser's start on, the first load by itself, and the median of ``again`` more.
    """
    began = time.perf_counter()
    async with open() as load:
        first = await load()
        whole = replace(first, seconds=time.perf_counter() - began)
        later = [await load() for _ in range(again)]
    return whole, first, sorted(later, key=lambda each: each.seconds)[len(later) // 2]


async def beside_by_hand(installation: Installation, browser: str, cases: Sequence[Case], rounds: int) -> None:
    """Compare with the same files loaded by hand, contestants taking turns."""
    rows = []
    for case in cases:
        packages = [await asyncio.to_thread(resolve, case.reference, part=part) for part in case.parts]
        contestants: dict[str, Opening] = {
            "hand": partial(loading_by_hand, installation, packages, CORES),
            "ours": partial(loading, browser, case, False),
            "stored": partial(loading, browser, case, True),
        }
        turns: dict[str, list[tuple[Load, Load, Load]]] = {name: [] for name in contestants}
        for _ in range(rounds):
            for name, open in contestants.items():
                turns[name].append(await turn(open, 1 if rounds == 1 else 3))
        name = f"{packages[0].name} ({packages[0].weights} weights)"
        megabytes = sum(package.nbytes for package in packages) / 1e6
        for at, state in enumerate(_STATES):
            hand, ours, stored = ([each[at] for each in turns[name]] for name in contestants)
            times = [describe(each) for each in (hand, ours, stored)]
            rows.append(
                [case.family, name, f"{megabytes:.0f}", state, *times, ratios(ours, hand), ratios(stored, hand)]
            )
        print(f"  done: loading {name}", flush=True)
    show(
        f"Seconds to load (of that in the page: fetch + create) by WebAssembly, {CORES} threads ({installation.name})",
        [
            "family",
            "model",
            "MB",
            "load",
            "by hand",
            "webinfer",
            "store_models",
            "webinfer / by hand",
            "store_models / by hand",
        ],
        rows,
    )


def describe(loads: Sequence[Load]) -> str:
    """Return the medians of some loads."""
    seconds, fetch, create = (
        statistics.median(getattr(each, name) for each in loads) for name in ("seconds", "fetch", "create")
    )
    return f"{seconds:.2f} ({fetch:.2f} + {create:.2f})"


def ratios(ones: Sequence[Load], others: Sequence[Load]) -> str:
    """Return the median of the ratios turn by turn, and their range."""
    return spread([one.seconds / other.seconds for one, other in zip(ones, others, strict=True)])


def spread(values: Sequence[float]) -> str:
    """Return the median and the range."""
    return f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


async def parts_of_whisper(browser: str, lanes: int, together: bool) -> tuple[float, int]:
    """Load Whisper's two parts in a fresh browser that is up.

    Returns:
        Seconds, and the lanes that they lie on.
    """
    async with AsyncAccelerator(browser=browser, platform="wasm", lanes=lanes) as accelerator:
        began = time.perf_counter()
        coming = [accelerator.load(WHISPER, part=part) for part in PARTS]
        models = await asyncio.gather(*coming) if together else [await each for each in coming]
        seconds = time.perf_counter() - began
        return seconds, len({(await model.load()).lane for model in models})


async def side_by_side(installation: Installation, browser: str, rounds: int) -> None:
    """Compare loading Whisper's parts side by side with one after another, on one lane and on two."""
    for part in PARTS:
        await asyncio.to_thread(resolve, WHISPER, part=part)
    rows = []
    for lanes in (1, 2):
        seconds: dict[bool, list[float]] = {False: [], True: []}
        used = {False: 0, True: 0}
        for _ in range(rounds):
            for together, times in seconds.items():
                taken, used[together] = await parts_of_whisper(browser, lanes, together)
                times.append(taken)
        gains = [one / other for one, other in zip(seconds[False], seconds[True], strict=True)]
        medians = [f"{statistics.median(times):.2f}" for times in seconds.values()]
        rows.append([str(lanes), medians[0], str(used[False]), medians[1], str(used[True]), spread(gains)])
    columns = ["lanes", "one after another s", "lanes used", "side by side s", "lanes used", "times faster"]
    show(f"Loading Whisper's encoder and decoder, in a fresh browser that is up ({installation.name})", columns, rows)

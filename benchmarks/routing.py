"""Is the router right? Regret over 200 requests, against every fixed choice.

Contestants take turns, one request each and in random order, so that whatever else the machine does falls on all of
them. Regret is what requests took beyond those of the best fixed choice, summed. ``--picture`` draws it, ``--record``
keeps the latencies.
"""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import accumulate, product
from pathlib import Path

from benchmarks.measure import machine, median_ms, parser, show
from benchmarks.pool import made_up
from webinfer import AsyncAccelerator, AsyncModel, Result
from webinfer.browsers.discovery.find import find
from webinfer.core.errors import BrowserNotFound, WebinferError
from webinfer.core.options import Backend, BrowserName
from webinfer.inference.route import Place

MODELS: dict[str, tuple[str, str | None]] = {
    "bert-tiny": ("random:bert-tiny", None),
    "MiniLM": ("wheel:all-MiniLM-L6-v2", None),
    "Whisper's encoder": ("wheel:whisper-tiny.en", "encoder_model"),
}
BROWSERS: tuple[BrowserName, ...] = ("embedded", "chromium", "firefox")
BACKENDS: tuple[Backend, ...] = ("wasm", "webnn")
REQUESTS = 200
PAUSE = 0.02  # between rounds, as callers have things to do


@dataclass(slots=True)
class Series:
    """What one contestant's requests took, in seconds, and where they ran."""

    seconds: list[float] = field(default_factory=list)
    places: Counter[str] = field(default_factory=Counter)
    last: str = ""

    async def add(self, model: AsyncModel) -> None:
        """Run one request."""
        inputs = made_up(model)
        began = time.perf_counter()
        result = await model.run(inputs)
        self.seconds.append(time.perf_counter() - began)
        self.last = _place(result)
        self.places[self.last] += 1


async def session(
    source: tuple[str, str | None],
    fixed: Mapping[str, AsyncModel],
    browsers: Sequence[BrowserName],
    precisions: Sequence[str],
    requests: int,
) -> tuple[dict[str, Series], Series, str]:
    """Have the fixed choices and the router take turns.

    Returns:
        The series of the fixed choices, that of the router, and what the table would have chosen.
    """
    chance = random.Random(0)
    reference, part = source
    series = {name: Series() for name in fixed}
    learned = Series()
    async with AsyncAccelerator(browsers=tuple(browsers), routing="table") as accelerator:
        result = await (await accelerator.load(reference, part=part, precision=precisions)).run(
            made_up(next(iter(fixed.values())))
        )
        table = _place(result)
    async with AsyncAccelerator(browsers=tuple(browsers), routing="auto") as accelerator:
        model = await accelerator.load(reference, part=part, precision=precisions)
        await model.run(made_up(model))
        turns = [*((series[name], each) for name, each in fixed.items()), (learned, model)]
        for _ in range(requests):
            chance.shuffle(turns)
            for taken, each in turns:
                await taken.add(each)
            await asyncio.sleep(PAUSE)
    return series, learned, table


async def measure(
    source: tuple[str, str | None], browsers: Sequence[BrowserName], precisions: Sequence[str], requests: int
) -> list[tuple[dict[str, Series], Series, str]]:
    """Measure two sessions of a model."""
    reference, part = source
    async with AsyncExitStack() as stack:
        fixed = {}
        for browser, backend, precision in product(browsers, BACKENDS, precisions):
            accelerator = await stack.enter_async_context(AsyncAccelerator(browser=browser))
            try:
                model = await accelerator.load(reference, platform=backend, part=part, precision=precision)
            except WebinferError as error:
                print(f"{browser} {backend} {precision} is left out: {error}")
                await accelerator.close()
                continue
            for _ in range(5):
                place = _place(await model.run(made_up(model)))
            fixed[place] = model
        return [await session(source, fixed, browsers, precisions, requests) for _ in range(2)]


def regret(seconds: Sequence[float], best: Sequence[float]) -> list[float]:
    """Return how much longer requests took than the best choice's typical one, summed up to each."""
    typical = statistics.fmean(best)
    return list(accumulate(each - typical for each in seconds))


def report(name: str, sessions: Sequence[tuple[dict[str, Series], Series, str]]) -> None:
    """Print a table for each session."""
    for number, (fixed, learned, table) in enumerate(sessions, 1):
        best = min(fixed, key=lambda each: statistics.fmean(fixed[each].seconds))
        rows = []
        contestants = {**fixed, f"router, session {number}": learned}
        for contestant, series in contestants.items():
            marks = [mark for mark, is_so in (("best", contestant == best), ("table", contestant == table)) if is_so]
            total = regret(series.seconds, fixed[best].seconds)[-1]
            base = sum(fixed[best].seconds)
            rows.append(
                [
                    contestant + (f" ({', '.join(marks)})" if marks else ""),
                    f"{median_ms(series.seconds):.2f}",
                    f"{statistics.fmean(series.seconds) * 1e3:.2f}",
                    f"{total * 1e3:.0f}",
                    f"{total / base:+.1%}",
                    f"{max(series.seconds) * 1e3:.0f}",
                    series.last,
                ]
            )
        columns = ["choice", "median ms", "mean ms", "regret ms", "of best", "worst ms", "ended on"]
        show(f"{name}: {len(learned.seconds)} requests, {machine()}", columns, rows)


def draw(results: Mapping[str, Sequence[tuple[dict[str, Series], Series, str]]], path: Path) -> None:
    """Draw the regret of every contestant as it grows."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(len(results), 2, figsize=(11, 4 * len(results)), squeeze=False)
    for row, (name, sessions) in zip(axes, results.items(), strict=True):
        for number, (axis, (fixed, learned, table)) in enumerate(zip(row, sessions, strict=True), 1):
            best = min(fixed, key=lambda each: statistics.fmean(fixed[each].seconds))
            for contestant, series in fixed.items():
                label = contestant + (" (table)" if contestant == table else "")
                axis.plot(regret(series.seconds, fixed[best].seconds), label=label, linewidth=1)
            axis.plot(regret(learned.seconds, fixed[best].seconds), label="router", linewidth=2.5, color="black")
            axis.set(title=f"{name}, session {number}", xlabel="requests", ylabel="regret, seconds")
            axis.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def _place(result: Result) -> str:
    return str(Place(result.browser, result.backend, result.precision))


def _is_there(name: BrowserName) -> bool:
    try:
        find(name)
    except BrowserNotFound as error:
        print(f"{name} is left out: {error}")
        return False
    return True


async def main() -> None:
    """Measure, print, and draw."""
    arguments = parser(__doc__)
    arguments.add_argument("--models", nargs="*", choices=MODELS, default=list(MODELS), help="models to measure")
    arguments.add_argument("--browsers", nargs="*", choices=BROWSERS, default=list(BROWSERS), help="to choose from")
    arguments.add_argument("--precisions", nargs="*", default=["fp32"], help="to choose from, the table's choice first")
    arguments.add_argument("--picture", type=Path, default=Path("routing.png"), help="where to draw the regret")
    arguments.add_argument("--record", type=Path, help="where to keep the latencies of the fixed choices, as JSON")
    given = arguments.parse_args()
    browsers = [name for name in given.browsers if _is_there(name)]
    results = {}
    for name in given.models:
        requests = REQUESTS // 4 if given.quick else REQUESTS
        results[name] = await measure(MODELS[name], browsers, given.precisions, requests)
        report(name, results[name])
    draw(results, given.picture)
    print(f"drawn in {given.picture}")
    if given.record:
        kept = {
            name: {
                choice: [round(each, 6) for fixed, _, _ in sessions for each in fixed[choice].seconds]
                for choice in sessions[0][0]
            }
            for name, sessions in results.items()
        }
        given.record.write_text(json.dumps({"machine": machine(), "seconds": kept}), encoding="utf-8")


if __name__ == "__main__":
    asyncio.run(main())

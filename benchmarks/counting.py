"""What counting costs: the processor time that Python takes for a small request, with its counting and without.

A copying model is run, one request after the other. In half of the turns nobody is told of results and events, and the
order of the turns changes. Only the time of the loop's own thread counts, so the browser and the database's thread are
out of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import statistics
import tempfile
import time
from collections.abc import Awaitable, Iterator
from pathlib import Path

import numpy as np

from benchmarks.measure import machine, parser, show
from webinfer import AsyncAccelerator, AsyncModel, Result
from webinfer.accuracy.outcome import Accuracy
from webinfer.core.statistics import bootstrap
from webinfer.inference.result import ModelDescription
from webinfer.models.zoo.probe import echo_model
from webinfer.pool.requests.request import Request

ROUNDS, TURN = 120, 100
X = np.ones(16, np.float32)


class Nobody:
    """Takes note of nothing."""

    def hit(self, found: bool) -> None:
        """Take no note of a look-up."""

    def checked(self, model: ModelDescription, browser: str, accuracy: Accuracy) -> None:
        """Take no note of a comparison."""

    async def take(self, model: ModelDescription, request: Request, work: Awaitable[Result]) -> Result:
        """Await a result, and take no note of it."""
        return await work

    def failed(
        self, error: BaseException, model: ModelDescription, request: Request | None = None, seconds: float = 0.0
    ) -> None:
        """Take no note of a failure."""


@contextlib.contextmanager
def uncounted(accelerator: AsyncAccelerator, model: AsyncModel) -> Iterator[None]:
    """Have nobody told of results and events in this block."""
    pool = accelerator._pool
    assert pool is not None
    listeners, observer = [*pool._listeners], model.observer
    pool._listeners.clear()
    model.observer = Nobody()
    try:
        yield
    finally:
        pool._listeners += listeners
        model.observer = observer


async def turn(model: AsyncModel, count: int) -> float:
    """Run requests one after the other; returns the microseconds of this thread that each takes."""
    gc.collect()
    gc.disable()
    began = time.thread_time()
    for _ in range(count):
        await model.run(X)
    spent = time.thread_time() - began
    gc.enable()
    return spent / count * 1e6


async def measure(browser: str, database: Path | None, rounds: int) -> tuple[list[float], list[float]]:
    """Return the microseconds of a request in each round, counted and not."""
    counted: list[float] = []
    bare: list[float] = []
    async with AsyncAccelerator(browser=browser, platform="wasm", db_path=database) as accelerator:
        model = await accelerator.load(echo_model())
        await turn(model, 3 * TURN)
        for number in range(rounds):
            for is_counted in (number % 2 == 0, number % 2 == 1):
                with contextlib.nullcontext() if is_counted else uncounted(accelerator, model):
                    (counted if is_counted else bare).append(await turn(model, TURN))
    return counted, bare


def main() -> None:
    """Measure, and print."""
    asked = parser(__doc__).parse_args()
    rounds = ROUNDS // 10 if asked.quick else ROUNDS
    print(machine())
    rows = []
    with tempfile.TemporaryDirectory() as place:
        for title, database in (("counted", None), ("and recorded in a database", Path(place, "counting.duckdb"))):
            counted, bare = asyncio.run(measure(asked.browser, database, rounds))
            cost = bootstrap([a - b for a, b in zip(counted, bare, strict=True)])
            whole = statistics.median(counted)
            print(f"counting: {cost.estimate:.1f} us of {whole:.0f} us per request ({cost.estimate / whole:.1%})")
            interval = f"{cost.estimate:.1f} ({cost.low:.1f} to {cost.high:.1f})"
            rows.append(
                [title, f"{statistics.median(bare):.0f}", f"{whole:.0f}", interval, f"{cost.estimate / whole:.1%}"]
            )
    show(
        f"Python's processor time for a request of {X.size} numbers, in {rounds} turns of {TURN} of each kind",
        ["", "without, us", "with, us", "counting, us", "share"],
        rows,
    )


if __name__ == "__main__":
    main()

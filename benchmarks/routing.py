"""What does tuning win? Regret of the table and of the tuner's winner, against every fixed choice.

A contest is run first, as `webinfer tune` runs it, and its cost is told by itself. Then the choices take turns, one
request each and in random order, so that whatever else the machine does falls on all of them. Regret is what requests
took beyond those of the best fixed choice, summed.
"""

from __future__ import annotations

import asyncio
import math
import random
import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import product

from benchmarks.measure import machine, median_ms, parser, show
from webinfer import AsyncAccelerator, AsyncModel, Result, Tuning, TuningProgress
from webinfer.accuracy.samples.maker import sample
from webinfer.browsers.discovery.find import find
from webinfer.core.errors import BrowserNotFound, WebinferError
from webinfer.core.options import Backend, BrowserName, RoutingName
from webinfer.core.statistics import paired
from webinfer.inference.route import Place

MODELS: dict[str, tuple[str, str | None]] = {
    "bert-tiny": ("random:bert-tiny", None),
    "MiniLM": ("wheel:all-MiniLM-L6-v2", None),
    "Whisper's encoder": ("wheel:whisper-tiny.en", "encoder_model"),
}
BROWSERS: tuple[BrowserName, ...] = ("embedded", "chromium", "firefox")
BACKENDS: tuple[Backend, ...] = ("wasm", "webnn")
REQUESTS = 200
WARM_UP = 5  # requests of each choice
SEQUENCE = 128  # tokens
PAUSE = 0.02  # between rounds, as callers have things to do


@dataclass(slots=True)
class Choice:
    """A model somewhere, and what its requests took there, in seconds."""

    model: AsyncModel
    place: str = ""
    why: str | None = None
    seconds: list[float] = field(default_factory=list)

    async def add(self, *, counts: bool = True) -> None:
        """Run one request."""
        inputs = sample(self.model.package, SEQUENCE)
        began = time.perf_counter()
        result = await self.model.run(inputs)
        elapsed = time.perf_counter() - began
        self.place, self.why = place_of(result), result.routing
        if counts:
            self.seconds.append(elapsed)


@dataclass(frozen=True, slots=True)
class Session:
    """What was measured of one model.

    Attributes:
        tuning: The contest.
        fixed: The fixed choices, by place.
        table: The table's choice.
        tuned: What `auto` chooses after the contest.
    """

    tuning: Tuning
    fixed: Mapping[str, Choice]
    table: Choice
    tuned: Choice


class Models:
    """Loads one model in several ways, each in an accelerator of its own.

    Args:
        source: Its reference and part.
        browsers: To choose from.
        precisions: To choose from, the table's choice first.
        stack: Closes the accelerators.
    """

    def __init__(
        self,
        source: tuple[str, str | None],
        browsers: Sequence[BrowserName],
        precisions: Sequence[str],
        stack: AsyncExitStack,
    ) -> None:
        self.reference, self.part = source
        self.browsers = tuple(browsers)
        self.precisions = tuple(precisions)
        self.stack = stack

    async def fixed(self) -> dict[str, Choice]:
        """Load it at every place where it can run, by place."""
        choices = {}
        for browser, backend, precision in product(self.browsers, BACKENDS, self.precisions):
            accelerator = await self.stack.enter_async_context(AsyncAccelerator(browser=browser))
            try:
                model = await accelerator.load(self.reference, platform=backend, part=self.part, precision=precision)
            except WebinferError as error:
                print(f"{browser} {backend} {precision} is left out: {error}")
                await accelerator.close()
                continue
            choice = await warm(Choice(model))
            choices[choice.place] = choice
        return choices

    async def routed(self, routing: RoutingName) -> Choice:
        """Load it where the router says."""
        options = {"browsers": self.browsers} if len(self.browsers) > 1 else {"browser": self.browsers[0]}
        accelerator = await self.stack.enter_async_context(AsyncAccelerator(routing=routing, **options))
        return await warm(Choice(await accelerator.load(self.reference, part=self.part, precision=self.precisions)))

    async def tune(self, budget: float) -> Tuning:
        """Run a contest over the same places."""
        async with AsyncExitStack() as stack:
            choice = await Models((self.reference, self.part), self.browsers, self.precisions, stack).routed("table")
            return await choice.model.tune(budget, platforms=BACKENDS, progress=tell)


def tell(progress: TuningProgress) -> None:
    """Print what a contest does, but for its rounds."""
    if not progress.text.startswith("round"):
        print(f"  {progress.seconds:5.1f} s  {progress.text}")


async def warm(choice: Choice) -> Choice:
    """Run some requests that do not count."""
    for _ in range(WARM_UP):
        await choice.add(counts=False)
    return choice


async def measure(
    source: tuple[str, str | None],
    browsers: Sequence[BrowserName],
    precisions: Sequence[str],
    requests: int,
    budget: float,
) -> Session:
    """Tune a model, then have all choices take turns."""
    chance = random.Random(0)
    async with AsyncExitStack() as stack:
        models = Models(source, browsers, precisions, stack)
        tuning = await models.tune(budget)
        fixed = await models.fixed()
        table, tuned = await models.routed("table"), await models.routed("auto")
        turns = [*fixed.values(), table, tuned]
        for _ in range(requests):
            chance.shuffle(turns)
            for choice in turns:
                await choice.add()
            await asyncio.sleep(PAUSE)
    return Session(tuning, fixed, table, tuned)


def report(name: str, session: Session) -> None:
    """Print what each choice took, what the contest cost, and when it has paid."""
    best = min(session.fixed.values(), key=lambda choice: statistics.fmean(choice.seconds))
    rows = [row(f"fixed: {place}", choice, best) for place, choice in session.fixed.items()]
    rows.append(row(f"the table: {session.table.place}", session.table, best))
    rows.append(row(f"after tuning: {session.tuned.place}", session.tuned, best))
    columns = ["choice", "median ms", "mean ms", "regret ms", "of best", "worst ms"]
    show(f"{name}: {len(best.seconds)} requests each, {machine()}", columns, rows)
    tuning = session.tuning
    for standing in tuning.standings:
        if standing.reason is not None:
            print(f"The contest left {standing.candidate} out: {standing.reason}")
    if tuning.gain is not None:
        lead = f"{tuning.gain.estimate:.2f} ({tuning.gain.low:.2f} to {tuning.gain.high:.2f}) times the next"
        print(f"The contest took {tuning.cost:.0f} s; its winner is {tuning.winner}, {lead}, {tuning.runner_up}.")
    print(f"The router says: {session.tuned.why}")
    compared = paired(session.tuned.seconds, session.table.seconds)
    print(
        f"The table's choice takes {1 + compared.change:.2f} ({1 + compared.low:.2f} to {1 + compared.high:.2f}) times "
        f"the time of the tuned one; {paid(session)}"
    )


def row(name: str, choice: Choice, best: Choice) -> list[str]:
    """Return a line of the table."""
    regret = sum(choice.seconds) - sum(best.seconds)
    return [
        name + (" (best)" if choice is best else ""),
        f"{median_ms(choice.seconds):.2f}",
        f"{statistics.fmean(choice.seconds) * 1e3:.2f}",
        f"{regret * 1e3:.0f}",
        f"{regret / sum(best.seconds):+.1%}",
        f"{max(choice.seconds) * 1e3:.0f}",
    ]


def paid(session: Session) -> str:
    """Say after how many requests the contest has paid, by what it wins over the table."""
    won = statistics.fmean(session.table.seconds) - statistics.fmean(session.tuned.seconds)
    if session.table.place == session.tuned.place or won <= 0:
        return "the contest wins nothing here but knowing that."
    return f"the contest has paid after {math.ceil(session.tuning.cost / won):,} requests."


def place_of(result: Result) -> str:
    """Return where a result was made."""
    return str(Place(result.browser, result.backend, result.precision))


def there(names: Iterable[BrowserName]) -> list[BrowserName]:
    """Return those browsers that can be found; say of the others why not."""
    found = []
    for name in names:
        try:
            find(name)
        except BrowserNotFound as error:
            print(f"{name} is left out: {error}")
        else:
            found.append(name)
    return found


async def main() -> None:
    """Measure and print."""
    arguments = parser(__doc__)
    arguments.add_argument("--models", nargs="*", choices=MODELS, default=list(MODELS), help="models to measure")
    arguments.add_argument("--browsers", nargs="*", choices=BROWSERS, default=list(BROWSERS), help="to choose from")
    arguments.add_argument("--precisions", nargs="*", default=["fp32"], help="to choose from, the table's choice first")
    arguments.add_argument("--requests", type=int, default=REQUESTS, help="requests of each choice")
    arguments.add_argument("--budget", type=float, default=60.0, help="seconds for the contest")
    given = arguments.parse_args()
    browsers = there(given.browsers)
    for name in given.models:
        requests = given.requests // 10 if given.quick else given.requests
        report(name, await measure(MODELS[name], browsers, given.precisions, requests, given.budget))


if __name__ == "__main__":
    asyncio.run(main())

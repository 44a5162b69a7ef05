"""Does the number of lanes that is learned answer as much as the best fixed one, and with how many lanes?

Each fixed number of lanes has a pool of its own, and so has the learned one (``min_lanes=1``), in two sessions: the
first knows nothing, the second begins with what the first one kept. As many callers as keep the most lanes busy ask a
pool for a turn, each again as soon as it is answered; pools take turns, in random order, so that whatever else the
machine does falls on all of them. What a turn answered by the second is set against what the best fixed number did in
that round.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.measure import machine, parser, show
from benchmarks.pool import made_up
from webinfer import AsyncAccelerator, AsyncModel
from webinfer.core.options import BACKENDS
from webinfer.telemetry.database.history import FileHistory

ROUNDS, TURN = 12, 3.0  # of each pool, and seconds of one
HELD = 2  # requests that a lane holds: with one more for each lane, some always wait


@dataclass(slots=True)
class Pool:
    """A pool, and what its turns answered by the second."""

    accelerator: AsyncAccelerator
    model: AsyncModel
    rates: list[float] = field(default_factory=list)
    lanes: list[int] = field(default_factory=list)
    why: str = ""

    async def turn(self, callers: int, seconds: float) -> None:
        """Have callers ask for so long."""
        inputs, answered = made_up(self.model), 0
        began = time.perf_counter()

        async def ask() -> None:
            nonlocal answered
            while time.perf_counter() - began < seconds:
                result = await self.model.run(inputs)
                answered += 1
                if result.decision is not None and result.decision.lanes is not None:
                    self.why = result.decision.lanes.why

        await asyncio.gather(*(ask() for _ in range(callers)))
        self.rates.append(answered / (time.perf_counter() - began))
        snapshot = await self.accelerator.snapshot()
        self.lanes.append(sum(len(browser.lanes) for browser in snapshot.browsers))


async def session(
    name: str, platform: str, most: int, rounds: int, seconds: float, directory: Path
) -> tuple[list[Pool], Pool]:
    """Have pools of every fixed number of lanes take turns with one that learns.

    Returns:
        The fixed ones, the fewest lanes first, and the one that learns.
    """
    common: dict[str, Any] = {"browser": "embedded", "threads": 1, "platform": platform}
    async with AsyncExitStack() as stack:
        pools = []
        for lanes in (*range(1, most + 1), None):
            options: dict[str, Any] = {"lanes": lanes, "routing": "table"} if lanes else {"lanes": most, "min_lanes": 1}
            accelerator = await stack.enter_async_context(AsyncAccelerator(**common, **options))
            if lanes is None:
                accelerator._chooser.history = FileHistory("benchmark", directory)
            pools.append(Pool(accelerator, await accelerator.load(name)))
        *fixed, learned = pools
        for pool in fixed:
            await pool.turn(most * (HELD + 1), 1.0)
            pool.rates.clear()
            pool.lanes.clear()
        for _ in range(rounds):
            for pool in random.sample(pools, len(pools)):
                await pool.turn(most * (HELD + 1), seconds)
    return fixed, learned


def report(title: str, fixed: Sequence[Pool], learned: Pool) -> None:
    """Print what each pool answered, and how the learned one did from round to round."""
    best = max(fixed, key=lambda pool: statistics.median(pool.rates))
    rows = []
    for pool in (*fixed, learned):
        parts = [own / other for own, other in zip(pool.rates, best.rates, strict=True)]
        half = len(parts) // 2
        name = "learned" if pool is learned else f"{pool.lanes[-1]} lanes" if pool.lanes[-1] > 1 else "1 lane"
        rows.append(
            [
                name + (" (best)" if pool is best else ""),
                f"{statistics.median(pool.rates):.1f}",
                f"{statistics.median(parts[:half]):.3f}",
                f"{statistics.median(parts[half:]):.3f}",
                " ".join(map(str, pool.lanes)) if pool is learned else str(pool.lanes[-1]),
            ]
        )
    columns = ["lanes", "items/s, median", "of best, first half", "of best, second half", "lanes after each turn"]
    show(f"{title}, {machine()}", columns, rows)
    print(learned.why or "nothing was concluded: every lane is of use, or may be")


async def main() -> None:
    """Measure, and print."""
    arguments = parser(__doc__)
    arguments.add_argument("--models", nargs="*", default=["random:bert-tiny", "wheel:all-MiniLM-L6-v2"])
    arguments.add_argument("--platform", choices=BACKENDS, default="wasm", help="the backend")
    arguments.add_argument("--lanes", type=int, default=3, help="lanes at most")
    given = arguments.parse_args()
    rounds, seconds = (4, 2.0) if given.quick else (ROUNDS, TURN)
    for name in given.models:
        with tempfile.TemporaryDirectory() as directory:
            for number in (1, 2):
                measured = await session(name, given.platform, given.lanes, rounds, seconds, Path(directory))
                report(f"{name} on {given.platform}, session {number}", *measured)


if __name__ == "__main__":
    asyncio.run(main())

"""What whole models cost: loading them, and having them write.

Loading is beside a page that fetches the same files and creates the same sessions by hand, from a server of its own and
in a worker of its own. Writing is beside native onnxruntime with the same steps, and beside a decoder whose cache goes
through Python at each step. Contestants take turns, and must write the same. The real-time factor is the time that
transcribing takes, by the time that speaking took.
"""

from __future__ import annotations

import asyncio

from benchmarks.decoding import real_time, tokens_per_second
from benchmarks.loading import CASES, beside_by_hand, side_by_side
from benchmarks.measure import machine, parser
from webinfer.browsers.discovery.find import find

TABLES = ("load", "tokens", "speech", "parts")
_QUICK = 3  # the three models that have the fewest bytes


async def main(browser: str, tables: list[str], rounds: int, quick: bool) -> None:
    installation = find(browser)  # type: ignore[arg-type]
    if "load" in tables:
        await beside_by_hand(installation, browser, CASES[:_QUICK] if quick else CASES, rounds)
    if "tokens" in tables:
        await tokens_per_second(installation, browser, rounds, 8 if quick else 48)
    if "speech" in tables:
        await real_time(installation, browser, rounds)
    if "parts" in tables:
        await side_by_side(installation, browser, rounds)


if __name__ == "__main__":
    options = parser(__doc__)
    options.add_argument("--rounds", type=int, default=5, help="turns that each contestant has")
    options.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES), help="what to measure")
    arguments = options.parse_args()
    print(machine())
    asyncio.run(main(arguments.browser, arguments.tables, 1 if arguments.quick else arguments.rounds, arguments.quick))

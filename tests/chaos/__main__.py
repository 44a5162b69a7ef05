"""Drive browsers through faults and print what became of every request.

Usage::

    python -m tests.chaos --requests 5000 --faults 64 --seed 7
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos.census import Census, settle
from tests.chaos.disk import fill, small_disk
from tests.chaos.run import Tally, attack
from tests.chaos.table import print_report
from tests.chaos.workload import make_subjects


def main() -> int:
    """Run, print the tables, and return 0 if every promise was kept."""
    arguments = _parse()
    if arguments.verbose:
        logging.basicConfig(level=logging.INFO, format="%(relativeCreated)8.0f %(name)s %(message)s")
    with tempfile.TemporaryDirectory(prefix="wc-") as name, small_disk(Path(name) / "full", 16) as full_disk:
        directory = Path(name)
        if full_disk is not None:
            fill(full_disk)
        tempfile.tempdir = name  # what browsers write can be told from what others leave in the system's
        subjects = make_subjects(directory)
        before = Census.take(directory)
        began = time.monotonic()

        async def run() -> Tally:
            count = len(arguments.browsers)
            tallies = await asyncio.gather(
                *(
                    attack(
                        browser,
                        subjects,
                        directory,
                        requests=arguments.requests // count + (number < arguments.requests % count),
                        faults=arguments.faults // count + (number < arguments.faults % count),
                        seed=arguments.seed + number,
                        only=arguments.only,
                        full_disk=full_disk,
                    )
                    for number, browser in enumerate(arguments.browsers)
                )
            )
            total = Tally()
            for tally in tallies:
                total.add(tally)
            return total

        total = asyncio.run(run())
        seconds = time.monotonic() - began
        left = settle(directory, before)
    return print_report(total, left, seconds, arguments.seed)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--requests", type=int, default=5000)
    parser.add_argument("--faults", type=int, default=64)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--browsers", nargs="+", default=["embedded", "firefox"])
    parser.add_argument("--only", help="part of the names of the faults to choose from")
    parser.add_argument("--verbose", action="store_true", help="log what the pool does")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

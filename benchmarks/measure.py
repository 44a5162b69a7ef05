"""How the benchmarks measure: contestants take turns, so that a machine whose speed drifts does so for all."""

from __future__ import annotations

import argparse
import asyncio
import datetime
import os
import platform
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table

Contestant = Callable[[], Awaitable[object]]


async def take_turns(
    contestants: Mapping[str, Contestant], rounds: int, runs: int, warm_up: int = 3
) -> dict[str, list[float]]:
    """Time each contestant, in turn.

    Args:
        contestants: What to time, by name.
        rounds: How often each one has its turn.
        runs: Runs in one turn.
        warm_up: Runs of each one before anything is timed.

    Returns:
        Seconds of every run, by name.
    """
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for run in contestants.values():
        for _ in range(warm_up):
            await run()
    for _ in range(rounds):
        for name, run in contestants.items():
            for _ in range(runs):
                began = time.perf_counter()
                await run()
                times[name].append(time.perf_counter() - began)
            await asyncio.sleep(0)
    return times


def median_ms(seconds: list[float]) -> float:
    """Return the median in milliseconds."""
    return statistics.median(seconds) * 1e3


def machine() -> str:
    """Describe this machine in one line."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [
            line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        cpu = names[0] if names else cpu
    system = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return f"{os.cpu_count()} x {cpu}, {system}, {datetime.datetime.now(datetime.UTC).date()}"


def show(title: str, columns: list[str], rows: list[list[str]]) -> None:
    """Print a table, and the same as Markdown when the output is not a terminal."""
    console = Console(width=None if os.isatty(1) else 120)
    if not os.isatty(1):
        console.print(f"\n{title}\n", highlight=False)
        for cells in (columns, ["---"] * len(columns), *rows):
            print("| " + " | ".join(cells) + " |")
        return
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, justify="left" if column == columns[0] else "right")
    for cells in rows:
        table.add_row(*cells)
    console.print(table)


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options that every benchmark has."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--browser", default="auto", help="browser to measure")
    made.add_argument("--quick", action="store_true", help="a tenth of the runs, to see that it works")
    return made

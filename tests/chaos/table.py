"""Prints what a run showed."""

from __future__ import annotations

from collections import defaultdict
from statistics import median

from rich.console import Console
from rich.table import Table

from tests.chaos.faults import bound
from tests.chaos.run import Strike, Tally


def broken_promises(total: Tally, left: dict[str, int]) -> list[str]:
    """Return what was not kept: an empty list is a pass."""
    counts = {"requests lost": total.lost, "answered twice": total.twice, "wrong answers": total.wrong}
    broken = [f"{what}: {count}" for what, count in counts.items() if count]
    broken += [f"not recovered: {strike}" for strike in total.strikes if not strike.recovered]
    broken += [f"not in time: {strike}" for strike in total.strikes if not strike.in_time]
    broken += [f"no harm done: {strike}" for strike in total.strikes if not strike.harmed]
    broken += [f"{kind} left: {count}" for kind, count in left.items() if count]
    ended = total.right + total.wrong + total.lost + sum(total.errors.values())
    if ended != total.asked:
        broken.append(f"{total.asked} requests, {ended} endings")
    return broken + total.complaints


def print_report(total: Tally, left: dict[str, int], seconds: float, seed: int) -> int:
    """Print the tables.

    Returns:
        The exit code: 0 if every promise was kept.
    """
    console = Console(width=120)
    faults = Table(title=f"Faults, seed {seed}", title_justify="left")
    for heading in ("fault", "engine", "injected", "lanes lost", "noticed s", "worst", "bound", "recovered", "well s"):
        faults.add_column(heading, justify="left" if heading in ("fault", "engine") else "right")
    kinds: defaultdict[tuple[str, str], list[Strike]] = defaultdict(list)
    for strike in total.strikes:
        kinds[strike.name, strike.engine].append(strike)
    for (name, engine), strikes in sorted(kinds.items()):
        times = [strike.seconds for strike in strikes]
        noticed = [strike.noticed for strike in strikes if strike.noticed is not None]
        notice = (f"{median(noticed):.1f}", f"{max(noticed):.1f}") if noticed else ("", "")
        recovered = sum(strike.recovered for strike in strikes)
        lost = sum(strike.ended for strike in strikes)
        faults.add_row(
            name,
            engine,
            *(str(len(strikes)), str(lost)),
            *(*notice, f"{bound(name):.1f}"),
            *(str(recovered), f"{median(times):.1f}-{max(times):.1f}"),
        )
    console.print(faults)
    rows = {
        "requests": total.asked,
        "right answers": total.right,
        "requests lost": total.lost,
        "answered twice": total.twice,
        "wrong answers": total.wrong,
        "typed errors": sum(total.errors.values()),
        **{f"  {code}": count for code, count in sorted(total.errors.items())},
        "run again": sum(total.retries.values()),
        **{f"  after {code}": count for code, count in sorted(total.retries.items())},
        "faults": len(total.strikes),
        "kinds of fault": len({strike.name for strike in total.strikes}),
        "slowest request, s": f"{total.slowest:.1f}",
        "whole run, s": f"{seconds:.0f}",
        **{f"left after close: {kind}": count for kind, count in left.items()},
    }
    table = Table(title="Requests", title_justify="left", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for what, count in rows.items():
        table.add_row(what, str(count))
    console.print(table)
    broken = broken_promises(total, left)
    for promise in broken:
        console.print(f"BROKEN {promise}", markup=False, highlight=False)
    return 1 if broken else 0

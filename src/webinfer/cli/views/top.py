"""Layout of running accelerators: figures, browsers with lanes, models, and errors."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import psutil
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from webinfer.cli.output.layout import browser_name
from webinfer.cli.output.units import seconds, size
from webinfer.cli.views.rates import Fields, Rates, Watch, session_id
from webinfer.core.placement import operators

_BAR = 16  # columns
_NAME = 25
_FAULTS = 5
_STEPS = "▁▂▃▄▅▆▇█"
_COUNTS = (("runs", 9), ("runs/s", 8), ("errors", 8))
_RECOVERIES = (
    ("requests_rerun", "requests run again"),
    ("requests_recovered", "answered then"),
    ("lanes_lost", "lanes lost"),
    ("browsers_lost", "browsers lost"),
    ("lanes_retired", "lanes retired"),
    ("browsers_retired", "browsers retired"),
)


def nothing() -> RenderableType:
    """Return the text for no running accelerator."""
    return Text.assemble(
        ("No accelerator is running.", "title"),
        "\nAccelerators show here while their browsers run, in all your Python processes with this cache directory.",
    )


def view(watches: Sequence[Watch]) -> RenderableType:
    """Return the layout of all accelerators, one below the other.

    Args:
        watches: The accelerators.
    """
    return Padding(Group(*_spaced([accelerator(watch) for watch in watches])), (1, 0, 1, 2), expand=False)


def screen(watches: Sequence[Watch], interval: float, console: Console) -> RenderableType:
    """Return the layout of as many accelerators as fit into the terminal, below a line that says how to leave.

    Args:
        watches: The accelerators.
        interval: Seconds between two looks.
        console: The terminal.
    """
    width, height = console.width - 4, console.height - 3
    shown: list[RenderableType] = []
    for watch in watches:
        block = accelerator(watch)
        height -= len(console.render_lines(block, console.options.update(width=width), pad=False)) + 1
        if shown and height < 0:
            break
        shown.append(block)
    left = len(watches) - len(shown)
    if left:
        shown[-1:] = [shown[-1], Text(f"{left} more: enlarge the window, or show one with --pid", style="quiet")]
    body = _spaced(shown) if watches else [nothing()]
    note = f"{time.strftime('%H:%M:%S')}, every {interval:g} s, q leaves"
    head = _beside(Text("webinfer top", "title"), Text(note, "quiet"))
    return Padding(Group(head, Text(), *body), (1, 2, 0, 2))


def _beside(left: Text, right: Text) -> RenderableType:
    line = Table.grid(expand=True, padding=(0, 1))
    line.add_column(ratio=1)
    line.add_column(justify="right", no_wrap=True)
    line.add_row(left, right)
    return line


def accelerator(watch: Watch) -> RenderableType:
    """Return the layout of one accelerator.

    Args:
        watch: The accelerator.
    """
    title = Text.assemble(
        (_program(watch.entry.pid), "title"),
        (f"  pid {watch.entry.pid}  {watch.entry.origin.removeprefix('http://')}", "quiet"),
        no_wrap=True,
        overflow="ellipsis",
    )
    if watch.error is not None:
        return Group(title, Text(str(watch.error), style="warn"))
    if watch.snapshot is None:
        return title
    snapshot, rates = watch.snapshot, watch.rates
    title.append(f"  up {age(snapshot['uptime'])}", "quiet")
    parts: list[RenderableType] = [
        _beside(title, Text(_spark(watch.history), "label")),
        _figures(snapshot, rates),
        Text(),
    ]
    parts.append(
        _lanes(snapshot["browsers"], rates) if snapshot["browsers"] else Text("No browser runs.", style="warn")
    )
    if snapshot["queue"]:
        parts += [Text(), _models(snapshot, rates)]
    if snapshot["errors"] or snapshot["faults"]:
        parts += [Text(), _errors(snapshot), _faults(snapshot["faults"][:_FAULTS])]
    return Group(*parts)


def _figures(snapshot: Fields, rates: Rates | None) -> RenderableType:
    recent, totals = snapshot["recent"], snapshot["totals"]
    span = max(recent["seconds"], 1e-9)
    runs = rates.runs if rates else recent["runs"] / span
    items = rates.items if rates else recent["items"] / span
    latency = [f"{name} {seconds(recent[name])}" for name in ("p50", "p95") if recent[name] is not None]
    throughput = Text.assemble((f"{rate(runs)} runs/s", "title"), f", {rate(items)} items/s")
    waiting = Text(f"{totals['waiting']:,} waiting", style="warn" if totals["waiting"] else "")
    memory = f"{size(totals['browser_mb'] * 1e6)} browsers, {size(totals['python_mb'] * 1e6)} Python"
    table = Table.grid(padding=(0, 3, 0, 0))
    table.add_column(style="label", no_wrap=True)
    table.add_column(no_wrap=True, min_width=34)
    table.add_column(style="label", no_wrap=True)
    table.add_column(no_wrap=True)
    requests = Text.assemble(waiting, f", {totals['running']:,} running, {totals['runs']:,} done")
    table.add_row("Throughput", throughput, "Latency", ", ".join(latency) or Text("no runs lately", style="quiet"))
    table.add_row("Requests", requests, "Memory", memory)
    return table


def _lanes(browsers: Sequence[Fields], rates: Rates | None) -> RenderableType:
    table = _table(("Browsers", _NAME), ("busy", _BAR + 6), *_COUNTS)
    for browser in browsers:
        memory = size(browser["memory_mb"] * 1e6) if browser["memory_mb"] is not None else ""
        name = Text.assemble(f"{browser['id']}  ", (_short(browser), "quiet"))
        table.add_row(name, "", "", "", "", "", Text(f"{memory}, up {age(browser['uptime'])}", "quiet"))
        for lane in browser["lanes"]:
            table.add_row(*_lane(lane, rates))
    return table


def _short(browser: Fields) -> str:
    return f"{browser_name(browser['name'])} {browser['version'].split('.')[0]}"


def _lane(lane: Fields, rates: Rates | None) -> list[RenderableType]:
    busy = rates.lane_busy.get(lane["id"]) if rates else None
    runs = rates.lane_runs.get(lane["id"]) if rates else None
    return [
        Text(f"  {lane['id']}", style="label"),
        _bar(busy) if busy is not None else Text(),
        f"{lane['runs']:,}",
        rate(runs) if runs is not None else "",
        Text(str(lane["errors"]), style="bad" if lane["errors"] else "quiet"),
        "",
        _now(lane),
    ]


def _now(lane: Fields) -> Text:
    if lane["loading"]:
        return Text(f"loads {lane['loading']['model']}", style="label")
    if not lane["running"]:
        return Text("idle", style="quiet")
    return Text(f"{lane['running']} running, for {seconds(lane['oldest'])}")


def _models(snapshot: Fields, rates: Rates | None) -> RenderableType:
    table = _table(("Models", _NAME + _BAR + 6), *_COUNTS)
    for entry in snapshot["queue"]:
        session = entry["session"]
        runs = rates.session_runs.get(session_id(session)) if rates else None
        placed = _placements(snapshot, session)
        nodes = f" {_nodes(placed[0])}" if len(placed) == 1 else ""
        sizes = "".join(f" {name}={length}" for name, length in session["dimensions"].items())
        kind = f"  {session['backend']}{nodes} {session['precision']}{sizes}, {_lanes_of(entry['lanes'])}"
        table.add_row(
            Text.assemble(session["model"], (kind, "quiet"), no_wrap=True, overflow="ellipsis"),
            f"{entry['runs']:,}",
            rate(runs) if runs is not None else "",
            Text(str(entry["errors"]), style="bad" if entry["errors"] else "quiet"),
            "",
            _wanted(entry),
        )
        for placement in placed:
            if placement["fallen"]:
                table.add_row(Text(f"  {_fallen(placement)}", "warn"), *[""] * 5)
    return table


def _placements(snapshot: Fields, session: Fields) -> list[Fields]:
    """Return the different placements of a session's nodes. There are several only if browsers differ."""
    key = session_id(session)
    held = (session for browser in snapshot["browsers"] for lane in browser["lanes"] for session in lane["sessions"])
    placements: list[Fields] = []
    for session in held:
        placement = session.get("placement")
        if placement and session_id(session) == key and placement not in placements:
            placements.append(placement)
    return placements


def _nodes(placement: Fields) -> str:
    """Return how many of the nodes run on the chosen backend, as text: ``120/122``."""
    return f"{placement['nodes'].get(placement['backend'], 0)}/{sum(placement['nodes'].values())}"


def _fallen(placement: Fields) -> str:
    """Return the nodes of each backend and the operators that fell back: ``webnn 120, wasm 2: Mod, Erf``."""
    nodes = ", ".join(f"{name} {count:,}" for name, count in placement["nodes"].items() if count)
    return f"{nodes}: {operators(placement['fallen'])}"


def _lanes_of(count: int) -> str:
    return f"on {count} lane{'' if count == 1 else 's'}" if count else "on no lane"


def _wanted(entry: Fields) -> Text:
    if not entry["waiting"]:
        return Text("none waits", style="quiet")
    return Text(f"{entry['waiting']:,} wait, {seconds(entry['oldest'])}", style="warn")


def _errors(snapshot: Fields) -> Text:
    counts = ", ".join(
        f"{code} {count:,}" for code, count in sorted(snapshot["errors"].items(), key=lambda pair: -pair[1])
    )
    recovered = [
        f"{line} {snapshot['recoveries'][key]:,}" for key, line in _RECOVERIES if snapshot["recoveries"].get(key)
    ]
    line = Text.assemble(("Errors  ", "title"), (counts, "bad"), no_wrap=True, overflow="ellipsis")
    return line.append(("; " if counts else "") + ", ".join(recovered), "quiet") if recovered else line


def _faults(faults: Sequence[Fields]) -> RenderableType:
    table = Table.grid(padding=(0, 2, 0, 0), expand=True)
    table.add_column(style="quiet", justify="right", no_wrap=True)
    table.add_column(style="red", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(style="quiet", no_wrap=True, overflow="ellipsis", ratio=1)
    for fault in faults:
        who = " ".join(filter(None, (fault["kind"], fault["model"], fault["where"])))
        times = f" ×{fault['times']:,}" if fault["times"] > 1 else ""
        since = f"{age(fault['age'])} ago" if fault["age"] >= 1 else "just now"
        table.add_row(since, fault["code"] + times, who, " ".join(fault["reason"].split()))
    return table


def _table(*columns: tuple[str, int]) -> Table:
    """Return a table with a name, figures, and what happens now."""
    table = Table(box=None, padding=0, pad_edge=False, expand=True, show_edge=False)
    for name, width in columns:
        title, justify = name.istitle(), "right" if (name, width) in _COUNTS else "left"
        table.add_column(
            Text(name, style="title" if title else "quiet"),
            justify=justify,  # type: ignore[arg-type]  # one of two of its literals
            width=width,
            no_wrap=True,
            overflow="ellipsis",
        )
    table.add_column("", width=2)
    table.add_column(Text("now", style="quiet"), no_wrap=True, overflow="ellipsis", ratio=1)
    return table


def _bar(share: float) -> Text:
    """Return a bar that shows how much of the time was used."""
    full = round(share * _BAR)
    return Text.assemble(("━" * full, "label"), ("╌" * (_BAR - full), "quiet"), f"{share:5.0%}")


def _spark(values: Sequence[float]) -> str:
    """Return a line of blocks for a value over time, relative to its largest; empty for fewer than three values."""
    if len(values) < 3:
        return ""
    largest = max(values, default=0.0)
    return "".join(_STEPS[round(value / largest * (len(_STEPS) - 1)) if largest else 0] for value in values)


def rate(value: float) -> str:
    """Return a number per second with three significant digits, as text.

    Args:
        value: The rate.
    """
    if value >= 99.95 or value == 0:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"


def age(value: float) -> str:
    """Return an age in its two largest units: ``12 s``, ``3 min 12 s``, ``2 h 5 min``, ``3 d 4 h``.

    Args:
        value: Seconds.
    """
    parts: list[tuple[int, str]] = []
    rest = int(value)
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, rest = divmod(rest, length)
        if count or parts or unit == "s":
            parts.append((count, unit))
    return " ".join(f"{count} {unit}" for count, unit in parts[:2] if count or len(parts) == 1)


def _program(pid: int) -> str:
    """Return the name of what a process runs: its script or module, if it is Python."""
    try:
        words = psutil.Process(pid).cmdline()
    except psutil.Error:
        return "gone"
    for at, word in enumerate(words[1:], 1):
        if word == "-m" and at + 1 < len(words):
            return f"python -m {words[at + 1]}"
        if word == "-c":
            return "python -c"
        if not word.startswith("-"):
            return Path(word).name
    return Path(words[0]).name if words else "unknown"


def _spaced(parts: Sequence[RenderableType]) -> list[RenderableType]:
    return [line for part in parts for line in (Text(), part)][1:]

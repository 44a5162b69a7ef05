"""A report as Markdown."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

_Row = Mapping[str, Any]
Cell = Callable[[_Row], str]
Column = tuple[str, Cell]


def _word(name: str) -> Cell:
    return lambda row: "" if row[name] is None else str(row[name])


def _code(name: str) -> Cell:
    return lambda row: f"`{row[name]}`"


def _start(name: str) -> Cell:
    return lambda row: _short(row[name])


def _count(name: str) -> Cell:
    return lambda row: f"{row[name]:,}"


def _time(name: str) -> Cell:
    return lambda row: _ms(row[name])


def _figure(name: str) -> Cell:
    return lambda row: _rate(row[name])


_BAR = re.compile(r"(\\*)\|")  # with what would itself be taken for an escape

_WHERE: list[Column] = [
    ("Model", _word("model_name")),
    ("Backend", _word("backend")),
    ("Precision", _word("precision")),
    ("Browser", _word("browser_name")),
]


def write(findings: Mapping[str, Any]) -> str:
    """Return findings as Markdown.

    Args:
        findings: What ``gather`` returned.
    """
    parts = [
        *_head(findings),
        *_speed(findings),
        *_loading(findings),
        *_scaling(findings),
        *_truth(findings),
        *_trouble(findings),
    ]
    parts += [*_comparisons(findings), *_method(findings)]
    return "\n\n".join(parts) + "\n"


def _head(findings: Mapping[str, Any]) -> Iterator[str]:
    summary = findings["summary"]
    yield "# webinfer performance report"
    span = f"{_minute(summary['first'])} to {_minute(summary['last'])} UTC" if summary["first"] else "nothing recorded"
    yield f"{findings['path'] or 'In memory'}, {span}. Machine: {findings['machine']}."
    yield from (f"> {_plain(note)}" for note in findings["notes"])
    if summary["requests"]:
        yield (
            f"**{summary['requests']:,} requests**: {summary['answered']:,} answered, of which "
            f"{summary['recovered']:,} after a loss; {summary['failed']:,} failed. "
            f"Median latency {_ms(summary['p50'])}, 95% within {_ms(summary['p95'])}, "
            f"99% within {_ms(summary['p99'])}; {_rate(_ratio(summary['items'], summary['busy']))} items/s over all."
        )


def _speed(findings: Mapping[str, Any]) -> Iterator[str]:
    yield from _section(
        "Speed",
        findings["configurations"],
        *_WHERE,
        ("Requests", _count("requests")),
        ("Items/s", _figure("throughput")),
        ("p50", _time("p50")),
        ("p95", _time("p95")),
        ("p99", _time("p99")),
        ("In the runtime", _time("run_p50")),
        ("Failed", _count("failed")),
        ("Verdict", _word("verdict")),
    )
    yield from _section(
        "Where the time goes (means)",
        findings["configurations"],
        *_WHERE,
        *((name.capitalize(), _time(name)) for name in ("queue", "wait", "transfer")),
        ("Run", _time("run_time")),
    )


def _loading(findings: Mapping[str, Any]) -> Iterator[str]:
    yield from _section(
        "Loading",
        findings["loads"],
        ("Model", _word("model_name")),
        ("Backend", _word("backend")),
        ("Browser", _word("browser_name")),
        ("MB", _figure("mb")),
        ("Loads", _word("loads")),
        ("Fetch", _time("fetch")),
        ("Create", _time("create")),
        ("Whole", _time("seconds")),
        ("Failed", _word("failed")),
    )
    yield from _section(
        "First inference",
        findings["first"],
        *_WHERE,
        ("First", _time("first")),
        ("Later", _time("later")),
        ("Sessions", _word("sessions")),
    )


def _scaling(findings: Mapping[str, Any]) -> Iterator[str]:
    yield from _section(
        "Concurrency",
        findings["scaling"],
        *_WHERE,
        ("Requests under way", _word("level")),
        ("Items/s", _figure("throughput")),
        ("Source", lambda row: f"{row['source']}, {row['windows']}"),
    )


def _truth(findings: Mapping[str, Any]) -> Iterator[str]:
    yield from _section(
        "Hardware",
        findings["verdicts"],
        ("Browser", lambda row: f"{row['browser_name']} {row['engine_version']}"),
        ("Backend", _word("backend")),
        ("Verdict", _word("verdict")),
        ("Because", lambda row: "; ".join(row["evidence"] or ())),
    )
    yield from _section(
        "Placement",
        findings["placement"],
        *_WHERE,
        ("Nodes", lambda row: ", ".join(f"{count} on {name}" for name, count in row["placement"]["nodes"].items())),
        ("Elsewhere", lambda row: ", ".join(f"{op} {n}" for op, n in row["placement"].get("fallen", {}).items())),
    )
    yield from _section(
        "Accuracy",
        findings["accuracy"],
        ("Model", _word("model_name")),
        ("Precision", _word("precision")),
        ("Backend", _word("backend")),
        ("MB", _figure("mb")),
        ("Measure", _word("metric")),
        ("Value", lambda row: "" if row["value"] is None else f"{row['value']:.6g}"),
        ("Limit", lambda row: "" if row["threshold"] is None else f"{row['threshold']:.6g}"),
        ("Against", _word("reference")),
        ("Passed", lambda row: {True: "yes", False: "no"}.get(row["passed"], "")),
    )
    peak = max((row["browser_mb"] for row in findings["memory"] if row["browser_mb"] is not None), default=None)
    if peak is not None:
        python = max(row["python_mb"] or 0 for row in findings["memory"])
        yield "## Memory"
        yield f"Browsers took {peak:,.0f} MB at most, Python {python:,.0f} MB, in the newest run."


def _trouble(findings: Mapping[str, Any]) -> Iterator[str]:
    yield from _section(
        "Failed requests and benchmarks",
        findings["failures"],
        ("Code", _code("error_code")),
        ("Model", _word("model_name")),
        ("Backend", _word("backend")),
        ("Times", _count("times")),
        ("For example", _start("example")),
    )
    yield from _section(
        "Faults",
        findings["faults"],
        ("What", _word("kind")),
        ("Code", _code("code")),
        ("Times", _count("times")),
        ("Run again", _count("retried")),
        ("For example", _start("example")),
    )
    yield from _section(
        "Recoveries",
        findings["recoveries"],
        ("What", _word("kind")),
        ("Times", _count("times")),
        ("Median time", _time("seconds")),
        ("Slowest", _time("slowest")),
    )


def _comparisons(findings: Mapping[str, Any]) -> Iterator[str]:
    yield from _section(
        "Benchmark",
        findings["benched"],
        *_WHERE,
        ("At once", _count("level")),
        ("Time per item", _time("time")),
        ("Items/s", _figure("throughput")),
        ("Native, in turns", _time("native")),
        ("Time over native", _figure("over_native")),
        ("Cold load", _time("cold")),
        ("Warm load", _time("warm")),
        ("Cached load", _time("cached")),
        ("First run", _time("first")),
        ("MB", _figure("mb")),
        ("Verdict", _word("verdict")),
    )
    yield from _section(
        "Against an earlier run",
        findings["earlier"],
        *_WHERE,
        (
            "Earlier",
            lambda row: f"{_minute(row['earlier'])} {(row['earlier_revision'] or '')[:10]}",
        ),
        ("Run then", lambda row: f"{_ms(row['earlier_run_p50'])} of {row['earlier_requests']:,}"),
        ("Run now", lambda row: f"{_ms(row['run_p50'])} of {row['requests']:,}"),
        ("Change", lambda row: f"{row['change']:+.1%}" if row["change"] is not None else ""),
    )


def _method(findings: Mapping[str, Any]) -> Iterator[str]:
    yield "## How this was measured"
    yield "\n".join(f"- {sentence}" for sentence in findings["method"])


def _section(title: str, rows: Sequence[_Row], *columns: Column) -> Iterator[str]:
    if rows:
        yield f"## {title}"
        yield "\n".join(_table(rows, columns))


def _table(rows: Iterable[_Row], columns: Sequence[Column]) -> Iterator[str]:
    yield line(name for name, _ in columns)
    yield line("---" for _ in columns)
    for row in rows:
        yield line(cell(row) for _, cell in columns)


def line(cells: Iterable[str]) -> str:
    """Return a line of a table in Markdown: each text stays one cell, and no element begins in it.

    Args:
        cells: Texts.
    """
    return "| " + " | ".join(_BAR.sub(r"\1\1\|", _plain(" ".join(cell.split()))) for cell in cells) + " |"


def _plain(text: str) -> str:
    """Return text in which no element begins: models are called as anybody likes."""
    return text.replace("<", "\\<")


def _ms(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def _rate(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _ratio(part: float, whole: float | None) -> float | None:
    return part / whole if whole else None


def _minute(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment.replace(tzinfo=UTC):%Y-%m-%d %H:%M}"


def _short(text: str | None) -> str:
    words = text or ""
    return words if len(words) <= 120 else words[:119] + "…"

"""A report as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

Row = Mapping[str, Any]
Column = tuple[str, Callable[[Row], str]]


def write(found: Mapping[str, Any]) -> str:
    """Write findings as Markdown."""
    parts = [*_head(found), *_speed(found), *_loading(found), *_scaling(found), *_truth(found), *_trouble(found)]
    parts += [*_comparisons(found), *_method(found)]
    return "\n\n".join(parts) + "\n"


def _head(found: Mapping[str, Any]) -> Iterator[str]:
    summary = found["summary"]
    yield "# webinfer performance report"
    span = f"{_minute(summary['first'])} to {_minute(summary['last'])} UTC" if summary["first"] else "nothing recorded"
    yield f"{found['path'] or 'In memory'}, {span}. Machine: {found['machine']}."
    yield from (f"> {note}" for note in found["notes"])
    if summary["requests"]:
        yield (
            f"**{summary['requests']:,} requests**: {summary['answered']:,} answered, of which "
            f"{summary['recovered']:,} after a loss; {summary['failed']:,} failed. "
            f"Median latency {_ms(summary['p50'])}, 95% within {_ms(summary['p95'])}, "
            f"99% within {_ms(summary['p99'])}; {_rate(_ratio(summary['items'], summary['busy']))} items/s over all."
        )


def _speed(found: Mapping[str, Any]) -> Iterator[str]:
    yield from _section(
        "Speed",
        found["configurations"],
        *_WHERE,
        ("Requests", lambda row: f"{row['requests']:,}"),
        ("Items/s", lambda row: _rate(row["throughput"])),
        ("p50", lambda row: _ms(row["p50"])),
        ("p95", lambda row: _ms(row["p95"])),
        ("p99", lambda row: _ms(row["p99"])),
        ("In the runtime", lambda row: _ms(row["run_p50"])),
        ("Failed", lambda row: f"{row['failed']:,}"),
        ("Verdict", lambda row: str(row["verdict"] or "")),
    )
    yield from _section(
        "Where the time goes (means)",
        found["configurations"],
        *_WHERE,
        *((name.capitalize(), lambda row, name=name: _ms(row[name])) for name in ("queue", "wait", "transfer")),
        ("Run", lambda row: _ms(row["run_time"])),
    )


def _loading(found: Mapping[str, Any]) -> Iterator[str]:
    yield from _section(
        "Loading",
        found["loads"],
        ("Model", lambda row: str(row["model_name"])),
        ("Backend", lambda row: str(row["backend"])),
        ("Browser", lambda row: str(row["browser_name"] or "")),
        ("MB", lambda row: _rate(row["mb"])),
        ("Loads", lambda row: str(row["loads"])),
        ("Fetch", lambda row: _ms(row["fetch"])),
        ("Create", lambda row: _ms(row["create"])),
        ("Whole", lambda row: _ms(row["seconds"])),
        ("Failed", lambda row: str(row["failed"])),
    )
    yield from _section(
        "First inference",
        found["first"],
        *_WHERE,
        ("First", lambda row: _ms(row["first"])),
        ("Later", lambda row: _ms(row["later"])),
        ("Sessions", lambda row: str(row["sessions"])),
    )


def _scaling(found: Mapping[str, Any]) -> Iterator[str]:
    yield from _section(
        "Concurrency",
        found["scaling"],
        *_WHERE,
        ("Requests under way", lambda row: str(row["level"])),
        ("Items/s", lambda row: _rate(row["throughput"])),
        ("Source", lambda row: f"{row['source']}, {row['windows']}"),
    )


def _truth(found: Mapping[str, Any]) -> Iterator[str]:
    yield from _section(
        "Hardware",
        found["verdicts"],
        ("Browser", lambda row: f"{row['browser_name']} {row['engine_version']}"),
        ("Backend", lambda row: str(row["backend"])),
        ("Verdict", lambda row: str(row["verdict"])),
        ("Because", lambda row: "; ".join(row["evidence"] or ())),
    )
    yield from _section(
        "Placement",
        found["placement"],
        *_WHERE,
        ("Nodes", lambda row: ", ".join(f"{count} on {name}" for name, count in row["placement"]["nodes"].items())),
        ("Elsewhere", lambda row: ", ".join(f"{op} {n}" for op, n in row["placement"].get("fallen", {}).items())),
    )
    yield from _section(
        "Accuracy",
        found["accuracy"],
        ("Model", lambda row: str(row["model_name"])),
        ("Precision", lambda row: str(row["precision"])),
        ("Backend", lambda row: str(row["backend"] or "")),
        ("MB", lambda row: _rate(row["mb"])),
        ("Measure", lambda row: str(row["metric"])),
        ("Value", lambda row: "" if row["value"] is None else f"{row['value']:.6g}"),
        ("Against", lambda row: str(row["reference"] or "")),
        ("Passed", lambda row: {True: "yes", False: "no"}.get(row["passed"], "")),
    )
    peak = max((row["browser_mb"] for row in found["memory"] if row["browser_mb"] is not None), default=None)
    if peak is not None:
        python = max(row["python_mb"] or 0 for row in found["memory"])
        yield "## Memory"
        yield f"Browsers took {peak:,.0f} MB at most, Python {python:,.0f} MB, in the newest run."


def _trouble(found: Mapping[str, Any]) -> Iterator[str]:
    yield from _section(
        "Failed requests",
        found["failures"],
        ("Code", lambda row: f"`{row['error_code']}`"),
        ("Model", lambda row: str(row["model_name"])),
        ("Times", lambda row: f"{row['times']:,}"),
        ("For example", lambda row: _short(row["example"])),
    )
    yield from _section(
        "Faults",
        found["faults"],
        ("What", lambda row: str(row["kind"])),
        ("Code", lambda row: f"`{row['code']}`"),
        ("Times", lambda row: f"{row['times']:,}"),
        ("Run again", lambda row: f"{row['retried']:,}"),
        ("For example", lambda row: _short(row["example"])),
    )
    yield from _section(
        "Recoveries",
        found["recoveries"],
        ("What", lambda row: str(row["kind"])),
        ("Times", lambda row: f"{row['times']:,}"),
        ("Median time", lambda row: _ms(row["seconds"])),
        ("Slowest", lambda row: _ms(row["slowest"])),
    )


def _comparisons(found: Mapping[str, Any]) -> Iterator[str]:
    yield from _section(
        "Against native onnxruntime",
        found["native"],
        *_WHERE,
        ("Measure", lambda row: str(row["metric"])),
        ("Native, the best", lambda row: _ms(row["native"])),
        ("Browser", lambda row: _ms(row["value"])),
        ("Ratio", lambda row: _rate(row["ratio"])),
    )
    yield from _section(
        "Against an earlier run",
        found["earlier"],
        *_WHERE,
        (
            "Earlier",
            lambda row: f"{_minute(row['earlier'])} {(row['earlier_revision'] or '')[:10]}",
        ),
        ("Run then", lambda row: f"{_ms(row['earlier_run_p50'])} of {row['earlier_requests']:,}"),
        ("Run now", lambda row: f"{_ms(row['run_p50'])} of {row['requests']:,}"),
        ("Change", lambda row: f"{row['change']:+.1%}" if row["change"] is not None else ""),
    )


def _method(found: Mapping[str, Any]) -> Iterator[str]:
    yield "## How this was measured"
    yield "\n".join(f"- {line}" for line in found["method"])


_WHERE: list[Column] = [
    ("Model", lambda row: str(row["model_name"])),
    ("Backend", lambda row: str(row["backend"])),
    ("Precision", lambda row: str(row["precision"])),
    ("Browser", lambda row: str(row["browser_name"] or "")),
]


def _section(title: str, rows: Sequence[Row], *columns: Column) -> Iterator[str]:
    if rows:
        yield f"## {title}"
        yield "\n".join(_table(rows, columns))


def _table(rows: Iterable[Row], columns: Sequence[Column]) -> Iterator[str]:
    yield _line(name for name, _ in columns)
    yield _line("---" for _ in columns)
    for row in rows:
        yield _line(cell(row) for _, cell in columns)


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |"


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

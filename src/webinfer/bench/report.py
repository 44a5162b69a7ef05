"""A benchmark and a comparison as Markdown, and as a summary on GitHub."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import median

import numpy as np

from webinfer.bench.compare import Finding
from webinfer.bench.record import Cell, LoadTimes, Record, Together, launches, ratios
from webinfer.bench.runner import interval
from webinfer.core.errors import BenchmarkError
from webinfer.core.statistics import Interval, Limit, Occupancy, Scaling, limit, outliers, scaling
from webinfer.core.statistics.interval import spread
from webinfer.telemetry.report.markdown import line

SUMMARY = "GITHUB_STEP_SUMMARY"
_SCOPE = {
    True: "The figures' intervals are those of launches, by how these differ.",
    False: "The figures' intervals are those within one launch: the next one may be faster or slower by more.",
}
SPEED = ("Model", "Where", "Verdict", "ms per item", "Items/s", "Of native", "p95 ms", "Outliers", "Answers")
LOADING = ("Model", "Where", "Start", "Cold", "Warm", "Cached", "First run, cold", "First run, warm", "Memory")
_BOUNDED = ("ms per item", "Of native")  # what has an interval
_NONE = "–"
_SAID = {
    "none": "the same",
    "unclear": "unclear",
    "improvement": "faster",
    "minor": "slower",
    "moderate": "slower, moderate",
    "severe": "slower, severe",
}


def markdown(record: Record) -> str:
    """Write a benchmark down as Markdown: the figures, what could not be measured and why, the method."""
    parts = [f"# Benchmark {record.id}", machine_line(record)]
    if record.measured:
        parts += ["## Speed", table(headings(record), (speed(record, cell) for cell in record.measured))]
        parts += ["## Loading", table(LOADING, map(loading, record.measured))]
        parts += scalability(record)
    for each in record.together:
        columns = (f"{each.place}, {each.lanes} lanes", "Items/s alone", "Items/s together")
        parts += [f"## {len(each.models)} models at once: {each.gain:.2f} times one after the other"]
        parts.append(table(columns, rates(each)))
    notes = dict.fromkeys(cell.note for cell in record.cells if cell.note)
    if notes:
        parts += ["## Notes", "\n".join(f"- {note}" for note in notes)]
    if absent := absences(record):
        parts += ["## Not measured", table(("Configuration", "Why"), absent)]
    parts += ["## Method", method(record)]
    return "\n\n".join(parts) + "\n"


def headings(record: Record) -> tuple[str, ...]:
    """Return the headings of ``speed``'s cells, which say so where intervals are those of one launch alone."""
    if record.method.launches > 1:
        return SPEED
    return tuple(f"{name}, within one launch" if name in _BOUNDED else name for name in SPEED)


def speed(record: Record, cell: Cell) -> list[str]:
    """Return the cells of a row: how fast one configuration is."""
    times = [seconds for turn in cell.turns for seconds in turn.seconds]
    found, reference = cell.interval, record.reference(cell)
    against = _NONE
    if reference is not None:
        relative = interval(launches(list(ratios(cell.turns, reference))), record.method.confidence)
        against = (
            f"{1 / relative.estimate:.3f} ({1 / relative.high:.3f}–{1 / relative.low:.3f}{_lacking(relative, record)})"
        )
    return [
        cell.configuration.name,
        cell.configuration.place,
        cell.verdict or _NONE,
        milliseconds(found, "" if cell.reached else "*", _lacking(found, record) if found else ""),
        figure(1 / found.estimate) if found else _NONE,
        against,
        figure(float(np.quantile(times, 0.95)) * 1e3),
        f"{outliers(times).sum()} of {len(times)}",
        answers(cell),
    ]


def loading(cell: Cell) -> list[str]:
    """Return the cells of a row: how long one configuration takes to be there."""

    def told(loads: Sequence[LoadTimes], which: Callable[[LoadTimes], float]) -> str:
        return _seconds([which(each) for each in loads])

    return [
        cell.configuration.name,
        cell.configuration.place,
        _seconds(cell.starts),
        told(cell.cold, lambda each: each.seconds),
        told(cell.warm, lambda each: each.seconds),
        told(cell.cached, lambda each: each.seconds),
        told(cell.cold, lambda each: each.first_run),
        told(cell.warm, lambda each: each.first_run),
        f"{cell.memory_mb:.0f} MB" if cell.memory_mb else _NONE,
    ]


def answers(cell: Cell) -> str:
    """Say how a cell's answers compare with native's."""
    found = cell.agreement
    if found is None:
        return "not checked"
    hashes = {turn.digest for turn in cell.turns}
    repeated = "" if len(hashes) <= 1 else f", {len(hashes)} different hashes"
    if found.digest == found.native:
        return f"equal to the bit{repeated}"
    if not found.passed:
        return f"WRONG: {found.fault}"
    return f"within {found.difference:.1g}{repeated}"


def curves(record: Record) -> list[tuple[str, dict[int, float], Scaling | None, Limit]]:
    """Return, for each configuration that was measured at several concurrencies: its throughputs, law and limit."""
    groups: dict[str, list[Cell]] = {}
    for cell in record.measured:
        asked = cell.configuration
        groups.setdefault(f"{asked.name}, {asked.backend} in {asked.browser}", []).append(cell)
    made = []
    for name, cells in groups.items():
        rates = {cell.configuration.concurrency: 1 / cell.interval.estimate for cell in cells if cell.interval}
        if len(rates) > 1:
            most = max(cells, key=lambda cell: cell.configuration.concurrency)
            made.append((name, dict(sorted(rates.items())), scaling(rates), limit(_load(most))))
    return made


def scalability(record: Record) -> list[str]:
    """Write down what more lanes gain, if that was measured."""
    rows = []
    for name, rates, law, held in curves(record):
        told = ", ".join(f"{n}: {figure(rate)}" for n, rate in rates.items())
        rows.append([name, told, fitted(law), f"{held.kind} ({'; '.join(held.evidence)})"])
    columns = ("Configuration", "Items/s by requests at once", "Law", "What limits it")
    return ["## Scaling", table(columns, rows)] if rows else []


def fitted(law: Scaling | None) -> str:
    """Write the law of a configuration down, and how well it fits where that can be told."""
    if law is None:
        return "no law: needs three concurrencies"
    off = "nothing is left to test it with" if law.error is None else f"off by {law.error:.1%} at most"
    return f"contention {law.contention:.3f}, crosstalk {law.crosstalk:.4f}, {off}"


def rates(ran: Together) -> list[list[str]]:
    """Return rows: how fast each model was alone, and beside the others."""
    pairs = zip(ran.models, ran.alone, ran.together, strict=True)
    return [[model, figure(own), figure(both)] for model, own, both in pairs]


def absences(record: Record) -> list[list[str]]:
    """Return what was not measured, and why; what has the same reason is told once."""
    by_reason: dict[str, list[Cell]] = {}
    for cell in record.cells:
        if cell.status != "measured":
            by_reason.setdefault(cell.why or "not done yet: --resume takes it up again", []).append(cell)
    return [[_together(cells), why] for why, cells in by_reason.items()]


def method(record: Record) -> str:
    """Say how it was measured, and how steady the machine was."""
    how = record.method
    launches = "1 launch" if how.launches == 1 else f"{how.launches} launches"
    lines = [
        f"{launches} of each browser; warm-up until times are steady; then rounds in which everyone has "
        f"a turn of about {how.turn * 1e3:.0f} ms, in an order that changes from round to round, native onnxruntime "
        f"among them. Rounds end when the {how.confidence:.0%} interval of every launch's median is within "
        f"±{how.margin:.0%}, or time runs out. {_SCOPE[how.launches > 1]} {star(record)} No time was left out: "
        "outliers are counted, and are in the file. Of native: throughput in units of native's."
    ]
    if noise := noise_line(record):
        lines.append(noise)
    return " ".join(lines)


def star(record: Record) -> str:
    """Say what the star at a figure means."""
    return f"* The interval is wider than ±{record.method.margin:.0%}."


def noise_line(record: Record) -> str | None:
    """Say how steady the machine was, by a fixed piece of work that was done in every round."""
    sticks = record.yardstick
    if len(sticks) < 2:
        return None
    middle = median(sticks)
    return (
        f"The machine's noise: a fixed piece of work scattered by {spread(sticks) / middle:.1%} over {len(sticks)} "
        f"rounds, and took {max(sticks) / middle:.2f} times its median at worst."
    )


def machine_line(record: Record) -> str:
    """Describe the machine and the program."""
    seen = record.machine
    revision = f" ({record.revision[:12]})" if record.revision else ""
    return (
        f"{seen.get('cores')} x {seen.get('cpu')}, {seen.get('os')}, Python {seen.get('python')}, "
        f"webinfer {record.version}{revision}, {record.started}, {record.status}."
    )


def compared(a: Record, b: Record, findings: Sequence[Finding], *, gate: bool = False) -> str:
    """Write a comparison down as Markdown; as a gate, it counts what fails."""
    rows = []
    for each in findings:
        change, sure = each.counted, ""
        if change is not None:
            sure = f"{change.p_value:.2g} ({change.n} {'launches' if change.unit == 'launch' else 'rounds'})"
        rows.append(
            [
                str(each.configuration),
                f"**{said(each)}**" if gate and each.fails else said(each),
                percent(each.relative) if each.relative else _NONE,
                percent(each.raw) if each.raw else _NONE,
                percent(each.native) if each.native else _NONE,
                sure or _NONE,
                beyond(each),
                each.why or "",
            ]
        )
    columns = (
        "Configuration",
        "Verdict",
        "Time against native",
        "Time",
        "Native's own time",
        "p-value",
        f"p-value, {over(findings)}",
        "",
    )
    return "\n\n".join([f"# {b.id} against {a.id}", table(columns, rows), *outcome(a, b, findings, gate=gate)]) + "\n"


def said(finding: Finding) -> str:
    """Say in a word or two what became of a configuration."""
    return _SAID[finding.severity] if finding.kind == "compared" else finding.kind


def outcome(a: Record, b: Record, findings: Sequence[Finding], *, gate: bool = False) -> list[str]:
    """Say what a comparison comes to, in a sentence or two; as a gate, with what fails."""
    lines = [tally(findings)] if gate else []
    if a.machine.get("id") != b.machine.get("id"):
        lines.insert(0, "They ran on different machines: only the times against native can be compared.")
    return lines


def over(findings: Sequence[Finding]) -> str:
    """Name the limit that findings are held against."""
    return f"by over {100 * findings[0].limit:.3g}%"


def beyond(finding: Finding) -> str:
    """Write down how likely chance makes one that is slower by the limit look as slow as a finding."""
    return _NONE if finding.p_beyond is None else f"{finding.p_beyond:.2g}"


def tally(findings: Sequence[Finding]) -> str:
    """Say how many fail, and what that means."""
    return (
        f"{sum(each.fails for each in findings)} of {len(findings)} fail: slower {over(findings)} and more than chance "
        "explains, broken or wrong. The verdict tells any change, which may be as small as that."
    )


def to_summary(text: str) -> None:
    """Add Markdown to the summary of the GitHub Actions step that this runs in.

    Raises:
        BenchmarkError: It runs in none, or the summary cannot be written.
    """
    path = os.environ.get(SUMMARY)
    if not path:
        raise BenchmarkError(f"--github-summary writes to the file named by {SUMMARY}, which is not set.")
    try:
        with Path(path).open("a", encoding="utf-8", errors="replace") as file:
            file.write(text + "\n")
    except OSError as error:
        raise BenchmarkError(f"The summary {path} cannot be written: {error}.") from error


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a table in Markdown."""
    return "\n".join(map(line, (columns, ["---"] * len(columns), *rows)))


def milliseconds(found: Interval | None, mark: str = "", note: str = "") -> str:
    """Write an interval of seconds down in milliseconds, the estimate with a mark, the ends with a note."""
    if found is None:
        return _NONE
    middle, low, high = (figure(seconds * 1e3) for seconds in (found.estimate, found.low, found.high))
    return f"{middle}{mark} ({low}–{high}{note})"


def figure(value: float) -> str:
    """Write a number down with four digits that count, and without an exponent where it is large."""
    return f"{value:,.0f}" if abs(value) >= 9999.5 else f"{value:.4g}"


def percent(change: object) -> str:
    """Write a change down, with its interval."""
    low, middle, high = (getattr(change, name) for name in ("low", "change", "high"))
    return f"{middle:+.1%} ({low:+.1%} to {high:+.1%})"


def _lacking(found: Interval, record: Record) -> str:
    """Name the confidence of an interval that has less than was asked for."""
    return f" at {found.confidence:.0%}" if found.confidence < record.method.confidence else ""


def _load(cell: Cell) -> Occupancy:
    def middle(name: str) -> float:
        values = [value for turn in cell.turns if (value := getattr(turn, name)) is not None]
        return float(median(values)) if values else 0.0

    shares = {name: middle(name) for name in ("cores", "python", "lanes", "transfer")}
    return Occupancy(**shares, hardware=cell.verdict == "hardware")


def _seconds(values: Sequence[float]) -> str:
    return f"{median(values):.3g} s" if values else _NONE


def _together(cells: Sequence[Cell]) -> str:
    """Name the configurations that have one thing in common, shortly."""
    if len(cells) == 1:
        return str(cells[0].configuration)
    names = []
    for part in ("model", "precision", "backend", "browser"):
        values = list(dict.fromkeys(getattr(cell.configuration, part) for cell in cells))
        names.append(", ".join(values[:4]) + (f" and {len(values) - 4} more" if len(values) > 4 else ""))
    return f"{names[0]} ({names[1]}); {names[2]} in {names[3]}"

"""A benchmark and a comparison as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from webinfer.bench.compare import Finding
from webinfer.bench.record import Record
from webinfer.bench.report.comparison import (
    comparison_headings,
    comparison_row,
    describe_outcome,
    describe_title,
    explain_columns,
)
from webinfer.bench.report.numbers import format_figure
from webinfer.bench.report.tables import (
    LOADING,
    absent_rows,
    concurrent_headings,
    concurrent_rows,
    describe_law,
    describe_noise,
    describe_star,
    loading_row,
    scaling_curves,
    speed_headings,
    speed_row,
)
from webinfer.telemetry.report.markdown import line

_SCOPE = {
    True: "The intervals of figures cover how launches differ.",
    False: "The intervals of figures are those within one launch. The next launch may differ by more.",
}


def record_markdown(record: Record) -> str:
    """Return a benchmark as Markdown: its figures, what could not be measured and why, and its method.

    Args:
        record: The benchmark.
    """
    parts = [f"# Benchmark {record.id}", _machine(record)]
    if record.measured:
        rows = (speed_row(record, cell) for cell in record.measured)
        parts += ["## Speed", _table(speed_headings(record), rows)]
        parts += ["## Loading", _table(LOADING, map(loading_row, record.measured))]
        parts += _scaling(record)
    for rates in record.together:
        parts.append(f"## {len(rates.models)} models at once: {rates.gain:.2f} times the work of one after the other")
        parts.append(_table(concurrent_headings(rates), concurrent_rows(rates)))
    if notes := dict.fromkeys(cell.note for cell in record.cells if cell.note):
        parts += ["## Notes", "\n".join(f"- {note}" for note in notes)]
    if absent := absent_rows(record):
        parts += ["## Not measured", _table(("Configuration", "Why"), absent)]
    parts += ["## Method", _method(record)]
    return "\n\n".join(parts) + "\n"


def comparison_markdown(a: Record, b: Record, findings: Sequence[Finding], *, gate: bool = False) -> str:
    """Return a comparison as Markdown.

    Args:
        a: The earlier benchmark.
        b: The later one.
        findings: What the comparison found.
        gate: Whether configurations can fail. Those that do are in bold.
    """
    rows = []
    for finding in findings:
        _, result, *figures = comparison_row(finding)
        mark = "**" if gate and finding.fails else ""
        rows.append([str(finding.configuration), f"{mark}{result}{mark}", *figures, finding.why or ""])
    table = _table(("Configuration", *comparison_headings(findings)[1:], "Reason"), rows)
    sentences = [*describe_outcome(a, b, findings, gate=gate), *explain_columns(findings)]
    return "\n\n".join([f"# {describe_title(a, b)}", table, *sentences]) + "\n"


def _scaling(record: Record) -> list[str]:
    rows = []
    for curve in scaling_curves(record):
        rates = ", ".join(f"{count}: {format_figure(rate)}" for count, rate in curve.rates.items())
        limit = f"{curve.limit.kind} ({'; '.join(curve.limit.evidence)})"
        rows.append([curve.name, rates, describe_law(curve.law), limit])
    columns = ("Configuration", "Items/s by requests at once", "Law", "What limits it")
    return ["## Scaling", _table(columns, rows)] if rows else []


def _method(record: Record) -> str:
    """Return how a benchmark was measured, and how steady the machine was, in sentences."""
    method = record.method
    launches = "1 launch" if method.launches == 1 else f"{method.launches} launches"
    sentences = [
        f"{launches} of each browser.",
        "Each launch warms up until times are steady. Then come rounds.",
        f"In a round each configuration, and native onnxruntime, has a turn of about {method.turn * 1e3:.0f} ms.",
        "The order changes from round to round.",
        f"Rounds end when the {method.confidence:.0%} interval of every launch's median is within "
        f"±{method.margin:.0%}, or when time runs out.",
        _SCOPE[method.launches > 1],
        describe_star(record),
        "Outliers are counted, and no time was left out.",
        "Of native: the throughput in units of native onnxruntime's.",
        describe_noise(record),
    ]
    return " ".join(sentence for sentence in sentences if sentence)


def _machine(record: Record) -> str:
    """Return a line about the machine and the program."""
    machine = record.machine
    revision = f" ({record.revision[:12]})" if record.revision else ""
    return (
        f"{machine.get('cores')} x {machine.get('cpu')}, {machine.get('os')}, Python {machine.get('python')}, "
        f"webinfer {record.version}{revision}, {record.started}, {record.status}."
    )


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join(map(line, (columns, ["---"] * len(columns), *rows)))

"""``webinfer history``: find when something became slower or faster."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from webinfer.bench import storage
from webinfer.bench.report.numbers import format_change, format_p_value
from webinfer.cli.command import command
from webinfer.cli.output.layout import heading
from webinfer.cli.output.table import table
from webinfer.cli.output.terminal import Terminal
from webinfer.cli.views.bench import SEVERITIES
from webinfer.core.statistics import Change, changes
from webinfer.core.statistics.changes import ENOUGH
from webinfer.core.statistics.comparison import MARGIN

_NOTHING = [Text()] * 4
_EXAMPLES = """
webinfer history --db-path results.duckdb
webinfer history --db-path results.duckdb --margin 0.1 --json
"""


def register(app: typer.Typer) -> None:
    """Add the command.

    Args:
        app: The command line.
    """
    command(app, "history", examples=_EXAMPLES)(history)


def history(
    terminal: Terminal,
    db_path: Annotated[Path, typer.Option(metavar="FILE", help="Database of benchmarks.")],
    margin: Annotated[float, typer.Option(min=0.0, help="Relative change that does not matter.")] = MARGIN,
) -> None:
    """Find where the benchmarks in a database changed for good.

    It looks at the benchmarks of this machine. Times are in units of native onnxruntime's time, if all benchmarks have
    that. The effect is how much more often a later benchmark is slower than faster, from -1 to 1. A change needs at
    least three benchmarks on each side.
    """
    figures = storage.history(str(db_path))
    by_label = {label: changes([value for _, value in values], margin=margin) for label, values in figures.items()}
    if terminal.json:
        facts = {label: _facts(figures[label], breaks) for label, breaks in by_label.items()}
        terminal.emit({"configurations": facts})
        return
    rows = [
        [
            Text(label),
            Text(str(len(figures[label]))),
            Text(since),
            Text(change.severity, style=SEVERITIES[change.severity]),
            Text(format_change(change.compared)),
            Text(f"{change.compared.effect:+.2f}"),
            Text(format_p_value(change.p_value)),
        ]
        for label, breaks in by_label.items()
        for change, since in ((change, figures[label][change.index][0]) for change in breaks)
    ]
    steady = [
        [Text(label), Text(str(len(values))), Text(_unchanged(len(values)), style="quiet"), *_NOTHING]
        for label, values in figures.items()
        if not by_label[label]
    ]
    columns = ("Configuration", "Benchmarks", "Since", "Severity", "Change", "Effect", "p-value")
    if figures:
        terminal.show(heading("History"), table(columns, rows + steady))
    else:
        terminal.show(
            Text(f"{db_path} has no measurement of this machine: webinfer bench --db-path {db_path} adds some.")
        )


def _unchanged(count: int) -> str:
    return "no change found" if count >= ENOUGH else f"too few: needs {ENOUGH}"


def _facts(values: list[tuple[str, float]], breaks: list[Change]) -> dict[str, Any]:
    return {
        "benchmarks": len(values),
        "changes": [
            {
                "since": values[change.index][0],
                "before": change.before,
                "after": change.after,
                "severity": change.severity,
                "change": change.change,
                "low": change.compared.low,
                "high": change.compared.high,
                "confidence": change.compared.confidence,
                "effect": change.compared.effect,
                "p_value": change.p_value,
            }
            for change in breaks
        ],
    }

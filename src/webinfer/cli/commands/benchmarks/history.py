"""``webinfer history``: since when something is slower, or faster."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from webinfer.bench import report, storage
from webinfer.cli.command import command
from webinfer.cli.output.layout import heading
from webinfer.cli.output.terminal import Terminal
from webinfer.cli.views.bench import SEVERITIES, table
from webinfer.core.statistics import Change, changes
from webinfer.core.statistics.changes import ENOUGH
from webinfer.core.statistics.comparison import MARGIN

_NOTHING = [Text()] * 4
_EXAMPLES = """
webinfer history --db-path results.duckdb
webinfer history --db-path results.duckdb --margin 0.1 --json
"""


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "history", examples=_EXAMPLES)(history)


def history(
    terminal: Terminal,
    db_path: Annotated[Path, typer.Option(metavar="FILE", help="Database of benchmarks.")],
    margin: Annotated[float, typer.Option(min=0.0, help="Relative change that nobody minds.")] = MARGIN,
) -> None:
    """Find where the benchmarks in a database changed for good.

    Looks at the benchmarks of this machine, in units of native onnxruntime's time where all of them have that. The
    effect is how much more often a later one is slower than faster, from -1 to 1. At least three benchmarks on each
    side of a change can tell it.
    """
    figures = storage.history(str(db_path))
    found = {label: changes([value for _, value in known], margin=margin) for label, known in figures.items()}
    if terminal.json:
        told = {label: _told(figures[label], every) for label, every in found.items()}
        terminal.emit({"configurations": told})
        return
    rows = [
        [
            Text(label),
            Text(str(len(figures[label]))),
            Text(since),
            Text(each.severity, style=SEVERITIES[each.severity]),
            Text(report.percent(each.compared)),
            Text(f"{each.compared.effect:+.2f}"),
            Text(f"{each.p_value:.2g}"),
        ]
        for label, every in found.items()
        for each, since in ((each, figures[label][each.index][0]) for each in every)
    ]
    steady = [
        [Text(label), Text(str(len(known))), Text(_unchanged(len(known)), style="quiet"), *_NOTHING]
        for label, known in figures.items()
        if not found[label]
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


def _told(known: list[tuple[str, float]], found: list[Change]) -> dict[str, Any]:
    return {
        "benchmarks": len(known),
        "changes": [
            {
                "since": known[each.index][0],
                "before": each.before,
                "after": each.after,
                "severity": each.severity,
                "change": each.change,
                "low": each.compared.low,
                "high": each.compared.high,
                "confidence": each.compared.confidence,
                "effect": each.compared.effect,
                "p_value": each.p_value,
            }
            for each in found
        ],
    }

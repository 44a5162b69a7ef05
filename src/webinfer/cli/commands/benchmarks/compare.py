"""``webinfer compare``: two benchmarks side by side, and a failure where something really became slower."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from webinfer.bench import Record, compare, named, report, storage
from webinfer.bench.compare import check_finished, check_launches
from webinfer.bench.junit import of_findings
from webinfer.cli.command import command
from webinfer.cli.commands.benchmarks.bench import write
from webinfer.cli.files.outputs import writable
from webinfer.cli.output.terminal import FAILED, Terminal
from webinfer.cli.views.bench import findings_view

_EXAMPLES = """
webinfer compare before.json after.json
webinfer compare before.json after.json --fail-on 10% --junit compare.xml --github-summary
webinfer compare previous latest --db-path results.duckdb
"""


def register(app: typer.Typer) -> None:
    """Add the command.

    Args:
        app: The command line.
    """
    command(app, "compare", examples=_EXAMPLES)(run)


def run(
    terminal: Terminal,
    first: Annotated[str, typer.Argument(metavar="A", help="The earlier one: a JSON file, or a name.")],
    second: Annotated[str, typer.Argument(metavar="B", help="The later one.")],
    db_path: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Database that has them; there, latest and previous are names, too."),
    ] = None,
    fail_on: Annotated[
        str | None,
        typer.Option(
            metavar="PERCENT",
            help="Exit with 1 where something is slower by more than this, and not just by what chance adds; as 10%.",
        ),
    ] = None,
    junit: Annotated[Path | None, typer.Option(metavar="FILE", callback=writable, help="Write JUnit's XML.")] = None,
    github_summary: Annotated[
        bool, typer.Option("--github-summary", help="Add the comparison to the summary of a GitHub Actions step.")
    ] = False,
) -> None:
    """Compare two benchmarks, configuration by configuration.

    What changed and what fails are two questions: the verdict tells any change that chance does not explain; what fails
    is slower by more than --fail-on, and chance does not explain the rest. A change counts in units of native
    onnxruntime's time in the same rounds, so that a slower machine is no slower program. A configuration that no longer
    runs, or whose answers are no longer right, fails as well.
    """
    limit = _fraction(fail_on) if fail_on is not None else None
    a, b = (_taken(finding, db_path) for finding in (first, second))
    if limit is not None:
        check_launches(a, b)
        check_finished(a, b)
    findings = compare(a, b) if limit is None else compare(a, b, limit=limit)
    failing = [finding for finding in findings if limit is not None and finding.fails]
    if junit is not None:
        write(junit, of_findings(findings))
    if github_summary:
        report.to_summary(report.compared(a, b, findings, gate=limit is not None))
    if terminal.json:
        terminal.emit(
            {"a": a.id, "b": b.id, "failing": len(failing), "findings": [finding.to_dict() for finding in findings]}
        )
    else:
        terminal.show(findings_view(a, b, findings, gate=limit is not None))
    if failing:
        raise typer.Exit(FAILED)


def _taken(name: str, db_path: Path | None) -> Record:
    return named(name) if db_path is None or Path(name).is_file() else storage.load(str(db_path), name)


def _fraction(text: str) -> float:
    try:
        value = float(text.removesuffix("%")) / 100
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no percentage, as 10%", param_hint="--fail-on") from None
    if not 0 <= value < 100:
        raise typer.BadParameter(f"{text!r} is out of range", param_hint="--fail-on")
    return value

"""``webinfer compare``: compare two benchmarks, and fail if something became slower."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from webinfer.bench import Record, compare, find_record, storage
from webinfer.bench.compare import check_finished, check_launches
from webinfer.bench.report.junit import comparison_junit
from webinfer.bench.report.markdown import comparison_markdown
from webinfer.bench.report.summary import append_summary
from webinfer.cli.command import command
from webinfer.cli.commands.benchmarks.bench import write
from webinfer.cli.files.outputs import writable
from webinfer.cli.output.terminal import FAILED, Terminal
from webinfer.cli.views.bench import comparison_view

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
        typer.Option(metavar="FILE", help="Database with the benchmarks. It knows the names latest and previous too."),
    ] = None,
    fail_on: Annotated[
        str | None,
        typer.Option(
            metavar="PERCENT",
            help="Exit with 1 if a configuration is slower by more than this, such as 10%, beyond chance.",
        ),
    ] = None,
    junit: Annotated[Path | None, typer.Option(metavar="FILE", callback=writable, help="Write JUnit's XML.")] = None,
    github_summary: Annotated[
        bool, typer.Option("--github-summary", help="Add the comparison to the summary of a GitHub Actions step.")
    ] = False,
) -> None:
    """Compare two benchmarks, configuration by configuration.

    For each configuration it says whether B is faster or slower than A. It divides the times by native onnxruntime's in
    the same rounds. So a slower machine does not look like a slower program. With --fail-on, a configuration fails if
    it is slower by more than that and chance does not explain it. It also fails if it no longer runs or gives wrong
    answers.

    Raises:
        Exit: A configuration fails; with exit code 1.
    """
    limit = _fraction(fail_on) if fail_on is not None else None
    a, b = (_record(name, db_path) for name in (first, second))
    if limit is not None:
        check_launches(a, b)
        check_finished(a, b)
    findings = compare(a, b) if limit is None else compare(a, b, limit=limit)
    failing = [finding for finding in findings if limit is not None and finding.fails]
    if junit is not None:
        write(junit, comparison_junit(findings))
    if github_summary:
        append_summary(comparison_markdown(a, b, findings, gate=limit is not None))
    if terminal.json:
        terminal.emit(
            {"a": a.id, "b": b.id, "failing": len(failing), "findings": [finding.to_dict() for finding in findings]}
        )
    else:
        terminal.show(comparison_view(a, b, findings, gate=limit is not None))
    if failing:
        raise typer.Exit(FAILED)


def _record(name: str, db_path: Path | None) -> Record:
    return find_record(name) if db_path is None or Path(name).is_file() else storage.load(str(db_path), name)


def _fraction(text: str) -> float:
    try:
        value = float(text.removesuffix("%")) / 100
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a percentage such as 10%", param_hint="--fail-on") from None
    if not 0 <= value < 100:
        raise typer.BadParameter(f"{text!r} is out of range", param_hint="--fail-on")
    return value

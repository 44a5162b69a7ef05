"""``webinfer report``: a readable report of a database."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import duckdb
import typer
from rich.text import Text

from webinfer.api.services.results import connect, explain
from webinfer.api.services.results import report as write
from webinfer.cli.command import command
from webinfer.cli.files.outputs import writable
from webinfer.cli.output.terminal import Terminal
from webinfer.cli.output.units import size
from webinfer.core.errors import DatabaseError, OptionError

_EXAMPLES = """
webinfer report results.duckdb --output report.html
webinfer report results.duckdb --format markdown
webinfer report results.duckdb --last --format json
"""
_FORMATS = {".html": "html", ".htm": "html", ".json": "json", ".md": "markdown"}


def register(app: typer.Typer) -> None:
    """Add the command.

    Args:
        app: The command line.
    """
    command(app, "report", examples=_EXAMPLES)(report)


def report(
    terminal: Terminal,
    database: Annotated[
        Path | None, typer.Argument(metavar="DATABASE", help="File that an accelerator's db_path named.")
    ] = None,
    db: Annotated[Path | None, typer.Option("--db", metavar="PATH", help="The same, as an option.")] = None,
    format: Annotated[
        str | None,
        typer.Option(metavar="FORMAT", help="markdown, html or json; the ending of --output, or else markdown."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", callback=writable, help="Where to write it, instead of standard output."
        ),
    ] = None,
    last: Annotated[
        bool, typer.Option("--last", help="Only the newest run, compared with the one before, and benchmarks since.")
    ] = False,
) -> None:
    """Write a report of a database of results.

    The HTML is one file that needs no other: charts by browser, backend, precision and model.

    Raises:
        OptionError: No database is named.
        DatabaseError: The database cannot be read, or the report cannot be written.
    """
    path = database or db
    if path is None:
        raise OptionError("Name a database: webinfer report results.duckdb.", option="db")
    kind = format or ("json" if terminal.json else _FORMATS.get(output.suffix.lower() if output else "", "markdown"))
    connection = connect(path, read_only=True)
    try:
        runs = _newest(connection) if last else None
        text = write(connection, kind, runs=runs, path=str(path))
    except duckdb.Error as error:
        failure = explain(path, error)
        raise failure from error
    finally:
        connection.close()
    if output is None:
        sys.stdout.write(text)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise DatabaseError(f"{output} cannot be written ({error.strerror}): name another file.") from error
    if terminal.json:
        terminal.emit({"output": output, "format": kind, "nbytes": output.stat().st_size})
    else:
        terminal.show(Text.assemble(f"{output}  ", (size(output.stat().st_size), "quiet")))


def _newest(connection: duckdb.DuckDBPyConnection) -> list[int] | None:
    """Return the newest run; ``None`` means everything, if the database has only benchmarks."""
    rows = connection.execute("SELECT id FROM runs ORDER BY started DESC, id DESC LIMIT 1").fetchall()
    return [row[0] for row in rows] or None

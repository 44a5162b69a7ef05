"""``webinfer db``: look into a database of results, merge, export and query it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import duckdb
import typer
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from webinfer.api.services.results import Contents, connect, contents, explain, export, merge, select
from webinfer.cli.command import HELP, command
from webinfer.cli.output.layout import pairs
from webinfer.cli.output.terminal import Terminal
from webinfer.cli.output.units import size

Database = Annotated[Path, typer.Argument(metavar="DATABASE", help="File that an accelerator's db_path named.")]

_INFO = "webinfer db info results.duckdb"
_MERGE = "webinfer db merge results.duckdb results.4711.duckdb"
_EXPORT = "webinfer db export results.duckdb parquet/"
_QUERY = """
webinfer db query results.duckdb 'SELECT model_name, backend, median(total) FROM results GROUP BY ALL'
webinfer db query results.duckdb 'FROM faults' --json
"""


def register(app: typer.Typer) -> None:
    """Add the commands.

    Args:
        app: The command line.
    """
    group = typer.Typer(
        name="db",
        help="Look into databases of results, merge, export and query them. Tables: docs/reference/database.md.",
        context_settings=HELP,
        rich_markup_mode=None,
        no_args_is_help=True,
    )
    command(group, "info", examples=_INFO)(info)
    command(group, "merge", examples=_MERGE)(merge_)
    command(group, "export", examples=_EXPORT)(export_)
    command(group, "query", examples=_QUERY)(query)
    app.add_typer(group)


def info(terminal: Terminal, database: Database) -> None:
    """Show what is in a database."""
    summary = contents(database)
    if terminal.json:
        facts = {name: getattr(summary, name) for name in ("version", "nbytes", "rows", "dropped", "unended")}
        terminal.emit({"path": database, **facts, "first": _iso(summary.first), "last": _iso(summary.last)})
    else:
        terminal.show(_view(database, summary))


def merge_(
    terminal: Terminal,
    database: Database,
    others: Annotated[
        list[Path], typer.Argument(metavar="OTHER...", help="Databases to take in; they stay as they are.")
    ],
) -> None:
    """Merge databases into one, which is made if it is missing. Rows that it has already are not added again."""
    for other in others:
        new = merge(database, other)
        if terminal.json:
            terminal.emit({"path": database, "merged": other, "new": new})
        else:
            terminal.show(Text.assemble(f"{other}  ", (f"{sum(new.values()):,} new rows", "quiet")))


def export_(
    terminal: Terminal,
    database: Database,
    directory: Annotated[Path, typer.Argument(metavar="DIRECTORY", help="Where the files go; it is made if missing.")],
) -> None:
    """Write every table, and the view results, as a Parquet file."""
    files = export(database, directory)
    if terminal.json:
        terminal.emit({"files": files})
    else:
        for file in files.values():
            terminal.show(Text.assemble(f"{file}  ", (size(file.stat().st_size), "quiet")))


def query(
    terminal: Terminal,
    database: Database,
    sql: Annotated[str, typer.Argument(metavar="SQL", help="A query, in DuckDB's SQL.")],
) -> None:
    """Query a database. It is opened read-only.

    Raises:
        DatabaseError: The database cannot be read, or does not understand the query.
    """
    connection = connect(database, read_only=True)
    try:
        rows = select(connection, sql)
    except duckdb.Error as error:
        failure = explain(database, error)
        raise failure from error
    finally:
        connection.close()
    if terminal.json:
        terminal.emit({"rows": [{name: _json(value) for name, value in row.items()} for row in rows]})
    elif rows:
        table = Table(*rows[0], box=None, padding=(0, 3, 0, 0), header_style="label")
        for row in rows:
            table.add_row(*(_text(value) for value in row.values()))
        terminal.show(table)


def _view(database: Path, summary: Contents) -> Padding:
    rows = pairs([(table, Text(f"{count:>12,}")) for table, count in summary.rows.items()])
    span = f"{_minute(summary.first)} to {_minute(summary.last)} UTC" if summary.first else "no request yet"
    lines = [
        Text(f"{database}, {size(summary.nbytes)}, schema version {summary.version}", style="title"),
        Text(span, style="quiet"),
    ]
    if summary.dropped:
        lines.append(Text(f"{summary.dropped:,} rows could not be recorded.", style="warn"))
    if summary.unended:
        lines.append(Text(f"{summary.unended} of the runs have no end, because they were killed.", style="quiet"))
    grid = Table.grid()
    for line in (*lines, Text("")):
        grid.add_row(line)
    grid.add_row(rows)
    return Padding(grid, (1, 0, 1, 2), expand=False)


def _iso(moment: Any) -> str | None:
    return moment.isoformat() if moment is not None else None


def _minute(moment: Any) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"


def _json(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)

"""Reports of a database: its findings as plain values, as Markdown and as a page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import duckdb

from webinfer.core.errors import OptionError
from webinfer.core.json import clean, dumps
from webinfer.telemetry.report import markdown, page
from webinfer.telemetry.report.findings import gather

Format = Literal["markdown", "html", "json"]
FORMATS: tuple[Format, ...] = get_args(Format)

__all__ = ["FORMATS", "Format", "gather", "report"]


def report(
    connection: duckdb.DuckDBPyConnection,
    format: str,
    *,
    runs: Sequence[int] | None = None,
    path: str = "",
    loss: str | None = None,
) -> str:
    """Write a report of a database.

    Args:
        connection: The database, open.
        format: ``markdown``, ``html`` or ``json``.
        runs: Rows of ``runs`` that it is about; ``None`` for all.
        path: What the database is called.
        loss: What could not be recorded, in words, where that is known.

    Returns:
        The report: Markdown, a whole HTML page, or a JSON object.

    Raises:
        OptionError: There is no such format.
    """
    if format not in FORMATS:
        raise OptionError(f"format must be one of {', '.join(FORMATS)}, not {format!r}.", option="format")
    findings = gather(connection, runs, path=clean(path), loss=loss)
    if format == "json":
        return dumps(findings, indent=2)
    return markdown.write(findings) if format == "markdown" else page.render(findings)

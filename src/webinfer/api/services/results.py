"""Results: databases opened, merged, exported and reported, and accelerators that run in other processes."""

from __future__ import annotations

from webinfer.telemetry.database.archive import Contents, contents, export, merge
from webinfer.telemetry.database.connection import connect, explain, select
from webinfer.telemetry.registry import Entry, running
from webinfer.telemetry.report import report

__all__ = [
    "Contents",
    "Entry",
    "connect",
    "contents",
    "explain",
    "export",
    "merge",
    "report",
    "running",
    "select",
]

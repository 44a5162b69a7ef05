"""Benchmarks as a careful engineer makes them: docs/explanation/benchmarks.md says how."""

from __future__ import annotations

from webinfer.bench import report, storage
from webinfer.bench.compare import Finding, compare
from webinfer.bench.plan import Ask, everything
from webinfer.bench.record import Cell, Configuration, Method, Record, read
from webinfer.bench.run import benchmark, exit_code, named

__all__ = [
    "Ask",
    "Cell",
    "Configuration",
    "Finding",
    "Method",
    "Record",
    "benchmark",
    "compare",
    "everything",
    "exit_code",
    "named",
    "read",
    "report",
    "storage",
]

"""Benchmarks of models in browsers. docs/explanation/benchmarks.md explains the method."""

from __future__ import annotations

from webinfer.bench import storage
from webinfer.bench.cell import Cell, Configuration
from webinfer.bench.compare import Finding, compare
from webinfer.bench.plan import Matrix, full_matrix
from webinfer.bench.record import Method, Record, read_record
from webinfer.bench.run import benchmark, exit_code, find_record

__all__ = [
    "Cell",
    "Configuration",
    "Finding",
    "Matrix",
    "Method",
    "Record",
    "benchmark",
    "compare",
    "exit_code",
    "find_record",
    "full_matrix",
    "read_record",
    "storage",
]

"""What a database knows of models on this machine: requests that were answered, and benchmarks, as records of arms."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace
from itertools import groupby
from typing import Any

import duckdb

from webinfer.core.errors import DatabaseError
from webinfer.pool.learning.bandit import WINDOW, Arm, Record, major
from webinfer.pool.learning.lane_count import LASTING, LaneTimes, Measured, Timed, fold
from webinfer.telemetry.database.machine import machine
from webinfer.telemetry.database.store import Store

log = logging.getLogger("webinfer.metrics.recorded")

_VARIANTS = "(SELECT $model UNION SELECT sha256 FROM models WHERE details ->> '$.variant_of' = $model)"

# Of each arm the newest runs, the oldest of these first. What was run again or with others took longer than a run does.
_RUNS = f"""
SELECT browser_name, backend, precision, engine_version, seconds FROM (
    SELECT s.browser_name, s.backend, s.precision, s.engine_version, i.run_time + i.transfer AS seconds,
        i.timestamp, i.id
    FROM inferences i JOIN sessions s ON s.id = i.session JOIN runs r ON r.id = i.run
    WHERE r.machine = $machine AND s.model IN {_VARIANTS} AND i.error_code IS NULL AND i.attempts = 1 AND i.batch = 1
        AND CAST(r.options ->> '$.lanes' AS INTEGER) = $lanes
        AND CAST(r.options ->> '$.threads' AS INTEGER) IS NOT DISTINCT FROM $threads
    UNION ALL
    SELECT m.browser_name, m.backend, m.precision, m.engine_version, unnest(m.raw), m.timestamp, m.id
    FROM measurements m JOIN benchmarks b ON b.id = m.benchmark
    WHERE b.machine = $machine AND m.model IN {_VARIANTS} AND m.metric = 'latency' AND m.concurrency = $lanes
        AND m.error IS NULL AND $threads IS NULL
) WHERE seconds IS NOT NULL
QUALIFY row_number() OVER (PARTITION BY browser_name, backend, precision ORDER BY timestamp DESC, id DESC) <= {WINDOW}
ORDER BY browser_name, backend, precision, timestamp, id
"""
_LOADS = f"""
SELECT b.name, l.backend, l.precision, arg_max(l.seconds, l.timestamp)
FROM loads l JOIN browsers b ON b.id = l.browser JOIN runs r ON r.id = l.run
WHERE r.machine = $machine AND l.model IN {_VARIANTS} AND l.error_code IS NULL AND l.seconds IS NOT NULL
GROUP BY ALL
"""

# What an item took with so many lanes at work, by benchmarks: with one caller to each lane, so none was idle.
_SCALING = """
SELECT m.concurrency, m.engine_version, unnest(m.raw)
FROM measurements m JOIN benchmarks b ON b.id = m.benchmark
WHERE b.machine = $machine AND m.model = $model AND m.metric = 'time_per_item' AND m.error IS NULL
    AND m.browser_name = $browser AND m.backend = $backend AND m.precision = $precision
ORDER BY m.concurrency, m.timestamp, m.id
"""


# The same while serving, in the newest stretches of requests of each size.
_STRETCHES = f"""
SELECT s.size, s.lanes, s.engine_version, s.seconds / s.items
FROM stretches s JOIN runs r ON r.id = s.run
WHERE r.machine = $machine AND s.model = $model
    AND s.browser_name = $browser AND s.backend = $backend AND s.precision = $precision
    AND CAST(r.options ->> '$.lanes' AS INTEGER) = $lanes
    AND CAST(r.options ->> '$.threads' AS INTEGER) IS NOT DISTINCT FROM $threads
QUALIFY row_number() OVER (PARTITION BY s.size ORDER BY s.timestamp DESC, s.id DESC) <= {LASTING}
ORDER BY s.size, s.timestamp, s.id
"""


class StoreHistory:
    """What was learned, read from the rows of a database. They are written by who records results, so nothing is here.

    Requests of all sizes count, as they do while a model learns; where they differ, so do the latencies, and a
    difference that is within that is not believed.

    Args:
        store: The database.
        lanes: Lanes of a browser, on which latencies depend.
        threads: Threads of a lane, likewise; ``None`` shares the cores out. Benchmarks do that too.
    """

    def __init__(self, store: Store, lanes: int, threads: int | None) -> None:
        self._store = store
        self._setting = {"machine": machine()["id"], "lanes": lanes, "threads": threads}

    def __repr__(self) -> str:
        return f"<StoreHistory {self._store.path}>"

    def read(self, model: str) -> dict[Arm, Record]:
        """Return what is known of a model, by its hash, and of its variants. It waits for the disk, and never fails."""
        about = {**self._setting, "model": model}
        try:
            with self._store.reading() as connection:
                runs = connection.execute(_RUNS, about).fetchall()
                del about["lanes"], about["threads"]
                loads = connection.execute(_LOADS, about).fetchall()
        except (duckdb.Error, DatabaseError) as error:
            log.warning("what %s knows of %s cannot be read: %s", self._store.path, model[:12], error)
            return {}
        records = {Arm(*arm): _record(list(rows)) for arm, rows in groupby(runs, lambda row: row[:3])}
        for *arm, seconds in loads:
            if (known := records.get(Arm(*arm))) is not None:
                records[Arm(*arm)] = replace(known, load=seconds)
        return records

    def scaling(self, model: str, arm: Arm) -> Measured:
        """Return what an item took on an arm with how many lanes at work, in stretches and in benchmarks; as ``read``.

        Of WebAssembly, nothing that benchmarks measured: with fewer lanes they give each of them more threads.
        """
        about = {**self._setting, "model": model, **arm._asdict()}
        try:
            with self._store.reading() as connection:
                stretches = connection.execute(_STRETCHES, about).fetchall()
                del about["lanes"], about["threads"]
                rows = connection.execute(_SCALING, about).fetchall() if arm.backend != "wasm" else []
        except (duckdb.Error, DatabaseError) as error:
            log.warning("what %s knows of %s cannot be read: %s", self._store.path, model[:12], error)
            return {}
        found: dict[int | None, LaneTimes] = {
            size: fold(row[1:] for row in some) for size, some in groupby(stretches, lambda row: row[0])
        }
        if rows:
            records = {lanes: _record(list(some)) for lanes, some in groupby(rows, lambda row: row[0])}
            found[None] = LaneTimes({lanes: Timed(record, record.runs) for lanes, record in records.items()})
        return found

    def note(self, model: str, arm: Arm, record: Record) -> None:
        """Do nothing: the runs have rows of their own."""

    def note_lanes(self, model: str, arm: Arm, size: int, times: LaneTimes) -> None:
        """Do nothing: so have the stretches."""

    def flush(self) -> None:
        """Do nothing: the store writes by itself."""


def _record(rows: Iterable[tuple[Any, ...]]) -> Record:
    """Sum up an arm's runs, the newest of them last, as far as they are of the version that the newest is of."""
    *_, newest = rows
    record = Record()
    for *_, version, seconds in rows:
        if major(version or "") == major(newest[-2] or ""):
            record = record.add(seconds, version or "")
    return record

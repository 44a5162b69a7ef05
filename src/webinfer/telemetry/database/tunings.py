"""Results of tuning as rows of a database, and figures of benchmarks that say as much."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Sequence
from typing import Any

import duckdb
import msgspec

from webinfer.core.errors import DatabaseError, OptionError
from webinfer.core.statistics import Interval, quotient
from webinfer.telemetry.database.connection import select
from webinfer.telemetry.database.store import Store
from webinfer.tuning.candidate import Candidate
from webinfer.tuning.tuning import Standing, Tuning

log = logging.getLogger("webinfer.tuning")

_TUNINGS = "SELECT details FROM tunings WHERE machine = $machine AND model = $model ORDER BY timestamp DESC LIMIT 100"

# The places of a model in the newest benchmark of it on this machine, the fastest first. Its other precisions are those
# of the same name there. A place that answered something else than native onnxruntime is left out.
_BENCHMARKED = """
WITH newest AS (
    SELECT m.benchmark, m.model_name FROM measurements m JOIN benchmarks b ON b.id = m.benchmark
    WHERE b.machine = $machine AND m.model = $model AND m.metric = 'time_per_item' AND m.error IS NULL
    ORDER BY b.started DESC, b.id DESC LIMIT 1
)
SELECT m.model_name, m.browser_name, m.engine_version, m.backend, m.precision, m.concurrency, m.batch, m.value, m.low,
    m.high, m.count, m.details ->> '$.interval' AS scope,
    coalesce(TRY_CAST(b.configuration ->> '$.confidence' AS DOUBLE), 0.95) AS confidence,
    epoch(coalesce(b.ended, b.started)) AS at, epoch(b.ended - b.started) AS cost
FROM measurements m JOIN benchmarks b ON b.id = m.benchmark
    JOIN newest ON newest.benchmark = m.benchmark AND newest.model_name = m.model_name
WHERE m.metric = 'time_per_item' AND m.error IS NULL AND m.value > 0 AND m.low > 0 AND m.high > 0
    AND m.browser_name IS NOT NULL AND m.backend IN ('webgpu', 'webnn', 'wasm')
    AND TRY_CAST(m.details ->> '$.passed' AS BOOLEAN) IS NOT FALSE
ORDER BY m.value, m.id
"""


class StoredTunings:
    """Results of tuning in a database. It implements ``TuningRows``.

    Args:
        store: The database.
        run: Id of the run that results are of; ``None`` where there is none.
    """

    def __init__(self, store: Store, run: int | None = None) -> None:
        self._store = store
        self._run = run

    def __repr__(self) -> str:
        return f"<StoredTunings {self._store.path}>"

    def add(self, tuning: Tuning) -> None:
        """Have a result written soon.

        Args:
            tuning: The result of a contest.
        """
        winner, gain = tuning.winner, tuning.gain
        self._store.add(
            "tunings",
            run=self._run,
            timestamp=datetime.datetime.fromisoformat(tuning.at).timestamp(),
            machine=tuning.machine,
            model=tuning.model,
            model_name=tuning.name,
            browser_name=winner.browser,
            engine_version=tuning.version,
            backend=winner.backend,
            precision=winner.precision,
            lanes=winner.lanes,
            threads=winner.threads,
            batch_size=winner.batch_size,
            workgroup=winner.workgroup,
            seconds=tuning.seconds,
            gain=gain.estimate if gain else None,
            gain_low=gain.low if gain else None,
            gain_high=gain.high if gain else None,
            cost=tuning.cost,
            details=tuning.to_dict(),
        )

    def find(self, model: str, machine: str) -> Sequence[Tuning]:
        """Return what is known of a model on a machine: contests, and the newest benchmark if it has a clear winner.

        Args:
            model: SHA-256 of the full-precision model.
            machine: Id of the machine.

        Returns:
            The results; none where the database cannot be read.
        """
        about = {"machine": machine, "model": model}
        try:
            with self._store.reading() as connection:
                stored = connection.execute(_TUNINGS, about).fetchall()
                rows = select(connection, _BENCHMARKED, about)
        except (duckdb.Error, DatabaseError) as error:
            log.warning("what %s knows of %s cannot be read: %s", self._store.path, model[:12], error)
            return []
        contests = [tuning for (details,) in stored if (tuning := _parse(details)) is not None]
        benchmarked = _benchmarked(model, machine, rows)
        return [*contests, benchmarked] if benchmarked is not None else contests


def _parse(details: str | None) -> Tuning | None:
    try:
        return msgspec.json.decode(details or "", type=Tuning)
    except (msgspec.MsgspecError, RecursionError) as error:  # of a later version, or written by somebody else
        log.warning("a result of tuning cannot be read: %s", error)
        return None


def _benchmarked(model: str, machine: str, rows: Sequence[dict[str, Any]]) -> Tuning | None:
    """Turn the places of one benchmark into a result, where one is clearly the fastest.

    It is where the interval of its lead over every other place lies above 1. Of several numbers of lanes there it is
    the smallest that is not clearly slower.

    Returns:
        The result, or ``None``.
    """
    measured = [(row, standing) for row in rows if (standing := _standing(row)) is not None]
    if not measured:
        return None
    rows, standings = [row for row, _ in measured], [standing for _, standing in measured]
    fastest = standings[0]
    here = [standing for standing in standings if _place(standing) == _place(fastest)]
    winner = min((one for one in here if not _lead(fastest, one) > 1), key=lambda one: one.candidate.lanes)
    others = [standing for standing in standings if _place(standing) != _place(fastest)]
    if not others or any(_lead(winner, other) <= 1 for other in others):
        return None
    first = rows[standings.index(winner)]
    return Tuning(
        model=model,
        name=first["model_name"],
        machine=machine,
        version=first["engine_version"] or "",
        winner=winner.candidate,
        runner_up=others[0].candidate,
        gain=_gain(winner, others[0]),
        seconds=first["value"],
        at=datetime.datetime.fromtimestamp(first["at"], datetime.UTC).isoformat(timespec="seconds"),
        cost=first["cost"] or 0.0,
        standings=(winner, *(standing for standing in standings if standing is not winner)),
        versions={row["browser_name"]: row["engine_version"] or "" for row in rows},
        source="benchmark",
    )


def _place(standing: Standing) -> tuple[str, str, str]:
    candidate = standing.candidate
    return candidate.browser, candidate.backend, candidate.precision


def _gain(winner: Standing, other: Standing) -> Interval:
    assert winner.interval is not None  # every row has one
    assert other.interval is not None
    return quotient(other.interval, winner.interval)


def _lead(winner: Standing, other: Standing) -> float:
    """Return by how much one is at least faster than another: above 1 it clearly is."""
    return _gain(winner, other).low


def _standing(row: dict[str, Any]) -> Standing | None:
    """Return a place of a benchmark, which has one caller to each lane, as a standing; ``None`` for no candidate."""
    try:
        candidate = Candidate(
            browser=row["browser_name"],
            backend=row["backend"],
            precision=row["precision"] or "fp32",
            lanes=row["concurrency"] or 1,
            batch_size=row["batch"] or 1,
        )
    except OptionError:  # more lanes than a contest may have, or a damaged row
        return None
    ends = row["value"], row["low"], row["high"]
    is_over_launches = row["scope"] == "over launches"
    interval = Interval(*ends, row["confidence"], "over launches" if is_over_launches else "within one launch")
    return Standing(candidate=candidate, seconds=row["value"], interval=interval, rounds=row["count"] or 0)

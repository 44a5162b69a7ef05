"""A whole benchmark: started or resumed, measured, and recorded."""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from webinfer.bench import plan, storage
from webinfer.bench.measurement.concurrency import measure_concurrently
from webinfer.bench.measurement.runner import BenchmarkStep, StepListener, measure, remaining_seconds, with_counts
from webinfer.bench.plan import Matrix
from webinfer.bench.record import Method, Record, read_record
from webinfer.core import package_version
from webinfer.core.cache import cache_dir
from webinfer.core.errors import BenchmarkError
from webinfer.telemetry.database.machine import machine, revision

HARDWARE, FAILED, SOFTWARE = 0, 1, 2
KEPT = 20  # journals; older ones are removed


def journals() -> Path:
    """Return the directory of the latest benchmarks' records."""
    return cache_dir() / "benchmarks"


async def benchmark(
    matrix: Matrix,
    method: Method,
    listener: StepListener,
    *,
    resume: bool = False,
    db_path: str | None = None,
    note: str | None = None,
    at_once: int = 1,
    options: dict[str, Any] | None = None,
) -> Record:
    """Measure every configuration of a matrix.

    Args:
        matrix: What to measure.
        method: How to measure.
        listener: Called with the progress.
        resume: Continue the latest unfinished benchmark of the same matrix and method, if there is one.
        db_path: Database to write to at the end, also after an interrupt. Each figure is written once.
        at_once: Number of models to run at the same time in addition, on as many lanes.
        note: What differs from the command line, for every cell.
        options: Further options of the accelerators.

    Returns:
        The record. It is also in ``journals()``.

    Raises:
        OptionError: There is no such option.
        DatabaseError: The database cannot be opened.
    """
    options = options or {}
    with storage.opened(db_path) as database:  # opened first, so that an error comes before the work
        record = find_unfinished(matrix, method, options) if resume else None
        resumed = record is not None
        if record is None:
            surveyed = await plan.survey(matrix.browsers, lambda text: listener(BenchmarkStep(text)), options)
            record = plan.new_record(matrix, method, surveyed, options)
            for cell in record.cells:
                cell.note = note
        path = journals() / f"{record.id}.json"
        listener = with_counts(record.cells, listener)
        text = f"{'resume' if resumed else 'start'} {record.id}"
        listener(BenchmarkStep(text, ahead=remaining_seconds(record)))
        try:
            await measure(record, path, listener, options)
            if at_once > 1:
                await _measure_at_once(record, at_once, listener)
        except BaseException:
            record.status = "interrupted"
            raise
        finally:
            record.ended = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
            record.save(path)
            if database is not None:
                storage.write(database, record)
            _remove_old()
    return record


async def _measure_at_once(record: Record, count: int, listener: StepListener) -> None:
    """Run models at the same time, in every place where at least two of them ran."""
    places: dict[tuple[str, str], list[str]] = {}
    for cell in record.measured:
        configuration = cell.configuration
        places.setdefault((configuration.backend, configuration.browser), []).append(configuration.model)
    record.together.clear()
    for (backend, browser), models in places.items():
        chosen = list(dict.fromkeys(models))[:count]
        if len(chosen) > 1:
            listener(BenchmarkStep(f"{len(chosen)} models at once: {backend} in {browser}"))
            lanes = min(count, os.cpu_count() or 1)
            rates = await measure_concurrently(chosen, backend, browser, lanes, record.method, record.options)
            record.together.append(rates)


def exit_code(record: Record) -> int:
    """Return the exit code of a benchmark.

    Args:
        record: The benchmark.

    Returns:
        0 if real hardware computed, 2 if only software did, 1 for a wrong answer or for no answer.
    """
    verdicts = {cell.verdict for cell in record.measured}
    if not verdicts or any(cell.agreement is not None and not cell.agreement.passed for cell in record.measured):
        return FAILED
    return HARDWARE if verdicts & {"hardware", "mixed"} else SOFTWARE


def find_unfinished(matrix: Matrix, method: Method, options: dict[str, Any]) -> Record | None:
    """Return the latest unfinished benchmark of the same matrix and method, of this machine and version.

    Args:
        matrix: What to measure.
        method: How to measure.
        options: Options of the accelerators.

    Returns:
        The record; ``None`` if there is none. Other versions or machines would mix figures that cannot be compared.
    """
    here = (package_version(), revision(), machine()["id"])
    for record in _records():
        same = (record.command, record.method, record.options) == (matrix.to_dict(), method, options)
        if record.status == "finished" or not same:
            continue
        if (record.version, record.revision, record.machine.get("id")) == here:
            return record
    return None


def find_record(name: str) -> Record:
    """Return a benchmark by its name, or by the path of its file.

    Args:
        name: The name or path.

    Raises:
        BenchmarkError: There is no such benchmark.
    """
    for path in (Path(name), journals() / f"{name}.json"):
        if path.is_file():
            return read_record(path)
    known = [path.stem for path in _paths()][:5]
    hint = f"The latest: {', '.join(known)}." if known else "`webinfer bench` makes one."
    raise BenchmarkError(
        f"There is no benchmark {name!r}: it is no file, and {journals()} has none of that name. {hint}"
    )


def _records() -> Iterator[Record]:
    for path in _paths():
        with suppress(BenchmarkError):
            yield read_record(path)


def _paths() -> list[Path]:
    return sorted(journals().glob("*.json"), reverse=True)


def _remove_old() -> None:
    for path in _paths()[KEPT:]:
        path.unlink(missing_ok=True)

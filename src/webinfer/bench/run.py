"""A benchmark from the asking to the last row: begun or taken up again, measured, written down."""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from webinfer.bench import plan, storage
from webinfer.bench.concurrency import together
from webinfer.bench.plan import Ask
from webinfer.bench.record import Method, Record, read
from webinfer.bench.runner import Step, Tell, ahead, counting, measure
from webinfer.core import package_version
from webinfer.core.cache import cache_dir
from webinfer.core.errors import BenchmarkError
from webinfer.telemetry.database.machine import machine, revision

HARDWARE, FAILED, SOFTWARE = 0, 1, 2
KEPT = 20  # journals


def journals() -> Path:
    """Return the directory that benchmarks are kept in while they run, and after."""
    return cache_dir() / "benchmarks"


async def benchmark(
    ask: Ask,
    method: Method,
    tell: Tell,
    *,
    resume: bool = False,
    db_path: str | None = None,
    note: str | None = None,
    at_once: int = 1,
    options: dict[str, Any] | None = None,
) -> Record:
    """Measure.

    Args:
        ask: What.
        method: How.
        tell: Is told how far it is.
        resume: Take up the latest one that asked for the same and was not finished, if there is one.
        db_path: Database that it is written to at its end, finished or not, and each figure once.
        at_once: How many of the models to run at the same time besides, on as many lanes.
        note: What is done differently from what was asked, for every cell.
        options: Further options of the accelerators.

    Returns:
        What was found, which is also in ``journals()``.

    Raises:
        OptionError: There is no such option.
        DatabaseError: The database cannot be opened.
    """
    options = options or {}
    with storage.opened(db_path) as database:  # one that cannot be opened is said before the work, not after
        record = unfinished(ask, method, options) if resume else None
        taken_up = record is not None
        if record is None:
            seen = await plan.survey(ask.browsers, lambda text: tell(Step(text)), options)
            record = plan.begin(ask, method, seen, options)
            for cell in record.cells:
                cell.note = note
        path = journals() / f"{record.id}.json"
        tell = counting(record.cells, tell)
        tell(Step(f"{'take up' if taken_up else 'begin'} {record.id}", ahead=ahead(record)))
        try:
            await measure(record, path, tell, options)
            if at_once > 1:
                await _together(record, at_once, tell)
        except BaseException:
            record.status = "interrupted"
            raise
        finally:
            record.ended = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
            record.save(path)
            if database is not None:
                storage.write(database, record)
            _forget_old()
    return record


async def _together(record: Record, count: int, tell: Tell) -> None:
    """Run models at the same time, wherever enough of them could be run."""
    places: dict[tuple[str, str], list[str]] = {}
    for cell in record.measured:
        asked = cell.configuration
        places.setdefault((asked.backend, asked.browser), []).append(asked.model)
    record.together.clear()
    for (backend, browser), models in places.items():
        chosen = list(dict.fromkeys(models))[:count]
        if len(chosen) > 1:
            tell(Step(f"{len(chosen)} models at once: {backend} in {browser}"))
            lanes = min(count, os.cpu_count() or 1)
            record.together.append(await together(chosen, backend, browser, lanes, record.method, record.options))


def exit_code(record: Record) -> int:
    """Return 0 where some real hardware computed, 2 where only software did, 1 for a wrong answer, or for none.

    Args:
        record: The benchmark.
    """
    verdicts = {cell.verdict for cell in record.measured}
    if not verdicts or any(cell.agreement is not None and not cell.agreement.passed for cell in record.measured):
        return FAILED
    return HARDWARE if verdicts & {"hardware", "mixed"} else SOFTWARE


def unfinished(ask: Ask, method: Method, options: dict[str, Any]) -> Record | None:
    """Return the latest benchmark that asked for the same, here, of this version, and was not finished.

    Args:
        ask: What is to be measured.
        method: How.
        options: Options of the accelerators.
    """
    here = (package_version(), revision(), machine()["id"])
    for record in _records():
        asked = (record.command, record.method, record.options)
        if record.status == "finished" or asked != (ask.to_dict(), method, options):
            continue
        if (record.version, record.revision, record.machine.get("id")) == here:
            return record
    return None


def named(name: str) -> Record:
    """Return a benchmark by the name that it was given, or the path of its file.

    Args:
        name: The name or path.

    Returns:
        The benchmark.

    Raises:
        BenchmarkError: There is none.
    """
    path = Path(name)
    if path.is_file():
        return read(path)
    kept = journals() / f"{name}.json"
    if kept.is_file():
        return read(kept)
    known = [path.stem for path in _paths()][:5]
    hint = f"The latest: {', '.join(known)}." if known else "`webinfer bench` makes one."
    raise BenchmarkError(f"No benchmark {name!r}: it is neither a file nor one kept in {journals()}. {hint}")


def _records() -> Iterator[Record]:
    for path in _paths():
        with suppress(BenchmarkError):
            yield read(path)


def _paths() -> list[Path]:
    return sorted(journals().glob("*.json"), reverse=True)


def _forget_old() -> None:
    for path in _paths()[KEPT:]:
        path.unlink(missing_ok=True)

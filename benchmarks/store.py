"""What recording costs: requests of a copying model and of BERT-tiny, recorded and not, in turns on one accelerator.

A turn with the store on ends when its last row is on the disk, so nothing is put off until nobody counts. Then each row
is held against the result that its caller got, a flood shows what recording takes by itself, beyond the counters,
and a process that is killed while it records shows what a kill costs.
"""

from __future__ import annotations

import contextlib
import gc
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from benchmarks.measure import machine, parser, show
from webinfer import Accelerator, Model, Result, unrecorded
from webinfer.core.options import Options
from webinfer.core.statistics import bootstrap
from webinfer.models.zoo.probe import echo_model
from webinfer.telemetry.database.connection import connect
from webinfer.telemetry.database.store import Store
from webinfer.telemetry.recorder import Recorder

REQUESTS, ROUND, AT_ONCE = 40_000, 5_000, 16
TOKENS = 16
FLOOD, FLOODED = 10_000, 5  # rows a second, and for how long
TIMES = ("queue", "wait", "run", "transfer", "total")

Row: TypeAlias = tuple[Any, ...]

_KILLED = """
import sys, time
from webinfer.telemetry.database.store import Store
store, number = Store(sys.argv[1]), 0
while True:
    for _ in range(10):
        store.add("inferences", total=float(number))
        number += 1
    print(number, time.time(), flush=True)
    time.sleep(0.005)
"""


def turn(model: Model, given: Any, count: int) -> list[Result]:
    """Run requests, so many at once, and return their results."""
    results: list[Result] = []
    while len(results) < count:
        results += model.run_batch([given] * min(AT_ONCE, count - len(results)))
    return results


def told(result: Result) -> Row:
    """Return what a result says, as its row has to."""
    times = (getattr(result.times, name) for name in TIMES)
    counts = (result.items, result.batch, result.attempts)
    return (*times, *counts, result.model_sha256, result.backend, result.lane, result.verdict.kind)


def compare(
    accelerator: Accelerator, model: Model, given: Any, rounds: int, size: int
) -> tuple[list[float], list[float], list[Row]]:
    """Return items per second with the store on and off, in turns whose order changes, and what is to be recorded."""
    on: list[float] = []
    off: list[float] = []
    kept: list[Row] = []
    for number in range(rounds):
        for recorded in (number % 2 == 0, number % 2 == 1):
            gc.collect()  # so that no turn does it for those before
            began = time.perf_counter()
            with contextlib.nullcontext() if recorded else unrecorded():
                results = turn(model, given, size)
            if recorded:
                accelerator.query("SELECT 1")  # waits until all is on the disk
            (on if recorded else off).append(size / (time.perf_counter() - began))
            if recorded:
                kept += map(told, results)
    return on, off, kept


def differences(accelerator: Accelerator, expected: list[Row]) -> int:
    """Count the results that have no row with the same values, to the last bit."""
    columns = "queue, wait, run_time, transfer, total, items, batch, attempts, model_sha256, backend, lane, verdict"
    rows = accelerator.query(f"SELECT {columns} FROM results WHERE error_code IS NULL")
    left = {tuple(row.values()) for row in rows}
    return sum(each not in left for each in expected) + abs(len(rows) - len(expected))


def flood(result: Result, store: Store | None, seconds: float) -> float:
    """Take down ten thousand results a second, to the disk or not; returns the processor time that each takes."""
    recorder = Recorder()
    if store is not None:
        recorder.open(store, Options.of())
    began, spent, given = time.perf_counter(), time.process_time(), 0
    while (now := time.perf_counter() - began) < seconds:
        while given < now * FLOOD:
            recorder.answered(result)
            given += 1
        time.sleep(0.001)
    recorder.close()
    return (time.process_time() - spent) / given


def kill(path: Path, seconds: float) -> tuple[int, int, float]:
    """Kill a process that records; returns the rows that it gave, those found, and the seconds that are missing."""
    process = subprocess.Popen([sys.executable, "-c", _KILLED, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    said: list[tuple[int, float]] = []
    ends = float("inf")
    for line in process.stdout:
        number, at = line.split()
        said.append((int(number), float(at)))
        ends = min(ends, float(at) + seconds)
        if float(at) >= ends:
            process.send_signal(signal.SIGKILL)
            break
    process.communicate()
    connection = connect(path)
    (found,) = connection.execute("SELECT count(*) FROM inferences").fetchall()[0]
    connection.close()
    last = max((at for number, at in said if number <= found), default=said[0][1])
    return said[-1][0], found, said[-1][1] - last


def main() -> None:
    """Measure, and print."""
    asked = parser(__doc__).parse_args()
    rounds = max(2, REQUESTS // ROUND // (10 if asked.quick else 1))
    print(machine())
    ids = np.arange(1000, 1000 + TOKENS, dtype=np.int64)[None]
    text = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    measured: dict[str, tuple[Any, Any]] = {
        "a model that copies": (echo_model(), np.ones(16, np.float32)),
        f"BERT-tiny, {TOKENS} tokens": ("random:bert-tiny", text),
    }
    with tempfile.TemporaryDirectory() as place:
        rows = []
        for number, (title, (reference, given)) in enumerate(measured.items()):
            path = Path(place, f"{number}.duckdb")
            with Accelerator(browser=asked.browser, platform="wasm", db_path=path) as accelerator:
                model = accelerator.load(reference)
                with unrecorded():
                    turn(model, given, ROUND)
                on, off, expected = compare(accelerator, model, given, rounds, ROUND)
                wrong = differences(accelerator, expected)
                with unrecorded():
                    (result,) = turn(model, given, 1)
            ratio = bootstrap([a / b for a, b in zip(on, off, strict=True)])
            told = f"{ratio.estimate:.3f} ({ratio.low:.3f} to {ratio.high:.3f})"
            rows.append([title, *(f"{statistics.median(rates):,.0f}" for rates in (off, on)), told, f"{wrong}"])
        show(
            f"{len(expected):,} requests of each recorded, and as many not, in turns of {ROUND:,}, {AT_ONCE} at once",
            ["", "items/s, store off", "on, until on the disk", "on / off", "rows that differ from results"],
            rows,
        )
        lasts = 1 if asked.quick else FLOODED
        without, store = flood(result, None, lasts), Store(Path(place, "flood.duckdb"))
        cost, status = flood(result, store, lasts) - without, store.status
        title = f"A flood of {FLOOD:,} results a second, and a process killed while it records 2,000 a second"
        given, found, missing = kill(Path(place, "killed.duckdb"), 1 if asked.quick else 3)
        show(
            title,
            ["", "given", "found", "lost", ""],
            [
                [
                    *("flood", f"{status.written + status.dropped:,}", f"{status.written:,}", f"{status.dropped:,}"),
                    f"{cost * 1e6:.1f} us of a core for each, {cost * FLOOD:.0%} of it",
                ],
                ["kill -9", f"{given:,}", f"{found:,}", f"{given - found:,}", f"the last {missing:.2f} s"],
            ],
        )


if __name__ == "__main__":
    main()

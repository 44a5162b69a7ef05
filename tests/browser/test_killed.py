"""A process that is killed while its browser works and its results are recorded leaves a whole database behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest

from webinfer.telemetry.database.archive import contents
from webinfer.telemetry.database.connection import connect
from webinfer.telemetry.database.store import Store

pytestmark = [
    pytest.mark.browser("embedded"),
    pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL"),
]

_WORK = """
import sys, time
import numpy as np
from webinfer import Accelerator
from webinfer.models.zoo.probe import echo_model

accelerator = Accelerator(browser="embedded", platform="wasm", db_path=sys.argv[1])
model = accelerator.load(echo_model())
while True:
    result = model.run(np.ones(16, np.float32))
    print(time.monotonic(), result.times.total.hex(), flush=True)
"""
_WORKED = 2.0  # seconds of results before the kill, at least
_ENOUGH = 100  # results that must not be lost
_MAY_BE_LOST = 1.0  # seconds


def test_kill_costs_no_result_older_than_a_second_and_no_database(tmp_path: Path) -> None:
    path = tmp_path / "results.duckdb"
    (tmp_path / "t").mkdir()
    results, safe = _work_until_killed(path, {**os.environ, "TMPDIR": str(tmp_path / "t")})

    connection = connect(path)
    recorded = [total for (total,) in connection.execute("SELECT total FROM results ORDER BY id").fetchall()]
    connection.close()
    assert len(recorded) >= safe
    assert recorded[: len(results)] == [total for _, total in results][: len(recorded)]

    store = Store(path)  # and it goes on
    store.add("inferences", total=1.0)
    store.close()
    told = contents(path)
    assert (told.rows["inferences"], told.dropped, told.unended) == (len(recorded) + 1, 0, 1)


def _work_until_killed(path: Path, environment: dict[str, str]) -> tuple[list[tuple[float, float]], int]:
    """Return when each result was had and its total, in seconds, and how many the kill must not cost."""
    results: list[tuple[float, float]] = []
    safe = 0
    command = [sys.executable, "-c", _WORK, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as child:
        assert child.stdout is not None
        for line in child.stdout:
            when, total = line.split()
            results.append((float(when), float.fromhex(total)))
            if not safe and results[-1][0] - results[0][0] >= _WORKED and (old := _old(results)) >= _ENOUGH:
                child.send_signal(signal.SIGKILL)
                safe = old
    return results, safe


def _old(results: list[tuple[float, float]]) -> int:
    """Count what must be on the disk by now; a busy machine's longest hitch is granted to it too."""
    hitch = max(later - when for (when, _), (later, _) in pairwise(results))
    return sum(when < time.monotonic() - _MAY_BE_LOST - hitch for when, _ in results)

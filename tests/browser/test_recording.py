"""Every request becomes a row that says what its result said; metrics and rows agree."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper, numpy_helper

from tests.browser.conftest import Save, start
from webinfer import Accelerator, unrecorded
from webinfer.browsers.processes.process_tree import processes
from webinfer.core.errors import DatabaseDamaged, MissingInput, NotANumber, ShapeMismatch
from webinfer.inference.result import Result
from webinfer.telemetry.database.connection import connect

IDS = {"ids": [[1, 2, 3, 4, 5, 6]]}
TIMES = ("queue", "wait", "run", "transfer", "total")


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("database") / "results.duckdb"


@pytest.fixture(scope="module")
def recorded(database: Path) -> Iterator[Accelerator]:
    accelerator = start("embedded", db_path=database, platform="wasm")
    yield accelerator
    accelerator.close()


def rows(accelerator: Accelerator, query: str) -> list[dict[str, Any]]:
    return accelerator.query(query)


def test_rows_equal_results_exactly(recorded: Accelerator, save: Save) -> None:
    model = recorded.load(save(helper.make_node("Neg", ["x"], ["y"])))
    results = [model.run(np.ones(3, np.float32)) for _ in range(5)]
    results += model.run_batch([np.ones(2, np.float32)] * 5)
    found = rows(recorded, f"SELECT * FROM results WHERE model_sha256 = '{model.package.sha256}' ORDER BY id")
    assert len(found) == len(results)
    assert sorted(map(said, results)) == sorted(tuple(row[name] for name in SAID) for row in found)
    assert {row["model_cid"] for row in found} == {model.package.cid}
    assert all(row["error_code"] is None for row in found)
    assert results[0].decision is not None
    assert [json.loads(row["decision"]) for row in found] == [results[0].decision.to_dict()] * len(found)
    assert json.loads(found[0]["decision"])["taken"] == {"browser": "embedded", "backend": "wasm", "precision": "fp32"}


SAID = (
    *("queue", "wait", "run_time", "transfer", "total", "items", "batch", "attempts", "model_name", "model_sha256"),
    *("family", "weights", "asked", "backend", "precision", "browser_name", "engine", "engine_version", "runtime"),
    *("lane", "verdict"),
)


def said(result: Result) -> tuple[Any, ...]:
    times = [getattr(result.times, name) for name in TIMES]
    return (
        *times,
        *(result.items, result.batch, result.attempts, result.model, result.model_sha256, result.family),
        *(result.weights, result.asked, result.backend, result.precision, result.browser, result.engine),
        *(result.engine_version, result.runtime, result.lane, result.verdict.kind),
    )


def test_failed_requests_are_rows_with_their_codes(recorded: Accelerator, save: Save) -> None:
    model = recorded.load(save(helper.make_node("Sqrt", ["x"], ["y"])))
    with pytest.raises(NotANumber):
        model.run(np.full(2, -1, np.float32))
    with pytest.raises(MissingInput):
        model.run({})
    found = rows(recorded, f"SELECT error_code, lane FROM results WHERE model_sha256 = '{model.package.sha256}'")
    assert {row["error_code"] for row in found} == {NotANumber.code, MissingInput.code}


def test_unrecorded_requests_leave_no_row(recorded: Accelerator, save: Save) -> None:
    two = numpy_helper.from_array(np.ones(2, np.float32), "two")
    model = recorded.load(save(helper.make_node("Add", ["x", "two"], ["y"]), initializers=(two,)))
    before = recorded.metrics()["aggregate"]["total_inferences"]
    with unrecorded():
        model.run(np.ones(2, np.float32))
        model.run_batch([np.ones(2, np.float32)])
        model.submit(np.ones(2, np.float32)).result()
        with pytest.raises(ShapeMismatch):
            model.run(np.ones(3, np.float32))
    assert not rows(recorded, f"SELECT * FROM results WHERE model_sha256 = '{model.package.sha256}'")
    faults = f"SELECT * FROM faults WHERE model = '{model.package.sha256}'"
    assert not rows(recorded, faults)
    with pytest.raises(ShapeMismatch):
        model.run(np.ones(3, np.float32))
    assert len(rows(recorded, faults)) == 1
    assert recorded.metrics()["aggregate"]["total_inferences"] == before + 3


def test_metrics_agree_with_the_database(recorded: Accelerator, network: Path) -> None:
    models = [recorded.load(network, precision=precision) for precision in (None, "q8")]
    pending = [model.submit(IDS) for model in models for _ in range(10)]
    assert [future.result().items for future in pending] == [1] * 20
    metrics = recorded.metrics()
    name = models[0].name
    told = metrics["models"][name]
    by_hash = {model.package.sha256: model for model in models}
    assert told["variants"].keys() == by_hash.keys()
    assert told["throughput"] == pytest.approx(20 / busy(recorded, name), rel=0.01)
    agree(recorded, f"model_name = '{name}'", told)
    configurations = {
        row["precision"]: row
        for row in json.loads(recorded.report("json"))["configurations"]
        if row["model_name"] == name
    }
    for sha256, own in told["variants"].items():
        agree(recorded, f"model_sha256 = '{sha256}'", own)
        assert own["precision"] == by_hash[sha256].precision
        assert own["throughput"] == pytest.approx(configurations[own["precision"]]["throughput"], rel=0.01)
        assert 0 < own["loaded_mb"] < 1
        assert own["memory_usage"] == metrics["aggregate"]["total_memory_usage"] > 20  # one browser holds them all
    assert told["memory_usage"] == metrics["aggregate"]["total_memory_usage"]
    (loads,) = rows(recorded, "SELECT count(*) AS loads FROM loads WHERE error_code IS NULL")
    assert metrics["aggregate"]["total_models"] > 0
    assert metrics["bridge"]["bridge_stats"]["total_model_loads"] == loads["loads"]


def agree(accelerator: Accelerator, which: str, told: dict[str, Any]) -> None:
    (own,) = rows(
        accelerator,
        "SELECT count(*) AS runs, avg(run_time / batch) AS run, avg(total) AS total, quantile_disc(total, 0.5) AS p50 "
        f"FROM results WHERE error_code IS NULL AND {which}",
    )
    assert told["inferences"] == own["runs"]
    assert told["inference_time"] == pytest.approx(own["run"])
    assert told["latency"] == pytest.approx(own["total"])
    assert told["percentiles"]["latency"]["p50"] == pytest.approx(own["p50"], rel=0.01)


def busy(accelerator: Accelerator, name: str) -> float:
    """Return the seconds in which a request was under way, of those that are rows."""
    spans = rows(
        accelerator,
        "SELECT epoch(timestamp) - total AS began, epoch(timestamp) AS ended FROM results "
        f"WHERE error_code IS NULL AND model_name = '{name}' ORDER BY began",
    )
    seconds = reached = 0.0
    for span in spans:
        seconds += max(0.0, span["ended"] - max(span["began"], reached))
        reached = max(reached, span["ended"])
    return seconds


def test_browsers_loads_samples_and_the_run_are_rows(recorded: Accelerator, save: Save) -> None:
    recorded.load(save(helper.make_node("Neg", ["x"], ["y"]))).run(np.ones(2, np.float32))
    (browser,) = rows(recorded, "SELECT * FROM browsers")
    assert (browser["name"], browser["engine"], browser["ended"]) == ("embedded", "chromium", None)
    (run,) = rows(recorded, "SELECT machine, version, options ->> '$.platform' AS platform FROM runs")
    assert run["platform"] == "wasm"
    assert rows(recorded, "SELECT * FROM machines")[0]["id"] == run["machine"]
    assert rows(recorded, "SELECT * FROM loads WHERE seconds > 0 AND nbytes > 0")


def test_guides_views_have_the_guides_columns(recorded: Accelerator, save: Save) -> None:
    recorded.load(save(helper.make_node("Neg", ["x"], ["y"]))).run(np.ones(2, np.float32))
    row = rows(recorded, "SELECT * FROM webnn_webgpu_results")[0]
    assert (row["platform"], row["browser"], row["precision"]) == ("wasm", "embedded", 32)
    assert (row["is_real_implementation"], row["is_simulation"], row["energy_efficiency_score"]) == (True, False, None)
    connection = rows(recorded, "SELECT * FROM browser_connection_metrics")[0]
    assert connection["connection_success"]
    assert connection["heartbeat_failures"] == 0
    assert connection["models_executed"] >= 1


def test_memory_of_the_browser_is_measured_beside_its_requests(recorded: Accelerator, save: Save) -> None:
    model = recorded.load(save(helper.make_node("Neg", ["x"], ["y"])))
    model.run(np.ones(2, np.float32))
    for _ in range(200):  # a sample is taken in a thread, a moment after the first answer
        if found := rows(recorded, "SELECT max(memory_usage_mb) AS most FROM webnn_webgpu_results")[0]["most"]:
            break
        model.run(np.ones(2, np.float32))
    assert 20 < found < 20_000
    assert rows(recorded, "SELECT sum(items) AS items FROM samples")[0]["items"] > 0


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot stop a process")
def test_heartbeats_that_a_browser_missed_are_counted(tmp_path: Path, save: Save) -> None:
    with start("embedded", db_path=tmp_path / "r.duckdb", platform="wasm", heartbeat=0.5) as accelerator:
        model = accelerator.load(save(helper.make_node("Neg", ["x"], ["y"])))
        model.run(np.ones(2, np.float32))
        (browser,) = rows(accelerator, "SELECT id, pid FROM browsers WHERE ended IS NULL")
        for process in processes(browser["pid"]):
            process.suspend()
        assert model.run(np.ones(2, np.float32)).attempts == 2
        asked = f"SELECT lost, heartbeat_failures FROM browsers WHERE id = {browser['id']}"
        (told,) = rows(accelerator, asked)
    assert told["lost"]
    assert told["heartbeat_failures"] >= 3


def test_damaged_database_is_said_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "broken.duckdb").write_bytes(b"nothing of the kind" * 100)
    accelerator = start("embedded", db_path=tmp_path / "broken.duckdb")
    with pytest.raises(DatabaseDamaged):
        accelerator.start()
    accelerator.close()


def test_close_leaves_nothing_behind_to_write(tmp_path: Path, save: Save) -> None:
    path = tmp_path / "r.duckdb"
    with start("embedded", db_path=path, platform="wasm") as accelerator:
        accelerator.load(save(helper.make_node("Neg", ["x"], ["y"]))).run(np.ones(2, np.float32))
    connection = connect(path, read_only=True)
    assert connection.execute("SELECT count(*) FROM results").fetchall() == [(1,)]
    assert connection.execute("SELECT count(ended) FROM runs").fetchall() == [(1,)]
    assert connection.execute("SELECT lost FROM browsers").fetchall() == [(False,)]
    connection.close()


def test_accuracy_that_was_checked_is_a_row(tmp_path: Path, save: Save) -> None:
    with start("embedded", db_path=tmp_path / "r.duckdb", platform="wasm", accuracy="warn") as accelerator:
        model = accelerator.load(save(helper.make_node("Neg", ["x"], ["y"])))
        model.run_batch([np.ones(2, np.float32)] * 2)
        found = rows(accelerator, "SELECT model, metric, value, threshold, passed, nbytes FROM accuracy_checks")
    about = {"model": model.package.sha256, "passed": True, "nbytes": model.package.nbytes}
    assert found == [
        {"metric": "cosine", "value": pytest.approx(1.0), "threshold": 0.9999, **about},
        {"metric": "error", "value": pytest.approx(0.0), "threshold": 0.001, **about},
    ]

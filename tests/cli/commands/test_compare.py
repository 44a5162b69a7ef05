"""``webinfer compare``, over made-up benchmarks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.bench.records import WASM, WEBNN, record
from tests.cli.conftest import Call
from webinfer.bench import storage
from webinfer.bench.report.summary import SUMMARY
from webinfer.cli.commands.benchmarks.bench import write_files
from webinfer.telemetry.database.machine import machine
from webinfer.telemetry.database.store import Store


@pytest.fixture
def files(tmp_path: Path) -> Path:
    record(1).save(tmp_path / "a.json")
    record(2).save(tmp_path / "same.json")
    record(3, slower=1.3).save(tmp_path / "slower.json")
    record(4, launched=1).save(tmp_path / "one.json")
    return tmp_path


def test_only_a_real_regression_fails(call: Call, files: Path) -> None:
    limit = ("--fail-on", "10%", "--json")
    same = call("compare", str(files / "a.json"), str(files / "same.json"), *limit)
    slower = call("compare", str(files / "a.json"), str(files / "slower.json"), *limit)
    assert (same.code, same.object["failing"]) == (0, 0)
    assert (slower.code, slower.object["failing"]) == (1, 2)
    assert slower.object["findings"][0]["severity"] == "severe"
    assert (
        call("compare", str(files / "a.json"), str(files / "slower.json")).code == 0
    )  # without a limit, it only tells


def test_a_comparison_is_written_for_machines(call: Call, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SUMMARY, str(files / "summary.md"))
    arguments = ("--fail-on", "10", "--junit", str(files / "c.xml"), "--github-summary")
    assert call("compare", str(files / "a.json"), str(files / "slower.json"), *arguments).code == 1
    assert 'failures="2"' in (files / "c.xml").read_text()
    assert "**severely slower**" in (files / "summary.md").read_text()


def test_a_comparison_is_told_by_model_with_what_it_comes_to(call: Call, files: Path) -> None:
    other = record(5, cells=(WASM, replace(WEBNN, model="a-" * 60 + "z")))
    other.machine["id"] = "another"
    other.cells[0].status, other.cells[0].why = "failed", "something went wrong " * 12
    other.save(files / "other.json")
    lines = call("compare", str(files / "a.json"), str(files / "other.json"), "--fail-on", "10%").out.splitlines()
    assert lines[1] == "Comparison of B, made-up-5, with A, made-up-1"
    assert "random:bert-tiny" in lines
    results = [" ".join(line.split()) for line in lines if line.startswith("  w")]
    assert [result.split(" – ")[0] for result in results[:2]] == [
        "wasm in embedded no longer runs",
        "webnn in embedded only in A",
    ]
    start = next(at for at, line in enumerate(lines) if line.startswith("  wasm in embedded: something went wrong"))
    assert all(line.startswith("  ") for line in lines[start : start + 3])
    told = " ".join(" ".join(lines).split())
    assert "1 of 3 fail. A configuration fails if it is more than 10% slower" in told
    assert "A and B ran on different machines. Compare only the column Change." in told


def test_benchmarks_are_taken_from_a_database(call: Call, files: Path) -> None:
    path = str(files / "bench.duckdb")
    with storage.opened(path) as store:
        assert store is not None
        for seed in (1, 3):
            made = record(seed, slower=1.3 if seed == 3 else 1.0)
            made.started = f"2026-01-0{seed}T00:00:00+00:00"
            storage.write(store, made)
    answer = call("compare", "previous", "latest", "--db-path", path, "--json")
    assert (answer.object["a"], answer.object["b"]) == ("made-up-1", "made-up-3")


def test_one_launch_is_no_gate(call: Call, files: Path) -> None:
    answer = call("compare", str(files / "a.json"), str(files / "one.json"), "--fail-on", "10%")
    assert answer.code == 1
    assert "too few launches" in answer.err


def test_an_interrupted_benchmark_is_no_gate_but_can_be_looked_at(call: Call, files: Path) -> None:
    made = record(5)
    made.status, made.cells[0].status = "interrupted", "waiting"
    made.save(files / "interrupted.json")
    asked = ("compare", str(files / "a.json"), str(files / "interrupted.json"))
    answer = call(*asked, "--fail-on", "10%", "--junit", str(files / "none.xml"))
    assert answer.code == 1
    assert "--resume" in answer.err
    assert not (files / "none.xml").exists()
    told = call(*asked, "--json")
    assert (told.code, told.object["findings"][0]["kind"]) == (0, "unmeasured")
    assert "not measured yet in made-up-5" in " ".join(call(*asked).out.split())


def test_files_are_written_whatever_an_error_holds(call: Call, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = record(6)
    made.cells[0].status, made.cells[0].why = "failed", "boom\x00\udcff"
    monkeypatch.setenv(SUMMARY, str(files / "summary.md"))
    write_files(made, files / "bench.json", files / "bench.md", files / "bench.xml", github_summary=True)
    made.save(files / "kept.json")
    for name in ("bench.json", "bench.md", "bench.xml", "summary.md", "kept.json"):
        assert "boom" in (files / name).read_text(encoding="utf-8"), name


@pytest.mark.parametrize("text", ["ten", "-1%", "nan"])
def test_a_limit_that_is_none_is_a_usage_error(call: Call, files: Path, text: str) -> None:
    assert call("compare", str(files / "a.json"), str(files / "same.json"), f"--fail-on={text}").code == 2


def test_an_unknown_name_says_what_there_is(call: Call, files: Path) -> None:
    answer = call("compare", "nothing", str(files / "a.json"))
    assert answer.code == 1
    assert "nothing" in answer.err


def test_a_history_says_since_when_something_is_slower(call: Call, tmp_path: Path) -> None:
    path = str(tmp_path / "history.duckdb")
    with storage.opened(path) as store:
        assert store is not None
        for day in range(1, 15):
            made = record(day, slower=1.0 if day < 8 else 1.3, launched=1)
            made.id, made.started, made.machine = f"day-{day}", f"2026-01-{day:02}T00:00:00+00:00", machine()
            storage.write(store, made)
    found = call("history", "--db-path", path, "--json").object["configurations"]
    (change,) = found["random:bert-tiny, wasm in embedded"]["changes"]
    assert change["since"] == "day-8"
    assert change["change"] == pytest.approx(0.3, abs=0.05)
    assert change["severity"] == "severe"
    assert change["low"] < change["change"] < change["high"]
    assert change["effect"] == 1
    told = call("history", "--db-path", path).out
    assert "day-8" in told
    assert "severe" in told


def test_a_history_says_where_there_is_too_little_to_tell(call: Call, tmp_path: Path) -> None:
    path = str(tmp_path / "short.duckdb")
    Store(path).close()
    told = "".join(call("history", "--db-path", path).out.split())  # lines end anywhere in a long path
    said = f"{path} has no measurement of this machine: webinfer bench --db-path {path} adds some."
    assert told == said.replace(" ", "")
    with storage.opened(path) as store:
        assert store is not None
        made = record(1)
        made.machine = machine()
        storage.write(store, made)
    told = call("history", "--db-path", path).out
    assert (told.count("too few:"), told.count("needs 6")) == (2, 2)

"""Reports say what the database holds, of nothing too, and no text of it can break the page."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from webinfer.core.errors import OptionError
from webinfer.telemetry.database.connection import MEMORY, connect
from webinfer.telemetry.database.store import Store
from webinfer.telemetry.report import FORMATS, report

EVIL = "a/<script>alert('1')</script>|b\\|c"


def two_runs(path: Path) -> Path:
    """Write a database of two runs with two configurations, a failure and a fault."""
    store = Store(path)
    for factor in (1.0, 2.0):
        run = store.add("runs", machine="m", started=store.clock.now(), revision="abc")
        for backend in ("wasm", "webnn"):
            session = store.add(
                "sessions",
                run=run,
                model_name=EVIL,
                backend=backend,
                precision="fp32",
                browser_name="embedded",
                verdict="software",
                evidence=["it says so"],
                weights="random",
                placement={"nodes": {backend: 9, "cpu": 1}, "fallen": {"Shape": 1}},
            )
            for number in range(1, 101):
                spent = dict.fromkeys(("queue", "wait", "transfer"), 0.0)
                run_time = factor * number / 1000
                store.add(
                    "inferences",
                    **{"run": run, "session": session, "run_time": run_time, "total": run_time, **spent},
                    **dict.fromkeys(("items", "batch", "attempts"), 1),
                )
        store.add("inferences", run=run, session=session, error_code="nan", error="It is NaN.")
        store.add("faults", run=run, kind="lane", code="lost.lane", reason="gone")
        store.add("recoveries", run=run, kind="lane", seconds=0.5)
    store.close()
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return two_runs(tmp_path / "results.duckdb")


def cells(line: str) -> list[str]:
    """Read a line of a table as Markdown does: a bar after a backslash parts no cells."""
    inner = line.removeprefix("|").removesuffix("|")
    return [re.sub(r"\\([\\|<])", r"\1", cell).strip() for cell in re.findall(r"((?:\\.|[^\\|])*)(?:\||$)", inner)][:-1]


def write(path: Path | str, format: str) -> str:
    connection = connect(path)
    try:
        return report(connection, format, path=str(path))
    finally:
        connection.close()


def test_figures_are_those_of_the_rows(path: Path) -> None:
    found = json.loads(write(path, "json"))
    assert (found["summary"]["answered"], found["summary"]["failed"]) == (400, 2)
    wasm = next(row for row in found["configurations"] if row["backend"] == "wasm")
    assert (wasm["requests"], wasm["failed"]) == (200, 0)
    assert wasm["p50"] == pytest.approx(0.067, abs=0.002)
    assert [(row["error_code"], row["times"]) for row in found["failures"]] == [("nan", 2)]
    assert [(row["code"], row["times"]) for row in found["faults"]] == [("lost.lane", 2)]
    assert [row["change"] for row in found["earlier"]] == pytest.approx([1.0, 1.0])
    assert sum(row["count"] for row in found["distributions"]) == 400
    assert len(found["placement"]) == 2


def test_random_weights_and_software_are_said_first(path: Path) -> None:
    written = write(path, "markdown")
    assert "Random weights" in written
    assert "No hardware acceleration" in written


def test_markdown_tables_stay_tables_whatever_a_model_is_called(path: Path) -> None:
    tables = re.findall(r"(?:^\|.*\n)+", write(path, "markdown"), re.MULTILINE)
    named = 0
    for table in tables:
        head, rule, *rows = (cells(line) for line in table.splitlines())
        assert {len(row) for row in (rule, *rows)} == {len(head)}, table
        named += sum(EVIL in row for row in rows)
    assert named == 11  # two rows in each of five tables, and a failure


def test_page_needs_nothing_else_and_no_text_ends_its_script(path: Path) -> None:
    page = write(path, "html")
    assert EVIL not in page
    assert page.count("<script") == 2
    assert not re.search(r"""(src|href)=["']https?:""", page)
    data = page.partition('type="application/json">')[2].partition("</script>")[0]
    assert json.loads(data)["configurations"][0]["model_name"] == EVIL


@pytest.mark.parametrize("format", FORMATS)
def test_report_of_nothing_says_so(format: str) -> None:
    assert "nothing to report" in write(MEMORY, format)


def test_unknown_format_is_named() -> None:
    with pytest.raises(OptionError, match="pdf"):
        write(MEMORY, "pdf")


def test_of_what_was_measured_several_times_the_newest_counts_whatever_its_id(tmp_path: Path) -> None:
    store = Store(path := tmp_path / "r.duckdb")
    known = {"model_name": "bert-tiny", "backend": "webnn", "precision": "fp32"}
    for id, moment, value in ((30, 1.8e9, 0.5), (20, 1.8e9 + 2, 0.25), (10, 1.8e9 + 1, 0.125)):
        at = {"id": id, "timestamp": moment, "value": value, **known}
        benchmark = store.add("benchmarks", name=f"b{id}", started=moment)
        store.add("measurements", **at, benchmark=benchmark, metric="time_per_item", unit="s", low=value, high=value)
        store.add("accuracy_checks", **at, metric="cosine")
    store.close()
    found = json.loads(write(path, "json"))
    assert [(row["time"], row["low"], row["throughput"]) for row in found["benched"]] == [(0.25, 0.25, 4)]
    assert [row["value"] for row in found["accuracy"]] == [0.25]


def test_benchmarks_that_all_failed_are_told_and_not_called_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "r.duckdb")
    benchmark = store.add("benchmarks", name="b", started=store.clock.now())
    store.add("measurements", benchmark=benchmark, model_name="bert-tiny", error="backend.unavailable: no WebNN")
    store.close()
    text = write(tmp_path / "r.duckdb", "markdown")
    assert "nothing to report" not in text
    assert "> Nothing was measured: every benchmark in this database failed." in text
    assert "| `backend.unavailable` | bert-tiny |  | 1 | no WebNN |" in text


def test_a_report_of_some_runs_has_the_benchmarks_made_since(tmp_path: Path) -> None:
    store = Store(path := tmp_path / "r.duckdb")
    runs = [store.add("runs", machine="m", started=moment) for moment in (1.8e9, 1.8e9 + 100)]
    for name, moment in (("before", 1.8e9 - 1), ("between", 1.8e9 + 1), ("after", 1.8e9 + 101)):
        benchmark = store.add("benchmarks", name=name, machine="m", started=moment)
        store.add("measurements", benchmark=benchmark, model_name=name, metric="time_per_item", value=1.0)
        store.add("measurements", benchmark=benchmark, model_name=name, error=f"lost.lane: {name}")
    store.close()
    connection = connect(path, read_only=True)
    for chosen, names in ((None, ["after", "before", "between"]), (runs, ["after", "between"]), (runs[1:], ["after"])):
        found = json.loads(report(connection, "json", runs=chosen))
        for section in ("benched", "failures"):
            assert sorted(row["model_name"] for row in found[section]) == names, section
        assert sorted(row["name"] for row in found["benchmarks"]) == names
    connection.close()


@pytest.mark.parametrize("format", FORMATS)
def test_benchmark_alone_is_reported(tmp_path: Path, format: str) -> None:
    store = Store(tmp_path / "r.duckdb")
    store.add("machines", id="m", cpu="the processor", cores=2, memory_mb=1000, os="Linux", python="3.11")
    benchmark = store.add("benchmarks", name="b", started=store.clock.now(), machine="m")
    known = {"benchmark": benchmark, "model_name": "bert-tiny", "backend": "webnn", "precision": "fp32"}
    # Of two at once the newest counts, and ids of several processes are in no order.
    for number, level, seconds in ((30, 1, 0.5), (20, 2, 0.25), (10, 2, 0.125)):
        about = {**known, "concurrency": level, "timestamp": 1.8e9 - number}
        store.add("measurements", id=number, **about, metric="time_per_item", unit="s", value=seconds)
        store.add("measurements", id=number + 2, **about, metric="native_time", unit="s", value=seconds / 3)
        store.add("measurements", id=number + 1, **about, metric="time_over_native", unit="1", value=3.0)
    store.add("measurements", **known, concurrency=3, error="backend.unavailable: no WebNN")
    store.close()
    text = write(tmp_path / "r.duckdb", format)
    assert "nothing to report" not in text
    if format == "markdown":
        assert [
            line for line in text.splitlines() if line.startswith("| bert-tiny | webnn | fp32 |") and "ms" in line
        ] == [
            "| bert-tiny | webnn | fp32 |  | 1 | 500 ms | 2 | 167 ms | 3 |  |  |  |  |  |  |",
            "| bert-tiny | webnn | fp32 |  | 2 | 125 ms | 8 | 41.7 ms | 3 |  |  |  |  |  |  |",
        ]
        assert "Machine: the processor, 2 cores" in text
        assert "| `backend.unavailable` | bert-tiny | webnn | 1 | no WebNN |" in text

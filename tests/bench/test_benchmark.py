"""A whole benchmark in a real browser, small: measured, interrupted, taken up again, written down."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from webinfer.bench import Matrix, Method, benchmark, exit_code, read_record, storage
from webinfer.bench.measurement.runner import BenchmarkStep

pytestmark = [pytest.mark.browser("embedded"), pytest.mark.timeout(600)]

TINY = Method(launches=2, least=2, most=2, turn=0.02, patience=10, sequence=8)


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep benchmarks apart from the user's own."""
    monkeypatch.setattr("webinfer.bench.run.journals", lambda: tmp_path / "journals")
    return tmp_path / "journals"


def test_a_benchmark_measures_verifies_explains_and_is_kept(tmp_path: Path, kept: Path) -> None:
    models = ("random:bert-tiny", "random:gpt2-tiny", "no-such-model")
    ask = Matrix(models=models, browsers=("embedded", "edge"), platforms=("wasm",))
    said: list[BenchmarkStep] = []
    path = str(tmp_path / "b.duckdb")
    record = asyncio.run(benchmark(ask, TINY, said.append, db_path=path, at_once=2, note="a note"))
    measured, absent, _, _, *unknown = record.cells
    assert record.status == "finished"
    assert exit_code(record) == 2  # WebAssembly is software
    assert measured.status == "measured"
    assert [(turn.launch, turn.round) for turn in measured.turns] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert measured.agreement is not None
    assert measured.agreement.passed
    assert (len(measured.starts), len(measured.cold), len(measured.warm)) == (2, 2, 1)
    assert measured.cached[0].stored == measured.cached[0].nbytes > 0
    assert measured.memory_mb
    assert measured.memory_mb > 50
    assert len(record.yardstick) == 2 * 4
    (together,) = record.together
    assert together.models == list(models[:2])
    assert len(together.alone) == len(together.together) == 2
    assert min(*together.alone, *together.together) > 0
    reference = record.reference(measured)
    assert reference is not None
    assert len(reference.turns) == 4
    assert absent.status == "cannot"
    assert "edge" in str(absent.why)
    assert [cell.status for cell in unknown] == ["cannot", "cannot"]
    assert "no-such-model" in str(unknown[0].why)
    assert storage.load(path, "latest") == record
    assert read_record(kept / f"{record.id}.json") == record
    assert any(step.block for step in said)


def test_a_run_that_takes_too_long_is_told_in_terms_of_the_patience() -> None:
    ask = Matrix(models=("random:bert-tiny",), browsers=("embedded",), platforms=("wasm",))
    record = asyncio.run(benchmark(ask, Method(launches=1, patience=1e-6), lambda _: None))
    (cell,) = record.cells
    assert (cell.status, cell.code) == ("cannot", "deadline")
    assert cell.why == "A run took over 4e-06 s, 4 times the patience of 1e-06 s (`webinfer bench --patience`)."


def test_an_interrupted_benchmark_is_taken_up_where_it_was_and_each_figure_written_once(
    tmp_path: Path, kept: Path
) -> None:
    path = str(tmp_path / "b.duckdb")
    ask = Matrix(models=("random:bert-tiny", "random:gpt2-tiny"), browsers=("embedded",), platforms=("wasm",))
    method = Method(launches=1, least=2, most=2, turn=0.02, patience=4, sequence=8)

    def stop_at_the_second(step: BenchmarkStep) -> None:
        if step.block and step.block[0].configuration.model == "random:gpt2-tiny" and step.block[0].turns:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(benchmark(ask, method, stop_at_the_second, db_path=path))
    (journal,) = kept.glob("*.json")
    left = read_record(journal)
    assert storage.load(path, "latest") == left
    assert (left.status, [cell.status for cell in left.cells]) == ("interrupted", ["measured", "waiting"])
    assert not left.cells[1].turns
    said: list[BenchmarkStep] = []
    record = asyncio.run(benchmark(ask, method, said.append, resume=True, db_path=path))
    assert (record.id, record.status) == (left.id, "finished")
    assert record.cells[0] == left.cells[0]
    assert record.cells[1].status == "measured"
    assert [(step.done, step.total) for step in (said[0], said[-1])] == [(1, 2), (2, 2)]
    assert said[0].ahead == pytest.approx(2 * 4 * 4 / 3)
    assert [len(known) for known in storage.history(path).values()] == [1, 1]
    assert storage.load(path, "latest") == record


def test_the_command_exits_with_2_for_software_and_130_when_interrupted(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "webinfer", "bench", "--model", "random:bert-tiny", "--sequence", "8"]
    quick = ["--platform", "wasm", "--browser", "embedded", "--quick", "--patience", "2", "--json"]
    done = subprocess.run([*command, *quick], capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert json.loads(done.stdout)["cells"][0]["status"] == "measured"
    wrong = subprocess.run([*command, "--browser", "netscape"], capture_output=True, text=True)
    assert wrong.returncode == 2
    assert "browser must be one of auto, embedded" in wrong.stderr
    assert "not 'netscape'" in wrong.stderr
    with subprocess.Popen([*command, *quick, "--patience", "60"], stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        next(line for line in running.stderr if "launch 1" in line)
        os.kill(running.pid, signal.SIGINT)
        left = running.stderr.read()
        assert "Interrupted; nothing is left running. 0 of 1 configurations are done. The same command" in left
        assert running.wait() == 130

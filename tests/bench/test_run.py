"""Beginning, interrupting and taking up, with measuring itself left out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.bench.records import WASM, WEBNN
from webinfer.bench import Cell, Matrix, Method, Record, benchmark, read_record
from webinfer.bench.measurement.runner import BenchmarkStep, BlockMeasurement
from webinfer.bench.plan import SurveyedBrowser
from webinfer.bench.record import ConcurrentRates

ASK = Matrix(models=("random:bert-tiny", "random:gpt2-tiny"), browsers=("embedded",), platforms=("wasm",))


class Stopped(BaseException):
    """As Ctrl-C, but for the event loop, which it leaves alone."""


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where benchmarks are kept that find a browser and measure nothing in it."""

    async def survey(names: Any, tell: Any, options: Any) -> dict[str, SurveyedBrowser]:
        return {name: SurveyedBrowser(name=name) for name in names}

    async def measure(record: Record, path: Path, tell: Callable[[BenchmarkStep], None], options: Any) -> None:
        for cell in record.cells:
            cell.status = "measured"
        record.status = "finished"

    monkeypatch.setattr("webinfer.bench.run.journals", lambda: tmp_path)
    monkeypatch.setattr("webinfer.bench.run.plan.survey", survey)
    monkeypatch.setattr("webinfer.bench.run.measure", measure)
    return tmp_path


async def test_no_part_of_a_block_is_done_before_its_last_load(monkeypatch: pytest.MonkeyPatch) -> None:
    class Contestant:
        def __init__(self, cell: Cell) -> None:
            self.cell = cell
            self.done = False

        async def open(self) -> None:
            pass

        async def turn(self, launch: int, number: int) -> None:
            pass

        async def load_cached(self) -> None:
            if self.cell is cells[1]:
                raise Stopped

        async def close(self) -> None:
            pass

    cells = [Cell(configuration=each) for each in (WASM, WEBNN)]
    block = BlockMeasurement(Record(id="r"), cells, lambda step: None, {})
    monkeypatch.setattr(block, "_contestants", lambda: ([], [Contestant(cell) for cell in cells]))
    with pytest.raises(Stopped):
        await block.run()
    assert [cell.status for cell in cells] == ["waiting", "waiting"]


def test_one_that_was_interrupted_while_models_ran_at_once_is_not_finished(
    kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def interrupted(*_: Any) -> ConcurrentRates:
        raise KeyboardInterrupt

    async def concurrent(models: list[str], *_: Any) -> ConcurrentRates:
        return ConcurrentRates(models=models, place="", lanes=2, alone=[1.0, 1.0], together=[1.0, 1.0])

    def run(resume: bool) -> Record:
        return asyncio.run(benchmark(ASK, Method(), lambda step: None, resume=resume, at_once=2))

    monkeypatch.setattr("webinfer.bench.run.measure_concurrently", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(resume=False)
    (path,) = kept.glob("*.json")
    assert (read_record(path).status, read_record(path).ended is None) == ("interrupted", False)
    monkeypatch.setattr("webinfer.bench.run.measure_concurrently", concurrent)
    record = run(resume=True)
    assert (record.id, record.status, len(record.together)) == (path.stem, "finished", 1)
    assert run(resume=True).id != record.id  # there is nothing left to take up

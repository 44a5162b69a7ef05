"""What the correctness gate keeps of an outcome, and what it does not; see also ``browser/test_gate.py``."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

from webinfer.accuracy import outcome as accuracies
from webinfer.accuracy.bounded.runs import NativeRuns
from webinfer.api.admission import gate
from webinfer.api.admission.gate import NO_FREEDOM, Freedom, Gate
from webinfer.core.errors import (
    AccuracyError,
    BrowserLost,
    DeadlineExceeded,
    LaneLost,
    LaunchFailed,
    NotANumber,
    OutOfMemory,
    PoolClosed,
    QueueFull,
    RunFailed,
    WebinferError,
)
from webinfer.core.options import Options
from webinfer.core.placement import LaneId
from webinfer.inference.route import Choice
from webinfer.models.sources.resolve import resolve


class Canned:
    """A model that answers the canaries as it is told to."""

    name, precision, backend = "m", "fp32", "webnn"

    def __init__(self, path: Path, answer: WebinferError | float) -> None:
        self.package = resolve(path)
        self.loaded = SimpleNamespace(lane="b1.1")
        self.closed = False
        self.accuracy: Any = None
        self._answer = answer
        self.choice = Choice("webnn", "webnn", None)
        self.observer = SimpleNamespace(checked=lambda *_: None)
        self.requests = SimpleNamespace(
            build_internal=lambda inputs: (SimpleNamespace(inputs=inputs, timeout=None), None),
            padding=SimpleNamespace(note_texts=lambda texts: None),
        )
        self.notes: list[str] = []
        checks = SimpleNamespace(
            engines=lambda _: (),
            note_accuracy=lambda _, accuracy, is_lasting: setattr(self, "accuracy", accuracy),
            note_fault=lambda _, fault: self.notes.append(fault),
            note_unchecked=lambda reason: self.notes.append(f"unchecked: {reason}"),
        )
        self.sessions = SimpleNamespace(capture=SimpleNamespace(open=False))
        self.results = SimpleNamespace(complete_at=self._complete, checks=checks)

    async def _complete(self, request: Any, _: Any, lane: Any) -> Any:
        if isinstance(self._answer, WebinferError):
            raise self._answer
        return SimpleNamespace(outputs={"y": self._answer * request.inputs["x"]}, captured=False), ()

    async def load(self) -> None:
        self.closed = False

    async def close(self) -> None:
        self.closed = True


@pytest.fixture
def path(tmp_path: Path) -> Path:
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, 4)) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", values[:1], values[1:])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "model.onnx"
    )
    return tmp_path / "model.onnx"


@pytest.fixture(autouse=True)
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(accuracies, "cache_dir", lambda: tmp_path / "memory")
    monkeypatch.setattr(gate, "combination", lambda model, lane: {"model": model.package.sha256})
    return tmp_path / "memory" / "accuracy"


def admit(model: Any, mode: Any, others: Any = None, freedom: Freedom = NO_FREEDOM) -> Any:
    seen = SimpleNamespace(engine="e", engine_version="1", backends=("webgpu", "webnn", "wasm"))
    verdict = SimpleNamespace(kind="hardware")
    lane: Any = SimpleNamespace(
        id=LaneId("b1", 1), browser_name="b", runtime="r", capabilities=seen, verdict=lambda _: verdict
    )
    pool: Any = SimpleNamespace(lanes={lane.id: lane})

    async def make(package: Any, choice: Any) -> Any:
        return others(choice)

    async def finer() -> Any:
        for nothing in list[Any]():
            yield nothing

    return asyncio.run(Gate(pool, Options(accuracy=mode), NativeRuns()).admit(model, make, finer, freedom))


PASSING = [LaneLost, BrowserLost, DeadlineExceeded, LaunchFailed, OutOfMemory]


@pytest.mark.parametrize("error", PASSING)
def test_what_does_not_answer_is_refused_and_asked_again_the_next_time(path: Path, memory: Path, error: Any) -> None:
    model = Canned(path, error("it is gone"))
    with pytest.raises(AccuracyError, match="does not answer: the canaries were not answered: it is gone"):
        admit(model, "raise")
    assert model.closed
    assert not memory.exists()
    again = Canned(path, 1.0)
    assert admit(again, "raise") is again


@pytest.mark.parametrize("answer", [RunFailed("no kernel"), NotANumber("NaN"), 1.05])
def test_what_answers_wrongly_stays_refused(path: Path, memory: Path, answer: Any) -> None:
    for each in (answer, 1.0):  # the second one is not asked
        with pytest.raises(AccuracyError, match="does not compute what native onnxruntime does"):
            admit(Canned(path, each), "raise")
    assert len(list(memory.iterdir())) == 1


def test_another_backend_takes_the_place_of_one_that_does_not_answer(path: Path) -> None:
    model = Canned(path, LaneLost("it is gone"))
    taken = []

    def other(choice: Choice) -> Canned:
        taken.append((choice.backend, choice.reason))
        if choice.backend == "webgpu":
            raise LaneLost("gone again")
        return Canned(path, 1.0)

    assert admit(model, "fallback", other).name == "m"
    why = "m in fp32 on webnn does not answer: the canaries were not answered: it is gone"
    assert taken == [("webgpu", why), ("wasm", f"{why}; fp32 on webgpu cannot be loaded: gone again")]


def test_warning_is_all_that_a_caller_gets_who_wants_no_more(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = Canned(path, LaneLost("it is gone"))
    assert admit(model, "warn") is model
    assert "does not answer: the canaries were not answered: it is gone" in caplog.text


@pytest.mark.parametrize("error", [LaneLost, LaunchFailed])
def test_backend_that_cannot_be_judged_is_passed_over_and_closed(
    path: Path, monkeypatch: pytest.MonkeyPatch, error: Any
) -> None:
    first, second, third = Canned(path, 1.05), Canned(path, 1.0), Canned(path, 1.0)
    judge, others = Gate.judge, iter((second, third))

    async def fail(self: Gate, model: Any) -> Any:
        if model is second:
            raise error("no lane is up")
        return await judge(self, model)

    monkeypatch.setattr(Gate, "judge", fail)
    second.precision = third.precision = "q8"  # whose outcome is another
    monkeypatch.setattr(gate, "combination", lambda model, lane: {"precision": model.precision})
    assert admit(first, "fallback", lambda _: next(others)) is third
    assert (first.closed, second.closed, third.closed) == (True, True, False)


@pytest.mark.parametrize("error", [PoolClosed, QueueFull])
def test_what_the_caller_did_meanwhile_accuses_nobody(path: Path, memory: Path, error: Any) -> None:
    model = Canned(path, error("closed, or full"))
    with pytest.raises(error):
        admit(model, "fallback")
    assert model.closed
    assert not memory.exists()


# The mode auto


def test_named_backend_answers_with_a_note(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = Canned(path, 1.05)
    assert admit(model, "auto") is model
    assert not model.closed
    (note,) = model.notes
    assert note.startswith("m in fp32 on webnn does not compute what native onnxruntime does: y is off by 0.05")
    assert note in caplog.text
    assert model.accuracy.status == "checked"


def test_chosen_backend_that_is_wrong_is_replaced_by_the_next(path: Path) -> None:
    model, other = Canned(path, 1.05), Canned(path, 1.0)
    other.precision = "other"  # whose outcome is another
    taken: list[str] = []

    def load(choice: Choice) -> Canned:
        taken.append(choice.backend)
        return other

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gate, "combination", lambda model, lane: {"precision": model.precision})
        assert admit(model, "auto", load, Freedom(backend=True)) is other
    assert taken == ["webgpu"]
    assert model.closed
    assert other.notes == []


def test_model_that_no_backend_computes_answers_with_a_note(path: Path) -> None:
    model, again = Canned(path, 1.05), Canned(path, 1.05)

    def load(choice: Choice) -> Canned:
        if choice.backend == "webnn":
            return again
        raise LaneLost("it is gone")

    assert admit(model, "auto", load, Freedom(backend=True)) is again
    assert model.closed
    assert not again.closed
    assert "does not compute what native onnxruntime does" in again.notes[0]


def test_wrong_precision_of_a_list_leaves_the_next_to_loading(path: Path) -> None:
    model = Canned(path, 1.05)
    with pytest.raises(AccuracyError, match="does not compute"):
        admit(model, "auto", None, Freedom(listed=True))
    assert model.closed


@pytest.mark.parametrize("error", [QueueFull, DeadlineExceeded])
def test_canaries_without_an_answer_in_time_leave_the_model_unchecked(path: Path, memory: Path, error: Any) -> None:
    model = Canned(path, error("no time"))
    assert admit(model, "auto", None, Freedom(backend=True)) is model
    assert model.accuracy.status == "unchecked: the canaries were not answered: no time"
    assert not memory.exists()


def test_model_without_a_lane_to_compare_it_on_is_unchecked(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: Any) -> Any:
        raise LaneLost("no lane is up")

    monkeypatch.setattr(Gate, "judge", fail)
    model = Canned(path, 1.0)
    assert admit(model, "auto") is model
    assert model.notes == ["unchecked: no lane could compare it: no lane is up"]
    assert not model.closed
    with pytest.raises(LaneLost):
        admit(model, "raise")
    assert model.closed


def test_gate_that_is_off_says_so(path: Path) -> None:
    model = Canned(path, 1.05)
    assert admit(model, "off") is model
    assert model.notes == ["unchecked: the option accuracy is off"]

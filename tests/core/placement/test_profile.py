from __future__ import annotations

from typing import Any

import pytest

from webinfer.core.placement import Operator, OperatorReport, PhaseReport, Phases, Profile


def told(operator: str, provider: str, ms: float | None, nodes: float = 1) -> OperatorReport:
    return OperatorReport(operator=operator, provider=f"{provider}ExecutionProvider", nodes=nodes, ms=ms)


def test_the_parts_are_those_of_one_run_in_the_middle() -> None:
    runs = [PhaseReport(upload=1.0, run=length, readback=2.0, total=length + 3) for length in (50.0, 10.0, 20.0)]
    phases = Profile.of("wasm", runs, []).phases
    assert phases == Phases(upload=0.001, run=0.02, readback=0.002)
    assert phases.total == pytest.approx(0.023)


def test_operators_go_by_time_and_those_without_one_come_last() -> None:
    operators = [
        told("Memcpy", "WebGpu", None),
        told("Mod", "CPU", 0.5),
        told("Neg", "WebGpu", 2.0),
        told("X", "New", 1),
    ]
    profile = Profile.of("webgpu", [], operators)
    assert profile.phases is None
    assert [(each.name, each.backend) for each in profile.operators] == [
        ("Neg", "webgpu"),
        ("X", "NewExecutionProvider"),
        ("Mod", "wasm"),
        ("Memcpy", "webgpu"),
    ]
    assert profile.timed == profile.operators[:3]
    assert profile.operators[0] == Operator(name="Neg", backend="webgpu", nodes=1, seconds=0.002)
    assert profile.untold is None


@pytest.mark.parametrize(
    ("backend", "operators", "sentence"),
    [
        ("wasm", [], "The runtime tells of no operator on wasm."),
        (
            "webnn",
            [told("compiled graph", "WebNN", None)],
            "WebNN compiles its nodes into one graph, and tells no time of what is inside.",
        ),
        (
            "webgpu",
            [told("Neg", "WebGpu", None)],
            "The runtime does not tell how long operators take on webgpu: the device has no clock for it.",
        ),
    ],
    ids=["none", "webnn", "webgpu"],
)
def test_what_is_not_told_is_said_in_a_sentence(backend: Any, operators: list[Any], sentence: str) -> None:
    assert Profile.of(backend, [], operators).untold == sentence

from __future__ import annotations

from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper
from rich.console import Console
from rich.theme import Theme

from tests.cli.conftest import Call
from webinfer.cli.views.explain import account as explain_view
from webinfer.cli.views.explain.account import Account
from webinfer.cli.views.explain.reasons import reasons
from webinfer.core.capabilities import Verdict
from webinfer.core.errors import BackendUnavailable
from webinfer.core.placement import COMPILED, Operator, Phases, Placement, Profile


@pytest.fixture
def patchwork(tmp_path: Path) -> Path:
    """Three nodes, of which WebNN has no kernel for the one in the middle."""
    nodes = [
        helper.make_node("Neg", ["x"], ["a"]),
        helper.make_node("Mod", ["a", "two"], ["b"], fmod=1),
        helper.make_node("Relu", ["b"], ["y"]),
    ]
    x, y = (helper.make_tensor_value_info(name, 1, [4]) for name in "xy")
    two = onnx.numpy_helper.from_array(np.array(2, np.float32), "two")
    graph = helper.make_graph(nodes, "patchwork", [x], [y], [two])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), tmp_path / "m.onnx")
    return tmp_path / "m.onnx"


def account(backend: Any, run: float, **seen: Any) -> Account:
    return Account(
        backend=backend, verdict=Verdict("software", ("the adapter is called swiftshader",)), run=run, **seen
    )


def test_reasons_are_what_was_observed_of_the_slower_backends() -> None:
    part = Placement(backend="webgpu", nodes={"webgpu": 8, "wasm": 2}, fallen={"Shape": 2}, copies=3)
    whole = Placement(backend="webnn", nodes={"webnn": 10}, fallen={}, graphs=1)
    missing = Account(backend="wasm", verdict=Verdict("software"), error=BackendUnavailable("It is gone."))
    best, slower, absent = reasons(
        [account("webgpu", 0.4, placement=part), account("webnn", 0.1, placement=whole), missing]
    )
    assert best == "webnn is the fastest, in software, with all 10 nodes on webnn."
    assert slower == (
        "webnn is 4.0 times as fast as webgpu: its GPU is emulated in software (the adapter is called swiftshader); "
        "only 8 of 10 nodes on webgpu, 2 on wasm (2 Shape), and 3 copies go between them."
    )
    assert absent == "wasm did not run it: It is gone."


def test_a_cause_that_nothing_shows_is_not_given() -> None:
    whole = {name: Placement(backend=name, nodes={name: 10}, fallen={}, graphs=1) for name in ("webnn", "wasm")}
    told = [account("webnn", 0.1, placement=whole["webnn"]), account("wasm", 0.3, placement=whole["wasm"])]
    assert reasons(told)[1].endswith(": no cause was observed other than its kernels: all nodes are on it.")
    untold = [account("webnn", 0.1, placement=whole["webnn"]), account("wasm", 0.3)]
    assert reasons(untold)[1].endswith(": no cause was observed other than its kernels.")


def profile(backend: Any, run: float, *operators: Operator) -> Profile:
    return Profile(backend=backend, phases=Phases(upload=0.001, run=run, readback=0.002), operators=operators)


def matmul(seconds: float | None) -> Operator:
    return Operator(name="MatMul", backend="wasm", nodes=42, seconds=seconds)


def test_the_part_and_the_operator_that_make_a_backend_slower_are_named() -> None:
    add = Operator(name="Add", backend="wasm", nodes=1, seconds=0.02)
    slow = account("wasm", 0.3, profile=profile("wasm", 0.297, matmul(0.18), add))
    said = reasons([account("webnn", 0.1, profile=profile("webnn", 0.097)), slow])[1]
    assert said.endswith(
        " Of 200 ms more, 100% is running. MatMul takes 90% of its operators' time (180 ms in 42 nodes)."
    )


def test_an_operator_is_blamed_only_where_all_of_them_are_timed() -> None:
    compiled = Operator(name=COMPILED, backend="webnn", nodes=1, seconds=None)
    slow = account("webnn", 0.3, profile=profile("webnn", 0.297, matmul(0.18), compiled))
    said = reasons([account("wasm", 0.1, profile=profile("wasm", 0.097)), slow])[1]
    assert "MatMul" not in said
    assert said.endswith("Of 200 ms more, 100% is running.")


def test_a_view_has_bars_for_the_parts_and_a_table_of_operators() -> None:
    whole = Placement(backend="wasm", nodes={"wasm": 43}, fallen={})
    told = account("wasm", 0.3, placement=whole, profile=profile("wasm", 0.297, matmul(0.18)))
    compiled = profile("webnn", 0.097, Operator(name=COMPILED, backend="webnn", nodes=1, seconds=None))
    accounts = [told, account("webnn", 0.1, profile=compiled), account("webgpu", 0.2, unmeasured="Memory ran out.")]
    console = Console(width=100, file=StringIO(), theme=Theme({"title": "", "quiet": "", "label": ""}))
    package: Any = SimpleNamespace(name="m", precision="fp32")
    capabilities: Any = SimpleNamespace(engine="chromium", engine_version="153")
    console.print(explain_view.view(package, capabilities, accounts, [matmul(0.09)], []))
    said = console.file.getvalue()  # type: ignore[attr-defined]
    line = next(each for each in said.splitlines() if each.strip().startswith("Run"))
    assert line.split()[:3] == ["Run", "297", "ms"]
    assert "█████" in line
    assert "unknown" in next(each for each in said.splitlines() if each.strip().startswith("Upload"))
    row = next(each for each in said.splitlines() if each.strip().startswith("MatMul"))
    assert row.split() == ["MatMul", "180", "ms", "100%", "42", "x", "90.0", "ms", "100%", "42", "x"]
    flowing = " ".join(said.split())
    assert "tells no time of what is inside. Native onnxruntime's times are the best substitute." in flowing
    assert "WebGPU could not be measured: Memory ran out." in said


def test_backends_that_are_about_as_fast_are_called_so() -> None:
    assert reasons([account("webnn", 0.1), account("wasm", 0.11)])[1] == "wasm is as fast, within the scatter of runs."


def test_nothing_ran_and_nothing_is_said() -> None:
    assert reasons([Account(backend="wasm", verdict=Verdict("software"), error=BackendUnavailable("no"))]) == []


@pytest.mark.browser("embedded")
def test_a_model_is_explained_on_every_backend(spawn: Call, embedded: str, patchwork: Path) -> None:
    answer = spawn("explain", str(patchwork), "--browser", embedded, "--json")
    assert answer.code == 0, answer.err
    told = answer.object
    assert set(told["backends"]) == {"webgpu", "webnn", "wasm"}
    assert told["backends"]["webnn"]["placement"]["fallen"] == {"Mod": 1}
    assert told["backends"]["wasm"]["placement"]["nodes"] == {"wasm": 3}
    assert {each["name"]: each["nodes"] for each in told["native"]} == {"Neg": 1, "Mod": 1, "Relu": 1}
    parts = {"queue", "transfer", "upload", "run", "readback"}
    assert all(set(each["parts"]) == parts and None not in each["parts"].values() for each in told["backends"].values())
    timed = {each["name"] for each in told["backends"]["webgpu"]["profile"]["operators"] if each["seconds"] is not None}
    assert timed == {"Neg", "Mod", "Relu"}
    assert told["backends"]["webnn"]["profile"]["untold"].startswith("WebNN compiles")
    assert all(each["run"] > 0 and each["fault"] is None for each in told["backends"].values())
    assert told["why"]
    taken, *others = told["decision"]["candidates"]
    assert (told["decision"]["source"], taken["why_not"]) == ("table", None)
    assert {each["backend"] for each in (taken, *others)} == {"webgpu", "webnn", "wasm"}
    assert all(each["why_not"] for each in others)

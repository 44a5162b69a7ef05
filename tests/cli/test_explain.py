from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from tests.cli.conftest import Call
from webinfer.capabilities import Verdict
from webinfer.cli.explain import Account, reasons
from webinfer.errors import BackendUnavailable
from webinfer.placement import Placement


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
        "webnn is 4.0 times as fast as webgpu: its GPU is made in software (the adapter is called swiftshader); "
        "only 8 of 10 nodes on webgpu, 2 on wasm (2 Shape), and 3 copies go between them."
    )
    assert absent == "wasm did not run it: It is gone."


def test_a_cause_that_nothing_shows_is_not_given() -> None:
    whole = {name: Placement(backend=name, nodes={name: 10}, fallen={}, graphs=1) for name in ("webnn", "wasm")}
    told = [account("webnn", 0.1, placement=whole["webnn"]), account("wasm", 0.3, placement=whole["wasm"])]
    assert reasons(told)[1].endswith(": nothing observed explains it but its kernels: all nodes are on it.")
    untold = [account("webnn", 0.1, placement=whole["webnn"]), account("wasm", 0.3)]
    assert reasons(untold)[1].endswith(": nothing observed explains it but its kernels.")


def test_backends_that_are_about_as_fast_are_called_so() -> None:
    assert reasons([account("webnn", 0.1), account("wasm", 0.11)])[1] == "wasm is as fast, within what runs differ by."


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
    assert {"Neg", "Mod", "Relu"} <= set(told["native"])
    assert all(each["run"] > 0 and each["fault"] is None for each in told["backends"].values())
    assert told["why"]

"""``webinfer quantize`` brings a model to fewer bits, and tells sizes and losses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.cli.conftest import Call
from webinfer.models.sources.resolve import resolve


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """A model of one matrix, from (n, 64) to (n, 64)."""
    weights = np.random.default_rng(5).standard_normal((64, 64)).astype(np.float32)
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "graph",
        [value("x", TensorProto.FLOAT, ("n", 64))],
        [value("y", TensorProto.FLOAT, ("n", 64))],
        [numpy_helper.from_array(weights, "w")],
    )
    path = tmp_path / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def test_sizes_and_losses_are_told_and_the_models_are_found_again(
    call: Call, cache: Path, network: Path, tmp_path: Path
) -> None:
    output = tmp_path / "mine"
    given = ("--method", "nearest", "--output", str(output))
    told = call("quantize", str(network), "--precision", "q8", "--precision", "q2", *given, "--json").object
    eight, two = told["made"]
    assert (eight["precision"], two["precision"]) == ("q8", "q2")
    assert two["nbytes"] < eight["nbytes"] < eight["nbytes_before"] == network.stat().st_size
    assert eight["loss"]["cosine"] > 0.999 > two["loss"]["cosine"]
    assert resolve(output, precision="q2").quantized["loss"] == two["loss"]
    assert resolve(output, precision="q8").quantized["loss"] == eight["loss"]
    shown = call("quantize", str(network), "--precision", "q2", "--method", "nearest")
    assert "cosine" in shown.out
    assert f"{two['loss']['cosine']:.5f}" in shown.out


@pytest.mark.parametrize("inside", ["", "mine"])
def test_place_that_cannot_be_written_is_refused_before_the_work(
    call: Call, cache: Path, network: Path, tmp_path: Path, inside: str
) -> None:
    taken = tmp_path / "taken"
    taken.write_text("")
    answer = call("quantize", str(network), "--precision", "q8", "--output", str(taken / inside))
    assert answer.code == 2
    assert "is not a directory" in " ".join(answer.err.split())
    assert not list(cache.rglob("*.onnx"))


def test_read_only_place_is_refused_before_the_work(
    call: Call, cache: Path, network: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path] = []
    monkeypatch.setattr("os.access", lambda place, mode: asked.append(place))  # who is root may write everywhere
    answer = call("quantize", str(network), "--precision", "q8", "--output", str(tmp_path / "mine" / "deep"))
    assert (answer.code, asked) == (2, [tmp_path])
    assert "cannot be written to" in " ".join(answer.err.split())
    assert not list(cache.rglob("*.onnx"))


def test_what_cannot_be_quantized_says_why(call: Call, cache: Path, probe: str) -> None:
    answer = call("quantize", probe, "--precision", "q4", "--json")
    assert answer.code == 1
    assert answer.object["error"]["code"] == "model.quantize"


def test_inputs_of_ones_own_are_learned_from(call: Call, cache: Path, network: Path, tmp_path: Path) -> None:
    x = np.random.default_rng(1).standard_normal((3, 64)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    np.savez(tmp_path / "x.npz", x=x)
    given = ("--input", f"x={tmp_path / 'x.npy'}", "--npz", str(tmp_path / "x.npz"))
    (facts,) = call("quantize", str(network), "--precision", "q4", *given, "--json").object["made"]
    assert facts["inputs"] == "inputs that were given"
    assert facts["loss"]["runs"] == 1
    wrong = call("quantize", str(network), "--precision", "q4", "--input", "z=[1]", "--json")
    assert wrong.code != 0
    assert "no input 'z'" in wrong.out

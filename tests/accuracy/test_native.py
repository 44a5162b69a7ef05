"""Native onnxruntime, and the tiny models that are made to be run everywhere."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from tests.modelfiles import Write
from webinfer.accuracy.native import NativeSession, run_native
from webinfer.core.errors import LoadFailed, RunFailed, ShapeMismatch
from webinfer.models.sources.resolve import resolve
from webinfer.models.zoo.probe import echo_model, probe_model


def test_native_run_prepares_its_inputs(write: Write) -> None:
    assert run_native(resolve(write()), [1, 2.5], threads=1)["y"].tolist() == [-1, -2.5]


def test_native_run_returns_the_outputs_wanted(write: Write) -> None:
    nodes = [helper.make_node("Neg", ["x"], ["y"]), helper.make_node("Abs", ["x"], ["z"])]
    outputs = [helper.make_tensor_value_info(name, 1, ("n",)) for name in "yz"]
    session = NativeSession(resolve(write(nodes=nodes, outputs=outputs)))
    assert list(session.run([1.0])) == ["y", "z"]
    assert list(session.run([1.0], ["z"])) == ["z"]


def test_native_errors_are_typed(write: Write) -> None:
    with pytest.raises(LoadFailed, match=r"Native onnxruntime .* refused bad.*Nonsense"):
        NativeSession(resolve(write("bad.onnx", nodes=[helper.make_node("Nonsense", ["x"], ["y"])])))
    reshape = [
        helper.make_node("Constant", [], ["shape"], value_ints=[2, 2]),
        helper.make_node("Reshape", ["x", "shape"], ["y"]),
    ]
    session = NativeSession(resolve(write("reshape.onnx", nodes=reshape)))
    assert session.run([1, 2, 3, 4])["y"].shape == (2, 2)
    with pytest.raises(RunFailed, match="failed on reshape"):
        session.run([1, 2, 3])


def test_probe_has_two_nodes_and_fixed_shapes(own_cache: Path) -> None:
    path = probe_model()
    assert own_cache in path.parents
    assert probe_model() == path
    assert run_native(resolve(path), [[1, 2, 3, 4]])["y"].tolist() == [[0, 10, 20, 30]]
    with pytest.raises(ShapeMismatch):
        run_native(resolve(path), [[1, 2, 3]])


def test_echo_takes_any_length(own_cache: Path) -> None:
    package = resolve(echo_model())
    assert package.name == "echo"
    for length in (1, 16, 1024):
        values = np.arange(length, dtype=np.float32)
        np.testing.assert_array_equal(run_native(package, {"x": values})["y"], -values)


def test_onnxruntime_reports_to_nobody(write: Write, tmp_path: Path) -> None:
    code = "import sys; from webinfer.accuracy.native import *; from webinfer.models.sources.resolve import resolve; "
    code += "run_native(resolve(sys.argv[1]), [1.0])"
    home = tmp_path / "home"
    (home / "cache").mkdir(parents=True)
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    environment |= {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), "WEBINFER_CACHE": str(tmp_path / "own")}
    subprocess.run([sys.executable, "-c", code, str(write())], env=environment, check=True, timeout=60)
    assert not list((home / "cache").iterdir())

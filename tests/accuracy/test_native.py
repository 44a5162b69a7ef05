"""Native onnxruntime, and the tiny models that are made to be run everywhere."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from onnx import helper, numpy_helper

from tests.modelfiles import Write
from webinfer.accuracy.native import NativeSession, run_native
from webinfer.accuracy.profiler import profile_native
from webinfer.core.errors import LoadFailed, RunFailed, ShapeMismatch
from webinfer.models.graphs.outline import outline
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


def test_graph_in_place_of_the_models_own_runs_with_its_weights(write: Write) -> None:
    weights = numpy_helper.from_array(np.arange(600, dtype=np.float32), "w")
    nodes = [helper.make_node("Add", ["x", "w"], ["h"]), helper.make_node("Neg", ["h"], ["y"])]
    package = resolve(write(nodes=nodes, initializers=[weights]))
    graph = outline(package.model.path, package.model.sha256)
    graph.graph.node[0].op_type = "Sub"
    x = np.ones(600, np.float32)
    session = NativeSession(package, graph=graph, extra_outputs=["h", "y"], optimize=False)
    assert session.outputs == ["y", "h"]
    np.testing.assert_array_equal(session.run({"x": x})["h"], x - np.arange(600))
    named = outline(package.model.path, "elsewhere")
    (answer,) = NativeSession(package, graph=named, files={"elsewhere": package.model.path}).run({"x": x}).values()
    np.testing.assert_array_equal(answer, -x - np.arange(600))
    assert graph.graph.output[0].name == "y"  # the caller's graph stays as it is
    assert len(graph.graph.output) == 1


def test_graph_runs_as_it_stands_only_where_it_must_not_be_optimized(write: Write) -> None:
    nodes = [helper.make_node("Identity", ["x"], ["h"]), helper.make_node("Neg", ["h"], ["y"])]
    package = resolve(write(nodes=nodes))
    session = NativeSession(package, optimize=False, profile=True)
    session.run([1.0])
    operators = {event["args"]["op_name"] for event in session.end_profile() if event["name"].endswith("kernel_time")}
    assert operators == {"Identity", "Neg"}
    assert {operator.name for operator in profile_native(package, [1.0])} == {"Neg"}


def test_profile_counts_the_runs_after_the_first(write: Write) -> None:
    package = resolve(write(nodes=[helper.make_node("Neg", ["x"], ["h"]), helper.make_node("Neg", ["h"], ["y"])]))
    (operator,) = profile_native(package, np.ones(1000, np.float32), runs=5)
    assert (operator.name, operator.backend, operator.nodes) == ("Neg", "native", 2)
    assert operator.seconds is not None
    assert operator.seconds > 0


def test_profile_ends_once_and_only_where_it_was_asked_for(write: Write) -> None:
    package = resolve(write())
    session = NativeSession(package, profile=True)
    session.run([1.0])
    assert session.end_profile()
    for ended in (session, NativeSession(package)):
        with pytest.raises(ValueError, match="keeps no profile"):
            ended.end_profile()

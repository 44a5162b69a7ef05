"""Where the nodes of a graph really went, told by the runtime in each browser."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from tests.browser.conftest import PLACES, Save
from webinfer import Accelerator
from webinfer.core.errors import OperatorFallback, OptionError, SoftwareAdapter


@pytest.fixture
def patchwork(save: Save) -> Path:
    """Three nodes, of which WebNN has no kernel for the one in the middle."""
    nodes = [
        helper.make_node("Neg", ["x"], ["a"]),
        helper.make_node("Mod", ["a", "two"], ["b"], fmod=1),
        helper.make_node("Relu", ["b"], ["y"]),
    ]
    two = onnx.numpy_helper.from_array(np.array(2, np.float32), "two")
    return save(*nodes, shape=(4,), initializers=(two,))


@pytest.mark.parametrize(("browser", "backend"), PLACES)
def test_a_graph_that_the_backend_runs_is_on_it_as_a_whole(
    accelerators: Callable[[str], Accelerator], perceptron: Path, browser: str, backend: Any
) -> None:
    with accelerators(browser).load(perceptron, platform=backend, require="no-fallback") as model:
        placement = model.run({"x": np.ones((1, 8), np.float32)}).placement
    assert placement is not None
    assert placement.whole
    assert set(placement.nodes) == {backend}
    assert not placement.fallen
    assert placement.graphs == (1 if backend == "webnn" else 0)
    assert model.loaded is not None
    assert model.loaded.placement == placement


def test_an_operator_that_webnn_lacks_is_named(embedded: Accelerator, patchwork: Path) -> None:
    with embedded.load(patchwork, platform="webnn") as model:
        result = model.run({"x": np.array([1, -3, 5, -7], np.float32)})
    assert result["y"].tolist() == [0, 1, 0, 1]
    placement = result.placement
    assert placement is not None
    assert dict(placement.fallen) == {"Mod": 1}
    assert dict(placement.nodes) == {"webnn": 2, "wasm": 1}
    assert placement.graphs == 2
    assert str(placement) == "2 of 3 nodes on webnn, in 2 graphs, 1 on wasm (Mod)"
    assert result.observed()["placement"]["fallen"] == {"Mod": 1}


def test_snapshot_tells_where_the_nodes_of_each_session_went(embedded: Accelerator, patchwork: Path) -> None:
    with embedded.load(patchwork, platform="webnn") as broken, embedded.load(patchwork, platform="wasm") as whole:
        seen = embedded.snapshot()
        ran = {model.backend: model.run({"x": np.zeros(4, np.float32)}).placement for model in (broken, whole)}
    sha256 = broken.package.sha256
    told = [
        {each.backend: each.placement for each in sessions if each.model_sha256 == sha256}
        for sessions in (seen.browsers[0].lanes[0].sessions, [queue.session for queue in seen.queue])
    ]
    assert told == [ran, ran]
    fields = json.loads(json.dumps(seen.to_dict()))["browsers"][0]["lanes"][0]["sessions"]
    written = {each["backend"]: each["placement"] for each in fields if each["model_sha256"] == sha256}
    assert written["webnn"] | {"copies": 0} == {
        "backend": "webnn",
        "nodes": {"webnn": 2, "wasm": 1},
        "fallen": {"Mod": 1},
        "copies": 0,
        "graphs": 2,
    }
    assert written["wasm"]["nodes"] == {"wasm": 3}
    assert sha256 not in {each.model_sha256 for queue in embedded.snapshot().queue for each in [queue.session]}


def test_no_fallback_refuses_a_model_and_names_the_operators(embedded: Accelerator, patchwork: Path) -> None:
    with pytest.raises(OperatorFallback, match="Mod") as caught:
        embedded.load(patchwork, platform="webnn", require="no-fallback")
    assert caught.value.data["operators"] == {"Mod": 1}
    with embedded.load(patchwork, platform="wasm", require="no-fallback") as model:
        assert model.run({"x": np.zeros(4, np.float32)}).placement is not None


def test_no_fallback_refuses_a_session_that_another_model_made_without_it(
    embedded: Accelerator, patchwork: Path
) -> None:
    with embedded.load(patchwork, platform="webnn"), pytest.raises(OperatorFallback, match="Mod"):
        embedded.load(patchwork, platform="webnn", require="no-fallback")


def test_what_is_required_must_be_known() -> None:
    with pytest.raises(OptionError, match="no-fallback"):
        Accelerator(require="no_fallback")


@pytest.mark.parametrize(("backend", "evidence"), [("webgpu", "swiftshader"), ("webnn", "XNNPACK"), ("wasm", "CPU")])
def test_required_hardware_is_refused_with_the_evidence_where_software_computes(
    embedded: Accelerator, perceptron: Path, monkeypatch: pytest.MonkeyPatch, backend: Any, evidence: str
) -> None:
    embedded.start()
    pool = embedded._inner._pool
    assert pool is not None
    if embedded.load(perceptron, platform="webgpu").run({"x": np.ones((1, 8), np.float32)}).verdict.kind == "hardware":
        pytest.skip("this machine has a GPU")
    monkeypatch.setattr(pool, "options", replace(pool.options, require_hardware=True))
    with pytest.raises(SoftwareAdapter, match=evidence) as caught:
        embedded.load(perceptron, platform=backend)
    assert caught.value.data["verdict"] == "software"

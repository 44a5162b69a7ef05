"""A graph that was rewritten is delivered only if it computes what the original does."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import GraphProto, helper, numpy_helper

from tests.modelfiles import Write, value
from webinfer.accuracy.comparison import limits_for
from webinfer.deployment import prepare as delivery
from webinfer.deployment.equivalence import compare_graphs
from webinfer.deployment.prepare import deliver
from webinfer.deployment.sharding import split
from webinfer.models.graphs import fusion
from webinfer.models.graphs.fusion import fuse
from webinfer.models.graphs.fusion.gelu import fuse_gelu
from webinfer.models.graphs.outline import outline
from webinfer.models.sources.resolve import resolve

RNG = np.random.default_rng(3)
node = helper.make_node


@pytest.fixture
def gelu(write: Write) -> Path:
    """A product, Gelu as it is exported, and another product."""
    numbers = {"root": math.sqrt(2), "one": 1.0, "half": 0.5}
    tensors = {name: np.array(number, np.float32) for name, number in numbers.items()}
    tensors |= {name: RNG.standard_normal((24, 24), np.float32) for name in ("first", "second")}
    nodes = [
        node("MatMul", ["x", "first"], ["h"]),
        node("Div", ["h", "root"], ["a"]),
        node("Erf", ["a"], ["b"]),
        node("Add", ["b", "one"], ["c"]),
        node("Mul", ["h", "c"], ["d"]),
        node("Mul", ["d", "half"], ["e"]),
        node("MatMul", ["e", "second"], ["y"]),
    ]
    return write(
        nodes=nodes,
        inputs=[value("x", shape=("n", 24))],
        outputs=[value("y", shape=("n", 24))],
        initializers=[numpy_helper.from_array(array, name) for name, array in tensors.items()],
    )


def tolerance(activations: str) -> float:
    return limits_for(activations, use="rewrite").error


def wrong_gelu(graph: GraphProto) -> int:
    """Put Gelu in, and forget the halving's place: one of the factors is off by a thousandth."""
    count = fuse_gelu(graph)
    for tensor in graph.initializer:
        if tensor.name == "second":
            graph.initializer.append(numpy_helper.from_array(np.array(1.001, np.float32), "off"))
            graph.node.insert(len(graph.node) - 1, node("Mul", [graph.node[-1].input[0], "off"], ["shifted"]))
            graph.node[-1].input[0] = "shifted"
            break
    return count


def invalid_gelu(graph: GraphProto) -> int:
    """Put an operator in that there is not."""
    count = fuse_gelu(graph)
    for each in graph.node:
        if each.op_type == "Gelu":
            each.op_type = "Geluh"
    return count


def break_fusion(monkeypatch: pytest.MonkeyPatch, how: Any) -> None:
    monkeypatch.setattr(fusion, "fuse_gelu", how)


@pytest.mark.usefixtures("own_cache")
def test_fusion_that_computes_the_same_is_delivered(gelu: Path) -> None:
    made = deliver(resolve(gelu), "webnn")
    assert (made.rewritten, made.notes) == ({"Gelu": 1}, ())
    assert "Gelu" in {each.op_type for each in onnx.load(made.model.path, load_external_data=False).graph.node}


@pytest.mark.usefixtures("own_cache")
@pytest.mark.parametrize(
    ("how", "why"), [(wrong_gelu, r"y is off by 0\.001 of its largest value, over 1e-05"), (invalid_gelu, "Geluh")]
)
def test_fusion_that_is_broken_is_not_delivered_and_the_note_says_why(
    gelu: Path, monkeypatch: pytest.MonkeyPatch, how: Any, why: str
) -> None:
    break_fusion(monkeypatch, how)
    made = deliver(resolve(gelu), "webnn")
    assert made.rewritten == {}
    (note,) = made.notes
    assert note.startswith("not rewritten to Gelu: held against the original here, ")
    assert re.search(why, note)
    delivered = onnx.load(made.model.path, load_external_data=False)
    assert delivered == outline(gelu, resolve(gelu).model.sha256)  # the original, its weights outside


@pytest.mark.usefixtures("own_cache")
@pytest.mark.parametrize("how", [fuse_gelu, wrong_gelu])
def test_outcome_is_found_out_once(gelu: Path, monkeypatch: pytest.MonkeyPatch, how: Any) -> None:
    break_fusion(monkeypatch, how)
    first = deliver(resolve(gelu), "webnn")
    monkeypatch.setattr(delivery, "compare_graphs", None)  # called again it would fail
    assert deliver(resolve(gelu), "webnn") == first


@pytest.mark.usefixtures("own_cache")
def test_stages_are_cut_from_the_original_where_the_fusion_is_broken(
    gelu: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert split(resolve(gelu), "webnn", 2)[0].delivery.rewritten == {"Gelu": 1}
    break_fusion(monkeypatch, wrong_gelu)
    stages = split(resolve(gelu), "webnn", 3)
    assert all(stage.delivery.rewritten == {} and stage.delivery.notes for stage in stages)


def test_weights_beside_the_model_and_behind_links_are_found(gelu: Path, tmp_path: Path) -> None:
    """As in the hub's cache, where files are links to what is named by hash."""
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "main"
    for each in (blobs, snapshot):
        each.mkdir(parents=True)
    onnx.save(onnx.load(gelu), blobs / "model.onnx", save_as_external_data=True, location="data")
    for name in ("model.onnx", "data"):
        (blobs / name).rename(blobs / f"hash-of-{name}")
        (snapshot / name).symlink_to(blobs / f"hash-of-{name}")
    package = resolve(snapshot / "model.onnx")
    model = outline(package.model.path, package.model.sha256)
    changed = outline(package.model.path, package.model.sha256)
    assert fuse(changed, "webnn") == {"Gelu": 1}
    equality = compare_graphs(model, changed, package)
    assert equality.fault is None
    assert equality.error is not None
    assert equality.error < equality.tolerance == tolerance("fp32")


def test_tolerance_is_that_of_the_activations(gelu: Path) -> None:
    package, model = resolve(gelu), outline(gelu, resolve(gelu).model.sha256)
    assert compare_graphs(model, model, package).tolerance == tolerance("fp32")
    assert compare_graphs(model, model, replace(package, precision="fp16")).tolerance == tolerance("fp16")
    model.graph.node.insert(0, node("DynamicQuantizeLinear", ["x"], ["q", "scale", "zero"]))
    assert compare_graphs(model, model, package).tolerance == tolerance("rounded")


def test_sound_is_long_enough_for_convolutions(write: Write) -> None:
    kernel = numpy_helper.from_array(RNG.standard_normal((1, 1, 400), np.float32), "kernel")
    nodes = [
        node("Unsqueeze", ["input_values", "axis"], ["u"]),
        node("Conv", ["u", "kernel"], ["y"]),
    ]
    path = write(
        nodes=nodes,
        inputs=[value("input_values", shape=("batch", "samples"))],
        outputs=[value("y", shape=("batch", 1, "frames"))],
        initializers=[kernel, numpy_helper.from_array(np.array([1], np.int64), "axis")],
    )
    model = outline(path, resolve(path).model.sha256)
    assert compare_graphs(model, model, resolve(path)).fault is None

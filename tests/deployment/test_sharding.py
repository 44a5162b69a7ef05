"""A model cut into stages computes what the whole one computes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from tests.modelfiles import Write, value
from webinfer.accuracy.native import NativeSession
from webinfer.core.errors import InvalidModel
from webinfer.deployment.sharding import Stage, split
from webinfer.models.sources.resolve import resolve

MINILM = "wheel:all-MiniLM-L6-v2"
IDS = np.random.default_rng(3).integers(1000, 20000, (2, 16))
TOKENS = {"input_ids": IDS, "attention_mask": np.ones_like(IDS), "token_type_ids": np.zeros_like(IDS)}


def run(stages: tuple[Stage, ...], inputs: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
    """Run stages natively, each with nothing but its own pieces."""
    known = dict(inputs)
    for number, stage in enumerate(stages):
        place = tmp_path / str(number)
        place.mkdir()
        (place / "model.onnx").write_bytes(stage.delivery.model.path.read_bytes())
        for piece in stage.delivery.external:
            assert piece.start is not None
            with piece.path.open("rb") as file:
                file.seek(piece.start)
                (place / piece.name).write_bytes(file.read(piece.nbytes))
        session = onnxruntime.InferenceSession(place / "model.onnx")
        names = [each.name for each in session.get_outputs()]
        assert names == [spec.name for spec in stage.package.signature.outputs]
        feeds = {each.name: known[each.name] for each in session.get_inputs()}
        known |= dict(zip(names, session.run(names, feeds), strict=True))
    return known


@pytest.mark.parametrize("count", [2, 3, 5])
def test_stages_answer_as_the_whole(count: int, tmp_path: Path) -> None:
    package = resolve(MINILM)
    stages = split(package, "webnn", count)
    answer = run(stages, TOKENS, tmp_path)
    for name, expected in NativeSession(package).run(TOKENS).items():
        np.testing.assert_allclose(answer[name], expected, atol=3e-5)


def test_stages_share_the_weights_and_hold_no_more_than_all() -> None:
    package = resolve(MINILM)
    sizes = [sum(piece.nbytes for piece in stage.delivery.external) for stage in split(package, "wasm", 2)]
    assert sum(sizes) <= package.nbytes
    assert max(sizes) <= 0.7 * package.nbytes


def test_few_tensors_pass_from_stage_to_stage() -> None:
    first, second = split(resolve(MINILM), "wasm", 2)
    assert len(first.package.signature.outputs) <= 2
    assert {spec.name for spec in second.package.signature.inputs} <= {
        spec.name for spec in first.package.signature.outputs
    } | set(TOKENS)


def test_weights_that_are_external_already_are_cut_too(write: Write, tmp_path: Path) -> None:
    weights = [numpy_helper.from_array(np.full((64, 64), number, np.float32), f"w{number}") for number in (1, 2)]
    nodes = [helper.make_node("MatMul", ["x", "w1"], ["h"]), helper.make_node("MatMul", ["h", "w2"], ["y"])]
    path = write(nodes=nodes, inputs=[value("x", shape=("n", 64))], outputs=[value("y", shape=("n", 64))])
    model = onnx.load(path)
    model.graph.initializer.extend(weights)
    onnx.save(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    stages = split(resolve(path), "wasm", 2)
    x = np.ones((1, 64), np.float32)
    np.testing.assert_array_equal(run(stages, {"x": x}, tmp_path)["y"], np.full((1, 64), 64 * 64 * 2, np.float32))
    assert [sum(piece.nbytes for piece in stage.delivery.external) for stage in stages] == [16384, 16384]


def test_model_of_one_node_cannot_be_cut(write: Write) -> None:
    with pytest.raises(InvalidModel, match="cannot be cut into 2 stages"):
        split(resolve(write()), "wasm", 2)

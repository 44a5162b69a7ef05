"""A model of the hub runs in a real browser as it does natively."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.browser.conftest import Save
from tests.hub_server import HubServer
from webinfer import Accelerator, Progress
from webinfer.accuracy.native import run_native
from webinfer.models.sources.resolve import resolve


def test_model_of_the_hub_equals_native(
    embedded: Accelerator, save: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = np.random.default_rng(3).standard_normal((8, 4), np.float32)
    path = save(
        helper.make_node("MatMul", ["x", "w"], ["y"]),
        shape=("batch", 8),
        out=TensorProto.FLOAT,
        initializers=(numpy_helper.from_array(weights, "w"),),
        save_as_external_data=True,
        location="model.onnx_data",
        size_threshold=0,
    )
    with HubServer() as hub:
        hub.add("org/linear", {"onnx/model.onnx": path, "onnx/model.onnx_data": path.parent / "model.onnx_data"})
        hub.use(monkeypatch, tmp_path / "home")
        steps: list[Progress] = []
        model = embedded.load("org/linear", platform="wasm", progress=steps.append)
        inputs = {"x": np.random.default_rng(4).standard_normal((5, 8), np.float32)}
        answer = model.run(inputs).outputs["y"]
        native = run_native(resolve("org/linear"), inputs)["y"]
    np.testing.assert_allclose(answer, native, rtol=1e-5, atol=1e-6)
    assert {"fetch org/linear", "load org/linear"} <= {step.stage for step in steps}
    assert hub.files_asked() == ["onnx/model.onnx", "onnx/model.onnx_data"]

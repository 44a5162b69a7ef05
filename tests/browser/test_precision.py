"""Each precision answers alike in the browser and natively, or another one is taken and the result says so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from webinfer import Accelerator
from webinfer.accuracy.native import run_native
from webinfer.core.errors import BackendUnavailable
from webinfer.core.options import Backend
from webinfer.quantization import obtain

IDS = {"ids": np.array([[0, 199, 7, 64, 3, 5]], np.int64)}


@pytest.mark.parametrize("precision", ["q8", "q4", "q3", "q2"])
@pytest.mark.parametrize("backend", ["wasm", "webnn", "webgpu"])
def test_blocks_of_few_bits_answer_as_they_do_natively(
    embedded: Accelerator, network: Path, precision: str, backend: Backend
) -> None:
    with embedded.load(network, platform=backend, precision=precision) as model:
        result = model.run(IDS)
    assert (result.backend, result.precision, result.reason) == (backend, precision, None)
    assert result.quantized["loss"]["cosine"] > 0.7
    np.testing.assert_allclose(result["y"], run_native(obtain(network, precision=precision), IDS)["y"], atol=1e-4)


@pytest.fixture(scope="module")
def convolutions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A filter of many channels, one of one channel each, and one that mixes channels: what mobile networks are of."""
    random = np.random.default_rng(12)
    shapes = {"wide": (32, 24, 3, 3), "deep": (32, 1, 7, 7), "flat": (40, 32, 1, 1)}
    nodes = [
        helper.make_node("Conv", ["x", "wide"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["a", "deep"], ["b"], pads=[3, 3, 3, 3], group=32),
        helper.make_node("Conv", ["b", "flat"], ["y"]),
    ]
    x, y = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, count, 8, 8))
        for name, count in (("x", 24), ("y", 40))
    )
    tensors = [
        numpy_helper.from_array((random.standard_normal(shape) * 0.1).astype(np.float32), name)
        for name, shape in shapes.items()
    ]
    graph = helper.make_graph(nodes, "graph", [x], [y], tensors)
    path = tmp_path_factory.mktemp("convolutions") / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.mark.parametrize("precision", ["q8", "q4"])
@pytest.mark.parametrize("backend", ["wasm", "webnn", "webgpu"])
def test_filters_of_few_bits_answer_as_they_do_natively(
    embedded: Accelerator, convolutions: Path, precision: str, backend: Backend
) -> None:
    x = {"x": np.random.default_rng(13).standard_normal((1, 24, 8, 8)).astype(np.float32)}
    with embedded.load(convolutions, platform=backend, precision=precision) as model:
        result = model.run(x)
    assert (result.backend, result.precision, result.reason) == (backend, precision, None)
    np.testing.assert_allclose(result["y"], run_native(obtain(convolutions, precision=precision), x)["y"], atol=1e-4)


@pytest.mark.parametrize(
    ("precision", "backend", "taken", "why"),
    [("q4f16", "webgpu", "q4", "shader-f16"), ("int8", "webnn", "q8", "answers wrongly")],
)
def test_what_a_backend_cannot_run_is_refused_or_another_taken(
    embedded: Accelerator, network: Path, precision: str, backend: Backend, taken: str, why: str
) -> None:
    with pytest.raises(BackendUnavailable, match=why):
        embedded.load(network, platform=backend, precision=precision)
    with embedded.load(network, platform=backend, precision=precision, fallback=True) as model:
        result = model.run(IDS)
    assert (result.backend, result.precision) == (backend, taken)
    assert result.reason is not None
    assert why in result.reason


def test_where_any_backend_will_do_the_precision_decides(embedded: Accelerator, network: Path) -> None:
    with embedded.load(network, platform="auto", precision="int8") as model:
        result = model.run(IDS)
    assert (result.asked, result.backend, result.precision) == ("auto", "wasm", "int8")
    assert str(result.reason).endswith("so wasm was taken")


def test_where_any_backend_will_do_another_precision_that_is_allowed_comes_first(
    embedded: Accelerator, network: Path
) -> None:
    with embedded.load(network, platform="auto", precision="int8", fallback=True) as model:
        result = model.run(IDS)
    assert (result.asked, result.backend, result.precision) == ("auto", "webnn", "q8")


def test_half_floats_run_where_there_are_half_floats(embedded: Accelerator, network: Path) -> None:
    with embedded.load(network, platform="wasm", precision="q4f16") as model:
        result = model.run(IDS)
    assert result.precision == "q4f16"
    np.testing.assert_allclose(result["y"], run_native(obtain(network, precision="q4f16"), IDS)["y"], atol=5e-3)

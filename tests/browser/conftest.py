"""Real browsers, one per engine, shared by the tests of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from webinfer import Accelerator
from webinfer.accuracy.atlas.rows import Atlas
from webinfer.browsers.discovery.find import find
from webinfer.core.errors import BrowserNotFound

BROWSERS = ["embedded", "chromium", "firefox", "webkit"]
BACKENDS = {
    "embedded": ["wasm", "webnn", "webgpu"],
    "chromium": ["wasm", "webgpu"],  # Debian's is built without WebNN's runtime
    "firefox": ["wasm", "webgpu"],
    "webkit": ["wasm"],
}
ENGINES = {"embedded": "chromium", "chromium": "chromium", "firefox": "firefox", "webkit": "webkit"}
PLACES = [(browser, backend) for browser in BROWSERS for backend in BACKENDS[browser]]

Save = Callable[..., Path]


def start(browser: str, **options: Any) -> Accelerator:
    try:
        find(browser)  # type: ignore[arg-type]
    except BrowserNotFound as error:
        pytest.skip(str(error))
    return Accelerator(browser=browser, **options)


@pytest.fixture(scope="session")
def accelerators() -> Iterator[Callable[[str], Accelerator]]:
    """One accelerator per browser, started when first asked for."""
    started: dict[str, Accelerator] = {}

    def get(browser: str) -> Accelerator:
        if browser not in started:
            started[browser] = start(browser)
        return started[browser]

    yield get
    for accelerator in started.values():
        accelerator.close()


@pytest.fixture
def embedded(accelerators: Callable[[str], Accelerator]) -> Accelerator:
    return accelerators("embedded")


@pytest.fixture(params=BROWSERS)
def accelerator(request: pytest.FixtureRequest, accelerators: Callable[[str], Accelerator]) -> Accelerator:
    """Each browser in turn, for what must be the same in all."""
    return accelerators(request.param)


@pytest.fixture
def without_atlas(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have nothing known of any operator, so that a backend is loaded that the atlas would pass over."""
    monkeypatch.setattr("webinfer.accuracy.atlas.steering.known", Atlas)


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Write a model of these nodes, from ``x`` to ``y``."""

    def write(
        *nodes: onnx.NodeProto,
        dtype: int = TensorProto.FLOAT,
        out: int | None = None,
        shape: tuple[Any, ...] = ("n",),
        initializers: tuple[onnx.TensorProto, ...] = (),
        opset: int = 17,
        domains: tuple[str, ...] = (),
        **options: Any,
    ) -> Path:
        graph = helper.make_graph(
            list(nodes),
            "test",
            [helper.make_tensor_value_info("x", dtype, shape)],
            [helper.make_tensor_value_info("y", out or dtype, None if out else shape)],
            list(initializers),
        )
        opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
        path = tmp_path / f"model{len(list(tmp_path.iterdir()))}.onnx"
        onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), path, **options)
        return path

    return write


@pytest.fixture
def perceptron(save: Save) -> Path:
    """A small network with weights: 8 to 16 to 4."""
    random = np.random.default_rng(1)
    first, second = random.standard_normal((8, 16), np.float32), random.standard_normal((16, 4), np.float32)
    path = save(
        helper.make_node("MatMul", ["x", "first"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("MatMul", ["b", "second"], ["y"]),
        shape=("batch", 8),
        out=TensorProto.FLOAT,
        initializers=(onnx.numpy_helper.from_array(first, "first"), onnx.numpy_helper.from_array(second, "second")),
    )
    model = onnx.load(path)
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, ("batch", 4)))
    onnx.save(model, path)
    return path


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tokens looked up in a table of a tenth of a megabyte, and two layers."""
    random = np.random.default_rng(11)
    weights = {name: random.standard_normal(shape) for name, shape in {"t": (200, 96), "w": (96, 96)}.items()}
    ids = helper.make_tensor_value_info("ids", TensorProto.INT64, (1, 6))
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 6, 96))
    nodes = [
        helper.make_node("Gather", ["t", "ids"], ["a"]),
        helper.make_node("MatMul", ["a", "w"], ["b"]),
        helper.make_node("Tanh", ["b"], ["c"]),
        helper.make_node("MatMul", ["c", "w"], ["y"]),
    ]
    tensors = [numpy_helper.from_array(array.astype(np.float32) * 0.1, name) for name, array in weights.items()]
    model = helper.make_model(
        helper.make_graph(nodes, "graph", [ids], [y], tensors),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    path = tmp_path_factory.mktemp("precision") / "model.onnx"
    onnx.save(model, path)
    return path

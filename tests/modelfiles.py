"""What the tests of models share: small ONNX files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

from tests.hub_server import HubServer

Write = Callable[..., Path]


def value(name: str, kind: int = TensorProto.FLOAT, shape: Any = ("n",)) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write an ONNX file."""

    def write(
        path: str | Path = "model.onnx",
        *,
        nodes: Any = None,
        inputs: Any = None,
        outputs: Any = None,
        initializers: Any = (),
        **options: Any,
    ) -> Path:
        nodes = nodes or [helper.make_node("Neg", ["x"], ["y"])]
        graph = helper.make_graph(nodes, "graph", inputs or [value("x")], outputs or [value("y")], list(initializers))
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), file, **options)
        return file

    return write


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Use an empty cache directory."""
    monkeypatch.setenv("WEBINFER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def hub(tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A hub of this test's own, with an empty cache."""
    monkeypatch.delenv("WEBINFER_MODELS", raising=False)
    with HubServer() as server:
        server.use(monkeypatch, tmp_path / "huggingface")
        yield server

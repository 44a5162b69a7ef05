"""What rewritten graphs are held against: native onnxruntime, and the backend that they are rewritten for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import ModelProto

from tests.browser.conftest import start


def natively(model: ModelProto, x: NDArray[Any]) -> NDArray[Any]:
    answer: NDArray[Any] = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})[0]
    return answer


@pytest.fixture
def check_on_webgpu(tmp_path: Path) -> Callable[[list[tuple[ModelProto, NDArray[Any]]]], None]:
    """Hold models against native onnxruntime on WebGPU, which gets them wrong as they are."""

    def check(cases: list[tuple[ModelProto, NDArray[Any]]]) -> None:
        with start("embedded", platform="webgpu") as accelerator:
            for number, (model, x) in enumerate(cases):
                path = tmp_path / f"{number}.onnx"
                onnx.save(model, path)
                with accelerator.load(path) as loaded:
                    np.testing.assert_allclose(loaded.run({"x": x})["y"], natively(model, x), atol=1e-4)

    return check

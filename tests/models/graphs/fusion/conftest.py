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
from webinfer.core.options import Backend

CheckOn = Callable[[Backend, list[tuple[ModelProto, NDArray[Any]]]], None]


def natively(model: ModelProto, x: NDArray[Any]) -> NDArray[Any]:
    answer: NDArray[Any] = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})[0]
    return answer


@pytest.fixture
def check_on(tmp_path: Path) -> CheckOn:
    """Hold models against native onnxruntime on a backend, which gets some of them wrong as they are."""

    def check(backend: Backend, cases: list[tuple[ModelProto, NDArray[Any]]]) -> None:
        with start("embedded", platform=backend, accuracy="off") as accelerator:
            for number, (model, x) in enumerate(cases):
                path = tmp_path / f"{number}.onnx"
                onnx.save(model, path)
                with accelerator.load(path) as loaded:
                    answer = loaded.run({"x": x})["y"]
                np.testing.assert_allclose(answer, natively(model, x), atol=1e-4)

    return check

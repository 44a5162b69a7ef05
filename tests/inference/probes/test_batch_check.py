"""Whether requests may run together, held over answers that are made here."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

from tests.modelfiles import Write, value
from webinfer.inference.probes.batch_check import batching_obstacle
from webinfer.models.files.package import describe
from webinfer.pool.plan.batching import Batching


async def obstacle(path: Path, answer: Any) -> str | None:
    async def run(inputs: Any) -> Any:
        return SimpleNamespace(outputs={"y": answer(inputs["x"])})

    return await batching_obstacle(describe(path, str(path)), Batching(4, 0.0), None, run)


@pytest.fixture
def path(write: Write) -> Path:
    shape = ("batch", 4)
    return write(inputs=[value("x", TensorProto.FLOAT, shape)], outputs=[value("y", TensorProto.FLOAT, shape)])


async def test_rows_that_stay_the_same_may_run_together(path: Path) -> None:
    assert await obstacle(path, lambda x: -x) is None


async def test_rows_that_see_each_other_run_alone(path: Path) -> None:
    assert "in a batch" in str(await obstacle(path, lambda x: x - x.mean()))


@pytest.mark.parametrize("strange", [np.nan, np.inf])
async def test_answers_that_are_no_numbers_show_nothing(path: Path, strange: float) -> None:
    assert "cannot show" in str(await obstacle(path, lambda x: np.full_like(x, strange)))

"""A GPU process that hangs takes its browser with it, and no more."""

from __future__ import annotations

import signal
from pathlib import Path

import numpy as np
import pytest

from tests.chaos.workload import make_subjects
from tests.processes import having, send
from webinfer import AsyncAccelerator
from webinfer.browsers.processes.process_tree import processes
from webinfer.core.errors import DeadlineExceeded


@pytest.mark.browser("embedded")
@pytest.mark.slow
async def test_browser_whose_gpu_process_hangs_is_replaced(tmp_path: Path) -> None:
    subject, *_ = make_subjects(tmp_path)
    x = subject.draw(np.random.default_rng(5))
    async with AsyncAccelerator(browser="embedded", platform="webgpu") as accelerator:
        model = await accelerator.load(subject.path)
        await model.run({"x": x})
        assert accelerator._pool is not None
        (browser,) = accelerator._pool.browsers.values()
        assert send(signal.SIGSTOP, having("--type=gpu-process", processes(browser.pid)))
        with pytest.raises(DeadlineExceeded, match="running"):
            await model.run({"x": x}, timeout=2)
        result = await model.run({"x": x})
        assert result.backend == "webgpu"
        assert not result.lane.startswith(f"{browser.id}.")
        assert subject.is_right(x, result.outputs["y"])

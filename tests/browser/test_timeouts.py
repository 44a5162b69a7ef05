"""A run's time limit follows its model's family and the size of its inputs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio

from tests.compat.models import SLOW, build
from webinfer import AsyncAccelerator, AsyncModel
from webinfer.core.errors import DeadlineExceeded, OptionError

SMALL = {"turns": [1], "features": [0.0]}
LARGE = {"turns": [1], "features": np.zeros(300_000, np.float32)}  # 1.2 MB
ENDLESS = {"turns": [10**6], "features": [0.0]}
STANDARD = 0.02

pytestmark = pytest.mark.browser("embedded")


@pytest_asyncio.fixture
async def busy(tmp_path: Path) -> AsyncIterator[tuple[AsyncAccelerator, AsyncModel]]:
    """An accelerator whose only lane computes without end, and a model of it, whose runs are therefore late."""
    accelerator = AsyncAccelerator(
        browser="embedded",
        platform="wasm",
        run_timeout=STANDARD,
        timeout_factors={"audio": 2.0},
        large_timeout_factor=3.0,
    )
    async with accelerator:
        model = await accelerator.load(build(tmp_path) / SLOW)
        running = [model.submit(ENDLESS, timeout=60) for _ in range(2)]  # one that runs and one behind it
        yield accelerator, model
        for each in running:
            each.cancel()
        await asyncio.wait(running)


async def limit(run: Any) -> float:
    """Return the limit, in multiples of the standard time, that a late run was held to."""
    with pytest.raises(DeadlineExceeded) as caught:
        await run
    return float(caught.value.data["timeout"]) / STANDARD


async def test_limit_follows_family_and_size(busy: tuple[AsyncAccelerator, AsyncModel]) -> None:
    accelerator, model = busy
    assert model.family == "audio"
    assert await limit(model.run(SMALL)) == pytest.approx(2)
    assert await limit(model.run(LARGE)) == pytest.approx(6)
    assert await limit(model.run_batch([SMALL, LARGE])) == pytest.approx(6), "they wait for each other"
    assert await limit(model.run(LARGE, timeout=STANDARD)) == pytest.approx(1), "what is asked for holds as it is"
    await accelerator.scale_timeouts({"audio": 4.0, "vision": 9.0})
    assert await limit(model.run(SMALL)) == pytest.approx(4)
    model.family = "vision"
    assert await limit(model.run(SMALL)) == pytest.approx(9)
    assert accelerator.options.timeout_factors == {"audio": 4.0, "vision": 9.0}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"timeout_factors": {"visoin": 2.0}}, "Did you mean 'vision'"),
        ({"timeout_factors": {"audio": 0}}, "audio must be above 0"),
        ({"large_timeout_factor": 0}, "large_timeout_factor must be above 0"),
    ],
)
def test_factor_that_cannot_be_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        AsyncAccelerator(**options)


async def test_scaling_that_cannot_be_changes_nothing() -> None:
    accelerator = AsyncAccelerator(timeout_factors={"audio": 2.0})
    with pytest.raises(OptionError, match="Did you mean 'audio'"):
        await accelerator.scale_timeouts({"audo": 2.0})
    assert accelerator.options.timeout_factors == {"audio": 2.0}

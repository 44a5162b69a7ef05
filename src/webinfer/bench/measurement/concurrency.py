"""Models that run at the same time in one pool, compared with each of them alone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

from webinfer.accuracy.samples.maker import sample
from webinfer.api.accelerator import AsyncAccelerator
from webinfer.bench.measurement.contestants import Inputs
from webinfer.bench.record import ConcurrentRates, Method
from webinfer.inference.model import AsyncModel

_WARM_UP_RUNS = 2  # of each model


async def measure_concurrently(
    models: Sequence[str], platform: str, browser: str, lanes: int, method: Method, options: Mapping[str, Any]
) -> ConcurrentRates:
    """Measure models with one caller each: all at once, and each alone before and after.

    Args:
        models: References.
        platform: Backend.
        browser: Its name.
        lanes: Lanes that the models share.
        method: How long to measure, and the inputs.
        options: Further options of the accelerator.

    Returns:
        The rates of each model. The rate alone is the mean of before and after.

    Raises:
        WebinferError: A model cannot be run there.
    """
    async with AsyncAccelerator(browser=browser, lanes=lanes, **options) as accelerator:
        loaded = [await accelerator.load(model, platform=platform) for model in models]  # type: ignore[arg-type]
        work = [(model, sample(model.package, method.sequence, method.seed)) for model in loaded]
        for model, inputs in work:
            for _ in range(_WARM_UP_RUNS):
                await model.run(inputs)
        seconds = method.patience / 20
        before = [await _rate(*pair, seconds) for pair in work]
        together = await asyncio.gather(*(_rate(*pair, 2 * seconds) for pair in work))
        after = [await _rate(*pair, seconds) for pair in work]
    alone = [(first + second) / 2 for first, second in zip(before, after, strict=True)]
    return ConcurrentRates(
        models=list(models), place=f"{platform} in {browser}", lanes=lanes, alone=alone, together=list(together)
    )


async def _rate(model: AsyncModel, inputs: Inputs, seconds: float) -> float:
    """Return the answers per second of one caller that asks for so long, at least once."""
    began, count = time.perf_counter(), 0
    while not count or time.perf_counter() - began < seconds:
        await model.run(inputs)
        count += 1
    return count / (time.perf_counter() - began)

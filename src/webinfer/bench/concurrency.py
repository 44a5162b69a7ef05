"""Models that run at the same time in one pool, against each of them alone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

from webinfer.accuracy.samples import sample
from webinfer.api.accelerator import AsyncAccelerator
from webinfer.bench.contestants import Inputs
from webinfer.bench.record import Method, Together
from webinfer.inference.model import AsyncModel

_WARM = 2  # runs of each model


async def together(
    models: Sequence[str], platform: str, browser: str, lanes: int, method: Method, options: Mapping[str, Any]
) -> Together:
    """Have one caller for each model, all at once, and each one by itself before and after.

    Args:
        models: References.
        platform: Backend.
        browser: Its name.
        lanes: Lanes that they share.
        method: How long, and with which inputs.
        options: Further options of the accelerator.

    Raises:
        WebinferError: One cannot be run there.
    """
    async with AsyncAccelerator(browser=browser, lanes=lanes, **options) as accelerator:
        loaded = [await accelerator.load(each, platform=platform) for each in models]  # type: ignore[arg-type]
        work = [(model, sample(model.package, method.sequence, method.seed)) for model in loaded]
        for pair in work:
            for _ in range(_WARM):
                await _run(*pair)
        seconds = method.patience / 20
        before = [await _rate(*pair, seconds) for pair in work]
        both = await asyncio.gather(*(_rate(*pair, 2 * seconds) for pair in work))
        after = [await _rate(*pair, seconds) for pair in work]
    alone = [(one + other) / 2 for one, other in zip(before, after, strict=True)]
    return Together(
        models=list(models), place=f"{platform} in {browser}", lanes=lanes, alone=alone, together=list(both)
    )


async def _run(model: AsyncModel, inputs: Inputs) -> None:
    await model.run(inputs)


async def _rate(model: AsyncModel, inputs: Inputs, seconds: float) -> float:
    """Return answers per second of one caller who asks for so long, once at least."""
    began, count = time.perf_counter(), 0
    while not count or time.perf_counter() - began < seconds:
        await _run(model, inputs)
        count += 1
    return count / (time.perf_counter() - began)
